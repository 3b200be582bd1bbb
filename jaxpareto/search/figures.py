"""Figures of a search: curves, correlations, parallel coordinates, one against one.

Needs Matplotlib, which is imported on the first call. Figures are made without pyplot:
no window, no global state, no backend to choose.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpareto import style
from jaxpareto.errors import require
from jaxpareto.search.group import FINISHED, Row
from jaxpareto.search.table import MEASURES, correlations, numeric, scaled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.styled
def correlation_figure(rows: Sequence[Row]) -> "Figure":
    """Draw the correlation matrix of what varied and what was measured."""
    names, matrix = correlations(rows)
    figure = _figure(1.8 + 0.5 * len(names), 1.2 + 0.5 * len(names))
    axes = figure.subplots()
    if not names:
        axes.set_title("nothing varies")
        return figure
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=60, ha="right")
    axes.set_yticks(places, names)
    for i in places:
        for j in places:
            if np.isfinite(value := matrix[i, j]):
                dark = "white" if abs(value) > 0.6 else "black"
                text = f"{value:.2f}"
                axes.text(j, i, text, ha="center", va="center", color=dark, size=7)
    figure.colorbar(image, ax=axes, label="correlation", shrink=0.8)
    return figure


@style.styled
def parallel_figure(rows: Sequence[Row], measure: str = "validation_loss") -> "Figure":
    """Draw each finished trial as a line through its numbers, coloured by a measure.

    Args:
      rows: of a search; those of failed and pruned trials are left out.
      measure: the last axis, and the colour; bright is good.
    """
    rows = [row for row in rows if row["status"] == FINISHED]
    given = [name for name in numeric(rows) if name not in MEASURES]
    names = [*given, measure]
    columns = [scaled(rows, name) for name in names]
    figure = _figure(1.5 + 1.3 * len(names), 3.2)
    axes = figure.subplots()
    values = np.stack([column for column, _ in columns], axis=1)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        axes.set_title("no trial has finished")
        return figure
    low, high = values.min(axis=0), values.max(axis=0)
    heights = (values - low) / np.where(high > low, high - low, 1.0)
    scale = style.colours()
    shade = heights[:, -1] if "accuracy" in measure else 1.0 - heights[:, -1]
    for line, good in sorted(zip(heights, shade, strict=True), key=lambda x: x[1]):
        axes.plot(line, color=scale.to_rgba(good), linewidth=0.8, alpha=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    for place in range(len(names)):
        axes.axvline(place, color="0.6", linewidth=0.6)
        for height, end in ((-0.05, low[place]), (1.02, high[place])):
            told = 10**end if columns[place][1] else end
            axes.text(place, height, f"{told:.4g}", ha="center", size=7)
    axes.set_ylim(-0.1, 1.1)
    return figure


@style.styled
def effect_figure(
    rows: Sequence[Row], name: str, measures: Sequence[str] = ("accuracy", "seconds")
) -> "Figure":
    """Draw measures against one hyperparameter: each trial, and the means."""
    rows = [row for row in rows if row["status"] == FINISHED]
    figure = _figure(3.2 * len(measures), 2.8)
    x, logged = scaled(rows, name)
    x = 10**x if logged else x
    for axes, measure in zip(
        figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True
    ):
        y = np.array([float(row[measure]) for row in rows])
        axes.scatter(x, y, s=8, color="0.6")
        at = np.unique(x)
        axes.plot(at, [y[x == each].mean() for each in at], "o-", color="C0", ms=4)
        axes.set_xlabel(name)
        axes.set_ylabel(measure)
        if logged:
            axes.set_xscale("log")
    return figure


@style.styled
def curves_figure(
    curves: Mapping[str, np.ndarray],
    *,
    title: str = "",
    measure: str = "loss",
    log: bool = True,
) -> "Figure":
    """Draw losses of training (dashed) and validation (solid) against epochs.

    Args:
      curves: label -> [..., epochs, 3], as `Group.history`; other axes are averaged,
        with their standard deviation as a band.
      title: above the figure.
      measure: `"loss"` or `"accuracy"`.
      log: whether the vertical axis is logarithmic.
    """
    figure = _figure(4.6, 3.2)
    axes = figure.subplots()
    columns = {"loss": ((0, "--"), (1, "-")), "accuracy": ((2, "-"),)}[measure]
    for number, (label, history) in enumerate(curves.items()):
        lines = history.reshape(-1, *history.shape[-2:])
        for column, dashes in columns:
            known = np.isfinite(lines[..., column]).all(axis=0)
            y = lines[:, known, column]
            epochs = np.flatnonzero(known) + 1
            colour = style.COLOURS[number % len(style.COLOURS)]
            more: dict[str, Any] = {}
            if dashes == "-":
                marker = style.MARKERS[number % len(style.MARKERS)]
                every = (number, max(1, len(epochs) // 6))
                more = {"marker": marker, "ms": 3, "markevery": every, "label": label}
            axes.plot(epochs, y.mean(axis=0), dashes, color=colour, lw=1, **more)
            if len(y) > 1 and dashes == "-":
                spread = y.std(axis=0)
                low, high = y.mean(axis=0) - spread, y.mean(axis=0) + spread
                axes.fill_between(epochs, low, high, color=colour, alpha=0.2, lw=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel(measure)
    axes.set_title(title)
    if log and measure == "loss":
        axes.set_yscale("log")
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "fontsize": "small"}
    axes.legend(frameon=False, **(beside if len(curves) > 5 else {}))
    return figure


def _figure(width: float, height: float) -> "Figure":
    require("matplotlib", "plot")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
