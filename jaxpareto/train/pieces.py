"""Train several members at once, in pieces that a killed process goes on from.

Between two pieces the members lie on the host, in their own order, and a checkpoint
holds them: it can be read back on a machine of other devices.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxpareto.train.checkpoint import Checkpoints
from jaxpareto.train.log import Progress, read_json, write_json
from jaxpareto.train.members import over_members, places

Watch = Callable[[int, Any], None]
"""`watch(done, state)`: called with what was done before, then after each piece."""


def by_pieces(
    begin: Callable[[Any], Any],
    advance: Callable[[Any, Any, Any, Any], Any],
    members: Any,
    shared: Any,
    folder: Path,
    *,
    until: int,
    every: int = 1,
    watch: Watch,
) -> Any:
    """Train all members to the end, keeping a checkpoint after every piece.

    Args:
      begin: `begin(member) -> state`.
      advance: `advance(member, state, shared, until) -> state`; two calls do what one
        does.
      members: pytree of NumPy arrays with a leading axis [s].
      shared: what all read.
      folder: of the checkpoints; what it holds is gone on from.
      until: epochs, or whatever `advance` counts.
      every: of them in a piece.
      watch: told of each piece.

    Returns:
      The state of all members, as NumPy arrays [s, ...].

    Raises:
      RunError: a checkpoint is damaged, or of another run.
    """
    count = len(jax.tree.leaves(members)[0])
    slots = places(count)
    # Spare places hold the first member, and are told to do nothing.
    who, spare = np.where(slots < count, slots, 0), slots >= count
    back = np.argsort(slots)[:count]
    start = over_members(lambda _, member, __: begin(member))

    def piece(state: Any, mine: tuple[Any, Any], shared: Any) -> Any:
        member, limit = mine
        return advance(member, state, shared, limit)

    go = over_members(piece)
    checkpoints = Checkpoints(folder)
    try:
        like = jax.eval_shape(jax.vmap(begin), members)
        found = checkpoints.restore(like)
        if found is None:
            found = 0, _at(start(None, _at(members, who), None), back)
        done, state = found[0], jax.tree.map(np.asarray, found[1])
        watch(done, state)
        while done < until:
            done = min(done + every, until)
            mine = _at(members, who), np.where(spare, 0, done).astype(np.int32)
            state = _at(go(_at(state, who), mine, shared), back)
            checkpoints.save(done, state)
            watch(done, state)
    finally:
        checkpoints.close()
    return state


def _at(pytree: Any, index: np.ndarray) -> Any:
    """Take members [i] of leaves [s, ...]."""
    return jax.tree.map(lambda x: np.asarray(x)[index], pytree)


def progress(
    before: int, total: int, own: int, tell: Callable[[int, Any], str], unit: str
) -> Watch:
    """Show how far one of several trainings is, and the time that all of them need.

    Args:
      before: epochs, or rounds, of the trainings before this one.
      total: of all trainings.
      own: of this one.
      tell: `tell(done, state)`, a few words about the members.
      unit: what is counted.
    """
    bar, seen = None, 0

    def watch(done: int, state: Any) -> None:
        nonlocal bar, seen
        if bar is None:
            bar = Progress(total, before + done, unit=unit)
        elif done > seen:
            bar.advance(done - seen, tell(done, state))
        seen = done
        if done == own:
            bar.close()

    return watch


class Clock:
    """Seconds of each piece, kept in a file so that a killed run does not lose them.

    The first piece of a process compiles, and any may have had to share the machine:
    `pace` is the median.
    """

    def __init__(self, path: Path):
        self._path, self._last = path, time.monotonic()
        self._pieces: list[float] = read_json(path) if path.exists() else []

    def tick(self) -> None:
        """Say that a piece is done."""
        now = time.monotonic()
        self._pieces.append(round(now - self._last, 3))
        self._last = now
        write_json(self._path, self._pieces)

    @property
    def seconds(self) -> float:
        """Of all pieces."""
        return sum(self._pieces)

    @property
    def pace(self) -> float:
        """Seconds of a piece, as a rule."""
        return float(np.median(self._pieces)) if self._pieces else 0.0
