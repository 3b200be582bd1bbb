"""Preferences lie on the simplex, are distributed as said, and are refused in words."""

from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import beta, kstest

from jaxpareto.errors import UsageError
from jaxpareto.prefs import (
    SAMPLERS,
    check_pref,
    dirichlet,
    fixed,
    grid,
    parse_pref,
    uniform,
)

KEY = jax.random.key(0)
K = 1000  # one number for all: to compile a Dirichlet sampler takes seconds


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
    assert not np.array_equal(sampler(jax.random.key(1), K), prefs)


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
    "draw", [lambda k, m: dirichlet(KEY, k, m), lambda k, m: uniform(KEY, k, m), grid]
)
def test_counts_are_checked(draw):
    with pytest.raises(UsageError, match="number of preferences"):
        draw(0, 2)
    with pytest.raises(UsageError, match="number of objectives"):
        draw(5, 1)


def test_fixed_gives_what_it_was_given():
    prefs = grid(5, 2)
    sampler = fixed(prefs)
    np.testing.assert_array_equal(sampler(KEY, 5), prefs)
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
        UsageError, match="3 objectives needs 3 or more points; found 2"
    ):
        grid(2, 3)


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
    assert message.endswith("for example 0.5,0.5")


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
