"""How much memory does a sweep of heads need, beside the store that it reads?

    python benchmarks/head_memory.py                    # 2 GB, a few minutes on 2 cores
    python benchmarks/head_memory.py --gigabytes 0.5 --devices 1 2

The store is a real one whose features are holes of sparse files (`store_read.py` makes
it). Each line is a process of its own that trains two heads for an epoch and judges
them: rows read in every epoch (`--stream`) or kept on the device. The memory is the
most that it held, less what it held before it opened the store.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from store_read import sparse_store

DIM, CLASSES = 2048, 10
KINDS = {"stream": True, "resident": False}


def peak() -> float:
    """Return the most memory that this process held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def study(folder: Path, kind: str) -> None:
    """Train and judge the heads in this process, and print what it held."""
    import jax

    from jaxpareto.train import heads
    from jaxpareto.train import study as of_heads
    from jaxpareto.train.head_config import HeadConfig

    words = None if jax.device_count() > 1 else "1"
    config = HeadConfig(
        str(folder / "train"),
        str(folder / "test"),
        decays="1e-4,1e-2",
        epochs=1,
        batch_size=1024,
        stream=KINDS[kind],
    )
    devices = of_heads.choose_devices(config, words, quiet=True)
    before, began = peak(), time.perf_counter()
    frozen, feed = of_heads.load(config, devices)
    with tempfile.TemporaryDirectory() as out:
        heads.train(config, feed, frozen, Path(out), rate=1e-3, quiet=True)
    print(
        f"{jax.device_count()} devices, {kind:8}: {peak() - before:5.2f} GB, "
        f"{time.perf_counter() - began:4.0f} s",
        flush=True,
    )


def main() -> None:
    """Make the stores, and measure one process after another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", help="ignored: memory does not vary")
    parser.add_argument("--steps", help="ignored: each is an epoch")
    asked = parser.parse_args()
    if asked.here:
        return study(asked.here, asked.kind)
    rows = int(asked.gigabytes * 1e9 / (2 * DIM))
    with tempfile.TemporaryDirectory() as name:
        for part, count in (("train", rows), ("test", 2048)):
            (Path(name) / part).mkdir()
            sparse_store(Path(name) / part, count, DIM, CLASSES)
        print(f"{rows:,} x {DIM} float16, {rows * DIM * 2 / 1e9:.2f} GB", flush=True)
        for count in asked.devices:
            flag = f" --xla_force_host_platform_device_count={count}"
            env = os.environ | {"XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + flag}
            for kind in KINDS:
                call = [sys.executable, __file__, "--here", name, "--kind", kind]
                subprocess.run(call, env=env, check=True)


if __name__ == "__main__":
    main()
