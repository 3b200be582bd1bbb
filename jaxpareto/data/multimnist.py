"""Images that show several things at once, composed from images that show one.

`multi_mnist` makes a whole data set from a key: the same key gives the same bytes on
every machine. `jaxpareto.data.layouts` says where the images go, and
`jaxpareto.data.pairs` which of them meet and how to compose pairs in a training step.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxpareto.data.layouts import get_layout
from jaxpareto.data.pairs import make_pairs, make_stack
from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key

Host = Array | np.ndarray
"""An array of either kind."""


def multi_mnist(
    images: Host | Sequence[Host],
    labels: Host | Sequence[Host],
    key: Key,
    *,
    pairs: int,
    layout: str = "jitter",
    tasks: int = 2,
) -> tuple[Array, Array]:
    """Compose a multi-task data set: several images on one canvas, one label each.

    Args:
      images: [n, size, size] uint8 of one source, or one such array per task. The same
        array given twice is one source (by identity; so inside `jit` pass it once).
      labels: [n] integers of that source, or one such array per task.
      key: random key; the key is consumed.
      pairs: how many canvases to compose.
      layout: a name in `LAYOUTS`.
      tasks: images on each canvas, `m`, 2 to 4.

    Returns:
      images [pairs, rows, rows] uint8 and labels [pairs, m] int32; `rows` is 36 for
      images of 28 x 28 (28 for `pamal`).

    Raises:
      UsageError: an argument is out of its range, or too few classes are present. Under
        `jit` the classes are unknown and not checked.

    Source: Lin et al. (2019), Pareto Multi-Task Learning, section 6.1, after Sabour et
    al. (2017), Dynamic Routing Between Capsules.

    >>> from jaxpareto.data.digits import load_digits
    >>> source = load_digits()
    >>> images, labels = multi_mnist(
    ...     source.train_images, source.train_labels, jax.random.key(0), pairs=5
    ... )
    >>> images.shape, labels.shape
    ((5, 12, 12), (5, 2))
    """
    if pairs < 1:
        raise UsageError(f"pairs = {pairs}; compose at least 1")
    images, labels, which = distinct_sources(images, labels, tasks, layout)
    return _compose_all(images, labels, key, which, pairs, layout)


def distinct_sources(
    images: Host | Sequence[Host],
    labels: Host | Sequence[Host],
    tasks: int,
    layout: str,
) -> tuple[tuple[Array, ...], tuple[Array, ...], tuple[int, ...]]:
    """Check what was given, and name each source once: images, labels, `which`."""
    distinct = get_layout(layout).distinct
    if not 2 <= tasks <= 4:
        raise UsageError(f"tasks = {tasks}; a canvas holds 2 to 4 images")
    xs, ys = _per_task(images, tasks), _per_task(labels, tasks)
    if not len(xs) == len(ys) == tasks:
        raise UsageError(
            f"{len(xs)} arrays of images and {len(ys)} of labels for tasks = {tasks}; "
            "give one of each per task, or a single one for all"
        )
    known = [(id(x), id(y)) for x, y in zip(xs, ys, strict=True)]
    first_task = [known.index(name) for name in dict.fromkeys(known)]
    which = tuple(first_task.index(known.index(name)) for name in known)
    for source, task in enumerate(first_task):
        _check_source(xs[task], ys[task], which.count(source) if distinct else 1)
    sizes = [xs[task].shape[-1] for task in first_task]
    if len(set(sizes)) > 1:
        raise UsageError(f"images of {sizes} rows do not fit; bring them to one size")
    return (
        tuple(jnp.asarray(xs[task]) for task in first_task),
        tuple(jnp.asarray(ys[task]).astype(jnp.int32) for task in first_task),
        which,
    )


def _per_task(given: Host | Sequence[Host], tasks: int) -> list[Host]:
    """Return one array per task; a single one serves all of them."""
    return list(given) if isinstance(given, Sequence) else [given] * tasks


def _check_source(images: Host, labels: Host, needed: int) -> None:
    """Refuse arrays that are no images and labels, or lack `needed` classes."""
    shape = np.shape(images)
    if len(shape) != 3 or shape[1] != shape[2] or not shape[0] or not shape[1]:
        raise UsageError(f"images of shape {shape}; give square ones, [n, size, size]")
    if images.dtype != np.uint8:
        raise UsageError(f"images are {images.dtype}; give uint8, 0 to 255")
    if np.shape(labels) != shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"labels are {labels.dtype} of shape {np.shape(labels)} for {shape[0]} "
            f"images; give integers of shape ({shape[0]},)"
        )
    if isinstance(labels, Tracer):
        return  # inside jit the classes are not known yet
    present = len(np.unique(labels))
    if present < needed:
        raise UsageError(
            f"{needed} images of different classes are to meet, and the labels hold "
            f"{present} class{'es' * (present > 1)}; give images of more classes"
        )


@partial(jax.jit, static_argnames=("which", "pairs", "layout"))
def _compose_all(
    images: tuple[Array, ...],
    labels: tuple[Array, ...],
    key: Key,
    which: tuple[int, ...],
    pairs: int,
    layout: str,
) -> tuple[Array, Array]:
    """Compose `pairs` canvases in one compiled call."""
    return make_pairs(key, make_stack(images, labels), which, pairs, layout)
