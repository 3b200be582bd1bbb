"""Every scalarisation of the table keeps the same promises; then each by hand.

A new row of `SCALARISATIONS` is tested by all that is parametrised over it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto.errors import UsageError
from jaxpareto.scalarize import SCALARISATIONS, as_rule, linear

ROWS = pytest.mark.parametrize("name", SCALARISATIONS)


def inputs(m, k=5):
    """Return losses [k, m], not negative, and preferences [k, m] on the simplex."""
    rng = np.random.default_rng(m)
    losses = rng.uniform(0.1, 3, (k, m)).astype(np.float32)
    return losses, rng.dirichlet(np.ones(m), k).astype(np.float32)


def rule_of(name):
    """Return the weighting rule without its unread Gramian: (losses, pref) -> [m]."""
    rule = as_rule(SCALARISATIONS[name])
    return lambda losses, pref: rule(losses, None, pref)


def functions(name):
    """Return the scalarisation and its rule, which share most promises."""
    return SCALARISATIONS[name], rule_of(name)


@ROWS
@pytest.mark.parametrize("m", [2, 3, 5])
def test_shapes(name, m):
    losses, prefs = inputs(m)
    value, weights = (f(losses[0], prefs[0]) for f in functions(name))
    assert value.shape == ()
    assert weights.shape == (m,)
    assert value.dtype == weights.dtype == jnp.float32


@ROWS
@pytest.mark.parametrize("m", [2, 3])
def test_jit_is_eager_and_vmap_is_a_loop(name, m):
    losses, prefs = inputs(m)
    for function in functions(name):
        eager = np.stack([function(*each) for each in zip(losses, prefs, strict=True)])
        jitted = jax.jit(function)
        compiled = [jitted(*each) for each in zip(losses, prefs, strict=True)]
        np.testing.assert_allclose(compiled, eager, rtol=1e-6)
        np.testing.assert_allclose(jax.vmap(function)(losses, prefs), eager, rtol=1e-6)


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
    assert len(traces) == 1


@ROWS
@pytest.mark.parametrize("m", [2, 3, 5])
def test_the_order_of_the_tasks_does_not_matter(name, m):
    losses, prefs = inputs(m)
    order = np.random.default_rng(0).permutation(m)
    scalarise, rule = functions(name)
    for loss, pref in zip(losses, prefs, strict=True):
        moved = loss[order], pref[order]
        np.testing.assert_allclose(scalarise(*moved), scalarise(loss, pref), rtol=1e-6)
        np.testing.assert_allclose(rule(*moved), rule(loss, pref)[order], rtol=1e-6)


@ROWS
def test_values_and_weights_are_finite_at_the_edges(name):
    vertex, centre = jnp.array([0.0, 1.0]), jnp.array([0.5, 0.5])
    for pref in (vertex, vertex[::-1], centre):
        for losses in ([0.0, 0.0], [0.0, 2.0], [1.0, 1.0], [1e-12, 1e6]):
            for function in functions(name):
                assert np.all(np.isfinite(function(jnp.array(losses), pref)))


@ROWS
def test_weights_are_the_finite_difference(name):
    losses, prefs = inputs(3)
    with jax.enable_x64(True):
        scalarise, rule = functions(name)
        loss, pref = jnp.array(losses[0], float), jnp.array(prefs[0], float)
        step = 1e-6 * jnp.eye(3)
        slope = [
            (scalarise(loss + each, pref) - scalarise(loss - each, pref)) / 2e-6
            for each in step
        ]
        np.testing.assert_allclose(rule(loss, pref), slope, rtol=1e-6, atol=1e-8)


@ROWS
def test_the_gramian_is_not_read(name):
    losses, prefs = inputs(2)
    rule = as_rule(SCALARISATIONS[name])
    without = rule(losses[0], None, prefs[0])
    np.testing.assert_array_equal(
        rule(losses[0], jnp.full((2, 2), jnp.nan), prefs[0]), without
    )


@ROWS
def test_caring_more_about_a_task_does_not_raise_its_loss(name):
    # Losses |x - a_i|^2 / 2: the front is the line from a_0 to a_1.
    targets = jnp.array([[1.0, 0.0], [-1.0, 0.5]])
    rule = rule_of(name)

    def losses_at(x):
        return jnp.sum((x[None, :] - targets) ** 2, axis=1) / 2

    @jax.jit
    @jax.vmap
    def descend(pref):
        def step(_, x):
            weights = rule(losses_at(x), pref)
            return x - 0.2 * jnp.sum(weights[:, None] * (x[None, :] - targets), axis=0)

        return losses_at(jax.lax.fori_loop(0, 300, step, jnp.array([0.3, 2.0])))

    first = jnp.linspace(0.05, 0.95, 7)
    reached = descend(jnp.stack([first, 1 - first], axis=1))
    assert np.all(np.diff(reached[:, 0]) < 1e-5)
    assert np.all(np.diff(reached[:, 1]) > -1e-5)
    assert reached[0, 0] > reached[-1, 0] + 0.1  # it does steer


@ROWS
@pytest.mark.parametrize("losses, pref", [((2,), (3,)), ((4, 2), (2,)), ((), ())])
def test_shapes_that_would_broadcast_are_refused(name, losses, pref):
    for function in functions(name):
        with pytest.raises(UsageError, match="vmap"):
            function(jnp.ones(losses), jnp.ones(pref))


@ROWS
def test_a_scalarisation_has_one_rule(name):
    assert as_rule(SCALARISATIONS[name]) is as_rule(SCALARISATIONS[name])


# --- by hand --------------------------------------------------------------------------


def test_linear_by_hand():
    value = linear(jnp.array([2.0, 4.0, 8.0]), jnp.array([0.5, 0.25, 0.25]))
    assert value == 1 + 1 + 2


def test_weights_of_linear_are_the_preference():
    losses, prefs = inputs(3)
    for loss, pref in zip(losses, prefs, strict=True):
        np.testing.assert_array_equal(rule_of("linear")(loss, pref), pref)
