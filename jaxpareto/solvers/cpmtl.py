"""Stay in a sector of the space of losses while descending (Pareto MTL and CPMTL).

Rays cut the space of losses into sectors: a point belongs to the ray with which it has
the largest inner product. Wherever the losses of a preference lie in another sector,

    G_j(L) = (u_j - p)' L > 0   for some ray u_j, where p is the ray asked for,

and the shortest vector between the task gradients and the gradients of the violated G_j
lowers the losses and leads home. Pareto MTL trains one network per ray; controllable
Pareto MTL (CPMTL) asks for any p in between, with one network for all of them.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxpareto.errors import UsageError
from jaxpareto.simplex import to_ray, unit_rays
from jaxpareto.solvers._shared import Info, checked, concluded
from jaxpareto.solvers.mgda import shortest
from jaxpareto.types import Array

RAYS = 25
"""How many reference rays there are unless one says otherwise (or m, if larger)."""


def cpmtl(
    losses: Array,
    gram: Array,
    pref: Array,
    *,
    rays: ArrayLike | None = None,
    neighbors: int | None = None,
    slack: float = 0.0,
    normalize: bool = True,
    restore: bool = False,
) -> tuple[Array, Info]:
    """Descend within the sector of the ray that a preference asks for.

    `weights_i = lambda_i + sum_{j in I} beta_j (u_ji - p_i)`, where (lambda, beta) on
    the simplex minimise `|sum_i lambda_i g_i + sum_{j in I} beta_j (u_j - p)' g|^2` and
    `I = { j : (u_j - p)' losses / |losses| > -slack }`

    Weights may be negative. With no j in I this is MGDA.

    Args:
      losses: [m], of one unit, at least 0.
      gram: [m, m], inner products of the task gradients `g`.
      pref: [m], on the simplex; `p` is its ray, divided by its length.
      rays: [r, m], the reference vectors `u_j` (their lengths do not count); by default
        25 of them, `simplex.unit_rays`.
      neighbors: how many of them count, those next to p; by default all. For two
        objectives 2 bound the same sector, and the program stays small with many rays.
      slack: how early a constraint counts, as a difference of cosines.
      normalize: divide the weights so that `sum_i |weights_i| = m`.
      restore: outside the sector go straight back to it: lambda = 0, the first phase of
        Pareto MTL at any time. Without it a point of the front is never left, even in
        the wrong sector, for there the shortest vector is zero.

    Returns:
      Weights [m] and `Info`; `active` is the size of I.

    Raises:
      UsageError: wrong shapes, a negative slack, or fewer rays than neighbors.

    Source: Lin, Yang, Zhang and Kwong (2020), "Controllable Pareto multi-task
    learning", for the weights; Lin, Zhen, Li, Zhang and Kwong (2019), "Pareto
    multi-task learning", section 4, for the program and the normalisation.

    >>> from jax import jit
    >>> gram, pref, solve = jnp.eye(2), jnp.array([0.5, 0.5]), jit(cpmtl)
    >>> weights, info = solve(jnp.array([1.0, 1.0]), gram, pref)  # at home: MGDA
    >>> print(weights.round(3), info.active)
    [1. 1.] 0
    >>> weights, info = solve(jnp.array([2.0, 1.0]), gram, pref)  # first loss too high
    >>> bool(weights[0] > weights[1]), bool(info.active > 0)
    (True, True)
    """
    inputs = losses, gram, pref = checked(losses, gram, pref)
    own = _unit(to_ray(pref))
    near = _next_to(own, _rays(rays, losses), neighbors)
    return _descend(inputs, own, near, slack, normalize, restore)


def pmtl(
    losses: Array,
    gram: Array,
    pref: Array,
    *,
    rays: ArrayLike | None = None,
    neighbors: int | None = None,
    slack: float = 0.0,
    normalize: bool = True,
    restore: bool = False,
) -> tuple[Array, Info]:
    """Descend within the sector of the nearest reference ray.

    As `cpmtl`, with `p = argmax_{u_j} u_j' ray(pref)`: all preferences of a sector ask
    for the same. `pmtl_feasible` is the paper's first phase.

    Args:
      losses: [m], of one unit, at least 0.
      gram: [m, m], inner products of the task gradients.
      pref: [m], on the simplex.
      rays: [r, m], the reference vectors; by default 25 of them.
      neighbors: how many of them count, those next to p; by default all.
      slack: how early a constraint counts, as a difference of cosines.
      normalize: divide the weights so that `sum_i |weights_i| = m`.
      restore: as in `cpmtl`.

    Returns:
      Weights [m], possibly negative, and `Info`; `active` counts violated constraints.

    Raises:
      UsageError: wrong shapes, a negative slack, or fewer rays than neighbors.

    Source: Lin, Zhen, Li, Zhang and Kwong (2019), "Pareto multi-task learning",
    section 4.

    >>> home, pref = jnp.array([1.0, 1.0]), jnp.array([0.5, 0.5])
    >>> from jax import jit
    >>> print(jit(pmtl)(home, jnp.eye(2), pref)[0].round(3))
    [1. 1.]
    """
    inputs = losses, gram, pref = checked(losses, gram, pref)
    rays = _rays(rays, losses)
    own = _nearest(rays, pref)
    near = _next_to(own, rays, neighbors)
    return _descend(inputs, own, near, slack, normalize, restore)


def pmtl_feasible(
    losses: Array, gram: Array, pref: Array, *, rays: ArrayLike | None = None
) -> tuple[Array, Info]:
    """Go to the sector of the nearest reference ray, whatever it costs.

    `weights_i = sum_{j in I} beta_j (u_ji - p_i)`, with beta as in `pmtl` but for the
    constraints alone; zero inside the sector, where the first phase is over

    Args:
      losses: [m], of one unit, at least 0.
      gram: [m, m], inner products of the task gradients.
      pref: [m], on the simplex.
      rays: [r, m], the reference vectors; by default 25 of them.

    Returns:
      Weights [m], possibly negative, and `Info`; `active` counts violated constraints.

    Raises:
      UsageError: wrong shapes.

    Source: Lin, Zhen, Li, Zhang and Kwong (2019), "Pareto multi-task learning",
    section 4.2.

    >>> home, pref = jnp.array([1.0, 1.0]), jnp.array([0.5, 0.5])
    >>> from jax import jit
    >>> print(jit(pmtl_feasible)(home, jnp.eye(2), pref)[0])
    [0. 0.]
    """
    inputs = losses, gram, pref = checked(losses, gram, pref)
    rays = _rays(rays, losses)
    own = _nearest(rays, pref)
    differences, violated = _violated(losses, own, rays, 0.0)
    outside = jnp.any(violated)
    # With nobody allowed there is no program to solve, so allow all and ignore it.
    found = shortest(differences @ gram @ differences.T, violated | ~outside)
    return concluded(
        inputs,
        jnp.where(outside, found.x @ differences, 0),
        converged=found.converged | ~outside,
        iterations=found.iterations,
        active=jnp.sum(violated),
    )


def _descend(
    inputs: tuple[Array, ...],
    own: Array,
    rays: Array,
    slack: float,
    normalize: bool,
    restore: bool = False,
) -> tuple[Array, Info]:
    """Combine the task gradients and those of the violated constraints."""
    if slack < 0:
        raise UsageError(f"slack must be 0 or more; found {slack}")
    losses, gram, _ = inputs
    m = losses.size
    differences, violated = _violated(losses, own, rays, slack)
    rows = jnp.concatenate([jnp.eye(m, dtype=gram.dtype), differences])
    outside = jnp.any(_violated(losses, own, rays, 0.0)[1])
    allowed = jnp.concatenate([jnp.full(m, ~(outside & restore)), violated])
    found = shortest(rows @ gram @ rows.T, allowed)
    weights = found.x @ rows
    if normalize:
        size = jnp.sum(jnp.abs(weights))
        weights = m * weights / jnp.where(size > 0, size, 1)
    return concluded(
        inputs,
        weights,
        converged=found.converged,
        iterations=found.iterations,
        active=jnp.sum(violated),
    )


def _next_to(own: Array, rays: Array, count: int | None) -> Array:
    """Return the `count` rays nearest to one's own, itself left out; None: all rays."""
    if count is None:
        return rays
    if not 1 <= count <= len(rays):
        raise UsageError(
            f"neighbors must lie between 1 and {len(rays)}, the number of rays; "
            f"found {count}"
        )
    cosines = rays @ own
    order = jnp.argsort(jnp.where(_same(rays - own[None, :]), 2, -cosines))
    return rays[order[:count]]


def _same(differences: Array) -> Array:
    """Say which rays are one's own [r], or round to it: they set no constraint."""
    least = jnp.finfo(differences.dtype).eps ** 0.5
    return jnp.max(jnp.abs(differences), axis=1) <= least


def _violated(
    losses: Array, own: Array, rays: Array, slack: float
) -> tuple[Array, Array]:
    """Return `u_j - p` [r, m] and which of them the losses violate [r]."""
    differences = rays - own[None, :]
    length = jnp.linalg.norm(losses)
    cosines = differences @ (losses / jnp.where(length > 0, length, 1))
    return differences, ~_same(differences) & (cosines > -slack) & (length > 0)


def _nearest(rays: Array, pref: Array) -> Array:
    return rays[jnp.argmax(rays @ to_ray(pref))]


def _rays(rays: ArrayLike | None, losses: Array) -> Array:
    """Return the reference vectors [r, m], each of length 1."""
    m = losses.size
    rays = unit_rays(max(RAYS, m), m) if rays is None else rays
    rays = jnp.asarray(rays, losses.dtype)
    if rays.ndim != 2 or rays.shape[1] != m:
        raise UsageError(f"expected reference rays [r, {m}]; found {rays.shape}")
    return rays / jnp.linalg.norm(rays, axis=1, keepdims=True)


def _unit(vector: Array) -> Array:
    return vector / jnp.linalg.norm(vector)
