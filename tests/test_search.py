"""Searches: what trains together is what trains alone, and nothing gets lost."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from functools import partial

import jax
import numpy as np
import optax
import pytest

from jaxpareto import cli, search, style
from jaxpareto.errors import RunError, UsageError
from jaxpareto.metrics import squared_error
from jaxpareto.search import Group, Plan, source, space, table
from jaxpareto.search.run import groups
from jaxpareto.train import fit
from jaxpareto.train.examples import fold_rows, pieces_of, split_rows
from jaxpareto.train.members import over_members, places
from jaxpareto.types import Net

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(30, 2, 3)).astype(np.float32)
LABELS = (IMAGES.sum(axis=(1, 2)) > 3).astype(np.int32)
DATA = split_rows(IMAGES, LABELS, np.arange(20), np.arange(20, 30))


def plan(**more):
    given = {"net": "shallow", "image": (2, 3), "classes": 2, "epochs": 6, **more}
    return Plan(**given)


def points(*words):
    return search.grid(search.parse(["batch-size=5", *words]))


def losses(rows):
    return np.array([row["validation_loss"] for row in rows])


# -- words


def test_a_grid_is_all_combinations_with_the_defaults_of_the_rest():
    grid = points(
        "learning-rate=1e-3,1e-2", "width=4,3x2", "seed=0..2", "optimizer=sgd"
    )
    assert len(grid) == 12 and all(set(p) == set(space.HYPERPARAMETERS) for p in grid)
    assert [p["seed"] for p in grid[:3]] == [0, 1, 2]
    assert grid[0]["width"] == 4 and grid[3]["width"] == (3, 2)
    assert grid[0]["weight-decay"] == 0.0 and grid[0]["optimizer"] == "sgd"


def test_draws_stay_in_their_ranges_and_repeat_with_their_seed():
    words = ["learning-rate=1e-5..1e-1", "width=8..32", "optimizer=adam,sgd"]
    words += ["dropout=0..0.5"]
    drawn = search.draw(search.parse(words, ranges=True), 200, seed=3)
    again = search.draw(search.parse(words, ranges=True), 200, seed=3)
    assert drawn == again
    rates = np.array([point["learning-rate"] for point in drawn])
    assert 1e-5 <= rates.min() < 1e-4 and 1e-2 < rates.max() <= 1e-1
    assert abs(np.log10(rates).mean() + 3) < 0.3, "uniform in the logarithm"
    assert {point["width"] for point in drawn} == set(range(8, 33))
    assert {point["optimizer"] for point in drawn} == {"adam", "sgd"}
    assert all(0 <= point["dropout"] <= 0.5 for point in drawn)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the grid is empty"),
        (["learning-rate="], "has no values"),
        (["learning-rate"], "has no values"),
        (["learning-rte=1"], "did you mean learning-rate"),
        (["width=0"], "widths of at least 1"),
        (["width=8x0"], "widths of at least 1"),
        (["dropout=1"], "at least 0 and below 1, found '1'"),
        (["learning-rate=0"], "above 0"),
        (["learning-rate=nan"], "above 0"),
        (["learning-rate=fast"], "must be a number"),
        (["seed=1.5"], "a whole number of at least 0"),
        (["seed=3..1"], "larger than the last"),
        (["learning-rate=0.1..0.2"], "only whole numbers"),
        (["optimizer=adm"], "did you mean adam"),
        (["seed=1", "seed=2"], "given twice"),
    ],
)
def test_a_bad_grid_is_one_line(words, message):
    with pytest.raises(UsageError, match=message) as refused:
        search.parse(words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plan(patience=0), "--patience must be at least 1, found 0"),
        (lambda: plan(epochs=0), "--epochs must be at least 1"),
        (lambda: plan(net="shalow"), "did you mean shallow"),
        (lambda: fold_rows(IMAGES, LABELS, 31), "31 folds for 30 rows"),
        (lambda: Group(plan(), points("batch-size=21")[:1], DATA), "given twice"),
        (
            lambda: search.run(plan(), points("width=3x3"), DATA),
            "--net shallow has 1 hidden layer, found 2",
        ),
        (
            lambda: search.run(plan(net="lenet5"), points("width=3"), DATA),
            "no width or depth to vary",
        ),
        (lambda: source.load("mlp", "digits", rows=5000), "1437 training images"),
        (lambda: source.load("mlp", "digits", validation=1.0), "between 0 and 1"),
    ],
)
def test_what_cannot_be_searched_is_one_line(make, message):
    with pytest.raises(UsageError, match=message):
        make()


# -- rows


@pytest.mark.parametrize("folds", [2, 3, 7, 30])
def test_folds_are_those_of_scikit_learn_in_size_and_use_each_row_once(folds):
    model_selection = pytest.importorskip("sklearn.model_selection")
    data = fold_rows(IMAGES, LABELS, folds, seed=1)
    judged = []
    for fold in range(folds):
        rows = np.asarray(data.validation[fold])[np.asarray(data.counted[fold]) > 0]
        train = np.asarray(data.train[fold])
        assert len(set(train)) == len(train) and set(train).isdisjoint(rows)
        judged.append(rows)
    assert sorted(np.concatenate(judged)) == list(range(30))
    theirs = [len(v) for _, v in model_selection.KFold(folds).split(IMAGES)]
    assert sorted(map(len, judged)) == sorted(theirs)


def test_pieces_hold_every_example_once():
    images, targets, counted = pieces_of(np.arange(1301.0)[:, None], np.arange(1301))
    assert images.shape == (3, 434, 1) and counted.sum() == 1301
    assert sorted(np.asarray(targets)[np.asarray(counted) > 0]) == list(range(1301))


# -- training


def test_full_batches_are_gradient_descent_by_hand():
    """Softmax regression with decoupled decay, against NumPy."""
    words = "learning-rate=0.5", "weight-decay=0.1", "optimizer=sgd", "batch-size=20"
    only = search.grid(search.parse(words))
    group = Group(plan(net="perceptron"), only, DATA)
    first = jax.tree.map(lambda x: x[0, 0], group.best)["layer0"]
    w, b = np.array(first["kernel"]), np.array(first["bias"])
    x, hot = IMAGES.reshape(30, 6), np.eye(2)[LABELS]

    def answer(x):
        z = np.exp(x @ w + b)
        return z / z.sum(axis=1, keepdims=True)

    expected = []
    for _ in range(6):
        p = answer(x[:20])
        loss = -np.log(p[hot[:20] > 0]).mean()
        delta = (p - hot[:20]) / 20
        w, b = (
            w - 0.5 * (x[:20].T @ delta + 0.1 * w),
            b - 0.5 * (delta.sum(0) + 0.1 * b),
        )
        p = answer(x[20:])
        right = (p.argmax(1) == LABELS[20:]).mean()
        expected.append([loss, -np.log(p[hot[20:] > 0]).mean(), right])
    group.advance(6)
    np.testing.assert_allclose(group.history[0, 0], expected, atol=1e-5)


def test_arrangements_and_company_change_nothing():
    """`vmap`, one after another, alone, or beside one that breaks down: the same."""
    words = "learning-rate=1e-2,1e38,3e-2", "width=5,7", "seed=0,1", "dropout=0.2"
    words += ("shift=1", "warp=0.1")
    mixed = points(*words)
    calm = [point for point in mixed if point["learning-rate"] < 1]
    found = {
        how: search.run(plan(patience=2), mixed, DATA, arrangement=how)
        for how in ("map", "vmap")
    }
    status = {how: [row["status"] for row in rows] for how, rows in found.items()}
    assert "failed" in status["map"][4:8] and status["map"] == status["vmap"]
    np.testing.assert_allclose(losses(found["map"]), losses(found["vmap"]), rtol=1e-5)
    apart = search.run(plan(patience=2), calm, DATA, arrangement="map", at_once=4)
    kept = [row for row in found["map"] if row["learning-rate"] < 1]
    assert {row["status"] for row in kept} == {"finished"}
    np.testing.assert_allclose(losses(apart), losses(kept), atol=1e-5)
    # The narrow ones lived inside seven units; here they are five for themselves.
    narrow = [point for point in calm if point["width"] == 5]
    own = search.run(plan(patience=2), narrow, DATA)
    np.testing.assert_allclose(
        losses(own), [x["validation_loss"] for x in kept if x["width"] == 5], atol=1e-5
    )


@pytest.mark.parametrize("moves", [{"shifts": True}, {"warps": True}])
def test_what_reconstructs_must_answer_the_images_as_they_moved(moves):
    """A network that answers what it sees makes no error, wherever that has moved."""
    echo = Net(lambda key: {}, lambda params, x, *, key=None: x.reshape(len(x), -1))
    pixels = IMAGES.reshape(len(IMAGES), -1)
    data = split_rows(IMAGES, pixels, np.arange(20), np.arange(20, 30))
    learner = fit.Learner(
        net=lambda _: echo,
        optimizer=lambda hparams: optax.sgd(hparams.learning_rate),
        loss=squared_error,
        batch_size=5,
        epochs=1,
        reconstructs=True,
        **moves,
    )
    done = jax.jit(partial(fit.fit, learner))(fit.Member(shift=1, warp=0.3), data)
    assert float(done.history[0, 0]) == 0.0


def test_early_stopping_is_the_rule_applied_to_the_curve():
    """Each stops where patience runs out on the curve it has without stopping.

    Under `vmap`, where those that have stopped go on being computed and must not move;
    that the other arrangement gives the same is tested above.
    """
    many = points("learning-rate=0.03,0.3,3", "seed=0..2", "optimizer=sgd")
    long = plan(net="perceptron", epochs=12)
    free = Group(long, many, DATA, arrangement="vmap")
    free.advance(12)
    short = plan(net="perceptron", epochs=12, patience=2, min_delta=0.02)
    group = Group(short, many, DATA, arrangement="vmap")
    for until in (1, 5, 12):  # in pieces or at once
        group.advance(until)
    assert group.done.all()
    stops = set()
    for i, row in enumerate(group.rows()):
        curve, best, waited, epoch = free.history[i, 0, :, 1], np.inf, 0, 0
        while waited < 2 and epoch < 12:
            waited = 0 if curve[epoch] < best - 0.02 else waited + 1
            best = min(best, curve[epoch])
            epoch += 1
        stops.add(epoch)
        assert row["epochs"] == epoch
        np.testing.assert_allclose(row["validation_loss"], best, atol=1e-5)
        assert row["best_epoch"] == 1 + curve[:epoch].argmin()
        assert np.isnan(group.history[i, 0, epoch:]).all()
    assert len(stops) > 2, "this says nothing if all stop at once"


def test_a_fold_is_a_split_of_its_own():
    many = points("learning-rate=0.03")
    data = fold_rows(IMAGES, LABELS, 3)
    rows = search.run(plan(net="perceptron", folds=3), many, data)
    assert [row["fold"] for row in rows] == [0, 1, 2]
    counted = np.asarray(data.counted[1]) > 0
    alone = split_rows(
        IMAGES, LABELS, data.train[1], np.asarray(data.validation[1])[counted]
    )
    (row,) = search.run(plan(net="perceptron"), many, alone)
    np.testing.assert_allclose(row["validation_loss"], losses(rows)[1], atol=1e-5)
    (mean,) = search.average(rows)
    np.testing.assert_allclose(mean["validation_loss"], losses(rows).mean(), rtol=1e-6)
    assert mean["count"] == 3 and mean["status"] == "finished"


def test_pruned_points_stand_still_and_are_told_apart():
    group = Group(plan(net="perceptron"), points("seed=0..2"), DATA)
    group.advance(2)
    group.prune(np.array([False, True, False]))
    group.advance(6)
    rows = list(group.rows(group.test(IMAGES[:5], LABELS[:5])))
    assert [row["status"] for row in rows] == ["finished", "pruned", "finished"]
    assert [row["epochs"] for row in rows] == [6, 2, 6]
    assert all(0 <= row["test_accuracy"] <= 1 for row in rows)


def test_points_that_share_a_program_are_grouped():
    many = points("learning-rate=1,2", "depth=1,2", "dropout=0,0.5")
    assert sorted(map(len, groups(plan(net="mlp"), many, 64))) == [2, 2, 2, 2]
    assert sorted(map(len, groups(plan(net="mlp"), many, 1))) == [1] * 8
    # Widths of a factor of two apart do not pay for each other.
    wide = points("width=150,200,250,300", "seed=0,1")
    assert groups(plan(), wide, 64) == [list(range(8))]
    assert groups(plan(), wide, 64, alike=0.7) == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert groups(plan(), wide, 64, alike=1.0) == [[6, 7], [4, 5], [2, 3], [0, 1]]


def test_members_are_dealt_to_devices_and_come_back_in_order():
    devices = [None] * 3
    slots = places(7, devices=devices)
    assert slots.tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]
    assert len(places(2, capacity=5, devices=devices)) == 6
    with pytest.raises(UsageError, match="did you mean vmap"):
        over_members(lambda *_: None, arrangement="vmp")


# -- tables

STATES = ("failed", "pruned", "finished")


def test_correlations_are_those_of_numpy_on_logarithms():
    rows = [
        {"status": "finished", "trial": i, "learning-rate": 10.0**-i, "accuracy": a}
        for i, a in enumerate((0.9, 0.7, 0.8, 0.2))
    ]
    rows.append({"status": "failed", "trial": 9, "learning-rate": 1, "accuracy": 0})
    names, found = search.correlations(rows)
    assert names == ["learning-rate", "accuracy"]
    expected = np.corrcoef([0, -1, -2, -3], [0.9, 0.7, 0.8, 0.2])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert search.best(rows, "accuracy")["trial"] == 0
    assert np.isnan(search.correlations(rows[:1], ["accuracy"])[1]).all()
    some = [{"weight-decay": x} for x in (1e-4, 1e-2)]
    assert table.scaled(some, "weight-decay")[0].tolist() == [-4.0, -2.0]
    none = [{"weight-decay": 0.0}, *some]
    assert table.scaled(none, "weight-decay")[0].tolist() == [0.0, 1e-4, 1e-2]
    (mean,) = search.average(
        [{"status": x, "fold": i, "seconds": 1.0} for i, x in enumerate(STATES)]
    )
    assert mean["status"] == "failed" and mean["seconds"] == 1.0
    with pytest.raises(RunError, match="no trial has finished"):
        search.best(rows[-1:], "accuracy")


def test_a_table_comes_back_from_its_file(tmp_path):
    rows = search.run(plan(net="mlp"), points("depth=0,2", "width=3"), DATA)
    search.write_csv(rows, tmp_path / "t.csv")
    assert search.read_csv(tmp_path / "t.csv") == rows
    assert [row["width"] for row in rows] == [None, 3]
    assert "depth" in table.numeric(rows)


# -- the command


def call(*words):
    return cli.main(["search", *map(str, words)])


@pytest.fixture(autouse=True)
def same_environment(monkeypatch):
    """The command sets `XLA_FLAGS`, which must not reach later tests' processes."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))


SMALL = ["--rows", 200, "--epochs", 3, "--quiet"]


def events(folder):
    """Read the tags of all event files below a folder."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    tags = {}
    for path in folder.rglob("events.*"):
        raw, at = path.read_bytes(), 0
        while at < len(raw):  # length, checksum, content, checksum
            (size,) = struct.unpack_from("<Q", raw, at)
            event = event_pb2.Event.FromString(raw[at + 12 : at + 12 + size])
            at += size + 16
            for value in event.summary.value:
                found = tags.setdefault(path.parent.name, {})
                found[value.tag] = value.metadata.plugin_data.content
    return tags


def columns_of(content):
    """Read which hyperparameters a trial has in TensorBoard's table."""
    proto = pytest.importorskip("tensorboardX.proto.plugin_hparams_pb2")
    return set(proto.HParamsPluginData.FromString(content).session_start_info.hparams)


@pytest.mark.long
def test_a_grid_by_the_command_can_be_continued(tmp_path, capsys):
    grid = ["--grid", "learning-rate=1e-2,1e25", "width=12,16", "batch-size=20"]
    words = ["--net", "shallow", *grid, *SMALL, "--out", tmp_path / "x"]
    assert call(*words, "--tensorboard") == 0
    out = capsys.readouterr().out
    assert "4 networks: 2 finished, 0 pruned, 2 failed" in out
    rows = search.read_csv(tmp_path / "x" / "trials.csv")
    assert [row["width"] for row in rows] == [12, 16, 12, 16]
    assert all(row["test_accuracy"] > 0.2 for row in rows[:2])
    for name in ("correlations.png", "parallel.png"):
        assert (tmp_path / "x" / name).stat().st_size > 5_000
    tags = events(tmp_path / "x" / "tensorboard")
    assert set(tags["tensorboard"]) == {"correlations", "parallel"}
    drawn = {"validation_loss", "accuracy", "final/test_accuracy"}
    assert drawn <= set(tags["trial-0000"])
    trial = tags["trial-0002"]["_hparams_/session_start_info"]  # those that failed too
    assert columns_of(trial) == {"learning-rate", "width", "status"}

    assert call(*words) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    search.write_csv(rows[1:3], tmp_path / "x" / "trials.csv")  # as after a kill
    assert call(*words, "--resume") == 0
    again = search.read_csv(tmp_path / "x" / "trials.csv")
    np.testing.assert_allclose(losses(again), losses(rows), atol=1e-6)
    assert call(*words, "--resume", "--patience", 2) == 2
    assert "a search with another patience" in capsys.readouterr().err


def test_the_command_draws_points_and_lists_what_there_is(tmp_path, capsys):
    grid = ["--grid", "learning-rate=1e-3..1e-1", "--draw", 2]
    words = ["--net", "autoencoder", *grid, *SMALL, "--folds", 2]
    assert call(*words, "--out", tmp_path / "x") == 0
    rows = search.read_csv(tmp_path / "x" / "trials.csv")
    assert len(rows) == 4 and all(row["validation_loss"] < 0.3 for row in rows)
    assert call("--list") == 0
    assert "learning-rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--grid", "the grid is empty"),
        ("--grid seed=0 --patience 0", "--patience must be at least 1"),
        ("--grid seed=0 --folds 2000", "2000 folds for 1437 rows"),
        ("--grid seed=0 --net mpl", "did you mean mlp"),
        ("--grid seed=0 --data digit", "did you mean digits"),
        ("--grid batch-size=1300", "give 1 to 1150"),
        ("--grid dropout=0.1 --net perceptron", "has no dropout"),
        ("--grid warp=-1", "warp"),
        ("--grid seed=0..1 --draw 1 --trials 1", "not both"),
        ("--grid seed=0 --trials 0", "--trials must be at least 1"),
        ("--grid seed=0 --at-once 0", "--at-once must be at least 1"),
        ("--grid seed=0 --net lenet5", "at least 16 x 16"),
    ],
)
def test_wrong_words_leave_no_folder(words, message, tmp_path, capsys):
    assert call(*words.split(), "--out", tmp_path / "x") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "x").exists()
    assert call(*words.split()) == 2, "and --out is missing"


@pytest.mark.long
def test_devices_change_nothing(tmp_path):
    """Three members on two devices, in a process of their own; one place is spare."""
    words = ["--net", "perceptron", "--grid", "learning-rate=1e-3,1e-2,1e-1"]
    words += ["--rows", "60", "--epochs", "2", "--patience", "1", "--quiet"]
    words += ["--out", str(tmp_path / "x")]
    two = "--xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-m", "jaxpareto.cli", "search", *words],
        env=os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {two}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    problem = source.load("perceptron", "digits", rows=60)
    alone = search.run(
        Plan("perceptron", (8, 8), 10, epochs=2, patience=1),
        search.grid(search.parse(["learning-rate=1e-3,1e-2,1e-1"])),
        problem.data,
        test=problem.test,
    )
    together = search.read_csv(tmp_path / "x" / "trials.csv")
    np.testing.assert_allclose(losses(together), losses(alone), atol=1e-5)
    for name in ("trial", "status", "epochs", "best_epoch"):
        assert [row[name] for row in together] == [row[name] for row in alone]
    for a, b in zip(together, alone, strict=True):
        assert a["test_loss"] == pytest.approx(b["test_loss"], abs=1e-4)


# -- Optuna


@pytest.mark.long
def test_a_study_killed_and_continued_loses_what_was_in_flight(tmp_path):
    """A real process, `kill -9` in the middle; two devices where it runs."""
    pytest.importorskip("optuna")
    words = ["--net", "shallow", "--grid", "learning-rate=1e-4..1e-1", "width=4..8"]
    words += ["--rows", "300", "--epochs", "4", "--batch", "3", "--quiet"]
    words += ["--out", str(tmp_path / "x"), "--resume"]
    journal = tmp_path / "x" / "study.journal"
    command = [sys.executable, "-m", "jaxpareto.cli", "search", *words]
    running = subprocess.Popen([*command, "--trials", "1000"], start_new_session=True)
    try:
        while not journal.exists() or journal.read_text().count('"rows"') < 3:
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
    finally:
        running.kill()
        running.wait()
    from jaxpareto.search import study as studies

    study = studies.open_study(journal)
    before = studies.counted(study)
    lost = [t for t in study.trials if "rows" not in t.user_attrs]
    assert before >= 3 and len(lost) <= 3 and len(study.trials) == before + len(lost)
    problem = source.load("shallow", "digits", rows=300)
    found = studies.optimise(
        Plan("shallow", (8, 8), 10, epochs=4),
        search.parse(["learning-rate=1e-4..1e-1", "width=4..8"], ranges=True),
        problem.data,
        journal,
        trials=before + 4,
        batch=3,
    )
    assert len(found) == before + 4 and len({row["trial"] for row in found}) == len(
        found
    )
    again = studies.open_study(journal)
    for trial in again.trials:
        (row,) = trial.user_attrs.get("rows") or [None]
        state = {None: "FAIL", "finished": "COMPLETE", "pruned": "PRUNED"}
        assert trial.state.name == state[row and row["status"]]
        if row and row["status"] == "finished":
            assert trial.value == pytest.approx(row["validation_loss"])
            assert 4 <= row["width"] <= 8
    rates = [t.params["learning-rate"] for t in again.trials if t.params]
    assert len(set(rates)) == len(rates), "no draw comes twice"


def test_a_study_prunes_and_tells_what_broke_down(tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    from jaxpareto.search import study as studies

    monkeypatch.setattr(
        studies, "_hopeless", lambda group, trials, epoch: ~group.done & (epoch == 2)
    )
    rows = studies.optimise(
        plan(net="perceptron"),
        search.parse(["learning-rate=1e-2,1e38", "batch-size=5"]),
        DATA,
        tmp_path / "journal",
        trials=6,
        batch=6,
    )
    told = {row["learning-rate"]: row["status"] for row in rows}
    assert told == {1e-2: "pruned", 1e38: "failed"}
    states = {
        trial.state.name for trial in studies.open_study(tmp_path / "journal").trials
    }
    assert states == {"PRUNED", "FAIL"}
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    assert json.dumps(rows)


def test_figures_of_one_network_or_none_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from jaxpareto.search import figures

    row = {"status": "finished", "learning-rate": 0.1, "validation_loss": 0.5}
    row |= {"accuracy": 0.5, "seconds": 1.0, "trial": 0}
    history = np.array([[[1.0, 0.9, 0.1], [0.5, 0.6, 0.2], [np.nan] * 3]])
    for rows in ([], [row], [row, row | {"learning-rate": 0.2, "accuracy": 0.6}]):
        for draw in (figures.correlation_figure, figures.parallel_figure):
            style.save(draw(rows), tmp_path / "x.png")
    style.save(figures.effect_figure([row, row], "learning-rate"), tmp_path / "y.png")
    style.save(figures.curves_figure({"a": history}), tmp_path / "z.png")
    assert not list(tmp_path.glob(".*")) and len(list(tmp_path.iterdir())) == 3
    with pytest.raises(RunError, match="cannot write"):
        style.save(draw([row]), tmp_path / "no" / "x.png")
