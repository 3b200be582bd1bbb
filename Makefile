# Needs make and Python 3.11 or newer, nothing else. Every target that runs something
# first brings .venv up to date: with uv if it is on the PATH, with venv and pip if not.

PYTHON ?= python3
OUT ?= runs/front
ARGS ?=

PY := .venv/bin/python
# Each worker runs XLA on all cores: more than four of them only use up memory.
PYTEST := $(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile

# Warnings are errors, told all at once.
SPHINX := $(PY) -m sphinx -q -W --keep-going

.DEFAULT_GOAL := help
.NOTPARALLEL: # two installations into one .venv would meet
.PHONY: help venv front test test-long lint types check format bench notebook docs linkcheck \
  clean force

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo 'ARGS="..." goes to the command; PYTHON=python3.12 chooses what makes .venv.'

front: .venv/.has-plot ## learn a Pareto front, draw it into OUT (default runs/front)
	.venv/bin/jaxpareto front --data multi-digits --out $(OUT) --resume $(ARGS)

venv: .venv/.has-dev ## create .venv with all that the other targets need

test: .venv/.has-dev ## run the tests (ARGS="-k name" for some of them)
	$(PYTEST) -m 'not long' $(ARGS)

test-long: .venv/.has-dev ## run the whole experiments and many processes, as CI does
	$(PYTEST) -m long $(ARGS)

lint: .venv/.has-dev ## check style and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: .venv/.has-dev ## check the types of the package
	$(PY) -m basedpyright

check: lint types test ## lint, types and test: what CI runs

format: .venv/.has-dev ## rewrite the files in house style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: .venv/.has-dev ## run the benchmarks (they compare with PyTorch if installed)
	@set -e; for file in benchmarks/[a-z]*.py; do \
	  echo "$(PY) $$file $(ARGS)"; $(PY) "$$file" $(ARGS); done

notebook: .venv/.has-notebook ## run the examples, write them as notebooks
	@set -e; mkdir -p runs/notebooks; for file in examples/[a-z]*.py; do \
	  $(PY) -m jupytext --to ipynb --set-kernel python3 --execute --run-path . \
	    --output "runs/notebooks/$$(basename "$$file" .py).ipynb" "$$file"; done

docs: .venv/.has-docs ## build the pages into docs/_build/html; the notebooks run
	$(SPHINX) -b html docs docs/_build/html

linkcheck: .venv/.has-docs ## look up every link of the pages that leaves them
	$(SPHINX) -D nb_execution_mode=off -b linkcheck docs docs/_build/linkcheck

clean: ## remove .venv and caches; what is in runs/ stays
	rm -rf .venv build dist docs/_build docs/api docs/notebooks docs/glossary.md
	rm -rf .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# --- .venv ----------------------------------------------------------------------------
# .venv/.has-X says that the extra X is installed as pyproject.toml has it now, from this
# folder: a .venv that was moved along with its folder still points at the old one.

ifneq ($(shell cat .venv/.folder 2>/dev/null),$(CURDIR))
MOVED := force
endif

# uv would otherwise fetch an interpreter of its own.
export UV_PYTHON_DOWNLOADS := never
WHERE := -c 'import sys; print(sys.executable)'
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null

.venv/.has-%: pyproject.toml $(MOVED)
	@$(PY) -c '' 2>/dev/null || { \
	  $(PYTHON) $(NEW_ENOUGH) || { \
	    echo "jaxpareto needs Python 3.11 or newer, but '$(PYTHON) --version' says:" \
	      "$$($(PYTHON) --version 2>&1 | tail -n 1);" \
	      "choose another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }; \
	  rm -rf .venv; \
	  { command -v uv >/dev/null && \
	    uv venv --quiet --python "$$($(PYTHON) $(WHERE))" .venv; } || \
	  $(PYTHON) -m venv .venv; }
	@$(PY) $(NEW_ENOUGH) || { \
	  echo "jaxpareto needs Python 3.11 or newer, but .venv has" \
	    "$$($(PY) --version 2>&1); remove .venv and try again" >&2; exit 1; }
	@echo "Installing jaxpareto[$*] into .venv (the first time takes a minute or two)"
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(PY) --editable '.[$*]' && exit; \
	  echo "uv could not; trying pip"; \
	fi; \
	$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; \
	$(PY) -m pip install -qq --disable-pip-version-check --editable '.[$*]'
	@if [ '$*' = dev ]; then touch .venv/.has-plot; fi # dev brings plot
	@echo '$(CURDIR)' > .venv/.folder
	@touch $@
