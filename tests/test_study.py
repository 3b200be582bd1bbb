"""A study of weight decays: what its files say is true, however it was trained."""

import csv
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import logistic
from jaxpareto.cli import main
from jaxpareto.data import Frozen, Rows, checked, load_frozen
from jaxpareto.errors import RunError, UsageError
from jaxpareto.plot import save_study
from jaxpareto.train import feeds, heads, study
from jaxpareto.train.head_config import FAITHFUL, HeadConfig, parse_decays
from jaxpareto.train.log import Metrics

CURVES = ("4.1a", "4.1b", "4.1c", "4.2a", "4.2b", "4.3")
REPORT = (*CURVES, "2.5", "5.1a", "5.1b", "5.2a", "5.2b", "5.3a", "5.3b")
"""The figures of the report."""


def small(**settings):
    """Return settings of a study that takes a second."""
    known = {"data": "digits", "decays": "0,1e-3,1e-2", "epochs": 3, "exact": False}
    return HeadConfig(**(known | settings))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return the folder of a finished study, and what it found."""
    folder = tmp_path_factory.mktemp("study") / "digits"
    return folder, study.run_study(small(exact=True), folder, quiet=True)


def cross_entropy(kernel, bias, rows):
    """Compute the mean cross-entropy and the accuracy in NumPy, float64."""
    answers = rows.features.astype(np.float64) @ kernel + bias
    chosen = answers[np.arange(len(answers)), rows.labels]
    highest = answers.max(axis=1)
    total = highest + np.log(np.exp(answers - highest[:, None]).sum(axis=1))
    right = answers.argmax(axis=1) == rows.labels
    return np.mean(total - chosen), right.mean()


def test_what_it_says_of_the_heads_is_true_of_the_heads_it_keeps(done):
    from safetensors.numpy import load_file

    folder, found = done
    kept, frozen = load_file(folder / "heads.safetensors"), load_frozen("digits")
    assert kept["kernel"].shape == (3, 64, 10) and kept["exact_bias"].shape == (2, 10)
    for name, prefix in (("heads", ""), ("exact", "exact_")):
        said = found[name]
        for i, decay in enumerate(kept[f"{prefix}decays"]):
            kernel = kept[f"{prefix}kernel"][i].astype(np.float64)
            bias = kept[f"{prefix}bias"][i]
            train, right = cross_entropy(kernel, bias, frozen.train)
            assert said["train_loss"][i] == pytest.approx(train, rel=1e-5)
            assert said["train_accuracy"][i] == pytest.approx(right)
            test, right = cross_entropy(kernel, bias, frozen.test)
            assert said["test_loss"][i] == pytest.approx(test, rel=1e-5)
            assert said["test_accuracy"][i] == pytest.approx(right)
            paid = train + decay / 2 * np.square(kernel).sum()
            assert said["objective"][i] == pytest.approx(paid, rel=1e-5)
    # Every trained head is as far from the solved one as its certificate allows.
    for i, j in ((1, 0), (2, 1)):
        above = found["heads"]["objective"][i] - found["exact"]["objective"][j]
        assert 0 <= above <= found["heads"]["gap"][i]
        assert found["exact"]["gap"][j] <= 1e-6 * found["exact"]["objective"][j]
    assert found["heads"]["gap"][0] is None  # no decay, no certificate
    assert json.loads((folder / "study.json").read_text()) == found


def table(folder, name):
    with open(folder / "figures" / f"fig-{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_figure_of_the_report_has_its_table(done):
    folder, found = done
    for name in REPORT:
        assert table(folder, name), name
    losses = [float(row["end"]) for row in table(folder, "4.2b")[-3:]]
    np.testing.assert_allclose(losses, found["heads"]["test_loss"], rtol=1e-6)
    bars = [int(row["classes"]) for row in table(folder, "5.2a")]
    assert bars == found["per_class"]["choices_test"] and sum(bars) == 10
    counts = [int(row["rows"]) for row in table(folder, "5.3a")]
    assert sum(counts) == 797
    right = np.trace(np.reshape(counts, (10, 10)))
    near = [abs(x - 1e-4) for x in found["decays"]]
    said = found["heads"]["test_accuracy"][int(np.argmin(near))]
    assert said == pytest.approx(right / 797, rel=1e-6)


@pytest.mark.long
def test_the_figures_are_drawn_from_the_tables_alone(done, tmp_path):
    pytest.importorskip("matplotlib")
    folder, _ = done
    copy = tmp_path / "figures"
    copy.mkdir()
    for path in (folder / "figures").glob("*.csv"):
        (copy / path.name).write_bytes(path.read_bytes())
    files = save_study(tmp_path, endings=(".png",))
    assert {f"fig-{name}.png" for name in REPORT} <= {path.name for path in files}
    assert all(path.stat().st_size > 5_000 for path in files)
    (copy / "fig-4.3.csv").write_text("epoch,decay,end\n1,2\n")
    with pytest.raises(RunError, match=r"fig-4\.3\.csv is damaged"):
        save_study(tmp_path)
    with pytest.raises(UsageError, match="holds no finished study"):
        save_study(tmp_path / "nowhere")


def trained(tmp_path, name, **settings):
    config = small(**settings)
    frozen, feed = study.load(config)
    return heads.train(config, feed, frozen, tmp_path / name, rate=0.1, quiet=True)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_in_groups_or_all_at_once_the_heads_are_the_same(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "start": "consecutive"}
    whole = trained(tmp_path, "whole", **settings)
    parts = trained(tmp_path, "parts", **settings, heads_per_group=2)
    np.testing.assert_allclose(parts.wide.kernel, whole.wide.kernel, atol=2e-6)
    np.testing.assert_allclose(parts.running.loss, whole.running.loss, rtol=1e-5)


def test_an_interrupted_study_ends_as_the_whole_one(tmp_path, monkeypatch):
    whole = trained(tmp_path, "whole")
    write = Metrics.write

    def stop(self, line):
        if line["epoch"] == 2:
            raise KeyboardInterrupt
        write(self, line)

    monkeypatch.setattr(Metrics, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, "cut")
    monkeypatch.undo()
    resumed = trained(tmp_path, "cut")
    np.testing.assert_array_equal(resumed.wide.kernel, whole.wide.kernel)
    np.testing.assert_array_equal(resumed.running.loss, whole.running.loss)
    epochs = [
        json.loads(line)["epoch"]
        for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    ]
    assert epochs[-1] == 3


def test_rows_from_a_disk_train_the_same_heads(tmp_path):
    """Where the order is that of the store, and batches do not cross blocks."""
    config = small(order="none")
    frozen, feed = study.load(config)
    x, y = frozen.train

    def batches(size, *, seed, shuffle, epoch=0):
        assert not shuffle
        cuts = range(0, len(y), size)
        return (SimpleNamespace(x=x[i : i + size], y=y[i : i + size]) for i in cuts)

    store = SimpleNamespace(batches=batches, rows=len(y))
    flow = feeds.streamed(store, config)
    assert (flow.steps, flow.rows) == (feed.steps, feed.rows)
    one, two = (
        heads.train(config, each, frozen, tmp_path / name, rate=0.1, quiet=True)
        for name, each in (("resident", feed), ("streamed", flow))
    )
    np.testing.assert_array_equal(one.wide.kernel, two.wide.kernel)
    decays = jnp.asarray(one.decays)
    for a, b in zip(
        logistic.gaps(one.wide, feed.still, decays),
        logistic.gaps(two.wide, flow.still, decays),
        strict=True,
    ):
        assert float(a) == pytest.approx(float(b), rel=1e-4)


def test_the_faithful_mode_and_each_switch_back(tmp_path):
    config = small(**(FAITHFUL | {"decays": "0,1e-2"}))
    frozen, feed = study.load(config)
    found = heads.train(config, feed, frozen, tmp_path / "a", rate=0.1, quiet=True)
    judged = study.judge(found, feed, frozen)
    chosen = study.choose(config, found, judged, frozen)
    # The report's classes pay the penalty of their head, at weights that moved.
    np.testing.assert_allclose(chosen.train_losses, found.running.penalised)
    paid = np.asarray(found.running.penalised - found.running.class_loss)
    assert np.ptp(paid[1]) < 0.1 * paid[1].min() and (np.abs(paid[0]) < 1e-6).all()
    assert chosen.by.all() and chosen.on.all()
    plain = small(decays="0,1e-2", class_loss="plain", series="running")
    other = study.choose(plain, found, judged, frozen)
    np.testing.assert_allclose(other.train_losses, found.running.class_loss)
    assert not (other.by & other.on).any() and (other.by | other.on).all()


def test_where_heads_start():
    key = jax.random.key(0)
    zeros, same, own = (
        heads.starts(name, 3, 16, 5, key)
        for name in ("zeros", "uniform", "consecutive")
    )
    assert not zeros.kernel.any()
    np.testing.assert_array_equal(same.kernel[0], same.kernel[2])
    assert np.abs(own.kernel[0] - own.kernel[2]).max() > 0.1
    assert np.abs(own.kernel).max() <= 0.25 and np.abs(own.kernel).max() > 0.2


def problem(features=None, labels=None, test=None):
    """Return a tiny problem with two classes, or one that is broken."""
    x = np.ones((4, 3), np.float32) if features is None else features
    y = np.array([0, 1, 0, 1], np.int32) if labels is None else np.array(labels)
    return Frozen(Rows(x, y), test or Rows(x, y), ("cat", "dog"), "made here")


NAN = np.array([[1, 2, 3], [1, np.nan, 3], [0, 0, 0], [0, 0, 0]], np.float32)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            problem(NAN),
            "features of 1 training rows are not finite, the first in row 1",
        ),
        (
            problem(labels=[0, 1, 2, 0]),
            "training labels go from 0 to 2, and there are 2",
        ),
        (problem(labels=[0, -1, 1, 0]), "expected 0 to 1"),
        (problem(labels=[0, 0, 0, 0]), r"1 of 2 classes have no training row \(dog\)"),
        (
            problem(test=Rows(np.ones((1, 2), np.float32), np.zeros(1, np.int32))),
            "training rows have 3 features and test rows 2",
        ),
        (
            problem(test=Rows(np.ones((0, 3), np.float32), np.zeros(0, np.int32))),
            "there are no test rows",
        ),
    ],
)
def test_features_that_no_head_can_be_fitted_to(broken, message):
    checked(problem())
    with pytest.raises(RunError, match=message):
        checked(broken)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("digits --decays -1", "at least 0 and finite, found -1"),
        ("digits --decays 0,0.1,0", "names one decay twice"),
        ("digits --decays a", "--decays must be numbers as 0,1e-4"),
        ("digits --learning-rate 50", "--learning-rate 50 is above 0.6669"),
        ("digits --momentum 1", "--momentum must be at least 0 and below 1"),
        ("digits --epochs 0", "--epochs must be at least 1, found 0"),
        ("digits --order up", "unknown order 'up'"),
        ("digits --data synthetic", "FEATURES is digits, and --data synthetic"),
        ("digits --stream", "--stream needs two stores"),
        ("digits --test somewhere", "needs a store as --data; digits ships"),
        ("digit", "did you mean digits"),
        ("digits --decay 1", "did you mean --decays"),
    ],
)
def test_wrong_words_leave_nothing_behind(tmp_path, capsys, words, message):
    out = tmp_path / "out"
    assert main(["head", *words.split(), "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said
    assert not out.exists()


def test_a_finished_study_is_not_written_over(done, capsys):
    folder, _ = done
    before = (folder / "study.json").read_bytes()
    assert main(["head", "digits", "--out", str(folder)]) == 2
    assert "holds another run" in capsys.readouterr().err
    assert main(["head", "--out", str(folder), "--resume", "--epochs", "9"]) == 2
    assert "--epochs was 3, now 9" in capsys.readouterr().err
    assert (folder / "study.json").read_bytes() == before


@pytest.mark.long
def test_the_command_and_its_table(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = "--decays 0,1e-2 --epochs 1 --no-exact --quiet"
    assert main(["head", "digits", *words.split(), "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "1,000 training and 797 test rows, 64 features, 10 classes" in said
    assert "trained heads: decay 0" in said
    assert (tmp_path / "a" / "figures" / "fig-5.3b.png").exists()


def test_the_grids():
    assert len(parse_decays("half-decades")) == 12
    assert 3.16e-7 not in parse_decays("study") and 3.16e-3 in parse_decays("study")
