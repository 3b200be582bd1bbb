"""Named images as a search takes them: rows to train on, to validate on, to test on."""

from typing import NamedTuple

import numpy as np

from jaxpareto.data import load_source
from jaxpareto.errors import UsageError
from jaxpareto.nets import CLASSICS
from jaxpareto.train.examples import Examples, fold_rows, split_rows


class Problem(NamedTuple):
    """What the networks of a search learn.

    Attributes:
      data: to train on and to choose by.
      test: images and targets to report on, never to choose by.
      image: (height, width).
      classes: `c`.
    """

    data: Examples
    test: tuple[np.ndarray, np.ndarray]
    image: tuple[int, int]
    classes: int


def load(
    net: str,
    name: str,
    data_dir: str | None = None,
    *,
    rows: int | None = None,
    folds: int = 1,
    validation: float = 0.2,
    seed: int = 0,
) -> Problem:
    """Load images by name, and cut the training part into rows or folds.

    Args:
      net: a name of `CLASSICS`; an autoencoder's targets are the images themselves.
      name: one of `data.sources.SOURCES`.
      data_dir: see `data.load_source`.
      rows: how many of the training images to use, drawn at random; all by default.
      folds: of a cross-validation; 1 is a plain split.
      validation: share of the rows that validate in a plain split.
      seed: of what is drawn.

    Raises:
      UsageError: more rows or folds than there are, or a share that leaves nothing.
      RunError: the images cannot be loaded.

    >>> load("mlp", "digits", rows=100).data.train.shape
    (1, 80)
    """
    source = load_source(name, data_dir)
    count = len(source.train_labels)
    if rows is not None and rows > count:
        raise UsageError(f"--rows {rows}, but {name} has {count} training images")
    if not 0.0 < validation < 1.0:
        raise UsageError(f"--validation must lie between 0 and 1, found {validation}")
    chosen = np.random.default_rng(seed).permutation(count)[: rows or count]
    images = source.train_images[chosen]
    targets = targets_of(net, images, source.train_labels[chosen])
    if folds == 1:
        held = round(validation * len(chosen))
        order = np.arange(len(chosen))
        data = split_rows(images, targets, order[held:], order[:held])
    else:
        data = fold_rows(images, targets, folds, seed=seed)
    height, width = images.shape[1:]
    test = targets_of(net, source.test_images, source.test_labels)
    return Problem(data, (source.test_images, test), (height, width), source.classes)


def targets_of(net: str, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what a network should answer: labels [n], or pixels [n, d] in [0, 1]."""
    if not CLASSICS[net].reconstructs:
        return labels.astype(np.int32)
    return images.reshape(len(images), -1).astype(np.float32) / 255.0
