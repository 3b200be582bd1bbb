"""Settings of a study of weight decays: one frozen dataclass, as the command has it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpareto.errors import UsageError, check_name
from jaxpareto.logistic import ORDERS
from jaxpareto.train.config import option
from jaxpareto.train.folder import flag

_HALF_DECADES = tuple(float(f"{10.0**power:.3g}") for power in np.arange(-7, -1.9, 0.5))

GRIDS: dict[str, tuple[float, ...]] = {
    "half-decades": (0.0, *_HALF_DECADES),
    # Nine of the study's eleven are in its text; its grid lacks one half-decade, which
    # is most likely this one.
    "study": (0.0, *(x for x in _HALF_DECADES if x != 3.16e-7)),
}
"""Name -> weight decays."""

OPTIMIZERS = ("sgd", "adam", "rmsprop", "adagrad", "lion", "sign_sgd")
"""Of Optax, those that treat every number alone, as heads side by side need it."""

OPERANDS = ("float32", "bfloat16", "float16")
STARTS = ("zeros", "uniform", "consecutive")
SERIES = ("end", "running")
CLASS_LOSSES = ("plain", "penalised")
SELECTIONS = ("half", "test")

FAITHFUL: dict[str, Any] = {
    "decays": "study",
    "learning_rate": 0.1,
    "allow_unstable": True,
    "order": "none",
    "decay_bias": True,
    "start": "consecutive",
    "series": "running",
    "class_loss": "penalised",
    "selection": "test",
}
"""What the study's own listing does; each can be switched back alone.

Its learning rate, momentum and batch size are not printed; these are the usual ones.
"""


@dataclass(frozen=True)
class HeadConfig:
    """Settings of a study. The defaults are the sound way; `FAITHFUL` is the report's.

    The last three say what is drawn and chosen by; all else is how heads are trained.
    """

    data: str = option("digits-d4", "features: a set that ships, or a store's folder")
    test: str = option("", "store of the test rows; else a share of those in --data")
    test_share: float = option(0.3, "of the images of --data, where --test is absent")
    decays: str = option(
        "half-decades", "weight decays, as 0,1e-4,1e-3, or one of " + ", ".join(GRIDS)
    )
    epochs: int = option(90, "times through the training rows")
    batch_size: int = option(256, "rows at every step")
    optimizer: str = option("sgd", "one of " + ", ".join(OPTIMIZERS))
    learning_rate: float = option(0.0, "of the first epochs; 0: from the stable rate")
    allow_unstable: bool = option(False, "go on above the stable rate of SGD")
    momentum: float = option(0.9, "of SGD")
    drop_every: int = option(30, "epochs between two drops of the rate")
    drop: float = option(0.1, "factor of a drop")
    order: str = option("epoch", "rows permuted anew every epoch, or as they are: none")
    decay_bias: bool = option(False, "whether the decay acts on the bias too")
    start: str = option("zeros", "of the heads: " + ", ".join(STARTS))
    operands: str = option("float32", "type of the factors of the large products")
    heads_per_group: int = option(0, "heads that are stepped together; 0: all")
    stream: bool = option(False, "read rows from the store in every epoch")
    exact: bool = option(False, "also solve each problem exactly")
    seed: int = option(0, "decides order, start, split and bootstrap")
    series: str = option("end", "curves taken at the end of epochs, or running")
    class_loss: str = option("plain", "classes' training losses: plain, penalised")
    selection: str = option("half", "choose a decay on half of the test rows, or test")

    def __post_init__(self):
        """Refuse what cannot be run, before any work."""
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("order", ORDERS),
            ("start", STARTS),
            ("operands", OPERANDS),
            ("series", SERIES),
            ("class_loss", CLASS_LOSSES),
            ("selection", SELECTIONS),
        ):
            check_name(getattr(self, name), known, name)
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise UsageError(
                    f"{flag(name)} must be at least {least}, found "
                    f"{getattr(self, name)}"
                )
        if not 0.0 <= self.momentum < 1.0:
            raise UsageError(
                f"--momentum must be at least 0 and below 1, found {self.momentum}"
            )
        if not 0.0 < self.test_share < 1.0:
            raise UsageError(
                f"--test-share must lie between 0 and 1, found {self.test_share}"
            )
        parse_decays(self.decays)


_LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "learning_rate": 0.0,
    "drop_every": 1,
    "drop": 0.0,
    "heads_per_group": 0,
    "seed": 0,
}


def parse_decays(text: str) -> tuple[float, ...]:
    """Read weight decays: the name of a grid, or numbers.

    Raises:
      UsageError: a word that is no number, a negative one, or the same one twice.

    >>> parse_decays("0.01, 0"), len(parse_decays("study"))
    ((0.0, 0.01), 11)
    """
    if text in GRIDS:
        return GRIDS[text]
    try:
        found = tuple(sorted(float(word) for word in text.split(",")))
    except ValueError:
        known = ", ".join(GRIDS)
        raise UsageError(
            f"--decays must be numbers as 0,1e-4,1e-3, or one of {known}; found "
            f"{text!r}"
        ) from None
    if not all(0.0 <= x < math.inf for x in found):
        raise UsageError(f"--decays must be at least 0 and finite, found {text}")
    if len(set(found)) < len(found):
        raise UsageError(f"--decays names one decay twice: {text}")
    return found
