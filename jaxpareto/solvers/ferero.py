"""Descend while the losses return to the ray at a steady rate (FERERO)."""

import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.simplex import to_ray
from jaxpareto.solvers._program import Program, quadratic
from jaxpareto.solvers._shared import Info, checked, concluded, scaled
from jaxpareto.types import Array


def ferero(
    losses: Array, gram: Array, pref: Array, *, rate: float = 0.5, ridge: float = 1e-4
) -> tuple[Array, Info]:
    """Lower the losses together, with what is off the ray shrinking at a given rate.

    `min_d max_i g_i' d + |d|^2 / 2  subject to  B J d = -rate * B losses`, where the
    rows of B span what is orthogonal to the ray r; by its dual,

    `min { (w + v)' gram (w + v) / 2 - rate * v' losses : w on the simplex, r' v = 0 }`,
    weights `w + v`

    Weights may be negative. Where no direction moves the losses across the ray
    (parallel gradients), only `ridge` keeps v finite.

    Args:
      losses: [m], of one unit.
      gram: [m, m], inner products of the task gradients (the rows of J).
      pref: [m], on the simplex; `r` is its ray.
      rate: of the return to the ray, per unit of step size.
      ridge: weight of `|v|^2 / 2`, relative to the largest gradient's square.

    Returns:
      Weights [m], and `Info`; `active` counts the tasks that gain least.

    Raises:
      UsageError: wrong shapes, a negative rate, or a ridge of 0 or less.

    Source: Chen, Saif, Shen and Chen (2024), "FERERO: A flexible framework for
    preference-guided multi-objective learning", section 3, with its relative preference
    being the plain order of objectives.

    >>> weights, info = ferero(jnp.array([2.0, 1.0]), jnp.eye(2), jnp.array([0.5, 0.5]))
    >>> bool(weights[0] > weights[1])
    True
    """
    if not rate >= 0:
        raise UsageError(f"rate must be 0 or more; found {rate}")
    if not ridge > 0:
        raise UsageError(f"ridge must be positive; found {ridge}")
    inputs = losses, gram, pref = checked(losses, gram, pref)
    m, dtype = losses.size, gram.dtype
    gram, size = scaled(gram)
    ray = to_ray(pref)
    ray = ray / jnp.linalg.norm(ray)
    # What is off the ray sets the scale of v: bring it to order one.
    off = rate * (losses - (losses @ ray) * ray) / size
    reach = jnp.maximum(jnp.max(jnp.abs(off)), 1)

    eye, none = jnp.eye(m, dtype=dtype), jnp.zeros((m, m), dtype)
    # The variables are w and v / reach, and the objective is in units of reach^2.
    tie = jnp.concatenate([eye / reach, eye], axis=1)  # w + v
    hessian = tie.T @ gram @ tie + ridge * jnp.block([[none, none], [none, eye]])
    linear = jnp.concatenate([jnp.zeros(m, dtype), -off / reach])
    one, zero = jnp.ones(m, dtype), jnp.zeros(m, dtype)
    program = Program(
        inequalities=jnp.concatenate([-eye, none], axis=1),
        bounds=zero,
        equalities=jnp.stack(
            [jnp.concatenate([one, zero]), jnp.concatenate([zero, ray])]
        ),
        values=jnp.array([1, 0], dtype),
    )
    start = jnp.concatenate([one / m, zero])
    found = quadratic(program, hessian, linear, start)
    w = jnp.maximum(found.x[:m], 0)
    return concluded(
        inputs,
        w / jnp.sum(w) + reach * found.x[m:],
        converged=found.converged,
        iterations=found.iterations,
        active=jnp.sum(w > jnp.finfo(dtype).eps ** 0.5),
    )
