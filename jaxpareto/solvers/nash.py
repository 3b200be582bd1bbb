"""Let the tasks bargain for a direction (Nash-MTL)."""

import jax
import jax.numpy as jnp

from jaxpareto.solvers._shared import Info, checked, concluded, scaled
from jaxpareto.types import Array

MAX_ITERATIONS = 60


def nash_mtl(
    losses: Array, gram: Array, pref: Array, *, normalize: bool = True
) -> tuple[Array, Info]:
    """Choose the direction with the largest product of gains.

    `gram w = 1 / w` with w > 0: the one minimum of `w' gram w / 2 - sum_i log w_i`,
    found by damped Newton steps

    Blind to the preference. Where the gradients leave no common descent, as on the
    front, there is no solution and w grows without end: look at `converged`. Only its
    direction is the bargain's, so the weights are brought to sum m unless one asks for
    the equation's own.

    Args:
      losses: [m], not used.
      gram: [m, m], inner products of the task gradients.
      pref: [m], not used.
      normalize: divide the weights so that their sum is m.

    Returns:
      Weights [m], positive, and `Info`; if not normalized, in units of one over the
      gradients' length.

    Raises:
      UsageError: shapes other than [m], [m, m], [m] with m >= 2.

    Source: Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik and Fetaya (2022),
    "Multi-task learning as a bargaining game", claim 3.1.

    >>> gram = jnp.diag(jnp.array([1.0, 4.0]))
    >>> print(nash_mtl(jnp.ones(2), gram, jnp.ones(2), normalize=False)[0])
    [1.  0.5]
    """
    inputs = losses, gram, pref = checked(losses, gram, pref)
    m = losses.size
    eps = jnp.finfo(gram.dtype).eps
    gram, size = scaled(gram)
    squares = jnp.diagonal(gram)
    # In units of each gradient's own length; a gradient of length zero asks for an
    # infinite weight, and gets that of the shortest length that rounding can tell.
    lengths = jnp.sqrt(jnp.maximum(squares, eps**2))
    cosines = gram / (lengths[:, None] * lengths[None, :])

    def move(carry):
        w, _, iterations = carry
        gradient = cosines @ w - 1 / w
        hessian = cosines + jnp.diag(1 / w**2)
        step = -jnp.linalg.solve(hessian, gradient)
        decrement = jnp.sqrt(jnp.maximum(-gradient @ step, 0))
        # Self-concordant: this step stays positive; a full one is safe near the end.
        moved = w + step / jnp.where(decrement < 0.25, 1, 1 + decrement)
        # Opposite gradients, rounded, can make the system singular: stay, unconverged.
        sound = jnp.all(jnp.isfinite(moved))
        w = jnp.where(sound, jnp.maximum(moved, eps), w)
        return w, jnp.where(sound, decrement, jnp.inf), iterations + 1

    def going(carry):
        w, decrement, iterations = carry
        endless = jnp.max(w) > eps**-0.5  # no common descent: the weights grow for ever
        return (decrement > eps**0.75) & ~endless & (iterations < MAX_ITERATIONS)

    start = jnp.ones(m, gram.dtype), jnp.full((), jnp.inf, gram.dtype), 0
    w, decrement, iterations = jax.lax.while_loop(going, move, start)
    zero = jnp.any(squares <= 0)
    if normalize:  # in units of the shortest length, so that nothing overflows
        shares = w / (lengths / jnp.min(lengths))
        weights = m * shares / jnp.sum(shares)
    else:
        weights = w / lengths / jnp.sqrt(size)
    return concluded(
        inputs,
        weights,
        converged=(decrement <= eps**0.5) & ~zero,
        iterations=iterations,
    )
