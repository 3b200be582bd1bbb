"""A search on disk: its table, its figures, its study, and how to continue it.

`search.json` says what is searched, `trials.csv` has a row for each trial and fold,
`curves.csv` one for each of their epochs (but for a study), `study.journal` is what
Optuna knows, `tensorboard/` is there when asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxpareto import style
from jaxpareto.errors import UsageError, require
from jaxpareto.search import board, figures, study, table
from jaxpareto.search.group import FAILED, FINISHED, PRUNED, Group, Row
from jaxpareto.search.plan import Plan
from jaxpareto.search.run import AT_ONCE
from jaxpareto.search.run import run as train
from jaxpareto.search.source import Problem
from jaxpareto.search.space import Point, Range, Space
from jaxpareto.train.folder import claim
from jaxpareto.train.log import Progress


@dataclass
class Run:
    """A search in a folder.

    Attributes:
      folder: its own.
      plan: what all trials have in common.
      problem: what they learn.
      quiet: show no progress.
      tensorboard: also write for TensorBoard.
    """

    folder: Path
    plan: Plan
    problem: Problem
    quiet: bool = False
    tensorboard: bool = False

    def claim(self, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder, or check that it holds this very search.

        Raises:
          UsageError: it holds another, or this one and nobody said to continue.
          RunError: a file of it is damaged, or an extra is not installed.
        """
        require("matplotlib", "plot")
        if self.tensorboard:
            require("tensorboardX", "tensorboard")
        if (self.folder / "search.json").exists() and not resume:
            raise UsageError(
                f"{self.folder} holds a search; name a new --out, or continue it with "
                "--resume"
            )
        claim(self.folder, settings, file="search.json", what="a search")

    def by_list(self, points: Sequence[Point], *, at_once: int = AT_ONCE) -> list[Row]:
        """Train the points that are not in the table yet; return the whole table."""
        path, long = self.folder / "trials.csv", self.folder / "curves.csv"
        rows, curves = (table.read_csv(x) if x.exists() else [] for x in (path, long))
        done = {row["trial"] for row in rows}
        curves = [row for row in curves if row["trial"] in done]
        left = [i for i in range(len(points)) if i not in done]
        show = self._show({x: [point[x] for point in points] for x in points[0]})
        epochs = self.plan.epochs
        bar = Progress(len(points) * epochs, len(done) * epochs, quiet=self.quiet)
        before = 0

        def watch(group: Group) -> None:
            nonlocal before
            each = zip(group.done, group.epochs, strict=True)
            now = sum(epochs if over else int(count) for over, count in each)
            bar.advance(now - before, f"best loss {group.best_loss.min():.4f}")
            before = now

        def keep(group: Group, found: list[Row]) -> None:
            nonlocal before
            before = 0
            rows.extend(found)
            rows.sort(key=lambda row: (row["trial"], row["fold"]))
            curves.extend(group.curves())
            table.write_csv(curves, long)
            table.write_csv(rows, path)
            show(group, found)

        try:
            train(
                self.plan,
                [points[i] for i in left],
                self.problem.data,
                numbers=left,
                test=self.problem.test,
                at_once=at_once,
                every=max(1, epochs // 20),
                watch=watch,
                keep=keep,
            )
        finally:
            bar.close()
        return rows

    def by_optuna(
        self, space: Space, trials: int, *, batch: int = 8, seed: int = 0
    ) -> list[Row]:
        """Continue the study up to `trials`; return the table of the whole study."""
        journal = self.folder / "study.journal"
        before = min(study.counted(study.open_study(journal, seed)), trials)
        bar = Progress(trials, before, quiet=self.quiet)

        def watch(done: int) -> None:
            nonlocal before
            bar.advance(max(done - before, 0), f"{done} trials")
            before = done

        try:
            rows = study.optimise(
                self.plan,
                space,
                self.problem.data,
                journal,
                trials=trials,
                batch=batch,
                seed=seed,
                test=self.problem.test,
                keep=self._show(space),
                watch=watch,
            )
        finally:
            bar.close()
        table.write_csv(rows, self.folder / "trials.csv")
        return rows

    def finish(self, rows: Sequence[Row]) -> list[str]:
        """Draw the figures, and say in lines of text what was best."""
        drawn = {
            "correlations": figures.correlation_figure(rows),
            "parallel": figures.parallel_figure(rows),
        }
        for name, figure in drawn.items():
            style.save_both(figure, self.folder / name)
        if self.tensorboard:
            board.write_figures(self.folder / "tensorboard", drawn)
        states = [row["status"] for row in rows]
        told = [f"{states.count(name)} {name}" for name in (FINISHED, PRUNED, FAILED)]
        best = table.lines(rows) or ["none has finished; try smaller learning rates"]
        where = f"table: {self.folder}/trials.csv   pictures: {self.folder}/*.png"
        return [f"{len(rows)} networks: {', '.join(told)}", *best, where]

    def _show(self, space: Space) -> Callable[[Group, list[Row]], None]:
        """Return what writes trials for TensorBoard, or does nothing."""
        varied = [
            name
            for name, values in space.items()
            if isinstance(values, Range) or len(set(values)) > 1
        ]

        def show(group: Group, rows: list[Row]) -> None:
            if self.tensorboard:
                board.write_trials(self.folder / "tensorboard", group, rows, varied)

        return show
