"""How a flat parameter vector is cut into the chunks that a hypernetwork makes.

A `Chunking` is a list of groups of equally long chunks, numbered group by group. Two
ways to cut are provided: equal slices of the flat vector, whatever they contain, and
one chunk per convolution filter, dense matrix or bias vector.

>>> spec = Spec(None, ("kernel",), ((3, 3, 1, 4),), (1.0,))
>>> equal_slices(spec, 10).groups
(Group(size=10, count=4),)
>>> per_filter(spec).groups
(Group(size=9, count=4),)
"""

from collections import defaultdict
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
        have at initialisation; zero where the direct initialisation is zero.
    """

    groups: tuple[Group, ...]
    order: np.ndarray | None
    scales: tuple[np.ndarray, ...]

    @property
    def count(self) -> int:
        """Number of chunks in all groups."""
        return sum(group.count for group in self.groups)


def equal_slices(spec: Spec, size: int) -> Chunking:
    """Cut the flat vector into slices of `size`; the last one is padded.

    Raises:
      UsageError: `size` is not positive.
    """
    if size < 1:
        raise UsageError(f"chunk size must be at least 1, found {size}")
    size = min(size, spec.size)
    count = -(-spec.size // size)
    scales = np.zeros(count * size, np.float32)
    scales[: spec.size] = np.repeat(spec.scales, spec.sizes)
    return Chunking((Group(size, count),), None, (scales.reshape(count, size),))


def per_filter(spec: Spec) -> Chunking:
    """Cut one chunk per convolution filter, dense matrix or bias vector.

    A filter is all that makes one output channel of a convolution: the kernel
    [height, width, channels, filters] gives `filters` chunks of height*width*channels.
    """
    # Chunk length -> the chunks of that length: places in the flat vector, and scale.
    found = defaultdict(list)
    start = 0
    for shape, size, scale in zip(spec.shapes, spec.sizes, spec.scales, strict=True):
        places = np.arange(start, start + size)
        filters = shape[-1] if len(shape) == 4 else 1
        for chunk in places.reshape(-1, filters).T:
            found[len(chunk)].append((chunk, scale))
        start += size
    order = np.empty(spec.size, np.int64)
    groups, scales, end = [], [], 0
    for size, chunks in found.items():
        for places, _ in chunks:
            order[places] = np.arange(end, end + size)
            end += size
        groups.append(Group(size, len(chunks)))
        column = np.array([[scale] for _, scale in chunks], np.float32)
        scales.append(np.broadcast_to(column, (len(chunks), size)))
    return Chunking(tuple(groups), order, tuple(scales))


CHUNKINGS = ("equal", "filter")
"""Names of the ways to cut: `equal_slices` and `per_filter`."""
