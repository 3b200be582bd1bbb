"""Every rule of the table keeps the promises of training; then the set rules by hand.

A new row of `RULES` is tested by all that is parametrised over it.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import scalarize, solvers
from jaxpareto.errors import UsageError
from jaxpareto.rules import (
    ABOUT,
    RULES,
    SETS,
    Entry,
    _layers,
    from_scalarisation,
    from_set,
    from_solver,
    hypervolume_gradient,
    spread,
)
from jaxpareto.simplex import to_ray
from jaxpareto.types import Weighting

ROWS = pytest.mark.parametrize("name", RULES)
SET_ROWS = pytest.mark.parametrize("name", SETS)


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Compile twice as fast; the programs are so small that they run as before."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@cache
def inputs(k=5, m=3):
    """Return losses [k, m], Gramians [k, m, m] and preferences [k, m], as float32."""
    rng = np.random.default_rng([k, m])
    jacobians = rng.normal(size=(k, m, m + 3))
    given = (
        rng.uniform(0.1, 2.5, (k, m)),
        jacobians @ jacobians.swapaxes(1, 2),
        rng.dirichlet(np.ones(m), k),
    )
    return tuple(each.astype(np.float32) for each in given)


@cache
def compiled(name):
    return jax.jit(RULES[name].weigh)


def in64(function, *given):
    """Call with float64 arrays, and return NumPy arrays."""
    with jax.enable_x64(True):
        given = [jnp.asarray(each, jnp.float64) for each in given]
        return jax.tree.map(np.asarray, jax.jit(function)(*given))


def slopes(function, points, step=1e-6):
    """Return the finite differences [k, m] of a function of points [k, m]."""
    found = np.zeros(points.shape)
    for index in np.ndindex(*points.shape):
        change = np.zeros(points.shape)
        change[index] = step
        up, down = function(points + change), function(points - change)
        found[index] = (up - down) / (2 * step)
    return found


# --- promises of every row ------------------------------------------------------------


@ROWS
def test_weights_are_finite_and_solved_jitted_or_not(name):
    weights, solved = compiled(name)(*inputs())
    assert weights.shape == (5, 3)
    assert weights.dtype == np.float32
    assert solved.shape == (5,)
    assert solved.dtype == bool
    assert np.all(np.isfinite(weights))
    assert np.all(solved)
    assert np.any(weights != 0, axis=1).all()
    if RULES[name].needs_gram:
        return  # the solvers' own tests call them one by one; it takes seconds
    eager = RULES[name].weigh(*inputs())
    np.testing.assert_allclose(eager.weights, weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(eager.solved, solved)


@ROWS
def test_the_order_of_the_preferences_is_that_of_the_answers(name):
    order = np.array([3, 0, 4, 1, 2])
    weights, _ = compiled(name)(*inputs())
    moved, _ = compiled(name)(*(each[order] for each in inputs()))
    np.testing.assert_allclose(moved, weights[order], rtol=1e-4, atol=1e-5)


@ROWS
def test_the_order_of_the_tasks_is_that_of_the_answers(name):
    losses, grams, prefs = inputs()
    order = np.array([2, 0, 1])
    weights, _ = compiled(name)(losses, grams, prefs)
    moved, _ = compiled(name)(
        losses[:, order], grams[:, order][:, :, order], prefs[:, order]
    )
    np.testing.assert_allclose(moved, weights[:, order], rtol=1e-2, atol=2e-3)


@ROWS
def test_who_needs_the_gramians_says_so(name):
    losses, grams, prefs = inputs()
    rule = RULES[name]
    assert rule.needs_gram == (ABOUT[name].kind == "solver")
    if rule.needs_gram:
        with pytest.raises(UsageError, match=r"needs the Gramians .* got None"):
            rule.weigh(losses, None, prefs)
    else:
        np.testing.assert_array_equal(
            jax.jit(rule.weigh)(losses, None, prefs).weights,
            compiled(name)(losses, np.full_like(grams, np.nan), prefs).weights,
        )


@ROWS
def test_every_row_says_what_it_is_and_whose(name):
    assert list(ABOUT) == list(RULES)
    assert isinstance(RULES[name], Weighting)
    row = ABOUT[name]
    assert isinstance(row, Entry)
    kinds = {
        "scalarisation": scalarize.SCALARISATIONS,
        "solver": solvers.SOLVERS,
        "set rule": SETS,
    }
    assert name in kinds[row.kind]
    assert 0 < len(row.about) <= 79
    assert "\n" not in row.about + row.source
    assert row.source.endswith(")")
    assert row.source[-6] == "("
    assert row.source[-5:-1].isdigit()


def test_no_name_is_taken_twice():
    names = [*scalarize.SCALARISATIONS, *solvers.SOLVERS, *SETS]
    assert len(names) == len(set(names)) == len(RULES)


# --- one of your own ------------------------------------------------------------------


def test_a_function_has_one_rule():
    # Or `jit`, which takes rules as static, would trace again.
    assert from_scalarisation(scalarize.linear) is RULES["linear"]
    assert from_solver(solvers.mgda) is RULES["mgda"]
    assert from_set(spread) is RULES["spread"]


def test_each_preference_has_an_answer_of_its_own():
    losses, grams, prefs = inputs(k=5, m=2)
    weights, solved = from_solver(solvers.mgda).weigh(losses, grams, prefs)
    for k in range(5):
        one, info = solvers.mgda(losses[k], grams[k], prefs[k])
        np.testing.assert_allclose(weights[k], one, rtol=1e-6)
        assert solved[k] == info.converged


@pytest.mark.parametrize("broken", ["losses", "grams", "prefs"])
def test_what_a_solver_did_not_solve_is_said_of_that_preference_alone(broken):
    given = dict(
        zip(("losses", "grams", "prefs"), map(np.copy, inputs(m=2)), strict=True)
    )
    given[broken][2] = np.nan
    weights, solved = from_solver(solvers.mgda).weigh(*given.values())
    np.testing.assert_array_equal(solved, [True, True, False, True, True])
    np.testing.assert_array_equal(np.isnan(weights[:, 0]), ~solved)


def test_what_is_not_finite_is_not_solved():
    def broken(losses, prefs):
        return jnp.where(jnp.arange(5)[:, None] == 3, jnp.inf, prefs)

    _, solved = from_set(broken).weigh(*inputs())
    np.testing.assert_array_equal(solved, [True, True, True, False, True])

    def root(losses, pref):
        return jnp.sqrt(losses[0]) * pref[0] + losses[1]

    losses = jnp.ones((5, 2)).at[1, 0].set(0)
    _, solved = from_scalarisation(root).weigh(losses, None, jnp.ones((5, 2)))
    np.testing.assert_array_equal(solved, [True, False, True, True, True])


# --- sets -----------------------------------------------------------------------------


def peel(points):
    """Return the number of each point's non-dominated layer, by the definition."""
    numbers = np.full(len(points), -1)
    number = 0
    while np.any(numbers < 0):
        left = np.flatnonzero(numbers < 0)
        front = [
            i
            for i in left
            if not any(
                np.all(points[j] <= points[i]) and np.any(points[j] < points[i])
                for j in left
            )
        ]
        numbers[front] = number
        number += 1
    return numbers


@pytest.mark.parametrize("m", [2, 3])
def test_layers_are_those_of_peeling_one_after_the_other(m):
    rng = np.random.default_rng(m)
    layers = jax.jit(_layers)
    seen = set()
    for kind in range(30):
        points = rng.uniform(0, 1, (12, m))
        if kind % 3 == 0:
            points = np.round(3 * points)  # many ties and duplicates
        elif kind % 3 == 1:
            points = np.sort(points[:, :1], axis=0) * np.ones((1, m))  # a chain
        expected = peel(points.astype(np.float32))
        np.testing.assert_array_equal(layers(points.astype(np.float32)), expected)
        seen |= set(expected.tolist())
    assert seen == set(range(12))


CROWD = np.array(  # three layers: four points, two, and one
    [
        *([0.1, 0.9], [0.3, 0.45], [0.5, 0.4], [0.8, 0.2]),
        *([0.4, 0.8], [0.75, 0.5]),
        [0.9, 0.95],
    ]
)
CROWD3 = np.array(  # two: four points, and two
    [
        *([0.1, 0.9, 0.5], [0.5, 0.2, 0.6], [0.7, 0.55, 0.1], [0.4, 0.45, 0.52]),
        *([0.6, 0.95, 0.65], [0.85, 0.5, 0.8]),
    ]
)


@pytest.mark.parametrize("points", [CROWD, CROWD3], ids=["two", "three"])
def test_each_layer_enlarges_its_own_hypervolume(points):
    moocore = pytest.importorskip("moocore", reason="an oracle: needs moocore")
    k, m = points.shape
    reference = np.full(m, 1.2)
    prefs = np.full((k, m), 1 / m)
    found = in64(
        partial(hypervolume_gradient, reference=reference, penalty=0.0), points, prefs
    )
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-9)
    numbers = peel(points)
    assert np.max(numbers) >= 1
    for number in range(np.max(numbers) + 1):
        layer = numbers == number
        gain = -slopes(lambda p: moocore.hypervolume(p, ref=reference), points[layer])
        gain /= np.linalg.norm(gain, axis=1, keepdims=True)
        np.testing.assert_allclose(found[layer], gain, atol=1e-6)


def test_by_default_every_point_counts():
    prefs = np.full(CROWD.shape, 0.5)
    found = in64(partial(hypervolume_gradient, penalty=0.0), CROWD, prefs)
    worst = 1.1 * np.max(CROWD, axis=0)
    same = in64(
        partial(hypervolume_gradient, reference=worst, penalty=0.0), CROWD, prefs
    )
    np.testing.assert_allclose(found, same, atol=1e-12)
    assert np.all(found > 0)


def test_a_point_beyond_the_reference_is_left_to_the_cosine():
    points = np.array([[0.2, 0.8], [0.9, 1.5], [0.8, 0.2]])
    prefs = np.full(points.shape, 0.5)
    rule = partial(hypervolume_gradient, reference=1.0)
    alone = in64(partial(rule, penalty=0.0), points, prefs)
    np.testing.assert_array_equal(alone[1], 0)
    assert np.all(alone[[0, 2]] != 0)
    both = in64(rule, points, prefs)
    assert both[1, 0] < 0 < both[1, 1]  # its second loss is too high for its ray


@pytest.mark.parametrize("points", [CROWD, CROWD3], ids=["two", "three"])
def test_the_penalty_is_that_of_the_cosine_to_the_ray(points):
    prefs = np.random.default_rng(0).dirichlet(np.ones(points.shape[1]), len(points))
    with jax.enable_x64(True):
        rays = np.stack([to_ray(pref) for pref in prefs])

    def cosines(losses):
        lengths = np.linalg.norm(losses, axis=1) * np.linalg.norm(rays, axis=1)
        return np.sum(np.sum(losses * rays, axis=1) / lengths)

    found = [
        in64(partial(hypervolume_gradient, penalty=penalty), points, prefs)
        for penalty in (0.0, 3.0)
    ]
    expected = -3 * slopes(cosines, points)
    np.testing.assert_allclose(found[1] - found[0], expected, atol=1e-7)


@pytest.mark.parametrize("strength, width", [(0.1, 0.1), (2.0, 0.5)])
def test_spread_is_its_formula(strength, width):
    points = CROWD
    prefs = np.random.default_rng(0).dirichlet(np.ones(2), len(points))

    def crowding(losses):
        total = 0
        for i, one in enumerate(losses):
            for j, other in enumerate(losses):
                if i != j:
                    total += np.exp(-np.sum((one - other) ** 2) / width**2)
        return total

    found = in64(partial(spread, strength=strength, width=width), points, prefs)
    expected = prefs + strength * slopes(crowding, points)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert np.max(np.abs(found - prefs)) > 0.01


def test_spread_pushes_apart():
    near = np.array([[1.0, 1.0], [1.05, 0.98]])
    prefs = np.full((2, 2), 0.5)
    step = in64(partial(spread, strength=0.05), near, prefs) - prefs
    moved = near - 0.01 * step
    assert np.linalg.norm(moved[0] - moved[1]) > np.linalg.norm(near[0] - near[1])


@SET_ROWS
def test_one_preference_is_a_set(name):
    losses, _, prefs = inputs()
    rule = from_set(
        partial(SETS[name], **{"penalty": 0.0} if name == "hypervolume" else {})
    )
    weights, solved = jax.jit(rule.weigh)(losses[:1], None, prefs[:1])
    assert weights.shape == (1, 3)
    assert np.all(solved)
    assert np.all(weights > 0)
    if name == "spread":
        np.testing.assert_allclose(weights, prefs[:1], rtol=1e-6)


@SET_ROWS
def test_sets_are_finite_at_the_edges(name):
    vertices, centre = np.eye(2), np.full((1, 2), 0.5)
    prefs = np.concatenate([vertices, vertices, centre, centre]).astype(np.float32)
    edges = [
        np.zeros((6, 2)),
        np.ones((6, 2)),  # all the same
        np.repeat(np.eye(2), 3, axis=0),
        np.array([[0, 0], [0, 1], [1e-12, 1], [1e6, 1e-6], [1e6, 1e6], [0, 0]]),
        np.linspace(0, 1, 6)[:, None] * np.ones((1, 2)),
        -np.ones((6, 2)),
    ]
    rule = jax.jit(SETS[name])
    for losses in edges:
        assert np.all(np.isfinite(rule(losses.astype(np.float32), prefs)))


@SET_ROWS
def test_a_loss_that_is_nan_is_not_hidden(name):
    losses, _, prefs = inputs()
    losses = losses.copy()
    losses[1, 2] = np.nan
    weights, solved = jax.jit(from_set(SETS[name]).weigh)(losses, None, prefs)
    assert not solved[1]
    assert np.any(np.isnan(weights[1]))


@SET_ROWS
@pytest.mark.parametrize(
    "losses, prefs", [((2,), (2,)), ((4, 2), (2,)), ((4, 2), (4, 3)), ((4, 1), (4, 1))]
)
def test_shapes_that_would_broadcast_are_refused(name, losses, prefs):
    found = f"found {losses} and {prefs}".replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(UsageError, match=found):
        SETS[name](jnp.ones(losses), jnp.ones(prefs))


@pytest.mark.parametrize(
    "rule, options, found",
    [
        (hypervolume_gradient, {"penalty": -1.0}, "penalty .* found -1.0"),
        (hypervolume_gradient, {"penalty": np.nan}, "penalty .* found nan"),
        (spread, {"width": 0.0}, "width .* found 0.0 and 0.1"),
        (spread, {"width": -1.0}, "width .* found -1.0"),
        (spread, {"strength": -0.5}, "strength .* found 0.1 and -0.5"),
    ],
)
def test_options_out_of_range_are_refused(rule, options, found):
    with pytest.raises(UsageError, match=found):
        rule(jnp.ones((3, 2)), jnp.ones((3, 2)), **options)


def test_what_cannot_be_weighed_is_flagged():
    """Losses that are no numbers, and a reference that nothing dominates."""
    wishes = jnp.array([[0.3, 0.7], [0.6, 0.4]])
    broken = jnp.array([[1.0, 2.0], [jnp.nan, 1.0]])
    for name in ("linear", "chebyshev"):
        assert RULES[name].weigh(broken, None, wishes).solved.tolist() == [True, False]
    below = partial(hypervolume_gradient, reference=jnp.full(2, 0.5), penalty=0.0)
    losses = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    weighed = from_set(below).weigh(losses, None, wishes)
    assert not weighed.solved.any() and not weighed.weights.any()
    assert RULES["hypervolume"].weigh(losses, None, wishes).solved.all()
    negative = RULES["hypervolume"].weigh(losses - 5, None, wishes)
    assert negative.solved.all()
