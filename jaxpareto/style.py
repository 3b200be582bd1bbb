"""How all figures look, and how they get into files."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from jaxpareto.errors import RunError, UsageError, require

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

_DATES = {".png": None, ".pdf": "CreationDate", ".svg": "Date"}  # also: what we write

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")
"""Colours of things without an order, `"C0"` and so on: those of Okabe and Ito (2008)
that show on white. In grey some of them meet, so a marker goes with each."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One for each of `COLOURS`."""

STYLE: Any = {
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType; many publishers refuse the default, Type 3
    "svg.hashsalt": "jaxpareto",  # the same front makes the same file
}
"""Settings of Matplotlib for a column of print: small type, thin lines, two spines."""


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw in this style; Matplotlib is imported when it is called.

    Raises:
      RunError: from the call, if Matplotlib is not installed.
    """

    @wraps(draw)
    def drawing(*args: P.args, **options: P.kwargs) -> T:
        with require("matplotlib", "plot").rc_context(STYLE):
            return draw(*args, **options)

    return drawing


def colours(lowest: float = 0.0, highest: float = 1.0) -> "ScalarMappable":
    """Return a colour scale: ordered in grey too, and visible on white."""
    import matplotlib
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    viridis = matplotlib.colormaps["viridis"]
    return ScalarMappable(
        Normalize(lowest, highest), ListedColormap(viridis(np.linspace(0, 0.92, 256)))
    )


def check_ending(path: str | os.PathLike[str]) -> None:
    """Refuse a file that figures are not written as.

    Raises:
      UsageError: it does not end in .png, .pdf or .svg.
    """
    if Path(path).suffix.lower() not in _DATES:
        raise UsageError(
            f"cannot draw into {Path(path).name!r}; accepted endings: "
            f"{', '.join(_DATES)}"
        )


def save(figure: "Figure", path: str | os.PathLike[str]) -> Path:
    """Write a figure as a file, whole or not at all.

    The file is written beside its place and moved there, so that a reader never sees
    half of it. The same figure makes the same file.

    Args:
      figure: what was drawn.
      path: where to; ends in .png (300 dots per inch), .pdf or .svg.

    Returns:
      The path.

    Raises:
      UsageError: another ending.
      RunError: the file cannot be written.
    """
    from matplotlib import rc_context

    path = Path(path)
    check_ending(path)
    suffix = path.suffix.lower()
    date = _DATES[suffix]
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with rc_context(STYLE):
            figure.savefig(
                unfinished,
                format=suffix[1:],
                dpi=300,
                metadata={date: None} if date else None,
            )
        os.replace(unfinished, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def save_both(figure: "Figure", path: str | os.PathLike[str]) -> list[Path]:
    """Write a figure as dots and as lines: the same name with .png and with .svg.

    Args:
      figure: what was drawn.
      path: where to, without an ending.

    Returns:
      Both paths.

    Raises:
      RunError: a file cannot be written.
    """
    return [save(figure, f"{os.fspath(path)}{ending}") for ending in (".png", ".svg")]
