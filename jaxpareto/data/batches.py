"""Mini-batches made on the device, inside the compiled training loop.

A `Batches` is two pure functions and the arrays they read. An epoch is
`plan = begin(data, key)`, then `take(data, plan, i)` for `i` in `0..steps-1`; both can
be traced, so a whole epoch may be one `lax.scan`. Pass `data` as an argument of the
jitted function: arrays that are closed over become constants of the compiled program.

`stored` goes through a split in random order; `fresh` composes new pairs at every step,
so that no example ever comes twice and a network has nothing to learn by heart.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from jaxpareto.data.multimnist import distinct_sources
from jaxpareto.data.pairs import Stack, make_pairs, make_stack
from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Split


class Batches(NamedTuple):
    """How to make the mini-batches of an epoch.

    Attributes:
      steps: mini-batches in an epoch.
      data: a pytree of device arrays.
      begin: `begin(data, key) -> plan`; the key is consumed.
      take: `take(data, plan, i, look=None) -> Split`, mini-batch `i` of the epoch,
        0 <= i < steps. `look(images, rows)` finds rows of images that lie elsewhere,
        as on many devices; None is `images[rows]`.
    """

    steps: int
    data: Any
    begin: Callable[[Any, Key], Any]
    take: Callable[..., Split]


Look = Callable[[Array, Array], Array]
"""`look(images [n, ...], rows [b]) -> [b, ...]`."""


def stored(split: Split, batch_size: int) -> Batches:
    """Make mini-batches of a split: each epoch in a new order, without replacement.

    The last `n mod batch_size` examples of an epoch's order are left out of that epoch.

    Args:
      split: images [n, rows, rows] and labels [n, m], or any pytrees of arrays with a
        leading axis [n].
      batch_size: examples in a mini-batch, `b`.

    Returns:
      The mini-batches; `floor(n / b)` steps in an epoch.

    Raises:
      UsageError: `batch_size` is less than 1 or more than `n`, or the arrays do not
        have one length.

    >>> import jax.numpy as jnp
    >>> split = Split(jnp.zeros((10, 12, 12), jnp.uint8), jnp.zeros((10, 2), jnp.int32))
    >>> batches = stored(split, 4)
    >>> plan = batches.begin(batches.data, jax.random.key(0))
    >>> batches.steps, batches.take(batches.data, plan, 1).images.shape
    (2, (4, 12, 12))
    """
    n = count_rows(split)
    if not 1 <= batch_size <= n:
        raise UsageError(f"batch size {batch_size} for {n} examples; give 1 to {n}")

    def begin(data: Split, key: Key) -> Array:
        # By the labels: images that are shared out may have rows of zeros at the end.
        return jax.random.permutation(key, count_rows(data.labels))

    def take(data: Split, plan: Array, i: Array, look: Look | None = None) -> Split:
        chosen = lax.dynamic_slice_in_dim(plan, i * batch_size, batch_size)
        find = look or (lambda leaf, rows: leaf[rows])
        images = jax.tree.map(lambda leaf: find(leaf, chosen), data.images)
        return Split(images, jax.tree.map(lambda leaf: leaf[chosen], data.labels))

    return Batches(n // batch_size, split, begin, take)


def per_task(split: Split, batch_size: int) -> Batches:
    """Make mini-batches of stacked tasks: equally many rows of each, task after task.

    The rows of every task are shuffled anew in every epoch. A step that splits its
    batch over t preferences, one for each task, so shows every task its own rows.

    Args:
      split: images [t, n, ...], labels [t, n], as in `TaskSet`.
      batch_size: rows of each task, `b`; the last `n mod b` of an epoch are left out.

    Returns:
      Mini-batches of images [t b, ...] and labels [t b, 1]; the plan of an epoch is
      its order of the rows, [t, n].

    Raises:
      UsageError: `batch_size` is less than 1 or more than `n`.

    >>> import jax.numpy as jnp
    >>> split = Split(jnp.zeros((3, 10, 8, 8), jnp.uint8), jnp.zeros((3, 10), int))
    >>> batches = per_task(split, 4)
    >>> plan = batches.begin(batches.data, jax.random.key(0))
    >>> batches.steps, batches.take(batches.data, plan, 1).images.shape
    (2, (12, 8, 8))
    """
    t, n = split.labels.shape
    if not 1 <= batch_size <= n:
        raise UsageError(f"batch size {batch_size} for {n} rows a task; give 1 to {n}")

    def begin(data: Split, key: Key) -> Array:
        del data
        keys = jax.random.split(key, t)
        return jax.vmap(jax.random.permutation, (0, None))(keys, n)

    def take(data: Split, plan: Array, i: Array, look: Look | None = None) -> Split:
        del look  # it finds rows of one long array, and these have an axis of tasks
        rows = lax.dynamic_slice_in_dim(plan, i * batch_size, batch_size, axis=1)
        images, labels = (
            jax.vmap(lambda mine, chosen: mine[chosen])(each, rows) for each in data
        )
        return Split(images.reshape(-1, *images.shape[2:]), labels.reshape(-1, 1))

    return Batches(n // batch_size, split, begin, take)


def count_rows(data: Any) -> int:
    """Return `n`, the length of the leading axis that all arrays of a pytree share.

    Raises:
      UsageError: there is no array, or their lengths differ.

    >>> count_rows(({"age": np.ones(7), "kind": np.ones((7, 3))}, np.ones(7)))
    7
    """
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(data)]
    if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
        raise UsageError(
            "expected arrays (no lists) with one length n of their first axis; found "
            f"shapes {', '.join(map(str, shapes[:6])) or 'none'}"
        )
    return shapes[0][0]


def whole(split: Split, *, steps: int) -> Batches:
    """Give all examples at every step: full-batch training.

    Args:
      split: the examples; one with a leading axis of 1 and nothing in it will do for a
        problem that has no data.
      steps: steps in an epoch.

    Raises:
      UsageError: steps < 1.

    >>> import jax.numpy as jnp
    >>> batches = whole(Split(jnp.zeros((5, 2, 2)), jnp.zeros((5, 2), int)), steps=3)
    >>> plan = batches.begin(batches.data, jax.random.key(0))
    >>> batches.take(batches.data, plan, 2).images.shape
    (5, 2, 2)
    """
    if steps < 1:
        raise UsageError(f"{steps} steps; give at least 1")

    def begin(data: Split, key: Key) -> None:
        del data, key

    def take(data: Split, plan: None, i: Array, look: Look | None = None) -> Split:
        del plan, i, look
        return data

    return Batches(steps, split, begin, take)


def fresh(
    sources: Sequence[tuple[Array, Array]],
    *,
    batch_size: int,
    steps: int,
    layout: str = "jitter",
    tasks: int | None = None,
) -> Batches:
    """Make mini-batches of pairs composed anew at every step.

    Step `i` of an epoch composes with the key `fold_in(plan, i)`.

    Args:
      sources: per task its images [n, size, size] uint8 and labels [n], such as
        `Tasks.sources`; a single one serves all tasks.
      batch_size: pairs in a mini-batch, `b`.
      steps: mini-batches in an epoch.
      layout: a name in `LAYOUTS`.
      tasks: images on each canvas, `m`, 2 to 4; None for as many as there are sources.

    Returns:
      The mini-batches; the plan of an epoch is its key.

    Raises:
      UsageError: an argument is out of its range, or too few classes are present.

    >>> from jaxpareto.data.registry import load_tasks
    >>> data = load_tasks("multi-digits", train_pairs=10, test_pairs=10)
    >>> batches = fresh(data.sources, batch_size=4, steps=3)
    >>> plan = batches.begin(batches.data, jax.random.key(0))
    >>> jax.jit(batches.take)(batches.data, plan, 1).images.shape
    (4, 12, 12)
    """
    if batch_size < 1 or steps < 1:
        raise UsageError(
            f"batch size {batch_size} and {steps} steps; give at least 1 of each"
        )
    tasks = len(sources) if tasks is None else tasks
    if len(sources) == 1:
        sources = [sources[0]] * tasks
    images, labels, which = distinct_sources(
        [source[0] for source in sources],
        [source[1] for source in sources],
        tasks,
        layout,
    )

    def begin(data: Stack, key: Key) -> Key:
        del data
        return key

    def take(data: Stack, plan: Key, i: Array, look: Look | None = None) -> Split:
        key = jax.random.fold_in(plan, i)
        return Split(*make_pairs(key, data, which, batch_size, layout, look=look))

    return Batches(steps, make_stack(images, labels), begin, take)
