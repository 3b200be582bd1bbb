"""Come near the ray asked for, then descend, then come near again (PMGDA)."""

import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.simplex import to_ray
from jaxpareto.solvers._program import Program, quadratic
from jaxpareto.solvers._shared import Info, checked, concluded, scaled
from jaxpareto.solvers.mgda import mgda
from jaxpareto.types import Array


def pmgda(
    losses: Array,
    gram: Array,
    pref: Array,
    *,
    sigma: float = 0.95,
    tolerance: float = 0.01,
) -> tuple[Array, Info]:
    """Descend where the losses are near the ray; elsewhere, go back to it first.

    With `h(L) = |L - (L'r) r|`, the distance to the unit ray r, and unit vectors
    `e_i = g_i / |g_i|` for the gradients of the m losses and of h:

    - near, `h <= tolerance`: the weights of MGDA
    - far: `max { min_i g_i' d : grad_h' d >= sigma |grad_h| }` over
      `d = sum_j mu_j e_j`, mu on the simplex of m + 1

    Far away the weights are the coefficients of d in the task gradients,
    `mu_i / |g_i| + mu_h / |grad_h| * dh/dL_i`, and may be negative.

    Args:
      losses: [m], of one unit, at least 0.
      gram: [m, m], inner products of the task gradients `g`.
      pref: [m], on the simplex; `r` is its ray, divided by its length.
      sigma: how directly to go back, between 0 and 1.
      tolerance: the distance that counts as near, in the unit of the losses.

    Returns:
      Weights [m] and `Info`; `active` is 1 far from the ray, else 0.

    Raises:
      UsageError: wrong shapes, sigma outside (0, 1), or a tolerance of 0 or less.

    Source: Zhang, Lin and Zhang (2024), "PMGDA: A preference-based multiple gradient
    descent algorithm", equations 16-20.

    >>> weights, info = pmgda(jnp.array([2.0, 1.0]), jnp.eye(2), jnp.array([0.5, 0.5]))
    >>> bool(weights[0] > weights[1]), int(info.active)
    (True, 1)
    """
    if not 0 < sigma < 1:
        raise UsageError(f"sigma must lie between 0 and 1; found {sigma}")
    if not tolerance > 0:
        raise UsageError(f"tolerance must be positive; found {tolerance}")
    inputs = losses, gram, pref = checked(losses, gram, pref)
    distance, slope = _distance(losses, to_ray(pref))
    far = distance > tolerance
    unit, size = scaled(gram)
    back, solved, iterations = _go_back(unit, slope, sigma)
    down, info = mgda(losses, gram, pref)
    return concluded(
        inputs,
        jnp.where(far, back / jnp.sqrt(size), down),
        converged=jnp.where(far, solved, info.converged),
        iterations=jnp.where(far, iterations, info.iterations),
        active=far,
    )


def _distance(losses: Array, ray: Array) -> tuple[Array, Array]:
    """Return the distance from the ray, and its gradient in the losses [m]."""
    ray = ray / jnp.linalg.norm(ray)
    off = losses - (losses @ ray) * ray
    distance = jnp.linalg.norm(off)
    return distance, off / jnp.where(distance > 0, distance, 1)


def _go_back(gram: Array, slope: Array, sigma: float) -> tuple[Array, Array, Array]:
    """Solve the program of the correction; return weights, converged, iterations."""
    m = len(gram)
    dtype = gram.dtype
    rows = jnp.concatenate([jnp.eye(m, dtype=dtype), slope[None, :]])
    products = rows @ gram @ rows.T
    lengths = jnp.sqrt(jnp.maximum(jnp.diagonal(products), 0))
    # A gradient of length zero, or one that rounding makes so, has no direction.
    least = jnp.finfo(dtype).eps ** 0.5
    inverse = jnp.where(lengths > least, 1 / jnp.maximum(lengths, least), 0)
    gains = products * inverse[None, :]  # of each loss, and of h, along each e_j

    # The variables are mu [m + 1] and the smallest gain t, which is free.
    weigh = jnp.concatenate(
        [jnp.eye(m + 1, dtype=dtype), jnp.zeros((m + 1, 1), dtype)], 1
    )
    reach = jnp.concatenate([gains, -jnp.ones((m + 1, 1), dtype).at[m].set(0)], 1)
    # Along e_h the gain in h is |grad_h|, so that sigma < 1 leaves some room.
    floor = jnp.zeros(m + 1, dtype).at[m].set(sigma * lengths[m] * (lengths[m] > least))
    program = Program(
        inequalities=-jnp.concatenate([weigh, reach]),
        bounds=-jnp.concatenate([jnp.zeros(m + 1, dtype), floor]),
        equalities=jnp.ones((1, m + 2), dtype).at[0, m + 1].set(0),
        values=jnp.ones(1, dtype),
    )
    start = jnp.full(m + 2, 1 / (m + 1), dtype).at[m + 1].set(-1)
    cost = jnp.zeros(m + 2, dtype).at[m + 1].set(-1)
    # Parallel gradients leave mu undecided: this much curvature picks the shortest one.
    ridge = jnp.finfo(dtype).eps ** 0.6 * jnp.eye(m + 2, dtype=dtype)
    found = quadratic(program, ridge, cost, start)
    mu = jnp.maximum(found.x[: m + 1], 0)
    weights = (mu / jnp.sum(mu) * inverse) @ rows
    return weights, found.converged, found.iterations
