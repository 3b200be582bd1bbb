"""A decay for every class: its gradient against differences, its promises by theory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import logistic
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
