"""A batch in pieces: the same losses, weights and gradients as in one piece."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import conditioned, prefs
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.nets import NETWORKS, lenet, mlp
from jaxpareto.nets.layers import dropout
from jaxpareto.rules import RULES
from jaxpareto.train import Hparams, Recipe, init, microbatch, optimizers, step
from jaxpareto.types import Split

KEY = jax.random.key(0)


def network():
    return conditioned.chunked(mlp((6, 6), widths=(8,)), 2, KEY, chunk_size=64, width=8)


def recipe(made, rule="linear", **settings):
    wishes = np.random.default_rng(0).dirichlet([1.0, 1.0], 6).astype(np.float32)
    return Recipe(
        conditioned=made,
        rule=RULES[rule],
        sampler=prefs.fixed(wishes),
        optimizer=optimizers.optimizer("sgd", "constant", steps=1),
        prefs_per_step=6,
        **settings,
    )


def batch(rows=24):
    draw = np.random.default_rng(1)
    return Split(
        jnp.asarray(draw.integers(0, 256, (rows, 6, 6)), jnp.uint8),
        jnp.asarray(draw.integers(0, 10, (rows, 2)), jnp.int32),
    )


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    ("rule", "gram_of"),
    [
        ("linear", "phi"),  # weights known before
        ("stch", "phi"),  # weights read off the losses
        ("hypervolume", "phi"),  # and off those of all networks
        ("mgda", "phi"),  # off the gradients
        ("mgda", "params"),
    ],
)
def test_pieces_change_nothing(rule, gram_of, split):
    """One by one in pieces, and several together: one step each, of the same result."""
    whole = recipe(network(), rule, split_batch=split, gram_of=gram_of)
    hparams = Hparams(0.1)
    # Of 24 examples for each network, or of 4: below and above a network's share.
    sizes = (0, 2, 8 if split else 48)

    @jax.jit
    def stepped(state, batch):
        return [
            step(whole._replace(microbatch=size), state, batch, hparams)
            for size in sizes
        ]

    state = jax.jit(init, static_argnums=0)(whole, KEY, hparams)
    (expected, info), *cut = stepped(state, batch())
    for after, seen in cut:
        chex.assert_trees_all_close(after.phi, expected.phi, atol=2e-6)
        chex.assert_trees_all_close(seen, info, rtol=1e-4, atol=1e-5)


def test_a_step_of_two_pieces_is_left_whole():
    """A rule that reads the losses would pay another forward pass for nothing."""
    hparams = Hparams(0.1)

    def program(size):
        mine = recipe(network(), "stch", split_batch=True, microbatch=size)
        state = jax.eval_shape(partial(init, mine), KEY, hparams)
        return str(jax.make_jaxpr(partial(step, mine))(state, batch(), hparams))

    assert program(12) == program(24) == program(0) != program(8)


def test_weights_that_do_not_read_the_losses_say_so():
    """What a rule says of itself, against what its weights do."""
    wishes = jnp.array([[0.3, 0.7], [0.6, 0.4]])
    rules = {name: rule for name, rule in RULES.items() if not rule.needs_gram}

    @jax.jit
    def weights(losses):
        return {
            name: rule.weigh(losses, None, wishes).weights
            for name, rule in rules.items()
        }

    first = weights(jnp.array([[1.0, 2.0], [2.0, 1.5]]))
    second = weights(jnp.eye(2) + 0.5)
    for name, rule in rules.items():
        assert rule.needs_losses or (first[name] == second[name]).all()
    assert not RULES["linear"].needs_losses


def test_a_mean_over_pieces_is_the_mean():
    x = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)

    def mean(piece, key):
        return {"mean": piece.mean(axis=0), "rows": jnp.float32(len(piece))}

    for size, rows in ((0, 24), (5, 6), (7, 8), (24, 24), (100, 24)):
        found = jax.jit(partial(microbatch.mean_over, mean, size=size))(x, KEY)
        assert found["rows"] == rows
        np.testing.assert_allclose(found["mean"], x.mean(axis=0), atol=1e-6)


def test_each_piece_has_a_key_of_its_own():
    """With one mask for both pieces the mean would be that of half as many draws."""

    def dropped(piece, key):
        return jnp.ravel(dropout(key, piece, 0.5))

    ones = jnp.ones((2, 100))
    mean = microbatch.mean_over(dropped, ones, KEY, 1)
    assert set(np.asarray(mean)) == {0.0, 1.0, 2.0}


def test_each_network_has_keys_of_its_own_in_each_piece():
    """Two networks that see all of a batch, in two pieces: four masks."""

    def dropped(piece, keys):
        return jax.vmap(lambda key: jnp.ravel(dropout(key, piece, 0.5)))(keys)

    keys, ones = jax.random.split(KEY, 2), jnp.ones((2, 100))
    mean = np.asarray(microbatch.mean_over(dropped, ones, keys, 1))
    assert mean.shape == (2, 100) and (mean[0] != mean[1]).any()
    for key, mine in zip(keys, mean, strict=True):
        alone = microbatch.mean_over(lambda p, k: dropped(p, k[None])[0], ones, key, 1)
        np.testing.assert_array_equal(mine, alone)
        assert set(mine) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("name", CONDITIONERS)
def test_a_batch_that_is_normalised_is_never_cut(name):
    """The statistics of a piece are not those of the batch; every family knows."""
    side = 36 if name == "static" else 6  # static makes kernels: it asks for some
    options = dict(CONDITIONERS[name].options)
    if CONDITIONERS[name].reads_pref:
        options |= {"image_shape": (side, side)}
        net = mlp((side, side), widths=(8,), channels=3)
    else:
        net = lenet() if name == "static" else mlp((side, side), widths=(8,))
    net = net._replace(batchwise=True)
    if name == "independent":
        made = conditioned.independent(net, np.eye(2))
    else:
        made = CONDITIONERS[name].make(net, 2, KEY, **options)
    image = jax.ShapeDtypeStruct((side, side), jnp.float32)
    choose = microbatch.choose_microbatch
    assert choose(made, 2, image, "cpu") == 0
    assert choose(made._replace(batchwise=False), 2, image, "cpu") > 0


def test_the_networks_that_normalise_by_the_batch_say_so():
    found = {name for name, make in NETWORKS.items() if make((36, 36)).batchwise}
    assert found == {"resnet18-batch"}


def test_a_cpu_takes_fewer_of_larger_networks_and_an_accelerator_all():
    image = jax.ShapeDtypeStruct((36, 36), jnp.float32)
    small, large = (
        conditioned.chunked(net, 2, KEY, chunk_size=1000)
        for net in (mlp((36, 36)), lenet())
    )
    choose = microbatch.choose_microbatch
    assert choose(small, 2, image, "cpu") > choose(large, 2, image, "cpu") > 1
    assert choose(large, 2, image, "gpu") == choose(large, 2, image, "tpu") == 0
