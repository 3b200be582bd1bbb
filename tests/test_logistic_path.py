"""One head for every decay: against the exact heads that it stands for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import logistic
from jaxpareto.errors import UsageError
from jaxpareto.logistic.path import chebyshev
from tests.test_logistic import digits, path, small

UNSEEN = np.logspace(-6, -2, 17)


def exact():
    """Return the digits and the exact objectives, in float64."""
    pixels, labels = digits()
    start = logistic.zeros(64, 10, np.float64)
    found = path(pixels, labels, jnp.asarray(UNSEEN), start, 1e-8)
    return pixels, labels, np.asarray(found.objective)


def test_four_heads_stand_for_every_decay():
    """How far f is above its minimum, at 17 decays that it was not fitted at."""
    with jax.enable_x64(True):
        pixels, labels, best = exact()
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
