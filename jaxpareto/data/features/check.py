"""Is a store what was written, what is in it, and all of it in one file."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxpareto.data.features import disk
from jaxpareto.data.features.read import Store, open_store
from jaxpareto.errors import RunError


class Damage(NamedTuple):
    """A file that is not what the manifest says: its shard (None if none), and why."""

    shard: int | None
    why: str


def verify(path: str | Path) -> None:
    """Read every byte of a store, and compare with what was written.

    Args:
      path: the folder of the store.

    Raises:
      UsageError: there is no store.
      RunError: a byte was changed, a file is missing, or the store is unfinished; the
        message names up to three of them.
    """
    folder = Path(path)
    meta, manifest = disk.read_meta(folder), disk.read_manifest(folder)
    found: list[str] = []
    if not manifest.lines or manifest.lines[0]["meta"] != disk.file_hash(
        folder / disk.META
    ):
        found.append(f"{folder / disk.META} is not what was written")
    found += [each.why for each in damaged_shards(folder, manifest)]
    if manifest.torn:
        found.append(f"{folder / disk.MANIFEST} ends in a line that was cut short")
    if manifest.rows != meta["rows"]:
        found.append(
            f"{folder} is unfinished, {manifest.rows:,} of {meta['rows']:,} rows: "
            "continue with extract --resume"
        )
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise RunError("; ".join(found[:3]) + more)


def damaged_shards(folder: Path, manifest: disk.Manifest) -> list[Damage]:
    """Compare the arrays on disk with the manifest, byte for byte."""
    listed = [
        (line["shard"], disk.shard_file(part, line["shard"]), expected)
        for line in manifest.shards
        for part, expected in line["sha256"].items()
    ]
    if manifest.whole:
        sums = manifest.whole["sha256"].items()
        listed += [(None, f"{part}.npy", expected) for part, expected in sums]

    def look(each: tuple[int | None, str, str]) -> Damage | None:
        shard, name, expected = each
        path = folder / name
        if not path.is_file():
            return Damage(shard, f"{path} is missing")
        if disk.file_hash(path) != expected:
            return Damage(shard, f"{path} is damaged: not the bytes that were written")
        return None

    with ThreadPoolExecutor() as pool:  # hashing leaves the interpreter to others
        return [found for found in pool.map(look, listed) if found]


class Stats(NamedTuple):
    """What is in a store.

    Attributes:
      rows: how many.
      dim: `d`.
      bytes: of all its files.
      counts: [c] rows of each class.
      mean: [d] of each feature.
      std: [d] standard deviation of each feature (over n).
      low: [d] the smallest value of each feature.
      high: [d] the largest.
    """

    rows: int
    dim: int
    bytes: int
    counts: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray


def stats(path: str | Path) -> Stats:
    """Count the rows of each class, and describe the features, without reading them.

    Args:
      path: the folder of a finished store.

    Raises:
      UsageError: there is no store.
      RunError: it is unfinished, or a file is missing.
    """
    store = open_store(path)
    mean, std = store.moments()
    columns = store.column_stats()
    return Stats(
        rows=store.rows,
        dim=store.dim,
        bytes=sum(each.stat().st_size for each in Path(path).iterdir()),
        counts=np.bincount(store.labels, minlength=store.classes),
        mean=mean,
        std=std,
        low=columns[2],
        high=columns[3],
    )


def consolidate(path: str | Path) -> bool:
    """Copy the shards of a store to one `x.npy`, `y.npy` and `id.npy` beside them.

    Each shard is compared with its hash while it is copied, and each copy is read again
    before the manifest lists it. The shards stay: streaming reads them.

    Args:
      path: the folder of a finished store.

    Returns:
      Whether there was anything to do.

    Raises:
      UsageError: there is no store.
      RunError: it is unfinished or damaged, or the disk is full.
    """
    folder = Path(path)
    with disk.locked(folder):
        store = open_store(folder)
        if store.manifest.whole:
            return False
        disk.mend_manifest(folder, store.manifest)
        hashes = {}
        for part in ("x", "y", "id"):
            name = f"{part}.npy"
            hashes[part] = disk.save_bytes(folder, name, _pieces(folder, store, part))
            if disk.file_hash(folder / name) != hashes[part]:
                raise RunError(f"{folder / name} reads back as other bytes")
        disk.sync_folder(folder)
        line = {"whole": True, "rows": store.rows, "sha256": hashes}
        disk.append_line(folder, line, store.manifest.chain)
    return True


def _pieces(folder: Path, store: Store, part: str) -> Iterator[bytes]:
    """Yield the bytes of one array of the whole store; check its shards on the way."""
    yield disk.npy_header(*disk.shapes(store.rows, store.dim)[part])
    for line in store.manifest.shards:
        path = folder / disk.shard_file(part, line["shard"])
        header = len(disk.npy_header(*disk.shapes(line["rows"], store.dim)[part]))
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            digest.update(file.read(header))
            while piece := file.read(2**22):
                digest.update(piece)
                yield piece
        if digest.hexdigest() != line["sha256"][part]:
            raise RunError(f"{path} is damaged: not the bytes that were written")
