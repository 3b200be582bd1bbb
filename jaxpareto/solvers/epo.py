"""Go where the losses lie exactly on the ray asked for (EPO search)."""

import jax.numpy as jnp
from jax.scipy.special import xlogy

from jaxpareto.errors import UsageError
from jaxpareto.simplex import FLOOR
from jaxpareto.solvers._program import Program, on_simplex, quadratic
from jaxpareto.solvers._shared import Info, checked, concluded, scaled
from jaxpareto.types import Array


def epo(
    losses: Array, gram: Array, pref: Array, *, tolerance: float = 1e-4
) -> tuple[Array, Info]:
    """Balance the losses until all `pref_i * losses_i` are equal, then lower them.

    With shares `s = pref * losses / sum(pref * losses)`, their imbalance
    `mu = sum_i s_i log(m s_i)` and the anchor `a = pref * (log(m s) - mu)`:

    - balance, while `mu > tolerance`: `max { w' gram a : gram w >= b }`, where, if any
      `(gram a)_i > 0`, `b_i = 0` for the largest share, `-inf` for the other i with
      `(gram a)_i > 0`, and `(gram a)_i` for the rest; else `b = 0`
    - descent: `max { sum(gram w) : gram w >= 0, w' gram a >= min(max(gram a), 0) }`

    over w on the simplex. Weights are `m w`.

    Args:
      losses: [m], of one unit, at least 0.
      gram: [m, m], inner products of the task gradients.
      pref: [m], on the simplex; at a vertex, shares of 1e-6 for the others.
      tolerance: the imbalance (a divergence, in nats) that counts as none.

    Returns:
      Weights [m], at least 0, of sum m, and `Info`; `active` counts the bounded tasks.
      `converged` is False where no w meets the bounds, as happens by rounding next to a
      point of the front: the weights then break them least.

    Raises:
      UsageError: wrong shapes, or a tolerance of 0 or less.

    Source: Mahapatra and Rajan (2020), "Multi-task learning with user preferences:
    gradient descent with controlled ascent in Pareto optimization", equations 24-26.

    >>> weights, info = epo(jnp.array([2.0, 1.0]), jnp.eye(2), jnp.array([0.5, 0.5]))
    >>> print(weights.round(3))  # the first loss is too high
    [2. 0.]
    """
    if not tolerance > 0:
        raise UsageError(f"tolerance must be positive; found {tolerance}")
    inputs = losses, gram, pref = checked(losses, gram, pref)
    m = losses.size
    gram, _ = scaled(gram)
    shares, imbalance, anchor = _anchor(losses, jnp.maximum(pref, FLOOR))
    gain = gram @ anchor
    size = jnp.max(jnp.abs(gain))
    gain = gain / jnp.where(size > 0, size, 1)
    balancing = imbalance > tolerance

    worst = shares >= jnp.max(shares)
    bounds = jnp.where(gain > 0, -jnp.inf, gain * size)
    bounds = jnp.where(worst | ~jnp.any(gain > 0), 0, bounds)
    bounds = jnp.where(balancing, bounds, 0)
    no_worse = jnp.minimum(jnp.max(gain), 0)

    program, start = on_simplex(m, gram.dtype)
    program = _with_rows(program, gram, bounds)
    free = balancing | (size == 0)
    program = _with_rows(
        program, gain[None, :], jnp.where(free, -jnp.inf, no_worse)[None]
    )
    # A direction of `sum(gram w)` that is longer than 1 would be a larger scale for the
    # solver, not another optimum.
    total = jnp.sum(gram, axis=0)
    total = total / jnp.maximum(jnp.max(jnp.abs(total)), 1)
    cost = -jnp.where(balancing, gain, total)
    # Parallel gradients leave w undecided: this much curvature picks the shortest one.
    ridge = jnp.finfo(gram.dtype).eps ** 0.6 * jnp.eye(m, dtype=gram.dtype)
    found = quadratic(program, ridge, cost, start)
    weights = jnp.maximum(found.x, 0)
    return concluded(
        inputs,
        m * weights / jnp.sum(weights),
        converged=found.converged,
        iterations=found.iterations,
        active=jnp.sum(jnp.isfinite(bounds)),
    )


def _anchor(losses: Array, pref: Array) -> tuple[Array, Array, Array]:
    """Return the shares [m], their imbalance, and the anchor direction [m]."""
    weighted = pref * losses
    total = jnp.sum(weighted)
    m = losses.size
    shares = jnp.where(total > 0, weighted / jnp.where(total > 0, total, 1), 1 / m)
    imbalance = jnp.sum(xlogy(shares, m * shares))
    # A loss of zero asks for minus infinity; the smallest float asks for enough.
    info = jnp.finfo(losses.dtype)
    slopes = jnp.log(jnp.maximum(m * shares, info.tiny)) - imbalance
    # On the ray nothing is left but rounding, which must not choose the way.
    off = jnp.max(jnp.abs(slopes)) > info.eps**0.75
    return shares, imbalance, jnp.where(off, pref * slopes, 0)


def _with_rows(program: Program, rows: Array, bounds: Array) -> Program:
    """Add `rows @ x >= bounds`, without those whose bound is minus infinity."""
    asked = jnp.isfinite(bounds)
    return program._replace(
        inequalities=jnp.concatenate(
            [program.inequalities, jnp.where(asked[:, None], -rows, 0)]
        ),
        bounds=jnp.concatenate([program.bounds, jnp.where(asked, -bounds, 1)]),
    )
