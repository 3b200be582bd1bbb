"""Help the task that gains least, not far from the mean gradient (CAGrad)."""

import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.solvers._program import minimise, on_simplex
from jaxpareto.solvers._shared import Info, checked, concluded, scaled
from jaxpareto.types import Array


def cagrad(
    losses: Array, gram: Array, pref: Array, *, c: float = 0.5
) -> tuple[Array, Info]:
    """Maximise the smallest gain within a ball around the weighted gradient.

    `max_d min_i g_i' d  subject to  |d - g_0| <= c |g_0|`, `g_0 = sum_i pref_i g_i`,
    by its dual, `min { w' gram pref + c |g_0| sqrt(w' gram w) : w on the simplex }`;
    weights are `pref + c |g_0| / |g_w| * w`

    The paper's `g_0` is the plain mean, pref = 1/m. With c < 1 it converges to a
    minimum of the weighted mean loss, as linear scalarisation does, by another way.

    Args:
      losses: [m], not used.
      gram: [m, m], inner products of the task gradients.
      pref: [m], on the simplex.
      c: radius of the ball, between 0 (weighted mean) and 1.

    Returns:
      Weights [m], at least 0, and `Info`; `active` counts the tasks that gain least.

    Raises:
      UsageError: wrong shapes, or c outside [0, 1).

    Source: Liu, Liu, Jin, Stone and Liu (2021), "Conflict-averse gradient descent for
    multi-task learning", algorithm 1.

    >>> gram = jnp.diag(jnp.array([1.0, 9.0]))
    >>> print(cagrad(jnp.ones(2), gram, jnp.array([0.5, 0.5]), c=0.0)[0])
    [0.5 0.5]
    """
    if not 0 <= c < 1:
        raise UsageError(f"c must be at least 0 and below 1; found {c}")
    inputs = losses, gram, pref = checked(losses, gram, pref)
    m = losses.size
    gram, _ = scaled(gram)
    pull = gram @ pref
    radius = c * jnp.sqrt(jnp.maximum(pref @ pull, 0))
    # The root has a kink where g_w = 0, which the solver's Newton steps need rounded.
    round_off = jnp.finfo(gram.dtype).eps ** 0.75

    def derivatives(w: Array) -> tuple[Array, Array]:
        through = gram @ w
        length = jnp.sqrt(jnp.maximum(w @ through, 0) + round_off)
        bend = gram - through[:, None] * through[None, :] / length**2
        return pull + radius * through / length, radius * bend / length

    program, start = on_simplex(m, gram.dtype)
    found = minimise(program, derivatives, start)
    w = jnp.maximum(found.x, 0)
    w = w / jnp.sum(w)
    length = jnp.sqrt(jnp.maximum(w @ gram @ w, 0) + round_off)
    return concluded(
        inputs,
        pref + radius / length * w,
        converged=found.converged,
        iterations=found.iterations,
        active=jnp.sum(w > jnp.finfo(gram.dtype).eps ** 0.5),
    )
