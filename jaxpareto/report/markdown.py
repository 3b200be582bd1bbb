"""Tables in Markdown, and means with their deviations: what experiments print."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def markdown(heads: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Lay a table out in Markdown.

    Args:
      heads: of the columns.
      rows: a cell for each column; what is no text is spelled by `str`.

    >>> print(markdown(["rule", "gap"], [["linear", 0.5]]))
    | rule | gap |
    | --- | --- |
    | linear | 0.5 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def mean_std(values: Any) -> tuple[float, float]:
    """Return the mean of [s] and its sample deviation, 0 where there is one number.

    >>> mean_std([1.0, 3.0]), mean_std([2.0])
    ((2.0, 1.4142135623730951), (2.0, 0.0))
    """
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def plus_minus(mean: float, std: float, digits: int, *, scale: float = 1.0) -> str:
    """Spell a mean with its deviation.

    >>> plus_minus(0.98954, 0.00077, 2, scale=100)
    '98.95 ± 0.08'
    """
    return f"{scale * mean:.{digits}f} ± {scale * std:.{digits}f}"
