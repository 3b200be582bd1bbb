"""Where the images come from: a folder, tensorflow-datasets, or arrays.

An `Images` says how many there are and how to get one. `item(i)` makes the small thing
that travels to a worker process, and `read(item)` makes of it an image and its label.
"""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.data.features import work
from jaxpareto.data.registry import DATASETS, load_tasks
from jaxpareto.data.sources import SOURCES, load_source
from jaxpareto.errors import RunError, UsageError, check_name, require
from jaxpareto.types import Tasks

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"),
)
"""What an image file of a folder may end in, in lower or upper case."""


class Images(NamedTuple):
    """The images of a source, in the source's own order.

    Attributes:
      about: the source in words.
      sha256: of the list of the images, so that another list is noticed.
      rows: how many there are.
      classes: `c`; labels are 0..c-1.
      names: of the classes, or None where they are not known.
      item: `item(i)`: what a worker process needs to read image i.
      read: `read(item) -> (image, label)`; picklable. The image is a path, the bytes of
        a file, or a uint8 array [h, w] or [h, w, 3].
      where: `where(i)`: how a message names image i.
    """

    about: str
    sha256: str
    rows: int
    classes: int
    names: tuple[str, ...] | None
    item: Callable[[int], Any]
    read: Callable[[Any], tuple[Any, int]]
    where: Callable[[int], str]


def images_of(
    words: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    task: int = 0,
    load: Callable[..., Tasks] = load_tasks,
) -> Images:
    """Find the images that a command line names.

    Args:
      words: a folder; `tfds:NAME/SPLIT`; a source of single images (`SOURCES`) with
        `/train` (the default) or `/test` after it; or a multi-task data set
        (`DATASETS`), which has `/validation` too. A folder that is called like one of
        these is named `./digits`.
      data_dir: for `tfds:`, the folder that tensorflow-datasets keeps its copies in;
        for a named source, the folder of its IDX files.
      task: whose labels to take of a multi-task data set.
      load: `load(name, data_dir=...)` composes a multi-task data set.

    Raises:
      UsageError: no such source or split.
      RunError: a source that cannot be read.

    >>> images_of("digits/test").rows
    360
    """
    if words.startswith("tfds:"):
        return tfds_images(words.removeprefix("tfds:"), data_dir)
    name, _, split = words.partition("/")
    split = split or "train"
    if name in SOURCES:
        check_name(split, ("train", "test"), f"split of {name}")
        source = load_source(name, data_dir)
        fields = (source.train_images, source.train_labels)
        if split == "test":
            fields = (source.test_images, source.test_labels)
        return array_images(*fields, classes=source.classes, about=f"{name}/{split}")
    if name in DATASETS:
        check_name(split, ("train", "validation", "test"), f"split of {name}")
        return _task_images(load(name, data_dir=data_dir), split, task, name)
    if not os.path.isdir(words):
        raise UsageError(
            f"{words} is no folder; accepted: a folder with a subfolder per class, "
            f"tfds:NAME/SPLIT, or one of {', '.join((*SOURCES, *DATASETS))}"
        )
    return folder_images(words)


def _task_images(tasks: Tasks, split: str, task: int, name: str) -> Images:
    """Take a split of a multi-task data set, with the labels of one task."""
    images, labels = map(np.asarray, getattr(tasks, split))
    if not 0 <= task < labels.shape[1]:
        raise UsageError(f"task {task} of {name}; give 0 to {labels.shape[1] - 1}")
    about = f"{name}/{split}, task {task}"
    return array_images(images, labels[:, task], classes=tasks.classes, about=about)


def array_images(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int | None = None,
    names: tuple[str, ...] | None = None,
    about: str = "arrays",
) -> Images:
    """Take images that are in memory.

    Args:
      images: [n, h, w] or [n, h, w, 3], uint8.
      labels: [n] integers.
      classes: `c`; None for the largest label plus one, or the number of `names`.
      names: of the classes.
      about: the source in words.

    Raises:
      UsageError: the arrays do not fit together.

    >>> array_images(np.zeros((2, 8, 8), np.uint8), np.array([0, 3])).classes
    4
    """
    images, labels = np.ascontiguousarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images):
        raise UsageError(
            f"images {images.dtype}{list(images.shape)}; give uint8 [n, h, w] or "
            "[n, h, w, 3]"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UsageError(
            f"labels {labels.dtype}{list(labels.shape)} for {len(images)} images; give "
            "one integer for each"
        )
    count = classes or (len(names) if names else int(labels.max()) + 1)
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(images.data.cast("B"))
    digest.update(labels.astype("<i8").tobytes())
    return Images(
        about=about,
        sha256=digest.hexdigest(),
        rows=len(images),
        classes=count,
        names=names,
        item=lambda i: (images[i], int(labels[i])),
        read=work.as_it_is,
        where=lambda i: f"image {i} of {about}",
    )


def folder_images(folder: str | os.PathLike[str]) -> Images:
    """Take the image files of a folder that has a subfolder for each class.

    Classes are the names of the subfolders, sorted; the files of a class are those at
    any depth with a known ending, sorted by folder and name. So the labels and the
    order are those of torchvision's `ImageFolder`.

    Args:
      folder: such as `train/` with `n01440764/`, `n01443537/`, ...

    Raises:
      RunError: there is no class, or a class without an image.
    """
    base = Path(folder)
    names = sorted(entry.name for entry in os.scandir(base) if entry.is_dir())
    if not names:
        raise RunError(f"{base} has no subfolders; put the images of a class into one")
    files: list[str] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, name in enumerate(names):
        before = len(files)
        for path in _image_files(base / name):
            files.append(os.path.relpath(path, base))
            labels.append(label)
            line = f"{Path(files[-1]).as_posix()}\0{os.path.getsize(path)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        if len(files) == before:
            raise RunError(
                f"{base / name} holds no image; accepted are {' '.join(SUFFIXES)}"
            )
    return Images(
        about=f"folder {base.resolve().name}",
        sha256=digest.hexdigest(),
        rows=len(files),
        classes=len(names),
        names=tuple(names),
        item=lambda i: (str(base / files[i]), labels[i]),
        read=work.as_it_is,
        where=lambda i: str(base / files[i]),
    )


def _image_files(folder: Path) -> list[str]:
    """Return the image files below a folder, folder by folder."""
    found = []
    for root, _, files in sorted(os.walk(folder, followlinks=True)):
        chosen = (file for file in sorted(files) if file.lower().endswith(SUFFIXES))
        found += [os.path.join(root, file) for file in chosen]
    return found


def tfds_images(
    name_and_split: str, data_dir: str | os.PathLike[str] | None = None
) -> Images:
    """Take a split that tensorflow-datasets has prepared as array records.

    The bytes of the image files are taken as they are, so that `prepare` decodes them
    like those of a folder; neither this nor reading needs TensorFlow.

    Args:
      name_and_split: `imagenet2012/train`, `imagenet_v2/matched-frequency/test`, or
        with a part of a split, `imagenet2012/train[:10%]`.
      data_dir: where the prepared copies are; None for the usual folder.

    Raises:
      UsageError: no name or no such split.
      RunError: the extra `data` is not installed, there is no such copy, or its
        examples are no images with a class label.

    Source: https://www.tensorflow.org/datasets/data_source
    """
    name, _, split = name_and_split.rpartition("/")
    if not name:
        raise UsageError(f"tfds:{name_and_split} names no split; as tfds:NAME/train")
    tfds = require("tensorflow_datasets", "data")
    require("importlib_resources", "data")  # it needs this and does not say so
    builder = _prepared(tfds, name, data_dir)
    for part in split.split("+"):
        check_name(part.partition("[")[0], builder.info.splits, f"split of {name}")
    features = builder.info.features
    label: Any = features["label"] if {"image", "label"} <= set(features) else None
    if not isinstance(label, tfds.features.ClassLabel):
        raise RunError(f"tfds:{name}: its examples are no images with a class label")
    where = os.fspath(builder.data_path)
    try:
        rows = len(work.examples(where, split))
    except (NotImplementedError, ValueError) as error:
        raise RunError(f"tfds:{name_and_split}: {_short(error)}") from error
    lengths = [(name, list(s.shard_lengths)) for name, s in builder.info.splits.items()]
    listed = repr((builder.info.full_name, split, rows, lengths))
    return Images(
        about=f"tfds:{builder.info.full_name}/{split}",
        sha256=hashlib.sha256(listed.encode()).hexdigest(),
        rows=rows,
        classes=label.num_classes,
        names=tuple(label.names) if label.names else None,
        item=int,
        read=partial(work.read_example, where, split),
        where=lambda i: f"example {i} of tfds:{name_and_split}",
    )


def _prepared(tfds: Any, name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    """Return the builder of a copy that is on disk."""
    where = None if data_dir is None else os.fspath(data_dir)
    try:
        builder = tfds.builder(name, data_dir=where, file_format="array_record")
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise RunError(f"tfds:{name}: {_short(error)}") from error
    if not builder.data_path.exists():
        raise RunError(
            f"tfds:{name}: no prepared copy in {builder.data_path}; make one where "
            f"TensorFlow is installed: tfds build {name} --file_format=array_record"
        )
    return builder


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
