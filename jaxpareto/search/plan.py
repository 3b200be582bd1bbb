"""What all trials of a search have in common, and the program that a point needs."""

from dataclasses import dataclass
from functools import cache

from jaxpareto.errors import UsageError, check_name
from jaxpareto.metrics import LOSSES
from jaxpareto.nets import CLASSICS
from jaxpareto.search.space import Point, Range, Space, complete, grid
from jaxpareto.train.examples import Examples
from jaxpareto.train.fit import Learner, Member
from jaxpareto.train.optimizers import SCHEDULES, optimizer
from jaxpareto.types import Net


@dataclass(frozen=True)
class Plan:
    """What all trials of a search have in common.

    Attributes:
      net: a name of `CLASSICS`.
      image: (height, width) of the images.
      classes: `c`.
      epochs: at most.
      patience: epochs without improvement before a trial stops; None is never.
      min_delta: by how much the validation loss must fall to count as improvement.
      folds: of the cross-validation; 1 is a plain split.
      schedule: of the learning rate over all epochs, a name of `SCHEDULES`.
      loss: a name of `LOSSES`; by default what suits the network.
    """

    net: str
    image: tuple[int, int]
    classes: int
    epochs: int = 20
    patience: int | None = None
    min_delta: float = 0.0
    folds: int = 1
    schedule: str = "constant"
    loss: str | None = None

    def __post_init__(self):
        """Refuse what cannot be run."""
        check_name(self.net, CLASSICS, "network")
        check_name(self.schedule, SCHEDULES, "schedule")
        if self.loss is not None:
            check_name(self.loss, LOSSES, "loss")
        least = {"epochs": 1, "patience": 1, "min_delta": 0.0, "folds": 1}
        for name, low in least.items():
            found = getattr(self, name)
            if found is not None and not found >= low:
                words = name.replace("_", "-")
                raise UsageError(f"--{words} must be at least {low}, found {found}")


def widths_of(plan: Plan, point: Point) -> tuple[int, ...]:
    """Return the width of each hidden layer of a point.

    Raises:
      UsageError: the network has other layers, or none that can change.
    """
    classic, width, depth = CLASSICS[plan.net], point["width"], point["depth"]
    known = classic.widths
    if (width, depth) == (None, None):
        return known
    if not known:
        raise UsageError(f"--net {plan.net} has no width or depth to vary")
    if depth is not None and isinstance(width, tuple) and len(width) != depth:
        raise UsageError(f"width {width} is not one for each of {depth} layers")
    if isinstance(width, tuple):
        found = width
    else:
        layers = len(known) if depth is None else depth
        found = (known[0] if width is None else width,) * layers
    if len(found) != len(known) and not classic.depth:
        raise UsageError(
            f"--net {plan.net} has {len(known)} hidden layer, found {len(found)}; use "
            "--net mlp"
        )
    return found


def check(plan: Plan, space: Space, data: Examples) -> None:
    """Refuse a space that the network or the data cannot serve, before any training.

    Raises:
      UsageError: widths, depths or dropout that the network does not have, images too
        small for it, or a batch larger than the training set.
    """
    classic = CLASSICS[plan.net]
    fixed = {"widths": classic.widths, "sizes": None, "dropout": 0.0}
    classic.make(plan.image, classes=plan.classes, **fixed)
    corners = {
        name: [int(x.low), int(x.high)] if isinstance(x, Range) else x
        for name, x in space.items()
        if name in ("width", "depth")
    }
    for point in grid(corners) if corners else []:
        widths_of(plan, point)
    if "dropout" in space and not classic.drops:
        raise UsageError(f"--net {plan.net} has no dropout to vary")
    sizes = space.get("batch-size", [complete({})["batch-size"]])
    largest = int(sizes.high) if isinstance(sizes, Range) else max(sizes)
    if largest > (rows := data.train.shape[1]):
        raise UsageError(
            f"batch-size {largest} for {rows} training examples; give 1 to {rows}"
        )


@cache
def make_learner(
    plan: Plan,
    batch_size: int,
    sizes: tuple[int, ...],
    name: str,
    *,
    drops: bool,
    shifts: bool,
    warps: bool,
    rows: int,
) -> Learner:
    """Make the program of a group; asked for again, it is the same.

    Args:
      plan: of the search.
      batch_size: of the steps.
      sizes: widths to compile for.
      name: of the optimiser.
      drops: whether dropout is on.
      shifts: whether images move.
      warps: whether they are warped.
      rows: to train on.
    """
    classic = CLASSICS[plan.net]

    def net(member: Member) -> Net:
        return classic.make(
            plan.image,
            classes=plan.classes,
            widths=member.widths,
            sizes=sizes,
            dropout=member.dropout,
        )

    usual = "squared-error" if classic.reconstructs else "cross-entropy"
    return Learner(
        net=net,
        optimizer=optimizer(
            name, plan.schedule, steps=plan.epochs * (rows // batch_size)
        ),
        loss=LOSSES[plan.loss or usual],
        batch_size=batch_size,
        epochs=plan.epochs,
        patience=plan.patience,
        min_delta=plan.min_delta,
        drops=drops,
        shifts=shifts,
        warps=warps,
        reconstructs=classic.reconstructs,
    )
