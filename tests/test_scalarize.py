"""Every scalarisation of the table keeps the same promises; then each by hand.

A new row of `SCALARISATIONS` is tested by all that is parametrised over it.
"""

import inspect
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto.errors import UsageError
from jaxpareto.scalarize import (
    ABOUT,
    LEAST,
    SCALARISATIONS,
    SHORTEST,
    as_rule,
    augmented_chebyshev,
    chebyshev,
    cosmos,
    linear,
    log,
    modified_chebyshev,
    p_norm,
    pbi,
    stch,
    utility,
)
from jaxpareto.simplex import lattice, to_pref, to_ray

ROWS = pytest.mark.parametrize("name", SCALARISATIONS)

# Rows that are as large as the losses, and whose weights so do not depend on the unit.
HOMOGENEOUS = (
    "linear",
    "chebyshev",
    "augmented-chebyshev",
    "modified-chebyshev",
    "pbi",
    "p-norm",
)
CONVEX_ONLY = ("linear", "log")


def inputs(m, k=5):
    """Return losses [k, m], not negative, and preferences [k, m] on the simplex."""
    rng = np.random.default_rng(m)
    losses = rng.uniform(0.1, 2.5, (k, m)).astype(np.float32)
    return losses, rng.dirichlet(np.ones(m), k).astype(np.float32)


def rule_of(name):
    """Return the weighting rule without its unread Gramian: (losses, pref) -> [m]."""
    rule = as_rule(SCALARISATIONS[name])
    return lambda losses, pref: rule(losses, None, pref)


@cache
def with_ideal(name):
    """Return a row that knows the ideal of the toys whose losses are 1 at best.

    Without it most rays miss such a front, and what seeks the ray leaves the front to
    get there. Only `log` is better off without: from the ideal it sees two valleys.
    """
    return partial(SCALARISATIONS[name], ideal=0.0 if name == "log" else 1.0)


@cache
def both(name):
    """Return the scalarisation and its rule in one: (losses, pref) -> ((), [m])."""
    scalarisation, rule = SCALARISATIONS[name], rule_of(name)
    return lambda losses, pref: (scalarisation(losses, pref), rule(losses, pref))


@cache
def compiled(name):
    """Return `both` over k losses and preferences, compiled once for each shape."""
    return jax.jit(jax.vmap(both(name)))


def stacked(answers):
    """Turn k pairs (value, weights) into their arrays (values [k], weights [k, m])."""
    return [np.stack(each) for each in zip(*answers, strict=True)]


def assert_close(actual, desired, **tolerance):
    for a, b in zip(actual, desired, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


# --- promises of every row ------------------------------------------------------------


@ROWS
def test_jit_is_eager_and_vmap_is_a_loop(name):
    losses, prefs = inputs(3)
    pairs = list(zip(losses, prefs, strict=True))
    eager = stacked(both(name)(*each) for each in pairs)
    assert eager[0].shape == (5,)
    assert eager[1].shape == (5, 3)
    jitted = jax.jit(both(name))
    loop = stacked(jitted(*each) for each in pairs)
    assert_close(loop, eager, rtol=1e-5, atol=1e-6)
    assert_close(compiled(name)(losses, prefs), eager, rtol=1e-5, atol=1e-6)


@ROWS
def test_the_second_call_does_not_trace(name):
    losses, prefs = inputs(2)
    traces = []

    def step(rule, losses, pref):
        traces.append(1)
        return rule(losses, None, pref)

    step = jax.jit(step, static_argnums=0)
    for each in zip(losses, prefs, strict=True):
        step(as_rule(SCALARISATIONS[name]), *each)
        step(as_rule(partial(SCALARISATIONS[name], ideal=0.1)), *each)
    assert len(traces) == 2


@ROWS
@pytest.mark.parametrize("m", [2, 3, 5])
def test_the_order_of_the_tasks_does_not_matter(name, m):
    losses, prefs = inputs(m)
    order = np.random.default_rng(0).permutation(m)
    values, weights = compiled(name)(losses, prefs)
    moved = compiled(name)(losses[:, order], prefs[:, order])
    assert_close(moved, (values, weights[:, order]), rtol=1e-5, atol=1e-6)


# At each of these some formula needs its guard: zero losses, equal ones (a tie, and on
# the ray of the centre), far ones, and all of it at the vertices of the simplex.
EDGES = [
    [0.0, 0.0],
    [0.0, 2.0],
    [1.0, 1.0],
    [1e-12, 1e-12],
    [1e-12, 1e6],
    [1e6, 1e6],
    [-1.0, 1.0],
]
PREFS = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.25, 0.75]]


@ROWS
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_and_weights_are_finite_at_the_edges_and_keep_the_type(name, dtype):
    with jax.enable_x64(True):  # float32 must also stay what it is where both exist
        losses = jnp.repeat(jnp.array(EDGES, dtype), len(PREFS), axis=0)
        prefs = jnp.tile(jnp.array(PREFS, dtype), (len(EDGES), 1))
        values, weights = compiled(name)(losses, prefs)
        even = (losses[:, 0] == losses[:, 1]) & (prefs[:, 0] == 0.5)
    for each in values, weights:
        assert each.dtype == dtype
        assert np.all(np.isfinite(each))
    # Where all is even, so are the weights.
    even = np.asarray(weights)[np.asarray(even)]
    assert even.shape == (4, 2)
    np.testing.assert_allclose(even[:, 0], even[:, 1], rtol=1e-5)


@ROWS
def test_a_loss_that_is_nan_is_never_hidden(name):
    losses = jnp.array([[jnp.nan, 1], [1, jnp.nan], [0, jnp.nan], [jnp.nan, jnp.nan]])
    for pref in PREFS:
        values, _ = compiled(name)(losses, jnp.tile(jnp.array(pref), (4, 1)))
        assert np.all(np.isnan(values))


@ROWS
def test_weights_are_the_finite_difference(name):
    losses, prefs = inputs(3)
    with jax.enable_x64(True):
        scalarise = jax.jit(jax.vmap(SCALARISATIONS[name]))
        losses, prefs = np.float64(losses), np.float64(prefs)
        steps = 1e-6 * np.eye(3)
        slopes = [
            (scalarise(losses + each, prefs) - scalarise(losses - each, prefs)) / 2e-6
            for each in steps
        ]
        weights = jax.jit(jax.vmap(rule_of(name)))(losses, prefs)
        np.testing.assert_allclose(
            weights, np.stack(slopes, axis=1), rtol=1e-6, atol=1e-8
        )


@ROWS
def test_the_gramian_is_not_read(name):
    losses, prefs = inputs(3)
    rule = as_rule(SCALARISATIONS[name])
    np.testing.assert_array_equal(
        rule(losses[0], jnp.full((3, 3), jnp.nan), prefs[0]),
        rule(losses[0], None, prefs[0]),
    )


@ROWS
def test_ideal_and_scale_undo_a_change_of_origin_and_unit(name):
    losses, prefs = inputs(3)
    scalarise = SCALARISATIONS[name]
    ideal, scale = np.array([1.0, -2.0, 3.0]), np.array([2.0, 5.0, 0.5])

    @jax.jit
    @jax.vmap
    def moved(losses, pref):
        each = scalarise(losses * scale + ideal, pref, ideal=ideal, scale=scale)
        one = scalarise(losses * 2 - 1, pref, ideal=-1, scale=2)
        return each, one

    value, _ = compiled(name)(losses, prefs)
    assert_close(moved(losses, prefs), (value, value), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_weights_do_not_depend_on_a_common_unit(name):
    losses, prefs = inputs(3)
    values, weights = compiled(name)(losses, prefs)
    assert_close(
        compiled(name)(1000 * losses, prefs), (1000 * values, weights), rtol=1e-4
    )


def test_log_does_not_depend_on_any_unit():
    losses, prefs = inputs(3)
    unit = np.array([[1e-2, 1.0, 1e3]], np.float32)
    _, weights = compiled("log")(losses, prefs)
    _, scaled = compiled("log")(losses * unit, prefs)
    np.testing.assert_allclose(scaled * unit, weights, rtol=1e-5)


@ROWS
def test_caring_more_about_a_task_does_not_raise_its_loss(name):
    # Losses 1 + |x - a_i|^2: the front is the line from a_0 to a_1, and convex (also in
    # its logarithms). Steps shrink, or what has a kink would hop about it for ever.
    targets = jnp.array([[0.5, 0.0], [-0.2, 0.1]])
    rule = as_rule(with_ideal(name))

    def losses_at(x):
        return 1 + jnp.sum((x[None, :] - targets) ** 2, axis=1)

    @jax.jit
    @jax.vmap
    def descend(pref):
        def step(t, x):
            weights = rule(losses_at(x), None, pref)
            slope = 2 * jnp.sum(weights[:, None] * (x[None, :] - targets), axis=0)
            return x - 0.2 / (1 + t / 50) * slope

        return losses_at(jax.lax.fori_loop(0, 4000, step, jnp.array([0.3, 1.0])))

    first = jnp.linspace(0.05, 0.95, 13)
    reached = descend(jnp.stack([first, 1 - first], axis=1))
    assert np.all(np.diff(reached[:, 0]) < 2e-3)
    assert np.all(np.diff(reached[:, 1]) > -2e-3)
    assert reached[0, 0] > reached[-1, 0] + 0.3  # it does steer
    excess = np.sqrt(reached - 1).sum(axis=1) - np.sqrt(0.5)
    np.testing.assert_allclose(excess, 0, atol=0.02)  # and the front is where it ends


def bent_front(t):
    """Return the losses [k, 2] of VLMOP2's front, t from -1 to 1: bent inwards."""
    return np.stack([1 - np.exp(-((1 - t) ** 2)), 1 - np.exp(-((1 + t) ** 2))], axis=1)


@cache
def optima(scalarise, front):
    """Return which point of a front each preference along a line finds: [19].

    The first preference goes up from 0.05 to 0.95, and the others share the rest.
    """
    m = front.shape[1]
    first = jnp.linspace(0.05, 0.95, 19)[:, None]
    prefs = jnp.concatenate([first, *[(1 - first) / (m - 1)] * (m - 1)], axis=1)
    over_front = jax.vmap(scalarise, (0, None))
    values = jax.jit(jax.vmap(over_front, (None, 0)))(jnp.asarray(front.points), prefs)
    return np.asarray(jnp.argmin(values, axis=1))


class Front:
    """Points [k, m] that can be a key of a cache."""

    def __init__(self, points):
        self.points, self.shape = points.astype(np.float32), points.shape


T = np.linspace(-1, 1, 401)
BENT = Front(bent_front(T))
# Losses 1 + |x - e_i|^2 for x on the triangle between the unit vectors e_i.
TRIANGLE = lattice(1326, 3)
BOWL = Front(1 + np.sum((TRIANGLE[:, None, :] - np.eye(3)[None]) ** 2, axis=2) / 4)


@ROWS
def test_a_larger_preference_has_the_smaller_loss_on_a_concave_front(name):
    reached = BENT.points[optima(SCALARISATIONS[name], BENT)]
    assert np.all(np.diff(reached[:, 0]) <= 1e-6)
    assert np.all(np.diff(reached[:, 1]) >= -1e-6)
    assert reached[0, 0] > 0.9 > 0.3 > reached[-1, 0]


@ROWS
def test_a_larger_preference_has_the_smaller_loss_among_three(name):
    # From 0.15 on: of those that care less for the first, the rays miss this front.
    reached = BOWL.points[optima(with_ideal(name), BOWL)][2:]
    grain = 0.02  # of the lattice
    assert np.all(np.diff(reached[:, 0]) <= grain)
    assert reached[0, 0] > reached[-1, 0] + 0.2
    np.testing.assert_allclose(reached[:, 1], reached[:, 2], atol=grain)


@ROWS
def test_who_reaches_the_middle_of_a_concave_front(name):
    low = partial(utility, ceiling=1.0)
    found = T[optima(low if name == "utility" else SCALARISATIONS[name], BENT)]
    if name in CONVEX_ONLY:
        assert np.all(np.abs(found) > 0.9)
    else:
        assert abs(found[9]) < 0.01  # for the centre of the simplex, that of the front


@pytest.mark.parametrize(
    "name, atol",
    [
        ("chebyshev", 0.01),
        ("augmented-chebyshev", 0.01),
        ("modified-chebyshev", 0.02),
        ("stch", 0.05),
        ("pbi", 0.01),
    ],
)
def test_who_finds_the_losses_on_the_ray(name, atol):
    found = BENT.points[optima(SCALARISATIONS[name], BENT)][3:-3]
    asked = np.linspace(0.05, 0.95, 19)[3:-3]
    shares = found[:, 0] / found.sum(axis=1)
    np.testing.assert_allclose(shares, 1 - asked, atol=atol)


@ROWS
@pytest.mark.parametrize("losses, pref", [((2,), (3,)), ((4, 2), (2,)), ((), ())])
def test_shapes_that_would_broadcast_are_refused(name, losses, pref):
    for function in (SCALARISATIONS[name], rule_of(name)):
        with pytest.raises(UsageError, match="vmap"):
            function(jnp.ones(losses), jnp.ones(pref))


@ROWS
def test_what_is_no_trade_off_is_refused(name):
    scalarise, two = SCALARISATIONS[name], jnp.ones(2)
    with pytest.raises(UsageError, match="2 or more losses; found 1"):
        scalarise(jnp.ones(1), jnp.ones(1))
    with pytest.raises(UsageError, match=r"ideal .* \(2,\); found shape \(3,\)"):
        scalarise(two, two, ideal=(1.0, 2.0, 3.0))
    with pytest.raises(UsageError, match=r"scale .* found shape \(2, 1\)"):
        scalarise(two, two, scale=jnp.ones((2, 1)))
    for scale in (0, -1.0, np.nan, (1.0, 0.0)):
        with pytest.raises(UsageError, match="scale must be positive"):
            scalarise(two, two, scale=scale)


@ROWS
def test_a_scalarisation_has_one_rule(name):
    scalarise = SCALARISATIONS[name]
    assert as_rule(scalarise) is as_rule(scalarise)
    shifted = as_rule(partial(scalarise, ideal=(0.0, 0.1), scale=2.0))
    assert as_rule(partial(scalarise, scale=2.0, ideal=(0.0, 0.1))) is shifted
    assert as_rule(partial(scalarise, scale=2.0, ideal=(0.0, 0.2))) is not shifted


@ROWS
def test_options_may_be_arrays(name):
    losses, prefs = inputs(3)
    ideal = jnp.array([0.0, 0.01, 0.02])
    rule = as_rule(partial(SCALARISATIONS[name], ideal=ideal))
    same = as_rule(partial(SCALARISATIONS[name], ideal=tuple(ideal.tolist())))
    np.testing.assert_array_equal(
        rule(losses[0], None, prefs[0]), same(losses[0], None, prefs[0])
    )


@ROWS
def test_every_row_says_what_it_is_and_whose(name):
    what, source = ABOUT[name]
    assert 0 < len(what) <= 79
    assert "\n" not in what
    # The docstring cites the same work, with all of its authors.
    author, year = source.split()[0], source[-5:-1]
    citation = inspect.getdoc(SCALARISATIONS[name]).split("Source:")[1]
    assert citation.split()[0].rstrip(",") == author
    assert f"({year})" in citation
    assert list(ABOUT) == list(SCALARISATIONS)


# --- by hand --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function, value",
    [
        (linear, 0.5 + 3),
        (chebyshev, 3),
        (partial(augmented_chebyshev, rho=0.5), 3 + 0.5 * 6),
        (augmented_chebyshev, 3 + 0.01 * 6),
        (partial(modified_chebyshev, rho=0.5), 0.75 * (4 + 0.5 * 6)),
        (modified_chebyshev, 0.75 * (4 + 0.01 * 6)),
        (partial(stch, mu=1.0), np.log(np.exp(0.5) + np.exp(3))),
        (stch, 3),  # and exp(-250)
        # The ray is (3, 1)/sqrt(10), d_1 = 10/sqrt(10), and so d_2 = sqrt(20 - d_1^2).
        (pbi, 6 * np.sqrt(10)),
        (partial(pbi, theta=0.0), np.sqrt(10)),
        (cosmos, 3.5 - 2 / np.sqrt(2)),
        (partial(cosmos, penalty=0.0), 3.5),
        (p_norm, np.sqrt(0.25 + 9)),
        (partial(p_norm, p=1.0), 3.5),
        (partial(p_norm, p=500.0), 3),
        (log, 0.25 * np.log(2) + 0.75 * np.log(4)),
        (partial(utility, ceiling=10.0), 8**-0.25 * 6**-0.75),
    ],
)
def test_by_hand(function, value):
    found = function(jnp.array([2.0, 4.0]), jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(found, value, rtol=1e-6)


def test_weights_of_linear_are_the_preference():
    losses, prefs = inputs(3)
    for loss, pref in zip(losses, prefs, strict=True):
        np.testing.assert_array_equal(rule_of("linear")(loss, pref), pref)


def test_losses_that_tie_for_the_worst_share_the_descent():
    weights = rule_of("chebyshev")(jnp.array([1.0, 1.0, 0.5]), jnp.full(3, 1 / 3))
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 0], rtol=1e-6)


@pytest.mark.parametrize("name", ["augmented-chebyshev", "modified-chebyshev"])
def test_augmented_rules_forget_no_loss(name):
    losses, prefs = (jnp.concatenate([each, jnp.eye(3)]) for each in inputs(3))
    _, weights = compiled(name)(losses, prefs)
    assert np.all(weights > 0.001)


def test_stch_is_a_little_above_chebyshev_however_sharp():
    losses, prefs = inputs(3)
    worst, _ = compiled("chebyshev")(losses, prefs)
    for mu in (1e-30, 1e-3, 0.5):
        value = jax.jit(jax.vmap(partial(stch, mu=mu)))(losses, prefs)
        assert np.all(value >= worst - 1e-6)
        assert np.all(value <= worst + mu * np.log(3) + 1e-6)


def test_rules_that_seek_the_ray_raise_a_loss_that_is_below_it():
    for name in ("pbi", "cosmos"):
        weights = rule_of(name)(jnp.array([0.1, 1.0]), jnp.array([0.5, 0.5]))
        assert weights[0] < 0 < weights[1]


def test_cosmos_asks_both_terms_for_the_same():
    # On the ray of the preference the cosine is 1, and what is left is linear.
    pref = jnp.array([0.2, 0.3, 0.5])
    losses = 3 * to_ray(pref)
    np.testing.assert_allclose(
        cosmos(losses, pref), linear(losses, pref) - 2, rtol=1e-6
    )
    _, weights = both("cosmos")(losses, pref)
    np.testing.assert_allclose(weights, pref, atol=1e-6)


def test_cosmos_of_losses_too_short_for_a_direction_is_linear():
    pref = jnp.array([0.2, 0.8])
    _, weights = both("cosmos")(jnp.array([0.5 * SHORTEST, 0.0]), pref)
    np.testing.assert_array_equal(weights, pref)


def test_p_norm_counts_no_loss_below_its_ideal():
    losses, pref = jnp.array([0.2, 1.0]), jnp.array([0.5, 0.5])
    weights = as_rule(partial(p_norm, ideal=0.5))(losses, None, pref)
    np.testing.assert_allclose(weights, [0, 0.5], rtol=1e-6)


def test_p_norm_of_one_is_linear_also_at_zero():
    pref = jnp.array([0.2, 0.8])
    for losses in ([0.0, 0.0], [0.0, 2.0]):
        weights = as_rule(partial(p_norm, p=1.0))(jnp.array(losses), None, pref)
        np.testing.assert_allclose(weights, pref, rtol=1e-6)


def test_log_goes_on_as_a_line():
    pref = jnp.array([0.25, 0.75])
    losses = jnp.array([[2 * LEAST] * 2, [LEAST / 2] * 2, [0.0] * 2, [-LEAST] * 2])
    values, weights = compiled("log")(losses, jnp.tile(pref, (4, 1)))
    expected = np.log(LEAST) + np.array([np.log(2), -0.5, -1, -2])
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    expected = pref[None] / LEAST * np.array([[0.5], [1], [1], [1]])
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_utility_rises_finitely_through_its_ceiling():
    # Losses from 0 to far beyond a ceiling of 1: f and its slope never jump, f always
    # rises, and no weight is above 100 pref.
    pref = jnp.array([0.4, 0.6])
    line = jnp.linspace(0, 3, 601)[:, None]
    for other in (0.0, 0.95, 1e6):
        losses = jnp.concatenate([line, jnp.full_like(line, other)], axis=1)
        f = partial(utility, ceiling=1.0)
        values, weights = jax.jit(jax.vmap(jax.value_and_grad(f), (0, None)))(
            losses, pref
        )
        if other < 1e6:  # beside which float32 sees no steps
            assert np.all(np.diff(values) > 0)
        assert np.all(weights > 0)
        assert np.all(weights <= 100.1 * pref[None])
        assert np.all(np.abs(np.diff(weights[:, 0])) < 4)
    inside = utility(jnp.array([0.9, 0.9]), pref, ceiling=1.0)
    np.testing.assert_allclose(inside, 10, rtol=1e-5)  # where the formula still holds


# --- options --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function, option, wrong, accepted",
    [
        (stch, "mu", 0, "above 0"),
        (stch, "mu", -0.1, "above 0"),
        (stch, "mu", np.nan, "above 0"),
        (stch, "mu", np.inf, "above 0"),
        (stch, "mu", jnp.ones(2), "above 0"),
        (augmented_chebyshev, "rho", 0.0, "above 0"),
        (modified_chebyshev, "rho", np.float32(-1), "above 0"),
        (pbi, "theta", -1, "of 0 or more"),
        (cosmos, "penalty", jnp.array(-1.0), "of 0 or more"),
        (p_norm, "p", 0.5, "of 1 or more"),
        (p_norm, "p", np.inf, "of 1 or more"),
        (utility, "ceiling", 0.0, "above 0"),
    ],
)
def test_options_out_of_range_are_refused(function, option, wrong, accepted):
    with pytest.raises(
        UsageError, match=f"{option} must be a finite number {accepted}; found"
    ):
        function(jnp.ones(2), jnp.ones(2), **{option: wrong})


@pytest.mark.parametrize(
    "function, option, values",
    [
        (augmented_chebyshev, "rho", [0.01, 0.5]),
        (modified_chebyshev, "rho", [0.01, 0.5]),
        (stch, "mu", [0.01, 1.0]),
        (pbi, "theta", [0.0, 5.0]),
        (cosmos, "penalty", [0.0, 2.0]),
        (p_norm, "p", [1.0, 3.0]),
        (utility, "ceiling", [3.0, 5.0]),
        (log, "scale", [1.0, 2.0]),
        (linear, "ideal", [0.0, 1.0]),
    ],
)
def test_options_can_be_swept_by_vmap(function, option, values):
    losses, pref = jnp.array([2.0, 0.5]), jnp.array([0.25, 0.75])

    def weights(value):
        return jax.grad(partial(function, **{option: value}))(losses, pref)

    swept = jax.jit(jax.vmap(weights))(jnp.array(values))
    one_by_one = [
        as_rule(partial(function, **{option: value}))(losses, None, pref)
        for value in values
    ]
    np.testing.assert_allclose(swept, np.stack(one_by_one), rtol=1e-5, atol=1e-6)


# --- other people's -------------------------------------------------------------------


def test_pymoo_agrees():
    decomposition = pytest.importorskip(
        "pymoo.decomposition.aasf", reason="an oracle: needs pymoo"
    )
    from pymoo.decomposition.pbi import PBI
    from pymoo.decomposition.tchebicheff import Tchebicheff
    from pymoo.decomposition.weighted_sum import WeightedSum

    ideal = np.full(3, 0.05)
    losses, prefs = inputs(3)
    centre = np.full(3, 1 / 3)
    for loss, pref in zip(losses, prefs, strict=True):
        ray = np.asarray(to_ray(pref))  # what pymoo calls the weights of PBI and AASF
        pairs = [
            (chebyshev(loss, pref, ideal=ideal), Tchebicheff(), pref),
            (linear(loss, pref), WeightedSum(), pref),
            (pbi(loss, pref, ideal=ideal), PBI(theta=5), ray),
            (pbi(loss, pref, ideal=ideal, theta=0.5), PBI(theta=0.5), ray),
            # At the centre its sum of weighted losses is a third of ours.
            (
                augmented_chebyshev(loss, centre, ideal=ideal, rho=0.01),
                decomposition.AASF(eps=0.0, rho=0.03),
                1 / centre,
            ),
        ]
        for ours, theirs, weights in pairs:
            value = theirs.do(
                np.float64(loss[None]), np.float64(weights[None]), ideal_point=ideal
            )
            np.testing.assert_allclose(ours, np.squeeze(value), rtol=1e-5)


def test_torchjd_agrees_in_value_and_gradient():
    theirs = pytest.importorskip(
        "torchjd.scalarization", reason="an oracle: needs torchjd"
    )
    import torch

    def answer(scalarizer, loss, extra=0.0):
        values = torch.tensor(loss, requires_grad=True)
        value = scalarizer(values) + torch.sum(values * torch.tensor(extra))
        value.backward()
        return value.detach().numpy(), values.grad.numpy()

    losses, prefs = inputs(3)
    for loss, pref in zip(losses, prefs, strict=True):
        ray = np.asarray(to_ray(pref))  # what TorchJD calls the weights of PBI, COSMOS
        tensors = torch.tensor(pref), torch.tensor(ray)
        ideal = torch.tensor(np.full(3, 0.05, np.float32))
        pairs = [
            (
                partial(stch, mu=0.1, ideal=0.05),
                answer(theirs.STCH(0.1, tensors[0], ideal), loss),
            ),
            (
                partial(pbi, theta=2.0, ideal=0.05),
                answer(theirs.PBI(2.0, tensors[1], ideal), loss),
            ),
            # Theirs, as the paper's, has the ray in the first term too.
            (
                partial(cosmos, penalty=3.0),
                answer(theirs.COSMOS(3.0, tensors[1]), loss, pref - ray),
            ),
        ]
        for ours, expected in pairs:
            found = jax.value_and_grad(ours)(loss, pref)
            assert_close(found, expected, rtol=1e-4, atol=1e-5)
    # The geometric mean is the exponential of `log` at the centre.
    mean, _ = answer(theirs.GeometricMean(), losses[0])
    np.testing.assert_allclose(jnp.exp(log(losses[0], jnp.full(3, 1 / 3))), mean, 1e-5)


def test_the_ray_of_a_preference_is_what_these_oracles_call_weights():
    pref = jnp.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(to_pref(to_ray(pref)), pref, rtol=1e-6)
