"""Train any points to their end: sorted into groups, each one compiled call."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from jaxpareto.search.group import Group, Row
from jaxpareto.search.plan import Plan, widths_of
from jaxpareto.search.space import Point
from jaxpareto.train.examples import Examples
from jaxpareto.train.members import choose_arrangement

AT_ONCE = 64
"""Most points of a group: what a kill can lose."""
ALIKE = 0.7
"""How alike networks must be to share a program where they run one after another: a
program more takes a second or two to compile, and of 150 units among 300 half idle."""


def run(
    plan: Plan,
    points: Sequence[Point],
    data: Examples,
    *,
    numbers: Sequence[int] | None = None,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    at_once: int = AT_ONCE,
    arrangement: str | None = None,
    every: int | None = None,
    watch: Callable[[Group], None] | None = None,
    keep: Callable[[Group, list[Row]], None] | None = None,
) -> list[Row]:
    """Train points to their end.

    Args:
      plan: of the search.
      points: any; those that share a program train together.
      data: with `plan.folds` folds.
      numbers: of the trials; by default counted from 0.
      test: images and targets to report on, never to choose by.
      at_once: most points of a group.
      arrangement: see `train.members`; the results do not depend on it.
      every: epochs between two looks; by default all.
      watch: called with a group whenever it has moved on.
      keep: called with a group and its rows when it is done.

    Returns:
      A row for each point and fold, by trial and fold.
    """
    numbers = range(len(points)) if numbers is None else numbers
    pause, rows = every or plan.epochs, []
    # One after another, a narrow network pays for every unit that it does not use.
    mapped = (arrangement or choose_arrangement()) == "map"
    for chosen in groups(plan, points, at_once, alike=ALIKE if mapped else 0.0):
        group = Group(
            plan,
            [points[i] for i in chosen],
            data,
            numbers=[numbers[i] for i in chosen],
            arrangement=arrangement,
        )
        for until in range(pause, plan.epochs + pause, pause):
            group.advance(min(until, plan.epochs))
            if watch is not None:
                watch(group)
            if group.done.all():
                break
        found = list(group.rows(None if test is None else group.test(*test)))
        if keep is not None:
            keep(group, found)
        rows += found
    return sorted(rows, key=lambda row: (row["trial"], row["fold"]))


def groups(
    plan: Plan, points: Sequence[Point], at_once: int, *, alike: float = 0.0
) -> list[list[int]]:
    """Say which points share a program.

    Args:
      plan: of the search.
      points: any.
      at_once: most points of a group.
      alike: how large the least network of a group must be beside the largest, by the
        products of a step; 0 lets any share a program.

    Returns:
      The numbers of the points of each group.
    """
    found: dict[Any, list[int]] = {}
    cost = [_products(plan, widths_of(plan, point)) for point in points]
    for i, point in enumerate(points):
        layers = len(widths_of(plan, point))
        noise = [point[name] > 0 for name in ("dropout", "shift", "warp")]
        key = (point["batch-size"], point["optimizer"], layers, *noise)
        found.setdefault(key, []).append(i)
    return [
        each[first : first + at_once]
        for kind in found.values()
        for each in _alike(kind, cost, alike)
        for first in range(0, len(each), at_once)
    ]


def _alike(numbers: list[int], cost: list[int], share: float) -> list[list[int]]:
    """Cut points into runs, from the largest network down."""
    runs: list[list[int]] = []
    for i in sorted(numbers, key=lambda i: -cost[i]):
        if not runs or cost[i] < share * cost[runs[-1][0]]:
            runs.append([])
        runs[-1].append(i)
    return [sorted(run) for run in runs]


def _products(plan: Plan, widths: tuple[int, ...]) -> int:
    """Count the weights of the dense layers."""
    sizes = (plan.image[0] * plan.image[1], *widths, plan.classes)
    return sum(a * b for a, b in pairwise(sizes))
