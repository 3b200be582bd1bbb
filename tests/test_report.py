"""The page of a run: what is collected, what is refused, what stands in the file."""

import base64
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpareto import cli, report
from jaxpareto.errors import RunError, UsageError
from jaxpareto.report import live
from jaxpareto.report.gather import curves, repeat
from jaxpareto.train import configure, load
from jaxpareto.train.run import load_data


def call(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(copied):
    return copied  # pages are written beside what they show


@pytest.fixture(scope="module")
def gathered(run):
    return report.gather(run)


def in_page(path: Path) -> dict:
    """Read the numbers that a page holds."""
    (data,) = re.findall(r'id="data">(.*?)</script>', path.read_text())
    assert "<" not in data, "a name could end the script"
    return json.loads(data)


def test_a_page_holds_the_front_of_the_run(run, gathered):
    front = json.loads((run / "front.json").read_text())
    np.testing.assert_allclose(gathered["losses"], front["losses"], atol=1e-6)
    np.testing.assert_allclose(gathered["prefs"], front["preferences"], atol=1e-6)
    np.testing.assert_allclose(gathered["accuracies"], front["accuracies"], atol=1e-6)
    assert sum(gathered["free"]) == front["nondominated"]
    assert gathered["hypervolume"] == front["hypervolume"]
    assert json.loads(json.dumps(gathered)) is not None


def test_answers_are_those_of_the_networks(run, gathered):
    pillow = pytest.importorskip("PIL.Image", reason="extra `plot`")
    answers, front = gathered["answers"], load(run)
    test = load_data(front.config).test
    images = np.asarray(test.images[:12])
    for source, image in zip(answers["images"], images, strict=True):
        png = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        np.testing.assert_array_equal(np.asarray(pillow.open(io.BytesIO(png))), image)
    assert answers["labels"] == np.asarray(test.labels[:12]).tolist()
    found = np.frombuffer(base64.b64decode(answers["probabilities"]), np.uint8)
    found = found.reshape(25, 12, 2, 10) / 255
    for i in (0, 7, 24):
        want = jax.nn.softmax(front(gathered["prefs"][i], images))
        assert np.abs(found[i] - want).max() < 0.51 / 255


def test_many_preferences_keep_the_page_small(run):
    asked = report.gather(run, prefs=101, answers=12_000)
    assert len(asked["prefs"]) == 101
    assert len(asked["answers"]["images"]) == 5, "5 x 101 x 2 x 10 fit into 12,000"
    assert len(json.dumps(asked)) < 50_000
    front = json.loads((run / "front.json").read_text())
    assert len(front["losses"]) == 25, "the run's own front stays as it was"


def test_the_command_repeats_the_run():
    changed = configure(
        data="multi-mnist",
        conditioner="independent",
        epochs=3,
        optimizer="sgd",
        fresh_pairs=False,
        rule_options="penalty=4",
        rule="cosmos",
        learning_rate=1e-4,
    )
    name, *words = shlex.split(repeat(changed, "my data"))
    assert name == "jaxpareto" and "--no-fresh-pairs" in words
    asked = cli._parser().parse_args(words)
    assert configure(**cli.given_settings(asked)) == changed
    assert asked.data_dir == "my data"


def test_curves_are_thinned_by_means():
    lines = [
        {"epoch": 1 + s // 100, "step": s + 1, "losses": [float(s), 1.0]}
        for s in range(1000)
    ]
    lines[-1]["validation"] = {"hypervolume": 2.0, "best_accuracy": 0.5}
    found = curves(lines)
    assert len(found["epoch"]) == 143 and found["lines"] == 7
    assert found["losses"][0][:2] == [3.0, 10.0]
    assert found["epoch"][-1] == pytest.approx(9.975, abs=0.03)
    assert found["validation"] == {
        "epoch": [10],
        "hypervolume": [2.0],
        "best_accuracy": [0.5],
    }


def test_the_command_writes_one_file_that_asks_nothing_of_anybody(run, capsys):
    assert call("report", run) == 0
    page = run / "report.html"
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert page.stat().st_size < 300_000
    assert "default-src 'none'" in text and "{{" not in text
    assert not re.search(r'(src|href)="(?!#|data:)', text), "nothing is loaded"
    assert set(re.findall(r"https?://[^\"'\s]*", text)) == {
        "http://www.w3.org/2000/svg"
    }
    assert str(run.parent) not in text, "no path of this machine"
    first = page.read_bytes()
    assert call("report", run) == 0 and page.read_bytes() == first


def test_several_runs_share_a_page(run, tmp_path, capsys):
    other = tmp_path / "other <run>"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("report.html"))
    assert call("report", run, other) == 0
    page = run / "comparison.html"
    assert [each["name"] for each in in_page(page)["runs"]] == ["small", "other <run>"]
    assert "<title>small, other &lt;run>: Pareto front</title>" in page.read_text()


def test_a_run_without_its_checkpoint_still_has_a_page(run, tmp_path, capsys):
    for name in ("config.json", "front.json", "metrics.jsonl"):
        shutil.copy(run / name, tmp_path)
    assert call("report", tmp_path) == 0
    assert "no answers to show" in capsys.readouterr().out
    (only,) = in_page(tmp_path / "report.html")["runs"]
    assert only["answers"] is None and len(only["losses"]) == 25


@pytest.fixture(scope="module")
def three_tasks(tmp_path_factory):
    """A folder with the configuration of a run of three tasks, which has no front."""
    folder = tmp_path_factory.mktemp("runs") / "three"
    folder.mkdir()
    shape = {"image": [12, 12], "tasks": 3, "classes": 10}
    content = {"config": {"data": "multi-digits", "tasks": 3}, "shape": shape}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["{tmp}"], 2, "holds no run"),
        (["{three}"], 2, "evaluate it as it is with: jaxpareto eval"),
        (["{run}", "{three}"], 2, "runs of 2, 3 tasks cannot share a page"),
        (["{run}", "--prefs", "0"], 2, "1 preference or more; found --prefs 0"),
        (["{run}", "--out", "{three}"], 2, "is a folder; name a file"),
        (["{run}", "--out", "{three}/config.json"], 2, "exists and is no report"),
        (["{run}", "--live"], 1, "pip install 'jaxpareto[onnx]'"),
        ([], 2, "required: RUN"),
    ],
)
def test_bad_words_give_one_clear_line(
    run, three_tasks, tmp_path, monkeypatch, capsys, words, status, said
):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    monkeypatch.setattr(live, "archive", lambda: None)
    monkeypatch.setattr(report, "archive", lambda: None)
    words = [word.format(tmp=tmp_path, three=three_tasks, run=run) for word in words]
    before = (three_tasks / "config.json").read_bytes()
    if "--out" not in words and words:
        words += ["--out", str(tmp_path / "page.html")]
    assert call("report", *words) == status
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and said in captured.err
    assert captured.out == "" and list(tmp_path.iterdir()) == []
    assert (three_tasks / "config.json").read_bytes() == before


@pytest.mark.parametrize("text", ["{", "{}", '{"preferences": [], "losses": []}'])
def test_a_front_of_nothing_is_refused(run, tmp_path, text, capsys):
    shutil.copy(run / "config.json", tmp_path)
    (tmp_path / "front.json").write_text(text)
    assert call("report", tmp_path) == 1
    assert "evaluate the run again with: jaxpareto eval" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_another_file_is_replaced_only_by_force(gathered, tmp_path):
    page = tmp_path / "letter.html"
    page.write_text("mine")
    with pytest.raises(UsageError, match="add --force"):
        report.write_page([gathered], page)
    assert page.read_text() == "mine"
    report.write_page([gathered], page, force=True)
    report.write_page([gathered | {"name": "two"}], page)  # now it is a page of ours
    assert in_page(page)["runs"][0]["name"] == "two"
    with pytest.raises(UsageError, match="at least one run"):
        report.write_page([], page)


def test_the_runtime_is_fetched_once_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(live.shutil, "which", lambda name: None)
    with pytest.raises(RunError, match=r"onnxruntime-web-.*\.tgz .* not installed"):
        live.archive()
    monkeypatch.setattr(live.shutil, "which", lambda name: "/usr/bin/npm")

    def offline(words, **_):
        raise subprocess.CalledProcessError(1, words)

    monkeypatch.setattr(live.subprocess, "run", offline)
    with pytest.raises(RunError, match="is there a network"):
        live.archive()
    assert list((tmp_path / "jaxpareto").iterdir()) == []

    def wrong(words, cwd, **_):
        (Path(cwd) / live.ARCHIVE).write_bytes(b"something else")

    monkeypatch.setattr(live.subprocess, "run", wrong)
    with pytest.raises(RunError, match="is not the package that was pinned"):
        live.archive()
    assert list((tmp_path / "jaxpareto").iterdir()) == [], "it is not kept"


def test_the_wheel_has_what_the_page_is_made_of():
    from jaxpareto.report import page

    static = Path(page.__file__).parent / "static"
    used = {"page.html", *page.STYLES, *page.SCRIPTS}
    assert {path.name for path in static.iterdir()} == used
