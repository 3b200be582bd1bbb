"""Reading a store: rows from disk as they are asked for, all in memory, or a stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jaxpareto.data.features import disk, stream
from jaxpareto.data.features.stream import Rows
from jaxpareto.errors import RunError, UsageError

BLOCK = 1024
"""Rows that a stream reads at once, from one place."""
GAP = 16
"""Rows between two that are read along, where that saves opening the file again."""
WINDOW = 2**25
"""Bytes of features that a stream mixes, 32 MiB; five times that are in memory."""


def open_store(path: str | Path) -> "Store":
    """Open a finished feature store.

    It reads `meta.json` and the manifest, and looks whether each file is there in its
    full length. Whether each byte is right is the business of `verify`, which reads all
    of them.

    Args:
      path: the folder of the store.

    Raises:
      UsageError: the folder holds no store.
      RunError: it is unfinished, or a file is missing, cut short or damaged.
    """
    folder = Path(path)
    meta, manifest = disk.read_meta(folder), disk.read_manifest(folder)
    first = manifest.lines[0]["meta"] if manifest.lines else None
    if first not in (None, disk.file_hash(folder / disk.META)):
        raise RunError(f"{folder / disk.META} was changed after it was written")
    if manifest.rows != meta["rows"]:
        raise RunError(
            f"{folder} is unfinished, {manifest.rows:,} of {meta['rows']:,} rows: "
            "continue with extract --resume"
        )
    for line in manifest.shards:
        for part, (shape, dtype) in disk.shapes(line["rows"], meta["dim"]).items():
            _check_length(folder / disk.shard_file(part, line["shard"]), shape, dtype)
    for part in manifest.whole["sha256"] if manifest.whole else ():
        shape, dtype = disk.shapes(meta["rows"], meta["dim"])[part]
        _check_length(folder / f"{part}.npy", shape, dtype)
    return Store(folder, meta, manifest)


def _check_length(path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    expected = disk.file_size(shape, dtype)
    found = path.stat().st_size if path.is_file() else None
    if found != expected:
        what = "is missing" if found is None else f"has {found:,} bytes"
        raise RunError(f"{path} {what}, not {expected:,}; see jaxpareto store verify")


@dataclass(frozen=True, eq=False)
class Store:
    """A finished store; `open_store` makes one.

    `store[rows]` reads rows where they lie on disk, `arrays` reads all of them into
    memory, and `batches` streams them in a new order every epoch.

    Attributes:
      folder: where it is.
      meta: the content of its `meta.json`.
      manifest: what is on disk.
    """

    folder: Path
    meta: dict[str, Any]
    manifest: disk.Manifest

    @property
    def rows(self) -> int:
        """How many rows, `n`."""
        return self.meta["rows"]

    @property
    def dim(self) -> int:
        """How many features, `d`."""
        return self.meta["dim"]

    @property
    def classes(self) -> int:
        """How many classes, `c`."""
        return self.meta["classes"]

    @cached_property
    def labels(self) -> np.ndarray:
        """All labels, [n] int32, in memory."""
        return self._all("y")

    @cached_property
    def ids(self) -> np.ndarray:
        """Which row of the source each row is, [n] int64, in memory."""
        return self._all("id")

    @cached_property
    def x(self) -> np.ndarray:
        """All features, [n, d] float16, mapped from the file of a consolidated store.

        Raises:
          RunError: the store is not consolidated.
        """
        if self.manifest.whole is None:
            raise RunError(
                f"{self.folder} is in shards; jaxpareto store consolidate makes one "
                "file, and store[rows] reads rows as they are"
            )
        return np.load(self.folder / "x.npy", mmap_mode="r")

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: slice | np.ndarray | list[int]) -> Rows:
        """Read rows [b], a slice or integers, through a memory map."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self.rows))
        rows = np.asarray(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise UsageError(f"rows {rows.dtype}{list(rows.shape)}; give [b] integers")
        if rows.size and not -self.rows <= rows.min() <= rows.max() < self.rows:
            raise UsageError(f"rows {rows.min()}..{rows.max()} of {self.rows}")
        rows = np.where(rows < 0, rows + self.rows, rows).astype(np.int64)
        x = np.empty((len(rows), self.dim), np.float16)
        shards, places = np.divmod(rows, self.meta["shard_rows"])
        for shard in np.unique(shards):
            chosen = shards == shard
            x[chosen] = self._maps[shard][places[chosen]]
        return Rows(x, self.labels[rows], self.ids[rows])

    def arrays(self) -> Rows:
        """Read all rows into memory, x as float32: 4 n d bytes."""
        x = np.empty((self.rows, self.dim), np.float32)
        for first in range(0, self.rows, BLOCK):
            part = x[first : first + BLOCK]
            half = np.empty(part.shape, np.float16)
            self._read(first, half)
            part[:] = half
        return Rows(x, self.labels, self.ids)

    def column_stats(self) -> np.ndarray:
        """Return sum, sum of squares, minimum and maximum of each feature, [4, d]."""
        lines = self.manifest.shards
        each = np.stack([np.load(self._file("stats", line["shard"])) for line in lines])
        return np.stack(
            [each[:, 0].sum(0), each[:, 1].sum(0), each[:, 2].min(0), each[:, 3].max(0)]
        )

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean [d] and standard deviation [d] (over n) of the features."""
        total, squares, _, _ = self.column_stats()
        mean = total / self.rows
        return mean, np.sqrt(np.maximum(squares / self.rows - mean**2, 0.0))

    def batches(
        self, batch_size: int, *, seed: int = 0, epoch: int = 0, shuffle: bool = True
    ) -> Iterator[Rows]:
        """Stream all rows from disk: each exactly once per epoch, in bounded memory.

        Stretches of 1,024 rows are read in a random order, and the rows of a few
        stretches at a time (32 MiB of features, or one batch if that is more) are
        mixed. A thread reads up to two such windows ahead. The order depends on
        `seed`, `epoch`, `batch_size` and the store alone. Rows are read, not mapped:
        pages of a mapped file would count as memory of this process.

        Args:
          batch_size: rows in a batch, `b`; the last batch has what is left.
          seed: of the order.
          epoch: which epoch; each has its own order.
          shuffle: off gives the rows in the order of the store.

        Yields:
          Batches, x [b, d] float16.

        Raises:
          UsageError: `batch_size` is below 1.
          RunError: a file ends too soon.
        """
        plan = self._windows(batch_size, seed, epoch, shuffle)
        return stream.batches(stream.ahead(self._window, plan), batch_size)

    def orders(
        self, batch_size: int, *, seed: int = 0, epoch: int = 0, shuffle: bool = True
    ) -> Iterator[np.ndarray]:
        """Say which rows `batches` would yield, [b] int64, and read none of them.

        For many readers that each take a part of a batch: `read` reads it.

        Args:
          batch_size: as of `batches`, and so are the others.
          seed: of the order.
          epoch: which epoch.
          shuffle: off gives the rows in the order of the store.

        Raises:
          UsageError: `batch_size` is below 1.
        """
        plan = self._windows(batch_size, seed, epoch, shuffle)
        return stream.cut((window.mixed(window.rows()) for window in plan), batch_size)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read the features of rows [b] in ascending order, [b, d] float16.

        Rows that lie close together are read at once, with what is between them.
        """
        x = np.empty((len(rows), self.dim), np.float16)
        far = np.flatnonzero(np.diff(rows) > GAP) + 1
        for first, last in zip([0, *far], [*far, len(rows)], strict=True):
            for start in range(first, last, BLOCK):
                part = rows[start : min(start + BLOCK, last)]
                if len(part):
                    span = np.empty((part[-1] - part[0] + 1, self.dim), np.float16)
                    self._read(int(part[0]), span)
                    x[start : start + len(part)] = span[part - part[0]]
        return x

    def _windows(
        self, batch_size: int, seed: int, epoch: int, shuffle: bool
    ) -> Iterator[stream.Window]:
        """Plan an epoch."""
        if batch_size < 1:
            raise UsageError(f"batch size {batch_size}; give at least 1")
        rng = np.random.default_rng([seed, epoch]) if shuffle else None
        rows = max(WINDOW // (2 * self.dim), batch_size)
        spans = [(line["first_row"], line["rows"]) for line in self.manifest.shards]
        return stream.windows(stream.blocks(spans, BLOCK), rows, rng)

    def _window(self, window: stream.Window) -> Rows:
        """Read the stretches of a window, and mix their rows."""
        rows = window.rows()
        x = np.empty((len(rows), self.dim), np.float16)
        at = 0
        for start, stop in window.blocks:
            self._read(start, x[at : at + stop - start])
            at += stop - start
        if window.rng is not None:
            mixed = window.rng.permutation(len(rows))
            x, rows = x.take(mixed, axis=0), rows[mixed]
        return Rows(x, self.labels[rows], self.ids[rows])

    def _read(self, first: int, out: np.ndarray) -> None:
        """Fill `out` [b, d] with the features of the rows from `first` on."""
        done = 0
        while done < len(out):
            shard, place = divmod(first + done, self.meta["shard_rows"])
            rows = self.manifest.shards[shard]["rows"]
            part = out[done : done + rows - place]
            path = self._file("x", shard)
            header = len(disk.npy_header((rows, self.dim), np.float16))
            with open(path, "rb", buffering=0) as file:
                file.seek(header + place * self.dim * 2)
                view = part.data.cast("B")
                while len(view):
                    got = file.readinto(view)
                    if not got:
                        raise RunError(f"{path} ends too soon; see store verify")
                    view = view[got:]
            done += len(part)

    @cached_property
    def _maps(self) -> list[np.ndarray]:
        """The features of each shard, mapped from its file."""
        lines = self.manifest.shards
        return [np.load(self._file("x", n), mmap_mode="r") for n in range(len(lines))]

    def _all(self, part: str) -> np.ndarray:
        lines = self.manifest.shards
        return np.concatenate(
            [np.load(self._file(part, line["shard"])) for line in lines]
        )

    def _file(self, part: str, shard: int) -> Path:
        return self.folder / disk.shard_file(part, shard)


_ALIKE = ("dim", "classes", "class_names", "backbone", "fingerprint", "preprocess")
"""What two stores have in common if a head fitted on one may be tried on the other."""


def check_alike(one: Store, other: Store) -> None:
    """Refuse two stores that are not of the same features and classes.

    Args:
      one: such as the training rows.
      other: such as the validation rows.

    Raises:
      UsageError: it names what differs.
    """
    for name in _ALIKE:
        a, b = one.meta.get(name), other.meta.get(name)
        if a != b:
            a, b = (str(each)[:60] for each in (a, b))
            raise UsageError(
                f"{one.folder} and {other.folder} differ in {name}: {a} and {b}; "
                "extract both with one backbone and preprocessing, of the same classes"
            )
