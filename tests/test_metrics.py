"""The metrics against oracles (moocore, SciPy), closed forms and their own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import spearmanr

from jaxpareto.errors import UsageError
from jaxpareto.metrics import (
    correct,
    cross_entropy,
    hypervolume,
    nondominated,
    spearman,
)


def cloud(k, m, seed=0):
    """Return points [k, m] around the unit sphere: most of them non-dominated."""
    points = np.random.default_rng(seed).uniform(0.05, 1, (k, m))
    radius = np.random.default_rng(seed + 1).uniform(0.8, 1.0, (k, 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True) * radius


# Compiled once per shape: hence the same few shapes all over this file.
measure = jax.jit(hypervolume)
rank = jax.jit(spearman)
rank_each = jax.jit(jax.vmap(spearman))

# --- hypervolume ----------------------------------------------------------------------


@pytest.mark.parametrize("k, m", [(1, 2), (40, 2), (40, 3), (12, 4), (6, 5)])
def test_hypervolume_is_moocores(k, m):
    moocore = pytest.importorskip("moocore")
    points = cloud(k, m)
    reference = np.full(m, 0.9)  # some points lie beyond it in some objective
    with jax.enable_x64(True):
        volume = measure(points, reference)
        assert volume.dtype == jnp.float64
    assert volume == pytest.approx(moocore.hypervolume(points, ref=reference), rel=1e-9)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_in_float32(m):
    moocore = pytest.importorskip("moocore")
    points, reference = cloud(8, m), np.full(m, 1.1)
    volume = measure(points, reference)
    assert volume.dtype == jnp.float32
    assert volume == pytest.approx(moocore.hypervolume(points, ref=reference), rel=1e-5)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_with_shared_coordinates(m):
    # Coordinates from {0, 1, 2, 3}: each value is shared, some points are equal.
    moocore = pytest.importorskip("moocore")
    points = np.random.default_rng(m).integers(0, 4, (8, m)).astype(float)
    reference = np.full(m, 4.0)
    assert measure(points, reference) == moocore.hypervolume(points, ref=reference)


def test_hypervolume_by_hand():
    staircase = jnp.array([[0, 2], [1, 1], [2, 0]])  # integers are fine
    assert measure(staircase, jnp.array([3, 3])) == 3 + 2 + 1
    # Two boxes of volume 4 that share a cube of 1, twice: 4 + 4 - 2.
    boxes = jnp.array([[1.0, 1.0, 2.0], [1.0, 2.0, 1.0]])
    assert measure(boxes, jnp.array([3.0, 3.0, 3.0])) == 4 + 4 - 2
    box = jnp.zeros((1, 4))
    assert measure(box, jnp.array([1.0, 2.0, 3.0, 4.0])) == 24


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_invariances(m):
    with jax.enable_x64(True):
        points, reference = cloud(8, m), np.full(m, 1.1)
        volume = measure(points, reference)
        assert volume > 0
        same = pytest.approx(float(volume), rel=1e-12)
        shift = np.arange(1.0, m + 1)
        assert measure(points[::-1], reference) == same
        assert measure(points[:, ::-1], reference) == same
        assert measure(points + shift[None, :], reference + shift) == same
        assert measure(points / 2, reference / 2) * 2**m == same
        dominated = points[3:4] + 0.01
        assert measure(np.append(points, dominated, axis=0), reference) == same
        assert measure(np.append(points, points[:1], axis=0), reference) == same
        better = points[np.argmin(points.sum(axis=1))][None] - 0.01
        assert measure(np.append(points, better, axis=0), reference) > volume


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("worst", [1.1, 2.0, np.inf])
def test_points_that_do_not_dominate_the_reference_count_nothing(m, worst):
    points, reference = cloud(8, m), np.full(m, 1.1)
    points[1] = points[0]
    volume = float(measure(points, reference))
    beyond = np.full(m, 0.001)
    beyond[m - 1] = worst  # the best of all but in one objective
    points[1] = beyond
    assert measure(points, reference) == pytest.approx(volume, rel=1e-6)
    points[:] = beyond
    assert measure(points, reference) == 0


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_of_a_nan_is_nan(m):
    points, reference = cloud(8, m), np.full(m, 1.1)
    for i in range(m):
        broken = points.copy()
        broken[2, i] = np.nan
        assert np.isnan(measure(broken, reference))
    assert np.isnan(measure(points, np.append(reference[1:], np.nan)))


def test_hypervolume_of_nothing_is_zero():
    assert measure(jnp.zeros((0, 3)), jnp.ones(3)) == 0


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_gradient_is_the_finite_difference(m):
    with jax.enable_x64(True):
        points, reference = cloud(6, m), np.full(m, 1.1)
        points[4] = points[3] + 0.01  # dominated
        points[5, 0] = 1.2  # beyond the reference
        gradient = jax.jit(jax.grad(hypervolume))(points, reference)
        steps = 1e-6 * np.eye(6 * m).reshape(6 * m, 6, m)
        many = jax.jit(jax.vmap(hypervolume, (0, None)))
        ahead = many(points[None] + steps, reference)
        behind = many(points[None] - steps, reference)
        slope = ((ahead - behind) / 2e-6).reshape(6, m)
        np.testing.assert_allclose(gradient, slope, atol=1e-8)
        assert np.all(gradient[:3] < 0)  # a better point always gains
        np.testing.assert_allclose(gradient[4:], 0, atol=1e-15)


@pytest.mark.parametrize("m", [2, 4])  # 4 goes through 3
def test_hypervolume_under_transformations(m):
    clouds = np.stack([cloud(6, m, seed) for seed in range(3)]).astype(np.float32)
    reference = np.full(m, 1.1, np.float32)
    loop = [hypervolume(points, reference) for points in clouds]
    traces = []

    @jax.jit
    def jitted(points, reference):
        traces.append(1)
        return hypervolume(points, reference)

    rows = [jitted(points, reference) for points in clouds]
    np.testing.assert_allclose(rows, loop, rtol=1e-6)
    assert len(traces) == 1
    at_once = jax.jit(jax.vmap(hypervolume, (0, None)))(clouds, reference)
    np.testing.assert_allclose(at_once, loop, rtol=1e-6)


@pytest.mark.parametrize(
    "points, reference",
    [((3,), (3,)), ((3, 2), (3,)), ((3, 2), ()), ((3, 1), (1,)), ((2, 3, 2), (2,))],
)
def test_hypervolume_refuses_shapes(points, reference):
    with pytest.raises(UsageError, match="points"):
        hypervolume(jnp.ones(points), jnp.ones(reference))


# --- dominance ------------------------------------------------------------------------


@pytest.mark.parametrize("m", [1, 2, 3])
def test_nondominated_is_moocores(m):
    moocore = pytest.importorskip("moocore")
    points = np.random.default_rng(m).integers(0, 5, (30, m)).astype(np.float32)
    expected = moocore.is_nondominated(points, keep_weakly=True)
    assert 0 < expected.sum() < 30
    np.testing.assert_array_equal(nondominated(points), expected)
    both = jax.jit(jax.vmap(nondominated))(np.stack([points, points[::-1]]))
    np.testing.assert_array_equal(both, [expected, expected[::-1]])


def test_nondominated_keeps_duplicates_and_drops_nan():
    points = jnp.array([[1, 2], [1, 2], [2, 1], [2, 2], [jnp.nan, 0], [0, jnp.inf]])
    expected = [True, True, True, False, False, True]
    np.testing.assert_array_equal(nondominated(points), expected)


def test_nondominated_refuses_shapes():
    with pytest.raises(UsageError, match="points"):
        nondominated(jnp.ones(3))


# --- rank correlation -----------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 25, 501])
@pytest.mark.parametrize("values", [2, 5, 10_000])  # the fewer, the more ties
def test_spearman_is_scipys(k, values):
    rng = np.random.default_rng(k + values)
    x = rng.integers(0, values, k).astype(np.float32)
    y = x + rng.integers(0, values, k)
    x[0], x[-1], y[0], y[-1] = -1, values, values, -1  # neither is constant
    expected = spearmanr(x, y).statistic
    both = rank_each(np.stack([x, -x]), np.stack([y, y]))
    np.testing.assert_allclose(both, [expected, -expected], atol=1e-5)
    if k == 25:
        np.testing.assert_allclose(spearman(x, y), expected, atol=1e-5)


@pytest.mark.parametrize("k", [3, 501])
def test_spearman_of_a_monotone_curve_is_one(k):
    x = np.linspace(0, 1, k)
    assert rank(x, np.exp(5 * x)) == pytest.approx(1, abs=1e-6)
    assert rank(x, -(x**3)) == pytest.approx(-1, abs=1e-6)
    assert abs(rank(x, x)) <= 1


@pytest.mark.parametrize(
    "x, y",
    [
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]),
        ([1.0], [2.0]),
        ([1.0, 2.0, np.nan], [1.0, 2.0, 3.0]),
    ],
)
def test_spearman_without_an_answer_is_nan(x, y):
    assert np.isnan(rank(np.array(x), np.array(y)))


@pytest.mark.parametrize("x, y", [((3,), (4,)), ((), ()), ((3, 2), (3, 2))])
def test_spearman_refuses_shapes(x, y):
    with pytest.raises(UsageError, match="length"):
        spearman(jnp.ones(x), jnp.ones(y))


# --- classification -------------------------------------------------------------------


def examples():
    """Return logits [16, 3, 5] and labels [16, 3]."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(16, 3, 5)).astype(np.float32)
    return logits, rng.integers(0, 5, (16, 3))


def test_cross_entropy_is_scipys():
    logits, labels = examples()
    surprise = -np.take_along_axis(log_softmax(logits, axis=-1), labels[..., None], -1)
    for function in (cross_entropy, jax.jit(cross_entropy)):
        np.testing.assert_allclose(
            function(logits, labels), surprise[..., 0], rtol=1e-5
        )


def test_cross_entropy_of_sure_answers_is_finite():
    logits = jnp.array([[[1e4, -1e4], [1e4, -1e4]]])
    np.testing.assert_allclose(cross_entropy(logits, jnp.array([[0, 1]])), [[0, 2e4]])


def test_correct_is_argmax():
    logits, labels = examples()
    hits = correct(logits, labels)
    assert hits.dtype == bool
    assert 0 < hits.sum() < hits.size
    np.testing.assert_array_equal(hits, logits.argmax(-1) == labels)
    np.testing.assert_array_equal(jax.jit(correct)(logits, labels), hits)


def test_a_nan_is_never_correct():
    # argmax takes a NaN for the largest: a broken network would guess class 0, always.
    hits = correct(jnp.full((1, 2, 3), jnp.nan), jnp.array([[0, 1]]))
    assert not np.any(hits)


@pytest.mark.parametrize("function", [cross_entropy, correct])
def test_classification_refuses_shapes_and_types(function):
    labels = jnp.zeros((4, 2), int)
    for shape in [(4, 2), (4, 3, 5), (2, 4, 5), (4, 2, 5, 1)]:
        with pytest.raises(UsageError, match="labels"):
            function(jnp.zeros(shape), labels)
    with pytest.raises(UsageError, match="integers"):
        function(jnp.zeros((4, 2, 5)), labels.astype(float))
