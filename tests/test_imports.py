"""What an import loads, and what installing the package must bring."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAZY = {
    *("matplotlib", "moocore", "optuna", "safetensors", "sklearn", "tensorboardX"),
    *("tensorflow_datasets", "PIL", "torch", "jax2onnx", "onnx", "onnxruntime"),
}
"""Modules of the extras, and some that people have: loaded where they are used."""


def run(program: str) -> str:
    """Run a program in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_is_light():
    loaded = run("import jaxpareto, sys; print(*sys.modules)").split()
    assert {*LAZY, "orbax", "tqdm"}.isdisjoint(loaded)


def test_no_module_needs_an_extra_to_be_imported():
    # None in sys.modules makes an import fail as if the module were not installed.
    run(
        f"""
import sys
sys.modules.update(dict.fromkeys({sorted(LAZY)}))
import pkgutil, importlib, jaxpareto
for found in pkgutil.walk_packages(jaxpareto.__path__, "jaxpareto."):
    importlib.import_module(found.name)
"""
    )


def declared() -> set[str]:
    """Return the distributions that pyproject.toml names, in any extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return {re.split(r"[^\w.-]", line)[0].lower() for line in lines}


def imported(source: str) -> set[str]:
    """Return the top-level names of a module's absolute imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_whatever_is_imported_is_declared():
    # Here it may be installed because something else needs it; elsewhere it is not.
    folders = ("jaxpareto", "tests", "experiments", "benchmarks", "examples")
    known, homes = declared(), packages_distributions()
    undeclared = []
    for path in sorted(
        path for name in folders for path in ROOT.glob(f"{name}/**/*.py")
    ):
        for name in sorted(imported(path.read_text(encoding="utf-8"))):
            ours = name in folders or (path.parent / f"{name}.py").exists()
            if ours or name in sys.stdlib_module_names:
                continue
            if known.isdisjoint(home.lower() for home in homes.get(name, [name])):
                undeclared.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not undeclared, "\n".join(undeclared)
