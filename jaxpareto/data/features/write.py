"""From images to a feature store, with nothing lost when the process dies.

Rows are stored in a pseudo-random order of the source's rows, so that any stretch of
them mixes the classes. Batches start anew at each shard and the last one of a shard is
padded, so that a row sits in the same batch whether or not the work was interrupted
before it. An interrupted store that is resumed is therefore the same, byte for byte, as
one made at once with the same versions on the same kind of device, where the backbone's
own arithmetic repeats itself (it does on a CPU).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxpareto.data.features import disk
from jaxpareto.data.features.check import damaged_shards
from jaxpareto.data.features.decode import Prepared, prepared, usable_cores
from jaxpareto.data.features.shards import Shards
from jaxpareto.data.features.sources import Images
from jaxpareto.errors import RunError, UsageError
from jaxpareto.types import Backbone


def extract(
    backbone: Backbone,
    source: Images,
    out: str | os.PathLike[str],
    *,
    batch_size: int = 256,
    shard_rows: int = 16_384,
    seed: int = 0,
    limit: int | None = None,
    workers: int | None = None,
    resume: bool = False,
    report: Callable[[int, int], None] | None = None,
    put: Callable[[np.ndarray], jax.Array] = jax.device_put,
) -> None:
    """Write the features of every image to a store.

    Args:
      backbone: what turns images into features.
      source: the images; see `folder_images`, `tfds_images`, `array_images`.
      out: the folder to make.
      batch_size: images that the backbone sees at once, `b`.
      shard_rows: rows in a file. A crash costs the work on one of them.
      seed: of the order of the rows.
      limit: take only so many rows, the first ones of that order.
      workers: processes that read and prepare images; None for one per core, 0 to do
        it in this one.
      resume: continue the store in `out`, if there is one.
      put: puts a batch of prepared images where the backbone runs, by default on the
        first device; `train.mesh` shares it out among many.
      report: called with the rows done, and their total, at the start and every batch.

    Raises:
      UsageError: `out` exists and `resume` is off, or holds something else; a number
        out of its range.
      RunError: an image, a label or a feature that cannot be used, named; a disk that
        is full or cannot be written to; a store that is damaged.

    >>> from tempfile import TemporaryDirectory
    >>> from jaxpareto.data.features import images_of, open_store
    >>> mean = lambda images: images.mean((1, 2))[:, None]
    >>> backbone = Backbone("mean", 1, mean, np.asarray, "0" * 64, "none")
    >>> with TemporaryDirectory() as folder:
    ...     extract(backbone, images_of("digits"), f"{folder}/store", workers=0)
    ...     open_store(f"{folder}/store")[:3].x.shape
    (3, 1)
    """
    meta = describe(backbone, source, batch_size, shard_rows, seed, limit)
    if workers is not None and workers < 0:
        raise UsageError(f"workers must be at least 0, found {workers}")
    folder = Path(out)
    if folder.exists() and not resume:
        raise UsageError(f"{folder} exists; name another --out, or add --resume")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    with disk.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    order = row_order(source.rows, seed)[: meta["rows"]]
    with disk.locked(folder):
        manifest = _begin(folder, meta)
        shards = Shards(folder, meta, manifest, source.where)
        groups = list(_groups(order, shards.rows, shard_rows, batch_size))
        workers = usable_cores() if workers is None else workers
        _say(report, shards)
        with closing(prepared(source, backbone.prepare, groups, workers)) as images:
            for found in _features(backbone, groups, images, batch_size, put):
                shards.add(*found)
                _say(report, shards)


def describe(
    backbone: Backbone,
    source: Images,
    batch_size: int,
    shard_rows: int,
    seed: int,
    limit: int | None,
) -> dict[str, Any]:
    """Say what a store is: the content of its `meta.json`.

    Raises:
      UsageError: a number out of its range.
    """
    rows = source.rows if limit is None else min(limit, source.rows)
    given = {"batch size": batch_size, "shard rows": shard_rows, "limit": rows}
    for name, number in given.items():
        if number < 1:
            raise UsageError(f"{name} must be at least 1, found {number}")
    if seed < 0:
        raise UsageError(f"seed must be at least 0, found {seed}")
    order = row_order(source.rows, seed).astype("<i8").tobytes()
    return {
        "schema": disk.SCHEMA,
        "rows": rows,
        "dim": backbone.dim,
        "dtype": "float16",
        "classes": source.classes,
        "class_names": source.names and list(source.names),
        "backbone": backbone.name,
        "fingerprint": backbone.fingerprint,
        "preprocess": backbone.preprocess,
        "source": source.about,
        "source_rows": source.rows,
        "source_sha256": source.sha256,
        "seed": seed,
        "order_sha256": hashlib.sha256(order).hexdigest(),
        "batch_size": batch_size,
        "shard_rows": shard_rows,
        "versions": _versions(),
        "platform": jax.default_backend(),
    }


def row_order(rows: int, seed: int) -> np.ndarray:
    """Return the rows of the source in the order in which they are stored.

    >>> row_order(5, seed=0)
    array([2, 4, 3, 0, 1])
    """
    return np.random.default_rng(seed).permutation(rows)


def _versions() -> dict[str, str]:
    """Return the versions that decide on the bytes of a store."""
    found = {}
    for name in ("jaxpareto", "jax", "jaxlib", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


_MAY_DIFFER = ("versions", "platform", "source")
"""What may change between two parts of the work (a source may move or be renamed)."""


def _begin(folder: Path, meta: dict[str, Any]) -> disk.Manifest:
    """Start the store, or clear up after an interruption; say what is finished."""
    manifest = disk.read_manifest(folder)
    path = folder / disk.META
    if not path.exists():
        files = sorted(each.name for each in folder.iterdir())
        if files not in ([], [f"tmp-{disk.META}"]):
            raise UsageError(
                f"{folder} holds {files[0]} and no store; name another --out"
            )
        text = json.dumps(meta, indent=1) + "\n"
        disk.save_bytes(folder, disk.META, [text.encode()])
        disk.sync_folder(folder)
    found = disk.file_hash(path)
    if manifest.lines and manifest.lines[0]["meta"] != found:
        raise RunError(f"{path} was changed after it was written; start a new store")
    _check_same(folder, disk.read_meta(folder), meta)
    disk.mend_manifest(folder, manifest)
    if not manifest.lines:
        disk.append_line(folder, {"schema": disk.SCHEMA, "meta": found}, "")
        manifest = disk.read_manifest(folder)
    if damaged := damaged_shards(folder, manifest):
        raise RunError(
            f"{damaged[0].why}; cut {disk.MANIFEST} before the line of shard "
            f"{damaged[0].shard}, and --resume makes it and those after it again"
        )
    _clear(folder, len(manifest.shards))
    return manifest


def _check_same(folder: Path, had: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to continue a store as another one."""
    changed = [key for key in now if had.get(key) != now[key]]
    changed = [key for key in changed if key not in _MAY_DIFFER]
    if changed:
        said = [
            f"{key} was {_brief(had.get(key))}, now {_brief(now[key])}"
            for key in changed
        ]
        raise UsageError(
            f"{folder} holds another store: {'; '.join(said[:3])}; name another --out"
        )


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _clear(folder: Path, finished: int) -> None:
    """Delete what an interrupted process left: unfinished files, unlisted shards."""
    with disk.explained(folder):
        for path in folder.iterdir():
            found = disk.OURS.fullmatch(path.name)
            if found and (found["tmp"] or int(found["shard"] or -1) >= finished):
                path.unlink()


def _say(report: Callable[[int, int], None] | None, shards: Shards) -> None:
    if report is not None:
        report(shards.rows, shards.total)


def _features(
    backbone: Backbone,
    groups: list[np.ndarray],
    images: Iterator[Prepared],
    batch_size: int,
    put: Callable[[np.ndarray], jax.Array],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield features, labels and source rows of each group.

    A call of `features` returns before it is done: while the device works on a group,
    the one before it is written.
    """
    under_way: tuple[jax.Array, np.ndarray, np.ndarray] | None = None
    for ids, (batch, labels) in zip(groups, images, strict=True):
        x = backbone.features(put(_padded(batch, batch_size)))
        if x.shape != (batch_size, backbone.dim):
            raise RunError(
                f"the features of backbone {backbone.name} are {list(x.shape)}, not "
                f"[{batch_size}, {backbone.dim}]"
            )
        if under_way is not None:
            yield _fetched(*under_way)
        under_way = x, labels, ids
    if under_way is not None:
        yield _fetched(*under_way)


def _fetched(
    x: jax.Array, labels: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.asarray(x)[: len(ids)], labels, ids


def _groups(
    order: np.ndarray, done: int, shard_rows: int, batch_size: int
) -> Iterator[np.ndarray]:
    """Cut the order into batches that do not cross from one shard to the next."""
    for first in range(done, len(order), shard_rows):
        shard = order[first : first + shard_rows]
        for start in range(0, len(shard), batch_size):
            yield shard[start : start + batch_size]


def _padded(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Fill up a batch with empty images, so that one compiled program serves all."""
    missing = batch_size - len(images)
    return np.pad(images, [(0, missing)] + [(0, 0)] * (images.ndim - 1))
