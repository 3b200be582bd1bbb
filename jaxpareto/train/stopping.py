"""Early stopping of a front: when the training ends, and with which parameters.

With every checkpoint the front's hypervolume on the validation images is looked at, the
larger the better. At `patience` looks in a row that do not exceed the best so far by
more than `min_delta` the training ends, with the parameters of the best look. The same
rule, for a loss and inside one compiled call, is in `train.fit`. A front of hypervolume
zero, all of it beyond the reference, is too young to be judged: nothing waits for it.

All that decides is a small pytree, which lies in the checkpoints beside the state, so
that a run that is killed and resumed stops where it would have stopped.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpareto.train.recipe import State
from jaxpareto.types import Array, Params


class Watched(NamedTuple):
    """What the looks at the validation images have shown so far.

    Attributes:
      best: the parameters of the best look.
      value: its hypervolume, in nats to the power of m; 0 before the first.
      epoch: after how many epochs that was, int32; 0 is never.
      waited: looks since the last improvement, int32.
    """

    best: Params
    value: Array
    epoch: Array
    waited: Array


def begin(phi: Params) -> Watched:
    """Make what is known before the first look.

    Args:
      phi: parameters; copied, for the steps of a training reuse the memory of theirs.
    """
    never = jnp.zeros((), jnp.int32)
    value = jnp.zeros((), jnp.float32)
    return Watched(jax.tree.map(jnp.copy, phi), value, never, never)


def look(
    watched: Watched,
    phi: Params,
    value: float | Array,
    epoch: int | Array,
    min_delta: float | Array,
) -> Watched:
    """Take one look into account: `phi` after `epoch` epochs, worth `value`.

    Any value above the best is the new best; only one that is above it by more than
    `min_delta` is an improvement, after which the waiting begins anew. While the best
    is zero, every look is both.

    >>> watched = begin({})
    >>> for epoch, value in enumerate([1.0, 1.5, 1.6, 1.4], start=1):
    ...     watched = look(watched, {}, value, epoch, min_delta=0.2)
    >>> int(watched.epoch), int(watched.waited)
    (3, 2)
    """
    young = watched.value == 0.0
    better = young | (value > watched.value)
    enough = young | (value > watched.value + min_delta)
    return Watched(
        best=jax.tree.map(partial(jnp.where, better), phi, watched.best),
        value=jnp.where(better, value, watched.value),
        epoch=jnp.where(better, epoch, watched.epoch),
        waited=jnp.where(enough, 0, watched.waited + 1),
    )


def is_over(watched: Watched | None, patience: int) -> bool:
    """Say whether patience has run out; never, where nothing is watched."""
    return watched is not None and int(watched.waited) >= patience


def ending(
    state: State, watched: Watched | None, patience: int
) -> tuple[Params, dict[str, Any]]:
    """Choose the parameters to use, and say what early stopping knows of them."""
    if watched is None:
        return state.best, {}
    best, stopped = int(watched.epoch), is_over(watched, patience)
    return watched.best, {"best_epoch": best, "stopped": stopped}


def save(checkpoints: Any, epoch: int, state: State, watched: Watched | None) -> None:
    """Write a checkpoint: the state, and what is watched if anything is."""
    checkpoints.save(epoch, _together(state, watched))


def restore(
    checkpoints: Any, state: State, watched: Watched | None
) -> tuple[int, State, Watched | None]:
    """Restore the newest checkpoint.

    Args:
      checkpoints: `Checkpoints` of the run, or what stands in for them.
      state: to begin with, or its shapes.
      watched: the same; None where the run does not stop early.

    Returns:
      Finished epochs, state and what is watched; 0 and what was given, if there is no
      checkpoint.

    Raises:
      RunError: as `Checkpoints.restore`.
    """
    found = checkpoints.restore(_together(state, watched))
    if found is None:
        return 0, state, watched
    epoch, held = found
    return (epoch, held, None) if watched is None else (epoch, *held)


def _together(state: State, watched: Watched | None) -> Any:
    """Pair them; alone, a state is saved as it always was."""
    return state if watched is None else (state, watched)
