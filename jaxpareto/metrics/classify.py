"""Losses and hits of a multi-task classifier, one number per example and task.

Both functions keep the batch axis, so that the caller chooses the average: over a
batch, over a test set that was cut into unequal batches, or none at all.
"""

import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxpareto.errors import UsageError
from jaxpareto.types import Array


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Measure the surprise at each label, in nats.

    `ce[b, m] = logsumexp_c(logits[b, m, c]) - logits[b, m, labels[b, m]]`

    Args:
      logits: [b, m, c], unnormalised log-probabilities; no units.
      labels: [b, m] integers in 0 .. c - 1. A label of c or more gives NaN; a negative
        one counts from the end.

    Returns:
      [b, m], in nats, to be minimised; log(c) is what a constant guess costs.

    Raises:
      UsageError: the shapes do not match, or the labels are not integers.

    Source: `optax.softmax_cross_entropy_with_integer_labels`.

    >>> print(cross_entropy(jnp.zeros((1, 2, 10)), jnp.array([[3, 7]])))
    [[2.3025851 2.3025851]]
    """
    logits, labels = _check(logits, labels)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def correct(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Say which labels the most likely class hits.

    `hit[b, m] = (argmax_c logits[b, m, c] == labels[b, m])`

    Ties go to the first of the best classes. An answer with a NaN among its logits is a
    miss, whereas `argmax` alone would count it as a guess of the class that holds it.

    Args:
      logits: [b, m, c], unnormalised log-probabilities; no units.
      labels: [b, m] integers in 0 .. c - 1.

    Returns:
      [b, m] bool; its mean over b is the accuracy of each task, a fraction of one, to
      be maximised.

    Raises:
      UsageError: the shapes do not match, or the labels are not integers.

    >>> logits = jnp.array([[[0.1, 2.0], [3.0, -1.0]]])
    >>> print(correct(logits, jnp.array([[1, 1]])))
    [[ True False]]
    """
    logits, labels = _check(logits, labels)
    broken = jnp.any(jnp.isnan(logits), axis=-1)
    return (jnp.argmax(logits, axis=-1) == labels) & ~broken


def _check(logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Return both as arrays, or say which shape is wrong."""
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if logits.ndim != 3 or labels.shape != logits.shape[:2]:
        raise UsageError(
            f"expected logits [b, m, c] and labels [b, m]; "
            f"found {logits.shape} and {labels.shape}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise UsageError(
            f"labels must be integers (class numbers); found {labels.dtype}"
        )
    return logits, labels
