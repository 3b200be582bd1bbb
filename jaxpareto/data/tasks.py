"""Several tasks made of one set of images, stacked, for networks conditioned on a task.

`cut` holds rows out, then `split_classes`, `permuted` or `rotated` makes tasks of what
it answers. `task_sets.py` has those of the literature by name.

Everything random depends on the seed alone. The training images are cut once into
training and validation rows, before any task is made: no image that one task trains on
validates or tests another, whatever tasks are made of the same images.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.data.idx import Source
from jaxpareto.errors import UsageError
from jaxpareto.types import Split

PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))


class TaskSet(NamedTuple):
    """Tasks of one shape, stacked along a first axis: `vmap` runs over them.

    Attributes:
      train: images [t, n, h, w] or [t, n, h, w, channels] uint8, labels [t, n] int32.
        Row i shows class `i mod c`: the first `c k` rows are k examples of each class.
      validation: rows to choose by, in the same form but in no order of classes. Where
        a task has fewer than the largest, rows with the label -1 fill up.
      test: rows to report on, likewise.
      classes: `c`, the number of classes of each task.
      names: of the tasks, [t].
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    names: tuple[str, ...]

    def of(self, tasks: Sequence[int]) -> "TaskSet":
        """Return some of the tasks.

        Raises:
          UsageError: no such task.
        """
        for task in tasks:
            if not 0 <= task < len(self.names):
                raise UsageError(
                    f"task {task} of {len(self.names)}: the tasks are 0 to "
                    f"{len(self.names) - 1} ({', '.join(self.names)})"
                )
        chosen = list(tasks)

        def pick(part: Split) -> Split:
            return Split(part.images[chosen], part.labels[chosen])

        return TaskSet(
            *map(pick, (self.train, self.validation, self.test)),
            classes=self.classes,
            names=tuple(self.names[i] for i in chosen),
        )


class Parts(NamedTuple):
    """One task, or the source of all: images [n, ...] and labels [n] of each part."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    def map(self, change: Callable[..., tuple[np.ndarray, np.ndarray]]) -> "Parts":
        """Return `change(images, labels)` of every part."""
        return Parts(*(change(*part) for part in self))


def cut(source: Source, *, validation: float = 0.1, seed: int = 0) -> Parts:
    """Cut the training images of a source in two, at random; the test images stay.

    Args:
      source: images and labels.
      validation: the part that is held out, 0 < validation < 1.
      seed: of the order, the same for all tasks that are made of this source.

    Raises:
      UsageError: `validation` is out of its range.
    """
    if not 0 < validation < 1:
        raise UsageError(f"validation = {validation}; give 0 < validation < 1")
    n = len(source.train_labels)
    order = np.random.default_rng(seed).permutation(n)
    held, rest = np.split(order, [max(1, round(validation * n))])
    images, labels = source.train_images, source.train_labels.astype(np.int32)
    test = source.test_images, source.test_labels.astype(np.int32)
    return Parts((images[rest], labels[rest]), (images[held], labels[held]), test)


def split_classes(
    parts: Parts,
    groups: Sequence[Sequence[int]] = PAIRS,
    *,
    names: Sequence[str] | None = None,
    rows: int | None = None,
) -> TaskSet:
    """Make one task of each group of classes, numbered anew from 0.

    Args:
      parts: from `cut`.
      groups: classes of each task, equally many.
      names: of the tasks; by default their classes, as `0-1`.
      rows: training rows of each task; by default as many as all of them have.

    Raises:
      UsageError: groups of different sizes, a class that is not there, or too few rows.

    >>> from jaxpareto.data.digits import load_digits
    >>> made = split_classes(cut(load_digits()))
    >>> made.names, made.train.images.shape, made.train.labels[0, :4].tolist()
    (('0-1', '2-3', '4-5', '6-7', '8-9'), (5, 244, 8, 8), [0, 1, 0, 1])
    """
    there = np.unique(parts.train[1])
    if len({len(group) for group in groups}) != 1:
        raise UsageError(f"groups of different sizes: {tuple(map(tuple, groups))}")
    if not np.isin([each for group in groups for each in group], there).all():
        raise UsageError(
            f"classes {sorted({x for group in groups for x in group})}, and the images "
            f"show {there.min()} to {there.max()}"
        )

    def choose(
        images: np.ndarray, labels: np.ndarray, *, group: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        number = np.full(there.max() + 1, -1, np.int32)
        number[list(group)] = np.arange(len(group))
        mine = np.isin(labels, list(group))
        return images[mine], number[labels[mine]]

    tasks = [parts.map(partial(choose, group=group)) for group in groups]
    names = names or ["-".join(map(str, group)) for group in groups]
    return stack(tasks, len(groups[0]), names, rows=rows)


def permuted(
    parts: Parts, tasks: int, *, rows: int | None = None, seed: int = 0
) -> TaskSet:
    """Make tasks of all classes that see the pixels in another order each.

    Args:
      parts: from `cut`.
      tasks: `t`; the first keeps the pixels where they are.
      rows: training rows of each task; by default as many as there are.
      seed: of the orders.

    Source: Goodfellow et al. (2013), "An empirical investigation of catastrophic
    forgetting".
    """
    _at_least_one(tasks)
    height, width = parts.train[0].shape[1:3]
    rng = np.random.default_rng(seed)
    size = height * width
    orders = [np.arange(size), *(rng.permutation(size) for _ in range(tasks - 1))]

    def reorder(
        images: np.ndarray, labels: np.ndarray, *, order: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        flat = images.reshape(len(images), size, *images.shape[3:])
        return flat[:, order].reshape(images.shape), labels

    made = [parts.map(partial(reorder, order=order)) for order in orders]
    names = [f"order {i}" for i in range(tasks)]
    return stack(made, _classes(parts), names, rows=rows)


def rotated(
    parts: Parts, angles: Sequence[float], *, rows: int | None = None
) -> TaskSet:
    """Make tasks of all classes that are turned by another angle each.

    Args:
      parts: from `cut`.
      angles: of each task, in degrees, counter-clockwise.
      rows: training rows of each task; by default as many as there are.
    """
    _at_least_one(len(angles))

    def turn(
        images: np.ndarray, labels: np.ndarray, *, angle: float
    ) -> tuple[np.ndarray, np.ndarray]:
        return rotate(images, angle), labels

    made = [parts.map(partial(turn, angle=angle)) for angle in angles]
    names = [f"{angle:g} degrees" for angle in angles]
    return stack(made, _classes(parts), names, rows=rows)


def rotate(images: np.ndarray, angle: float) -> np.ndarray:
    """Turn images about their centre, linearly interpolated, zero outside.

    Args:
      images: [n, h, w] uint8.
      angle: in degrees, counter-clockwise.

    Returns:
      [n, h, w] uint8, rounded.

    >>> print(rotate(np.array([[[1, 2], [3, 4]]], np.uint8), 90)[0])
    [[2 4]
     [1 3]]
    """
    height, width = images.shape[1:]
    turn = np.deg2rad(angle)
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width)[None] - (width - 1) / 2
    # Where each pixel comes from; rounded, so that right angles hit pixels exactly.
    from_y = (np.cos(turn) * y + np.sin(turn) * x + (height - 1) / 2).round(9)
    from_x = (np.cos(turn) * x - np.sin(turn) * y + (width - 1) / 2).round(9)
    made = np.zeros(images.shape, np.float32)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1))).astype(np.float32)
    for down in (0, 1):
        for across in (0, 1):
            row = np.floor(from_y).astype(int) + down
            column = np.floor(from_x).astype(int) + across
            share = (1 - np.abs(from_y - row)) * (1 - np.abs(from_x - column))
            inside = np.clip(row + 1, 0, height + 1), np.clip(column + 1, 0, width + 1)
            made += share.astype(np.float32)[None] * padded[:, inside[0], inside[1]]
    return np.rint(made).astype(np.uint8)


def stack(
    tasks: Sequence[Parts], classes: int, names: Sequence[str], *, rows: int | None
) -> TaskSet:
    """Bring tasks to one shape: balanced training rows, and the others filled up.

    Args:
      tasks: images and labels 0 ... c - 1 of each.
      classes: `c`.
      names: of the tasks.
      rows: training rows of each task, rounded down to a multiple of c; by default c
        times the rarest class of all tasks.

    Raises:
      UsageError: more rows than that, or fewer than one of each class.
    """
    least = min(
        int(np.bincount(task.train[1], minlength=classes).min()) for task in tasks
    )
    each = least if rows is None else rows // classes
    if not 1 <= each <= least:
        raise UsageError(
            f"{rows} training rows for {classes} classes, of which the rarest has "
            f"{least} rows; give {classes} to {classes * least}"
        )
    balanced = [_interleave(*task.train, classes, each) for task in tasks]
    return TaskSet(
        _joined(balanced),
        _joined(_filled([task.validation for task in tasks])),
        _joined(_filled([task.test for task in tasks])),
        classes,
        tuple(names),
    )


def _interleave(
    images: np.ndarray, labels: np.ndarray, classes: int, each: int
) -> tuple[np.ndarray, np.ndarray]:
    """Take `each` rows of every class, in turn: 0, 1, ..., c - 1, 0, 1, ..."""
    chosen = [np.flatnonzero(labels == label)[:each] for label in range(classes)]
    order = np.stack(chosen, axis=1).reshape(-1)
    return images[order], labels[order]


def _filled(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fill all up to the length of the longest, with rows of the label -1."""
    longest = max(len(labels) for _, labels in parts)
    made = []
    for images, labels in parts:
        more = (0, longest - len(labels))
        black = np.pad(images, (more, *[(0, 0)] * (images.ndim - 1)))
        made.append((black, np.pad(labels, more, constant_values=-1)))
    return made


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Split:
    images, labels = zip(*parts, strict=True)
    both: Any = np.stack(images), np.stack(labels).astype(np.int32)
    return Split(*both)


def _classes(parts: Parts) -> int:
    return int(parts.train[1].max()) + 1


def _at_least_one(tasks: int) -> None:
    if tasks < 1:
        raise UsageError(f"{tasks} tasks; give at least 1")
