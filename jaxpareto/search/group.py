"""Points that share a program train together, and can be watched and stopped.

A `Group` is one compiled call, cut into pieces of epochs, so that somebody can look in
between and stop some of its points.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import UsageError
from jaxpareto.search.plan import Plan, make_learner, widths_of
from jaxpareto.search.space import Point
from jaxpareto.train import fit
from jaxpareto.train.examples import Examples, pieces_of
from jaxpareto.train.fit import Learner, Member
from jaxpareto.train.members import over_members, places

Row = dict[str, Any]
"""A trial: its numbers, what came of it and what was measured; a row of the table."""
FINISHED, FAILED, PRUNED = "finished", "failed", "pruned"
"""What came of a trial: it ran to its end (or out of patience), it broke down to
numbers that are not finite, or somebody stopped it."""

CURVES = ("train_loss", "validation_loss", "accuracy")
"""What is measured after every epoch."""


@cache
def _programs(learner: Learner, arrangement: str | None) -> tuple[Callable, ...]:
    """Compile beginning, advancing and judging for many members."""
    make = partial(over_members, arrangement=arrangement)
    return (
        make(lambda _, member, __: fit.begin(learner, member)),
        make(lambda at, member, shared: fit.advance(learner, member, at, *shared)),
        make(lambda _, mine, shared: fit.judge(learner, *mine, *shared)),
    )


class Group:
    """Points that train together, each on every fold.

    Attributes:
      plan: of the search.
      points: what they are.
      numbers: the trial number of each.
      pruned: [points] bool, which were stopped.
      seconds: of training so far, and of compiling before it.
    """

    def __init__(
        self,
        plan: Plan,
        points: Sequence[Point],
        data: Examples,
        *,
        numbers: Sequence[int] | None = None,
        sizes: tuple[int, ...] | None = None,
        capacity: int = 0,
        arrangement: str | None = None,
    ):
        """Begin.

        Args:
          plan: of the search.
          points: with the same batch size, optimiser and number of layers.
          data: with `plan.folds` folds.
          numbers: of the trials; by default counted from 0.
          sizes: widths to compile for; by default the largest of the points.
          capacity: compile for so many members, if that is more than there are.
          arrangement: see `train.members`.

        Raises:
          UsageError: a batch is larger than the training set.
        """
        self.plan, self.points = plan, list(points)
        self.numbers = list(range(len(points)) if numbers is None else numbers)
        self._data, self._widths = data, [widths_of(plan, point) for point in points]
        largest = tuple(max(each) for each in zip(*self._widths, strict=True))
        first, rows = points[0], data.train.shape[1]
        if first["batch-size"] > rows:
            raise UsageError(
                f"batch-size {first['batch-size']} for {rows} training examples; "
                f"give 1 to {rows}"
            )
        learner = make_learner(
            plan,
            first["batch-size"],
            sizes or largest,
            first["optimizer"],
            drops=any(point["dropout"] > 0 for point in points),
            shifts=any(point["shift"] > 0 for point in points),
            warps=any(point["warp"] > 0 for point in points),
            rows=rows,
        )
        self._begin, self._advance, self._judge = _programs(learner, arrangement)
        self._place(capacity)
        self._progress = self._begin(None, self._members, None)
        self.pruned, self.seconds = np.zeros(len(points), bool), 0.0
        self._stop(self._slots >= len(points) * plan.folds)

    def advance(self, until: int) -> None:
        """Train until so many epochs are done."""
        began = time.perf_counter()
        shared = self._data, jnp.int32(until)
        self._progress = self._advance(self._progress, self._members, shared)
        self._look()
        self.seconds += time.perf_counter() - began

    def prune(self, which: np.ndarray) -> None:
        """Stop the points [points] bool for good; those that are done stay done."""
        self.pruned |= which & ~self.done
        self._stop(np.repeat(self.pruned, self.plan.folds)[self._who])

    @property
    def done(self) -> np.ndarray:
        """[points] bool, whether a point trains no more."""
        over = self._seen["stopped"] | (self._seen["epoch"] >= self.plan.epochs)
        return over.all(axis=1) | ~self.finite

    @property
    def finite(self) -> np.ndarray:
        """[points] bool, whether all losses of all folds were numbers."""
        return self._seen["finite"].all(axis=1)

    @property
    def best_loss(self) -> np.ndarray:
        """[points], the lowest validation loss so far, mean over folds."""
        return self._seen["best_loss"].mean(axis=1)

    @property
    def epochs(self) -> np.ndarray:
        """[points], epochs done, of the fold that is farthest."""
        return self._seen["epoch"].max(axis=1)

    @property
    def history(self) -> np.ndarray:
        """[points, folds, epochs, 3]: training and validation loss, accuracy."""
        return self._seen["history"]

    @property
    def best(self) -> Any:
        """Parameters of the best epoch, leaves [points, folds, ...]."""
        return self._by_point(self._progress.best)

    def test(self, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return loss and accuracy [points, folds, 2] of the best on other examples."""
        mine = self._members, self._progress.best
        found = self._by_point(self._judge(None, mine, pieces_of(images, targets)))
        never = self._seen["best_epoch"] == 0
        return np.where(never[..., None], np.nan, found)

    def rows(self, tested: np.ndarray | None = None) -> Iterator[Row]:
        """Yield a row for each point and fold; `tested` is what `test` returned."""
        share = round(self.seconds / (len(self.points) * self.plan.folds), 4)
        for i, point in enumerate(self.points):
            for fold in range(self.plan.folds):
                seen = {name: each[i, fold] for name, each in self._seen.items()}
                row = {"trial": self.numbers[i], "fold": fold, **point}
                row |= _layers(self._widths[i])
                row |= {"status": self.status(i), **_at_best(seen)}
                if tested is not None:
                    row["test_loss"], row["test_accuracy"] = tested[i, fold].tolist()
                yield row | {"seconds": share}

    def curves(self) -> Iterator[Row]:
        """Yield a row for each point, fold and epoch that was done."""
        for i, fold in np.ndindex(self.history.shape[:2]):
            done = self.history[i, fold][: self._seen["epoch"][i, fold]]
            for epoch, line in enumerate(done.tolist(), start=1):
                losses = dict(zip(CURVES, line, strict=True))
                yield {"trial": self.numbers[i], "fold": fold, "epoch": epoch, **losses}

    def status(self, i: int) -> str:
        """Say what came of point `i`, or what would if nothing more happened."""
        if not self.finite[i]:
            return FAILED
        return PRUNED if self.pruned[i] else FINISHED

    def _place(self, capacity: int) -> None:
        """Stack the numbers of all members in the order of their places."""
        folds = self.plan.folds
        members = [
            _member(point, width, fold)
            for point, width in zip(self.points, self._widths, strict=True)
            for fold in range(folds)
        ]
        self._slots = places(len(members), capacity=capacity)
        self._who = np.where(self._slots < len(members), self._slots, 0)
        self._members = jax.tree.map(lambda *x: _narrow(x)[self._who], *members)

    def _stop(self, which: np.ndarray) -> None:
        """Stop the members at places [places] bool."""
        old = self._progress.stopped
        told = jax.device_put(np.asarray(old) | which, old.sharding)
        self._progress = self._progress._replace(stopped=told)
        self._look()

    def _look(self) -> None:
        """Fetch what people read."""
        names = ("epoch", "best_loss", "best_epoch", "finite", "stopped", "history")
        small = {name: getattr(self._progress, name) for name in names}
        self._seen = self._by_point(jax.device_get(small))

    def _by_point(self, pytree: Any) -> Any:
        """Bring leaves [places, ...] into the order [points, folds, ...]."""
        shape = len(self.points), self.plan.folds
        back = np.argsort(self._slots)[: shape[0] * shape[1]]
        return jax.tree.map(
            lambda x: np.asarray(x)[back].reshape(*shape, *x.shape[1:]), pytree
        )


def _layers(widths: tuple[int, ...]) -> Row:
    """Say how wide and how many the hidden layers are: one number if they are alike."""
    alike = widths[0] if len(set(widths)) == 1 else "x".join(map(str, widths))
    return {"width": alike if widths else None, "depth": len(widths)}


def _narrow(values: Sequence[float]) -> np.ndarray:
    """Return numbers in the types that JAX computes with."""
    whole = all(isinstance(value, int) for value in values)
    return np.array(values, np.int32 if whole else np.float32)


def _at_best(seen: dict[str, Any]) -> Row:
    """Say what a member was at its best epoch."""
    best = int(seen["best_epoch"])
    line = seen["history"][best - 1] if best else np.full(3, np.nan)
    return {
        "epochs": int(seen["epoch"]),
        "best_epoch": best,
        "train_loss": float(line[0]),
        "validation_loss": float(line[1]),
        "accuracy": float(line[2]),
    }


def _member(point: Point, widths: tuple[int, ...], fold: int) -> Member:
    return Member(
        learning_rate=float(point["learning-rate"]),
        weight_decay=float(point["weight-decay"]),
        dropout=float(point["dropout"]),
        shift=int(point["shift"]),
        warp=float(point["warp"]),
        seed=int(point["seed"]),
        fold=fold,
        widths=widths,
    )
