"""jaxpareto: one training run, every trade-off.

>>> import jaxpareto
>>> jaxpareto.metrics.hypervolume([[0.5, 0.5]], [1.0, 1.0]).item()
0.25
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("jaxpareto")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0.0.0"

_ROOMS = (
    "adapt",
    "backbones",
    "backend",
    "conditioned",
    "data",
    "errors",
    "export",
    "hyper",
    "logistic",
    "metrics",
    "nets",
    "plot",
    "prefs",
    "problems",
    "report",
    "rules",
    "scalarize",
    "search",
    "simplex",
    "solvers",
    "tasks",
    "train",
    "tree",
    "types",
)
_SHORTCUTS = dict.fromkeys(("load", "train_front", "fit_front", "configure"), "train")

__all__ = [*_ROOMS, *_SHORTCUTS]


def __getattr__(name: str) -> Any:
    """Load a room, or one of the few names that stand for a whole room, when asked."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _SHORTCUTS:
        return getattr(import_module(f"{__name__}.{_SHORTCUTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
