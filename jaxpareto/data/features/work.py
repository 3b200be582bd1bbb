"""What a worker process does: read an image, prepare it, send it back.

A worker imports this module, NumPy and what `prepare` needs, and not JAX: so it starts
in a fraction of a second and takes little memory.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.errors import RunError, UsageError, require

Part = list[tuple[np.ndarray, int]]
"""A few prepared images and their labels."""


class Broken(NamedTuple):
    """An image that could not be prepared: its place in the task, and why."""

    place: int
    why: str


_job: tuple[Callable[[Any], tuple[Any, int]], Callable[[Any], np.ndarray]]
"""What this process does: read, then prepare."""


def begin(read: Callable, prepare: Callable) -> None:
    """Start a worker, and end it when the process that started it is killed."""
    global _job
    _job = read, prepare
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def work_here(items: list[Any]) -> Part | Broken:
    """Do a task in a worker."""
    return work(*_job, items)


def work(read: Callable, prepare: Callable, items: list[Any]) -> Part | Broken:
    """Read and prepare a few images."""
    done: Part = []
    for item in items:
        try:
            image, label = read(item)
            done.append((np.asarray(prepare(image)), label))
        except (RunError, UsageError) as error:
            return Broken(len(done), str(error))
        except Exception as error:
            # Decoders raise what they like, and `read` and `prepare` may be anybody's:
            # the caller names the file, which an error from a worker would not.
            words = " ".join(str(error).split())[:200]
            return Broken(len(done), f"{type(error).__name__}: {words}")
    return done


def as_it_is(item: tuple[Any, int]) -> tuple[Any, int]:
    """Read what is an image, or its path, and a label already."""
    return item


def read_example(where: str, split: str, i: int) -> tuple[Any, int]:
    """Read an example of tensorflow-datasets."""
    example = examples(where, split)[i]
    return example["image"], int(example["label"])


@cache  # each process opens the files once
def examples(where: str, split: str) -> Any:
    """Open a prepared split of tensorflow-datasets; image files stay bytes."""
    tfds = require("tensorflow_datasets", "data")
    builder = tfds.builder_from_directory(where)
    raw = isinstance(builder.info.features["image"], tfds.features.Image)
    decoders = {"image": tfds.decode.SkipDecoding()} if raw else None
    return builder.as_data_source(split, decoders=decoders)
