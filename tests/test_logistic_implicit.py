"""A decay for every class: its gradient against differences, its promises by theory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import logistic
from jaxpareto.scalarize import SCALARISATIONS
from tests.test_logistic import small

START = np.log([0.003, 0.03, 0.01, 0.1])


def held(value, **options):
    """Return V(theta) on held rows, in float64."""
    features, labels = small(3, n=80)
    rows, rest = slice(40), slice(40, None)
    labels[:4] = np.arange(4)
    axes = logistic.basis(jnp.asarray(features[rows]))
    start = logistic.zeros(5, 4, np.float64)

    def outer(theta):
        head = logistic.best(
            theta, features[rows], labels[rows], start, axes, options["tolerance"]
        )
        return value(head, features[rest], labels[rest])

    return outer


def worst(head, features, labels):
    return jnp.max(logistic.class_losses(head, features, labels))


def test_the_hypergradient_against_finite_differences():
    """For the mean and for the worst class, in every decay, to 1e-6 of the largest."""
    with jax.enable_x64(True):
        for value in (logistic.mean_loss, worst):
            both = jax.jit(jax.value_and_grad(held(value, tolerance=1e-20)))
            slope = np.asarray(both(START)[1])
            for c in range(4):
                step = 1e-4 * np.eye(4)[c]
                change = (both(START + step)[0] - both(START - step)[0]) / 2e-4
                assert abs(change - slope[c]) <= 1e-6 * np.abs(slope).max()


def test_only_ratios_of_classes_pay_when_nothing_is_held():
    """On the rows it is fitted on, more decay of any class never lowers the loss."""
    features, labels = small(3, n=80)
    with jax.enable_x64(True):
        axes = logistic.basis(jnp.asarray(features))
        start = logistic.zeros(5, 4, np.float64)

        def fitted(scale):
            head = logistic.best(START + scale, features, labels, start, axes, 1e-14)
            return logistic.mean_loss(head, features, labels)

        assert jax.jit(jax.grad(fitted))(0.0) > 0


def test_classes_losses_are_means_over_their_rows():
    features, labels = small(5, n=40)
    head = logistic.Head(np.full((5, 4), 0.1), np.arange(4.0))
    with jax.enable_x64(True):
        by_class = np.asarray(logistic.class_losses(head, features, labels))
        answers = np.asarray(logistic.logits(head, features))
    each = np.log(np.exp(answers).sum(axis=1)) - answers[np.arange(40), labels]
    for c in range(4):
        np.testing.assert_allclose(by_class[c], each[labels == c].mean())


def test_tuned_decays_lower_what_they_are_tuned_for_and_shrinkage_holds_them():
    features, labels = small(7, n=160, d=5, c=4)
    features = features.astype(np.float32)
    rows, rest = slice(60), slice(60, None)
    given = features[rows], labels[rows], features[rest], labels[rest]
    tune = jax.jit(partial(logistic.tune, steps=15))
    shared = jnp.full(4, 0.01)
    free = tune(*given, shared, shrinkage=1e-4)
    assert free.values.shape == (15,)
    assert float(free.values.min()) < float(free.values[0]) - 1e-3
    reached = logistic.mean_loss(free.head, *given[2:])
    assert float(reached) <= float(free.values.min())
    best = logistic.gap(free.head, *given[:2], free.decay)
    assert float(best) <= 1e-4
    held = tune(*given, shared, shrinkage=100.0)
    spread = np.ptp(np.log(held.decay))
    assert spread < 0.05 < np.ptp(np.log(free.decay))


def halves():
    """Return rows to fit on and rows to judge on, every class among both."""
    features, labels = small(3, n=80)
    labels[40:44] = np.arange(4)
    return features[:40], labels[:40], features[40:], labels[40:]


def test_who_pays_for_the_decay_of_whom():
    """Finite differences of all class losses, and the identity of the rows' sums.

    Decays that all grow by a factor are features of another unit: the sum of a row is
    what shrinking all features, fitted and held, does to the loss of that class.
    """
    rows, step = halves(), 1e-4
    ways = step * np.concatenate([np.eye(4), -np.eye(4), np.zeros((2, 4))])
    units = np.exp(np.concatenate([np.zeros(8), [-step / 2, step / 2]]))

    @jax.jit
    def both(theta):
        start = logistic.zeros(5, 4, np.float64)

        def class_losses(asked):
            way, unit = asked
            x, y, held, answers = rows[0] * unit, rows[1], rows[2] * unit, rows[3]
            axes = logistic.basis(x)
            head = logistic.best(theta + way, x, y, start, axes, 1e-20)
            return logistic.class_losses(head, held, answers)

        axes = logistic.basis(jnp.asarray(rows[0]))
        matrix = logistic.sensitivity(theta, *rows, start, axes, 1e-20)
        return matrix, jax.lax.map(class_losses, (ways, units))

    with jax.enable_x64(True):
        found, losses = map(np.asarray, both(START))
    changes = (losses[:4] - losses[4:8]).T / (2 * step)
    np.testing.assert_allclose(found, changes, atol=1e-6)
    change = (losses[8] - losses[9]) / (2 * step)
    np.testing.assert_allclose(found.sum(axis=1), change, atol=1e-6)
    assert np.abs(found.sum(axis=1)).min() > 1e-4


def test_cvar_is_the_minimum_of_its_definition():
    """`min_t t + mean(max(V - t, 0)) / share`, by trying every t that can be it."""
    rng = np.random.default_rng(0)
    for share in (0.05, 0.2, 0.37, 0.5, 0.99, 1.0):
        losses = rng.exponential(size=7)
        with jax.enable_x64(True):
            mine = float(logistic.cvar(jnp.asarray(losses), share))
        counted = max(share, 1 / 7)  # less than one class is that class
        by_t = [t + np.maximum(losses - t, 0).mean() / counted for t in losses]
        assert mine == pytest.approx(min(by_t), rel=1e-12)
    losses = jnp.arange(4.0)
    assert logistic.cvar(losses, 1.0) == logistic.JUDGES["mean"](losses) == 1.5
    assert logistic.cvar(losses, 0.25) == logistic.JUDGES["worst"](losses) == 3.0


@pytest.mark.parametrize("name", SCALARISATIONS)
def test_any_scalarisation_judges_classes_by_a_preference(name):
    """Its slope in the head: those of the classes' losses, weighed by the formula's."""
    rows = [np.asarray(x, np.float32 if x.ndim == 2 else None) for x in halves()]
    judge = partial(SCALARISATIONS[name], pref=jnp.array([0.4, 0.3, 0.2, 0.1]))
    if name == "utility":
        judge = partial(judge, ceiling=10.0)
    value = logistic.by_class(judge)
    head = logistic.Head(np.full((5, 4), 0.1, np.float32), np.arange(4.0, dtype="f4"))

    @jax.jit
    def slopes(head):
        losses = logistic.class_losses(head, *rows[2:])
        _, pull = jax.vjp(lambda head: logistic.class_losses(head, *rows[2:]), head)
        return jax.grad(value)(head, *rows[2:]), pull(jax.grad(judge)(losses))[0]

    mine, composed = slopes(head)
    same = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(same, mine, composed)
    assert all(np.isfinite(x).all() and np.any(x) for x in mine)


def test_a_preference_for_a_class_lowers_its_loss():
    """`tune` by a weighted sum: whoever is cared for pays less than otherwise."""
    rows = [np.asarray(x, np.float32 if x.ndim == 2 else None) for x in halves()]

    @jax.jit
    def paid(pref):
        judge = partial(SCALARISATIONS["linear"], pref=pref)
        found = logistic.tune(
            *(*rows, jnp.full(4, 0.03)), value=logistic.by_class(judge), steps=15
        )
        return logistic.class_losses(found.head, *rows[2:])

    prefs = jnp.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])
    first, last = paid(prefs[0]), paid(prefs[1])
    assert first[0] < last[0] and last[3] < first[3]
