"""Data sets by name: `load_tasks("multi-mnist")` is all that a script needs.

Everything random depends on `seed` alone. The training images of each source are first
cut in two by a seeded permutation; validation pairs are composed from the smaller part
and training pairs from the rest, so the two share no source image. Test pairs are
composed from the source's own test images.
"""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.data.layouts import get_layout
from jaxpareto.data.multimnist import multi_mnist
from jaxpareto.data.sources import find_folder, load_source
from jaxpareto.errors import RunError, UsageError, check_name
from jaxpareto.types import Array, Key, Split, Tasks


class Recipe(NamedTuple):
    """What a data set is composed of.

    Attributes:
      sources: one name for all tasks, or one per task.
      train_pairs: pairs for training and validation together, unless the call says.
      test_pairs: pairs for testing, unless the call says.
    """

    sources: tuple[str, ...]
    train_pairs: int
    test_pairs: int


DATASETS: dict[str, Recipe] = {
    "multi-digits": Recipe(("digits",), 20_000, 10_000),
    "multi-mnist": Recipe(("mnist",), 120_000, 20_000),
    "multi-fashion": Recipe(("fashion-mnist",), 120_000, 20_000),
    "multi-kmnist": Recipe(("kmnist",), 120_000, 20_000),
    "fashion-and-mnist": Recipe(("fashion-mnist", "mnist"), 120_000, 20_000),
}
"""Name -> recipe. 120,000 and 20,000 pairs are those of Lin et al. (2019)."""

# What each key is for; fold_in(key(seed), number) makes it.
HOLD_OUT, TRAIN, VALIDATION, TEST = range(4)


def load_tasks(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    layout: str = "jitter",
    train_pairs: int | None = None,
    test_pairs: int | None = None,
    validation: float = 0.1,
    seed: int = 0,
    tasks: int = 2,
) -> Tasks:
    """Load or compose a multi-task data set by name.

    Args:
      name: a name in `DATASETS`.
      data_dir: the folder of the source images; `load_source` says where else it looks.
      layout: a name in `LAYOUTS`.
      train_pairs: pairs for training and validation together; None as in `DATASETS`.
      test_pairs: pairs for testing; None as in `DATASETS`.
      validation: the part of the source training images, and of `train_pairs`, that is
        held out, 0 <= validation < 1.
      seed: 0 <= seed < 2^31; the same seed gives the same bytes everywhere.
      tasks: images on each canvas, `m`, 2 to 4.

    Returns:
      The data set, on the device. With `validation=0` that split has no examples.

    Raises:
      UsageError: an argument is unknown or out of its range.
      RunError: the source images could not be loaded.

    >>> data = load_tasks("multi-digits", train_pairs=100, test_pairs=10)
    >>> data.train.images.shape, data.validation.labels.shape, data.test.images.shape
    ((90, 12, 12), (10, 2), (10, 12, 12))
    """
    recipe = DATASETS[check_name(name, DATASETS, "data set")]
    get_layout(layout)
    train_pairs = recipe.train_pairs if train_pairs is None else train_pairs
    test_pairs = recipe.test_pairs if test_pairs is None else test_pairs
    held_pairs = max(1, round(validation * train_pairs)) if 0 < validation < 1 else 0
    if not 0 <= validation < 1:
        raise UsageError(f"validation = {validation}; give 0 <= validation < 1")
    if train_pairs <= held_pairs or test_pairs < 1:
        raise UsageError(
            f"{train_pairs} training pairs (of which {held_pairs} for validation) and "
            f"{test_pairs} test pairs; each split needs at least 1"
        )
    if not 0 <= seed < 2**31:
        raise UsageError(f"seed = {seed}; give 0 <= seed < 2147483648")
    accepted = (2, 3, 4) if len(recipe.sources) == 1 else (len(recipe.sources),)
    if tasks not in accepted:
        raise UsageError(f"tasks = {tasks}; accepted for {name}: {accepted}")
    _check_folders(recipe, data_dir)

    key = jax.random.key(seed, impl="threefry2x32")  # the default may be changed
    rest_of, held_of, test_of = [], [], []
    classes = 0
    for number, source_name in enumerate(recipe.sources):
        source = load_source(source_name, data_dir)
        images, labels = source.train_images, source.train_labels
        hold_key = jax.random.fold_in(jax.random.fold_in(key, HOLD_OUT), number)
        rest, held = map(np.asarray, hold_out(len(labels), validation, hold_key))
        rest_of.append(_on_device(images[rest], labels[rest]))
        held_of.append(_on_device(images[held], labels[held]))
        test_of.append(_on_device(source.test_images, source.test_labels))
        classes = max(classes, source.classes)

    def split(sources: list[tuple[Array, Array]], purpose: int, pairs: int) -> Split:
        per_task = _per_task(sources, tasks)
        images, labels = [x for x, _ in per_task], [y for _, y in per_task]
        part_key = jax.random.fold_in(key, purpose)
        return Split(
            *multi_mnist(
                images, labels, part_key, pairs=pairs, layout=layout, tasks=tasks
            )
        )

    train = split(rest_of, TRAIN, train_pairs - held_pairs)
    none = Split(train.images[:0], train.labels[:0])
    return Tasks(
        train=train,
        validation=split(held_of, VALIDATION, held_pairs) if held_pairs else none,
        test=split(test_of, TEST, test_pairs),
        classes=classes,
        sources=_per_task(rest_of, tasks),
    )


def hold_out(n: int, part: float, key: Key) -> tuple[Array, Array]:
    """Cut `n` image numbers in two at random: the rest, and `round(part n)` held out.

    Args:
      n: how many images there are.
      part: what part of them to hold out, 0 <= part < 1.
      key: random key; the key is consumed.

    Returns:
      two int arrays that together hold each of 0..n-1 once.

    >>> rest, held = hold_out(10, 0.2, jax.random.key(0))
    >>> len(rest), len(held), sorted([*rest.tolist(), *held.tolist()]) == [*range(10)]
    (8, 2, True)
    """
    order = jax.random.permutation(key, n)
    held = round(part * n)
    return order[held:], order[:held]


def _on_device(images: np.ndarray, labels: np.ndarray) -> tuple[Array, Array]:
    """Copy the images [n, h, w] uint8 and labels [n] int32 to the device."""
    return jnp.asarray(images), jnp.asarray(labels.astype(np.int32))


def _per_task(sources: list[tuple[Array, Array]], tasks: int) -> tuple:
    """Return one (images, labels) per task; a single source serves all of them."""
    return tuple(sources * tasks) if len(sources) == 1 else tuple(sources)


def _check_folders(recipe: Recipe, data_dir: str | os.PathLike[str] | None) -> None:
    """Refuse one folder of IDX files as two different sources."""
    names = [name for name in recipe.sources if name != "digits"]
    folders = [find_folder(name, data_dir) for name in names]
    if folders and folders[0] and len(set(folders)) < len(folders):
        raise RunError(
            f"{folders[0]} holds one set of images, and {' and '.join(names)} are two; "
            f"name the folder above it, with {' and '.join(n + '/' for n in names)}"
        )
