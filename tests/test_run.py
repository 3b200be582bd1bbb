"""Runs on disk: what is refused, what is kept, and what comes back."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpareto
from jaxpareto.errors import RunError, UsageError
from jaxpareto.train import configure, load, train_front
from jaxpareto.train.log import read_metrics
from jaxpareto.train.run import independent_prefs, load_data
from tests.small import RUN


def test_front_json_holds_what_is_promised(trained):
    front, found = trained
    on_disk = json.loads((front.folder / "front.json").read_text())
    assert on_disk == json.loads(json.dumps(found))
    assert on_disk["schema"] == 1
    assert (on_disk["data"], on_disk["split"]) == ("multi-digits", "test")
    k, m = 25, 2
    for name in ("preferences", "losses", "accuracies"):
        assert np.shape(on_disk[name]) == (k, m)
    assert np.allclose(np.sum(on_disk["preferences"], axis=1), 1.0)
    assert len(on_disk["spearman"]) == len(on_disk["reference"]) == m
    assert 1 <= on_disk["nondominated"] <= k
    assert on_disk["seconds_training"] > 0 and on_disk["seconds_evaluation"] > 0


def test_config_json_repeats_the_run(trained):
    front, _ = trained
    content = json.loads((front.folder / "config.json").read_text())
    assert configure(**content["config"]) == front.config
    assert {"jax", "flax", "optax", "python"} <= set(content["versions"])
    assert "cpu" in content["device"].lower()


def test_a_loaded_run_gives_the_same_networks(trained):
    front, found = trained
    again = jaxpareto.load(front.folder)
    for pref in ([0.0, 1.0], [0.3, 0.7]):
        jax.tree.map(
            np.testing.assert_array_equal, front.params(pref), again.params(pref)
        )
    assert again.evaluate()["losses"] == found["losses"]


def test_calling_a_front_answers_for_images_as_the_data_set_gives_them(trained):
    front, found = trained
    tasks = load_data(front.config)
    raw = np.asarray(tasks.test.images)
    logits = front([1.0, 0.0], raw)
    assert logits.shape == (100, 2, 10)
    accuracy = (np.argmax(logits, -1) == tasks.test.labels).mean(0)
    np.testing.assert_allclose(accuracy, found["accuracies"][-1], atol=1e-6)
    for same in (raw.astype(np.int32), raw.astype(np.float32), raw / 255.0):
        np.testing.assert_allclose(front([1.0, 0.0], same), logits, atol=1e-4)


def test_evaluation_with_other_preferences_and_split(trained):
    front, _ = trained
    found = front.evaluate(5, split="validation")
    assert np.shape(found["losses"]) == (5, 2) and found["split"] == "validation"
    assert found["preferences"][0] == [0.0, 1.0]


def test_independent_networks_go_through_the_same_trainer(tmp_path):
    config = configure(**RUN, conditioner="independent", prefs_per_step=3)
    _, found = train_front(config, tmp_path / "run", quiet=True)
    np.testing.assert_allclose(found["preferences"], independent_prefs(3, 2), atol=1e-6)
    assert found["parameters"]["conditioned"] == 3 * found["parameters"]["target"]


EARLY = {"train_pairs": 3000, "batch_size": 100, "test_pairs": 100, "epochs": 40}
EARLY |= {"conditioner": "independent", "prefs_per_step": 4, "warmup": 0}
EARLY |= {"schedule": "constant", "learning_rate": 0.01, "fresh_pairs": False}
EARLY |= {"checkpoint_every": 2, "patience": 2, "min_delta": 0.01}


@pytest.mark.long
def test_early_stopping_returns_keeps_and_reports_the_best(tmp_path, capsys):
    """What is watched is the hypervolume of all four, of which a grid asks three."""
    front, found = train_front(configure(**EARLY), tmp_path / "run")
    lines = read_metrics(front.folder / "metrics.jsonl")
    looks = {x["epoch"]: x["validation"] for x in lines if "validation" in x}
    volumes = {epoch: each["hypervolume"] for epoch, each in looks.items()}
    best, last = max(volumes, key=lambda epoch: volumes[epoch]), max(volumes)
    assert list(volumes) == list(range(2, last + 1, 2))
    assert best < last < 40, "it stops, and not at its best"
    assert front.stopped and front.finished and front.epoch == last
    assert found["epochs"] == last and found["best_epoch"] == front.best_epoch == best
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"patience ran out after epoch {last}; best on validation")
    again = load(front.folder)
    assert (again.epoch, again.best_epoch, again.stopped) == (last, best, True)
    jax.tree.map(np.testing.assert_array_equal, front.phi, again.phi)
    judged = again.evaluate(split="validation")
    assert judged["hypervolume"] == pytest.approx(volumes[best], rel=1e-5)
    _, same = train_front(front.config, front.folder, resume=True, quiet=True)
    assert same["losses"] == found["losses"]
    assert read_metrics(front.folder / "metrics.jsonl") == lines


def test_three_tasks(tmp_path):
    config = configure(**RUN, tasks=3, fresh_pairs=True, eval_prefs=10)
    front, found = train_front(config, tmp_path / "run", quiet=True)
    assert np.shape(found["losses"]) == (10, 3)
    assert front([0.2, 0.3, 0.5], np.zeros((4, *front.shape.image))).shape == (4, 3, 10)


@pytest.mark.parametrize(
    ("pref", "message"),
    [
        ([0.3, 0.8], "sums to 1.1"),
        ([0.3, 0.3, 0.4], "2 non-negative numbers"),
        ([-0.5, 1.5], "non-negative"),
        ([float("nan"), 0.5], "2 non-negative numbers"),
    ],
)
def test_a_preference_off_the_simplex_is_refused(trained, pref, message):
    front, _ = trained
    for call in (front.params, lambda p: front(p, np.zeros((1, 12, 12)))):
        with pytest.raises(UsageError, match=message):
            call(pref)


def test_a_front_says_in_a_line_what_it_is(trained):
    front, _ = trained
    assert repr(front) == (
        "Front(heads x linear on multi-digits, mlp, 2 tasks, 2 of 2 epochs, in "
        f"{front.folder})"
    )


def test_chosen_preferences_are_evaluated_as_those_of_a_grid(trained):
    front, found = trained
    some = front.evaluate(np.array(found["preferences"])[[3, 20]])
    np.testing.assert_allclose(
        some["losses"], np.array(found["losses"])[[3, 20]], rtol=1e-5
    )
    with pytest.raises(UsageError, match="sums to"):
        front.evaluate([[0.5, 0.6]])


def test_images_of_another_shape_are_refused(trained):
    front, _ = trained
    with pytest.raises(
        UsageError, match=r"expected images \[b, 12, 12\], found \(36, 36\)"
    ):
        front([0.5, 0.5], np.zeros((36, 36)))


def test_nothing_is_overwritten(trained, tmp_path):
    front, _ = trained
    before = (front.folder / "front.json").read_bytes()
    with pytest.raises(UsageError, match="holds another run"):
        train_front(front.config, front.folder, quiet=True)
    with pytest.raises(
        UsageError, match=r"different configuration \(--seed was 0, now 5\)"
    ):
        train_front(configure(**RUN, seed=5), front.folder, resume=True, quiet=True)
    assert (front.folder / "front.json").read_bytes() == before
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty and holds no run"):
        train_front(front.config, tmp_path, resume=True, quiet=True)
    with pytest.raises(UsageError, match="is a file"):
        train_front(front.config, tmp_path / "letter.txt", quiet=True)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_resuming_a_finished_run_evaluates_it_again(trained, copied):
    front, found = trained
    _, again = train_front(front.config, copied, resume=True, quiet=True)
    assert again["losses"] == found["losses"]
    assert again["seconds_training"] == pytest.approx(
        found["seconds_training"], abs=0.01
    )


def test_what_is_no_run_is_refused(tmp_path, trained):
    with pytest.raises(UsageError, match="holds no run"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"config": ')
    with pytest.raises(RunError, match="is damaged"):
        load(tmp_path)
    front, _ = trained
    (tmp_path / "config.json").write_bytes((front.folder / "config.json").read_bytes())
    with pytest.raises(RunError, match="no checkpoint yet"):
        load(tmp_path)


def test_a_damaged_checkpoint_is_named(trained, tmp_path):
    import shutil

    front, _ = trained
    folder = tmp_path / "copy"
    shutil.copytree(front.folder, folder)
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    for file in newest.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:3])
    with pytest.raises(RunError, match=f"checkpoint .*{newest.name} cannot be read"):
        load(folder)


def test_batch_larger_than_the_data(tmp_path):
    with pytest.raises(UsageError, match="batch size 800 for 360 examples"):
        train_front(configure(**RUN | {"batch_size": 800}), tmp_path / "x", quiet=True)
    assert not (tmp_path / "x").exists()


def test_real_mnist_trains_and_answers(mnist_dir, tmp_path):
    config = configure(
        data="multi-mnist", train_pairs=512, test_pairs=64, batch_size=64, epochs=1
    )
    front, found = train_front(
        config, tmp_path / "run", data_dir=str(mnist_dir), quiet=True
    )
    assert found["parameters"]["target"] == 31_910
    assert front.shape.image == (36, 36)
    assert bool(jnp.isfinite(jnp.asarray(found["losses"])).all())
