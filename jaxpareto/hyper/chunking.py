"""How a flat parameter vector is cut into the chunks that a hypernetwork makes.

A `Chunking` is a list of groups of equally long chunks, numbered group by group. Two
ways to cut are provided: equal slices of the flat vector, whatever they contain, and
one chunk per convolution filter, dense matrix or bias vector.

>>> spec = Spec(None, ("kernel",), ((3, 3, 1, 4),), (1.0,), (0.0,))
>>> equal_slices(spec, 10).groups
(Group(size=10, count=4),)
>>> per_filter(spec).groups
(Group(size=9, count=4),)
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxpareto.errors import UsageError
from jaxpareto.tree import Spec


class Group(NamedTuple):
    """Chunks of one length.

    Attributes:
      size: numbers in a chunk.
      count: number of chunks.
    """

    size: int
    count: int


class Chunking(NamedTuple):
    """A way to cut a vector of n parameters.

    Attributes:
      groups: lengths and counts; ids 0 ... `groups[0].count - 1` are the first group's.
      order: for each of the n parameters its place in the concatenated chunks, or None
        where the chunks in order are the vector (and surplus at the end is dropped).
      scales: per group [count, size], the standard deviation that each number should
        have at initialisation; zero where the direct initialisation is a constant.
      means: per group [count, size], the constant that each number should start around.
    """

    groups: tuple[Group, ...]
    order: np.ndarray | None
    scales: tuple[np.ndarray, ...]
    means: tuple[np.ndarray, ...]

    @property
    def count(self) -> int:
        """Number of chunks in all groups."""
        return sum(group.count for group in self.groups)


def equal_slices(spec: Spec, size: int, *, count: int | None = None) -> Chunking:
    """Cut the flat vector into slices of `size`; what goes beyond its end is surplus.

    Args:
      spec: shapes of the target's parameters.
      size: length of a slice.
      count: how many slices; by default as few as hold the vector.

    Raises:
      UsageError: `size` is not positive, or the slices do not hold the vector.
    """
    if size < 1:
        raise UsageError(f"chunk size must be at least 1, found {size}")
    size = min(size, spec.size)
    least = -(-spec.size // size)
    count = least if count is None else count
    if count < least:
        raise UsageError(
            f"{spec.size} parameters need at least {least} chunks of {size}, "
            f"found {count}"
        )

    def slices(values: Sequence[float]) -> np.ndarray:
        padded = np.zeros(count * size, np.float32)
        padded[: spec.size] = spec.each(values)
        return padded.reshape(count, size)

    return Chunking(
        groups=(Group(size, count),),
        order=None,
        scales=(slices(spec.scales),),
        means=(slices(spec.means),),
    )


def per_filter(spec: Spec) -> Chunking:
    """Cut one chunk per convolution filter, dense matrix or bias vector.

    A filter is all that makes one output channel of a convolution: the kernel
    [height, width, channels, filters] gives `filters` chunks of height*width*channels.
    """
    # Chunk length -> the chunks of that length, as places in the flat vector.
    found = defaultdict(list)
    start = 0
    for shape, size in zip(spec.shapes, spec.sizes, strict=True):
        places = np.arange(start, start + size)
        filters = shape[-1] if len(shape) == 4 else 1
        found[size // filters].extend(places.reshape(-1, filters).T)
        start += size
    groups = tuple(Group(size, len(chunks)) for size, chunks in found.items())
    places = [np.stack(chunks) for chunks in found.values()]
    order = np.empty(spec.size, np.int32)
    order[np.concatenate([each.reshape(-1) for each in places])] = np.arange(
        spec.size, dtype=np.int32
    )
    scales, means = spec.each(spec.scales), spec.each(spec.means)
    return Chunking(
        groups,
        order,
        scales=tuple(scales[each] for each in places),
        means=tuple(means[each] for each in places),
    )


CHUNKINGS = ("equal", "filter")
"""Names of the ways to cut: `equal_slices` and `per_filter`."""
