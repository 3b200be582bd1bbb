"""Project each task's gradient to where no task loses, and add them up (UPGrad)."""

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.solvers._program import Program, quadratic
from jaxpareto.solvers._shared import Info, checked, concluded
from jaxpareto.types import Array


def upgrad(
    losses: Array, gram: Array, pref: Array, *, ridge: float = 1e-4
) -> tuple[Array, Info]:
    """Average the projections of the gradients onto the cone of common descent.

    `weights = (1/m) sum_i argmin { v' (gram + ridge * trace(gram) I) v : v >= e_i }`

    No task loses, and each counts in proportion to its gradient. Blind to the
    preference.

    Args:
      losses: [m], not used.
      gram: [m, m], inner products of the task gradients.
      pref: [m], not used.
      ridge: makes the weights unique, and finite where no common descent exists.

    Returns:
      Weights [m], at least 0, and `Info`; `active` counts the tasks whose gradient is
      projected, those that conflict with another.

    Raises:
      UsageError: wrong shapes, or a ridge of 0 or less.

    Source: Quinton and Rey (2024), "Jacobian descent for multi-objective optimization",
    section 2.3.

    >>> weights, info = upgrad(jnp.ones(2), jnp.eye(2), jnp.ones(2))
    >>> print(weights.round(2), info.active)
    [0.5 0.5] 0
    """
    if not ridge > 0:
        raise UsageError(f"ridge must be positive; found {ridge}")
    inputs = losses, gram, pref = checked(losses, gram, pref)
    m = losses.size
    trace = jnp.trace(gram)
    eye = jnp.eye(m, dtype=gram.dtype)
    regular = gram / jnp.where(trace > 0, trace, 1) + ridge * eye

    def project(corner: Array):
        nothing = jnp.zeros((0, m), gram.dtype), jnp.zeros(0, gram.dtype)
        program = Program(-eye, -corner, *nothing)
        return quadratic(program, regular, jnp.zeros(m, gram.dtype), corner + 0.5)

    found = jax.vmap(project)(eye)
    parts = jnp.maximum(found.x, eye)
    return concluded(
        inputs,
        jnp.mean(parts, axis=0),
        converged=jnp.all(found.converged),
        iterations=jnp.max(found.iterations),
        active=jnp.sum(jnp.any(gram < 0, axis=1)),
    )
