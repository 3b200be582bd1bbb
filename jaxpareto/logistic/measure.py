"""Heads that stand still, on rows that they are judged by.

The heads of a sweep side by side, as in `logistic.sweep`. Rows come in blocks, so that
the logits of a million rows and a thousand classes never exist at once; blocks may be
slices of one array, or read from a disk.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import ArrayLike

from jaxpareto.logistic.convex import Head, gained, logits
from jaxpareto.logistic.sweep import Tally, count, heads, nothing, running, table
from jaxpareto.types import Array

BLOCK = 512  # its logits stay in the cache of a CPU

Blocks = Callable[[], Iterable[tuple[ArrayLike, ArrayLike]]]
"""`blocks()` goes once through features [b, d] and labels [b], piece by piece.

A row whose label is below 0 only fills up a block (on many devices).
"""


class Measured(NamedTuple):
    """How l heads do on some rows.

    Attributes:
      loss: [l], mean cross-entropy in nats.
      correct: [l], share of the rows.
      class_loss: [l, c], mean cross-entropy of the rows of each class.
      class_correct: [l, c], share of the rows of each class.
    """

    loss: Array
    correct: Array
    class_loss: Array
    class_correct: Array


def judge(
    tally: Tally, wide: Head, features: Array, labels: Array, *, block: int = BLOCK
) -> Tally:
    """Add rows to the sums, with heads that stay as they are.

    Args:
      tally: so far; `sweep.nothing` at first.
      wide: kernel [d, l c], bias [l c].
      features: [n, d].
      labels: [n] integers from 0; a row with one below 0 is not there.
      block: rows at a time.
    """
    l, c = tally.loss.shape

    def see(tally: Tally, at: Array) -> tuple[Tally, None]:
        x = jnp.take(features, at, axis=0, mode="clip")
        y = jnp.take(labels, at, mode="clip")
        there = ((at < len(labels)) & (y >= 0)).astype(wide.bias.dtype)
        answers = logits(wide, x).reshape(-1, l, c)
        return count(tally, answers, y, there, jnp.zeros_like(tally.last)), None

    return lax.scan(see, tally, table(len(labels), min(block, len(labels))))[0]


def measured(tally: Tally) -> Measured:
    """Divide the sums by the rows; a class without rows has means of zero."""
    found = running(tally)
    return Measured(found.loss, found.correct, found.class_loss, found.class_correct)


def measure(
    wide: Head, features: Array, labels: Array, l: int, *, block: int = BLOCK
) -> Measured:
    """Judge the l heads of a wide one by rows that are at hand: `judge`, `measured`.

    >>> wide = Head(jnp.zeros((3, 4)), jnp.array([0.0, 1.0, 1.0, 0.0]))
    >>> found = measure(wide, jnp.ones((2, 3)), jnp.array([0, 0]), l=2)
    >>> found.correct.tolist()
    [0.0, 1.0]
    """
    tally = nothing(l, wide.bias.size // l, wide.bias.dtype)
    return measured(judge(tally, wide, features, labels, block=block))


def each_row(wide: Head, features: Array, labels: Array, l: int) -> tuple[Array, Array]:
    """Return the cross-entropy and the answer of every head for every row, [l, n]."""

    def one(head: Head) -> tuple[Array, Array]:
        answers = logits(head, features)
        losses = optax.softmax_cross_entropy_with_integer_labels(answers, labels)
        return losses, jnp.argmax(answers, axis=1)

    return lax.map(one, heads(wide, l))


def gaps(
    wide: Head,
    blocks: Blocks,
    decays: Array,
    *,
    passes: int = 20,
    filled: bool = False,
) -> Array:
    """Bound how far each head is from the best one for its decay, [l], in nats.

    `convex.gap` of every head, from rows that come in blocks. It goes through them once
    for every step that fits the bias, and once for the gradient.

    Args:
      wide: kernel [d, l c], bias [l c].
      blocks: of the rows that the heads were fitted on; every class is among them.
      decays: [l]; where one is 0 there is no bound, and the answer is inf.
      passes: steps of fitting the bias.
      filled: whether there may be rows that only fill up a block.
    """
    l = len(decays)
    more = jnp.zeros((l, wide.bias.size // l), wide.bias.dtype)
    for _ in range(passes):
        sums = _summed(partial(_predicted, wide, more, filled=filled), blocks)
        found, wanted = (sum(each) for each in zip(*sums, strict=True))
        more = more + jnp.log(wanted)[None] - jnp.log(found)
    sums = _summed(partial(_slopes, wide, more, filled=filled), blocks)
    n, slope, gain = (sum(each) for each in zip(*sums, strict=True))
    columns = jnp.repeat(decays, wide.bias.size // l)
    slope = slope / n + columns[None] * wide.kernel
    squares = jnp.sum(jnp.square(slope), axis=0).reshape(l, -1)
    bound = jnp.sum(squares, axis=1) / (2.0 * decays)
    return jnp.where(decays > 0, bound, jnp.inf) + jnp.maximum(gain / n, 0.0)


def _summed(function: Callable[..., Any], blocks: Blocks) -> list[Any]:
    """Call a function of every block, no further ahead of the device than one."""
    sums: list[Any] = []
    for x, y in blocks():
        jax.block_until_ready(sums[-1:])
        sums.append(function(x, y))
    return sums


@partial(jax.jit, static_argnames="filled")
def _predicted(
    wide: Head, more: Array, x: Array, y: Array, filled: bool
) -> tuple[Array, Array]:
    """Count how often each class is predicted [l, c], and how often it is there [c]."""
    answers = logits(wide, x).reshape(-1, *more.shape) + more[None]
    hot = jax.nn.one_hot(y, more.shape[1], dtype=more.dtype)
    likely = jax.nn.softmax(answers)
    if filled:
        likely = likely * (y >= 0)[:, None, None]
    return jnp.sum(likely, axis=0), jnp.sum(hot, axis=0)


@partial(jax.jit, static_argnames="filled")
def _slopes(
    wide: Head, more: Array, x: Array, y: Array, filled: bool
) -> tuple[Array, Array, Array]:
    """Return rows, and summed: gradients in the kernel, and what `more` gains."""
    answers = logits(wide, x).reshape(-1, *more.shape)
    there = (y >= 0).astype(more.dtype) if filled else None
    gain = jax.vmap(partial(gained, labels=y, there=there), (1, 0))(answers, more)
    hot = jax.nn.one_hot(y, more.shape[1], dtype=more.dtype)
    wrong = jax.nn.softmax(answers + more[None]) - hot[:, None]
    rows = jnp.full((), len(y), more.dtype)
    if there is not None:
        wrong, rows = wrong * there[:, None, None], jnp.sum(there)
    return rows, x.T @ wrong.reshape(len(y), -1), rows * gain


def confusion(labels: ArrayLike, answers: ArrayLike, c: int) -> Array:
    """Count rows of class i that are answered j, [c, c] integers.

    >>> confusion(jnp.array([0, 0, 1]), jnp.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cell = jnp.asarray(labels) * c + jnp.asarray(answers)
    return jnp.bincount(cell, length=c * c).reshape(c, c)


def norms(wide: Head, l: int) -> tuple[Array, Array]:
    """Return the sums of absolute values and of squares of each head, [l] and [l].

    The first over weights and bias, as the study has it; the second over weights.
    """
    each = heads(wide, l)
    sizes = jax.vmap(lambda head: optax.tree.norm(head, ord=1))(each)
    return sizes, jnp.sum(jnp.square(each.kernel), axis=(1, 2))
