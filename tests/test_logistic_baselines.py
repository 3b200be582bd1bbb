"""The simpler methods: against scikit-learn, brute force, and what each must keep."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import logistic
from jaxpareto.logistic import baselines
from tests.test_logistic import random_head, small

DECAYS = np.array([1.0, 0.3, 0.1, 0.03, 0.01, 1e-3])


@cache
def ridge():
    features, labels = small(2, n=40)
    with jax.enable_x64(True):
        found = jax.jit(partial(baselines.ridge, classes=4))(features, labels, DECAYS)
        return features, labels, jax.tree.map(np.asarray, found)


def test_ridge_as_scikit_learn_finds_it():
    """Errors of every row left out, the decay of each class, and the scores."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels, found = ridge()
    theirs = linear_model.RidgeCV(
        len(labels) * DECAYS, alpha_per_target=True, store_cv_results=True
    ).fit(features, np.eye(4)[labels])
    errors = theirs.cv_results_.mean(axis=0).T  # squared errors [n, c, l]
    np.testing.assert_allclose(found.errors, errors, rtol=1e-10)
    np.testing.assert_allclose(found.decay * len(labels), theirs.alpha_)
    assert len(set(found.decay)) > 1, "the classes ought to differ for this test"
    np.testing.assert_allclose(found.head.kernel, theirs.coef_.T, atol=1e-10)
    np.testing.assert_allclose(found.head.bias, theirs.intercept_, atol=1e-10)


def test_ridge_leaves_rows_out():
    """By brute force: the fit of all other rows, with the penalty of the sum kept."""
    features, labels, found = ridge()
    n, decay = len(labels), DECAYS[2]
    wrong = []
    for i in range(n):
        rest = np.arange(n) != i
        x, hot = features[rest], np.eye(4)[labels[rest]]
        mean = x.mean(axis=0)
        system = (x - mean).T @ (x - mean) + n * decay * np.eye(5)
        kernel = np.linalg.solve(system, (x - mean).T @ (hot - hot.mean(axis=0)))
        said = hot.mean(axis=0) + (features[i] - mean) @ kernel
        wrong.append((said - np.eye(4)[labels[i]]) ** 2)
    np.testing.assert_allclose(found.errors[2], np.mean(wrong, axis=0), rtol=1e-10)


def test_tempered_scores_have_the_smallest_loss_of_their_scales():
    optimize = pytest.importorskip("scipy.optimize")
    features, labels, found = ridge()
    with jax.enable_x64(True):
        tempered = jax.jit(baselines.tempered)(found.head, features, labels)
        tempered = jax.tree.map(np.asarray, tempered)
        scores = np.asarray(logistic.logits(found.head, features))
    scale = tempered.kernel / found.head.kernel
    np.testing.assert_allclose(scale, np.broadcast_to(scale[0, 0], scale.shape))
    np.testing.assert_allclose(tempered.bias / found.head.bias, scale[0])

    def loss(log_scale):
        z = np.exp(log_scale) * scores
        each = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]
        return each.mean()

    best = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    assert float(np.log(scale[0, 0])) == pytest.approx(best.x, abs=1e-5)


def test_tempered_scores_stay_finite_where_all_rows_are_right():
    head = logistic.Head(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    found = jax.jit(baselines.tempered)(head, np.eye(2), np.arange(2))
    assert found.kernel[0, 0] == pytest.approx(baselines.WIDEST, rel=1e-3)


def several(count=6):
    """Return that many heads that nobody fitted, stacked."""
    each = [random_head(seed) for seed in range(count)]
    return logistic.Head(*(jnp.asarray(np.stack(x)) for x in zip(*each, strict=True)))


def test_plug_in_takes_each_class_where_its_loss_is_smallest():
    features, labels = small(4, n=80)
    heads, plug_in = several(), jax.jit(baselines.plug_in)
    decays = jnp.asarray(DECAYS)
    own = np.asarray(plug_in(decays, heads, features, labels))
    for c in range(4):
        rows = labels == c
        losses = []
        for kernel, bias in zip(*map(np.asarray, heads), strict=True):
            z = features[rows] @ kernel + bias
            losses.append(np.mean(np.log(np.exp(z).sum(axis=1)) - z[:, c]))
        assert own[c] == pytest.approx(DECAYS[np.argmin(losses)], rel=1e-6)
    assert len(set(own)) > 1
    half = plug_in(decays, heads, features, labels, toward=0.1)
    np.testing.assert_allclose(np.log(half), (np.log(own) + np.log(0.1)) / 2, 1e-5)


def test_normalised_lengths():
    """tau = 0 keeps the probabilities, tau = 1 evens the lengths, none their mean."""
    head, features = random_head(3), small()[0]
    with jax.enable_x64(True):
        same, even = (baselines.normalised(head, tau) for tau in (0.0, 1.0))
        likely = [jax.nn.softmax(logistic.logits(h, features)) for h in (head, same)]
        np.testing.assert_allclose(*likely, atol=1e-12)
        lengths = np.linalg.norm(even.kernel, axis=0)
        before = np.linalg.norm(head.kernel, axis=0)
        np.testing.assert_allclose(lengths, np.exp(np.log(before).mean()))
        # Answers of a class are scaled whole: what is half its length is doubled.
        ratio = (even.bias / same.bias) * (before / lengths)
        np.testing.assert_allclose(ratio, 1.0)
        shifted = baselines.normalised(head._replace(bias=head.bias + 3.0), 1.0)
        np.testing.assert_allclose(shifted.bias, even.bias, atol=1e-12)


def test_adjusted_answers_are_those_of_a_test_with_all_classes_alike():
    """Bayes: weighing the rows of a class by 1 / pi_c is the same as tau = -1."""
    labels = np.repeat([0, 1, 2], [6, 3, 1]).astype(np.int32)
    head = logistic.Head(np.zeros((1, 3)), np.log([0.6, 0.3, 0.1]))
    with jax.enable_x64(True):
        found = baselines.adjusted(head, labels, -1.0)
        np.testing.assert_allclose(found.bias, 0.0, atol=1e-12)
        kept = baselines.adjusted(head, labels, 0.0)
    np.testing.assert_allclose(kept.bias, head.bias)


def test_pick_takes_the_smallest_value():
    features, labels = small(4, n=80)
    heads = several()

    @jax.jit
    def both(options):
        worst = logistic.by_class(jnp.max)
        found = baselines.pick(options, heads, features, labels, value=worst)
        each = jax.vmap(logistic.class_losses, (0, None, None))
        return found, each(heads, features, labels)

    found, losses = both(jnp.arange(6))
    np.testing.assert_allclose(found.values, losses.max(axis=1), rtol=1e-6)
    lowest = int(np.argmin(losses.max(axis=1)))
    assert int(found.option) == lowest != int(np.argmin(losses.mean(axis=1)))
    np.testing.assert_array_equal(found.head.bias, heads.bias[lowest])
