"""Many weight decays at once: the heads side by side are one wide head.

l heads of c classes on the same features are one kernel [d, l c], and a step of all is
two matrix products, `x @ W` and `x' @ error`, whatever l is. What tells the heads apart
is a decay for every column and a softmax for every c of them:

    z = x W + b [b, l c],   p = softmax within each head,
    dW = x' (p - y) / b + decay * W

The optimiser is any of Optax that treats every number alone (SGD, Adam; not one that
takes norms over all of them). `sgd` is the one of the study that this sweep redoes.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import ArrayLike

from jaxpareto.errors import UsageError
from jaxpareto.logistic.convex import Head
from jaxpareto.types import Array, Key

ORDERS = ("none", "epoch")


class Sweep(NamedTuple):
    """What is carried from step to step.

    Attributes:
      head: wide, kernel [d, l c] and bias [l c].
      optimizer: state of the optimiser.
    """

    head: Head
    optimizer: Any


class Running(NamedTuple):
    """What an epoch saw of its own rows, while the weights moved.

    Attributes:
      loss: [l], mean cross-entropy in nats.
      correct: [l], share of the rows.
      class_loss: [l, c], mean cross-entropy of the rows of each class.
      penalised: [l, c], the same with `(decay / 2) |W|^2` at each step added.
      last: [l], cross-entropy of the last batch plus its penalty.
    """

    loss: Array
    correct: Array
    class_loss: Array
    penalised: Array
    last: Array


class Plan(NamedTuple):
    """How the rows are gone through.

    Attributes:
      batch_size: rows per step; the last batch of an epoch may be smaller.
      order: a name of `ORDERS`: as they are, or permuted anew in every epoch.
      decay_bias: whether the decay acts on the bias too.
      operands: type of the factors of the products, such as `jnp.bfloat16`; sums,
        weights and everything else keep the type of the head. None is no conversion.
    """

    batch_size: int = 256
    order: str = "epoch"
    decay_bias: bool = False
    operands: Any = None


def widen(head: Head, l: int) -> Head:
    """Copy a head [d, c] l times, side by side: the same start for every decay."""
    return Head(jnp.tile(head.kernel, (1, l)), jnp.tile(head.bias, l))


def heads(wide: Head, l: int) -> Head:
    """Take a wide head apart: kernels [l, d, c] and biases [l, c].

    >>> wide = widen(Head(jnp.ones((3, 2)), jnp.zeros(2)), 4)
    >>> heads(wide, 4).kernel.shape
    (4, 3, 2)
    """
    d = len(wide.kernel)
    return Head(
        jnp.moveaxis(wide.kernel.reshape(d, l, -1), 1, 0), wide.bias.reshape(l, -1)
    )


def sgd(
    rate: float,
    momentum: float = 0.9,
    *,
    steps: int,
    every: int = 30,
    factor: float = 0.1,
) -> optax.GradientTransformation:
    """Make SGD with momentum, its rate multiplied by a factor every so many epochs.

    `v <- momentum v + g,   w <- w - rate v`

    Args:
      rate: of the first epochs.
      momentum: without dampening.
      steps: in an epoch.
      every: epochs between two drops.
      factor: of a drop.
    """

    def schedule(count: ArrayLike) -> Array:
        # As Optax's staircase, whose powers are float32 whatever the weights are.
        return rate * factor ** (jnp.asarray(count) // (every * steps))

    return optax.sgd(schedule, momentum)


def start(head: Head, optimizer: optax.GradientTransformation) -> Sweep:
    """Begin with a wide head."""
    return Sweep(head, optimizer.init(head))


def epoch(
    state: Sweep,
    features: Array,
    labels: Array,
    decays: Array,
    key: Key,
    *,
    optimizer: optax.GradientTransformation,
    plan: Plan,
) -> tuple[Sweep, Running]:
    """Go once through the rows with all heads.

    Args:
      state: where the heads are.
      features: [n, d].
      labels: [n] integers from 0.
      decays: [l], at least 0.
      key: for the order of the rows; consumed.
      optimizer: as for `start`.
      plan: how the rows are gone through.

    Raises:
      UsageError: an unknown order, or a batch without rows.
    """
    if plan.order not in ORDERS:
        raise UsageError(f"order must be one of {', '.join(ORDERS)}: {plan.order!r}")
    if plan.batch_size < 1:
        raise UsageError(f"a batch needs rows, found {plan.batch_size}")
    n, l = len(labels), len(decays)
    c = state.head.bias.size // l
    steps = math.ceil(n / plan.batch_size)
    rows = jnp.arange(n)
    if plan.order == "epoch":
        rows = jax.random.permutation(key, rows)
    rows = jnp.pad(rows, (0, steps * plan.batch_size - n), constant_values=n)
    rows = rows.reshape(steps, plan.batch_size)

    def one(carry: tuple[Sweep, _Sums], at: Array) -> tuple[tuple[Sweep, _Sums], Array]:
        state, sums = carry
        there = (at < n).astype(state.head.bias.dtype)  # the last batch may be short
        x = jnp.take(features, at, axis=0, mode="clip")
        y = jnp.take(labels, at, mode="clip")
        state, sums, last = _step(state, sums, x, y, there, decays, optimizer, plan)
        return (state, sums), last

    sums = _Sums(*(jnp.zeros((l, c), state.head.bias.dtype) for _ in _Sums._fields))
    (state, sums), lasts = lax.scan(one, (state, sums), rows)
    count = jnp.maximum(jnp.bincount(labels, length=c), 1)[None]
    return state, Running(
        loss=jnp.sum(sums.loss, axis=1) / n,
        correct=jnp.sum(sums.correct, axis=1) / n,
        class_loss=sums.loss / count,
        penalised=sums.penalised / count,
        last=lasts[-1],
    )


class _Sums(NamedTuple):
    """Sums over the rows of each class so far, each [l, c]."""

    loss: Array
    correct: Array
    penalised: Array


def _step(
    state: Sweep,
    sums: _Sums,
    x: Array,
    y: Array,
    there: Array,
    decays: Array,
    optimizer: optax.GradientTransformation,
    plan: Plan,
) -> tuple[Sweep, _Sums, Array]:
    """Take one step with all heads, on the rows of a batch that are there."""
    head = state.head
    l = len(decays)
    c = head.bias.size // l
    columns = jnp.repeat(decays, c)
    share = there / jnp.sum(there)
    answers = (_product(x, head.kernel, plan) + head.bias[None]).reshape(-1, l, c)
    each = optax.softmax_cross_entropy_with_integer_labels(
        answers, jnp.broadcast_to(y[:, None], answers.shape[:2])
    )
    hot = jax.nn.one_hot(y, c, dtype=answers.dtype)
    wrong = (jax.nn.softmax(answers) - hot[:, None]) * share[:, None, None]
    wrong = wrong.reshape(len(x), l * c)
    slope = Head(
        _product(x.T, wrong, plan) + columns[None] * head.kernel,
        jnp.sum(wrong, axis=0),
    )
    squares = jnp.sum(jnp.square(head.kernel), axis=0)
    if plan.decay_bias:
        slope = slope._replace(bias=slope.bias + columns * head.bias)
        squares = squares + jnp.square(head.bias)
    paid = 0.5 * decays * jnp.sum(squares.reshape(l, c), axis=1)
    updates, memory = optimizer.update(slope, state.optimizer, head)
    moved = optax.apply_updates(head, updates)
    assert isinstance(moved, Head)
    right = jnp.argmax(answers, axis=2) == y[:, None]
    seen = hot * there[:, None]
    sums = _Sums(
        sums.loss + each.T @ seen,
        sums.correct + right.astype(seen.dtype).T @ seen,
        sums.penalised + (each + paid[None]).T @ seen,
    )
    return Sweep(moved, memory), sums, share @ each + paid


def _product(a: Array, b: Array, plan: Plan) -> Array:
    """Multiply, with factors of the plan's type and sums of the weights' own."""
    if plan.operands is None:
        return a @ b
    kind = jnp.promote_types(b.dtype, jnp.float32)
    return jnp.matmul(
        a.astype(plan.operands), b.astype(plan.operands), preferred_element_type=kind
    )


def stable_rate(features: Array, decay: float, momentum: float = 0.9) -> Array:
    """Return the learning rate above which SGD with momentum can diverge.

    `2 (1 + momentum) / (L + decay)`,   `L = (1/2) largest eigenvalue of X'X / n`

    where X has a column of ones for the bias, and L bounds the curvature of the mean
    cross-entropy (Boehning, 1992). Above it the iteration may still behave where the
    curvature is lower; well above it the loss explodes.

    Args:
      features: [n, d].
      decay: the largest.
      momentum: of the optimiser.

    >>> print(f"{stable_rate(jnp.eye(2), 0.0):.3f}")
    5.067
    """
    ones = jnp.ones((len(features), 1), features.dtype)
    x = jnp.concatenate([features, ones], axis=1)

    largest = jnp.linalg.eigvalsh(x.T @ x / len(x))[-1]
    return 2.0 * (1.0 + momentum) / (0.5 * largest + decay)
