"""Every experiment at its smallest, and the notebooks under `examples/`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import toy_fronts
from jaxpareto import cli

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


def test_toy_fronts_smoke_and_what_it_refuses(tmp_path, capsys):
    script = ROOT / "experiments" / "toy_fronts.py"
    few = ("--rules", "epo", "--problems", "quadratic", "--steps", 40)
    call = ("--preset", "smoke", "--out", tmp_path / "x", *few)
    out = python(script, *call, cwd=tmp_path)
    assert "| epo | 0." in out
    result = json.loads((tmp_path / "x" / "toy.json").read_text())
    assert 0 < result["rules"]["epo"]["problems"]["quadratic"]["gap"] < 0.1
    assert (tmp_path / "x" / "toy.png").stat().st_size > 5_000
    written = (tmp_path / "x" / "toy.json").stat().st_mtime_ns

    def again(*words):
        """Call it in this process: a new one takes seconds to import and compile."""
        status = cli.guarded(toy_fronts._parser, [str(word) for word in words])
        return status, *capsys.readouterr()

    # Done already: nothing is trained.
    assert again(*call) == (0, out, "")
    assert (tmp_path / "x" / "toy.json").stat().st_mtime_ns == written
    status, _, other = again(*call[:-1], 41)
    assert status == 2 and other.count("\n") == 1
    assert "holds a run with" in other and "name a new --out" in other
    status, _, other = again("--out", tmp_path / "y", "--rules", "ebo")
    assert status == 2 and other.count("\n") == 1 and "did you mean epo" in other


@pytest.mark.parametrize(
    "script", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem
)
def test_notebook_runs(script, tmp_path):
    assert "MPLBACKEND" in os.environ
    assert python(script, cwd=tmp_path)
