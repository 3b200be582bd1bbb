"""Conditioned networks: where hypernetwork and target meet, and the baseline."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import conditioned
from jaxpareto.errors import UsageError
from jaxpareto.nets import mlp

KEY = jax.random.key(0)
NET = mlp((6, 6), widths=(8,))
IMAGES = np.random.default_rng(1).uniform(size=(5, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("m", [2, 3])
def test_chunked_drives_any_number_of_objectives(m):
    net = mlp((6, 6), tasks=m, widths=(8,))
    made = conditioned.chunked(net, m, KEY, chunk_size=50)
    prefs = np.random.default_rng(0).dirichlet(np.ones(m), 4).astype(np.float32)

    @jax.jit
    def answer():
        phi = made.init(KEY)
        answers = jax.vmap(made.apply, (None, 0, None))(phi, prefs, IMAGES)
        return answers, net.apply(made.params(phi, prefs[2]), IMAGES)

    answers, one = answer()
    assert answers.shape == (4, 5, m, 10)
    np.testing.assert_allclose(answers[2], one, atol=1e-5)


def test_chunked_drives_a_network_of_ones_own():
    """Any pure init and apply will do: nothing but shapes is asked of a target."""
    from flax import linen as nn

    class Own(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(3, (3, 3))(x[..., None]))
            return nn.Dense(4)(x.reshape(len(x), -1)).reshape(-1, 2, 2)

    from jaxpareto.types import Net

    own = Own()
    net = Net(
        lambda key: own.init(key, IMAGES)["params"],
        lambda params, x, *, key=None: own.apply({"params": params}, x),
    )
    made = conditioned.chunked(net, 2, KEY, chunking="filter")
    centre = np.array([0.5, 0.5], np.float32)
    answers = jax.jit(lambda: made.apply(made.init(KEY), centre, IMAGES))()
    assert answers.shape == (5, 2, 2) and np.isfinite(answers).all()


def test_independent_networks_answer_for_the_nearest_preference():
    prefs = jnp.array([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]])
    made = conditioned.independent(NET, prefs)
    phi = jax.jit(made.init)(KEY)
    params_of = jax.jit(made.params)
    for asked, owner in (([0.0, 1.0], 0), ([0.4, 0.6], 1), ([0.8, 0.2], 2)):
        params = params_of(phi, jnp.array(asked))
        jax.tree.map(
            lambda mine, all_, o=owner: np.testing.assert_array_equal(mine, all_[o]),
            params,
            phi,
        )


def test_independent_gradient_stays_with_the_network_asked():
    prefs = jnp.array([[0.2, 0.8], [0.8, 0.2]])
    made = conditioned.independent(NET, prefs)

    def loss(phi):
        return jnp.sum(jnp.square(made.apply(phi, prefs[1], IMAGES)))

    gradient = jax.jit(lambda: jax.grad(loss)(made.init(KEY)))()
    kernel = gradient["hidden0"]["kernel"]
    assert jnp.all(kernel[0] == 0) and jnp.any(kernel[1] != 0)


def test_errors():
    with pytest.raises(UsageError, match=r"expected preferences \[k, m\]"):
        conditioned.independent(NET, jnp.array([0.5, 0.5]))
