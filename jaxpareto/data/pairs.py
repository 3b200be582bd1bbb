"""Which images meet on a canvas: random draws that never repeat a class.

Two images from one source never show the same class (except in the layout `pamal`):
each is uniform among the images whose class is not on the canvas yet, exactly and with
no rejection. To compose fresh pairs inside a training step, `make_stack` once and call
`make_pairs` with a new key for every step (or `draw_pairs`, then `compose`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpareto.data.layouts import compose, get_layout, place
from jaxpareto.types import Array, Key


class ClassTable(NamedTuple):
    """The images of one source in the order of their classes.

    Attributes:
      order: [n] int32, image numbers, sorted by class (stable).
      first: [n] int32, where in `order` the class at this position begins.
      last: [n] int32, where it ends (one past its last position).
    """

    order: Array
    first: Array
    last: Array


class Stack(NamedTuple):
    """The distinct sources of a composition, ready to draw from.

    Attributes:
      images: per source [n_s, size, size] uint8.
      labels: per source [n_s] int32.
      tables: per source its `ClassTable`.
    """

    images: tuple[Array, ...]
    labels: tuple[Array, ...]
    tables: tuple[ClassTable, ...]


@jax.jit
def class_table(labels: Array) -> ClassTable:
    """Sort images by class, so that leaving out a class leaves out one segment.

    Args:
      labels: [n] integers.

    Returns:
      The table that `draw_pairs` reads.

    >>> class_table(jnp.array([1, 0, 1])).order.tolist()
    [1, 0, 2]
    """
    order = jnp.argsort(labels, stable=True)
    ranked = labels[order]
    first = jnp.searchsorted(ranked, ranked, side="left")
    last = jnp.searchsorted(ranked, ranked, side="right")
    return ClassTable(*(x.astype(jnp.int32) for x in (order, first, last)))


def make_stack(images: Sequence[Array], labels: Sequence[Array]) -> Stack:
    """Add the class tables: one array of images and one of labels per source."""
    return Stack(tuple(images), tuple(labels), tuple(class_table(y) for y in labels))


def draw_pairs(
    key: Key,
    tables: Sequence[ClassTable],
    which: tuple[int, ...],
    pairs: int,
    *,
    size: int,
    layout: str = "jitter",
) -> tuple[Array, Array]:
    """Draw which images meet, and where each of them goes.

    Image `t` is uniform among the images of its source whose class differs from those
    of the images before it from that source: `P(i_t | i_1..i_{t-1}) = 1 / left`. A
    number in `0..left-1` is drawn and the excluded segments of the class table are
    skipped: always a fixed number of steps. (That number is 32 random bits modulo
    `left`, uniform to a relative error of `left / 2^32`.)

    Args:
      key: random key; the key is consumed.
      tables: one per distinct source.
      which: per task the number of its source, e.g. `(0, 0)`, or `(0, 1)`.
      pairs: how many, `n`.
      size: rows of one image.
      layout: a name in `LAYOUTS`; with `pamal` no class is excluded.

    Returns:
      indices [n, m] int32 into each task's source, and offsets [n, m, 2] int32, pixels.

    Raises:
      UsageError: no such layout.

    >>> table = class_table(jnp.array([0, 0, 1]))
    >>> indices, _ = draw_pairs(jax.random.key(0), [table], (0, 0), 4, size=28)
    >>> bool(((indices == 2).sum(1) == 1).all())
    True
    """
    # All random bits at once: compiling the generator is what takes the time.
    bits = jax.random.bits(key, (pairs, len(which), 3), jnp.uint32)
    distinct = get_layout(layout).distinct
    ranks: list[Array] = []  # positions in the class order
    indices: list[Array] = []
    for task, source in enumerate(which):
        table = tables[source]
        before = [ranks[t] for t in range(task) if distinct and which[t] == source]
        ranks.append(_rank(bits[:, task, 0], table, before))
        indices.append(table.order[ranks[-1]])
    return jnp.stack(indices, axis=1), place(bits[:, :, 1:], size, layout)


def make_pairs(
    key: Key,
    stack: Stack,
    which: tuple[int, ...],
    pairs: int,
    layout: str,
    *,
    look: Callable[[Array, Array], Array] | None = None,
) -> tuple[Array, Array]:
    """Draw pairs and compose them; this is what `multi_mnist` and `fresh` do.

    Args:
      key: random key; the key is consumed.
      stack: the distinct sources.
      which: per task the number of its source.
      pairs: how many, `n`.
      layout: a name in `LAYOUTS`.
      look: `look(images, rows)` finds images that lie elsewhere, as on many devices.

    Returns:
      images [n, rows, rows] uint8 and labels [n, m] int32.

    Raises:
      UsageError: no such layout.

    >>> stack = make_stack([jnp.ones((2, 8, 8), jnp.uint8)], [jnp.array([0, 1])])
    >>> images, labels = make_pairs(jax.random.key(0), stack, (0, 0), 3, "jitter")
    >>> images.shape, labels.sum(1).tolist()
    ((3, 12, 12), [1, 1, 1])
    """
    size = stack.images[0].shape[-1]
    indices, offsets = draw_pairs(
        key, stack.tables, which, pairs, size=size, layout=layout
    )
    shown, at = [stack.images[s] for s in which], indices
    if look is not None:  # bring those of this batch here
        shown = [look(each, indices[:, t]) for t, each in enumerate(shown)]
        at = jnp.broadcast_to(jnp.arange(pairs)[:, None], indices.shape)
    images = compose(shown, at, offsets, layout)
    labels = [stack.labels[s][indices[:, t]] for t, s in enumerate(which)]
    return images, jnp.stack(labels, axis=1)


def _rank(bits: Array, table: ClassTable, before: list[Array]) -> Array:
    """Turn bits [n] into positions in the table outside the classes at `before`."""
    left = jnp.full(bits.shape, len(table.order), jnp.int32)
    for rank in before:
        left = left - (table.last[rank] - table.first[rank])
    drawn = (bits % left.astype(jnp.uint32)).astype(jnp.int32)
    if before:
        # Skip the segments from left to right; sorting positions sorts their segments.
        for rank in jnp.sort(jnp.stack(before), axis=0):
            first, last = table.first[rank], table.last[rank]
            drawn = drawn + jnp.where(drawn >= first, last - first, 0)
    return drawn
