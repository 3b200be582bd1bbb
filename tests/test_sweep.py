"""Many trainings at once, and what may be added to a step: average, freeze, penalty."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpareto import data, prefs, rules
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.nets import mlp
from jaxpareto.train.optimizers import optimizer
from jaxpareto.train.recipe import Hparams, Recipe
from jaxpareto.train.step import init, step, train
from jaxpareto.train.sweep import fit_many
from jaxpareto.types import Split

KEY = jax.random.key(0)
NET = mlp((4, 4), widths=())  # four leaves: what compiles is small
RNG = np.random.default_rng(0)
DATA = Split(
    jnp.asarray(RNG.uniform(size=(24, 4, 4)), jnp.float32),
    jnp.asarray(RNG.integers(10, size=(24, 2)), jnp.int32),
)


def recipe(name="low-rank", optimizer_of=None, **more):
    entry = CONDITIONERS[name]
    made = entry.make(NET, 2, KEY, **entry.options)
    chosen = optimizer_of or optimizer("adam", "constant", steps=6)
    sampler = prefs.SAMPLERS["uniform"](2, 1.0)
    return Recipe(made, rules.RULES["linear"], sampler, chosen, 2, **more)


def states_of(recipe, hparams, count):
    """Return the states before and after each of `count` steps on all of the data."""

    @jax.jit
    def run(state):
        def body(state, _):
            state, _ = step(recipe, state, DATA, hparams)
            return state, state

        return jax.lax.scan(body, state, None, count)[1]

    first = init(recipe, KEY, hparams)
    return first, run(first)


def test_a_sweep_is_its_members_and_goes_on_after_a_kill(tmp_path):
    """Three seeds with rates of their own; stopped after one epoch, then resumed."""
    made = recipe()
    batches = data.stored(DATA, 8)
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    rates = jnp.array([1e-2, 3e-3, 1e-3])
    common = (made, batches, keys, Hparams(rates))
    whole = fit_many(*common, tmp_path / "whole", epochs=2, quiet=True)
    fit_many(*common, tmp_path / "parts", epochs=1, quiet=True)
    parts = fit_many(*common, tmp_path / "parts", epochs=2, quiet=True)
    for a, b in zip(
        jax.tree.leaves(whole.states.phi),
        jax.tree.leaves(parts.states.phi),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert whole.finite.all() and parts.finite.all()
    alone = jax.jit(lambda key: train(made, batches, 2, key, Hparams(3e-3), DATA)[0])
    for a, b in zip(
        jax.tree.leaves(whole.states.phi),
        jax.tree.leaves(alone(keys[1]).phi),
        strict=True,
    ):
        np.testing.assert_allclose(a[1], b, atol=1e-5)


def test_a_member_that_breaks_down_is_named_and_the_others_go_on(tmp_path):
    made = recipe("delta", optimizer("sgd", "constant", steps=9))
    batches = data.stored(DATA, 8)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    swept = fit_many(
        made,
        batches,
        keys,
        Hparams(jnp.array([1e-2, 1e30])),
        tmp_path,
        epochs=1,
        quiet=True,
    )
    assert swept.finite.tolist() == [True, False]


def test_the_average_is_a_moving_mean_of_the_parameters():
    made = recipe(average=0.5)
    first, later = states_of(made, Hparams(1e-2), 6)
    np.testing.assert_array_equal(first.average["base0"], first.phi["base0"])
    mean = np.asarray(first.phi["base0"])
    for t in range(6):
        keep = min(0.5, (1 + t) / (10 + t))
        mean = keep * mean + (1 - keep) * np.asarray(later.phi["base0"][t])
        np.testing.assert_allclose(later.average["base0"][t], mean, atol=1e-6)
    assert later.best is later.average
    without, _ = states_of(recipe(), Hparams(1e-2), 1)
    assert without.average is None and without.best is without.phi


def test_the_base_stops_and_the_rest_goes_at_its_own_rate():
    plain = optimizer("sgd", "constant", steps=6)
    parted = optimizer("sgd", "constant", steps=6, base_until=0.5, rest_rate=3.0)
    hparams = Hparams(0.1)
    first, one = states_of(recipe(optimizer_of=plain), hparams, 6)
    _, two = states_of(recipe(optimizer_of=parted), hparams, 6)
    rows = two.phi["base1"]
    assert not np.allclose(rows[1], rows[2]), "the base moves in the first half"
    np.testing.assert_array_equal(rows[2], rows[5])
    up = "up1"  # starts at zero; its first step is the gradient times the rate
    np.testing.assert_allclose(two.phi[up][0], 3.0 * one.phi[up][0], rtol=1e-5)
    np.testing.assert_allclose(two.phi["base1"][0], one.phi["base1"][0], rtol=1e-6)
    assert not np.allclose(one.phi["base1"][3], one.phi["base1"][5])
    assert float(optax.tree.norm(first.phi[up])) == 0.0


def test_the_penalty_adds_its_gradient():
    """With plain gradient descent the two steps differ by the penalty's gradient."""
    descent = optimizer("sgd", "constant", steps=6)
    hparams = Hparams(0.1)
    made = recipe(optimizer_of=descent, penalty=2.0)
    first, with_penalty = states_of(made, hparams, 1)
    _, without = states_of(recipe(optimizer_of=descent), hparams, 1)
    slope = jax.grad(made.conditioned.penalty)(first.phi)
    for name in ("down1", "up1", "base1"):
        np.testing.assert_allclose(
            with_penalty.phi[name][0] - without.phi[name][0],
            -0.1 * 2.0 * slope[name],
            atol=1e-6,
        )
    assert float(jnp.abs(slope["down1"]).max()) > 1e-3
