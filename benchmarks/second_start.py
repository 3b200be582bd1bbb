"""How long from the call of `jaxpareto front` to its first steps, the second time?

    python benchmarks/second_start.py          # a minute or two

Two calls of the same run in processes of their own, with an empty cache folder before
the first one. Measured until `metrics.jsonl` has its first line: Python, imports,
reading and composing the data, compiling or finding what was compiled, and the steps of
a first piece.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = {
    "the default, an MLP": ["--data", "multi-digits"],
}
if "JAXPARETO_DATA" in os.environ:
    RUNS["a LeNet on 120,000 pairs"] = ["--data", "multi-mnist", "--network", "lenet"]


def first_line(words: list[str], folder: Path, cache: Path) -> float:
    """Start a run, stop it after its first line; return the seconds between."""
    command = [sys.executable, "-m", "jaxpareto.cli", "front", *words]
    command += ["--out", str(folder)]
    environ = os.environ | {"XDG_CACHE_HOME": str(cache)}
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        lines = folder / "metrics.jsonl"
        while not (lines.exists() and lines.stat().st_size):
            if process.poll() is not None:
                raise SystemExit(process.stderr and process.stderr.read().decode())
            time.sleep(0.01)
        spent = time.perf_counter() - began
        process.kill()
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print("| run | first start, s | second start, s |\n| --- | --- | --- |")
    for name, words in RUNS.items():
        spent = []
        for _ in range(asked.rounds):
            with tempfile.TemporaryDirectory() as place:
                at = Path(place)
                spent.append(
                    [first_line(words, at / str(i), at / "cache") for i in range(2)]
                )
        cells = [
            f"{sorted(each)[len(each) // 2]:.1f} ({min(each):.1f}-{max(each):.1f})"
            for each in zip(*spent, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
