"""Files of weights: what is in them, and whether they are what their names promise."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jaxpareto.backbones.torch_file import read_torch
from jaxpareto.errors import RunError, require

HASHES = {
    "resnet18-f37072fd.pth": (
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
    ),
    "resnet34-b627a593.pth": "b627a593",
    "resnet50-0676ba61.pth": (
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a"
    ),
    "resnet50-11ad3fa6.pth": (
        "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca"
    ),
    "resnet101-63fe2227.pth": (
        "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a"
    ),
    "resnet101-cd907fc2.pth": "cd907fc2",
}
"""torchvision's files -> their SHA-256, or as much of it as is known to us."""

# How torchvision names files: the SHA-256 starts so. A letter among the digits is asked
# for, because `resnet50-20240131.pth` is a date.
_PROMISE = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})\.\w+$")


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file of weights, checked against what is known of it.

    Args:
      path: the file. One that is in `HASHES`, or that is named as torchvision names its
        files (`resnet50-11ad3fa6.pth`), has to have the hash that this promises.

    Returns:
      64 hexadecimal digits.

    Raises:
      RunError: the file cannot be read, or has another hash.
    """
    path = Path(path)
    with _opening(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    promise = _PROMISE.search(path.name)
    expected = HASHES.get(path.name) or (promise.group(1) if promise else "")
    if not digest.startswith(expected):
        raise RunError(
            f"{path} has SHA-256 {digest} where {expected} was expected: it is damaged "
            "or another file; fetch it again, or name it differently if it is yours"
        )
    return digest


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read a state dict from a `.safetensors` file or one of `torch.save`.

    Args:
      path: the file; what is in it tells its format, whatever it is called.

    Returns:
      Name -> array, as the file has them.

    Raises:
      RunError: no such file, another format, or damaged; or safetensors is missing.
    """
    path = Path(path)
    with _opening(path), path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"PK\x03\x04"):
        return read_torch(path)
    # Eight bytes of length, then JSON.
    if path.suffix == ".safetensors" or head[8:] == b"{":
        return _read_safetensors(path)
    if head.startswith(b"\x80"):
        raise RunError(
            f"{path} is a pickle, as torch.save wrote before PyTorch 1.6; convert it "
            "where PyTorch is: torch.save(torch.load(OLD), NEW)"
        )
    raise RunError(f"{path} is neither a .safetensors file nor one of torch.save")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    safetensors = require("safetensors", "backbones")
    numpy_files = require("safetensors.numpy", "backbones")
    try:
        with _opening(path):
            return numpy_files.load_file(path)
    except safetensors.SafetensorError as error:
        raise RunError(f"{path} is damaged ({error}); fetch it again") from error
    except KeyError as error:  # its name for a type that NumPy lacks
        raise RunError(f"{path} has numbers of type {error}; give floats") from error


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Say in one line that a file cannot be opened."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunError(f"cannot read the weights {path} ({reason})") from error
