"""A feature store on disk: its files, and how they get there whole or not at all.

    meta.json         what the store is: see `write.describe`
    manifest.jsonl    what is finished: a line per shard, append-only
    x-00000.npy       features of shard 0, [rows, d] float16
    y-00000.npy       labels, [rows] int32
    id-00000.npy      which row of the source it was, [rows] int64
    stats-00000.npy   per column sum, sum of squares, minimum, maximum, [4, d] float64

Every file is written under a name that starts with `tmp-`, synced, and renamed; the
folder is synced; then its SHA-256 goes into the manifest, which is synced too. So what
the manifest lists is whole on disk, and what it does not list is worth nothing.

The first line of the manifest has the SHA-256 of `meta.json`. Each line ends in a
`chain`: the SHA-256 of the chain before it and of its own text, so that a changed byte
of the manifest itself shows. A last line without its newline was cut short by a crash.
"""

import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.errors import RunError, UsageError

SCHEMA = 1
META, MANIFEST = "meta.json", "manifest.jsonl"
PARTS = ("x", "y", "id", "stats")
"""The arrays of a shard, in the order in which they are written."""

OURS = re.compile(
    r"(?P<tmp>tmp-meta\.json|tmp-(?:x|y|id|stats)(?:-\d{5,})?\.npy)"
    r"|(?:x|y|id|stats)-(?P<shard>\d{5,})\.npy"
)
"""Names that `extract` gives to files, and may delete: unfinished ones and shards."""

_CHAIN = ', "chain": "'
_TAIL = len(_CHAIN) + 64 + len('"}')


def shard_file(part: str, shard: int) -> str:
    """Name the file of one array of a shard.

    >>> shard_file("x", 3)
    'x-00003.npy'
    """
    return f"{part}-{shard:05d}.npy"


class Manifest(NamedTuple):
    """What `manifest.jsonl` says.

    Attributes:
      lines: its whole lines, without their chains.
      chain: the chain of the last of them, in hexadecimal.
      size: how many bytes they take; what follows was cut short.
      torn: how many bytes follow.
    """

    lines: list[dict[str, Any]]
    chain: str
    size: int
    torn: int

    @property
    def shards(self) -> list[dict[str, Any]]:
        """The lines of the shards, in order."""
        return [line for line in self.lines if "shard" in line]

    @property
    def whole(self) -> dict[str, Any] | None:
        """The line of the consolidated copy, if there is one."""
        return next((line for line in self.lines if "whole" in line), None)

    @property
    def rows(self) -> int:
        """How many rows are finished."""
        return sum(line["rows"] for line in self.shards)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest, and check every line of it.

    Raises:
      RunError: a line was changed.
    """
    path = folder / MANIFEST
    raw = path.read_bytes() if path.exists() else b""
    *whole, rest = raw.split(b"\n")
    lines, chain = [], ""
    for number, line in enumerate(whole, 1):
        body = line[:-_TAIL] + b"}"
        expected = _link(chain, body)
        if line != _with_chain(body, expected):
            raise RunError(
                f"{path}: line {number} is damaged; cut the file before that line, and "
                "--resume makes again what it listed from there on"
            )
        lines.append(json.loads(body))
        chain = expected
    return Manifest(lines, chain, len(raw) - len(rest), len(rest))


def mend_manifest(folder: Path, manifest: Manifest) -> None:
    """Cut off a last line that a crash left unfinished."""
    if manifest.torn:
        with explained(folder / MANIFEST):
            os.truncate(folder / MANIFEST, manifest.size)


def append_line(folder: Path, line: dict[str, Any], chain: str) -> str:
    """Append a line to the manifest, sync it, and return its chain."""
    body = json.dumps(line).encode()
    link = _link(chain, body)
    path = folder / MANIFEST
    with explained(path), open(path, "ab") as file:
        file.write(_with_chain(body, link) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    return link


def _link(chain: str, body: bytes) -> str:
    return hashlib.sha256(chain.encode() + body).hexdigest()


def _with_chain(body: bytes, chain: str) -> bytes:
    return body[:-1] + f'{_CHAIN}{chain}"}}'.encode()


def npy_header(shape: tuple[int, ...], dtype: Any) -> bytes:
    """Return the bytes before the data of a `.npy` file, rows first.

    >>> len(npy_header((3, 2), np.float16))
    128
    """
    out = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue()


def save_array(folder: Path, name: str, array: np.ndarray) -> str:
    """Write a `.npy` file whole or not at all; return the SHA-256 of its bytes."""
    array = np.ascontiguousarray(array)
    header = npy_header(array.shape, array.dtype)
    return save_bytes(folder, name, [header, array.data.cast("B")])


def save_bytes(folder: Path, name: str, pieces: Iterable[bytes | memoryview]) -> str:
    """Write a file whole or not at all; return the SHA-256 of its bytes.

    The hash is of the bytes in memory, so that what a disk gets wrong shows later.
    """
    digest = hashlib.sha256()
    partial = folder / f"tmp-{name}"
    with explained(folder / name):
        try:
            with open(partial, "wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, folder / name)
        except OSError:
            partial.unlink(missing_ok=True)  # a full disk needs the room
            raise
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in one line why a file could not be written."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        todo = "make room" if full else "see that this folder can be written to"
        raise RunError(
            f"cannot write {path} ({error.strerror}); what is finished is kept: {todo} "
            "and repeat the command (extract with --resume)"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to the store; the system undoes it at any end.

    Raises:
      RunError: another process is writing.
    """
    import fcntl  # not on every system

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder}: another process is writing to it") from error
        yield
    finally:
        os.close(handle)


def read_meta(folder: Path) -> dict[str, Any]:
    """Read `meta.json`.

    Raises:
      UsageError: the folder holds no store.
      RunError: the file is damaged, or of another version of this library.
    """
    path = folder / META
    if not path.is_file():
        raise UsageError(f"{folder} holds no feature store (no {META})")
    try:
        meta = json.loads(path.read_bytes())
        schema = meta["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({type(error).__name__})") from error
    if schema != SCHEMA:
        raise RunError(f"{path} has schema {schema}; this version reads {SCHEMA}")
    return meta


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_size(shape: tuple[int, ...], dtype: Any) -> int:
    """Return the bytes of a `.npy` file."""
    data = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return len(npy_header(shape, dtype)) + data


def shapes(rows: int, dim: int) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return shape and type of each array of so many rows."""
    return {
        "x": ((rows, dim), np.float16),
        "y": ((rows,), np.int32),
        "id": ((rows,), np.int64),
        "stats": ((4, dim), np.float64),
    }
