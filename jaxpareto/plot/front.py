"""Draw fronts for a paper: the plane of losses beside the plane of accuracies.

A front is a mapping with the keys of `front.json`: "preferences" and "losses" (both
[k][m]) and "accuracies" ([k][m] or None) are drawn; "hypervolume", "reference",
"split", "tasks" (m names), "units" (m, of losses that are no cross-entropy, "" for a
number without one) and "independent" (preferences, losses and accuracies of
networks trained one by one) are used where present. Nothing else is read, no
checkpoint and no data set, so a figure can be redrawn anywhere and at any time.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jax import jit
from numpy.typing import NDArray

from jaxpareto import style
from jaxpareto.errors import UsageError, require
from jaxpareto.metrics import nondominated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Front = Mapping[str, Any]
"""A front with the keys of `front.json`."""

_MARKERS = "o^DvPX"  # one per front
_LINES = ("-", "--", ":", "-.")


class _Cloud(NamedTuple):
    """What was measured of k networks: values [k, m], and which of them is beaten."""

    values: NDArray[np.float64]
    beaten: NDArray[np.bool_]


class _Networks(NamedTuple):
    """Networks to draw: preferences [k, m], losses in nats, accuracies in percent."""

    prefs: NDArray[np.float64]
    losses: _Cloud
    accuracies: _Cloud | None


def front_figure(
    fronts: Front | Sequence[Front], *, labels: Sequence[str] | None = None
) -> "Figure":
    """Draw one front, or several on the same axes.

    One panel per pair of tasks: losses (nats, minimised: lower left is better), and
    accuracies where every task has some (%, maximised: upper right is better). Points
    are coloured by their preference for the first task and, for two tasks, joined in
    its order. A small hollow dot is dominated: another point of its front is as good on
    each task and better on one, by the measure of that panel. Open squares are
    independent networks, on the same colour scale. What is not finite is left out.

    Args:
      fronts: one front or several, with the same m: "preferences" [k][m] on the
        simplex, "losses" [k][m] in nats, "accuracies" [k][m] as fractions of one, or
        None. Names of tasks and split are those of the first.
      labels: what the legend calls the fronts, one per front.

    Returns:
      The figure, for print at its own size (7 inches, two columns, when m = 2).

    Raises:
      UsageError: no front; a key is absent; shapes or numbers of labels do not match.
      RunError: Matplotlib is not installed.

    >>> front = {"preferences": [[0, 1], [1, 0]], "losses": [[2, 1], [1, 2]]}
    >>> len(front_figure(front).axes)  # the plane of losses and the colour bar
    2
    """
    fronts = [fronts] if isinstance(fronts, Mapping) else fronts
    if not isinstance(fronts, Sequence) or not all(
        isinstance(each, Mapping) for each in fronts
    ):
        raise UsageError(
            f"expected what evaluate returned, or several such, found {fronts!r:.60}; "
            "draw front.evaluate(...)"
        )
    if labels is not None and len(labels) != len(fronts):
        raise UsageError(f"found {len(labels)} labels for {len(fronts)} fronts")
    family = [_networks(front) for front in fronts]
    alone = [_networks(f["independent"]) for f in fronts if f.get("independent")]
    widths = {each.prefs.shape[1] for each in family + alone}
    if len(widths) != 1 or min(widths) < 2:
        raise UsageError(
            "expected one or more fronts with the same number of tasks, 2 or more; "
            f"found {len(fronts)} fronts with numbers of tasks {sorted(widths)}"
        )
    m = widths.pop()
    tasks = fronts[0].get("tasks") or [f"task {i + 1}" for i in range(m)]
    if len(tasks) != m:
        raise UsageError(f"found {len(tasks)} task names for {m} tasks")
    split = fronts[0].get("split") or ""
    units = fronts[0].get("units")
    if units is not None and len(units) != m:
        raise UsageError(f"found {len(units)} units for {m} tasks")
    measures = [("loss", units) if units else ("cross-entropy", ["nats"] * m)]
    if any(each.accuracies is not None for each in family):
        measures.append(("accuracy", ["%"] * m))

    require("matplotlib", "plot")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    pairs = list(combinations(range(m), 2))
    across, down = (len(measures), 1) if m == 2 else (len(pairs), len(measures))
    with rc_context(style.STYLE):
        marks = _legend_marks(fronts, family, alone, labels or _default_labels(family))
        columns = len(marks) if len(marks) <= 3 and len(fronts) == 1 < across else 1
        width = 1.0 + (3.0 if m == 2 else 2.2) * across
        height = 0.3 + 2.3 * down + 0.15 * len(marks) / columns
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False)
        colours = style.colours()
        for place, axes in enumerate(panels.flat):
            row, (i, j) = place // len(pairs), pairs[place % len(pairs)]
            measure, unit = measures[row]
            axes.set_title(f"{split} {measure}".lstrip())
            axes.set_xlabel(_label(tasks[i], unit[i]))
            axes.set_ylabel(_label(tasks[j], unit[j]))
            axes.locator_params(nbins=6)
            for number, each in enumerate(family):
                if cloud := (each.losses, each.accuracies)[row]:
                    _draw_front(axes, cloud, (i, j), each.prefs, number, colours)
            for each in alone:
                if cloud := (each.losses, each.accuracies)[row]:
                    _draw_alone(axes, cloud, (i, j), each.prefs, colours)
        bar = figure.colorbar(colours, ax=panels, aspect=30, pad=0.02)
        bar.set_label(f"preference for {tasks[0]}")
        bar.outline.set_visible(False)  # pyright: ignore
        figure.legend(
            handles=marks,
            loc="outside upper center",
            ncols=columns,
            frameon=False,
            handletextpad=0.5,
            columnspacing=1.5,
        )
    return figure


def save_front(
    fronts: Front | Sequence[Front],
    path: str | os.PathLike[str],
    *,
    independent: Front | None = None,
    labels: Sequence[str] | None = None,
) -> Path:
    """Draw a front, or several, into a file, whole or not at all.

    The file is written beside its place and moved there, so that a reader never sees
    half of it. The same front makes the same file.

    Args:
      fronts: as for `front_figure`.
      path: where to; ends in .png (300 dots per inch), .pdf or .svg.
      independent: networks trained one by one, in place of front["independent"]; for a
        single front.
      labels: one for each of several fronts.

    Returns:
      The path.

    Raises:
      UsageError: another ending, independent networks beside several fronts, or as for
        `front_figure`.
      RunError: the file cannot be written, or Matplotlib is not installed.

    >>> from tempfile import TemporaryDirectory
    >>> front = {"preferences": [[0, 1], [1, 0]], "losses": [[2, 1], [1, 2]]}
    >>> with TemporaryDirectory() as folder:
    ...     save_front(front, Path(folder) / "front.svg").name
    'front.svg'
    """
    if independent is not None:
        if not isinstance(fronts, Mapping):
            raise UsageError("independent networks go with a single front; got several")
        fronts = {**fronts, "independent": independent}
    style.check_ending(path)
    return style.save(front_figure(fronts, labels=labels), path)


def _label(task: str, unit: str) -> str:
    return f"{task} ({unit})" if unit else task


def _networks(front: Front) -> _Networks:
    """Read what is drawn of a front."""
    for name in ("preferences", "losses"):
        if front.get(name) is None:
            found = ", ".join(front) or "none"
            raise UsageError(f"this front has no {name!r}; its keys: {found}")
    prefs, losses = _matrix(front, "preferences"), _matrix(front, "losses")
    accuracies = None
    if front.get("accuracies") is not None:
        accuracies = 100 * _matrix(front, "accuracies")
    for name, values in (("losses", losses), ("accuracies", accuracies)):
        if values is not None and values.shape != prefs.shape:
            raise UsageError(
                f"preferences have shape {prefs.shape}, and {name} {values.shape}"
            )
    if accuracies is not None and np.isnan(accuracies).all(axis=0).any():
        accuracies = None  # of a task that has none: there is no plane to draw
    return _Networks(
        prefs,
        _Cloud(losses, _beaten(losses)),
        None if accuracies is None else _Cloud(accuracies, _beaten(-accuracies)),
    )


def _matrix(front: Front, name: str) -> NDArray[np.float64]:
    """Return front[name] as [k, m] with k >= 1; what is not finite becomes NaN."""
    try:
        values = np.array(front[name], dtype=np.float64)  # JSON's null becomes NaN
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} must be k rows of m numbers") from error
    if values.ndim != 2 or values.size == 0:
        raise UsageError(f"{name} must be [k][m]; found shape {values.shape}")
    values[~np.isfinite(values)] = np.nan
    return values


def _beaten(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which finite rows [k] of values [k, m], minimised, another row dominates."""
    return ~np.asarray(jit(nondominated)(values)) & np.all(np.isfinite(values), axis=1)


def _marker_area(k: int) -> float:
    """Return the area in square points of one of k markers: crowds get small ones."""
    return float(np.clip(600 / k, 5, 20))


def _draw_front(
    axes: "Axes",
    cloud: _Cloud,
    plane: tuple[int, int],
    prefs: NDArray[np.float64],
    number: int,
    colours: "ScalarMappable",
) -> None:
    """Draw one front into the plane of two tasks."""
    points, beaten = cloud.values[:, plane], cloud.beaten
    area, shades = _marker_area(len(points)), colours.to_rgba(prefs[:, 0])
    if prefs.shape[1] == 2:  # with more tasks a front is a surface, which no line joins
        path = points[np.argsort(prefs[:, 0], kind="stable")]
        style = _LINES[number % len(_LINES)]
        axes.plot(*path.T, linestyle=style, color="0.7", linewidth=0.7, zorder=1)
    axes.scatter(
        *points[beaten].T,
        s=0.6 * area,
        marker=_MARKERS[number % len(_MARKERS)],
        facecolors="white",
        edgecolors=shades[beaten].tolist(),
        linewidths=0.5,
        zorder=2,
    )
    axes.scatter(
        *points[~beaten].T,
        s=area,
        marker=_MARKERS[number % len(_MARKERS)],
        facecolors=shades[~beaten],
        edgecolors="0.2" if len(points) <= 60 else "none",
        linewidths=0.3,
        zorder=3,
    )


def _draw_alone(
    axes: "Axes",
    cloud: _Cloud,
    plane: tuple[int, int],
    prefs: NDArray[np.float64],
    colours: "ScalarMappable",
) -> None:
    """Draw independent networks into the plane of two tasks."""
    axes.scatter(
        *cloud.values[:, plane].T,
        s=1.8 * max(_marker_area(len(prefs)), 12),
        marker="s",
        facecolors="none",
        edgecolors=colours.to_rgba(prefs[:, 0]).tolist(),
        linewidths=1.2,
        zorder=4,
    )


def _default_labels(family: Sequence[_Networks]) -> list[str]:
    """Name fronts that have no names."""
    if len(family) > 1:
        return [f"front {number + 1}" for number in range(len(family))]
    k = len(family[0].prefs)
    return [f"front of {k} preference{'s' if k > 1 else ''}"]


def _legend_marks(
    fronts: Sequence[Front],
    family: Sequence[_Networks],
    alone: Sequence[_Networks],
    labels: Sequence[str],
) -> "list[Line2D]":
    """Return what the legend explains: the fronts, with hypervolumes, and the marks."""
    from matplotlib.lines import Line2D

    joined = family[0].prefs.shape[1] == 2
    marks = []
    for number, (front, label) in enumerate(zip(fronts, labels, strict=True)):
        volume = front.get("hypervolume")
        if volume is not None and np.isfinite(volume):
            label = f"{label}, hypervolume {volume:#.4g}"
            if front.get("reference") is not None:
                corner = ", ".join(f"{entry:g}" for entry in front["reference"])
                label = f"{label} (reference {corner})"
        style = {
            "marker": _MARKERS[number % len(_MARKERS)],
            "markersize": 4.5,
            "markerfacecolor": "0.45",
            "markeredgecolor": "0.2",
            "markeredgewidth": 0.3,
            "color": "0.7",
            "linewidth": 0.7,
            "linestyle": _LINES[number % len(_LINES)] if joined else "none",
        }
        marks.append(Line2D([], [], label=label, **style))
    clouds = [cloud for each in family for cloud in (each.losses, each.accuracies)]
    if any(np.any(cloud.beaten) for cloud in clouds if cloud):
        style = {"markersize": 3, "markerfacecolor": "white", "markeredgecolor": "0.45"}
        style |= {"marker": "o", "markeredgewidth": 0.5, "linestyle": "none"}
        marks.append(Line2D([], [], label="dominated", **style))
    if alone:
        count = sum(len(each.prefs) for each in alone)
        style = {"markersize": 5, "markerfacecolor": "none", "markeredgecolor": "0.45"}
        style |= {"marker": "s", "markeredgewidth": 1.2, "linestyle": "none"}
        label = f"{count} independent network{'s' if count > 1 else ''}"
        marks.append(Line2D([], [], label=label, **style))
    return marks
