"""The best logistic head for a weight decay, with its certificate: Newton's method.

Each step solves `H D = -gradient` by conjugate gradients, from products with the
Hessian alone (two matrix products with the features each), and then searches along D on
the logits, where a point costs no product at all. The preconditioner is the Hessian of
classes that do not meet: one eigendecomposition of the features' covariance, for every
decay and every class.

    H_c ~ a_c U diag(values) U' + decay_c I,      a_c = mean_i p_ic (1 - p_ic)

`solve` is for one decay, or one per class. Callers map it over decays, `vmap(...,
in_axes=(None, None, 0, None))`, and all of them share the features: their products are
one wide matrix product.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxpareto.logistic.convex import (
    Head,
    balanced,
    cross_entropy,
    error,
    gap,
    logits,
    objective,
    penalty,
    per_class,
)
from jaxpareto.types import Array

INNER = 60  # most steps of conjugate gradients in one of Newton's
HALVINGS = 12


class Basis(NamedTuple):
    """The features' axes: what the preconditioner needs, once for every decay.

    Attributes:
      mean: [d], of the features.
      values: [d], variances along the axes, at least 0.
      vectors: [d, d], an axis in every column.
    """

    mean: Array
    values: Array
    vectors: Array


class Solved(NamedTuple):
    """A head and what is known of it.

    Attributes:
      head: the best that was found.
      objective: f there, in nats.
      gap: `f - min f` is at most this.
      steps: int32, of Newton's method.
      converged: whether the gap is as small as was asked for.
    """

    head: Head
    objective: Array
    gap: Array
    steps: Array
    converged: Array


def basis(features: Array) -> Basis:
    """Decompose the covariance of features [n, d], in time O(n d^2 + d^3).

    >>> found = basis(jnp.array([[1.0, 0.0], [-1.0, 0.0]]))
    >>> found.values.tolist()
    [0.0, 1.0]
    """
    mean = jnp.mean(features, axis=0)
    centred = features - mean[None]
    values, vectors = jnp.linalg.eigh(centred.T @ centred / len(features))
    return Basis(mean, jnp.maximum(values, 0.0), vectors)


class _At(NamedTuple):
    """An iterate, in features that are centred: then the bias stands apart."""

    head: Head
    answers: Array
    gap: Array
    steps: Array
    stuck: Array


def solve(
    features: Array,
    labels: Array,
    decay: ArrayLike,
    start: Head,
    *,
    axes: Basis | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 60,
) -> Solved:
    """Minimise the convex objective of `logistic.convex`.

    Args:
      features: [n, d].
      labels: [n] integers; every class of the head must be among them.
      decay: a number or [c], all positive: without decay there may be no minimum.
      start: where to begin; the solution of a larger decay is a good place.
      axes: of the features, if they are known already.
      tolerance: stop when the gap is this small a share of f.
      max_steps: of Newton's method.

    Returns:
      Always a head with its certificate; see `converged`.

    Source: Pedregosa (2016) for stopping on a certificate; Nocedal and Wright (2006),
    "Numerical optimization", chapter 7, for the inexact Newton method.

    >>> x, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([0, 1, 1])
    >>> from jaxpareto.logistic.convex import zeros
    >>> found = solve(x, y, 0.1, zeros(1, 2))
    >>> bool(found.converged), bool(found.gap <= 1e-6 * found.objective)
    (True, True)
    """
    axes = basis(features) if axes is None else axes
    centred = features - axes.mean[None]
    decay = per_class(decay, start)

    def value(head: Head, answers: Array) -> Array:
        return cross_entropy(answers, labels) + penalty(head, decay)

    def refreshed(kernel: Array, bias: Array, steps: Array, stuck: Array) -> _At:
        answers = logits(Head(kernel, bias), centred)
        bias = bias + (more := balanced(answers, labels))
        head = Head(kernel, bias)
        bound = gap(head, centred, labels, decay)
        return _At(head, answers + more[None], bound, steps, stuck)

    def unfinished(at: _At) -> Array:
        far = at.gap > tolerance * value(at.head, at.answers)
        return far & (at.steps < max_steps) & ~at.stuck

    def newton(at: _At) -> _At:
        wrong = error(at.answers, labels)
        slope = Head(
            centred.T @ wrong + decay[None] * at.head.kernel, jnp.sum(wrong, axis=0)
        )
        way = _direction(centred, at, slope, decay, axes.values, axes.vectors)
        along = logits(way, centred)
        descent = jnp.vdot(slope.kernel, way.kernel) + jnp.vdot(slope.bias, way.bias)
        now = value(at.head, at.answers)

        def at_step(t: Array) -> Array:
            head = Head(*(x + t * dx for x, dx in zip(at.head, way, strict=True)))
            return value(head, at.answers + t * along)

        sizes = 0.5 ** jnp.arange(HALVINGS, dtype=now.dtype)
        values = lax.map(at_step, sizes)
        # Rounding hides the last gains: equal is low enough for the whole step.
        slack = 4 * jnp.finfo(now.dtype).eps * jnp.abs(now)
        low = values <= now + 1e-4 * sizes * descent + slack
        size = sizes[jnp.argmax(low)]
        found = jnp.any(low)
        moved = refreshed(
            at.head.kernel + size * way.kernel,
            at.head.bias + size * way.bias,
            at.steps + 1,
            ~found,
        )
        kept = jax.tree.map(lambda new, old: jnp.where(found, new, old), moved, at)
        return kept._replace(steps=at.steps + 1, stuck=~found)

    zero = jnp.zeros((), jnp.int32)
    first = refreshed(
        start.kernel, start.bias + axes.mean @ start.kernel, zero, zero > 0
    )
    last = lax.while_loop(unfinished, newton, first)
    head = last.head._replace(bias=last.head.bias - axes.mean @ last.head.kernel)
    reached = objective(head, features, labels, decay)
    return Solved(head, reached, last.gap, last.steps, last.gap <= tolerance * reached)


def _direction(
    centred: Array,
    at: _At,
    slope: Head,
    decay: Array,
    values: Array,
    vectors: Array,
) -> Head:
    """Solve `H D = -slope` about: loosely far away, tightly near the end.

    So the convergence is faster than linear, and no step is better than it need be.
    """
    curved = curvature(centred, at.answers, decay, values, vectors)
    downhill = jax.tree.map(jnp.negative, slope)

    def target(size: Array) -> Array:
        return jnp.minimum(0.25, jnp.sqrt(size)) ** 2 * size

    return conjugate_gradients(curved, downhill, target, INNER)


class Curvature(NamedTuple):
    """The Hessian at a head, and what is near its inverse.

    Attributes:
      times: `times(way) -> H way`.
      eased: `eased(way) -> M way`, M the preconditioner.
    """

    times: Callable[[Head], Head]
    eased: Callable[[Head], Head]


def curvature(
    centred: Array, answers: Array, decay: Array, values: Array, vectors: Array
) -> Curvature:
    """Describe the Hessian of f where the logits are `answers`.

    Args:
      centred: features less their mean, [n, d].
      answers: [n, c].
      decay: [c].
      values: variances along the features' axes, [d].
      vectors: the axes, [d, d].
    """
    likely = jax.nn.softmax(answers)
    spread = jnp.mean(likely * (1.0 - likely), axis=0)  # a_c
    # Classes that nobody confuses leave a_c near zero: keep it invertible.
    spread = jnp.maximum(spread, jnp.finfo(likely.dtype).eps)
    scales = values[:, None] * spread[None] + decay[None]

    def times(way: Head) -> Head:
        moved = likely * logits(way, centred)
        moved = moved - likely * jnp.sum(moved, axis=1, keepdims=True)
        moved = moved / len(likely)
        kernel = centred.T @ moved + decay[None] * way.kernel
        return Head(kernel, jnp.sum(moved, axis=0))

    def eased(way: Head) -> Head:
        kernel = vectors @ ((vectors.T @ way.kernel) / scales)
        bias = way.bias / spread
        return Head(kernel, bias - jnp.mean(bias))  # a constant changes no answer

    return Curvature(times, eased)


def conjugate_gradients(
    curved: Curvature, goal: Head, target: Callable[[Array], Array], limit: int
) -> Head:
    """Solve `H x = goal`, from zero, until `r' M r <= target(its first value)`.

    Args:
      curved: H and M, on pytrees of the shape of `goal`.
      goal: the right side.
      target: when to stop.
      limit: most steps.
    """

    def dot(a: Head, b: Head) -> Array:
        return jnp.vdot(a.kernel, b.kernel) + jnp.vdot(a.bias, b.bias)

    def add(a: Head, t: Array, b: Head) -> Head:
        return Head(a.kernel + t * b.kernel, a.bias + t * b.bias)

    ahead = curved.eased(goal)
    size = dot(goal, ahead)
    enough = target(size)

    def going(carry):
        _, _, _, size, steps = carry
        return (size > enough) & (steps < limit)

    def step(carry):
        x, left, ahead, size, steps = carry
        pushed = curved.times(ahead)
        t = size / dot(ahead, pushed)
        x, left = add(x, t, ahead), add(left, -t, pushed)
        softened = curved.eased(left)
        new = dot(left, softened)
        return x, left, add(softened, new / size, ahead), new, steps + 1

    nothing = jax.tree.map(jnp.zeros_like, goal)
    carry = (nothing, goal, ahead, size, jnp.zeros((), jnp.int32))
    return lax.while_loop(going, step, carry)[0]
