"""Give every task the same projection of the direction (IMTL-G)."""

import jax.numpy as jnp

from jaxpareto.solvers._shared import Info, checked, concluded
from jaxpareto.types import Array


def imtl_g(losses: Array, gram: Array, pref: Array) -> tuple[Array, Info]:
    """Choose the weights under which the direction is impartial to the tasks.

    `(gram w)_i / |g_i|` equal for all i, with `sum_i w_i = 1`: with the cosines C of
    the gradients, `w_i` proportional to `(C^+ 1)_i / |g_i|`

    Blind to the preference; weights may be negative, and since it is their sum that is
    fixed, the direction may even point uphill. Where the solution's sum is zero
    there is nothing to normalise: the weights are 0 and `converged` is False. So it is,
    too, where no weights make the projections equal, as for most dependent gradients.

    Args:
      losses: [m], not used.
      gram: [m, m], inner products of the task gradients.
      pref: [m], not used.

    Returns:
      Weights [m] of sum 1, and `Info`.

    Raises:
      UsageError: shapes other than [m], [m, m], [m] with m >= 2.

    Source: Liu, Li, Kuang, Xue, Chen, Yang, Liao and Zhang (2021), "Towards impartial
    multi-task learning", section 3.1.

    >>> print(imtl_g(jnp.ones(2), jnp.diag(jnp.array([1.0, 9.0])), jnp.ones(2))[0])
    [0.75 0.25]
    """
    inputs = losses, gram, pref = checked(losses, gram, pref)
    eps = jnp.finfo(gram.dtype).eps
    squares = jnp.diagonal(gram)
    there = squares > 0
    inverse = jnp.where(there, 1 / jnp.sqrt(jnp.where(there, squares, 1)), 0)
    cosines = gram * inverse[:, None] * inverse[None, :]
    sound = jnp.all(jnp.isfinite(cosines))
    solved = jnp.linalg.pinv(
        jnp.where(sound, cosines, 0), hermitian=True
    ) @ there.astype(gram.dtype)
    # A common factor of the lengths does not count, and may over- or underflow.
    weights = solved * inverse / jnp.max(inverse, initial=0, where=there)
    total = jnp.sum(weights)
    normal = jnp.abs(total) > eps**0.5 * jnp.sum(jnp.abs(weights))
    weights = jnp.where(normal, weights / jnp.where(normal, total, 1), 0)
    equal = jnp.max(jnp.abs(cosines @ solved - 1)) < eps**0.5
    return concluded(inputs, weights, converged=normal & equal & jnp.all(there))
