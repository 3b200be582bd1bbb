"""Images prepared by worker processes, in order, and only so many ahead.

The workers are fresh interpreters: a forked copy of a process that runs JAX may hang.
"""

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.data.features import work
from jaxpareto.data.features.sources import Images
from jaxpareto.errors import RunError, UsageError

CHUNK = 16
"""Images in one task: enough that sending a task costs little."""


class Prepared(NamedTuple):
    """Images that a backbone can take: images [b, ...] and labels [b] int32."""

    images: np.ndarray
    labels: np.ndarray


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepared(
    source: Images,
    prepare: Callable[[Any], np.ndarray],
    groups: Iterable[np.ndarray],
    workers: int,
) -> Generator[Prepared]:
    """Prepare groups of images, in order.

    Args:
      source: the images.
      prepare: what to do with each; must be picklable unless `workers` is 0.
      groups: the rows of each group.
      workers: processes; with 0 this one does the work.

    Yields:
      The images of each group. No more than three groups, or two tasks per worker if
      that is more, wait in memory.

    Raises:
      UsageError: `prepare` cannot be sent to a process.
      RunError: an image that cannot be prepared, or of another shape; a dead worker.
    """
    stack = _stacker(source)
    if workers == 0:
        for group in groups:
            yield stack(group, [work.work(source.read, prepare, _items(source, group))])
        return
    waiting: deque[tuple[np.ndarray, list[Future]]] = deque()
    with _pool(source, prepare, workers) as submit:
        for group in groups:
            chunks = [group[i : i + CHUNK] for i in range(0, len(group), CHUNK)]
            waiting.append((group, [submit(_items(source, each)) for each in chunks]))
            if len(waiting) > 2 and len(waiting) * len(chunks) > 2 * workers:
                yield stack(*_results(*waiting.popleft()))
        while waiting:
            yield stack(*_results(*waiting.popleft()))


def _items(source: Images, rows: np.ndarray) -> list[Any]:
    return [source.item(int(row)) for row in rows]


def _results(group: np.ndarray, tasks: list[Future]) -> tuple[np.ndarray, list[Any]]:
    return group, [task.result() for task in tasks]


def _stacker(source: Images) -> Callable[[np.ndarray, list[Any]], Prepared]:
    """Return a function that puts the parts of a group together, if all are alike."""
    expected: tuple[Any, ...] = ()

    def stack(group: np.ndarray, parts: list[work.Part | work.Broken]) -> Prepared:
        nonlocal expected
        pairs: work.Part = []
        for part in parts:
            if isinstance(part, work.Broken):
                where = source.where(int(group[len(pairs) + part.place]))
                why = part.why
                raise RunError(why if where in why else f"{where}: {why}")
            pairs += part
        for row, (image, label) in zip(group, pairs, strict=True):
            found = (*image.shape, image.dtype.name)
            expected = expected or found
            if found != expected:
                raise RunError(
                    f"{source.where(int(row))}: prepared as {found}, the images before "
                    f"as {expected}; all must be alike"
                )
            if not 0 <= label < source.classes:
                raise RunError(
                    f"{source.where(int(row))}: label {label}, but there are "
                    f"{source.classes} classes: 0 to {source.classes - 1}"
                )
        images, labels = zip(*pairs, strict=True)
        return Prepared(np.stack(images), np.array(labels, np.int32))

    return stack


@contextmanager
def _pool(
    source: Images, prepare: Callable[[Any], np.ndarray], workers: int
) -> Iterator[Callable[[list[Any]], Future]]:
    """Start workers; give the function that hands them a task."""
    job = (source.read, prepare)
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the backbone's `prepare` cannot be sent to a process ({error}); define "
            "it at the top of a module, or take no workers"
        ) from error
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=work.begin,
        initargs=job,
    )

    def submit(items: list[Any]) -> Future:
        # A process started here inherits the mask: Ctrl-C, which the terminal sends to
        # every process of the group, reaches this one alone, and a moment later.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return pool.submit(work.work_here, items)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield submit
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process ended early: out of memory, killed, or started by a "
            "script without `if __name__ == '__main__':`; take fewer --workers, or 0"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
