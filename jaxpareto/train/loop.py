"""The loop around the compiled steps: it logs, saves, shows progress and stops.

Device work is one compiled scan over a piece of an epoch; the talking happens between
pieces. Nothing random is carried from step to step, so a run that is killed and resumed
from its last checkpoint does the very same steps again.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.data import Batches
from jaxpareto.errors import RunError, UsageError
from jaxpareto.train import log, stopping
from jaxpareto.train.checkpoint import Checkpoints
from jaxpareto.train.mesh import Devices
from jaxpareto.train.processes import agree
from jaxpareto.train.recipe import Hparams, Info, Recipe, State
from jaxpareto.train.step import init, run_steps
from jaxpareto.train.stopping import Watched
from jaxpareto.types import Array, Key, Params

PIECE = 60
"""Steps of one compiled call, about: long enough to hide the call, short to watch."""


class Fitted(NamedTuple):
    """A finished training.

    Attributes:
      state: after the last step.
      seconds: of training, over all sessions of the run.
      epoch: epochs done.
      watched: what was best on validation, with early stopping; else None.
    """

    state: State
    seconds: float
    epoch: int
    watched: Watched | None = None


def pieces(steps: int) -> list[tuple[int, int]]:
    """Cut an epoch into (first step, count), with at most two different counts.

    >>> pieces(100), pieces(130)
    ([(0, 50), (50, 50)], [(0, 65), (65, 65)])
    """
    parts = max(1, round(steps / PIECE))
    count = -(-steps // parts)
    return [(first, min(count, steps - first)) for first in range(0, steps, count)]


def fit(
    recipe: Recipe,
    batches: Batches,
    key: Key,
    hparams: Hparams,
    folder: Path | None,
    *,
    epochs: int,
    checkpoint_every: int = 1,
    validate: Callable[[Params], dict[str, Any]] | None = None,
    patience: int = 0,
    min_delta: float = 0.0,
    tensorboard: bool = False,
    quiet: bool = False,
    devices: Devices | None = None,
) -> Fitted:
    """Train from the newest checkpoint in `folder`, or from scratch where none is.

    Args:
      recipe: what is trained and how.
      batches: how batches are made from the data.
      key: of the run; consumed.
      hparams: numbers of the optimiser.
      folder: of the run; `checkpoints/` and `metrics.jsonl` are kept in it. None keeps
        nothing.
      epochs: times through the data.
      checkpoint_every: epochs between two checkpoints; the last is always saved.
      validate: `validate(phi) -> scores` to log with every checkpoint.
      patience: checkpoints in a row without a better `scores["hypervolume"]` before the
        training stops; 0 is never.
      min_delta: by how much it must grow to count as better.
      tensorboard: also write `tensorboard/`.
      quiet: show no progress.
      devices: to share the work; None is the plain program of one device.

    Raises:
      UsageError: patience, and nothing to validate by.
      RunError: a loss or a gradient is not finite; the last good checkpoint is kept.
    """
    if patience and validate is None:
        raise UsageError(f"patience {patience}: nothing is evaluated on validation")
    state, data, run = _placed(recipe, batches, key, hparams, devices)
    watched, look = _watch(state, min_delta, devices) if patience else (None, None)
    checkpoints = Checkpoints(folder / "checkpoints") if folder else Nowhere()
    epoch, state, watched = stopping.restore(checkpoints, state, watched)
    metrics = log.Metrics(folder / "metrics.jsonl", epoch) if folder else Nowhere()
    board = log.TensorBoard(folder, on=tensorboard) if folder else Nowhere()
    steps = batches.steps
    bar = log.Progress(epochs * steps, epoch * steps, quiet=quiet)
    seconds = metrics.seconds
    try:
        while epoch < epochs and not stopping.is_over(watched, patience):
            due = (epoch + 1) % checkpoint_every == 0 or epoch + 1 == epochs
            for first, count in pieces(steps):
                began = time.perf_counter()
                state, info = run(
                    state,
                    data,
                    hparams,
                    jnp.int32(epoch),
                    jnp.int32(first),
                    count=count,
                )
                info = jax.tree.map(np.asarray, info)
                spent = time.perf_counter() - began
                seconds += spent
                _check_finite(info, epoch * steps + first, checkpoints)
                bar.advance(count, f"loss {info.objective.mean():.4f}")
                line = _line(info, epoch + 1, epoch * steps + first + count, spent)
                if due and first + count == steps:
                    _check_parameters(state, checkpoints)
                    if validate is not None:
                        line["validation"] = validate(state.best)
                    if look is not None:
                        value = _value(line["validation"], epoch + 1, checkpoints)
                        watched = look(watched, state.best, value, epoch + 1)
                metrics.write(line)
                board.write(line["step"], _scalars(line))
            epoch += 1
            if due:  # after its line: a kill between the two loses none
                stopping.save(checkpoints, epoch, state, watched)
    finally:
        for each in (bar, metrics, board, checkpoints):
            each.close()
    return Fitted(state, seconds, epoch, watched)


class Diverged(RunError):
    """A number of the training is not finite.

    Attributes:
      found: which one; `fit_front` has other advice than the command.
    """

    def __init__(self, found: str):
        super().__init__(
            f"{found}. Start anew with a lower learning rate (--learning-rate), or a "
            "clipped gradient (--clip 1)"
        )
        self.found = found


class Nowhere:
    """In place of checkpoints and logs where nothing is kept."""

    epochs: tuple[int, ...] = ()
    seconds = 0.0

    def restore(self, like: Any) -> None:
        """Find nothing."""
        del like

    def save(self, epoch: int, state: Any) -> None:
        """Keep nothing."""
        del epoch, state

    def write(self, *what: Any) -> None:
        """Keep nothing."""
        del what

    def close(self) -> None:
        """Do nothing."""


def _placed(
    recipe: Recipe,
    batches: Batches,
    key: Key,
    hparams: Hparams,
    devices: Devices | None,
) -> tuple[State, Any, Callable[..., tuple[State, Info]]]:
    """Make the first state, put the data where they belong, compile the steps."""
    begin, out = partial(init, recipe), None
    if devices is None:
        data = jax.device_put(batches.data)
    else:
        out = devices.same
        data = devices.data(batches.data)
        key = devices.everywhere(key)
        layout = devices.layout(split_batch=recipe.split_batch)
        recipe = recipe._replace(layout=layout, microbatch=0)
    run = jax.jit(
        partial(run_steps, recipe, batches),
        static_argnames="count",
        donate_argnames="state",
        out_shardings=out,
    )
    return jax.jit(begin, out_shardings=out)(key, hparams), data, run


def _watch(
    state: State, min_delta: float, devices: Devices | None
) -> tuple[Watched, Callable[..., Watched]]:
    """Make what is watched before the first step, and compile the look at it."""
    out = None if devices is None else devices.same
    look = partial(stopping.look, min_delta=jnp.float32(min_delta))
    watched = jax.jit(stopping.begin, out_shardings=out)(state.best)
    return watched, jax.jit(look, out_shardings=out)


def _value(scores: dict[str, Any], epoch: int, checkpoints: Any) -> np.float32:
    """Take the number that is watched, the same one in all processes."""
    value = np.float32(agree(scores["hypervolume"]))
    if not np.isfinite(value):
        _stop(
            f"the hypervolume on validation is not finite after epoch {epoch}",
            checkpoints,
        )
    return value


def _line(info: Info, epoch: int, step: int, seconds: float) -> dict[str, Any]:
    """Make a line of `metrics.jsonl`: means over a piece's steps."""
    return {
        "epoch": epoch,
        "step": step,
        "objective": float(info.objective.mean()),
        "losses": [float(x) for x in info.losses.mean(axis=0)],
        "grad_norm": float(info.grad_norm.mean()),
        "weights": [float(x) for x in info.weights.mean(axis=0)],
        "solved": float(info.solved.mean()),
        "seconds": round(seconds, 4),
    }


_SCALARS = ("objective", "grad_norm", "solved")


def _scalars(line: dict[str, Any]) -> dict[str, float]:
    """Flatten a line for TensorBoard."""
    flat = {f"train/loss{i + 1}": x for i, x in enumerate(line["losses"])}
    flat |= {f"train/weight{i + 1}": x for i, x in enumerate(line["weights"])}
    flat |= {f"train/{name}": line[name] for name in _SCALARS}
    for name, value in line.get("validation", {}).items():
        flat[f"validation/{name}"] = value
    return flat


def _check_finite(info: Info, before: int, checkpoints: Any) -> None:
    good = np.isfinite(info.objective) & np.isfinite(info.grad_norm)
    if not good.all():
        bad = before + 1 + np.flatnonzero(~good)
        _stop(
            f"the loss or its gradient is not finite at steps {_span(bad)}", checkpoints
        )


def _check_parameters(state: State, checkpoints: Any) -> None:
    if not _finite(state.phi):
        _stop(f"a parameter is not finite after step {int(state.step)}", checkpoints)


@jax.jit
def _finite(params: Params) -> Array:
    """Say whether all numbers are, in one program for all leaves."""
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(params)]).all()


def _stop(what: str, checkpoints: Any) -> None:
    kept = checkpoints.epochs
    last = f"epoch {kept[-1]}" if kept else "none yet"
    raise Diverged(f"{what}; the last good checkpoint is kept ({last})")


def _span(numbers: np.ndarray) -> str:
    first, last = int(numbers[0]), int(numbers[-1])
    return str(first) if first == last else f"{first} to {last}"
