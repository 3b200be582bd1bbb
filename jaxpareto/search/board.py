"""A search in TensorBoard: the HParams table, a curve for each trial, the figures.

Through tensorboardX, with no TensorFlow: `tensorboard --logdir RUN/tensorboard`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxpareto.errors import require
from jaxpareto.search.group import CURVES, Group, Row
from jaxpareto.search.space import HYPERPARAMETERS
from jaxpareto.search.table import MEASURES


def write_trials(
    folder: Path, group: Group, rows: list[Row], varied: Collection[str]
) -> None:
    """Write the curves of a group's trials, and a row of the HParams table for each.

    Args:
      folder: each trial gets a folder in it.
      group: the trials.
      rows: what `Group.rows` yields; folds become trials of their own.
      varied: the hyperparameters that get a column; those that all trials share would
        hide them.

    Raises:
      RunError: tensorboardX is not installed.
    """
    writer_of = require("tensorboardX", "tensorboard").SummaryWriter
    summary = require("tensorboardX.summary", "tensorboard")
    lines = group.history.reshape(-1, *group.history.shape[-2:])
    for row, line in zip(rows, lines, strict=True):
        with writer_of(str(folder / _name(row, group.plan.folds))) as writer:
            for epoch, values in enumerate(line[: row["epochs"]], start=1):
                for name, value in zip(CURVES, values, strict=True):
                    if np.isfinite(value):
                        writer.add_scalar(name, float(value), epoch)
            given = {
                name: _plain(row[name])
                for name in (*HYPERPARAMETERS, "status")
                if name in varied or name == "status"
            }
            measured = {
                f"final/{name}": row[name]
                for name in MEASURES
                if np.isfinite(row.get(name, np.nan))
            }
            for part in summary.hparams(given, measured):
                writer.file_writer.add_summary(part)
            for name, value in measured.items():
                writer.add_scalar(name, float(value), row["epochs"])


def write_figures(folder: Path, figures: Mapping[str, Any]) -> None:
    """Show figures under TensorBoard's images.

    Raises:
      RunError: tensorboardX is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with require("tensorboardX", "tensorboard").SummaryWriter(str(folder)) as writer:
        for name, figure in figures.items():
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            pixels = np.asarray(canvas.buffer_rgba())[..., :3]
            writer.add_image(name, pixels, dataformats="HWC")


def _name(row: Row, folds: int) -> str:
    fold = f"-fold-{row['fold']}" if folds > 1 else ""
    return f"trial-{row['trial']:04d}{fold}"


def _plain(value: Any) -> Any:
    """Return what the table can hold: a number or a word."""
    return value if isinstance(value, int | float | str) else str(value)
