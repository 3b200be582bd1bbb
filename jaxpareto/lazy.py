"""Packages whose parts load when they are asked for, so that processes stay light."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package that imports its modules late.

    Args:
      package: its `__name__`.
      homes: name -> the module of the package that has it.

    >>> loader("jaxpareto", {"UsageError": "errors"})("UsageError").__name__
    'UsageError'
    """

    def load(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load
