"""Imports point down: the floors of CONTRIBUTING.md, kept by reading the source.

A room is a module or subpackage of `jaxpareto`. It may import from lower floors and
from itself. Imports inside functions count, so laziness is no way round.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOORS = (
    ("errors", "lazy", "types", "options", "backend", "draw", "simplex", "tree"),
    ("prefs", "scalarize", "solvers", "metrics", "nets", "hyper", "logistic"),
    (
        "adapt",
        "compressed",
        "conditioned",
        "tasks",
        "rules",
        "problems",
        "data",
        "backbones",
    ),
    ("train", "style"),
    ("search", "plot", "report", "export"),
    ("cli",),  # a floor of its own: it calls plot and search
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# On the ground floor, and only there, a room may import those to its left.
GROUND = FLOORS[0]
# Arrays in, arrays out: these rooms import nothing else from outside, anywhere.
PURE = {*FLOORS[0], *FLOORS[1], "compressed", "conditioned", "tasks", "rules"}
PURE |= {"problems"}
PURE_MAY_IMPORT = {"jax", "optax", "numpy", *sys.stdlib_module_names}
OUTSIDE = {"experiments", "tests", "benchmarks", "examples"}

PACKAGE = Path(__file__).parent.parent / "jaxpareto"


def imports(source: str, module: list[str]) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of each import, `from a import b` as `a.b`.

    Args:
      source: text of the module.
      module: the parts of its name, with `__init__` last where that is the file.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=base, names=names, level=level):
                above = module[:-level] if level else []
                for alias in names:
                    parts = [*above, *([base] if base else []), alias.name]
                    yield node.lineno, ".".join(parts)
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called),
                args=[ast.Constant(value=str(name)), *_],
            ) if called in ("require", "import_module"):
                yield node.lineno, name


def complaint(room: str, name: str) -> str | None:
    """Say what is wrong with `import name` in `room`, or None."""
    top, _, rest = name.partition(".")
    if top in OUTSIDE:
        return f"imports {top}, which is not part of the package"
    if top != "jaxpareto":
        if room in PURE and top == "flax" and room != "hyper":
            return "imports flax, which lives in hyper alone"
        if room in PURE and top not in PURE_MAY_IMPORT | {"flax"}:
            return f"imports {top}; a pure room takes jax, optax and numpy only"
        return None
    target = rest.partition(".")[0]
    if target in (room, "__version__"):
        return None
    if target not in FLOOR:
        return f"imports {name}: name one of the rooms, not the whole package"
    if room in GROUND and target in GROUND:
        down = GROUND.index(target) < GROUND.index(room)
    else:
        down = FLOOR[target] < FLOOR[room]
    if down:
        return None
    where = f"{room} is on floor {FLOOR[room]}, {target} on floor {FLOOR[target]}"
    return f"imports {name}, but imports point down: {where}"


def complaints(package: Path) -> list[str]:
    """Say all that is wrong with the imports below the folder `package`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        module = ["jaxpareto", *path.relative_to(package).with_suffix("").parts]
        room = module[1]
        if room == "__init__":
            continue  # it names every room, lazily
        if room not in FLOOR:
            found.append(f"{room}: give this new room a floor in tests/test_layers.py")
            continue
        for line, name in imports(path.read_text(encoding="utf-8"), module):
            if said := complaint(room, name):
                found.append(f"{'/'.join(module)}.py:{line} {said}")
    return found


def test_imports_point_down():
    found = complaints(PACKAGE)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("nets/mlp.py", "from jaxpareto.train import loop", "point down"),
        ("nets/mlp.py", "from jaxpareto.hyper import dense", "point down"),
        ("nets/mlp.py", "from jaxpareto import hyper", "point down"),
        ("nets/mlp.py", "import jaxpareto.hyper.dense as dense", "point down"),
        ("nets/mlp.py", "from ..hyper import dense", "point down"),
        ("nets/__init__.py", "from ..hyper import dense", "point down"),
        ("nets/mlp.py", "def f():\n    from jaxpareto import plot", "point down"),
        ("plot.py", "from jaxpareto.cli import main", "point down"),
        ("types.py", "from jaxpareto.tree import ravel", "point down"),
        ("errors.py", "from jaxpareto.types import Array", "point down"),
        ("data/idx.py", "import_module('jaxpareto.train')", "point down"),
        ("train/loop.py", "import jaxpareto", "name one of the rooms"),
        ("train/loop.py", "from jaxpareto import load", "name one of the rooms"),
        ("train/loop.py", "import experiments.toy", "not part of the package"),
        ("cli.py", "from tests.conftest import mnist_dir", "not part of the package"),
        ("prefs.py", "import scipy.stats", "a pure room"),
        ("conditioned.py", "import chex", "a pure room"),
        ("metrics/front.py", "errors.require('matplotlib', 'plot')", "a pure room"),
        ("solvers/epo.py", "def f():\n    import scipy", "a pure room"),
        ("tree.py", "import flax.traverse_util", "lives in hyper alone"),
        ("conditioned.py", "from flax import linen", "lives in hyper alone"),
        ("surprise.py", "", "give this new room a floor"),
        ("surprise/__init__.py", "", "give this new room a floor"),
    ],
)
def test_each_breach_is_caught(tmp_path, file, line, said):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    (only,) = complaints(tmp_path)
    assert said in only
    assert file.split("/")[0].removesuffix(".py") in only


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("__init__.py", "from jaxpareto import plot"),
        ("tree.py", "from jaxpareto.errors import UsageError"),
        ("nets/__init__.py", "from .mlp import mlp"),
        ("nets/mlp.py", "from . import layers"),
        ("nets/mlp.py", "from ..tree import ravel"),
        ("nets/mlp.py", "import math, jax, numpy as np, optax"),
        ("hyper/dense.py", "from flax import linen"),
        ("train/log.py", "from jaxpareto import __version__"),
        ("data/tfds.py", "errors.require('tensorflow_datasets', 'data')"),
        ("cli.py", "from jaxpareto import plot, search, train"),
    ],
)
def test_what_is_allowed_passes(tmp_path, file, line):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert complaints(tmp_path) == []
