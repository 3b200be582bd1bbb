"""Many processes: real ones on this machine, which meet over its loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from jaxpareto import cli
from jaxpareto.train import configure, load, train_front
from jaxpareto.train.log import read_metrics

SMALL = {"train_pairs": 200, "test_pairs": 100, "epochs": 2, "checkpoint_every": 1}
SMALL |= {"prefs_per_step": 2, "eval_prefs": 3, "patience": 9}
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}


def words(**settings):
    flags = (("--" + name.replace("_", "-"), str(x)) for name, x in settings.items())
    return [word for pair in flags for word in pair]


@contextmanager
def two(folder, *more):
    """Start two processes of one run; whatever happens, none is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    call = [sys.executable, "-m", "jaxpareto.cli", "front", "--out", str(folder), *more]
    call += words(coordinator=where, processes=2)
    started = []
    try:
        for i in range(2):
            with open(folder.with_suffix(f".{i}.log"), "w") as log:
                mine = [*call, "--process-id", str(i)]
                started.append(subprocess.Popen(mine, stdout=log, stderr=log, env=ENV))
        yield started
    finally:
        for each in started:
            each.kill()
            each.wait()


def said(folder, i):
    return folder.with_suffix(f".{i}.log").read_text()


@pytest.mark.long
def test_two_processes_find_what_one_finds(tmp_path):
    """Same losses, one front.json, and a checkpoint that one process can read."""
    folder = tmp_path / "two"
    with two(folder, *words(**SMALL)) as started:
        for i, each in enumerate(started):
            assert each.wait(120) == 0, said(folder, i)[-2000:]
    front, alone = train_front(configure(**SMALL), tmp_path / "one", quiet=True)
    found = json.loads((folder / "front.json").read_text())
    np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-6)
    lines = [read_metrics(path / "metrics.jsonl") for path in (folder, front.folder)]
    assert len(lines[0]) == len(lines[1]), "only process 0 writes them"
    assert "hypervolume" in said(folder, 0) and "hypervolume" not in said(folder, 1)
    assert found["best_epoch"] == alone["best_epoch"]
    again = load(folder).evaluate()
    np.testing.assert_allclose(again["losses"], alone["losses"], rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_the_run_can_go_on(tmp_path, victim):
    folder = tmp_path / "run"
    endless = words(**SMALL | {"epochs": 100_000})
    with two(folder, "--quiet", *endless) as started:
        until = time.monotonic() + 120
        while not (folder / "checkpoints" / "2").exists():
            assert all(each.poll() is None for each in started), said(folder, 0)
            assert time.monotonic() < until
            time.sleep(0.05)
        started[victim].send_signal(signal.SIGKILL)
        assert started[1 - victim].wait(60) == 1
    last = said(folder, 1 - victim).splitlines()[-1]
    assert last.startswith("jaxpareto: error: ")
    assert "another process of the run has ended" in last and "--resume" in last
    assert load(folder).epoch >= 2


@pytest.mark.long
def test_process_0_says_that_the_others_did_not_come(tmp_path):
    where = "127.0.0.1:0"
    call = words(
        processes=2, process_id=0, coordinator=where, wait=1, out=tmp_path / "x"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "jaxpareto.cli", "front", *call],
        capture_output=True,
        text=True,
        env=ENV,
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert "process 0 of 2 could not meet the others" in ran.stderr


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        (
            {"processes": 2},
            2,
            "--process-id must be a whole number from 0 on; found None",
        ),
        (
            {"processes": "two"},
            2,
            "--processes must be a whole number from 1 on, or auto",
        ),
        ({"process_id": 0}, 2, "--process-id needs --processes"),
        ({"coordinator": "host:1"}, 2, "--coordinator needs --processes"),
        ({"processes": 2, "process_id": 2}, 2, "--process-id 2 of 2 processes"),
        ({"processes": 2, "process_id": 0}, 2, "--coordinator must be host:port of"),
        (
            {"processes": 2, "process_id": 0, "coordinator": "host"},
            2,
            "--coordinator must be host:port of process 0, found host",
        ),
        (
            {"processes": 2, "process_id": 1, "coordinator": "127.0.0.1:1", "wait": 1},
            1,
            "process 1 of 2 could not meet the others at 127.0.0.1:1 within 1 s",
        ),
    ],
)
def test_what_cannot_meet_is_one_line(tmp_path, capsys, asked, status, message):
    call = ["front", *words(**asked), "--out", str(tmp_path / "run")]
    assert cli.main(call) == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert not (tmp_path / "run").exists()


def test_the_environment_says_what_the_call_does_not(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("JAXPARETO_PROCESSES", "2")
    monkeypatch.setenv("JAXPARETO_PROCESS_ID", "7")
    assert cli.main(["front", "--out", str(tmp_path / "run")]) == 2
    assert "--process-id 7 of 2 processes: they are 0 to 1" in capsys.readouterr().err
