"""Features of a frozen network with their labels: what a logistic head learns from.

Those of your own images come from a store (`jaxpareto extract`). Three sets need none:

| name | rows | classes | features |
| --- | --- | --- | --- |
| `digits` | 1,797 | 10 | 64 pixels |
| `digits-d4` | 14,376 | 80 | 256 random ReLU features of the pixels |
| `synthetic` | 8,192 | 16 | 32 numbers, around centres with a known spread |

>>> found = load_frozen("digits")
>>> found.train.features.shape, found.test.features.shape
((1000, 64), (797, 64))
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpareto.data.digits import load_digits
from jaxpareto.data.features.read import Store, check_alike, open_store
from jaxpareto.errors import RunError, UsageError, check_name


class Rows(NamedTuple):
    """Rows of features.

    Attributes:
      features: [n, d] float32.
      labels: [n] int32, from 0.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int32]


class Frozen(NamedTuple):
    """A classification problem for a linear head.

    Attributes:
      train: rows to fit on.
      test: rows to judge by, of other images.
      names: what the classes are called, [c].
      about: where the features come from, in a line.
    """

    train: Rows
    test: Rows
    names: tuple[str, ...]
    about: str


def load_frozen(
    name: str, test: str = "", *, share: float = 0.3, seed: int = 0
) -> Frozen:
    """Load a set that ships, by its name in `FROZEN`, or feature stores.

    Args:
      name: of the set, or the folder of a store.
      test: folder of the store with the test rows. Without one, a share of the images
        of the first store is held out, at random.
      share: of these.
      seed: of the choice.

    Raises:
      UsageError: no such set or store, or two stores that do not go together.
      RunError: a store is damaged or unfinished, or cannot be learned from.
    """
    if name in FROZEN:
        if test:
            raise UsageError(f"--test {test} needs a store as --data; {name} ships")
        return checked(FROZEN[name]())
    train = _open(name)
    held = _open(test) if test else None
    rows = train.arrays()
    if held is not None:
        check_alike(train, held)
        others = held.arrays()
        pair = Rows(rows.x, rows.y), Rows(others.x, others.y)
    else:
        images = np.unique(rows.ids)
        mixed = np.random.default_rng(seed).permutation(images)
        out = np.isin(rows.ids, mixed[: max(1, round(share * len(images)))])
        pair = Rows(rows.x[~out], rows.y[~out]), Rows(rows.x[out], rows.y[out])
    return checked(Frozen(*pair, names_of(train), about(train)))


def stream_frozen(train: str, test: str, *, rows: int = 16_384) -> Frozen:
    """Load test rows, and of the training rows only a few, to stream the others.

    Args:
      train: folder of the store with the training rows.
      test: folder of the store with the test rows.
      rows: of the training rows that are loaded.

    Raises:
      UsageError: no such store, or two that do not go together.
      RunError: a store is damaged, unfinished, or has no row of some class.
    """
    store, held = open_store(train), open_store(test)
    check_alike(store, held)
    first, others = store[:rows], held.arrays()
    few = Rows(first.x.astype(np.float32), first.y)
    frozen = Frozen(few, Rows(others.x, others.y), names_of(store), about(store))
    return checked(frozen, labels=store.labels)


def names_of(store: Store) -> tuple[str, ...]:
    """Name the classes of a store; by their numbers, where it has no names."""
    return tuple(store.meta["class_names"] or map(str, range(store.classes)))


def about(store: Store) -> str:
    """Say in a line where the features of a store come from."""
    return f"{store.meta['backbone']}, {store.meta['preprocess']}"


def _open(name: str) -> Store:
    if not Path(name).is_dir():
        check_name(name, FROZEN, "set of features, and no folder of a store is there,")
    return open_store(name)


def checked(frozen: Frozen, *, labels: NDArray | None = None) -> Frozen:
    """Return the problem if a head can be fitted to it.

    Args:
      frozen: the problem.
      labels: of all training rows, if it holds only a few of these.

    Raises:
      RunError: a row is not finite, a label has no name, or a class has no row.
    """
    c = len(frozen.names)
    for split, rows in (("training", frozen.train), ("test", frozen.test)):
        if not len(rows.labels):
            raise RunError(f"there are no {split} rows; a study needs both")
        bad = np.flatnonzero(~np.isfinite(rows.features).all(axis=1))
        if len(bad):
            raise RunError(
                f"features of {len(bad)} {split} rows are not finite, the first in row "
                f"{bad[0]}; extract them anew, or leave these images out"
            )
        low, high = rows.labels.min(), rows.labels.max()
        if low < 0 or high >= c:
            raise RunError(
                f"{split} labels go from {low} to {high}, and there are {c} classes: "
                f"expected 0 to {c - 1}"
            )
    labels = frozen.train.labels if labels is None else labels
    missing = np.flatnonzero(np.bincount(labels, minlength=c) == 0)
    if len(missing):
        first = ", ".join(frozen.names[i] for i in missing[:5])
        raise RunError(
            f"{len(missing)} of {c} classes have no training row ({first}); a head "
            "cannot learn them: leave them out, or add rows"
        )
    d, other = frozen.train.features.shape[1], frozen.test.features.shape[1]
    if d != other:
        raise RunError(
            f"training rows have {d} features and test rows {other}; both must come "
            "from one backbone"
        )
    return frozen


def _digits() -> Frozen:
    pixels, labels, train = _pixels(1000)
    return Frozen(
        Rows(pixels[train], labels[train]),
        Rows(pixels[~train], labels[~train]),
        tuple(map(str, range(10))),
        "pixels of the embedded digits, divided by their largest value",
    )


def _digits_d4() -> Frozen:
    """Each digit in the 8 symmetries of a square: confusable classes, real pixels."""
    pixels, labels, train = _pixels(700)
    faces = pixels.reshape(-1, 8, 8)
    turned = [np.rot90(faces, turns, axes=(1, 2)) for turns in range(4)]
    turned += [np.flip(face, axis=2) for face in turned]
    flat = np.stack(turned, axis=1).reshape(-1, 64)  # the 8 of an image together
    of = (8 * labels[:, None] + np.arange(8)[None]).reshape(-1).astype(np.int32)
    rng = np.random.default_rng(4)
    mixing = rng.standard_normal((64, 256)) / 8.0
    offset = rng.standard_normal(256) / 8.0
    features = np.maximum((flat - flat.mean()) @ mixing + offset, 0.0)
    train = np.repeat(train, 8)  # an image and its turns stay on one side
    features = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    features = features.astype(np.float32)
    names = tuple(
        f"{digit} {'mirrored, ' if turn > 3 else ''}{90 * (turn % 4)} degrees"
        for digit in range(10)
        for turn in range(8)
    )
    return Frozen(
        Rows(features[train], of[train]),
        Rows(features[~train], of[~train]),
        names,
        "256 random ReLU features of the embedded digits in their 8 symmetries, each "
        "standardised over the training rows",
    )


def _pixels(train: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return pixels [n, 64] in [0, 1], labels [n], and which rows train, at random."""
    source = load_digits()
    images = np.concatenate([source.train_images, source.test_images])
    labels = np.concatenate([source.train_labels, source.test_labels])
    pixels = (images.reshape(len(images), -1) / 255.0).astype(np.float32)
    chosen = np.random.default_rng(0).permutation(len(labels)) < train
    return pixels, labels.astype(np.int32), chosen


def synthetic(
    n: int = 8192, d: int = 32, c: int = 16, *, seed: int = 0, widest: float = 4.0
) -> Frozen:
    """Make classes of known spread: class i scatters more than class i - 1.

    `x = centre_y + spread_y noise`,   `spread = widest ** linspace(0, 1, c)`

    Half of the rows train. For tests of shape, order and time at any size.

    Args:
      n: rows.
      d: features.
      c: classes, at most n / 2.
      seed: of the rows.
      widest: spread of the last class; the first has 1.
    """
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.standard_normal((c, d), dtype=np.float32)
    spread = np.geomspace(1.0, widest, c, dtype=np.float32)
    labels = (np.arange(n) % c).astype(np.int32)
    noise = rng.standard_normal((n, d), dtype=np.float32)
    features = (centres[labels] + spread[labels, None] * noise).astype(np.float32)
    half = n // 2
    return Frozen(
        Rows(features[:half], labels[:half]),
        Rows(features[half:], labels[half:]),
        tuple(f"spread {x:.2f}" for x in spread),
        f"synthetic: {c} classes with a spread from 1 to {widest:g}",
    )


FROZEN: dict[str, Callable[[], Frozen]] = {
    "digits": _digits,
    "digits-d4": _digits_d4,
    "synthetic": synthetic,
}
"""Name -> maker of the set."""
