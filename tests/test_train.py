"""The step, the loop and the evaluation, on problems small enough to check by hand."""

import dataclasses
import json
from functools import cache, partial
from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpareto import conditioned, data, prefs
from jaxpareto.errors import RunError, UsageError
from jaxpareto.nets import mlp
from jaxpareto.rules import RULES
from jaxpareto.solvers import SOLVERS
from jaxpareto.train import (
    Hparams,
    Recipe,
    configure,
    evaluate,
    init,
    log,
    loop,
    optimizers,
    score,
    step,
    stopping,
    summarise,
    train,
)
from jaxpareto.train.folder import differences
from jaxpareto.train.recipe import pixels
from jaxpareto.train.step import run_steps
from jaxpareto.types import Conditioned, Split

KEY = jax.random.key(0)
HPARAMS = Hparams(learning_rate=1e-2)
# Eager, these compile operation by operation.
stepped = jax.jit(step, static_argnums=0)
started = jax.jit(init, static_argnums=0)


@cache
def hypernetwork():
    net = mlp((6, 6), classes=16, widths=(16,))
    return conditioned.chunked(net, 2, KEY, chunk_size=64, width=16, hidden=(32,))


def mixture():
    """Mix two linear classifiers: what is quickly compiled, for loops around it."""
    return Conditioned(
        init=lambda key: jax.random.normal(key, (2, 36, 32)) / 6.0,
        params=lambda phi, pref: jnp.tensordot(pref, phi, 1),
        forward=lambda params, images, *, key=None: (
            images.reshape(len(images), 36) @ params
        ).reshape(len(images), 2, 16),
    )


def uniform(key, k, progress=1.0):
    """Draw [k, 2] as the Dirichlet sampler does, without compiling its gammas."""
    first = jax.random.uniform(key, (k, 1))
    return jnp.concatenate([first, 1.0 - first], axis=1)


def examples(n, seed=1):
    """Return random images whose labels can be learned: the brightest quarters."""
    images = np.random.default_rng(seed).integers(0, 256, (n, 6, 6))
    quarters = images.reshape(n, 2, 3, 2, 3).sum((2, 4)).reshape(n, 4)
    labels = np.stack([quarters.argmax(1), quarters.argmin(1)], axis=1)
    return Split(jnp.asarray(images, jnp.uint8), jnp.asarray(labels, jnp.int32))


def recipe(optimizer="adam", sampler=uniform, network=hypernetwork, **settings):
    return Recipe(
        conditioned=network(),
        rule=RULES["linear"],
        sampler=sampler,
        optimizer=optimizers.optimizer(optimizer, "constant", steps=100),
        **settings,
    )


looped = partial(recipe, network=cache(mixture))


def test_a_step_follows_the_gradient_of_the_weighted_losses():
    """One SGD step against the same gradient written out with Optax's loss."""
    wishes = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    mine = recipe("sgd", prefs.fixed(wishes), prefs_per_step=2)
    state, batch = started(mine, KEY, HPARAMS), examples(12)
    after, info = stepped(mine, state, batch, HPARAMS)

    def objective(phi):
        total = 0.0
        for wish in wishes:
            logits = mine.conditioned.apply(phi, wish, batch.images / 255.0)
            for i in range(2):
                losses = optax.softmax_cross_entropy_with_integer_labels(
                    logits[:, i], batch.labels[:, i]
                )
                total += wish[i] * losses.mean() / len(wishes)
        return total

    value, gradient = jax.jit(jax.value_and_grad(objective))(state.phi)
    expected = jax.tree.map(
        lambda p, g: np.asarray(p) - 1e-2 * np.asarray(g), state.phi, gradient
    )
    chex.assert_trees_all_close(after.phi, expected, atol=1e-6)
    np.testing.assert_allclose(info.objective, value, rtol=1e-5)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(info.grad_norm, norm, rtol=1e-4)


def test_the_volume_of_four_tasks_is_the_same_without_moocore(monkeypatch):
    pytest.importorskip("moocore", reason="extra `metrics`")
    losses = jnp.asarray(np.random.default_rng(0).random((6, 4), np.float32))
    corner = jnp.full(4, 1.1)
    with_moocore = evaluate.volume(losses, corner)
    monkeypatch.setattr(evaluate, "find_spec", lambda name: None)
    assert evaluate.volume(losses, corner) == pytest.approx(with_moocore, rel=1e-5)


@pytest.mark.parametrize("gram_of", ["phi", "params"])
def test_a_step_follows_the_weights_of_a_solver(gram_of):
    """Two preferences by hand: the gradients, their products, MGDA's own weights."""
    wishes = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    mine = recipe("sgd", prefs.fixed(wishes), prefs_per_step=2, gram_of=gram_of)
    mine = mine._replace(rule=RULES["mgda"])
    state, batch = started(mine, KEY, HPARAMS), examples(12)
    after, info = stepped(mine, state, batch, HPARAMS)

    def loss(params, i):
        logits = mine.conditioned.forward(params, batch.images / 255.0)
        each = optax.softmax_cross_entropy_with_integer_labels
        return each(logits[:, i], batch.labels[:, i]).mean()

    @jax.jit
    def both(phi, wish):
        params, pull_back = jax.vjp(lambda phi: mine.conditioned.params(phi, wish), phi)
        in_params = [jax.grad(loss)(params, i) for i in range(2)]
        return in_params, [pull_back(g)[0] for g in in_params]

    expected, seen = jax.tree.map(np.asarray, state.phi), []
    for wish in wishes:
        in_params, in_phi = jax.tree.map(np.asarray, both(state.phi, wish))
        compared = [
            np.concatenate([np.ravel(x) for x in jax.tree.leaves(g)])
            for g in (in_phi if gram_of == "phi" else in_params)
        ]
        weights, _ = jax.jit(SOLVERS["mgda"])(
            jnp.ones(2), np.array(compared) @ np.array(compared).T, wish
        )
        weights = np.asarray(weights)
        seen.append(weights)
        for w, g in zip(weights, in_phi, strict=True):
            expected = jax.tree.map(lambda p, d, w=w: p - 1e-2 * w * d / 2, expected, g)
    chex.assert_trees_all_close(after.phi, expected, atol=1e-6)
    np.testing.assert_allclose(info.weights, np.mean(seen, axis=0), rtol=1e-4)
    assert info.solved == 1


@pytest.mark.parametrize("rule", ["linear", "epo"])
def test_a_split_batch_is_the_mean_over_its_parts(rule):
    wishes = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    split = recipe("sgd", prefs.fixed(wishes), prefs_per_step=2, split_batch=True)
    split = split._replace(rule=RULES[rule])
    batch, state = examples(12), started(split, KEY, HPARAMS)
    found, _ = stepped(split, state, batch, HPARAMS)

    @jax.jit  # the preference is traced: one program serves both halves
    def alone(half, wish):
        one = split._replace(
            sampler=lambda *_: wish[None], prefs_per_step=1, split_batch=False
        )
        return step(one, state, half, HPARAMS)[0].phi

    halves = [
        alone(jax.tree.map(lambda x, i=i: x[6 * i : 6 * (i + 1)], batch), wish)
        for i, wish in enumerate(wishes)
    ]
    mean = jax.tree.map(lambda a, b: (np.asarray(a) + np.asarray(b)) / 2, *halves)
    chex.assert_trees_all_close(found.phi, mean, atol=1e-6)


def test_a_loss_of_ones_own():
    """Regression beside the default: the trainer asks only for `losses -> [m]`."""
    mine = recipe("sgd", prefs.fixed(np.array([[0.5, 0.5]], np.float32)))._replace(
        losses=lambda outputs, labels: jnp.mean(jnp.square(outputs[..., 0] - labels), 0)
    )
    state, batch = started(mine, KEY, HPARAMS), examples(12)
    _, info = stepped(mine, state, batch, HPARAMS)
    logits = jax.jit(mine.conditioned.apply)(
        state.phi, jnp.array([0.5, 0.5]), batch.images / 255.0
    )
    expected = np.mean((np.asarray(logits)[..., 0] - np.asarray(batch.labels)) ** 2, 0)
    np.testing.assert_allclose(info.losses, expected, rtol=1e-5)


def test_the_sampler_hears_how_far_the_training_is():
    seen = []

    def spy(key, k, progress):
        jax.debug.callback(lambda found: seen.append(float(found)), progress)
        return uniform(key, k)

    mine = looped(sampler=spy, steps=4)
    state = started(mine, KEY, HPARAMS)
    for _ in range(3):
        state, _ = stepped(mine, state, examples(4), HPARAMS)
        jax.effects_barrier()
    assert seen == [0.0, 0.25, 0.5]


def test_preferences_and_dropout_differ_from_step_to_step():
    seen = []

    def spy(key, k, progress):
        data = jax.random.key_data(key)
        jax.debug.callback(lambda found: seen.append(tuple(found.tolist())), data)
        return uniform(key, k)

    mine = looped(sampler=spy)
    state = started(mine, KEY, HPARAMS)
    for _ in range(3):
        state, _ = stepped(mine, state, examples(4), HPARAMS)
        jax.effects_barrier()
    assert len(seen) == len(set(seen)) == 3
    assert int(state.step) == 3


@pytest.mark.parametrize("split_batch", [True, False])
def test_an_epoch_in_pieces_is_an_epoch_bit_for_bit(split_batch):
    mine = looped(prefs_per_step=4, split_batch=split_batch)
    batches = data.stored(examples(48), 8)
    run = jax.jit(partial(run_steps, mine, batches), static_argnames="count")
    start = started(mine, KEY, HPARAMS)
    whole, history = run(start, batches.data, HPARAMS, 3, 0, count=6)
    first, _ = run(start, batches.data, HPARAMS, 3, 0, count=3)
    last, tail = run(first, batches.data, HPARAMS, 3, 3, count=3)
    chex.assert_trees_all_equal(whole, last)
    np.testing.assert_array_equal(history.objective[3:], tail.objective)


def test_training_lowers_the_loss_and_maps_over_seeds_and_hyperparameters():
    batches = data.stored(examples(64), 16)
    run = jax.jit(
        jax.vmap(
            jax.vmap(
                partial(train, recipe(prefs_per_step=2), batches, 10), (0, None, None)
            ),
            (None, 0, None),
        )
    )
    keys = jax.random.split(KEY, 3)
    rates = Hparams(jnp.array([1e-2, 1e-5]), jnp.array([0.0, 0.1]))
    state, history = run(keys, rates, batches.data)
    assert history.objective.shape == (2, 3, 10, 4)
    means = history.objective.mean(axis=-1)
    assert np.all(means[0, :, -1] < 0.8 * means[0, :, 0])
    assert np.all(means[0, :, -1] < means[1, :, -1])
    alone = jax.jit(partial(train, recipe(prefs_per_step=2), batches, 10))
    one, _ = alone(keys[1], Hparams(1e-2), batches.data)
    mapped = jax.tree.map(lambda x: np.asarray(x)[0, 1], state.phi)
    chex.assert_trees_all_close(mapped, one.phi, atol=1e-3)


def test_the_loop_takes_the_steps_of_the_pure_function(tmp_path):
    batches = data.stored(examples(64), 16)
    mine = looped(prefs_per_step=2)
    fitted = loop.fit(mine, batches, KEY, HPARAMS, tmp_path, epochs=3, quiet=True)
    pure, history = jax.jit(partial(train, mine, batches, 3))(
        KEY, HPARAMS, batches.data
    )
    chex.assert_trees_all_close(fitted.state.phi, pure.phi, atol=1e-6)
    lines = log.read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [4, 8, 12]
    np.testing.assert_allclose(
        [line["objective"] for line in lines], history.objective.mean(1), rtol=1e-5
    )


def test_the_loop_compiles_once_for_all_epochs(tmp_path):
    traced = []

    def spy(key, k, progress):
        traced.append(1)
        return uniform(key, k)

    batches = data.stored(examples(64), 16)
    loop.fit(looped(sampler=spy), batches, KEY, HPARAMS, tmp_path, epochs=4, quiet=True)
    assert len(traced) == 1


def test_a_resumed_loop_ends_in_the_same_bits(tmp_path):
    batches = data.stored(examples(64), 16)
    mine = looped(prefs_per_step=2)

    def run(folder, epochs):
        folder.mkdir(exist_ok=True)
        return loop.fit(mine, batches, KEY, HPARAMS, folder, epochs=epochs, quiet=True)

    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "cut", 2)
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "step": 9, "seconds": 1.0}\n{"epoch": 3, "st')
    resumed = run(tmp_path / "cut", 4)
    chex.assert_trees_all_equal(
        (whole.state.phi, whole.state.opt_state, whole.state.step),
        (resumed.state.phi, resumed.state.opt_state, resumed.state.step),
    )
    lines = log.read_metrics(tmp_path / "cut" / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]


def stops_at(curve, patience, min_delta):
    """Say after how many looks a curve ends, and which is best: the rule in words."""
    best, at, waited = 0.0, 0, 0
    for number, value in enumerate(curve, start=1):
        waited = 0 if best == 0.0 or value > best + min_delta else waited + 1
        if best == 0.0 or value > best:
            best, at = value, number
        if waited == patience:
            return number, at
    return len(curve), at


def test_early_stopping_is_the_rule_applied_to_the_curve():
    """Curves in eighths, so that sums are exact: some flat, some zero at first."""
    curves = np.random.default_rng(0).integers(0, 9, (60, 12)) / 8
    curves[:20].sort(axis=1)
    curves[::3, :4] = 0.0

    @jax.jit
    def looks(curve, min_delta):
        def one(watched, at):
            value, number = at
            after = stopping.look(watched, number, value, number, min_delta)
            return after, (after.waited, after.epoch, after.best)

        start = stopping.begin(jnp.int32(0))
        return jax.lax.scan(one, start, (curve, jnp.arange(1, 13)))[1]

    phi = jnp.ones(3)
    assert stopping.begin(phi).best is not phi, "the steps give its memory away"
    for curve in curves:
        for patience, min_delta in ((1, 0.0), (2, 0.0), (2, 0.125), (3, 0.25)):
            waited, epoch, best = map(np.asarray, looks(curve, min_delta))
            end = np.append(np.flatnonzero(waited >= patience), 11)[0]
            expected = stops_at(curve, patience, min_delta)
            assert (end + 1, epoch[end]) == expected
            assert best[end] == epoch[end]


CURVE = [0.0, 0.2, 0.5, 0.45, 0.7, 0.71, 0.6, 0.72, 0.9, 0.9, 0.9, 0.9]
STOPPING = {"epochs": 24, "checkpoint_every": 2, "patience": 3, "min_delta": 0.05}


def watched_run(folder, **more):
    """Train with every second epoch judged by `CURVE`, whatever the parameters are."""
    folder.mkdir(exist_ok=True)

    def validate(phi):
        looked = [x for x in log.read_metrics(path) if "validation" in x]
        return {"hypervolume": CURVE[len(looked)]}

    path = folder / "metrics.jsonl"
    given = STOPPING | {"validate": validate, "quiet": True} | more
    batches = data.stored(examples(64), 16)
    return loop.fit(looped(prefs_per_step=2), batches, KEY, HPARAMS, folder, **given)


def test_a_loop_that_stops_early_ends_with_the_best(tmp_path):
    """0.7 is beaten by less than 0.05, three times: best so far is the eighth look."""
    fitted = watched_run(tmp_path / "short")
    assert stops_at(CURVE, 3, 0.05) == (8, 8)
    assert (fitted.epoch, int(fitted.watched.epoch)) == (16, 16)
    plain = watched_run(tmp_path / "plain", patience=2)
    assert stops_at(CURVE, 2, 0.05) == (7, 6)
    assert (plain.epoch, int(plain.watched.epoch)) == (14, 12)
    until = watched_run(tmp_path / "best", patience=0, min_delta=0.0, epochs=12)
    assert until.watched is None
    chex.assert_trees_all_equal(plain.watched.best, until.state.best)
    lines = log.read_metrics(tmp_path / "plain" / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == list(range(1, 15))
    # Out of patience already: called again, it takes no step.
    again = watched_run(tmp_path / "plain", patience=2)
    chex.assert_trees_all_equal(plain, again._replace(seconds=plain.seconds))


def test_a_run_cut_short_at_its_looks_stops_where_the_whole_one_does(
    tmp_path, monkeypatch
):
    """It dies while it waits, at the best look unsaved, and with its patience gone."""
    whole = watched_run(tmp_path / "whole", patience=2)
    save, deaths = stopping.save, {8: "after", 12: "before", 14: "after"}

    def dying(checkpoints, epoch, *held):
        moment = deaths.pop(epoch, None)
        if moment != "before":
            save(checkpoints, epoch, *held)
        if moment:
            raise KeyboardInterrupt

    monkeypatch.setattr(stopping, "save", dying)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            watched_run(tmp_path / "cut", patience=2)
    cut = watched_run(tmp_path / "cut", patience=2)
    found, wanted = ((x.state.phi, x.state.opt_state, x.watched) for x in (cut, whole))
    chex.assert_trees_all_equal(found, wanted)
    lines = [log.read_metrics(tmp_path / x / "metrics.jsonl") for x in ("whole", "cut")]
    for one, two in zip(*lines, strict=True):
        assert one | {"seconds": 0} == two | {"seconds": 0}


def test_patience_needs_something_to_look_at(tmp_path):
    with pytest.raises(UsageError, match="nothing is evaluated on validation"):
        watched_run(tmp_path, validate=None)
    broken = {"validate": lambda phi: {"hypervolume": float("nan")}}
    with pytest.raises(RunError, match=r"hypervolume .* not finite after epoch 2; .*"):
        watched_run(tmp_path, **broken)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    """The rule turns to NaN from step 10 on, the second step of the third epoch."""
    mine = looped()
    bad = mine._replace(
        optimizer=lambda h: optax.sgd(lambda t: jnp.where(t < 9, 0.1, jnp.inf))
    )
    batches = data.stored(examples(64), 16)
    with pytest.raises(
        RunError, match=r"not finite at steps 11 to 12;.*kept \(epoch 2\)"
    ):
        loop.fit(bad, batches, KEY, HPARAMS, tmp_path, epochs=4, quiet=True)
    assert [line["epoch"] for line in log.read_metrics(tmp_path / "metrics.jsonl")] == [
        1,
        2,
    ]
    kept = loop.fit(bad, batches, KEY, HPARAMS, tmp_path, epochs=2, quiet=True)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(kept.state.phi))


def test_parameters_that_overflow_at_the_last_step_are_not_saved(tmp_path):
    bad = looped()._replace(
        optimizer=lambda h: optax.sgd(lambda t: jnp.where(t < 7, 0.1, jnp.inf))
    )
    batches = data.stored(examples(64), 16)
    with pytest.raises(RunError, match=r"not finite after step 8;.*kept \(epoch 1\)"):
        loop.fit(bad, batches, KEY, HPARAMS, tmp_path, epochs=4, quiet=True)


@pytest.mark.parametrize("steps", [1, 39, 60, 95, 100, 421, 422, 1000])
def test_pieces_cover_an_epoch_with_at_most_two_lengths(steps):
    cut = loop.pieces(steps)
    assert cut[0][0] == 0 and sum(count for _, count in cut) == steps
    assert all(a + n == b for (a, n), (b, _) in pairwise(cut))
    assert len({count for _, count in cut}) <= 2


@pytest.mark.parametrize("piece", [0, 128])  # all networks at once; one by one
@pytest.mark.parametrize("n", [1, 499, 500, 501, 1203])
def test_score_equals_a_plain_loop(n, piece, monkeypatch):
    monkeypatch.setattr(evaluate, "choose_microbatch", lambda *_: piece)
    # A function of its own: the compiled one does not read `piece` again.
    fresh = jax.jit(score.__wrapped__, static_argnums=0)
    made, split = looped().conditioned, examples(n)
    phi = np.random.default_rng(0).standard_normal((2, 36, 32)).astype(np.float32) / 6
    wishes = np.array([[0.0, 1.0], [0.3, 0.7], [1.0, 0.0]], np.float32)
    found = fresh(made, phi, jnp.asarray(wishes), split)
    for j, wish in enumerate(wishes):
        logits = np.asarray(
            made.apply(phi, wish, np.asarray(split.images) / np.float32(255)),
            np.float64,
        )
        logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        labels = np.asarray(split.labels)
        mine = -np.take_along_axis(logp, labels[..., None], -1)[..., 0].mean(0)
        np.testing.assert_allclose(found.losses[j], mine, rtol=1e-5)
        hits = (logits.argmax(-1) == labels).mean(0)
        np.testing.assert_allclose(found.accuracies[j], hits, atol=1e-6)


def test_summary_of_a_front_known_by_hand():
    wishes = jnp.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    losses = jnp.array([[1.5, 0.5], [1.0, 1.0], [0.5, 1.5]])
    from jaxpareto.train import Scores

    found = summarise(wishes, Scores(losses, 1 - losses / 2))
    assert found["hypervolume"] == pytest.approx(0.5 * 1.5 + 0.5 * 1.0 + 0.5 * 0.5)
    assert found["nondominated"] == 3
    assert found["spearman"] == pytest.approx([1.0, 1.0])
    assert found["reference"] == [2.0, 2.0]
    json.dumps(found)
    alone = summarise(wishes[:1], Scores(losses[:1], losses[:1]))
    assert alone["spearman"] == [None, None]


def test_pixels():
    raw = jnp.array([[0, 128, 255]], jnp.uint8)
    np.testing.assert_allclose(pixels(raw), [[0.0, 128 / 255, 1.0]], rtol=1e-6)
    np.testing.assert_array_equal(pixels(jnp.ones(3) * 0.5), jnp.ones(3) * 0.5)


@pytest.mark.parametrize("name", optimizers.SCHEDULES)
def test_every_schedule_starts_at_the_peak_and_warms_up(name):
    plain = optimizers.schedule(name, 0.3, steps=100)
    np.testing.assert_allclose(plain(0), 0.3, rtol=1e-6)
    values = np.array([plain(t) for t in range(100)])
    assert np.all(np.diff(values) <= 1e-9) and np.all(values >= 0)
    warm = optimizers.schedule(name, 0.3, steps=100, warmup=10)
    assert float(warm(0)) == 0.0
    np.testing.assert_allclose(warm(10), 0.3, rtol=1e-6)


@pytest.mark.parametrize("name", optimizers.optimizer_names())
def test_every_optimizer_by_name_takes_a_step_with_traced_hyperparameters(name):
    make = optimizers.optimizer(name, "cosine", steps=10)

    @jax.jit
    def move(hparams):
        params = {"w": jnp.array([1.0, -2.0])}
        tx = make(hparams)
        updates, _ = tx.update({"w": jnp.array([0.5, 0.5])}, tx.init(params), params)
        return optax.apply_updates(params, updates)["w"]

    assert np.all(np.isfinite(move(HPARAMS)))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_weight_decay_is_decoupled(name):
    make = optimizers.optimizer(name, "constant", steps=10)
    params = {"w": jnp.array([1.0, -2.0])}
    for decay in (0.0, 0.5):
        tx = make(Hparams(0.1, decay))
        updates, _ = tx.update({"w": jnp.zeros(2)}, tx.init(params), params)
        np.testing.assert_allclose(updates["w"], -0.1 * decay * params["w"], atol=1e-7)


def test_gradient_clipping():
    tx = optimizers.optimizer("sgd", "constant", steps=10, clip=1.0)(Hparams(1.0))
    updates, _ = tx.update(
        {"w": jnp.array([3.0, 4.0])}, tx.init({"w": jnp.zeros(2)}), {"w": jnp.zeros(2)}
    )
    np.testing.assert_allclose(updates["w"], [-0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network": "lenett"}, "unknown network 'lenett'; did you mean lenet"),
        ({"rule": "liner"}, "unknown rule 'liner'; did you mean linear"),
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm'; did you mean adam"),
        ({"epohs": 3}, "unknown setting 'epohs'; did you mean epochs"),
        ({"epochs": 0}, "--epochs must be at least 1, found 0"),
        ({"learning_rate": -1.0}, "--learning-rate must be positive, found -1.0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be positive"),
        ({"validation": 1.0}, "--validation must lie between 0 and 1"),
        ({"patience": -1}, "--patience must be at least 0, found -1"),
        ({"patience": 1, "min_delta": -0.1}, "--min-delta must be at least 0.0"),
        ({"patience": 1, "min_delta": float("nan")}, "--min-delta must be at least"),
        ({"min_delta": 0.1}, "--min-delta 0.1 needs --patience"),
        ({"patience": 1, "validation": 0.0}, "--validation must lie between 0 and 1"),
        (
            {"patience": 2, "epochs": 5, "checkpoint_every": 5},
            "--patience 2: with --checkpoint-every 5 of 5 epochs there is one look",
        ),
        ({"prefs_per_step": 7}, "7 preferences cannot share a batch of 64 evenly"),
        ({"conditioner": "independent", "split_batch": True}, "--no-split-batch"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(given, message):
    with pytest.raises(UsageError) as error:
        configure(**given)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_defaults_suit_the_data_set_and_the_conditioner():
    assert configure().network == "mlp"
    assert configure(data="multi-mnist").network == "lenet"
    assert configure(data="multi-mnist", network="mlp").network == "mlp"
    assert not configure(conditioner="independent").split_batch
    changed = dataclasses.replace(configure(), epochs=7, seed=3)
    assert list(differences(configure(), changed)) == [
        f"--epochs was {configure().epochs}, now 7",
        "--seed was 0, now 3",
    ]
