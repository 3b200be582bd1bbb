"""Which rows a network learns from and which judge it: a split, or k folds.

The folds are one more mapped axis: each network of a search carries the number of its
fold, and reads its rows from a table.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import UsageError
from jaxpareto.types import Array

PIECE = 500
"""Most examples that are judged at once, so that their features fit the memory."""


class Examples(NamedTuple):
    """Data on the device, and which rows each fold learns from and is judged by.

    Attributes:
      images: [n, h, w], uint8 or float.
      targets: [n] labels, or [n, d] what is to be reconstructed.
      train: [k, t] rows, for each of k folds.
      validation: [k, pieces, v] rows, cut into pieces that are judged one by one.
      counted: [k, pieces, v] 1.0, or 0.0 for what only fills the last piece.
    """

    images: Array
    targets: Array
    train: Array
    validation: Array
    counted: Array


def split_rows(images: Any, targets: Any, train: Any, validation: Any) -> Examples:
    """Make examples of which some rows train and others validate.

    Args:
      images: [n, h, w].
      targets: [n] or [n, d].
      train: [t] rows.
      validation: [v] rows.

    Raises:
      UsageError: no row to learn from, or none to be judged by.
    """
    if not len(train) or not len(validation):
        raise UsageError(
            f"{len(train)} rows to train on and {len(validation)} to validate; each "
            "needs at least 1"
        )
    return _examples(images, targets, [train], [validation])


def fold_rows(images: Any, targets: Any, folds: int, *, seed: int = 0) -> Examples:
    """Make examples for k-fold cross-validation: each row validates exactly one fold.

    The rows are shuffled once and cut into k runs whose lengths differ by one at most.
    All folds learn from equally many rows: where the runs differ, a fold with a short
    one leaves one row out.

    Args:
      images: [n, h, w].
      targets: [n] or [n, d].
      folds: k.
      seed: of the order.

    Raises:
      UsageError: fewer than 2 folds, or more than rows.
    """
    n = len(targets)
    if not 2 <= folds <= n:
        raise UsageError(f"{folds} folds for {n} rows; give 2 to {n}")
    order = np.random.default_rng(seed).permutation(n)
    cuts = np.arange(folds + 1) * n // folds
    longest = int(np.diff(cuts).max())
    judged = [order[a:b] for a, b in pairwise(cuts)]
    train = [np.roll(order, -last)[: n - longest] for last in cuts[1:]]
    return _examples(images, targets, train, judged)


def pieces_of(images: Any, targets: Any) -> tuple[Array, Array, Array]:
    """Cut all of some examples into pieces, as `fit.judge` takes them.

    Returns:
      images [pieces, v, ...], targets [pieces, v, ...], counted [pieces, v].

    >>> [each.shape for each in pieces_of(np.ones((700, 8, 8)), np.ones(700))]
    [(2, 350, 8, 8), (2, 350), (2, 350)]
    """
    rows, counted = _pieces(np.arange(len(targets)), len(targets))
    images, targets = np.asarray(images)[rows], np.asarray(targets)[rows]
    return jnp.asarray(images), jnp.asarray(targets), jnp.asarray(counted)


def _examples(images: Any, targets: Any, train: Any, judged: Any) -> Examples:
    """Put the rows of each fold into tables of one shape."""
    longest = max(map(len, judged))
    pieces = [_pieces(np.asarray(rows), longest) for rows in judged]
    rows, counted = (np.stack(each) for each in zip(*pieces, strict=True))
    return Examples(
        jnp.asarray(images),
        jnp.asarray(targets),
        jnp.asarray(np.stack(train), jnp.int32),
        jnp.asarray(rows, jnp.int32),
        jnp.asarray(counted),
    )


def _pieces(rows: np.ndarray, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay rows out in equal pieces of `slots` places or a few more."""
    count = -(-slots // PIECE)
    size = -(-slots // count)
    filled = np.pad(rows, (0, count * size - len(rows)), mode="edge")
    counted = (np.arange(count * size) < len(rows)).astype(np.float32)
    return filled.reshape(count, size), counted.reshape(count, size)
