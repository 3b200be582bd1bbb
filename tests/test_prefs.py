"""Preferences lie on the simplex, are distributed as said, and are refused in words."""

from functools import cache
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import beta, kstest

from jaxpareto import prefs as prefs_module
from jaxpareto import simplex
from jaxpareto.errors import UsageError
from jaxpareto.prefs import (
    ABOUT,
    SAMPLERS,
    annealed,
    check_pref,
    dirichlet,
    fixed,
    grid,
    parse_pref,
    rays,
    stratified,
    uniform,
    with_corners,
)

KEY = jax.random.key(0)
# One number for all, as to compile a Dirichlet sampler takes seconds; and the size of a
# grid for two objectives as for three, as the annealed sampler asks.
K = 990
KEYS = jax.random.split(jax.random.key(2), K)
RANDOM = [name for name in SAMPLERS if name != "annealed"]


def assert_on_simplex(prefs, shape):
    assert prefs.shape == shape
    assert prefs.dtype == np.float32
    assert np.all(np.asarray(prefs) >= 0)
    np.testing.assert_allclose(np.sum(prefs, axis=1), 1, atol=1e-6)


# --- samplers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("m", [2, 3])
def test_samplers_answer_on_the_simplex(name, m):
    sampler = SAMPLERS[name](m, 0.5)
    prefs = sampler(KEY, K)
    assert_on_simplex(prefs, (K, m))
    np.testing.assert_array_equal(sampler(KEY, K), prefs)
    np.testing.assert_array_equal(sampler(KEY, K, 1.0), prefs)
    other_key = np.array_equal(sampler(jax.random.key(1), K), prefs)
    other_time = np.array_equal(sampler(KEY, K, jnp.array(0.3)), prefs)
    assert (other_key, other_time) == (name not in RANDOM, name in RANDOM)


def test_every_sampler_says_what_it_is_and_whose():
    assert list(ABOUT) == list(SAMPLERS)
    for what, source in ABOUT.values():
        assert 0 < len(what) <= 79
        assert source.endswith(")")


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_under_jit_and_vmap_with_a_traced_alpha(name):
    keys, alphas = jax.random.split(KEY), jnp.array([0.2, 3.0])
    draw = jax.vmap(lambda key, alpha: SAMPLERS[name](2, alpha)(key, K))
    loop = [
        SAMPLERS[name](2, float(a))(k, K) for k, a in zip(keys, alphas, strict=True)
    ]
    np.testing.assert_allclose(jax.jit(draw)(keys, alphas), loop, atol=1e-5)


@pytest.mark.parametrize(
    "draw, alpha",
    [
        (lambda m: dirichlet(KEY, K, m, alpha=0.2), 0.2),
        (lambda m: dirichlet(KEY, K, m), 1.0),
        (lambda m: dirichlet(KEY, K, m, alpha=5.0), 5.0),
        (lambda m: uniform(KEY, K, m), 1.0),
        (lambda m: SAMPLERS["dirichlet"](m, 0.2)(KEY, K), 0.2),
        (lambda m: SAMPLERS["uniform"](m, 0.2)(KEY, K), 1.0),
        (lambda m: stratified(KEY, K, m), 1.0),
        # One row of many draws is distributed as all rows of one.
        (lambda m: many(4, m)[:, 1], 1.0),
    ],
)
@pytest.mark.parametrize("m", [2, 3])
def test_samplers_have_the_marginals_of_a_dirichlet(draw, alpha, m):
    prefs = np.asarray(draw(m), np.float64)
    for i in range(m):
        assert kstest(prefs[:, i], beta(alpha, (m - 1) * alpha).cdf).pvalue > 1e-3


def test_dirichlet_stays_on_the_simplex_at_extreme_alpha():
    for alpha in (1e-3, 1e4):
        assert_on_simplex(dirichlet(KEY, K, 3, alpha=alpha), (K, 3))


def test_dirichlet_takes_an_alpha_per_objective():
    prefs = dirichlet(KEY, K, 3, alpha=jnp.array([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(prefs.mean(axis=0), np.array([1, 2, 5]) / 8, atol=0.02)


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan")])
def test_dirichlet_refuses_alpha(alpha):
    with pytest.raises(UsageError, match="alpha must be positive"):
        dirichlet(KEY, 4, 2, alpha=alpha)


def test_dirichlet_refuses_an_alpha_of_another_length():
    with pytest.raises(UsageError, match=r"alpha .* \[2\]"):
        dirichlet(KEY, 4, 2, alpha=jnp.ones(3))


@pytest.mark.parametrize(
    "draw",
    [
        lambda k, m: dirichlet(KEY, k, m),
        lambda k, m: uniform(KEY, k, m),
        lambda k, m: stratified(KEY, k, m),
        lambda k, m: annealed(k, m, 0.5),
        grid,
        rays,
    ],
)
def test_counts_are_checked(draw):
    with pytest.raises(UsageError, match="number of preferences"):
        draw(0, 2)
    with pytest.raises(UsageError, match="number of objectives"):
        draw(5, 1)


@cache
def many(k, m):
    """Return a stratified draw of k preferences for each of `KEYS`: [K, k, m]."""
    draw = jax.jit(jax.vmap(lambda key: stratified(key, k, m)))
    return np.asarray(draw(KEYS), np.float64)


def test_stratified_draws_one_preference_from_each_piece():
    places = 4 * np.sort(many(4, 2)[:, :, 0], axis=1) - np.arange(4)[None, :]
    assert np.all(places > -1e-5)
    assert np.all(places < 1 + 1e-5)
    for each in places.T:  # anywhere in the piece, not only in its middle
        assert kstest(each, beta(1, 1).cdf).pvalue > 1e-3


@pytest.mark.parametrize("m", [3, 5])
def test_stratified_slices_one_objective_evenly_each_in_turn(m):
    k, draws = 4, many(4, m)
    # The chance of a share below x is 1 - (1 - x)^(m - 1): in it the slices are even.
    chances = 1 - (1 - np.sort(draws, axis=1)) ** (m - 1)
    slices = np.arange(k)[None, :, None] / k
    even = (chances > slices - 1e-5) & (chances < slices + 1 / k + 1e-5)
    sliced = np.all(even, axis=1)
    assert np.all(sliced.any(axis=1))
    # By chance the others sometimes are as well, the same share of times for each.
    np.testing.assert_allclose(sliced.mean(axis=0), sliced.mean(), atol=0.06)


def test_stratified_rows_come_in_a_random_order():
    pieces = np.floor(4 * many(4, 2)[:, :, 0])
    for row in range(4):
        counts = np.bincount(pieces[:, row].astype(int), minlength=4)
        np.testing.assert_allclose(counts / K, 0.25, atol=0.06)


def test_stratified_of_one_is_uniform():
    assert kstest(many(1, 2)[:, 0, 0], beta(1, 1).cdf).pvalue > 1e-3


@pytest.mark.parametrize("k, m", [(5, 2), (21, 3), (20, 4), (12, 12)])
def test_annealed_spreads_from_the_centre_over_the_grid_to_the_vertices(k, m):
    time = jax.jit(annealed, static_argnums=(0, 1))
    prefs = [time(k, m, t) for t in (0.0, 0.2, 1.0)]
    for each in prefs:
        assert_on_simplex(each, (k, m))
    np.testing.assert_allclose(prefs[0], 1 / m, rtol=1e-6)
    np.testing.assert_allclose(prefs[1], grid(k, m), atol=1e-6)
    fifth = np.asarray(grid(k, m), np.float64) ** 5
    fifth /= fifth.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(prefs[2], fifth, rtol=1e-5)
    assert np.all(np.max(prefs[2], axis=1) >= np.max(prefs[1], axis=1) - 1e-6)


def test_annealed_power_says_how_far():
    np.testing.assert_allclose(annealed(7, 2, 1.0, power=1.0), grid(7, 2), atol=1e-6)
    np.testing.assert_allclose(
        annealed(7, 2, 1.0, power=2.5), annealed(7, 2, 0.5), rtol=1e-6
    )


@pytest.mark.parametrize(
    "k, m, progress, power, problem",
    [
        (8, 3, 0.5, 5.0, "size of a grid, 6 or 10; found 8"),
        (1, 2, 0.5, 5.0, "found 1 points"),
        (2, 3, 0.5, 5.0, "found 2 points"),
        (5, 2, 1.5, 5.0, r"between 0 and 1; found 1\.5"),
        (5, 2, float("nan"), 5.0, "between 0 and 1; found nan"),
        (5, 2, 0.5, 0.0, r"power must be positive.* found 0\.0"),
    ],
)
def test_annealed_refuses(k, m, progress, power, problem):
    with pytest.raises(UsageError, match=problem):
        annealed(k, m, progress, power=power)


@pytest.mark.parametrize("name", SAMPLERS)
def test_with_corners_starts_with_the_vertices(name):
    inner = SAMPLERS[name](3, 1.0)
    prefs = with_corners(inner, 3)(KEY, K + 3, 0.4)
    assert_on_simplex(prefs, (K + 3, 3))
    np.testing.assert_array_equal(prefs[:3], np.eye(3))
    np.testing.assert_array_equal(prefs[3:], inner(KEY, K, 0.4))


def test_with_corners_alone_and_with_too_few():
    sampler = with_corners(SAMPLERS["uniform"](3), 3)
    np.testing.assert_array_equal(sampler(KEY, 3), np.eye(3))
    with pytest.raises(UsageError, match=r"3 vertices need 3 or more .* found 2"):
        sampler(KEY, 2)
    with pytest.raises(UsageError, match="number of objectives"):
        with_corners(SAMPLERS["uniform"](2), 1)


def test_fixed_gives_what_it_was_given():
    prefs = grid(5, 2)
    sampler = fixed(prefs)
    np.testing.assert_array_equal(sampler(KEY, 5), prefs)
    np.testing.assert_array_equal(sampler(KEY, 5, 0.5), prefs)
    np.testing.assert_array_equal(sampler(jax.random.key(1), 5), prefs)
    jitted = jax.jit(sampler, static_argnums=1)
    np.testing.assert_array_equal(jitted(KEY, 5), prefs)
    with pytest.raises(UsageError, match="asked for 4 of 5"):
        sampler(KEY, 4)


@pytest.mark.parametrize("prefs", [[0.5, 0.5], [[0.5, 0.6]], np.zeros((0, 2))])
def test_fixed_refuses_what_is_no_preference(prefs):
    with pytest.raises(UsageError):
        fixed(prefs)


# --- grid -----------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 5, 25, 501])
def test_grid_of_two_is_a_line_of_exactly_k(k):
    prefs = grid(k, 2)
    assert_on_simplex(prefs, (k, 2))
    np.testing.assert_allclose(prefs[:, 0], np.linspace(0, 1, k), atol=1e-7)
    np.testing.assert_array_equal(prefs[0], [0, 1])
    np.testing.assert_array_equal(prefs[-1], [1, 0])


def test_grid_of_one_is_the_centre():
    np.testing.assert_array_equal(grid(1, 2), [[0.5, 0.5]])


@pytest.mark.parametrize("m", [3, 4, 5])
@pytest.mark.parametrize("k", [5, 21, 91, 92, 300])
def test_grid_is_the_largest_lattice(k, m):
    prefs = grid(k, m)
    sizes = [comb(h + m - 1, m - 1) for h in range(1, 40)]
    assert len(prefs) == max(size for size in sizes if size <= k)
    h = sizes.index(len(prefs)) + 1
    assert_on_simplex(prefs, (len(prefs), m))
    parts = prefs * h
    np.testing.assert_allclose(parts, np.round(parts), atol=1e-5)
    assert len(np.unique(np.round(parts), axis=0)) == len(prefs)
    assert np.all(np.diff(prefs[:, 0]) >= 0)
    np.testing.assert_array_equal(prefs[-1], np.eye(m)[0])


def test_grid_refuses_fewer_points_than_vertices():
    np.testing.assert_array_equal(grid(3, 3), np.eye(3)[::-1])
    with pytest.raises(
        UsageError, match=r"3 objectives needs 3 or more points .* found 2"
    ):
        grid(2, 3)


def test_rays_of_two_are_those_on_which_papers_evaluate():
    prefs = rays(25, 2)
    assert_on_simplex(prefs, (25, 2))
    angles = np.arctan2(prefs[:, 0], prefs[:, 1])
    np.testing.assert_allclose(angles, np.linspace(0.1, np.pi / 2 - 0.1, 25), atol=1e-6)
    np.testing.assert_allclose(prefs[0, 0], 1 / (1 + 1 / np.tan(0.1)), rtol=1e-6)


@pytest.mark.parametrize("k, m, n", [(25, 3, 21), (3, 3, 3), (10, 4, 10), (2, 3, 1)])
def test_rays_of_more_are_the_inside_of_a_lattice(k, m, n):
    prefs = rays(k, m)
    assert_on_simplex(prefs, (n, m))
    larger = next(
        points
        for points in (simplex.lattice(comb(h + m - 1, m - 1), m) for h in range(m, 99))
        if np.sum(np.all(points > 0, axis=1)) == n
    )
    inside = larger[np.all(larger > 0, axis=1)]
    np.testing.assert_allclose(prefs, inside, atol=1e-6)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_one_ray_is_the_centre(m):
    np.testing.assert_allclose(rays(1, m), np.full((1, m), 1 / m), rtol=1e-6)


def test_the_conversion_to_rays_is_also_found_here():
    assert prefs_module.to_ray is simplex.to_ray
    assert prefs_module.to_pref is simplex.to_pref


# --- from outside ---------------------------------------------------------------------


@pytest.mark.parametrize("make", [list, tuple, np.array, jnp.array])
def test_check_pref_takes_sequences_and_arrays(make):
    pref = check_pref(make([0.25, 0.75]), 2)
    assert isinstance(pref, np.ndarray)
    assert pref.dtype == np.float32
    np.testing.assert_array_equal(pref, [0.25, 0.75])


def test_check_pref_divides_rounding_out():
    third = check_pref([0.33333, 0.33333, 0.33333], 3)
    np.testing.assert_allclose(third, 1 / 3, rtol=1e-7)
    with pytest.raises(UsageError, match=r"sums to 0\.99"):
        check_pref([0.33, 0.33, 0.33], 3)


@pytest.mark.parametrize(
    "pref, problem",
    [
        ([1.0], r"has shape \(1,\), not \(2,\)"),
        (1.0, r"has shape \(\), not \(2,\)"),
        ([[0.5, 0.5]], r"has shape \(1, 2\), not \(2,\)"),
        ([0.5, np.nan], "not finite"),
        ([0.5, np.inf], "not finite"),
        ([-0.5, 1.5], "negative"),
        ([0.0, 0.0], "sums to 0, not 1"),
        ([1, 1], "sums to 2, not 1"),
        (["a", "b"], "not numbers"),
        ([[0.5], [0.2, 0.3]], "not numbers"),
    ],
)
def test_check_pref_says_what_is_wrong_in_one_line(pref, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        check_pref(pref, 2)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("for example [0.5, 0.5]")


@pytest.mark.parametrize("m", [2, 3, 4, 7, 10, 11, 30])
def test_the_example_in_the_message_is_accepted(m):
    with pytest.raises(UsageError) as caught:
        parse_pref("nonsense", m)
    example = str(caught.value).rsplit(" ", 1)[1]
    assert_on_simplex(parse_pref(example, m)[None], (1, m))


@pytest.mark.parametrize("text", ["0.25,0.75", " 0.25 , 0.75 ", ".25,7.5e-1"])
def test_parse_pref_reads(text):
    np.testing.assert_array_equal(parse_pref(text, 2), [0.25, 0.75])


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "not numbers"),
        ("0.5;0.5", "not numbers"),
        ("0.5,,0.5", "not numbers"),
        ("0.2,0.3,0.5", "has 3 entries, not 2"),
        ("0.5,nan", "not finite"),
        ("0.5,0.6", r"sums to 1\.1, not 1"),
    ],
)
def test_parse_pref_says_what_is_wrong(text, problem):
    with pytest.raises(UsageError, match=problem):
        parse_pref(text, 2)
