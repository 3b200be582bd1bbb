"""A decay for every class: differentiate the best head in the decays.

    W*(theta) = argmin f,   decay = exp(theta),   V(theta) = v(W*(theta))

At the best head the gradient of f is zero whatever theta is, so W* moves by
`H dW = -decay_c w_c dtheta_c`, and one linear solve gives all c derivatives:

    dV / dtheta_c = -decay_c <w_c, q_c>,   H Q = grad v

`best` is W* with this derivative: any function of the head can be differentiated in the
decays, a mean, the worst class, a rule's weighing of the classes. The decays of `tune`
are found so.

Source: Larsen et al. (1996) and Bengio (2000) for the derivative; Lorraine, Vicol and
Duvenaud (2020), "Optimizing millions of hyperparameters by implicit differentiation".
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.scipy.sparse.linalg import cg

from jaxpareto.logistic.convex import Head, cross_entropy, logits, objective
from jaxpareto.logistic.newton import Basis, basis, easing, moved, solve
from jaxpareto.types import Array

ADJOINT = 300  # most steps of conjugate gradients in the backward pass
LOWEST, HIGHEST = math.log(1e-7), math.log(1e-1)
"""Where `tune` keeps its logarithms of decays."""


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def best(
    theta: Array,
    features: Array,
    labels: Array,
    start: Head,
    axes: Basis,
    tolerance: float = 1e-8,
) -> Head:
    """Return the best head for decays `exp(theta)`; differentiable in theta alone.

    Args:
      theta: [c], logarithms of the decays.
      features: [n, d], to fit on.
      labels: [n] integers; every class must be among them.
      start: where to begin; no part of the derivative.
      axes: of the features, by `newton.basis`.
      tolerance: of the gap; the derivative is as good as its square root.
    """
    return solve(
        features, labels, jnp.exp(theta), start, axes=axes, tolerance=tolerance
    ).head


def _forward(theta, features, labels, start, axes, tolerance):
    head = best(theta, features, labels, start, axes, tolerance)
    return head, (head, theta, features, labels, axes)


def _backward(tolerance, kept, slope):
    head, theta, features, labels, axes = kept
    decay = jnp.exp(theta)
    centred = features - axes.mean[None]
    at = moved(head, axes)
    f = partial(objective, features=centred, labels=labels, decay=decay)
    _, hessian = jax.linearize(jax.grad(f), at)
    ease = easing(jax.nn.softmax(logits(at, centred)), axes, decay)
    # In centred features the same function of the bias has another slope in W.
    goal = Head(slope.kernel - axes.mean[:, None] * slope.bias[None], slope.bias)
    q, _ = cg(hessian, goal, tol=math.sqrt(tolerance), maxiter=ADJOINT, M=ease)
    by_theta = -decay * jnp.sum(head.kernel * q.kernel, axis=0)
    return by_theta, None, None, None, None


best.defvjp(_forward, _backward)


class Tuned(NamedTuple):
    """Decays that were found, and how it went.

    Attributes:
      decay: [c], those with the lowest value.
      head: the best head for them.
      values: [steps], the value that is minimised, shrinkage included.
    """

    decay: Array
    head: Head
    values: Array


def mean_loss(head: Head, features: Array, labels: Array) -> Array:
    """Return the mean cross-entropy: what `tune` minimises if nothing is said."""
    return cross_entropy(logits(head, features), labels)


def class_losses(head: Head, features: Array, labels: Array) -> Array:
    """Return the mean cross-entropy of the rows of every class, [c]."""
    answers = logits(head, features)
    each = optax.softmax_cross_entropy_with_integer_labels(answers, labels)
    hot = jax.nn.one_hot(labels, answers.shape[1], dtype=answers.dtype)
    return each @ hot / jnp.sum(hot, axis=0)


def sensitivity(
    theta: Array,
    features: Array,
    labels: Array,
    held_features: Array,
    held_labels: Array,
    start: Head,
    axes: Basis,
    tolerance: float = 1e-8,
) -> Array:
    """Return who pays when a class is decayed more, `S[c, c'] = dV_c / dtheta_c'`.

    V_c is the loss of class c on held rows. Row c is one linear solve; all of them are
    one system with c right sides. The sum of a row is what class c pays when all decays
    are multiplied alike, which is the same as features of a smaller unit.

    Args:
      theta: [c], logarithms of the decays.
      features: [n, d], to fit on.
      labels: [n] integers; every class must be among them.
      held_features: [h, d], to judge on.
      held_labels: [h]; every class must be among them.
      start: where to begin; the answer does not depend on it.
      axes: of the features, by `newton.basis`.
      tolerance: of `best`.

    Returns:
      [c, c], in nats for a decay e times as large.
    """

    def paid(theta: Array) -> Array:
        head: Any = best(theta, features, labels, start, axes, tolerance)
        return class_losses(head, held_features, held_labels)

    return jax.jacrev(paid)(theta)


def tune(
    features: Array,
    labels: Array,
    held_features: Array,
    held_labels: Array,
    decay: Array,
    *,
    shrinkage: float = 1e-3,
    value: Callable[[Head, Array, Array], Array] = mean_loss,
    steps: int = 30,
    rate: float = 0.3,
) -> Tuned:
    """Find a decay for every class on rows that the head is not fitted on.

    `minimise value(best(theta)) + (shrinkage / 2) sum_c (theta_c - mean theta)^2`

    by Adam on theta. Without shrinkage the decays learn the held rows by heart; with
    much of it they are one shared decay.

    Args:
      features: [n, d], to fit the heads on.
      labels: [n]; every class must be among them.
      held_features: [h, d], to judge the decays on.
      held_labels: [h].
      decay: [c], where to begin: the best shared decay is a good place.
      shrinkage: strength of the pull toward one shared decay.
      value: `value(head, features, labels) -> scalar`, on the held rows.
      steps: of Adam, each with one head and one linear solve.
      rate: of Adam, in logarithms of decays.
    """
    axes = basis(features)
    adam = optax.adam(rate)

    def judged(theta: Array, start: Head) -> tuple[Array, Head]:
        head: Any = best(theta, features, labels, start, axes)
        pull = 0.5 * shrinkage * jnp.sum(jnp.square(theta - jnp.mean(theta)))
        return value(head, held_features, held_labels) + pull, head

    def step(carry, _):
        theta, memory, start = carry
        (now, head), slope = jax.value_and_grad(judged, has_aux=True)(theta, start)
        updates, memory = adam.update(slope, memory)
        moved = jnp.clip(theta + updates, LOWEST, HIGHEST)
        return (moved, memory, head), (now, theta, head)

    theta = jnp.log(decay)
    c = len(decay)
    nothing = Head(
        jnp.zeros((features.shape[1], c), theta.dtype), jnp.zeros_like(theta)
    )
    begin = (theta, adam.init(theta), nothing)
    _, (values, thetas, heads) = lax.scan(step, begin, length=steps)
    lowest = jnp.argmin(values)
    return Tuned(
        jnp.exp(thetas[lowest]), jax.tree.map(lambda x: x[lowest], heads), values
    )
