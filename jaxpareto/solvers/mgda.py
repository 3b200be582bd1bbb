"""Descend along the shortest vector between the task gradients (MGDA)."""

import jax.numpy as jnp

from jaxpareto.solvers._program import Solution, on_simplex, quadratic
from jaxpareto.solvers._shared import Info, checked, concluded, scaled
from jaxpareto.types import Array


def mgda(losses: Array, gram: Array, pref: Array) -> tuple[Array, Info]:
    """Weigh the tasks so that their gradients' mean is as short as possible.

    `weights = argmin { w' gram w : w >= 0, sum w = 1 }`

    The direction lowers every loss by at least the square of its length, and vanishes
    where no direction lowers all. Blind to the preference: it stops at any such point.
    Two tasks have a closed form; more take a dozen iterations.

    Args:
      losses: [m], not used.
      gram: [m, m], inner products of the task gradients.
      pref: [m], not used.

    Returns:
      Weights [m] on the simplex, and `Info`; `active` counts the tasks of weight zero.

    Raises:
      UsageError: shapes other than [m], [m, m], [m] with m >= 2.

    Source: Desideri (2012), "Multiple-gradient descent algorithm (MGDA)"; Sener and
    Koltun (2018), "Multi-task learning as multi-objective optimization", for two tasks.

    >>> weights, info = mgda(jnp.ones(2), jnp.diag(jnp.array([1.0, 4.0])), jnp.ones(2))
    >>> print(weights.round(3))
    [0.8 0.2]
    """
    inputs = losses, gram, pref = checked(losses, gram, pref)
    if losses.size == 2:
        weights, converged, iterations = _nearest_of_two(gram), True, 0
    else:
        weights, converged, iterations = shortest(gram)
    zero = jnp.sum(weights < jnp.finfo(gram.dtype).eps ** 0.5)
    return concluded(
        inputs, weights, converged=converged, iterations=iterations, active=zero
    )


def shortest(gram: Array, allowed: Array | None = None) -> Solution:
    """Return the weights of the shortest vector in the hull of some vectors.

    Args:
      gram: [v, v], inner products of the vectors.
      allowed: [v] bool, which of them count; all by default. The others get 0.
    """
    v = len(gram)
    gram, _ = scaled(gram)
    if allowed is not None:
        both = allowed[:, None] & allowed[None, :]
        # On the diagonal of the rest stands a 1, which draws their weights to zero.
        alone = jnp.diag(jnp.where(allowed, 0, 1).astype(gram.dtype))
        gram = jnp.where(both, gram, alone)
    program, start = on_simplex(v, gram.dtype, allowed=allowed)
    found = quadratic(program, gram, jnp.zeros(v, gram.dtype), start)
    weights = jnp.maximum(found.x, 0)
    if allowed is not None:
        weights = jnp.where(allowed, weights, 0)
    return found._replace(x=weights / jnp.sum(weights))


def _nearest_of_two(gram: Array) -> Array:
    """Return the weights of the shortest vector on the segment between two."""
    gram, _ = scaled(gram)
    length = gram[0, 0] + gram[1, 1] - 2 * gram[0, 1]  # of the segment, squared
    apart = length > 0
    share = (gram[1, 1] - gram[0, 1]) / jnp.where(apart, length, 1)
    first = jnp.where(apart, jnp.clip(share, 0, 1), 0.5)  # equal gradients: any will do
    return jnp.stack([first, 1 - first])
