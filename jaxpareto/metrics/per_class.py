"""What each class would choose, and how much of that is noise.

l heads, one for every weight decay, are judged by the same rows. A class has few of
them, and the best of l noisy means looks better than it is. So three numbers go with
each class's choice: a paired bootstrap says whether it differs from the shared choice,
and two estimates say what the choice gains on rows that it was not made by.

These are statistics of finished runs, in NumPy and float64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Choices(NamedTuple):
    """The choices of c classes among l heads, beside one that all of them share.

    Attributes:
      choice: [c], the head with the lowest mean loss of the class's rows.
      gain: [c], by how much that is below the shared head's, on these very rows.
      low: [c], lower end of the paired bootstrap interval of `gain`.
      high: [c], upper end.
      honest: [c], mean gain of choices made by resampled rows, on the rows left out.
      split: [c], mean gain of choices made by one half of the rows, on the other.
      agreement: [c], how often two halves choose the same head.
      optimum: [c], the place of the lowest point of the parabola through the choice
        and its two neighbours; not a number where one of them has no place.
    """

    choice: NDArray[np.intp]
    gain: Numbers
    low: Numbers
    high: Numbers
    honest: Numbers
    split: Numbers
    agreement: Numbers
    optimum: Numbers


def class_means(losses: Numbers, labels: NDArray, c: int) -> Numbers:
    """Average losses of rows [l, n] over the rows of each class, [l, c].

    A class without rows gets what is not a number.

    >>> class_means(np.array([[1.0, 3.0, 5.0]]), np.array([0, 0, 1]), 2).tolist()
    [[2.0, 5.0]]
    """
    hot = np.eye(c)[labels]
    with np.errstate(invalid="ignore"):
        return losses @ hot / hot.sum(axis=0)


def halves(labels: NDArray, seed: int) -> NDArray[np.bool_]:
    """Split rows in two at random, each class evenly; True marks the first half.

    >>> halves(np.array([0, 0, 1, 1]), seed=0).reshape(2, 2).sum(axis=1).tolist()
    [1, 1]
    """
    rng = np.random.default_rng(seed)
    mixed = rng.permutation(len(labels))
    order = mixed[np.argsort(labels[mixed], kind="stable")]  # class by class
    first = np.zeros(len(labels), bool)
    first[order[::2]] = True
    return first


def choices(
    losses: Numbers,
    labels: NDArray,
    shared: int,
    places: Numbers,
    *,
    draws: int = 1000,
    level: float = 0.99,
    seed: int = 0,
) -> Choices:
    """Let every class choose among the heads, and tell choice from noise.

    Args:
      losses: [l, n], of every row under every head, in nats.
      labels: [n]; a class of fewer than two rows makes no choice: the shared head, and
        not a number for all else.
      shared: the head that all classes would share.
      places: [l], where the heads stand, rising: logarithms of their decays.
      draws: bootstrap samples, and halvings, of each class.
      level: of the bootstrap interval.
      seed: of both.

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap", for the
    percentile interval; the rows left out are those of Breiman (1996), "Out-of-bag
    estimation".

    >>> rng = np.random.default_rng(0)
    >>> losses, labels = rng.standard_normal((5, 40)), np.repeat([0, 1], 20)
    >>> found = choices(losses, labels, shared=2, places=np.arange(5.0))
    >>> bool((found.gain >= 0).all()), bool((found.honest < found.gain).all())
    (True, True)
    """
    rng = np.random.default_rng(seed)
    each = [
        _choice(losses[:, labels == i], shared, places, draws, level, rng)
        for i in range(labels.max() + 1)
    ]
    return Choices(*(np.array(column) for column in zip(*each, strict=True)))


def _choice(
    losses: Numbers,
    shared: int,
    places: Numbers,
    draws: int,
    level: float,
    rng: np.random.Generator,
) -> tuple:
    """Do `choices` for the rows [l, n] of one class."""
    n = losses.shape[1]
    if n < 2:
        return shared, *[np.nan] * (len(Choices._fields) - 1)
    means = losses.mean(axis=1)
    choice = int(means.argmin())
    times = rng.multinomial(n, np.full(n, 1.0 / n), size=draws)  # [draws, n]
    resampled = times @ losses.T / n
    paired = resampled[:, shared] - resampled[:, choice]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(paired, [tail, 1.0 - tail])
    honest = _gain(losses, resampled.argmin(axis=1), times == 0, shared)
    first = rng.random((draws, n)).argsort(axis=1) < n // 2
    chosen = [(side @ losses.T).argmin(axis=1) for side in (first, ~first)]
    split = _gain(losses, chosen[0], ~first, shared)
    agreement = float(np.mean(chosen[0] == chosen[1]))
    gain = means[shared] - means[choice]
    lowest = _lowest(means, places, choice)
    return choice, gain, low, high, honest, split, agreement, lowest


def _gain(losses: Numbers, chosen: NDArray, judges: NDArray, shared: int) -> float:
    """Average what the chosen heads [draws] gain on the rows that judge [draws, n]."""
    some = judges.any(axis=1)
    judges, chosen = judges[some], chosen[some]
    rows = judges / judges.sum(axis=1, keepdims=True)
    judged = rows @ losses.T
    return float(np.mean(judged[:, shared] - judged[np.arange(len(chosen)), chosen]))


def _lowest(means: Numbers, places: Numbers, choice: int) -> float:
    """Fit a parabola to the lowest mean and its neighbours."""
    around = slice(choice - 1, choice + 2)
    if not 0 < choice < len(means) - 1 or not np.isfinite(places[around]).all():
        return float("nan")
    bend, slope, _ = np.polyfit(places[around] - places[choice], means[around], 2)
    return float(places[choice] - (slope / (2.0 * bend) if bend > 0 else 0.0))
