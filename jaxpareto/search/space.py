"""What a search varies, in words: `learning-rate=0.001,0.01 width=64,128 seed=0..4`.

A point is a dictionary with a value for every name of `HYPERPARAMETERS`. A grid is all
combinations of the listed values; a random search draws from lists and from ranges.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.errors import UsageError, check_name
from jaxpareto.train.optimizers import optimizer_names

Point = dict[str, Any]
"""One configuration: the value of each hyperparameter, by name."""


class Range(NamedTuple):
    """All numbers from `low` to `high`, both included.

    Attributes:
      low: the least.
      high: the largest.
      log: whether their logarithm is uniform.
    """

    low: float
    high: float
    log: bool


Space = dict[str, list[Any] | Range]
"""Name -> the values to choose from, or a range."""


class Hyperparameter(NamedTuple):
    """Something that a search can vary.

    Attributes:
      read: how a word becomes a value; raises `ValueError`.
      default: where a search says nothing; None is what suits the network.
      about: one line for people.
      log: whether a range of it is uniform in its logarithm.
    """

    read: Callable[[str], Any]
    default: Any
    about: str
    log: bool = False


def _number(low: float, high: float, *, open_low: bool = False) -> Callable:
    def read(word: str) -> float:
        value = float(word)
        if not (low < value if open_low else low <= value) or not value < high:
            raise ValueError(
                f"a number {'above' if open_low else 'of at least'} {low:g}"
                + (f" and below {high:g}" if high < math.inf else "")
            )
        return value

    return read


def _count(least: int) -> Callable[[str], int]:
    def read(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            value = least - 1
        if value < least:
            raise ValueError(f"a whole number of at least {least}")
        return value

    return read


def _width(word: str) -> int | tuple[int, ...]:
    """Read 64, the width of every hidden layer, or 200x50x200, one for each."""
    try:
        found = tuple(map(_count(1), word.split("x")))
    except ValueError:
        raise ValueError("widths of at least 1, as 64 or 200x50x200") from None
    (first, *others) = found
    return found if others else first


def _optimizer(word: str) -> str:
    return check_name(word, optimizer_names(), "optimizer")


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    "learning-rate": Hyperparameter(
        _number(0.0, math.inf, open_low=True), 1e-3, "of the optimiser", log=True
    ),
    "weight-decay": Hyperparameter(
        _number(0.0, math.inf), 0.0, "of the optimiser; 0 is off", log=True
    ),
    "dropout": Hyperparameter(
        _number(0.0, 1.0), 0.0, "probability of dropping an output of a hidden layer"
    ),
    "shift": Hyperparameter(
        _count(0), 0, "most pixels by which images move at every step; 0 is off"
    ),
    "warp": Hyperparameter(
        _number(0.0, 1.0),
        0.0,
        "how much images are turned, stretched and moved at every step; 0 is off",
    ),
    "seed": Hyperparameter(
        _count(0), 0, "decides first weights, order of examples, dropout, moves"
    ),
    "width": Hyperparameter(
        _width, None, "of the hidden layers: 64 for all, or 200x50x200"
    ),
    "depth": Hyperparameter(_count(0), None, "hidden layers of that width"),
    "batch-size": Hyperparameter(_count(1), 32, "examples of a step"),
    "optimizer": Hyperparameter(_optimizer, "adam", "any of Optax, as adam or sgd"),
}
"""Name -> what a search can vary. The last three compile a program for each value."""


def parse(words: Sequence[str], *, ranges: bool = False) -> Space:
    """Read a space from words `name=value,value` or `name=low..high`.

    Args:
      words: one for each hyperparameter that varies.
      ranges: whether `low..high` stays a range to draw from; else it must be of whole
        numbers, and stands for all of them.

    Raises:
      UsageError: no word, no value, an unknown name, a name given twice, or a value
        that cannot be.

    >>> parse(["width=64,128", "seed=0..2"])
    {'width': [64, 128], 'seed': [0, 1, 2]}
    >>> parse(["learning-rate=1e-5..1e-1"], ranges=True)["learning-rate"].log
    True
    """
    space: Space = {}
    for word in words:
        name, equals, values = (part.strip() for part in word.partition("="))
        check_name(name, HYPERPARAMETERS, "hyperparameter")
        if name in space:
            raise UsageError(f"{name} is given twice")
        parts = [part.strip() for part in values.split(",") if part.strip()]
        if not equals or not parts:
            raise UsageError(
                f"{name} has no values; give them as {name}=A,B or {name}=LOW..HIGH"
            )
        if ranges and len(parts) == 1 and ".." in parts[0]:
            space[name] = _range(name, parts[0])
        else:
            space[name] = list(
                dict.fromkeys(value for part in parts for value in _values(name, part))
            )
    if not space:
        raise UsageError("the grid is empty; give it as --grid learning-rate=1e-3,1e-2")
    return space


def grid(space: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Return all combinations, the last name changing fastest.

    >>> [point["seed"] for point in grid({"width": [64, 128], "seed": [0, 1]})]
    [0, 1, 0, 1]

    Raises:
      UsageError: a name has no values.
    """
    empty = [name for name, values in space.items() if not len(values)]
    if empty or not space:
        raise UsageError(f"the grid is empty: no values for {', '.join(empty) or 'it'}")
    return [
        complete(dict(zip(space, values, strict=True)))
        for values in itertools.product(*space.values())
    ]


def draw(space: Space, count: int, seed: int = 0) -> list[Point]:
    """Draw points at random, each name by itself.

    Args:
      space: lists to choose from, and ranges.
      count: how many points.
      seed: of the generator.

    >>> points = draw(parse(["learning-rate=1e-4..1e-1"], ranges=True), 3)
    >>> all(1e-4 <= point["learning-rate"] <= 1e-1 for point in points)
    True
    """
    rng = np.random.default_rng(seed)

    def one(values: Sequence[Any] | Range) -> Any:
        if not isinstance(values, Range):
            return values[int(rng.integers(len(values)))]
        if isinstance(values.low, int) and isinstance(values.high, int):
            return int(rng.integers(values.low, values.high + 1))
        if values.log:
            return float(np.exp(rng.uniform(*np.log([values.low, values.high]))))
        return float(rng.uniform(values.low, values.high))

    return [
        complete({name: one(values) for name, values in space.items()})
        for _ in range(count)
    ]


def complete(point: Mapping[str, Any]) -> Point:
    """Add the defaults of what a point does not say, in the order of the table.

    Raises:
      UsageError: an unknown name.
    """
    for name in point:
        check_name(name, HYPERPARAMETERS, "hyperparameter")
    return {
        name: point.get(name, each.default) for name, each in HYPERPARAMETERS.items()
    }


def _read(name: str, word: str) -> Any:
    try:
        return HYPERPARAMETERS[name].read(word)
    except UsageError:
        raise
    except ValueError as error:
        accepted = str(error)
        if accepted.startswith("could not convert"):
            accepted = "a number"
        raise UsageError(f"{name} must be {accepted}, found {word!r}") from None


def _values(name: str, word: str) -> list[Any]:
    """Read one value, or a run of whole numbers as 0..4."""
    low, dots, high = word.partition("..")
    if not dots:
        return [_read(name, word)]
    ends = _read(name, low), _read(name, high)
    if not all(isinstance(end, int) for end in ends):
        raise UsageError(
            f"{name}={word}: only whole numbers can be counted through; list the "
            "values, or draw them with --trials"
        )
    if ends[0] > ends[1]:
        raise UsageError(f"{name}={word}: the first is larger than the last")
    return list(range(ends[0], ends[1] + 1))


def _range(name: str, word: str) -> Range:
    low, _, high = word.partition("..")
    ends = _read(name, low), _read(name, high)
    if not all(isinstance(end, int | float) for end in ends) or ends[0] >= ends[1]:
        raise UsageError(f"{name}={word}: expected LOW..HIGH, two numbers in order")
    log = HYPERPARAMETERS[name].log
    if log and not ends[0] > 0:
        raise UsageError(f"{name}={word}: drawn by its logarithm; start above 0")
    return Range(*ends, log)
