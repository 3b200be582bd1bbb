"""Checkpoints of a run, through Orbax: written whole or not at all, two kept.

A checkpoint is named after the number of finished epochs. A process killed while it
writes leaves a temporary folder, which the next one clears away.
"""

import logging
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxpareto.errors import RunError

T = TypeVar("T")


class Checkpoints:
    """The folder of a run's checkpoints."""

    def __init__(self, folder: Path, *, create: bool = True):
        # Orbax speaks through absl at length; what matters is said here.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(max_to_keep=2, create=create),
        )

    @property
    def epochs(self) -> list[int]:
        """Finished epochs of the checkpoints at hand, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, epoch: int, state: Any) -> None:
        """Write the state after `epoch` epochs, unless it is there already."""
        if epoch not in self.epochs:
            saved = self._ocp.args.StandardSave(_plain(state))
            self._manager.save(epoch, args=saved)
            self._manager.wait_until_finished()

    def restore(self, like: T) -> tuple[int, T] | None:
        """Return the newest checkpoint as (finished epochs, state), None if none is.

        Args:
          like: a state, or its shapes, of the run that wrote the checkpoint. What is
            restored lies where the state does, on whatever devices it was saved; for
            mere shapes, on the first one.

        Raises:
          RunError: the checkpoint is damaged, or of another network.
        """
        if not self.epochs:
            return None
        epoch = self.epochs[-1]
        target = jax.tree.map(_target, jax.eval_shape(_plain, like), like)
        where = f"checkpoint {self._manager.directory}/{epoch}"
        kept, asked = self._kept(epoch), _shapes(target)
        # Before Orbax reads it, and fails at length. It alone knows which names agree.
        if kept and sorted(kept.values()) != sorted(asked.values()):
            raise _of_another(where, kept, asked)
        try:
            restored = self._manager.restore(
                epoch, args=self._ocp.args.StandardRestore(target)
            )
        except (ValueError, KeyError, OSError, TypeError) as error:
            if kept and kept != asked:
                raise _of_another(where, kept, asked) from error
            reason = " ".join(str(error).split())[:200]
            raise RunError(
                f"{where} cannot be read ({reason}); delete that folder to continue "
                "from the one before"
            ) from error
        for a, b in zip(
            jax.tree.leaves(target), jax.tree.leaves(restored), strict=True
        ):
            if a.dtype != b.dtype:  # Orbax would cast without a word.
                raise RunError(
                    f"{where} holds {b.dtype} where the run has {a.dtype}; start the "
                    "run anew"
                )
        return epoch, jax.tree.map(_typed, restored, like)

    def _kept(self, epoch: int) -> dict[str, tuple[int, ...]]:
        """List the shapes in a checkpoint; none, where even these cannot be read."""
        try:
            found = self._manager.item_metadata(epoch)
            return _shapes(getattr(found, "tree", found))
        except Exception:  # damaged; reading all of it says how
            return {}

    def close(self) -> None:
        """Wait for what is being written."""
        self._manager.close()


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Name the arrays of a pytree by their paths: `"phi/base/bias"` -> shape."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }


def _of_another(where: str, kept: dict[str, Any], asked: dict[str, Any]) -> RunError:
    """Say what a checkpoint holds that the run does not, or the other way round."""
    names = sorted({*kept, *asked})
    name = next(each for each in names if kept.get(each) != asked.get(each))
    return RunError(
        f"{where} is of another network, optimiser or number of tasks ({name}: found "
        f"shape {kept.get(name, 'none')}, expected {asked.get(name, 'none')}); "
        "continue it with what it was begun with, or name a new folder"
    )


def _plain(state: Any) -> Any:
    """Replace typed random keys by their numbers."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state)


def _target(shape: jax.ShapeDtypeStruct, like: Any) -> jax.ShapeDtypeStruct:
    """Say what to restore, and where to."""
    where = getattr(like, "sharding", None)
    where = where or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=where)


def _typed(numbers: jax.Array, like: Any) -> jax.Array:
    """Undo `_plain`."""
    return jax.random.wrap_key_data(numbers) if _is_key(like) else numbers


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
