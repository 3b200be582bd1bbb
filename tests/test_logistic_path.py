"""One head for every decay: against the exact heads that it stands for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import data, logistic
from jaxpareto.errors import UsageError
from jaxpareto.logistic.path import chebyshev
from jaxpareto.rules import RULES
from jaxpareto.train import Hparams, Recipe, optimizers, train
from jaxpareto.types import Split
from tests.test_logistic import ROWS, digits, path, small

UNSEEN = np.logspace(-6, -2, 17)


def exact(rows):
    """Return the digits and the exact objectives, in float64."""
    pixels, labels = digits(rows)
    start = logistic.zeros(64, 10, np.float64)
    found = path(pixels, labels, jnp.asarray(UNSEEN), start, 1e-8)
    return pixels, labels, np.asarray(found.objective)


@pytest.mark.parametrize("rows", ROWS)
def test_four_heads_stand_for_every_decay(rows):
    """How far f is above its minimum, at 17 decays that it was not fitted at."""
    with jax.enable_x64(True):
        pixels, labels, best = exact(rows)
        found = jax.jit(partial(logistic.fit, classes=10, terms=4))(pixels, labels)

        @jax.jit
        @jax.vmap
        def reached(decay):
            return logistic.objective(logistic.at(found, decay), pixels, labels, decay)

        above = np.asarray(reached(jnp.asarray(UNSEEN))) / best - 1
    assert (above > -1e-9).all(), "nothing is below the minimum"
    assert above.mean() <= 2e-3 and above.max() <= 1e-2


def test_one_node_and_one_term_are_the_exact_head():
    """A path of a constant, fitted at one decay, is the solution there."""
    features, labels = small()
    with jax.enable_x64(True):
        found = jax.jit(partial(logistic.fit, classes=4, terms=1, nodes=1))(
            features, labels
        )
        best = logistic.solve(
            features, labels, 1e-4, logistic.zeros(5, 4, np.float64), tolerance=1e-12
        )
        head = logistic.at(found, jnp.asarray(1e-4))
        value = logistic.objective(head, features, labels, 1e-4)
    assert float(value) == pytest.approx(float(best.objective), rel=1e-8)


def test_the_polynomials_are_chebyshevs():
    s = np.linspace(-1, 1, 9)
    with jax.enable_x64(True):
        mine = jax.vmap(lambda x: chebyshev(x, 6))(jnp.asarray(s))
    np.testing.assert_allclose(
        mine, np.cos(np.arange(6)[None] * np.arccos(s)[:, None]), atol=1e-12
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": 0.0}, "decays must rise from above 0, found 0 to 0.01"),
        ({"low": 0.1}, "found 0.1 to 0.01"),
        ({"terms": 5, "nodes": 4}, "4 nodes cannot tell 5 terms"),
    ],
)
def test_ranges_that_cannot_be(options, message):
    features, labels = small()
    with pytest.raises(UsageError, match=message):
        logistic.fit(features, labels, 4, **options)
    if "nodes" not in options:
        with pytest.raises(UsageError, match=message):
            logistic.conditioned(5, 4, **options)
    with pytest.raises(UsageError, match="needs terms, found 0"):
        logistic.conditioned(5, 4, terms=0)


def test_a_conditioned_head_learns_its_front_by_any_trainer():
    """The library's trainer, its linear rule and Adam, on preferences drawn at random.

    At decays in between, f is within 0.1 % of its minimum on average, 0.5 % at most.
    """
    features, labels = small(6, n=80)
    features = (features - features.mean(axis=0)).astype(np.float32)
    low, high = 1e-2, 1.0
    net = logistic.conditioned(5, 4, low=low, high=high)

    def sampler(key, k, progress=1.0):
        del progress
        logs = jax.random.uniform(key, (k,), minval=np.log(low), maxval=np.log(high))
        return jax.vmap(logistic.pref_of)(jnp.exp(logs))

    adam = optimizers.optimizer("adam", "cosine", steps=600)
    rows = Split(jnp.asarray(features), jnp.asarray(labels))
    recipe = Recipe(
        net, RULES["linear"], sampler, adam, 16, losses=logistic.loss_and_norm
    )
    between = jnp.logspace(0, -2, 12)[1:-1]

    @jax.jit
    def above(key):
        batches = data.whole(rows, steps=600)
        state, _ = train(recipe, batches, 1, key, Hparams(0.05), rows)
        exact = logistic.follow(*rows, between, 4).objective

        def reached(decay):
            pref = logistic.pref_of(decay)
            losses = logistic.loss_and_norm(net.apply(state.phi, pref, rows[0]), labels)
            return jnp.sum(pref * losses) / pref[0]

        return jax.vmap(reached)(between) / exact - 1

    found = np.asarray(above(jax.random.key(0)))
    assert (found > -1e-5).all(), "nothing is below the minimum"
    assert found.mean() <= 1e-3 and found.max() <= 5e-3


def test_a_conditioned_head_is_the_path_at_the_decay_that_is_preferred():
    rng = np.random.default_rng(0)
    phi = logistic.Head(rng.standard_normal((3, 5, 4)), rng.standard_normal((3, 4)))
    phi = jax.tree.map(jnp.asarray, phi)
    net = logistic.conditioned(5, 4, low=1e-3, high=1e-1, terms=3)
    whole = logistic.Path(*phi, *np.log([1e-3, 1e-1]).astype(np.float32))
    # Beyond the range, vertices included, it is the end of the range that counts.
    for pref, decay in (
        (logistic.pref_of(jnp.array(0.02)), 0.02),
        (jnp.array([1.0, 0.0]), 1e-3),
        (jnp.array([0.0, 1.0]), 1e-1),
    ):
        head = net.params(phi, pref)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
            head,
            logistic.at(whole, jnp.array(decay)),
        )
    features, labels = small()
    losses = logistic.loss_and_norm(net.forward(head, features), labels)
    ce = logistic.mean_loss(head, features, labels)
    np.testing.assert_allclose(losses, [ce, logistic.penalty(head, 1.0)], rtol=1e-5)
