"""The command: its words, its exit statuses, and a run killed and resumed."""

import dataclasses
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpareto import cli
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.prefs import SAMPLERS
from jaxpareto.rules import RULES
from jaxpareto.train import load
from jaxpareto.train.config import Config
from jaxpareto.train.presets import PRESETS

SMALL = ["--train-pairs", "400", "--test-pairs", "100", "--batch-size", "40"]


def call(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert call("front", *SMALL, "--epochs", 2, "--out", folder, "--quiet") == 0
    return folder


def test_front_leaves_a_run_and_a_picture(run):
    names = {path.name for path in run.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "checkpoints",
        "front.json",
        "front.png",
    } <= names
    assert (run / "front.png").read_bytes().startswith(b"\x89PNG")


def test_list_says_what_each_name_does(capsys):
    with pytest.raises(SystemExit) as left:
        call("front", "--list")
    assert left.value.code == 0
    sections = capsys.readouterr().out.split("\n\n")
    listed = {
        text.split()[0]: {line.split()[0]: line for line in text.splitlines()[1:]}
        for text in sections
    }
    assert list(listed["--preset"]) == list(PRESETS)
    assert list(listed["--conditioner"]) == list(CONDITIONERS)
    assert list(listed["--rule"]) == list(RULES)
    assert list(listed["--sampler"]) == list(SAMPLERS)
    for line in (*listed["--rule"].values(), *listed["--sampler"].values()):
        assert line.endswith(")"), "the source is named last"
    assert "width=100" in listed["--conditioner-options"]["heads"]
    assert "penalty=2.0" in listed["--rule-options"]["cosmos"]


@pytest.mark.parametrize("name", PRESETS)
def test_list_spells_the_settings_of_a_preset(name, capsys):
    with pytest.raises(SystemExit) as left:
        call("front", "--list", name)
    assert left.value.code == 0
    about, settings = capsys.readouterr().out.split("\n\n")
    assert PRESETS[name].paper in about and PRESETS[name].departs in about
    words = shlex.split(" ".join(settings.splitlines()[1:]))
    given = cli.given_settings(cli._parser().parse_args(["front", *words]))
    assert given == PRESETS[name].settings


def test_help_says_every_default(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1000")  # a line for each option
    with pytest.raises(SystemExit):
        call("front", "--help")
    settings = capsys.readouterr().out.split("settings of the run:")[1]
    lines = re.sub(r"\n {10,}", " ", settings).splitlines()
    helps = {line.split()[0].strip(","): line for line in lines if line}
    for each in dataclasses.fields(Config):
        line = helps["--" + each.name.replace("_", "-")]
        said = re.findall(r"\(default: ([^;)]*)[;)]", line)
        if isinstance(each.default, bool):
            assert said == ["yes" if each.default else "no"]
        elif each.default != "":
            assert [type(each.default)(word) for word in said] == [each.default]
    assert "(default: lenet; mlp for multi-digits)" in settings
    assert "(default: 0.005; 0.003 for independent)" in settings


def test_no_word_at_all_shows_the_commands(capsys):
    assert call() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for name in ("front", "eval", "export", "report", "head", "extract", "search"):
        assert f"\n    {name} " in captured.err


def test_a_front_beyond_the_reference_is_remarked_upon(tmp_path, capsys):
    words = ["--learning-rate", 1e-6, "--epochs", 2, "--quiet"]
    assert call("front", *SMALL, *words, "--out", tmp_path / "x") == 0
    out = capsys.readouterr().out
    assert "hypervolume 0.0000" in out
    assert out.count("no network is better than the reference (2, 2)") == 1
    assert "lower --learning-rate" in out


@pytest.mark.long
def test_independent_networks_say_which_of_them_answers(tmp_path, capsys):
    pytest.importorskip("safetensors", reason="extra `export`")
    from safetensors import safe_open

    run, file = tmp_path / "x", tmp_path / "a.safetensors"
    words = ["--conditioner", "independent", "--prefs-per-step", 3, "--quiet"]
    assert call("front", *SMALL, *words, "--epochs", 1, "--out", run) == 0
    capsys.readouterr()
    front = load(run)
    assert call("export", run, "--pref", "0.33,0.67", "--out", file) == 0
    said = "none for this preference: this is the nearest, trained for 0.25,0.75"
    assert said in capsys.readouterr().out
    with safe_open(file, "numpy") as opened:
        assert opened.metadata()["trained_for"] == "0.25,0.75"
        found = opened.get_tensor("hidden0/kernel")
    want = front.params([0.25, 0.75])["hidden0"]["kernel"]
    np.testing.assert_array_equal(found, want)
    assert call("eval", run, "--pref", "0.9,0.1") == 0
    assert "trained for 0.75,0.25" in capsys.readouterr().out
    assert call("eval", run, "--prefs", 5) == 0
    assert "3 of them, each at its own preference" in capsys.readouterr().out
    assert not (run / "front-5.json").exists()
    words = ["extract", "multi-digits/test", "--backbone", run, "--out", tmp_path / "s"]
    assert call(*words, "--pref", "0.9,0.1", "--workers", 0, "--quiet") == 0
    out = capsys.readouterr().out
    assert "this is the nearest, trained for 0.75,0.25" in out
    assert " at 0.75,0.25" in out, "the name of the features says it too"
    assert call("export", run, "--pref", "0.5,0.5", "--out", file, "--force") == 0
    assert "nearest" not in capsys.readouterr().out
    with safe_open(file, "numpy") as opened:
        assert "trained_for" not in opened.metadata()


def test_a_full_disk_is_said_in_a_line(tmp_path, capsys):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def parser():
        made = cli.script_parser("x", None)
        made.set_defaults(run=full)
        return made

    assert cli.guarded(parser, ["--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert f"cannot write to {tmp_path} (No space left on device); make room" in err


def test_a_run_that_cannot_be_written_to_is_said_in_a_line(tmp_path, capsys):
    assert call("front", *SMALL, "--epochs", 1, "--out", tmp_path, "--quiet") == 0
    written = tmp_path / "front.json"
    written.unlink()
    written.mkdir()
    capsys.readouterr()
    assert call("eval", tmp_path) == 1
    err = capsys.readouterr().err
    assert f"cannot write to {written}" in err
    assert "work on a copy of the folder" in err and err.count("\n") == 1


def test_a_preset_is_settings_that_the_call_may_change(tmp_path):
    words = ["--preset", "cosmos", "--epochs", 1, "--rule", "linear"]
    words += ["--rule-options", "", "--out", tmp_path / "x", "--quiet"]
    assert call("front", *SMALL, *words) == 0
    config = json.loads((tmp_path / "x" / "config.json").read_text())["config"]
    assert (config["conditioner"], config["rule"]) == ("input", "linear")
    assert (config["alpha"], config["schedule"]) == (1.2, "step")
    # A preset counts as typed: it cannot slip into another run.
    again = ["--preset", "phn-ls", "--resume", "--out", tmp_path / "x"]
    assert call("front", *again) == 2
    assert json.loads((tmp_path / "x" / "config.json").read_text())["config"] == config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "phnls"], "did you mean phn-ls"),
        (["--conditioner-options", "widht=3"], "did you mean width"),
        (["--rule-options", "mu=3"], "unknown option of rule linear 'mu'"),
        (["--conditioner", "static"], "this network has none"),
        (["--penalty", "1"], "--conditioner heads has no penalty of its own"),
        (["--base-until", "0.5"], "--conditioner heads has no base network"),
        (["--average", "1"], "--average must be at least 0 and below 1"),
    ],
)
def test_options_that_do_not_fit_leave_no_run_behind(words, message, tmp_path, capsys):
    assert call("front", *SMALL, *words, "--out", tmp_path / "x") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_sampler_that_cannot_draw_so_many_leaves_no_run_behind(tmp_path, capsys):
    words = ["--sampler", "annealed", "--tasks", 3, "--prefs-per-step", 5]
    words += ["--no-split-batch", "--out", tmp_path / "x"]
    assert call("front", *SMALL, *words) == 2
    assert "3 or 6; found 5" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("rule", ["epo", "hypervolume"])
def test_rules_that_need_more_than_losses(rule, tmp_path, capsys):
    words = ["--rule", rule, "--epochs", 1, "--out", tmp_path / "x", "--quiet"]
    assert call("front", *SMALL, *words) == 0
    assert f"heads x {rule}" in capsys.readouterr().out
    first = json.loads((tmp_path / "x" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["solved"] == 1.0 and len(first["weights"]) == 2


def test_eval_prints_a_table_and_keeps_the_training_time(run, capsys):
    before = json.loads((run / "front.json").read_text())
    assert call("eval", run, "--prefs", 25) == 0
    out = capsys.readouterr().out
    assert "hypervolume" in out and f"{run / 'front.json'} " in out
    assert str(run / "front.png") in out and out.count("%") == 22
    found = json.loads((run / "front.json").read_text())
    assert found["losses"] == before["losses"]
    assert found["seconds_training"] == pytest.approx(
        before["seconds_training"], abs=0.01
    )


@pytest.mark.parametrize(
    ("words", "name", "count"),
    [
        (["--prefs", 5], "front-5", 5),
        (["--split", "validation"], "front-validation", 25),
        (["--split", "validation", "--prefs", 5], "front-validation-5", 5),
    ],
)
def test_eval_leaves_the_front_of_the_run_as_it_is(run, words, name, count, capsys):
    own = {path: path.read_bytes() for path in run.glob("front.*")}
    assert len(own) == 3
    assert call("eval", run, *words) == 0
    out = capsys.readouterr().out
    assert str(run / f"{name}.json") in out and str(run / f"{name}.png") in out
    found = json.loads((run / f"{name}.json").read_text())
    assert len(found["preferences"]) == count
    assert (run / f"{name}.png").exists() and (run / f"{name}.svg").exists()
    assert {path: path.read_bytes() for path in run.glob("front.*")} == own


def test_eval_of_one_preference_prints_its_row_alone(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    assert call("eval", run, "--pref", "0.5,0.5") == 0
    head, row = capsys.readouterr().out.splitlines()
    at = json.loads((run / "front.json").read_text())
    middle = np.flatnonzero(np.array(at["preferences"])[:, 0] == 0.5)[0]
    assert head.split()[:2] == ["pref", "1"]
    assert row.split()[:2] == ["0.500", "0.500"]
    want = [f"{loss:.4f}" for loss in at["losses"][middle]]
    assert row.split()[2:4] == want
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


BAD = [
    (["front", "--rule", "liner"], 2, "unknown rule 'liner'; did you mean linear?"),
    (["front", "--network", "lenett"], 2, "did you mean lenet"),
    (["front", "--data", "mnist"], 2, "did you mean multi-mnist"),
    (["front", "--epochs", "x"], 2, "invalid int value: 'x'"),
    (["front", "--epochs", "0"], 2, "--epochs must be at least 1"),
    (["front", "--rul", "linear"], 2, "unknown word '--rul'; did you mean --rule"),
    (
        ["front", "--prefs-per-step", "7"],
        2,
        "7 preferences cannot share a batch of 64",
    ),
    (
        ["front", "--batch-size", "999999", "--prefs-per-step", "1"],
        2,
        "batch size 999999",
    ),
    (["front", "--resume"], 2, "--resume needs --out"),
    (["fron"], 2, "invalid choice: 'fron'"),
    (["front", "--list", "phnls"], 2, "unknown preset 'phnls'; did you mean phn-ls"),
    (["front", "--out", "/proc/x/y"], 1, "cannot write to /proc/x"),
    (["head", "digits", "--out", "/proc/x"], 1, "cannot write to /proc/x"),
    (["report", "{runs}"], 2, "has runs inside: {run}; name one"),
    (["eval", "{runs}"], 2, "has runs inside: {run}; name one"),
    (["eval", "{run}", "--prefs", "3", "--pref", "0.5,0.5"], 2, "give one of them"),
    (["eval", "{run}", "--pref", "0.5,0.6"], 2, "sums to 1.1"),
    (["eval", "{tmp}/none"], 2, "holds no run"),
    (["eval", "{run}", "--prefs", "0"], 2, "0"),
    (["eval", "{run}", "--split", "train"], 2, "unknown split 'train'"),
    (
        ["export", "{run}", "--pref", "0.3,0.8", "--out", "{tmp}/a.safetensors"],
        2,
        "1.1",
    ),
    (["export", "{run}", "--pref", "1", "--out", "{tmp}/a.safetensors"], 2, "0.5,0.5"),
    (["export", "{run}", "--pref", "a,b", "--out", "{tmp}/a.safetensors"], 2, "'a,b'"),
    (
        ["export", "{run}", "--pref", "0.5,0.5", "--out", "{tmp}/a.txt"],
        2,
        ".safetensors",
    ),
    (["front", "--out", "{run}"], 2, "holds another run"),
    (["front", "--out", "{run}", "--resume", "--seed", "4"], 2, "--seed was 0, now 4"),
    (["front", "--data", "multi-mnist", "--data-dir", "{tmp}"], 1, "train-images-idx3"),
]


@pytest.mark.parametrize(("words", "status", "message"), BAD)
def test_bad_words_give_one_clear_line(
    run, tmp_path, monkeypatch, capsys, words, status, message
):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*"))
    words = [word.format(tmp=tmp_path, run=run, runs=run.parent) for word in words]
    assert call(*words) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and message.format(run=run) in captured.err
    assert list(tmp_path.iterdir()) == []
    assert sorted(path.stat().st_mtime_ns for path in run.rglob("*")) == before


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="unknown rule"):
        call("front", "--rule", "liner", "--debug")


def test_a_missing_extra_is_named(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "safetensors.flax", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    words = ("export", run, "--pref", "0.5,0.5", "--out", tmp_path / "a.safetensors")
    assert call(*words) == 1
    assert "pip install 'jaxpareto[export]'" in capsys.readouterr().err


def test_tensorboard_scalars_are_written(tmp_path):
    pytest.importorskip("tensorboardX", reason="extra `tensorboard`")
    folder = tmp_path / "run"
    # As many epochs as `run`, so that its compiled programs serve here too.
    words = ("front", *SMALL, "--epochs", 2, "--out", folder, "--quiet")
    assert call(*words, "--tensorboard") == 0
    events = list((folder / "tensorboard").iterdir())
    assert len(events) == 1 and events[0].stat().st_size > 100


EARLY = "--conditioner independent --prefs-per-step 2 --learning-rate 0.01 --warmup 0"
EARLY += " --schedule constant --no-fresh-pairs --train-pairs 3000 --batch-size 100"
EARLY += " --epochs 60 --patience 2 --min-delta 0.01"


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(["--epochs", "12"], id="all epochs"),
        pytest.param(EARLY.split(), id="early stopping", marks=pytest.mark.long),
    ],
)
def test_killed_and_resumed_ends_in_the_same_bits(tmp_path, more):
    """`kill -9` at three moments: before, between and after checkpoints."""
    words = ["front", *SMALL, "--checkpoint-every", "2", *more]

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    # Only what is to be killed needs a process of its own.
    assert call(*words, "--out", whole, "--quiet") == 0
    one = load(whole)
    assert one.finished and one.stopped == ("--patience" in more)

    def epochs(folder: Path) -> int:
        path = folder / "metrics.jsonl"
        return path.read_text().count("\n") if path.exists() else -1

    resume = [*words, "--out", str(cut), "--resume"]
    # What the first process compiled, however small, the others find.
    environ = os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    for moment in (-1, one.epoch // 4, one.epoch - 4):
        process = subprocess.Popen(
            [sys.executable, "-m", "jaxpareto.cli", *resume],
            env=environ,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        while epochs(cut) <= moment and process.poll() is None:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it must not end before it is killed"
    assert call(*resume, "--quiet") == 0
    two = load(cut)
    assert (two.epoch, two.best_epoch) == (one.epoch, one.best_epoch)
    jax.tree.map(np.testing.assert_array_equal, one.phi, two.phi)
    results = [json.loads((f / "front.json").read_text()) for f in (whole, cut)]
    assert results[0]["losses"] == results[1]["losses"]
    lines = [(f / "metrics.jsonl").read_text().splitlines() for f in (whole, cut)]
    objectives = [[json.loads(line)["objective"] for line in each] for each in lines]
    assert objectives[0] == objectives[1]
