"""How fast is a head fed from a store on disk, beside the same rows in memory?

    python benchmarks/store_read.py                      # 5 GB, minutes on 2 cores
    python benchmarks/store_read.py --gigabytes 0.5 --rounds 3

The store is a real one (shards, hashes, manifest) whose features are holes of sparse
files: reading them costs what a file in the cache of the system costs, and no room on
the disk. A pass is `x @ W` in float32 for every batch, W [d, c], in the order of
`Store.batches` on one side, and as slices of one float16 array in memory on the other.
Both take turns. The memory is the most that a process of its own, which only streams,
ever held.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.data.features import Rows, Store, disk, open_store

SHARD_ROWS = 16_384


def sparse_store(folder: Path, rows: int, dim: int, classes: int = 1000) -> None:
    """Make a store of zeros whose features take no room on the disk."""
    meta = {"schema": disk.SCHEMA, "rows": rows, "dim": dim, "classes": classes}
    meta |= {"class_names": None, "preprocess": "none"}
    meta |= {"shard_rows": SHARD_ROWS, "backbone": "none: holes of sparse files"}
    disk.save_bytes(folder, disk.META, [json.dumps(meta).encode()])
    digest = disk.file_hash(folder / disk.META)
    chain = disk.append_line(folder, {"schema": disk.SCHEMA, "meta": digest}, "")
    known: dict[int, str] = {}  # all full shards are the same bytes
    for shard, first in enumerate(range(0, rows, SHARD_ROWS)):
        count = min(SHARD_ROWS, rows - first)
        ids = np.arange(first, first + count)
        small = {"y": (ids % classes).astype(np.int32), "id": ids}
        small["stats"] = np.zeros((4, dim))
        path = folder / disk.shard_file("x", shard)
        shape, dtype = disk.shapes(count, dim)["x"]
        path.write_bytes(disk.npy_header(shape, dtype))
        os.truncate(path, disk.file_size(shape, dtype))
        hashes = {"x": known.setdefault(count, "") or disk.file_hash(path)}
        known[count] = hashes["x"]
        for part, array in small.items():
            name = disk.shard_file(part, shard)
            hashes[part] = disk.save_array(folder, name, array)
        line = {"shard": shard, "first_row": first, "rows": count, "sha256": hashes}
        chain = disk.append_line(folder, line, chain)


@jax.jit
def product(total, x, weights):
    """Add up the logits, so that nothing of the product can be left out."""
    return total + (x.astype(jnp.float32) @ weights).sum()


def consume(batches: Iterable[Rows], weights: jax.Array) -> tuple[float, float]:
    """Run one pass; return its seconds, and those of all cores together."""
    began = time.perf_counter(), time.process_time()
    total = jnp.float32(0)
    for batch in batches:
        total = product(total, batch.x, weights)
    jax.block_until_ready(total)
    return time.perf_counter() - began[0], time.process_time() - began[1]


def in_memory(rows: Rows, size: int) -> Iterator[Rows]:
    """Cut arrays into batches."""
    for start in range(0, len(rows.y), size):
        yield Rows(*(each[start : start + size] for each in rows))


def head(dim: int, classes: int) -> jax.Array:
    """Return the weights of a head."""
    return jax.random.normal(jax.random.key(0), (dim, classes))


def stream_only(folder: Path, classes: int, size: int) -> None:
    """Stream once, and print what this process held at most."""
    store = open_store(folder)
    consume(store.batches(size), head(store.dim, classes))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"a process that streams held {peak:.2f} GB at most", flush=True)


def compare(store: Store, classes: int, size: int, rounds: int) -> None:
    """Take turns, and print medians and the ratio."""
    weights = head(store.dim, classes)
    x = np.zeros((store.rows, store.dim), np.float16)
    x[:] = 1  # so that the pages are there
    memory = Rows(x, store.labels, store.ids)
    spent: dict[str, list[tuple[float, float]]] = {"memory": [], "store": []}
    for turn in range(rounds + 1):  # the first one warms up
        for name, batches in (
            ("memory", in_memory(memory, size)),
            ("store", store.batches(size, epoch=turn)),
        ):
            seconds = consume(batches, weights)
            if turn:
                spent[name].append(seconds)
    for name, each in spent.items():
        (seconds, cores), low = np.median(each, axis=0), np.min(each, axis=0)[0]
        rate = store.rows * store.dim * 2 / seconds / 1e9
        print(
            f"{classes:5d} classes, {name:6}: {seconds:6.2f} s a pass ({low:.2f} at "
            f"best, {cores:.2f} s of all cores), {rate:.2f} GB/s"
        )
    ratios = 100 * np.array(spent["memory"]) / np.array(spent["store"])
    middle, low, high = np.median(ratios, 0), np.min(ratios, 0), np.max(ratios, 0)
    print(
        f"{classes:5d} classes: the store gives {middle[0]:.0f} % of memory's speed "
        f"({low[0]:.0f} to {high[0]:.0f}); by the seconds of all cores, which other "
        f"programs disturb less, {middle[1]:.0f} % ({low[1]:.0f} to {high[1]:.0f})",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--classes", type=int, nargs="+", default=[1000, 10])
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stream:
        return stream_only(asked.stream, asked.classes[0], asked.batch_size)
    rows = int(asked.gigabytes * 1e9 / (2 * asked.dim))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        sparse_store(folder, rows, asked.dim)
        print(
            f"{rows:,} x {asked.dim} float16, {rows * asked.dim * 2 / 1e9:.2f} GB in "
            f"sparse files, made in {time.perf_counter() - began:.0f} s; batches of "
            f"{asked.batch_size}; {jax.devices()[0].device_kind}",
            flush=True,
        )
        words = ["--stream", name, "--classes", str(asked.classes[0])]
        words += ["--batch-size", str(asked.batch_size)]
        subprocess.run([sys.executable, __file__, *words], check=True)
        for classes in asked.classes:
            compare(open_store(folder), classes, asked.batch_size, asked.rounds)


if __name__ == "__main__":
    main()
