"""Specs, and pytrees as flat vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxpareto import tree
from jaxpareto.errors import UsageError
from jaxpareto.nets import NETWORKS

KEY = jax.random.key(0)


def test_ravel_agrees_with_jax_and_unravel_undoes_it():
    net = NETWORKS["lenet"]((36, 36))
    spec = tree.spec_of(net.init, KEY, draws=1)
    params = net.init(jax.random.key(1))
    flat = tree.ravel(spec, params)
    np.testing.assert_array_equal(flat, ravel_pytree(params)[0])
    back = tree.unravel(spec, flat)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_spec_names_and_sizes():
    spec = tree.spec_of(NETWORKS["mlp"]((12, 12)).init, KEY, draws=1)
    assert spec.paths[:2] == ("hidden0/bias", "hidden0/kernel")
    assert spec.size == 144 * 32 + 32 + 2 * (32 * 10 + 10) == sum(spec.sizes)


def test_scales_are_those_of_the_initialiser():
    spec = tree.spec_of(NETWORKS["lenet"]((36, 36)).init, KEY)
    scales = dict(zip(spec.paths, spec.scales, strict=True))
    assert scales["conv0/bias"] == 0.0
    for name, fan_in in (("conv0", 81), ("conv1", 250), ("hidden", 500), ("task1", 50)):
        assert scales[f"{name}/kernel"] == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_jacobian_and_gramian_are_those_of_the_flat_function(one_by_one):
    params = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.array([1.0, -2.0])}
    flat, unravel = ravel_pytree(params)

    def function(params):
        return jnp.stack([jnp.sum(params["a"] ** 2), params["a"][0] @ jnp.ones(3), 7.0])

    values, rows = jax.jit(
        lambda at: tree.jacobian(function, at, one_by_one=one_by_one)
    )(params)
    expected = jax.jacfwd(lambda flat: function(unravel(flat)))(flat)
    np.testing.assert_allclose(values, function(params))
    flat_rows = jax.vmap(lambda row: ravel_pytree(row)[0])(rows)
    np.testing.assert_allclose(flat_rows, expected)
    np.testing.assert_allclose(tree.gramian(rows), expected @ expected.T)


@pytest.mark.parametrize("m", [2, 4, 5, 9])  # by pairs, and as one product
def test_gramian_of_many_numbers(m):
    draw = np.random.default_rng(m)
    rows = {"a": draw.normal(size=(m, 3, 50)), "b": draw.normal(size=(m, 7))}
    flat = np.concatenate([rows["a"].reshape(m, -1), rows["b"]], axis=1)
    found = jax.jit(tree.gramian)(jax.tree.map(np.float32, rows))
    np.testing.assert_allclose(found, flat @ flat.T, atol=1e-4)
    np.testing.assert_array_equal(found, found.T)


def test_errors():
    spec = tree.spec_of(lambda key: jax.random.normal(key, (3,)), KEY, draws=1)
    with pytest.raises(UsageError, match="vector of 3 parameters, found"):
        tree.unravel(spec, jnp.ones(4))
    with pytest.raises(UsageError, match="no parameters"):
        tree.spec_of(lambda key: {}, KEY)
    with pytest.raises(UsageError, match="counter has type int32"):
        tree.spec_of(lambda key: {"counter": jnp.zeros((), jnp.int32)}, KEY)
