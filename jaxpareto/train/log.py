"""What a run says: JSON lines on disk, a progress bar, TensorBoard on request.

Of many processes only the first says anything (`train.processes`).
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from jaxpareto.errors import RunError, require
from jaxpareto.train.processes import speaks


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    if not speaks():
        return
    partial = path.with_name(path.name + ".tmp")
    text = json.dumps(content, indent=1)
    with open(partial, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_json(path: Path, remedy: str = "delete it") -> Any:
    """Read a JSON file, as `write_json` writes them.

    Raises:
      RunError: the file is damaged; the line names it and what to do.
    """
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is damaged ({error}); {remedy}") from error


class Metrics:
    """`metrics.jsonl`: one object per logged piece of training.

    Opening cuts off what lies after the epoch that a resumed run continues from, and a
    line that a killed process left unfinished.
    """

    def __init__(self, path: Path, finished_epochs: int):
        self.kept, self._file = [], None
        if not speaks():
            return
        self.kept = [
            line for line in read_metrics(path) if line["epoch"] <= finished_epochs
        ]
        partial = path.with_name(path.name + ".tmp")
        partial.write_text("".join(json.dumps(line) + "\n" for line in self.kept))
        os.replace(partial, path)
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 (closed in `close`)

    @property
    def seconds(self) -> float:
        """Training time of the kept lines."""
        return sum(line["seconds"] for line in self.kept)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`; a last line that was cut short is left out."""
    lines = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return lines


class Progress:
    """What is done, and time left: a bar on a terminal, a line now and then else."""

    PAUSE = 15.0
    """Seconds between two lines where there is no terminal."""

    def __init__(
        self, total: int, done: int = 0, *, unit: str = "step", quiet: bool = False
    ):
        self._total, self._done, self._start = total, done, done
        quiet = quiet or not speaks()
        self._unit, self._quiet = unit, quiet
        self._began = self._spoke = time.monotonic()
        self._bar = None
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, unit=unit, smoothing=0.1)

    def advance(self, steps: int, text: str) -> None:
        """Say that `steps` more steps are done."""
        self._done += steps
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(steps)
            return
        now = time.monotonic()
        if self._quiet or now - self._spoke < self.PAUSE:
            return
        self._spoke = now
        rate = (now - self._began) / (self._done - self._start)
        left = rate * (self._total - self._done)
        print(
            f"{self._unit} {self._done}/{self._total}  {text}  "
            f"{left / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


class TensorBoard:
    """Scalars for TensorBoard, in the run's own folder; does nothing when off."""

    def __init__(self, folder: Path, *, on: bool):
        self._writer = None
        if on and speaks():
            writer = require("tensorboardX", "tensorboard").SummaryWriter
            self._writer = writer(str(folder / "tensorboard"))

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Write scalars at a step."""
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush."""
        if self._writer is not None:
            self._writer.close()
