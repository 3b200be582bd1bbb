"""Files of `torch.save`, read without PyTorch and without running what they say.

Such a file is a zip archive. `NAME/data.pkl` is a pickle of the state dict, in which a
tensor is a call of `torch._utils._rebuild_tensor_v2` on a storage, and `NAME/data/KEY`
has the bytes of the storage KEY. A pickle can call whatever can be imported; this
reader resolves the few names below, and all that they do is to note down their
arguments. Arrays are made afterwards, from notes that are checked first.
"""

import io
import math
import pickle
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import RunError

DTYPES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}

# What a damaged archive or pickle makes its reader raise.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, OSError),
    *(AttributeError, LookupError, TypeError, ValueError, OverflowError, ImportError),
    RuntimeError,
)


class Storage(NamedTuple):
    """Note of a storage: a flat array in a file of its own.

    Attributes:
      dtype: a name in `DTYPES`.
      key: the last part of its name in the archive.
      size: how many numbers it has.
    """

    dtype: str
    key: str
    size: int


class Tensor(NamedTuple):
    """Note of a tensor: a view of a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Read the state dict of a file that PyTorch 1.6 or later has written.

    Args:
      path: a state dict, or a plain dictionary with one under `"state_dict"`.

    Returns:
      Name -> read-only array. Tensors that share a storage share it here too.

    Raises:
      RunError: the file is damaged, holds something else, or asks for a name that no
        state dict needs.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(archive, path)
            pickled = io.BytesIO(archive.read(f"{root}data.pkl"))
            notes = _tensors(_Unpickler(pickled, path).load(), path)
            storages = {
                storage: _read_storage(archive, root, storage)
                for storage in {note.storage for note in notes.values()}
            }
        return {
            name: _view(note, storages[note.storage]) for name, note in notes.items()
        }
    except RunError:
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{path} is damaged ({reason}); fetch it again") from error


class _Unpickler(pickle.Unpickler):
    """Reads a state dict as notes; refuses every name that it does not know."""

    def __init__(self, file: io.BytesIO, path: Path):
        super().__init__(file)
        self._path = path

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Resolve a name; nothing is imported."""
        match module_name, global_name:
            case "torch", name if name in DTYPES:
                return name
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return self._note
            case "torch._utils", "_rebuild_parameter":
                return self._unwrap
        raise RunError(
            f"{self._path} asks for {f'{module_name}.{global_name}'!r}, which no state "
            "dict of floats needs: refused; save model.state_dict() alone"
        )

    def persistent_load(self, pid: Any) -> Storage:
        """Note down a storage: ("storage", type, key, location, size)."""
        match pid:
            case "storage", str(dtype), str(key), _, int(size) if dtype in DTYPES:
                return Storage(dtype, key, size)
        raise pickle.UnpicklingError("it has something else than a storage")

    def _note(
        self, storage: Any, offset: Any, shape: Any, strides: Any, *others: Any
    ) -> Tensor:
        del others  # whether it has a gradient, hooks
        if not isinstance(storage, Storage):
            raise pickle.UnpicklingError(f"a tensor of {type(storage).__name__}")
        return Tensor(storage, offset, tuple(shape), tuple(strides))

    def _unwrap(self, tensor: Any, *others: Any) -> Any:
        del others
        return tensor


def _root(archive: zipfile.ZipFile, path: Path) -> str:
    """Return what the names in an archive that torch.save has written start with."""
    names = archive.namelist()
    roots = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise RunError(f"{path} is a zip file, but not one of torch.save")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise RunError(f"{path} is compressed, which torch.save never does; refused")
    order = f"{roots[0]}byteorder"
    if order in names and archive.read(order) != b"little":
        raise RunError(f"{path} was written on a big-endian machine; convert it there")
    return roots[0]


def _tensors(found: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict that was found: itself, or under `"state_dict"`."""
    inner = found.get("state_dict") if isinstance(found, dict) else None
    for candidate in (found, inner):
        if isinstance(candidate, dict) and candidate:
            values = candidate.values()
            if all(isinstance(value, Tensor) for value in values):
                return {str(name): value for name, value in candidate.items()}
    raise RunError(
        f"{path} holds {_described(found)}, not a state dict of tensors; "
        "save model.state_dict() alone"
    )


def _described(found: Any) -> str:
    if isinstance(found, dict):
        return f"a dictionary with {', '.join(map(repr, list(found)[:4])) or 'nothing'}"
    return f"something of type {type(found).__name__}"


def _read_storage(archive: zipfile.ZipFile, root: str, storage: Storage) -> np.ndarray:
    """Read the flat array of a storage."""
    data = archive.read(f"{root}data/{storage.key}")
    dtype = DTYPES[storage.dtype]
    if len(data) != storage.size * dtype.itemsize:
        raise ValueError(
            f"storage {storage.key} has {len(data)} bytes where {storage.size} numbers "
            f"take {storage.size * dtype.itemsize}"
        )
    return np.frombuffer(data, dtype)


def _view(note: Tensor, flat: np.ndarray) -> np.ndarray:
    """Return the tensor that lies in a flat array, without copying it."""
    _, offset, shape, strides = note
    steps = zip(shape, strides, strict=True)
    last = offset + sum((length - 1) * stride for length, stride in steps)
    inside = math.prod(shape) == 0 or last < len(flat)
    if min((offset, *shape, *strides)) < 0 or not inside:
        raise ValueError(
            f"a tensor of shape {shape} and strides {strides} at {offset} reaches "
            f"beyond its storage of {len(flat)} numbers"
        )
    steps = [stride * flat.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)
