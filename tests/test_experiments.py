"""Every experiment at its smallest, and the notebooks under `examples/`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(*words, cwd):
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_multimnist_smoke(tmp_path):
    script = ROOT / "experiments" / "multimnist.py"
    small = ("--epochs", 1, "--train-pairs", 1000, "--test-pairs", 200)
    out = python(
        script, "--preset", "smoke", "--out", tmp_path / "x", *small, cwd=tmp_path
    )
    assert out.count("\n| 0.") == 9 and "ratio" in out
    result = json.loads((tmp_path / "x" / "result.json").read_text())
    assert len(result["accuracy"]["hypernetwork"]["test"]) == 9
    assert (tmp_path / "x" / "front.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "script", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem
)
def test_notebook_runs(script, tmp_path):
    assert "MPLBACKEND" in os.environ
    assert python(script, cwd=tmp_path)
