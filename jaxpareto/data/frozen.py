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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpareto.data.digits import load_digits
from jaxpareto.errors import RunError, check_name


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


def load_frozen(name: str) -> Frozen:
    """Load one of the sets that ship, by its name in `FROZEN`.

    Raises:
      UsageError: no such set.
    """
    check_name(name, FROZEN, "set of features")
    return checked(FROZEN[name]())


def checked(frozen: Frozen) -> Frozen:
    """Return the problem if a head can be fitted to it.

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
    missing = np.flatnonzero(np.bincount(frozen.train.labels, minlength=c) == 0)
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
