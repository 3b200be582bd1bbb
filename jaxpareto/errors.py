"""The two ways in which a call can go wrong, and the one way to say an unknown name.

`UsageError`: the words of the call are wrong; the command line exits with 2.
`RunError`: the call was understood and failed (data, disk, numbers); it exits with 1.
Both carry one line that says what was found and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """The words of the call are wrong: a name, a shape, a number out of its range."""


class RunError(RuntimeError):
    """The call was understood, and failed: broken files, non-finite numbers."""


def check_name(name: str, known: Iterable[str], what: str) -> str:
    """Return `name` if it is one of `known`; otherwise name the nearest ones.

    Args:
      name: what the caller wrote.
      known: the accepted names.
      what: what the names are names of, e.g. `"network"`.

    Raises:
      UsageError: `name` is not known.

    >>> check_name("lenet", ["lenet", "mlp"], "network")
    'lenet'
    """
    known = list(known)
    if name in known:
        return name
    near = get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"unknown {what} {name!r}; {hint}accepted: {', '.join(known)}")


def require(module: str, extra: str):
    """Import an optional module, or say which extra brings it.

    Args:
      module: the dotted name to import.
      extra: the extra of this package that installs it.

    Returns:
      The imported module.

    Raises:
      RunError: the module is not installed.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module != missing and not module.startswith(missing + "."):
            raise  # the module is there; something that *it* needs is not
        raise RunError(
            f"{module} is not installed; install it with: "
            f"pip install 'jaxpareto[{extra}]'"
        ) from error
