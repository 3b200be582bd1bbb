"""Every benchmark at its smallest: that it runs, not how fast."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
ONCE = "--rounds 1 --steps 1"
SMALL = {
    "conditioner_step": f"{ONCE} --prefs-per-step 2",
    "convolution": f"{ONCE} --layers lenet0 --kernels 1 --images 4",
    "epo_step": ONCE,
    "evaluate": "--rounds 1 --images 100",
    "front_step": ONCE,
    "grid": "--rounds 1 --rows 60",
    "growth": "--rounds 1 --axes prefs --most 2",
    "head_memory": "--gigabytes 0.02 --devices 1",
    "head_sweep": "--rounds 1 --rows 64 --features 8 --classes 4",
    "microbatch": f"{ONCE} --networks mlp",
    "resnet_step": "--steps 1 --size 1M --prefs-per-step 1 --batch-size 2",
    "rule_step": f"{ONCE} --rules stch",
    "second_start": "--rounds 1",
    "store_read": "--rounds 1 --gigabytes 0.02 --dim 16 --classes 4",
}


def test_every_benchmark_is_listed():
    assert set(SMALL) == {file.stem for file in FOLDER.glob("[a-z]*.py")}


@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs(name, tmp_path):
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *SMALL[name].split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
