"""Draw an experiment on tasks from its `result.json`: sizes, new tasks, paths.

The file has, by contender, `multitask` (test accuracies [s, t], `parameters` and those
of the `target`), `later` (accuracies [s, t, shots] by kind, and the `shots`) and
`controls` (`path` [s, 2, points]); `names` has the names of the tasks, by kind.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpareto import style
from jaxpareto.errors import RunError, UsageError, require
from jaxpareto.train.log import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS: dict[str, dict[str, Any]] = {
    "experts": {"color": "black", "marker": "o"},
    "from scratch": {"color": "0.55", "marker": "P"},
    "chunked": {"color": "C0", "marker": "s"},
    "sparse-linear": {"color": "C3", "marker": "D"},
    "sparse-mlp": {"color": "C1", "marker": "^"},
}
"""Colour and marker of each contender: in grey some colours meet."""
OTHER: dict[str, Any] = {"color": "C2", "marker": "v"}
KINDS = ("new", "recombined")


def save_tasks(folder: str | Path) -> list[Path]:
    """Draw all figures of an experiment into its folder.

    Args:
      folder: with `result.json`, as `experiments/task_hypernets.py` leaves it.

    Returns:
      The files: `multitask.png`, `later.png` and `path.png`.

    Raises:
      UsageError: the folder holds no such file.
      RunError: it is damaged, or Matplotlib is not installed.
    """
    require("matplotlib", "plot")
    from matplotlib import rc_context

    path = Path(folder) / "result.json"
    if not path.exists():
        raise UsageError(f"{folder} holds no finished experiment (no {path})")
    figures = {"multitask": multitask, "later": later, "path": path_of_codes}
    files = []
    found = read_json(path)
    try:
        with rc_context(style.STYLE):
            drawn = {name: draw(found) for name, draw in figures.items()}
    except KeyError as error:
        raise RunError(f"{path} is damaged (no {error}); delete it") from error
    for name, figure in drawn.items():
        if figure is not None:
            files.append(style.save(figure, Path(folder) / f"{name}.png"))
    return files


def multitask(found: dict[str, Any]) -> "Figure":
    """Draw a line for each contender: a marker for each seed, a bar for the mean."""
    names = list(found["multitask"])
    figure, (axes,) = _panels(4.2, 0.7 + 0.28 * len(names), 1)
    for place, name in enumerate(reversed(names)):
        each = found["multitask"][name]
        values = 100 * np.mean(each["test"], axis=1)
        look = LOOKS.get(name, OTHER)
        axes.plot(values, [place] * len(values), lw=0, ms=4, mfc="none", **look)
        axes.plot([values.mean()], [place], "|", ms=13, color="black")
    sizes = [
        each["parameters"] / each["target"] for each in found["multitask"].values()
    ]
    labels = [f"{name} ({size:.1f})" for name, size in zip(names, sizes, strict=True)]
    axes.set_yticks(range(len(names)), labels[::-1])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("test accuracy, mean of the tasks, %")
    axes.set_title("in brackets: parameters, in those of one target", loc="left")
    axes.grid(axis="x", lw=0.3)
    return figure


def later(found: dict[str, Any]) -> "Figure | None":
    """Draw accuracy against examples, at tasks that came later; None without any."""
    kinds = [kind for kind in KINDS if found["names"][kind]]
    if not kinds or not found["later"]:
        return None
    figure, panels = _panels(0.6 + 2.8 * len(kinds), 2.6, len(kinds))
    for axes, kind in zip(panels, kinds, strict=True):
        for name, each in found["later"].items():
            values = 100 * np.mean(each[kind], axis=1)
            _band(axes, each["shots"], values, LOOKS.get(name, OTHER), name)
        axes.set_xscale("log")
        shots = next(iter(found["later"].values()))["shots"]
        axes.set_xticks(shots, [str(x) for x in shots])
        axes.minorticks_off()
        axes.set_xlabel("examples of each class")
        axes.set_title(f"{kind}: {', '.join(found['names'][kind])}")
    panels[0].set_ylabel("test accuracy, %")
    panels[-1].legend(frameon=False)
    return figure


def _band(
    axes: "Axes", x: Any, values: np.ndarray, look: dict[str, Any], label: str
) -> None:
    """Draw a mean over seeds [s, x], and a standard deviation around it."""
    mean = values.mean(axis=0)
    deviation = values.std(axis=0, ddof=1) if len(values) > 1 else 0 * mean
    around = mean - deviation, mean + deviation
    axes.fill_between(x, *around, color=look["color"], alpha=0.12, lw=0)
    axes.plot(x, mean, ms=3, lw=1, label=label, **look)


def path_of_codes(found: dict[str, Any]) -> "Figure | None":
    """Draw what becomes of two tasks between their codes; None without any path."""
    if not found["controls"]:
        return None
    names = list(found["controls"])
    first, second = found["names"]["known"][:2]
    figure, panels = _panels(0.6 + 2.0 * len(names), 2.4, len(names))
    for axes, name in zip(panels, names, strict=True):
        values = 100 * np.array(found["controls"][name]["path"])
        along = np.linspace(0, 1, values.shape[2])
        colour = LOOKS.get(name, OTHER)["color"]
        for i, (task, mark) in enumerate(((first, "-"), (second, "--"))):
            for seed in values:
                axes.plot(along, seed[i], mark, lw=0.4, color=colour, alpha=0.5)
            mean = values[:, i].mean(axis=0)
            axes.plot(along, mean, mark, lw=1.4, color=colour, label=task)
        axes.set_title(name)
        axes.set_xticks([0, 0.5, 1], [first, "between", second])
        axes.legend(frameon=False, title="asked for", title_fontsize=7.5)
    panels[0].set_ylabel("test accuracy, %")
    return figure


def _panels(width: float, height: float, count: int) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False, sharey=True)[0])
