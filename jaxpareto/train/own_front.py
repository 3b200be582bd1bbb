"""A trained front of your own problem: what `fit_front` returns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxpareto import prefs, tree
from jaxpareto.data.batches import count_rows
from jaxpareto.errors import UsageError
from jaxpareto.train.evaluate import Scores, measure, summarise
from jaxpareto.train.own_plan import Plan
from jaxpareto.types import Array, Conditioned, Params, Split

Losses = Callable[[Any, Any], Array]
"""`losses(outputs, targets) -> [m]`: one mean per task over the examples of a batch."""


@dataclass(frozen=True, repr=False)
class OwnFront:
    """A trained family of networks of your own: one for every preference.

    Attributes:
      conditioned: the network.
      phi: its parameters.
      losses: what it was trained for.
      plan: what it was trained with.
      example: shapes and types of one input, without the axis of examples.
      seconds: of training.
      folder: where the run was kept, if it was.
    """

    conditioned: Conditioned
    phi: Params
    losses: Losses
    plan: Plan
    example: Any
    seconds: float
    folder: Path | None = None

    def __repr__(self) -> str:
        """Say in one line what was trained; the parameters would fill pages."""
        plan = self.plan
        kept = "" if self.folder is None else f", in {self.folder}"
        return (
            f"OwnFront({plan.conditioner} x {plan.rule}, {plan.network}, {plan.m} "
            f"tasks, {plan.epochs} epochs{kept})"
        )

    @property
    def m(self) -> int:
        """The number of tasks."""
        return self.plan.m

    @cached_property
    def _params(self):
        return jax.jit(self.conditioned.params)

    @cached_property
    def _apply(self):
        return jax.jit(self.conditioned.apply)

    def params(self, pref: Any) -> Params:
        """Generate your network's parameters for a preference [m] on the simplex.

        It may be mapped: `jax.vmap(front.params)(prefs)`; nothing is checked then.

        Raises:
          UsageError: `pref` is not on the simplex, or of the wrong length.
        """
        return self._params(self.phi, self._checked(pref))

    def __call__(self, pref: Any, x: Any) -> Any:
        """Answer what your network answers to `x`, for a preference [m].

        Raises:
          UsageError: `pref` is not on the simplex, or of the wrong length.
        """
        return self._apply(self.phi, self._checked(pref), jax.tree.map(jnp.asarray, x))

    def _checked(self, pref: Any) -> Any:
        """Check a preference, unless it is traced: its numbers are not known yet."""
        if isinstance(pref, Tracer):
            return pref
        return prefs.check_pref(pref, self.m)

    def evaluate(
        self,
        data: tuple[Any, Any],
        asked: int | Any = 25,
        *,
        accuracies: Losses | None = None,
        reference: float | Sequence[float] | None = None,
        batch_size: int = 500,
    ) -> dict[str, Any]:
        """Evaluate the front on examples, in the words of `front.json`.

        Args:
          data: (x, y), as for `fit_front`; best examples it was not trained on.
          asked: how many preferences of an even grid, or preferences [k, m], or one of
            them [m]. The first row of a grid cares least about the first task, and the
            last row most. From three tasks on it is the largest even grid that has no
            more than are asked for.
          accuracies: `f(outputs, y) -> [m]`, shares of right answers, if there are any;
            NaN for a task that has none.
          reference: the losses [m] that a network must stay below to count in the
            hypervolume, in the units of the losses, or one number for all tasks; None
            leaves that out.
          batch_size: examples that go through all networks at once. What is no mean
            over examples depends on it.

        Raises:
          UsageError: the arrays do not fit together, a preference is no such, or the
            reference or the accuracies are not [m].
        """
        began = time.perf_counter()
        if reference is not None and np.shape(reference) not in ((), (self.m,)):
            raise UsageError(
                f"reference must be one number or {self.m}, a loss for each task; "
                f"found shape {np.shape(reference)}"
            )
        split = split_of(data)
        at = self._asked(asked)
        measures = (self.losses, *([accuracies] if accuracies else []))
        found = measure(
            self.conditioned,
            self.phi,
            jnp.asarray(at),
            split,
            measures,
            batch_size=batch_size,
        )
        if accuracies and found[1].shape != found[0].shape:
            raise UsageError(
                f"accuracies(outputs, y) must return [{self.m}], a share for each task "
                "(jnp.nan where there is none); found "
                f"{list(found[1].shape[1:])}"
            )
        scores = Scores(found[0], found[1] if accuracies else None)
        front = summarise(jnp.asarray(at), scores, reference)
        target = jax.eval_shape(self.conditioned.params, self.phi, jnp.ones(self.m))
        return {
            "schema": 1,
            **front,
            "units": [""] * self.m,  # known to whoever wrote the losses
            "seconds_training": round(self.seconds, 3),
            "seconds_evaluation": round(time.perf_counter() - began, 3),
            "examples": count_rows(split),
            "parameters": {
                "target": tree.count(target),
                "conditioned": tree.count(self.phi),
            },
        }

    def _asked(self, asked: int | Any) -> np.ndarray:
        """Return the preferences [k, m] to evaluate at."""
        if isinstance(asked, int):
            return np.asarray(prefs.grid(asked, self.m))
        if np.ndim(asked) == 1:
            asked = [asked]
        return np.stack([np.asarray(prefs.check_pref(pref, self.m)) for pref in asked])


def split_of(data: Any) -> Split:
    """Put (x, y) on the device.

    Raises:
      UsageError: no tuple of two, arrays of different lengths, or an input that is not
        finite. Targets may be: some losses leave out what is missing.
    """
    if not isinstance(data, tuple) or len(data) != 2:
        found = type(data).__name__
        if isinstance(data, tuple):
            found = f"one of {len(data)}: put the targets into one array or dict"
        raise UsageError(f"data must be a tuple (x, y), found {found}")
    split = Split(*(jax.tree.map(jnp.asarray, part) for part in data))
    count_rows(split)
    if bad := not_finite(split.images):
        raise UsageError(
            f"x holds {bad} values that are no finite numbers; leave those examples "
            "out, or fill the values in"
        )
    return split


@jax.jit
def _count_bad(leaves: list[Array]) -> Array:
    return sum((jnp.sum(~jnp.isfinite(x)) for x in leaves), start=jnp.int32(0))


def not_finite(tree: Any) -> int:
    """Count the numbers of a pytree that are NaN or infinite."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return int(_count_bad(leaves)) if leaves else 0
