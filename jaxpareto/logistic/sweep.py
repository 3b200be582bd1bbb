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
from collections.abc import Callable
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
"""How rows are shuffled: not at all, or anew in every epoch."""


class Sweep(NamedTuple):
    """What is carried from step to step.

    Attributes:
      head: wide, kernel [d, l c] and bias [l c].
      optimizer: state of the optimiser.
    """

    head: Head
    optimizer: Any


class Tally(NamedTuple):
    """Sums over the rows that were seen so far, class by class.

    Attributes:
      rows: [c], how many of each class.
      loss: [l, c], of the cross-entropy.
      correct: [l, c], of the rows that are answered right.
      penalised: [l, c], of the cross-entropy and `(decay / 2) |W|^2` at each step.
      last: [l], mean cross-entropy of the last batch plus its penalty.
    """

    rows: Array
    loss: Array
    correct: Array
    penalised: Array
    last: Array


class Running(NamedTuple):
    """What an epoch saw of its own rows, while the weights moved.

    Attributes:
      loss: [l], mean cross-entropy in nats.
      correct: [l], share of the rows.
      class_loss: [l, c], mean cross-entropy of the rows of each class.
      class_correct: [l, c], share of the rows of each class.
      penalised: [l, c], as `class_loss` with `(decay / 2) |W|^2` at each step added.
      last: [l], cross-entropy of the last batch plus its penalty.
    """

    loss: Array
    correct: Array
    class_loss: Array
    class_correct: Array
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
      look: `look(features, rows) -> [b, d]` finds rows that lie elsewhere, as on many
        devices, and zeros for a row that is none; None is taking them.
      share: what becomes of features [b, d], labels [b] and weights [b] of a batch
        before a step; on many devices each then takes its part.
    """

    batch_size: int = 256
    order: str = "epoch"
    decay_bias: bool = False
    operands: Any = None
    look: Callable[[Array, Array], Array] | None = None
    share: Callable[[Any], Any] | None = None


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


def nothing(l: int, c: int, dtype: jax.typing.DTypeLike = jnp.float32) -> Tally:
    """Begin to count: no rows yet."""
    each = jnp.zeros((l, c), dtype)
    return Tally(each[0], each, each, each, each[:, 0])


def running(tally: Tally) -> Running:
    """Divide by the rows; a class that had none has means of zero."""
    all_rows = jnp.sum(tally.rows)
    of_class = jnp.maximum(tally.rows, 1)[None]
    return Running(
        loss=jnp.sum(tally.loss, axis=1) / all_rows,
        correct=jnp.sum(tally.correct, axis=1) / all_rows,
        class_loss=tally.loss / of_class,
        class_correct=tally.correct / of_class,
        penalised=tally.penalised / of_class,
        last=tally.last,
    )


def table(n: int, batch_size: int, key: Key | None = None) -> Array:
    """Lay out n rows in batches: which row is where, [steps, batch size].

    Places without a row, at the end of the last batch, hold n.

    Args:
      n: rows.
      batch_size: of a step.
      key: for a random order; consumed. None keeps the order.

    >>> table(5, 2).tolist()
    [[0, 1], [2, 3], [4, 5]]
    """
    steps = math.ceil(n / batch_size)
    rows = jnp.arange(n) if key is None else jax.random.permutation(key, n)
    rows = jnp.pad(rows, (0, steps * batch_size - n), constant_values=n)
    return rows.reshape(steps, batch_size)


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
    l = len(decays)
    tally = nothing(l, state.head.bias.size // l, state.head.bias.dtype)
    order = table(len(labels), plan.batch_size, key if plan.order == "epoch" else None)
    state, tally = walk(
        state, tally, features, labels, order, decays, optimizer=optimizer, plan=plan
    )
    return state, running(tally)


def walk(
    state: Sweep,
    tally: Tally,
    features: Array,
    labels: Array,
    order: Array,
    decays: Array,
    *,
    optimizer: optax.GradientTransformation,
    plan: Plan,
) -> tuple[Sweep, Tally]:
    """Take the steps of a table of rows: an epoch, or the part of it that is at hand.

    Args:
      state: where the heads are.
      tally: what was seen before.
      features: [n, d].
      labels: [n] integers from 0.
      order: [steps, batch size], rows of the features; n where there is none.
      decays: [l], at least 0.
      optimizer: as for `start`.
      plan: all of which is read but `batch_size` and `order`.
    """

    def one(carry: tuple[Sweep, Tally], at: Array) -> tuple[tuple[Sweep, Tally], None]:
        there = (at < len(labels)).astype(state.head.bias.dtype)
        if plan.look is None:
            x = jnp.take(features, at, axis=0, mode="clip")
        else:
            x = plan.look(features, at)
        y = jnp.take(labels, at, mode="clip")
        if plan.share is not None:
            x, y, there = plan.share((x, y, there))
        return _step(*carry, x, y, there, decays, optimizer, plan), None

    return lax.scan(one, (state, tally), order)[0]


def _step(
    state: Sweep,
    tally: Tally,
    x: Array,
    y: Array,
    there: Array,
    decays: Array,
    optimizer: optax.GradientTransformation,
    plan: Plan,
) -> tuple[Sweep, Tally]:
    """Take one step with all heads, on the rows of a batch that are there."""
    head, l = state.head, len(decays)
    c = head.bias.size // l
    columns = jnp.repeat(decays, c)
    answers = (_product(x, head.kernel, plan) + head.bias[None]).reshape(-1, l, c)
    hot = jax.nn.one_hot(y, c, dtype=answers.dtype)
    share = there / jnp.sum(there)
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
    return Sweep(moved, memory), count(tally, answers, y, there, paid)


def count(tally: Tally, answers: Array, y: Array, there: Array, paid: Array) -> Tally:
    """Add a batch to the sums.

    Args:
      tally: so far.
      answers: logits [b, l, c].
      y: [b] integers.
      there: [b], 1 for a row and 0 for none.
      paid: [l], penalty of each head.
    """
    each = optax.softmax_cross_entropy_with_integer_labels(
        answers, jnp.broadcast_to(y[:, None], answers.shape[:2])
    )
    right = jnp.argmax(answers, axis=2) == y[:, None]
    # A product with the labels sums in one order on every device; a scatter does not.
    seen = jax.nn.one_hot(y, answers.shape[2], dtype=each.dtype) * there[:, None]
    return Tally(
        tally.rows + jnp.sum(seen, axis=0),
        tally.loss + each.T @ seen,
        tally.correct + right.astype(each.dtype).T @ seen,
        tally.penalised + (each + paid[None]).T @ seen,
        there @ each / jnp.sum(there) + paid,
    )


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
