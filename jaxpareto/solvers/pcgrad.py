"""Take from each task's gradient what conflicts with the others (PCGrad)."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import UsageError
from jaxpareto.solvers._shared import Info, checked, concluded
from jaxpareto.types import Array, Key

MOST_WITHOUT_KEY = 5
"""Up to this many tasks, all orders (24 for each task) are averaged."""


def pcgrad(
    losses: Array, gram: Array, pref: Array, *, key: Key | None = None
) -> tuple[Array, Info]:
    """Project each gradient off those it conflicts with, and add them up.

    For each task i, `g = g_i`; for the other tasks j in a random order, where
    `g' g_j < 0`, `g <- g - (g' g_j / |g_j|^2) g_j`; the direction is the sum of the m
    results.

    Without a key the mean over all orders is returned, which is what random orders give
    on average. Blind to the preference.

    Args:
      losses: [m], not used.
      gram: [m, m], inner products of the task gradients.
      pref: [m], not used.
      key: draws one order for each task; it is consumed.

    Returns:
      Weights [m], at least 0, and `Info`; `active` counts pairs in conflict.

    Raises:
      UsageError: wrong shapes, or no key for more than 5 tasks.

    Source: Yu, Kumar, Gupta, Levine, Hausman and Finn (2020), "Gradient surgery for
    multi-task learning", algorithm 1.

    >>> gram = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> print(pcgrad(jnp.ones(2), gram, jnp.ones(2))[0])
    [1.5 1.5]
    """
    inputs = losses, gram, pref = checked(losses, gram, pref)
    m = losses.size
    if key is not None:
        orders = _random_orders(key, m)
    elif m <= MOST_WITHOUT_KEY:
        orders = jnp.asarray(_all_orders(m))
    else:
        raise UsageError(
            f"pcgrad averages all orders of up to {MOST_WITHOUT_KEY} tasks; for {m} of "
            "them give a key, which draws one"
        )
    start = jnp.eye(m, dtype=gram.dtype)
    along_orders = jax.vmap(_surgery, (None, None, 0))
    parts = jax.vmap(along_orders, (None, 0, 0))(gram, start, orders)  # [m, orders, m]
    conflicts = jnp.sum(jnp.triu(gram, 1) < 0)
    return concluded(inputs, jnp.sum(jnp.mean(parts, axis=1), axis=0), active=conflicts)


def _surgery(gram: Array, start: Array, order: Array) -> Array:
    """Return the coefficients [m] of one gradient after its projections."""

    def project(coefficients: Array, j: Array) -> tuple[Array, None]:
        conflict = jnp.minimum(gram[j] @ coefficients, 0)
        square = gram[j, j]
        step = conflict / jnp.where(square > 0, square, 1)
        return coefficients.at[j].add(-step), None

    return jax.lax.scan(project, start, order)[0]


def _all_orders(m: int) -> np.ndarray:
    """Return [m, (m - 1)!, m - 1]: for each task, all orders of the others."""
    others = [[j for j in range(m) if j != i] for i in range(m)]
    return np.array([list(permutations(rest)) for rest in others])


def _random_orders(key: Key, m: int) -> Array:
    """Return [m, 1, m - 1]: for each task, one order of the others."""
    ranks = jax.random.uniform(key, (m, m)) + 2 * jnp.eye(m)  # itself comes last
    return jnp.argsort(ranks, axis=1)[:, None, : m - 1]
