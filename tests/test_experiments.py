"""Every experiment at its smallest, and the notebooks under `examples/`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import (
    class_decay,
    classics,
    digits,
    leaderboard,
    logistic_head,
    multimnist,
    task_hypernets,
    toy_fronts,
)
from jaxpareto import cli
from jaxpareto.train import load

ROOT = Path(__file__).parent.parent


def python(*words, cwd):
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.long
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


@pytest.mark.long
def test_multimnist_grid_leaves_out_what_the_call_says(tmp_path, capsys):
    words = ["--preset", "grid", "--data", "multi-digits", "--network", "mlp"]
    words += ["--epochs", "3", "--patience", "1", "--checkpoint-every", "1"]
    words += ["--train-pairs", "600", "--test-pairs", "50", "--batch-size", "50"]
    call = [*words, "--out", str(tmp_path / "x")]
    assert cli.guarded(multimnist._parser, call) == 0
    out = capsys.readouterr().out
    assert out.count("| mlp |") == 2 and "| rmsprop | 3 |" in out
    rows = json.loads((tmp_path / "x" / "grid.json").read_text())
    for row in rows:
        run = tmp_path / "x" / row["optimizer"]
        assert json.loads((run / "config.json").read_text())["config"]["patience"] == 1
        assert row["best_epoch"] == load(run).best_epoch
    assert rows[0]["validation"] >= rows[1]["validation"] > 0.05
    assert {path.name for path in (tmp_path / "x").iterdir()} >= {"adam", "rmsprop"}


@pytest.mark.long
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


@pytest.mark.long
def test_leaderboard_smoke_and_what_it_refuses(tmp_path, capsys):
    """One preset beside the single-task networks; called again; called wrongly."""
    few = "--epochs 1 --train-pairs 400 --test-pairs 60 --seeds 2 --presets pamal"
    call = ["--size", "smoke", "--out", str(tmp_path / "x"), *few.split()]

    def board(*words):
        status = cli.guarded(leaderboard._parser, [*call, *words])
        return status, *capsys.readouterr()

    status, out, _ = board()
    assert status == 0 and "| pamal | " in out and "| single-task | " in out
    rows = json.loads((tmp_path / "x" / "leaderboard.json").read_text())
    assert {row["preset"] for row in rows} == {"pamal", "single-task"}
    (row,) = [row for row in rows if row["preset"] == "pamal"]
    assert row["of"] == 25 and row["times_target"] == 2.0 and row["broken"] == 0
    found = tmp_path / "x" / "pamal" / "result.json"
    fronts = json.loads(found.read_text())["fronts"]
    assert len(fronts) == 2 and fronts[0]["losses"] != fronts[1]["losses"]
    mean = sum(front["hypervolume"] for front in fronts) / 2
    assert row["hypervolume"] == pytest.approx(mean)
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.png"):
        assert (tmp_path / "x" / name).stat().st_size > 100
    # Done already: nothing is trained.
    written = found.stat().st_mtime_ns
    assert board()[0] == 0 and found.stat().st_mtime_ns == written
    for words, message in (
        (["--batch-size", "40"], "was found with another batch_size"),
        (["--presets", "pamel"], "unknown preset 'pamel'; did you mean pamal"),
        (["--seed", "3"], "a leaderboard has seeds 0, 1"),
        (["--warmup", "3"], "--warmup: --size smoke chooses it for all"),
        (["--seeds", "0"], "--seeds must be at least 1, found 0"),
        (["--patience", "2"], "--patience: the seeds of a leaderboard train together"),
        (["--size", "huge"], "unknown size 'huge'"),
    ):
        status, _, other = board(*words)
        assert status == 2 and message in other
    found.write_text("{")
    status, _, other = board()
    assert status == 1 and "is damaged" in other


@pytest.mark.long
def test_class_decay_smoke_and_what_it_refuses(tmp_path, capsys):
    """One split, tuned for the mean; called again; called wrongly."""
    out = tmp_path / "x"
    call = ["--size", "smoke", "--out", str(out), "--splits", "1", "--aims", "mean"]

    def compare(*words):
        status = cli.guarded(class_decay._parser, [*call, *words])
        return status, *capsys.readouterr()

    status, first, said = compare()
    assert status == 0 and "split 1 of 1" in said
    for method in class_decay.METHODS:
        assert f"| {method} | 0." in first
    (found,) = json.loads((out / "result.json").read_text())["splits"]
    assert found["hypergradient"] <= 1e-3 and max(found["path"]) <= 1e-2
    tuned = found["aims"]["mean"]
    assert tuned["balance"] <= 1e-6 and 0 <= tuned["gap"] <= 1e-8
    assert len(set(tuned["decays"])) == 10
    for name in ("class_decay.csv", "class_decay.md", "class_decay.png"):
        assert (out / name).stat().st_size > 500
    # Done already: nothing is solved.
    written = (out / "result.json").stat().st_mtime_ns
    assert compare() == (0, first, "")
    assert (out / "result.json").stat().st_mtime_ns == written
    for words, message in (
        (["--aims", "worst"], "was made with another aims; name a new --out"),
        (["--aims", "best"], "unknown aim 'best'"),
        (["--splits", "0"], "--splits must be at least 1, found 0"),
        (["--out", str(tmp_path)], "holds something else"),
    ):
        status, _, other = compare(*words)
        assert status == 2 and other.count("\n") == 1 and message in other
    (out / "result.json").write_text("{")
    status, _, other = compare()
    assert status == 1 and "is damaged" in other


@pytest.mark.long
def test_logistic_head_smoke(tmp_path, capsys):
    """The study both ways; called again, nothing is trained."""
    call = ["--size", "smoke", "--out", str(tmp_path)]
    assert cli.guarded(logistic_head._parser, call) == 0
    out = capsys.readouterr().out
    assert "sound:" in out and "faithful:" in out
    both = json.loads((tmp_path / "compared.json").read_text())
    assert both["faithful"]["chosen"]["by"] == "all of them"
    assert both["sound"]["chosen"]["by"] == "half of the test rows"
    assert sum(both["sound"]["choices_test_exact"]) == 10
    for name in both:
        assert (tmp_path / name / "figures" / "fig-4.1c.png").stat().st_size > 5_000
    assert cli.guarded(logistic_head._parser, [*call, "--epochs", "4"]) == 2
    assert "--epochs was 3, now 4" in capsys.readouterr().err


@pytest.mark.long
def test_classics_smoke_and_what_it_refuses(tmp_path, capsys, monkeypatch):
    """A grid of the first report; called again, it reads its table back."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    call = ["--size", "smoke", "--out", str(tmp_path / "x"), "--parts"]

    def run(*words):
        status = cli.guarded(classics._parser, [*call, *words])
        return status, *capsys.readouterr()

    status, out, _ = run("early")
    assert status == 0 and "4 networks: 4 finished" in out
    folder = tmp_path / "x" / "early"
    assert len((folder / "curves.csv").read_text().splitlines()) == 1 + 4 * 2
    for name in ("width", "learning-rate", "correlations", "parallel"):
        assert (folder / f"{name}.png").stat().st_size > 5_000
    table = (folder / "trials.csv").read_text()
    assert run("early")[1] == out and (folder / "trials.csv").read_text() == table
    status, _, error = run("earli")
    assert status == 2 and "did you mean early" in error


@pytest.mark.long
def test_digits_smoke_and_what_it_refuses(tmp_path, capsys, monkeypatch):
    """The last figure of classifiers, and one of autoencoders; then nothing is left."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setitem(digits.SIZES, "smoke", digits.Size(2, 2, 2, 2))
    call = ["--size", "smoke", "--out", str(tmp_path), "--parts"]
    parts = "3.3-layers,3.10-base"
    assert cli.guarded(digits._parser, [*call, parts]) == 0
    out = capsys.readouterr().out
    assert "| 64-10 | " in out and "| 64-200-50-200-64 | " in out
    result = json.loads((tmp_path / "result-smoke.json").read_text())
    assert result["3.3-layers"]["64-10"]["test_accuracy"][0] > 0.2
    assert result["3.10-base"]["64-200-50-200-64"]["parameters"] == 46_114
    for name in ("3.3-layers", "3.10-base", "3.10-base-images"):
        assert (tmp_path / f"{name}.png").stat().st_size > 2_000
    assert cli.guarded(digits._parser, [*call, parts]) == 0
    assert capsys.readouterr().out == out
    assert cli.guarded(digits._parser, [*call, "3.15"]) == 2


@pytest.mark.long
def test_kinds_of_autoencoders_are_compared_by_latent_size(tmp_path):
    kinds, size = ("dense", "dense, ReLU"), digits.Size(1, 8, 2, 1)
    rows = digits.by_latent_size(
        "x", kinds, digits.load_digits(), size, tmp_path, warp=0.03
    )
    assert list(rows) == [f"{kind} {d}" for d in digits.LATENT for kind in kinds]
    assert rows["dense, ReLU 10"]["parameters"] == rows["dense 10"]["parameters"]
    assert all(0.01 < row["test_error"][0] < 0.1 for row in rows.values())
    assert {path.name for path in tmp_path.iterdir()} >= {"x.png", "x-images.png"}


@pytest.mark.long
def test_digits_cluster_in_the_latent_space(tmp_path):
    size = digits.Size(1, 25, 1, 2)
    rows = digits.clusters("clusters", digits.load_digits(), size, tmp_path)
    assert 0.4 < rows["k-means, latent 10"]["adjusted_rand"][0] <= 1.0
    assert (tmp_path / "clusters-map.png").stat().st_size > 10_000


@pytest.mark.long
def test_task_hypernets_smoke_and_what_it_refuses(tmp_path, capsys, monkeypatch):
    """Two contenders; stopped between two new tasks, and again; called wrongly."""
    out = tmp_path / "x"
    few = "--contenders experts,chunked --epochs 1 --rows 40 --shots 1"
    call = ["--preset", "smoke", "--out", str(out), *few.split()]

    def run(*words):
        status = cli.guarded(task_hypernets._parser, [*call, *words])
        return status, *capsys.readouterr()

    find = task_hypernets.Finder.find
    done = []

    def killed(self, *given):
        done.append(given)
        if len(done) > 2:
            raise KeyboardInterrupt
        return find(self, *given)

    monkeypatch.setattr(task_hypernets.Finder, "find", killed)
    assert run()[0] == 130
    later = out / "chunked" / "later.json"
    assert len(json.loads(later.read_text())["rows"]) == 2
    monkeypatch.setattr(task_hypernets.Finder, "find", find)
    status, said, _ = run()
    assert status == 0 and "| from scratch | " in said and "| experts | " in said
    assert "Not asked: they need" in said
    result = json.loads((out / "result.json").read_text())
    assert np.shape(result["multitask"]["experts"]["test"]) == (2, 4)
    assert np.shape(result["later"]["chunked"]["recombined"]) == (2, 4, 2)
    assert np.shape(result["controls"]["chunked"]["path"]) == (2, 2, 21)
    assert result["multitask"]["experts"]["parameters"] == 4 * 2146
    for name in ("multitask", "later", "path"):
        assert (out / f"{name}.png").stat().st_size > 5_000
    written = (later.stat().st_mtime_ns, said)
    assert run()[1] == said and later.stat().st_mtime_ns == written[0]
    for words, message in (
        (["--rows", "60"], "was made with another rows; name a new --out"),
        (["--preset", "smok"], "unknown preset 'smok'; did you mean smoke"),
        (
            ["--contenders", "chunkd"],
            "unknown contender 'chunkd'; did you mean chunked",
        ),
        (["--target", "lenet"], "unknown target 'lenet'; did you mean lenet5"),
        (["--shots", "1,21"], "42 examples of 40 rows; give 1 to 40"),
        (["--shots", "1,a"], "--shots: expected whole numbers as 1,5,10, found '1,a'"),
        (["--seeds", "0"], "--seeds and --epochs must be at least 1"),
        (["--out", str(tmp_path)], "holds something else"),
    ):
        status, _, other = run(*words)
        assert status == 2 and other.count("\n") == 1 and message in other
    monkeypatch.setenv("JAXPARETO_DATA", str(tmp_path / "nowhere"))
    for preset in ("split-mnist", "cifar"):
        status, _, other = run("--preset", preset, "--out", str(tmp_path / "y"))
        assert status == 1 and other.count("\n") == 1 and "put " in other


@pytest.mark.long
def test_task_hypernets_smoke_whole(tmp_path):
    script = ROOT / "experiments" / "task_hypernets.py"
    said = python(script, "--preset", "smoke", "--out", tmp_path / "x", cwd=tmp_path)
    assert said.count("Claim 1") == 2 and said.count("Claim 2") == 4
    result = json.loads((tmp_path / "x" / "result.json").read_text())
    for each in result["multitask"].values():
        assert np.mean(each["test"]) > 0.9
    assert np.mean(result["controls"]["sparse-linear"]["mean"]) < 0.95


def test_the_corner_is_what_each_network_does_at_its_own_task():
    front = {"losses": [[0.5, 9.0], [9.0, 1.0]], "reference": [2.0, 2.0]}
    front["accuracies"] = [[0.8, 0.1], [0.1, 0.5]]
    assert leaderboard.box(front) == pytest.approx(1.5 * 1.0)
    assert leaderboard.own(front) == pytest.approx(0.4)
    assert leaderboard.worth("single-task", front) == leaderboard.box(front)
    assert leaderboard.worth("prism", front | {"hypervolume": 0.3}) == 0.3
    assert leaderboard.box(front | {"losses": [[3.0, 9.0], [9.0, 1.0]]}) == 0.0


@pytest.mark.long
@pytest.mark.parametrize(
    "script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem
)
def test_notebook_runs(script, tmp_path):
    assert "MPLBACKEND" in os.environ
    assert python(script, cwd=tmp_path)
