"""Optuna asks and is told, a whole batch of trials for each compiled call.

The study lives in a journal, a file that several processes may share; one that is
killed loses the trials it had in flight, and the next call goes on with the others.
Between pieces of epochs the pruner sees every trial of the batch, and those that it
gives up stop.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.errors import UsageError, require
from jaxpareto.search.group import FAILED, PRUNED, Group, Row
from jaxpareto.search.plan import Plan, widths_of
from jaxpareto.search.run import groups
from jaxpareto.search.space import HYPERPARAMETERS, Point, Range, Space, complete
from jaxpareto.train.examples import Examples

NAME = "search"
_OWNER, _ROWS = "owner", "rows"  # attributes of a trial


def optimise(
    plan: Plan,
    space: Space,
    data: Examples,
    journal: Path,
    *,
    trials: int,
    batch: int = 8,
    seed: int = 0,
    every: int = 1,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    arrangement: str | None = None,
    keep: Callable[[Group, list[Row]], None] | None = None,
    watch: Callable[[int], None] | None = None,
) -> list[Row]:
    """Search by the tree-structured Parzen estimator, minimising validation loss.

    Args:
      plan: of the search.
      space: lists are categories, ranges are ranges.
      data: with `plan.folds` folds; a trial is worth its mean over them.
      journal: the file of the study; made if absent, continued if not.
      trials: to reach in all, by all processes together; those lost in a kill do not
        count. Processes that share a study may end up to a batch each beyond it.
      batch: trials of a compiled call.
      seed: of the sampler.
      every: epochs between two looks of the pruner.
      test: images and targets to report on, never to choose by.
      arrangement: see `train.members`.
      keep: called with a group and its rows when its trials are told.
      watch: called with the number of trials done, after each batch.

    Returns:
      The table of the study: a row for each trial and fold, of all processes.

    Raises:
      UsageError: fewer than 1 trial or batch.
      RunError: Optuna is not installed.

    Sources: Bergstra et al. (2011); the defaults of Optuna 5 (Akiba et al., 2019):
    multivariate, with constant liars for the trials of a batch, median pruning.
    """
    if trials < 1 or batch < 1 or every < 1:
        raise UsageError(
            f"trials, batch and epochs between looks must be at least 1, found "
            f"{trials}, {batch} and {every}"
        )
    study = open_study(journal, seed)
    session = _Session(plan, space, data, study, batch, every, test, arrangement, keep)
    while (left := trials - counted(study)) > 0:
        asked = _ask(session, min(batch, left))
        try:
            _train(session, asked)
        except BaseException:  # also Ctrl-C: no trial is left that seems to run
            _give_up(study, asked)
            raise
        if watch is not None:
            watch(counted(study))
    return table(study)


class _Session(NamedTuple):
    """What the batches of a call have in common; see `optimise`."""

    plan: Plan
    space: Space
    data: Examples
    study: Any
    batch: int
    every: int
    test: tuple[np.ndarray, np.ndarray] | None
    arrangement: str | None
    keep: Callable[[Group, list[Row]], None] | None


def open_study(journal: Path, seed: int = 0) -> Any:
    """Open the study of a journal; what a killed process left is given up.

    Raises:
      RunError: Optuna is not installed.
    """
    optuna = require("optuna", "search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=NAME,
        load_if_exists=True,
    )
    # The same seed again would draw the same start once more, here or in a process that
    # shares the study.
    sessions = study.user_attrs.get("sessions", 0) + 1
    study.set_user_attr("sessions", sessions)
    drawn = np.random.SeedSequence([seed, sessions, len(study.trials)])
    own = int(drawn.generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=own)
    study.pruner = optuna.pruners.MedianPruner()
    for trial in study.trials:
        if not trial.state.is_finished() and not _alive(trial):
            _tell(study, trial.number, trial.user_attrs.get(_ROWS, []))
    return study


def counted(study: Any) -> int:
    """Count the trials that were told, and those in flight."""
    return sum(
        _ROWS in trial.user_attrs or not trial.state.is_finished()
        for trial in study.trials
    )


def table(study: Any) -> list[Row]:
    """Return a row for each trial and fold; those lost in a kill have none."""
    return [row for trial in study.trials for row in trial.user_attrs.get(_ROWS, [])]


def largest(plan: Plan, space: Space) -> dict[int, tuple[int, ...]]:
    """Return, for each number of layers, the widths to compile for once and for all."""
    widths, depths = space.get("width", [None]), space.get("depth", [None])
    if isinstance(widths, Range):
        widths = [int(widths.high)]
    if isinstance(depths, Range):
        depths = list(range(int(depths.low), int(depths.high) + 1))
    sizes: dict[int, tuple[int, ...]] = {}
    for width in widths:
        for depth in depths:
            found = widths_of(plan, complete({"width": width, "depth": depth}))
            known = sizes.get(len(found), found)
            sizes[len(found)] = tuple(map(max, found, known))
    return sizes


def _ask(session: _Session, count: int) -> list[tuple[Any, Point]]:
    """Ask for trials, each marked as this process's own."""
    asked = []
    for _ in range(count):
        trial = session.study.ask()
        trial.set_user_attr(_OWNER, [socket.gethostname(), os.getpid()])
        words = {name: _suggest(trial, name, x) for name, x in session.space.items()}
        asked.append((trial, complete(words)))
    return asked


def _suggest(trial: Any, name: str, values: Any) -> Any:
    if not isinstance(values, Range):
        spelled = {str(value): value for value in values}  # a tuple is no category
        return spelled[trial.suggest_categorical(name, list(spelled))]
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(name, values.low, values.high)
    log = HYPERPARAMETERS[name].log
    return trial.suggest_float(name, values.low, values.high, log=log)


def _train(session: _Session, asked: list[tuple[Any, Point]]) -> None:
    """Train a batch of trials, group by group, and tell what came of them."""
    plan, points = session.plan, [point for _, point in asked]
    sizes = largest(plan, session.space)
    for chosen in groups(plan, points, session.batch):
        trials = [asked[i][0] for i in chosen]
        group = Group(
            plan,
            [points[i] for i in chosen],
            session.data,
            numbers=[trial.number for trial in trials],
            sizes=sizes[len(widths_of(plan, points[chosen[0]]))],
            capacity=session.batch * plan.folds,
            arrangement=session.arrangement,
        )
        for until in range(session.every, plan.epochs, session.every):
            group.advance(until)
            group.prune(_hopeless(group, trials, until))
            if group.done.all():
                break
        group.advance(plan.epochs)
        tested = None if session.test is None else group.test(*session.test)
        rows = list(group.rows(tested))
        if session.keep is not None:
            session.keep(group, rows)
        for i, trial in enumerate(trials):
            mine = rows[i * plan.folds : (i + 1) * plan.folds]
            # First the rows, so that a kill before the next line loses nothing.
            trial.set_user_attr(_ROWS, mine)
            _tell(session.study, trial, mine)


def _hopeless(group: Group, trials: list[Any], epoch: int) -> np.ndarray:
    """Report the validation losses so far, and say which trials to give up."""
    given_up = np.zeros(len(trials), bool)
    for i, trial in enumerate(trials):
        if not group.done[i]:
            trial.report(float(group.best_loss[i]), epoch)
            given_up[i] = trial.should_prune()
    return given_up


def _tell(study: Any, trial: Any, rows: list[Row]) -> None:
    """Tell the study what came of a trial; one without rows was lost."""
    from optuna.trial import TrialState

    states = [row["status"] for row in rows]
    if not rows or FAILED in states:
        study.tell(trial, state=TrialState.FAIL)
    elif PRUNED in states:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, float(np.mean([row["validation_loss"] for row in rows])))


def _give_up(study: Any, asked: list[tuple[Any, Point]]) -> None:
    """Free the trials that were in flight, so that nobody waits for them."""
    from optuna.trial import TrialState

    for trial, _ in asked:
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def _alive(trial: Any) -> bool:
    """Say whether the process that asked for a trial may still be training it."""
    host, process = trial.user_attrs.get(_OWNER, (None, 0))
    if host != socket.gethostname():
        return host is not None  # elsewhere: it cannot be known from here
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()
