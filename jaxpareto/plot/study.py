"""Draw a study of weight decays: a figure for each table in its folder `figures`.

Decays stand at even steps, smallest first, so that 0 has a place; the larger a decay,
the lighter its colour.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpareto import style
from jaxpareto.errors import RunError, UsageError, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = dict[str, Any]
"""Columns by name: numbers as arrays, words as lists."""

ENDINGS = (".png", ".pdf")


class _Drawing(NamedTuple):
    """How a table is drawn: a title, and `draw(axes, table)`."""

    title: str
    draw: Callable[["Axes", Table], None]
    size: tuple[float, float] = (4.5, 2.8)


def save_study(
    folder: str | Path, *, series: str = "end", endings: tuple[str, ...] = ENDINGS
) -> list[Path]:
    """Draw every table of a study beside itself.

    Args:
      folder: of the study; its `figures/*.csv` are read, and nothing else.
      series: what curves show where there is a choice: the `end` of epochs, or what was
        `running` within them, as the report has it.
      endings: of the files.

    Returns:
      The files.

    Raises:
      UsageError: the folder has no tables.
      RunError: a table is damaged, or Matplotlib is not installed.
    """
    require("matplotlib", "plot")
    tables = sorted((Path(folder) / "figures").glob("fig-*.csv"))
    if not tables:
        raise UsageError(f"{folder} holds no finished study (no figures/fig-*.csv)")
    files = []
    for path in tables:
        figure = draw(path.stem.removeprefix("fig-"), read(path), series=series)
        files += [style.save(figure, path.with_suffix(end)) for end in endings]
    return files


def draw(name: str, table: Table, *, series: str = "end") -> "Figure":
    """Draw one table of a study.

    Args:
      name: of the figure, as `4.1a`.
      table: its columns.
      series: as for `save_study`.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawing = _DRAWINGS[name.removesuffix("-exact")]
    if series in table:
        table = table | {"end": table[series]}
    with rc_context(style.STYLE):
        figure = Figure(figsize=drawing.size, layout="constrained")
        axes = figure.add_subplot()
        exact = ", exact heads" if name.endswith("-exact") else ""
        axes.set_title(drawing.title + exact)
        drawing.draw(axes, table)
    return figure


def read(path: Path) -> Table:
    """Read a table: numbers where all cells are numbers, else words.

    Raises:
      RunError: it has no rows, or rows of different lengths.
    """
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    if len(rows) < 2 or len({len(row) for row in rows}) != 1:
        raise RunError(f"{path} is damaged; continue the study to write it anew")
    return {name: _column(cells) for name, *cells in zip(*rows, strict=True)}


def _column(cells: list[str]) -> Any:
    try:
        return np.array(cells, float)
    except ValueError:
        return cells


def _spelled(decay: float) -> str:
    """Spell a decay: 0, 1e-4, 3e-4."""
    return "0" if decay == 0 else f"{decay:.0e}".replace("e-0", "e-")


def _places(decays: NDArray) -> tuple[NDArray, NDArray, list[Any]]:
    """Return the different decays, where each row's decay stands, and their colours."""
    known, place = np.unique(decays, return_inverse=True)
    scale = style.colours(0, max(len(known) - 1, 1))
    return known, place, [scale.to_rgba(np.array(i)) for i in range(len(known))]


def _decay_axis(axes: "Axes", known: NDArray) -> None:
    axes.set_xticks(range(len(known)), [_spelled(x) for x in known], rotation=45)
    axes.set_xlabel("weight decay")


def _curves(unit: str, *, log: bool = False) -> Callable[["Axes", Table], None]:
    """Draw a curve over the epochs for every decay."""

    def draw(axes: "Axes", table: Table) -> None:
        known, place, shades = _places(table["decay"])
        for i, decay in enumerate(known):
            rows = place == i
            axes.plot(
                table["epoch"][rows],
                table["end"][rows],
                color=shades[i],
                linewidth=0.9,
                linestyle="--" if decay == 0 else "-",
                label=_spelled(decay),
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        if log and table["end"].min() > 0 and np.ptp(np.log10(table["end"])) > 1:
            axes.set_yscale("log")
        axes.figure.legend(  # pyright: ignore
            title="weight decay", loc="outside right center", frameon=False
        )

    return draw


def _bars(axes: "Axes", table: Table) -> None:
    """Draw how many classes choose each decay, and how many of them surely."""
    known, place, shades = _places(table["decay"])
    axes.bar(place, table["classes"], color=shades, label="lowest mean loss")
    if "sure" in table:
        axes.bar(
            place,
            table["sure"],
            color="none",
            edgecolor="black",
            hatch="////",
            linewidth=0.6,
            label="of these, unlike the shared choice at 99 %",
        )
        axes.legend(frameon=False)
    axes.margins(y=0.3)  # room for the legend
    _decay_axis(axes, known)
    axes.set_ylabel("classes")


def _classes(axes: "Axes", table: Table) -> None:
    """Draw a curve for every class, their mean and spread, and the mean by choice."""
    known, _, shades = _places(table["decay"])
    l = len(known)
    losses = table["loss"].reshape(l, -1)
    choice = np.searchsorted(known, table["choice"].reshape(l, -1)[0])
    places = np.arange(l)
    for i in range(losses.shape[1]):
        axes.plot(
            places, losses[:, i], color=shades[choice[i]], linewidth=0.4, alpha=0.5
        )
    for i in np.unique(choice):
        mean = losses[:, choice == i].mean(axis=1)
        axes.plot(places, mean, ":", color=shades[i], linewidth=1.6)
    mean, spread = losses.mean(axis=1), losses.std(axis=1)
    axes.plot(places, mean, color="black", linewidth=1.4, label="mean of the classes")
    axes.fill_between(
        places,
        mean - spread,
        mean + spread,
        color="0.5",
        alpha=0.2,
        linewidth=0,
        label="standard deviation",
    )
    axes.plot([], [], ":", color="0.3", linewidth=1.6, label="mean by choice")
    axes.set_ylim(0, 1.05 * losses.max())
    axes.legend(frameon=False)
    _decay_axis(axes, known)
    axes.set_ylabel("cross-entropy (nats)")


def _three(axes: "Axes", table: Table) -> None:
    """Draw a few classes, on training and on test rows."""
    known, _, _ = _places(table["decay"])
    l, places = len(known), np.arange(len(known))
    count = len(table["decay"]) // l
    scale = style.colours(0, max(count - 1, 1))
    for i in range(count):
        rows = slice(i * l, (i + 1) * l)
        shade, marker = scale.to_rgba(np.array(i)), "o^s"[i % 3]
        test, train = table["test"][rows], table["train"][rows]
        label = f"class {table['name'][i * l]}"
        axes.plot(places, test, color=shade, linewidth=1.2, label=label)
        axes.plot(places, train, "--", color=shade, linewidth=0.8)
        axes.plot(test.argmin(), test.min(), marker, color=shade, markersize=5)
        axes.plot(train.argmin(), train.min(), marker, color=shade, markersize=3)
    axes.plot([], [], "--", color="0.4", linewidth=0.8, label="training rows")
    axes.legend(frameon=False)
    _decay_axis(axes, known)
    axes.set_ylabel("cross-entropy (nats)")


def _gains(axes: "Axes", table: Table) -> None:
    """Draw what each class's choice gains, with its interval, and honestly."""
    order = np.argsort(table["gain"])
    gain, places = table["gain"][order], np.arange(len(order))
    below, above = gain - table["low"][order], table["high"][order] - gain
    axes.errorbar(
        places,
        gain,
        yerr=np.maximum([below, above], 0.0),
        fmt="o",
        markersize=2.5,
        linewidth=0.6,
        color=style.colours().to_rgba(np.array(0.3)),
        label="on the rows that chose, 99 % interval",
    )
    axes.plot(
        places,
        table["gain_other_half"][order],
        "x",
        markersize=3,
        color="black",
        label="chosen by one half, on the other",
    )
    axes.axhline(0.0, color="0.5", linewidth=0.6)
    axes.legend(frameon=False, loc="upper left")  # where gains are small
    axes.set_xlabel("classes, by what they seem to gain")
    axes.set_ylabel("below the shared choice (nats)")


def _methods(axes: "Axes", table: Table) -> None:
    """Draw losses of trained and of solved heads over the decays."""
    known, place, _ = _places(table["decay"])
    methods = np.array(table["method"])
    for name, line, marker in (("trained", "--", "o"), ("exact", "-", "s")):
        rows = methods == name
        for split, level in (("train", 0.75), ("test", 0.2)):
            if rows.any():
                axes.plot(
                    place[rows],
                    table[split][rows],
                    line + marker,
                    color=style.colours().to_rgba(np.array(level)),
                    markersize=3,
                    linewidth=1.0,
                    label=f"{name}, {split} rows",
                )
    if np.all(table["train"] > 0):
        axes.set_yscale("log")
    axes.legend(frameon=False)
    _decay_axis(axes, known)
    axes.set_ylabel("cross-entropy (nats)")


def _confusion(axes: "Axes", table: Table) -> None:
    """Draw what share of each class's rows is given which answer."""
    labels = np.unique(table["true"]).astype(int)
    counts = table["rows"].reshape(len(labels), -1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    edges = (labels[0] - 0.5, labels[-1] + 0.5)
    image = axes.imshow(
        np.sqrt(shares),  # so that one row in a hundred can be seen
        cmap=style.colours().get_cmap(),
        vmin=0,
        vmax=1,
        extent=(*edges, *edges[::-1]),
        interpolation="nearest",
    )
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8)
    ticks = np.array([0, 0.01, 0.1, 0.3, 0.6, 1.0])
    bar.set_ticks(np.sqrt(ticks).tolist(), labels=[f"{100 * x:g}" for x in ticks])
    bar.set_label("% of the class's rows")
    axes.set_xlabel("answered")
    axes.set_ylabel("class")


_DRAWINGS: dict[str, _Drawing] = {
    "2.5": _Drawing("Three classes that want different decays", _three),
    "4.1a": _Drawing("Training accuracy", _curves("%")),
    "4.1b": _Drawing("Training cross-entropy", _curves("nats", log=True)),
    "4.1c": _Drawing("Training objective", _curves("nats", log=True)),
    "4.2a": _Drawing("Test accuracy", _curves("%")),
    "4.2b": _Drawing("Test cross-entropy", _curves("nats", log=True)),
    "4.3": _Drawing("Sum of absolute weights and biases", _curves("sum", log=True)),
    "5.1a": _Drawing("Decay with a class's lowest loss, training rows", _bars),
    "5.1b": _Drawing("Classes' losses on training rows", _classes),
    "5.2a": _Drawing("Decay with a class's lowest loss, test rows", _bars),
    "5.2b": _Drawing("Classes' losses on test rows", _classes),
    "5.3a": _Drawing("Confusion on test rows", _confusion, (4.2, 3.6)),
    "5.3b": _Drawing("Confusion on test rows", _confusion, (4.2, 3.6)),
    "classes": _Drawing("What a decay of its own would gain a class", _gains),
    "exact": _Drawing("Heads that were trained, and solved", _methods),
}
