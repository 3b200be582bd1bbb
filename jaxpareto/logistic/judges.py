"""Preferences over classes: one number out of the losses of all classes.

A judge maps class losses [c] to a scalar, and `by_class` makes of it what `tune` and
`baselines.pick` minimise. `mean` and `worst` are the ends of one family,

    cvar(V, share) = mean of the worst `share` of the classes,

with share 1 and share 1 / c. A scalarisation of tasks weighs classes as well: bind its
preference [c] and it is a judge.

>>> from functools import partial
>>> from jaxpareto.scalarize import stch
>>> careful = partial(stch, pref=jnp.array([0.5, 0.25, 0.25]), mu=0.1)
>>> value = by_class(careful)  # tune(..., value=value)
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxpareto.logistic.convex import Head
from jaxpareto.logistic.implicit import class_losses
from jaxpareto.types import Array

Judge = Callable[[Array], Array]
"""`judge(losses [c]) -> scalar`, to be minimised."""


def cvar(losses: Array, share: ArrayLike = 0.3) -> Array:
    """Return the mean of the worst classes (conditional value at risk).

    `cvar = min_t t + sum_c max(V_c - t, 0) / (share c)`

    Where `share c` is not whole, the last class that counts does so in part.

    Args:
      losses: `V` [c].
      share: of the classes, in (0, 1]; 1 is their mean, 1 / c or less the worst one.

    Source: Rockafellar and Uryasev (2000), "Optimization of conditional value-at-risk".

    >>> print(cvar(jnp.array([1.0, 4.0, 2.0, 3.0]), 0.5))
    3.5
    """
    c = len(losses)
    counted = jnp.maximum(jnp.asarray(share, losses.dtype) * c, 1.0)
    weights = jnp.clip(counted - jnp.arange(c, dtype=losses.dtype), 0.0, 1.0) / counted
    return jnp.sum(weights * -jnp.sort(-losses))


def by_class(judge: Judge) -> Callable[[Head, Array, Array], Array]:
    """Make a value of a head from a judge of its classes' losses.

    Args:
      judge: `judge(losses [c]) -> scalar`.

    Returns:
      `value(head, features, labels) -> scalar`; every class must be among the labels.

    >>> from jaxpareto.logistic.convex import zeros
    >>> x, y = jnp.ones((3, 2)), jnp.array([0, 1, 1])
    >>> print(by_class(jnp.max)(zeros(2, 2), x, y).round(4))
    0.6931
    """

    def value(head: Head, features: Array, labels: Array) -> Array:
        return judge(class_losses(head, features, labels))

    return value


JUDGES: dict[str, Judge] = {
    "mean": jnp.mean,
    "cvar": partial(cvar, share=0.3),
    "worst": jnp.max,
}
"""Name -> judge; the mean counts every class alike, however many rows it has."""
