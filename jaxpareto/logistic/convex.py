"""The convex problem of a logistic head on frozen features, and its certificate.

    f(W, b) = (1/n) sum_i CE(x_i W + b, y_i) + (1/2) sum_c decay_c |w_c|^2

`x_i` [d] are features, W [d, c] has a column w_c for each class, and the bias is free.
`decay` is one number, or one for each class. For decay > 0 there is one best W, and how
far any W is from it can be told from the gradient alone: `gap`.

Softmax does not notice a vector that is added to all columns of W, so per-class decays
set how classes are coupled, not how large each column is: at the best W,
`sum_c decay_c w_c = 0`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import ArrayLike

from jaxpareto.types import Array


class Head(NamedTuple):
    """A linear classifier.

    Attributes:
      kernel: `W` [d, c].
      bias: `b` [c].
    """

    kernel: Array
    bias: Array


def zeros(d: int, c: int, dtype: jax.typing.DTypeLike = jnp.float32) -> Head:
    """Start from the head that finds all classes equally likely.

    >>> zeros(3, 2).kernel.shape
    (3, 2)
    """
    return Head(jnp.zeros((d, c), dtype), jnp.zeros(c, dtype))


def logits(head: Head, features: Array) -> Array:
    """Return `x W + b`, [n, d] -> [n, c]."""
    return features @ head.kernel + head.bias[None]


def cross_entropy(answers: Array, labels: Array) -> Array:
    """Return the mean cross-entropy of logits [n, c] and labels [n], in nats."""
    each = optax.softmax_cross_entropy_with_integer_labels(answers, labels)
    return jnp.mean(each)


def per_class(decay: ArrayLike, head: Head) -> Array:
    """Return the decay of every class, [c], from that or from one number for all."""
    return jnp.broadcast_to(jnp.asarray(decay, head.bias.dtype), head.bias.shape)


def penalty(head: Head, decay: ArrayLike) -> Array:
    """Return `(1/2) sum_c decay_c |w_c|^2`; decay is a number or [c]."""
    squares = jnp.sum(jnp.square(head.kernel), axis=0)
    return 0.5 * jnp.sum(per_class(decay, head) * squares)


def objective(head: Head, features: Array, labels: Array, decay: ArrayLike) -> Array:
    """Return f: the mean cross-entropy and the penalty, in nats.

    Args:
      head: where.
      features: [n, d].
      labels: [n] integers from 0.
      decay: a number or [c], at least 0.

    >>> f = objective(zeros(3, 2), jnp.ones((4, 3)), jnp.array([0, 1, 0, 1]), 0.1)
    >>> print(f"{f:.4f}")
    0.6931
    """
    return cross_entropy(logits(head, features), labels) + penalty(head, decay)


def gradient(head: Head, features: Array, labels: Array, decay: ArrayLike) -> Head:
    """Return the gradient of f, from two matrix products."""
    likely = jax.nn.softmax(logits(head, features))
    hot = jax.nn.one_hot(labels, likely.shape[1], dtype=likely.dtype)
    wrong = (likely - hot) / len(labels)
    kernel = features.T @ wrong + per_class(decay, head)[None] * head.kernel
    return Head(kernel, jnp.sum(wrong, axis=0))


def balanced(answers: Array, labels: Array, steps: int = 20) -> Array:
    """Return the bias [c] to add, after which every class is predicted often enough.

    `b_c += log mean_i [y_i = c] - log mean_i p_ic`, iterative proportional fitting: the
    loss falls at every step, and at its end the gradient in the bias is zero.

    Args:
      answers: logits [n, c].
      labels: [n]; every class must be among them.
      steps: of the iteration.
    """
    hot = jax.nn.one_hot(labels, answers.shape[-1], dtype=answers.dtype)
    wanted = jnp.log(jnp.mean(hot, axis=0))

    def move(_: Array, bias: Array) -> Array:
        found = jax.nn.softmax(answers + bias[None])
        return bias + wanted - jnp.log(jnp.mean(found, axis=0))

    return lax.fori_loop(0, steps, move, jnp.zeros_like(answers[0]))


def gap(head: Head, features: Array, labels: Array, decay: ArrayLike) -> Array:
    """Bound how far a head is from the best one: `f(W, b) - min f <= gap`.

    `gap = sum_c |df/dw_c|^2 / (2 decay_c)`

    the duality gap of Fenchel at the dual point `one_hot - softmax`, which is feasible
    where the gradient in the bias is zero. So the bias is fitted first, on a copy, and
    what that gains is part of the bound. A certificate for whatever found the head; it
    costs three products with the features.

    Args:
      head: where.
      features: [n, d].
      labels: [n]; every class must be among them.
      decay: a number or [c]; without decay there is no bound, and the answer is inf.
    """
    answers = logits(head, features)
    more = balanced(answers, labels)
    fitted = head._replace(bias=head.bias + more)
    slope = gradient(fitted, features, labels, decay).kernel
    squares = jnp.sum(jnp.square(slope), axis=0)
    decays = per_class(decay, head)
    bound = jnp.where(decays > 0, squares / (2.0 * decays), jnp.inf)
    return jnp.sum(bound) + jnp.maximum(gained(answers, more, labels), 0.0)


def gained(
    answers: Array, more: Array, labels: Array, there: Array | None = None
) -> Array:
    """Return by how much the mean cross-entropy falls if `more` is added to the bias.

    `sum_c share_c more_c - mean_i log sum_c p_ic exp(more_c)`; as a difference of two
    cross-entropies, what a small `more` gains would drown in their rounding.

    Args:
      answers: logits [n, c].
      more: [c].
      labels: [n].
      there: [n], 1 for a row and 0 for none; None is all of them.
    """
    hot = jax.nn.one_hot(labels, answers.shape[1], dtype=answers.dtype)
    likely = jax.nn.softmax(answers)
    lifted = jnp.log1p(jnp.sum(likely * jnp.expm1(more)[None], axis=1))
    each = hot @ more - lifted
    return jnp.mean(each) if there is None else each @ there / jnp.sum(there)
