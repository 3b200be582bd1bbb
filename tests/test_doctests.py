"""Every example in a docstring of the package runs, and gives what it says."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "jaxpareto"
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def documented(path: Path) -> int:
    """Count the docstrings with an example, by reading the source."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    docs = (ast.get_docstring(node) for node in nodes if isinstance(node, DOCUMENTED))
    return sum(">>>" in (doc or "") for doc in docs)


# Modules with an example, one test each, so that a failure names its file.
@pytest.mark.parametrize(
    "path", list(filter(documented, sorted(PACKAGE.rglob("*.py")))), ids=module_name
)
def test_examples(path, capsys):
    module = importlib.import_module(module_name(path))
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testmod(module, optionflags=options)
    assert not failed, capsys.readouterr().out
    # doctest overlooks what it does not take for a function of this module.
    found = sum(bool(test.examples) for test in doctest.DocTestFinder().find(module))
    assert found == documented(path), "an example is never run"
