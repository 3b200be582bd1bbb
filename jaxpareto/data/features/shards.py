"""Rows in, shards out: the writing end of a store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxpareto.data.features import disk
from jaxpareto.errors import RunError

LARGEST = float(np.finfo(np.float16).max)
"""The largest number that float16 holds, 65504."""


class Shards:
    """The shard that is being filled, and those before it on disk.

    Attributes:
      rows: how many rows it was given.
      total: how many it will be given.
    """

    def __init__(
        self,
        folder: Path,
        meta: dict[str, Any],
        manifest: disk.Manifest,
        where: Callable[[int], str],
    ):
        self.rows = manifest.rows
        self._folder, self._where = folder, where
        self.total, self._shard_rows = meta["rows"], meta["shard_rows"]
        self._chain, self._shard = manifest.chain, len(manifest.shards)
        self._x = np.empty((min(self._shard_rows, self.total), meta["dim"]), np.float16)
        self._y = np.empty(len(self._x), np.int32)
        self._ids = np.empty(len(self._x), np.int64)

    @property
    def _filled(self) -> int:
        return self.rows - self._shard * self._shard_rows

    def add(self, x: np.ndarray, y: np.ndarray, ids: np.ndarray) -> None:
        """Take features [b, d], labels [b] and source rows [b]; write a full shard."""
        check_range(x, ids, self._where)
        at = slice(self._filled, self._filled + len(x))
        self._x[at], self._y[at], self._ids[at] = x, y, ids
        self.rows += len(x)
        if self._filled == self._shard_rows or self.rows == self.total:
            self._write()

    def _write(self) -> None:
        rows = self._filled
        x = self._x[:rows]
        arrays = (x, self._y[:rows], self._ids[:rows], column_stats(x))
        hashes = {
            part: disk.save_array(
                self._folder, disk.shard_file(part, self._shard), array
            )
            for part, array in zip(disk.PARTS, arrays, strict=True)
        }
        disk.sync_folder(self._folder)
        first_row = self._shard * self._shard_rows
        line = {"shard": self._shard, "first_row": first_row, "rows": rows}
        line["sha256"] = hashes
        self._chain = disk.append_line(self._folder, line, self._chain)
        self._shard += 1


def check_range(x: np.ndarray, ids: np.ndarray, where: Callable[[int], str]) -> None:
    """Refuse features x [b, d], of the source rows ids [b], that float16 cannot hold.

    Raises:
      RunError: it names the image of the first of them.
    """
    wrong = ~(np.abs(x) <= LARGEST)  # NaN compares false
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise RunError(
            f"{where(int(ids[row]))}: feature {column} is {x[row, column]:g}; a store "
            f"holds finite numbers up to {LARGEST:g} (float16); do the weights and the "
            "preprocessing belong together?"
        )


def column_stats(x: np.ndarray, block: int = 1024) -> np.ndarray:
    """Return sum, sum of squares, minimum and maximum of each column, [4, d] float64.

    >>> column_stats(np.array([[1.0, 2.0], [3.0, -2.0]], np.float16))
    array([[ 4.,  0.],
           [10.,  8.],
           [ 1., -2.],
           [ 3.,  2.]])
    """
    found = np.zeros((4, x.shape[1]))
    found[2], found[3] = np.inf, -np.inf
    for start in range(0, len(x), block):
        part = x[start : start + block].astype(np.float64)
        found[0] += part.sum(0)
        found[1] += np.square(part).sum(0)
        np.minimum(found[2], part.min(0), out=found[2])
        np.maximum(found[3], part.max(0), out=found[3])
    return found
