"""Sets of tasks by name: `load_task_set("split-mnist")` is all that a script needs.

| set | tasks | classes of each |
| --- | --- | --- |
| `split-digits` | the pairs 0-1, 2-3, ... of the embedded digits | 2 |
| `split-mnist` | the same pairs of MNIST | 2 |
| `split-mnist-5` | 0 to 4, and 5 to 9 | 5 |
| `permuted-mnist` | all digits, the pixels of each task in another order | 10 |
| `rotated-mnist` | all digits, each task turned by another angle | 10 |
| `split-cifar10` | pairs of CIFAR-10 | 2 |
| `split-cifar100` | ten classes each of CIFAR-100 | 10 |
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from jaxpareto.data.cifar import load_cifar
from jaxpareto.data.sources import load_source
from jaxpareto.data.tasks import (
    PAIRS,
    Parts,
    TaskSet,
    cut,
    permuted,
    rotated,
    split_classes,
)
from jaxpareto.errors import RunError, UsageError, check_name

FIVES = ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
TENS = tuple(tuple(range(first, first + 10)) for first in range(0, 100, 10))


class Asked(NamedTuple):
    """What a call says of a set of tasks: see `load_task_set`."""

    tasks: int | None
    groups: Sequence[Sequence[int]] | None
    rows: int | None
    seed: int


def _split(parts: Parts, asked: Asked, *, groups: Sequence[Sequence[int]]) -> TaskSet:
    tasks = len(groups) if asked.tasks is None else asked.tasks
    if not 1 <= tasks <= len(groups):
        raise UsageError(f"{tasks} tasks of {len(groups)} groups of classes")
    return split_classes(parts, asked.groups or groups[:tasks], rows=asked.rows)


def _permuted(parts: Parts, asked: Asked) -> TaskSet:
    tasks = 5 if asked.tasks is None else asked.tasks
    return permuted(parts, tasks, rows=asked.rows, seed=asked.seed)


def _rotated(parts: Parts, asked: Asked) -> TaskSet:
    tasks = 5 if asked.tasks is None else asked.tasks
    return rotated(parts, [180.0 * i / tasks for i in range(tasks)], rows=asked.rows)


TASK_SETS: dict[str, tuple[str, Callable[[Parts, Asked], TaskSet]]] = {
    "split-digits": ("digits", partial(_split, groups=PAIRS)),
    "split-mnist": ("mnist", partial(_split, groups=PAIRS)),
    "split-mnist-5": ("mnist", partial(_split, groups=FIVES)),
    "permuted-mnist": ("mnist", _permuted),
    "rotated-mnist": ("mnist", _rotated),
    "split-cifar10": ("cifar10", partial(_split, groups=PAIRS)),
    "split-cifar100": ("cifar100", partial(_split, groups=TENS)),
}
"""Name -> (source of the images, `make(parts, asked)`)."""


def load_task_set(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    tasks: int | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    rows: int | None = None,
    validation: float = 0.1,
    seed: int = 0,
) -> TaskSet:
    """Load several tasks by name.

    Args:
      name: a name of `TASK_SETS`.
      data_dir: folder of the source images; `load_source` says where else it looks.
      tasks: how many; by default 5, and for a split set all there are.
      groups: for a split set, classes of each task in place of its own.
      rows: training rows of each task; by default as many as all of them have.
      validation: part of the source's training images that is held out.
      seed: of what is held out and of the orders of pixels.

    Returns:
      The tasks, on the host.

    Raises:
      UsageError: unknown name, or a number out of its range.
      RunError: the source images could not be loaded.

    >>> made = load_task_set("split-digits", rows=100)
    >>> made.train.images.shape, made.classes, made.of((4,)).names
    ((5, 100, 8, 8), 2, ('8-9',))
    """
    source, make = TASK_SETS[check_name(name, TASK_SETS, "set of tasks")]
    if groups is not None and not name.startswith("split"):
        raise UsageError(f"{name} has no groups of classes; leave them out")
    load = load_cifar if source.startswith("cifar") else load_source
    loaded = load(source, data_dir)
    parts = cut(loaded, validation=validation, seed=seed)
    if len(np.unique(parts.train[1])) < loaded.classes:
        raise RunError(f"{source}: a class has no training image; check the files")
    return make(parts, Asked(tasks, groups, rows, seed))
