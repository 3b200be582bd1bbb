"""Losses of networks with a single task, one number per example, through Optax.

All keep the batch axis, so that the caller chooses the average: over a batch, over a
validation set whose last rows are padding, or none.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from jaxpareto.types import Array


def squared_error(outputs: Array, targets: Array) -> Array:
    """Average the squared differences of an example.

    `mse[b] = mean_d (outputs[b, d] - targets[b, d])^2`, and its gradient in the outputs
    is `2 (outputs - targets) / d`.

    Args:
      outputs: [b, d].
      targets: [b, d], in the same units; or the labels [b] of d classes, which stand
        for their one-hot vectors.

    Returns:
      [b], in those units squared.

    >>> print(squared_error(jnp.zeros((1, 2)), jnp.array([[1.0, 3.0]])))
    [5.]
    """
    targets = _one_hot(targets, outputs)
    return jnp.mean(optax.losses.squared_error(outputs, targets), axis=-1)


def class_cross_entropy(logits: Array, labels: Array) -> Array:
    """Measure the surprise at the label of an example, in nats.

    `ce[b] = logsumexp_c(logits[b, c]) - logits[b, labels[b]]`, and its gradient in the
    logits is `softmax(logits) - onehot(labels)`. It is the report's cross-entropy of a
    log-softmax; the logits are not normalised, and large ones do no harm.

    Args:
      logits: [b, c].
      labels: [b] integers in 0 .. c - 1.

    Returns:
      [b], in nats.

    >>> print(class_cross_entropy(jnp.zeros((1, 10)), jnp.array([3])))
    [2.3025851]
    """
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)


def binary_cross_entropy(logits: Array, targets: Array) -> Array:
    """Average the surprise at d yes-or-no answers, in nats.

    `bce[b] = -mean_d (t log p + (1 - t) log(1 - p))`, `p = sigmoid(logits[b, d])`, and
    its gradient in the logits is `(p - t) / d`.

    Args:
      logits: [b, d].
      targets: [b, d] in [0, 1]; or labels [b], as of `squared_error`.

    Returns:
      [b], in nats.

    >>> print(binary_cross_entropy(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]])))
    [0.6931472]
    """
    targets = _one_hot(targets, logits)
    return jnp.mean(optax.losses.sigmoid_binary_cross_entropy(logits, targets), axis=-1)


def _one_hot(labels: Array, like: Array) -> Array:
    """Turn labels [b] into [b, c]; what has that shape already stays."""
    if labels.ndim == like.ndim:
        return labels
    classes = jnp.arange(like.shape[-1])
    return (labels[:, None] == classes[None]).astype(like.dtype)


LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "cross-entropy": class_cross_entropy,
    "binary-cross-entropy": binary_cross_entropy,
    "squared-error": squared_error,
}
"""Name -> `loss(outputs [b, c], labels [b] or targets [b, c]) -> [b]`."""
