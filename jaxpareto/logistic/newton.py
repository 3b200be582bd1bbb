"""The best logistic head for a weight decay, with its certificate: Newton's method.

Each step solves `H D = -gradient` by conjugate gradients, from products with the
Hessian alone, and then searches back along D. The preconditioner is the Hessian of
classes that do not meet: one eigendecomposition of the features' covariance, for every
decay and every class.

    H_c ~ a_c U diag(values) U' + decay_c I,      a_c = mean_i p_ic (1 - p_ic)

`solve` is for one decay, or one per class. Callers map it over decays, `vmap(...,
in_axes=(None, None, 0, None))`, and all of them share the features: their products are
one wide matrix product.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike

from jaxpareto.logistic.convex import (
    Head,
    balanced,
    gap,
    logits,
    objective,
    zeros,
)
from jaxpareto.types import Array

INNER = 500  # most steps of conjugate gradients in one of Newton's
HALVINGS = 12  # most of them in the search along a step


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
    """An iterate, on features that are centred: then the bias stands apart."""

    head: Head
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

    def f(head: Head) -> Array:
        return objective(head, centred, labels, decay)

    def seen(head: Head, steps: Array) -> _At:
        more = balanced(logits(head, centred), labels)
        head = head._replace(bias=head.bias + more)
        far = gap(head, centred, labels, decay)
        return _At(head, far, steps, jnp.zeros((), bool))

    def unfinished(at: _At) -> Array:
        far = at.gap > tolerance * f(at.head)
        return far & (at.steps < max_steps) & ~at.stuck

    def newton(at: _At) -> _At:
        slope, hessian = jax.linearize(jax.grad(f), at.head)
        ease = easing(jax.nn.softmax(logits(at.head, centred)), axes, decay)
        # Loosely far away, tightly near the end: faster than linear convergence. Below
        # the rounding of the slope, conjugate gradients divide noise by noise.
        rough: Any = jnp.minimum(0.2, jnp.sqrt(optax.tree.norm(slope)))
        least = float(jnp.finfo(slope.bias.dtype).eps)
        way, _ = cg(hessian, minus(slope), tol=rough, atol=least, maxiter=INNER, M=ease)
        lower, found = search(f, at.head, slope, way)
        # Where rounding hides whether f falls, the gap still tells.
        whole = optax.tree.add(at.head, way)
        new = seen(optax.tree.where(found, lower, whole), at.steps + 1)
        better = (f(new.head) < f(at.head)) | (new.gap < at.gap)
        return optax.tree.where(better, new, at._replace(stuck=~better))

    zero = jnp.zeros((), jnp.int32)
    last = lax.while_loop(unfinished, newton, seen(moved(start, axes), zero))
    head = moved(last.head, axes, back=True)
    reached = objective(head, features, labels, decay)
    return Solved(head, reached, last.gap, last.steps, last.gap <= tolerance * reached)


def follow(
    features: Array,
    labels: Array,
    decays: Array,
    classes: int,
    *,
    axes: Basis | None = None,
    tolerance: float = 1e-6,
) -> Solved:
    """Solve for one shared decay after the other, each from the head before.

    Args:
      features: [n, d].
      labels: [n] integers; every class must be among them.
      decays: [l], positive; best falling, since heads of large decays are near zero.
      classes: `c`.
      axes: of the features, if they are known already.
      tolerance: of `solve`.

    Returns:
      What `solve` says of every decay, with a leading axis [l].

    >>> x, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([0, 1, 1])
    >>> follow(x, y, jnp.array([0.1, 0.01]), 2).head.kernel.shape
    (2, 1, 2)
    """
    axes = basis(features) if axes is None else axes

    def next_one(head: Head, decay: Array) -> tuple[Head, Solved]:
        found = solve(features, labels, decay, head, axes=axes, tolerance=tolerance)
        return found.head, found

    nothing = zeros(features.shape[1], classes, features.dtype)
    return lax.scan(next_one, nothing, decays)[1]


def moved(head: Head, axes: Basis, *, back: bool = False) -> Head:
    """Return the head that answers on centred features as `head` does on the plain.

    Args:
      head: kernel [d, c], bias [c].
      axes: of the features.
      back: the other way round.
    """
    shift = axes.mean @ head.kernel
    return head._replace(bias=head.bias - shift if back else head.bias + shift)


def easing(likely: Array, axes: Basis, decay: ArrayLike) -> Callable[[Head], Head]:
    """Return about the inverse of the Hessian, as a function of a direction.

    Args:
      likely: probabilities [n, c].
      axes: of the features, which are centred.
      decay: a number or [c].
    """
    spread = jnp.mean(likely * (1.0 - likely), axis=0)  # a_c
    # Classes that nobody confuses leave a_c near zero: keep it invertible.
    spread = jnp.maximum(spread, jnp.finfo(likely.dtype).eps)
    decays = jnp.broadcast_to(jnp.asarray(decay, spread.dtype), spread.shape)
    scales = axes.values[:, None] * spread[None] + decays[None]

    def ease(way: Head) -> Head:
        kernel = axes.vectors @ ((axes.vectors.T @ way.kernel) / scales)
        bias = way.bias / spread
        return Head(kernel, bias - jnp.mean(bias))  # a constant changes no answer

    return ease


def search(
    f: Callable[[Head], Array], at: Head, slope: Head, way: Head
) -> tuple[Head, Array]:
    """Go along a way of descent: the whole of it, a half, a quarter, until f falls.

    Args:
      f: what should fall.
      at: where.
      slope: the gradient of f there.
      way: where to.

    Returns:
      Where it fell, and whether it did.
    """
    now = f(at)
    # Rounding hides the last gains: equal is low enough.
    line = optax.scale_by_backtracking_linesearch(
        HALVINGS, decrease_factor=0.5, rtol=4 * float(jnp.finfo(now.dtype).eps)
    )
    step, state = line.update(way, line.init(at), at, value=now, grad=slope, value_fn=f)
    found = optax.tree.get(state, "decrease_error") <= 0.0
    ahead = jax.tree.map(lambda x, dx: jnp.where(found, x + dx, x), at, step)
    return ahead, found


def minus(way: Head) -> Head:
    """Return the opposite direction."""
    return Head(-way.kernel, -way.bias)
