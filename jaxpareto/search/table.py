"""The tidy table of a search: one row for each trial and fold, in memory and as CSV."""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxpareto.errors import RunError, UsageError
from jaxpareto.search.group import FAILED, FINISHED, PRUNED, Row
from jaxpareto.search.space import HYPERPARAMETERS

MEASURES = (
    "train_loss",
    "validation_loss",
    "accuracy",
    "test_loss",
    "test_accuracy",
    "epochs",
    "seconds",
)
"""Columns that were measured; the others were given."""


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a table whole or not at all; what a row does not have is left empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    partial = path.with_name(path.name + ".tmp")
    with open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def read_csv(path: Path) -> list[Row]:
    """Read what `write_csv` wrote: numbers as numbers, words as words, empty as None.

    Raises:
      RunError: the file cannot be read.
    """
    try:
        with open(path, newline="") as file:
            return [
                {name: _value(word) for name, word in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, csv.Error) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def average(rows: Iterable[Row], over: Sequence[str] = ("fold",)) -> list[Row]:
    """Average what was measured over folds, or seeds, or whatever `over` names.

    Args:
      rows: of a search; those that failed or were pruned are averaged like others, and
        the status is the worst of the group.
      over: columns to average over; `trial` goes with `seed`.

    Returns:
      A row for each combination of the columns that are left, with the mean of each
      measure, its standard deviation as `NAME_std`, and `count`.
    """
    gone = {*over, *(("trial",) if "seed" in over else ()), "best_epoch"}
    found: dict[tuple, list[Row]] = {}
    for row in rows:
        left = {*MEASURES, "status"} | gone
        key = tuple((name, row[name]) for name in row if name not in left)
        found.setdefault(key, []).append(row)
    return [_mean(dict(key), each) for key, each in found.items()]


def best(rows: Sequence[Row], measure: str = "validation_loss") -> Row:
    """Return the finished row with the lowest measure, or the highest accuracy.

    Raises:
      RunError: none has finished.
    """
    done = [
        row for row in rows if row["status"] == FINISHED and math.isfinite(row[measure])
    ]
    if not done:
        raise RunError("no trial has finished; try smaller learning rates")
    sign = -1.0 if "accuracy" in measure else 1.0
    return min(done, key=lambda row: sign * row[measure])


def lines(rows: Sequence[Row], count: int = 5) -> list[str]:
    """Say what the best trials were, in lines of text: means over their folds."""
    done = [row for row in average(rows) if row["status"] == FINISHED]
    order = sorted(done, key=lambda row: row["validation_loss"])[:count]
    said = []
    for row in order:
        given = [
            f"{name}={_short(row[name])}"
            for name in HYPERPARAMETERS
            if row.get(name) is not None
        ]
        measured = [
            f"{name} {row[name]:.4f}" for name in MEASURES[1:5] if _told(row, name)
        ]
        said.append(f"{', '.join(measured)}: {' '.join(given)}")
    return said


def correlations(
    rows: Sequence[Row], columns: Sequence[str] | None = None
) -> tuple[list[str], np.ndarray]:
    """Correlate the columns of numbers (Pearson), rates and decays by their logarithm.

    Args:
      rows: of a search; those that did not finish are left out.
      columns: names; by default those of numbers that are not all the same.

    Returns:
      The names, and the correlations [columns, columns]; NaN where a column is constant
      or fewer than two rows have finished.

    Raises:
      UsageError: a column that is not there.

    >>> rows = [{"status": "finished", "width": w, "accuracy": -w} for w in (1, 2, 4)]
    >>> names, matrix = correlations(rows)
    >>> names, matrix.round(3).tolist()
    (['width', 'accuracy'], [[1.0, -1.0], [-1.0, 1.0]])
    """
    rows = [row for row in rows if row["status"] == FINISHED]
    names = numeric(rows) if columns is None else list(columns)
    for name in names:
        if any(name not in row for row in rows):
            raise UsageError(f"the table has no column {name!r}")
    if len(rows) < 2:
        return names, np.full((len(names), len(names)), np.nan)
    values = np.stack([scaled(rows, name)[0] for name in names], axis=1)
    centred = values - values.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return names, (centred.T @ centred) / np.outer(norms, norms)


def numeric(rows: Sequence[Row]) -> list[str]:
    """Name the columns of finite numbers that are not all the same."""
    if not rows:
        return []
    hidden = {"trial", "fold", "best_epoch"}

    def varies(name: str) -> bool:
        values = [_number(row.get(name)) for row in rows]
        return all(map(math.isfinite, values)) and len(set(values)) > 1

    return [name for name in rows[0] if name not in hidden and varies(name)]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told(row: Row, name: str) -> bool:
    return name in row and math.isfinite(row[name])


def scaled(rows: Sequence[Row], name: str) -> tuple[np.ndarray, bool]:
    """Return a column as numbers, and whether they are logarithms to the base of 10.

    They are for what is searched by its logarithm, unless it is zero somewhere.
    """
    values = np.array([_number(row[name]) for row in rows])
    known = HYPERPARAMETERS.get(name)
    logged = known is not None and known.log and bool(np.all(values > 0))
    return (np.log10(values) if logged else values), logged


def _number(value: Any) -> float:
    """Read a number; a width of several layers has none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _mean(row: Row, each: Sequence[Row]) -> Row:
    ranks = (FINISHED, PRUNED, FAILED)
    worst = max((one["status"] for one in each), key=ranks.index)
    row |= {"status": worst, "count": len(each)}
    for name in MEASURES:
        if name in each[0]:
            values = np.array([one[name] for one in each], float)
            row[name] = float(values.mean())
            row[f"{name}_std"] = float(values.std(ddof=1)) if len(each) > 1 else 0.0
    return row


def _value(word: str | None) -> Any:
    if not word:
        return None
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word
