"""From a trained family to a file, whole or not at all."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxpareto.errors import RunError, UsageError, check_name
from jaxpareto.export.network import Network, network
from jaxpareto.export.onnx_model import to_onnx
from jaxpareto.export.program import to_program
from jaxpareto.export.weights import to_safetensors
from jaxpareto.train.own_front import OwnFront
from jaxpareto.train.run import Front


class Format(NamedTuple):
    """A kind of file.

    Attributes:
      suffix: by which a file is known.
      write: `write(network) -> bytes`.
      about: what it holds and what runs it.
    """

    suffix: str
    write: Callable[[Network], bytes | bytearray]
    about: str


FORMATS: dict[str, Format] = {
    "safetensors": Format(".safetensors", to_safetensors, "the weights alone"),
    "jaxexport": Format(".jaxexport", to_program, "a compiled function, run by JAX"),
    "onnx": Format(".onnx", to_onnx, "a network for ONNX Runtime and its peers"),
}
"""Name -> `Format`."""


def check_target(
    path: Path, format: str | None = None, *, force: bool = False
) -> Format:
    """Return the format that a file shall have; refuse a file that must not be written.

    Args:
      path: of the file.
      format: a name of `FORMATS`; by default its suffix says it.
      force: a file that is there may be replaced.

    Raises:
      UsageError: an unknown format or suffix, or the file exists.

    >>> check_target(Path("net.onnx")).suffix
    '.onnx'
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it")
    if path.exists() and not force:
        raise UsageError(
            f"{path} exists; name another file, or add --force (force=True)"
        )
    if format is not None:
        return FORMATS[check_name(format, FORMATS, "format")]
    for known in FORMATS.values():
        if path.suffix == known.suffix:
            return known
    raise UsageError(
        f"{path.name} does not say its format; accepted endings: "
        f"{', '.join(each.suffix for each in FORMATS.values())} (or --format NAME)"
    )


def save(
    front: Front | OwnFront,
    path: str | os.PathLike[str],
    pref: Any = None,
    *,
    format: str | None = None,
    force: bool = False,
) -> Network:
    """Write the network of a preference, or all of them as one, to a file.

    Args:
      front: the trained family, of a run or of `fit_front`.
      path: of the file; its folder is made if it is not there.
      pref: m non-negative numbers that sum to one; None keeps it an input.
      format: a name of `FORMATS`; by default the suffix says it.
      force: replace a file that is there.

    Returns:
      What was written.

    Raises:
      UsageError: a bad preference, an unknown format, or the file exists.
      RunError: a package is missing, or the file cannot be written.
    """
    path = Path(path)
    chosen = check_target(path, format, force=force)
    taken = network(front, pref)
    data = chosen.write(taken)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # no file was begun, or its folder is none
            unfinished.unlink()
    return taken
