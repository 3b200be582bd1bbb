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
      split: images [n, rows, rows], labels [n, m].
      batch_size: examples in a mini-batch, `b`.

    Returns:
      The mini-batches; `floor(n / b)` steps in an epoch.

    Raises:
      UsageError: `batch_size` is less than 1 or more than `n`.

    >>> import jax.numpy as jnp
    >>> split = Split(jnp.zeros((10, 12, 12), jnp.uint8), jnp.zeros((10, 2), jnp.int32))
    >>> batches = stored(split, 4)
    >>> plan = batches.begin(batches.data, jax.random.key(0))
    >>> batches.steps, batches.take(batches.data, plan, 1).images.shape
    (2, (4, 12, 12))
    """
    n = len(split.labels)
    if not 1 <= batch_size <= n:
        raise UsageError(f"batch size {batch_size} for {n} examples; give 1 to {n}")

    def begin(data: Split, key: Key) -> Array:
        return jax.random.permutation(key, len(data.labels))

    def take(data: Split, plan: Array, i: Array, look: Look | None = None) -> Split:
        chosen = lax.dynamic_slice_in_dim(plan, i * batch_size, batch_size)
        images = look(data.images, chosen) if look else data.images[chosen]
        return Split(images, data.labels[chosen])

    return Batches(n // batch_size, split, begin, take)


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
