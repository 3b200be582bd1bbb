"""One epoch of a store: which rows come when, and the thread that reads them ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")
Made = TypeVar("Made")


class Rows(NamedTuple):
    """Rows of a store.

    Attributes:
      x: [b, d] features: float16, as stored, or float32 from `Store.arrays`.
      y: [b] int32 labels.
      ids: [b] int64: which row of the source each is.
    """

    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray


class Window(NamedTuple):
    """Rows that are in memory together.

    Attributes:
      blocks: (start, stop) of the stretches of rows, in the order of reading.
      rng: mixes their rows; None to leave them in order.
    """

    blocks: list[tuple[int, int]]
    rng: np.random.Generator | None

    def rows(self) -> np.ndarray:
        """Number the rows in the order of reading, [n] int64."""
        return np.concatenate([np.arange(*block) for block in self.blocks])

    def mixed(self, rows: np.ndarray) -> np.ndarray:
        """Mix the rows, once: it uses up the `rng`."""
        return rows if self.rng is None else rows[self.rng.permutation(len(rows))]


def blocks(spans: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Cut each shard (first row, rows) into stretches of up to `size` rows.

    >>> blocks([(0, 5), (5, 2)], 3)
    [(0, 3), (3, 5), (5, 7)]
    """
    return [
        (start, min(start + size, first + rows))
        for first, rows in spans
        for start in range(first, first + rows, size)
    ]


def windows(
    blocks: list[tuple[int, int]], rows: int, rng: np.random.Generator | None
) -> Iterator[Window]:
    """Gather stretches, in random order if there is an `rng`, to at least `rows`."""
    order = range(len(blocks)) if rng is None else rng.permutation(len(blocks))
    held: list[tuple[int, int]] = []
    count = 0
    for i in order:
        held.append(blocks[i])
        count += blocks[i][1] - blocks[i][0]
        if count >= rows:
            yield Window(held, rng and rng.spawn(1)[0])
            held, count = [], 0
    if held:
        yield Window(held, rng and rng.spawn(1)[0])


def batches(windows: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Cut windows into batches; what is left of one begins the next."""
    left: Rows | None = None
    for window in windows:
        if left is not None:
            window = Rows(*map(np.concatenate, zip(left, window, strict=True)))
        whole = len(window.y) // size * size
        for start in range(0, whole, size):
            yield Rows(*(each[start : start + size] for each in window))
        left = Rows(*(each[whole:] for each in window))
    if left is not None and len(left.y):
        yield left


def cut(windows: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Cut arrays as `batches` cuts rows.

    >>> [part.tolist() for part in cut([np.array([1, 2, 3]), np.array([4, 5])], 2)]
    [[1, 2], [3, 4], [5]]
    """
    left: np.ndarray | None = None
    for window in windows:
        if left is not None:
            window = np.concatenate([left, window])
        whole = len(window) // size * size
        for start in range(0, whole, size):
            yield window[start : start + size]
        left = window[whole:]
    if left is not None and len(left):
        yield left


def ahead(
    make: Callable[[T], Made], orders: Iterable[T], depth: int = 2
) -> Iterator[Made]:
    """Yield `make(each)` in order; a thread works up to `depth` of them ahead.

    >>> list(ahead(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Made]] = deque()
        for each in orders:
            waiting.append(pool.submit(make, each))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
