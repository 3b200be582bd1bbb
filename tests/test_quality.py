"""Distances, spread and obedience of a front: oracles, hand counts, edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import metrics
from jaxpareto.errors import UsageError

ORACLE = "the oracle of these numbers is not installed"
DISTANCES = {name: getattr(metrics, name) for name in ("igd", "igd_plus", "gd")}
SPREADS = {name: getattr(metrics, name) for name in ("spacing", "sparsity", "span")}
AIMS = {name: getattr(metrics, name) for name in ("uniformity", "cross_angle")}

# Compiled once per shape, whichever test asks first.
COMPILED = {
    name: jax.jit(measure) for name, measure in (DISTANCES | SPREADS | AIMS).items()
}


def cloud(k=12, m=3, seed=0):
    """Return points [k, m] and a front [20, m] that some of them are better than."""
    rng = np.random.default_rng(seed)
    front = rng.uniform(0, 1, (20, m))
    return rng.uniform(0.1, 1.2, (k, m)), front / front.sum(axis=1, keepdims=True)


# --- distances ------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3])
def test_distances_are_moocores_and_pymoos(m):
    moocore = pytest.importorskip("moocore", reason=ORACLE)
    points, front = cloud(m=m)
    with jax.enable_x64(True):
        found = {name: float(COMPILED[name](points, front)) for name in DISTANCES}
    assert found["igd"] == pytest.approx(moocore.igd(points, ref=front), abs=1e-9)
    plus = moocore.igd_plus(points, ref=front)
    assert found["igd_plus"] == pytest.approx(plus, abs=1e-9)
    assert found["igd_plus"] < found["igd"]
    # The distance between sets has no direction: moocore's igd, the sets exchanged.
    assert found["gd"] == pytest.approx(moocore.igd(front, ref=points), abs=1e-9)

    for name in ("gd", "igd", "igd_plus"):
        module = pytest.importorskip(f"pymoo.indicators.{name}", reason=ORACLE)
        kind = {"gd": "GD", "igd": "IGD", "igd_plus": "IGDPlus"}[name]
        expected = getattr(module, kind)(front)(points)
        assert found[name] == pytest.approx(expected, abs=1e-9)
        assert COMPILED[name](points, front) == pytest.approx(expected, abs=1e-6)


def test_distances_by_hand():
    front = [[0.0, 4.0], [4.0, 0.0]]
    points = [[3.0, 8.0], [4.0, -1.0]]  # 3 right and 4 up of one; 1 below the other
    assert metrics.igd(points, front) == (5 + 1) / 2
    assert metrics.igd_plus(points, front) == (4 + 0) / 2  # (4, -1) dominates (4, 0)
    assert metrics.gd(points, front) == (5 + 1) / 2
    assert metrics.gd(points[:1], front) == 5
    assert metrics.igd(points[:1], front) == pytest.approx((5 + np.sqrt(65)) / 2)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_at_the_edges(name):
    measure = COMPILED[name]
    points, front = cloud()
    assert measure(front, front) == 0
    assert measure(points[:1], front) > 0
    assert measure(front, points[:1]) > 0
    nothing = measure(np.zeros((0, 3)), front)
    assert np.isnan(nothing) if name == "gd" else nothing == np.inf
    far = points.copy()
    far[4, 1] = np.inf
    rest = np.delete(points, 4, axis=0)
    if name == "gd":
        assert measure(far, front) == np.inf
    else:  # as if that point were not there
        assert measure(far, front) == pytest.approx(float(measure(rest, front)))
    for spoilt in (far * np.nan, np.where(np.isinf(far), np.nan, far)):
        assert np.isnan(measure(spoilt, front))
    for hole in (np.nan, np.inf):
        assert np.isnan(measure(points, np.where(front == front[2, 0], hole, front)))


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_have_a_finite_gradient_on_the_front(name):
    _, front = cloud()
    gradient = jax.grad(DISTANCES[name])(jnp.asarray(front[:3]), jnp.asarray(front))
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize(
    "points, front", [((2, 3), (4, 2)), ((3,), (4, 3)), ((2, 3), (0, 3))]
)
def test_distances_refuse_shapes(name, points, front):
    with pytest.raises(UsageError, match=f"{name} needs points"):
        DISTANCES[name](jnp.ones(points), jnp.ones(front))


# --- spread ---------------------------------------------------------------------------


def test_spacing_is_pymoos_but_for_the_degree_of_freedom():
    module = pytest.importorskip("pymoo.indicators.spacing", reason=ORACLE)
    points, _ = cloud()
    expected = module.SpacingIndicator()(points) * np.sqrt(12 / 11)
    assert COMPILED["spacing"](points) == pytest.approx(expected, abs=1e-6)


def test_spread_by_hand():
    points = [[7.0, 0.0], [0.0, 4.0], [1.0, 3.0], [3.0, 2.0]]
    # Neighbours at L1 distances 6, 2, 2, 3, of mean 13/4.
    assert metrics.spacing(points) == pytest.approx(np.std([6, 2, 2, 3], ddof=1))
    assert metrics.sparsity(points) == pytest.approx(((1 + 4 + 16) + (4 + 1 + 1)) / 3)
    assert metrics.span(points) == 4  # 7 along the first objective, 4 along the second
    even = [[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]
    assert metrics.spacing(even) == 0
    assert metrics.sparsity(even) == 2
    # Two clumps: the spacing cannot tell, the sparsity can.
    assert metrics.spacing([[0.0, 9.0], [0.0, 9.0], [9.0, 0.0], [9.0, 0.0]]) == 0


@pytest.mark.parametrize("name", SPREADS)
def test_spread_at_the_edges(name):
    measure = COMPILED[name]
    assert np.isnan(measure(np.zeros((0, 3))))
    one = measure(np.ones((1, 3)))
    assert one == 0 if name == "span" else np.isnan(one)
    assert measure(np.ones((12, 3))) == 0  # a front that collapsed
    points, _ = cloud()
    backward = float(measure(points[::-1]))
    assert float(measure(points)) == pytest.approx(backward, rel=1e-6)
    for hole in (np.nan, np.inf, -np.inf):
        assert np.isnan(measure(np.where(points == points[5, 1], hole, points)))
    with pytest.raises(UsageError, match=f"{name} needs points"):
        SPREADS[name](jnp.ones(3))


# --- aims -----------------------------------------------------------------------------


def test_uniformity_is_one_minus_the_divergence():
    stats = pytest.importorskip("scipy.stats", reason=ORACLE)
    rng = np.random.default_rng(0)
    for losses, pref in zip(
        rng.uniform(0, 9, (5, 3)), rng.dirichlet(np.ones(3), 5), strict=True
    ):
        shares = losses * pref / np.sum(losses * pref)
        expected = 1 - stats.entropy(shares, np.full(3, 1 / 3))
        assert COMPILED["uniformity"](losses, pref) == pytest.approx(expected, abs=1e-6)


def test_uniformity_at_the_edges():
    measure = COMPILED["uniformity"]
    pref = np.array([0.2, 0.3, 0.5])
    assert measure(1 / pref, pref) == pytest.approx(1)
    assert measure(7 / pref, pref) == pytest.approx(1)  # losses in another unit
    assert measure(np.eye(3)[0], pref) == pytest.approx(1 - np.log(3))  # the worst
    assert measure(np.zeros(3), pref) == pytest.approx(1)
    for loss in (-1.0, np.nan, np.inf):
        assert np.isnan(measure(np.array([1.0, loss, 2.0]), pref))
    # 1 and -1 weighed alike sum to 0, and do not lie on the ray.
    assert np.isnan(measure(np.array([1.0, -1.0, 0.0]), np.full(3, 1 / 3)))


@pytest.mark.parametrize("degrees", [1e-4, 1e-3, 0.215, 1, 30, 90, 150, 179.99])
def test_cross_angle_in_float32(degrees):
    turn = np.deg2rad(degrees)
    point = 3 * np.array([np.cos(turn), np.sin(turn)])
    found = COMPILED["cross_angle"](point, np.array([0.5, 0.0]))
    assert found.dtype == jnp.float32
    # An arc cosine would make 0 of the first two, and 0.21 or 0.22 of the third.
    assert found == pytest.approx(degrees, rel=1e-5)


def test_cross_angle_at_the_edges():
    measure = COMPILED["cross_angle"]
    ray = np.array([1.0, 2.0, 3.0])
    assert measure(ray * 1e-30, ray) == pytest.approx(0, abs=1e-4)
    assert measure(ray[::-1] * 1e-30, ray) == pytest.approx(
        np.rad2deg(np.arccos(10 / 14)), rel=1e-5
    )
    assert measure(ray * 1e30, ray) == pytest.approx(0, abs=1e-4)
    assert measure(np.eye(3)[0], np.eye(3)[1]) == pytest.approx(90)
    assert measure(np.zeros(3), ray) == 0
    assert measure(ray, np.zeros(3)) == 0
    for loss in (np.nan, np.inf):
        assert np.isnan(measure(np.array([1.0, loss, 2.0]), ray))
        assert np.isnan(measure(np.array([1.0, loss, 2.0]), np.zeros(3)))


@pytest.mark.parametrize("name", AIMS)
@pytest.mark.parametrize(
    "losses, other", [((2, 3), (3,)), ((3,), (2,)), ((), ()), ((0,), (0,))]
)
def test_aims_refuse_shapes(name, losses, other):
    with pytest.raises(UsageError, match=f"{name} needs losses"):
        AIMS[name](jnp.ones(losses), jnp.ones(other))


# --- all ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPILED)
def test_transformations(name):
    points, front = cloud()
    clouds = np.stack([points, points[::-1] ** 2]).astype(np.float32)
    if name in DISTANCES:
        others = front.astype(np.float32)
    else:
        others = () if name in SPREADS else front[0].astype(np.float32)
    measure = (DISTANCES | SPREADS | AIMS)[name]
    if name in AIMS:
        clouds = clouds[:, 0]
    arguments = (clouds,) if name in SPREADS else (clouds, others)
    loop = [measure(cloud, *arguments[1:]) for cloud in clouds]
    axes = (0, None)[: len(arguments)]
    at_once = jax.jit(jax.vmap(measure, axes))(*arguments)
    np.testing.assert_allclose(at_once, loop, rtol=1e-5)
    assert at_once.dtype == jnp.float32
    assert np.all(at_once > 0)
