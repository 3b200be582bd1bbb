"""Scalarisations: one number out of m losses and a preference, one formula each.

A scalarisation is a plain function `f(losses, pref) -> scalar` for one preference;
`SCALARISATIONS` lists them by name. To add one, write the formula, list it, and the
tests of the table ask it for every promise.

Training does not call a scalarisation: it calls a *weighting rule*,
`rule(losses [m], gram [m, m] or None, pref [m]) -> weights [m]`, and descends along
`sum_i weights_i * gradient_i`. By the chain rule, the weights of a scalarisation are
its gradient in the losses, which is what `as_rule` returns: so a formula of one line is
on a par with a solver that reads the Gramian of the task gradients. Rules see one
preference; callers `vmap` over k of them.
"""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Rule

Scalarisation = Callable[[Array, Array], Array]
"""`f(losses [m], pref [m]) -> scalar`, to be minimised."""


def linear(losses: Array, pref: Array) -> Array:
    """Weight each loss by how much one cares.

    `f = sum_i pref_i * losses_i`

    Reaches the convex part of a front only; the losses' units matter (a loss that is
    ten times larger counts ten times as much).

    Args:
      losses: [m], each in its own unit (nats for cross-entropy), minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.

    Returns:
      Scalar, in the unit of the losses, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m].

    Source: Boyd and Vandenberghe (2004), "Convex optimization", section 4.7.4.

    >>> print(linear(jnp.array([2.0, 4.0]), jnp.array([0.5, 0.5])))
    3.0
    """
    _check(losses, pref)
    return jnp.sum(pref * losses)  # not `@`, which accelerators round to fewer bits


SCALARISATIONS: dict[str, Scalarisation] = {"linear": linear}
"""Name -> `f(losses [m], pref [m]) -> scalar`."""


@cache  # one rule per formula: a new closure each time would make `jit` trace again
def as_rule(scalarisation: Scalarisation) -> Rule:
    """Make the weighting rule of a scalarisation.

    `weights = d scalarisation(losses, pref) / d losses`

    Args:
      scalarisation: `f(losses [m], pref [m]) -> scalar`, differentiable in the losses.

    Returns:
      `rule(losses [m], gram, pref [m]) -> weights [m]`, in the unit of the
      scalarisation per unit of each loss; the Gramian is not read and may be None. The
      same object for the same scalarisation.

    >>> rule = as_rule(linear)
    >>> print(rule(jnp.array([2.0, 4.0]), None, jnp.array([0.25, 0.75])))
    [0.25 0.75]
    """
    gradient = jax.grad(scalarisation)

    def rule(losses: Array, gram: Array | None, pref: Array) -> Array:
        del gram
        _check(losses, pref)
        return gradient(losses, pref)

    return rule


def _check(losses: Array, pref: Array) -> None:
    """Refuse shapes that broadcasting would turn into another formula."""
    if jnp.ndim(losses) != 1 or jnp.shape(losses) != jnp.shape(pref):
        raise UsageError(
            f"expected losses [m] and pref [m] (use vmap for more than one); "
            f"found {jnp.shape(losses)} and {jnp.shape(pref)}"
        )
