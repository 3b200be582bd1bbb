"""Many trainings at once: seeds, learning rates and weight decays are a `vmap`.

The members of a sweep take the same steps in one compiled program. They are saved
together, so that a sweep that is killed goes on from its last finished epochs.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.data import Batches
from jaxpareto.train import log
from jaxpareto.train.checkpoint import Checkpoints
from jaxpareto.train.loop import pieces
from jaxpareto.train.mesh import NETWORKS, Devices
from jaxpareto.train.recipe import Hparams, Recipe, State
from jaxpareto.train.step import init, run_steps
from jaxpareto.types import Key


class Swept(NamedTuple):
    """Finished trainings.

    Attributes:
      states: after the last step, with a leading axis [s].
      finite: [s] bool, whether all losses, gradients and parameters were numbers.
      seconds: of training in this session; those before a kill are not known.
    """

    states: State
    finite: np.ndarray
    seconds: float


def fit_many(
    recipe: Recipe,
    batches: Batches,
    keys: Key,
    hparams: Hparams,
    folder: Path,
    *,
    epochs: int,
    label: str = "",
    quiet: bool = False,
    devices: Devices | None = None,
) -> Swept:
    """Train s members at once, each with its own key and its own numbers.

    Args:
      recipe: what is trained and how.
      batches: how batches are made from the data.
      keys: [s], one for each member; consumed.
      hparams: numbers of the optimiser: scalars for all, or arrays [s].
      folder: where the checkpoints are kept, one after every epoch.
      epochs: times through the data.
      label: what to call the sweep in its progress.
      quiet: show no progress.
      devices: among which the members are shared out; each has all of the data.

    Raises:
      RunError: the checkpoint in the folder is damaged or of another sweep.
    """
    s = len(keys)
    hparams = jax.tree.map(
        lambda x: jnp.broadcast_to(jnp.asarray(x, float), s), hparams
    )
    states, data, run = _placed(recipe, batches, keys, hparams, devices)
    checkpoints = Checkpoints(folder / "checkpoints")
    found = checkpoints.restore(states)
    start, states = (0, states) if found is None else found
    bar = log.Progress(epochs * batches.steps, start * batches.steps, quiet=quiet)
    seconds, finite = 0.0, np.ones(s, bool)
    try:
        for epoch in range(start, epochs):
            for first, count in pieces(batches.steps):
                began = time.perf_counter()
                numbers = (jnp.int32(epoch), jnp.int32(first))
                states, info = run(states, data, hparams, *numbers, count=count)
                losses = np.asarray(info.objective)
                finite &= np.isfinite(losses).all(axis=1)
                seconds += time.perf_counter() - began
                good = losses[np.isfinite(losses)]
                said = f"loss {good.mean():.4f}" if good.size else "all broken down"
                bar.advance(count, f"{label} {said}")
            checkpoints.save(epoch + 1, states)
    finally:
        bar.close()
        checkpoints.close()
    states = states if devices is None else devices.fetch(states)
    for leaf in jax.tree.leaves(states.best):
        finite &= np.isfinite(np.asarray(leaf)).reshape(s, -1).all(axis=1)
    return Swept(states, finite, seconds)


def _placed(
    recipe: Recipe,
    batches: Batches,
    keys: Key,
    hparams: Hparams,
    devices: Devices | None,
) -> tuple[State, Any, Any]:
    """Make the first states, put the data where they belong, compile the steps."""
    begin, axis, out = jax.vmap(partial(init, recipe)), None, (None, None)
    if devices is None:
        data = jax.device_put(batches.data)
    else:
        layout = devices.layout(split_batch=recipe.split_batch, members=True)
        recipe = recipe._replace(layout=layout, microbatch=0)
        axis, out = NETWORKS, (devices.at(NETWORKS), devices.same)
        data, keys, hparams = devices.everywhere((batches.data, keys, hparams))

    def run(states, data, hparams, epoch, first, *, count):
        one = partial(run_steps, recipe, batches, count=count)
        mapped = jax.vmap(one, (0, None, 0, None, None), spmd_axis_name=axis)
        return mapped(states, data, hparams, epoch, first)

    compiled = jax.jit(
        run, static_argnames="count", donate_argnames="states", out_shardings=out
    )
    return jax.jit(begin, out_shardings=out[0])(keys, hparams), data, compiled
