"""Everything that repeats a run: one frozen dataclass, mirrored by the command."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import jax

from jaxpareto import options
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.data import DATASETS, LAYOUTS
from jaxpareto.errors import UsageError, check_name
from jaxpareto.nets import NETWORKS
from jaxpareto.prefs import SAMPLERS
from jaxpareto.rules import RULES, rule_with_options
from jaxpareto.train.folder import flag
from jaxpareto.train.optimizers import SCHEDULES, optimizer_names
from jaxpareto.train.recipe import GRAM_OF
from jaxpareto.train.step import check_split
from jaxpareto.types import Weighting


def option(default: Any, help: str) -> Any:
    """Make a field with a default and the sentence that `--help` shows."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Config:
    """Settings of a run. Those left out take the defaults that suit the data set.

    Together the defaults are the preset `prism`.
    """

    data: str = option("multi-digits", "data set: " + ", ".join(DATASETS))
    tasks: int = option(2, "images on one canvas, each a task")
    layout: str = option("jitter", "how they are composed: " + ", ".join(LAYOUTS))
    train_pairs: int = option(120_000, "composed images to train and validate on")
    test_pairs: int = option(20_000, "composed images to test on")
    validation: float = option(0.1, "share of the training images held out")
    fresh_pairs: bool = option(True, "compose new training pairs at every step")
    data_seed: int = option(0, "decides the composed images")
    network: str = option("lenet", "target network: " + ", ".join(NETWORKS))
    conditioner: str = option("heads", "one of " + ", ".join(CONDITIONERS))
    conditioner_options: str = option("", "its own, as width=16,tables=2 (--list)")
    rule: str = option("linear", "weighting rule (--list): " + ", ".join(RULES))
    rule_options: str = option("", "its own, as penalty=4 (--list)")
    gram_of: str = option(
        "phi", "whose gradients a solver compares: " + ", ".join(GRAM_OF)
    )
    sampler: str = option("dirichlet", "of preferences: " + ", ".join(SAMPLERS))
    alpha: float = option(0.2, "concentration of the Dirichlet sampler")
    prefs_per_step: int = option(8, "preferences at every step")
    split_batch: bool = option(True, "they share the batch, or each sees all of it")
    epochs: int = option(20, "times through the training pairs")
    batch_size: int = option(64, "images at every step")
    optimizer: str = option("adam", "any of Optax: " + ", ".join(optimizer_names()))
    learning_rate: float = option(5e-3, "at the peak of the schedule")
    schedule: str = option("cosine", "of the learning rate: " + ", ".join(SCHEDULES))
    warmup: int = option(400, "steps of linear warm-up")
    weight_decay: float = option(0.0, "decoupled; 0 is off")
    clip: float = option(0.0, "largest global norm of the gradient; 0 is off")
    average: float = option(0.0, "decay of a moving average of the weights; 0 is off")
    penalty: float = option(0.0, "weight of the conditioner's own penalty, if any")
    base_until: float = option(1.0, "share of the steps after which the base stays")
    rest_rate: float = option(1.0, "learning rate of what is not the base, relative")
    seed: int = option(0, "decides everything random but the data")
    eval_prefs: int = option(25, "preferences of the evaluated front")
    checkpoint_every: int = option(2, "epochs between two checkpoints")
    patience: int = option(
        0, "checkpoints no better on validation before it stops; 0 is never"
    )
    min_delta: float = option(0.0, "growth of the hypervolume that counts as better")

    def __post_init__(self):
        """Refuse what cannot be run, before any work."""
        names = {
            "data": DATASETS,
            "layout": LAYOUTS,
            "network": NETWORKS,
            "conditioner": CONDITIONERS,
            "rule": RULES,
            "gram_of": GRAM_OF,
            "sampler": SAMPLERS,
            "optimizer": optimizer_names(),
            "schedule": SCHEDULES,
        }
        for name, known in names.items():
            check_name(getattr(self, name), known, name)
        for name, least in _LEAST.items():
            found = getattr(self, name)
            if not found >= least:
                raise UsageError(
                    f"{flag(name)} must be at least {least}, found {found}"
                )
        for name in ("alpha", "learning_rate"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise UsageError(
                    f"{flag(name)} must be positive, found {getattr(self, name)}"
                )
        if not 0.0 < self.validation < 1.0:
            raise UsageError(
                f"--validation must lie between 0 and 1, found {self.validation}"
            )
        if not 0.0 <= self.average < 1.0:
            raise UsageError(
                f"--average must be at least 0 and below 1, found {self.average}"
            )
        self._check_patience()
        self.conditioner_settings()
        self.weighting()
        if self.conditioner == "independent" and self.split_batch:
            raise UsageError(
                "independent networks each see the whole batch; add --no-split-batch"
            )
        if self.conditioner != "independent":
            # Traced, not run: it says what it refuses.
            draw = SAMPLERS[self.sampler](self.tasks, self.alpha)
            jax.eval_shape(lambda: draw(jax.random.key(0), self.prefs_per_step))
        if self.split_batch:
            check_split(self.batch_size, self.prefs_per_step)

    def _check_patience(self) -> None:
        """Refuse early stopping that cannot stop anything."""
        if self.min_delta and not self.patience:
            raise UsageError(f"--min-delta {self.min_delta:g} needs --patience")
        if self.patience and self.checkpoint_every >= self.epochs:
            raise UsageError(
                f"--patience {self.patience}: with --checkpoint-every "
                f"{self.checkpoint_every} of {self.epochs} epochs there is one look at "
                "the validation images, at the end; make checkpoints more often"
            )

    def conditioner_settings(self) -> dict[str, Any]:
        """Read the options of the conditioner, all of them.

        Raises:
          UsageError: it has no such option, or not of that type.
        """
        known = CONDITIONERS[self.conditioner].options
        what = f"conditioner {self.conditioner}"
        return known | options.parse(self.conditioner_options, known, what)

    def weighting(self) -> Weighting:
        """Make the rule with its options.

        Raises:
          UsageError: it has no such option, or not of that type.
        """
        return rule_with_options(self.rule, self.rule_options)


_LEAST = {
    "tasks": 2,
    "train_pairs": 2,
    "test_pairs": 1,
    "prefs_per_step": 1,
    "epochs": 1,
    "batch_size": 1,
    "warmup": 0,
    "weight_decay": 0.0,
    "clip": 0.0,
    "penalty": 0.0,
    "base_until": 0.0,
    "rest_rate": 0.0,
    "seed": 0,
    "data_seed": 0,
    "eval_prefs": 1,
    "checkpoint_every": 1,
    "patience": 0,
    "min_delta": 0.0,
}

DEFAULTS: dict[str | tuple[str, str], dict[str, Any]] = {
    "multi-digits": {
        "network": "mlp",
        "epochs": 40,
        "checkpoint_every": 5,
    },
    "heads": {"conditioner_options": "width=32,straight=0.25"},
    ("multi-digits", "chunked"): {"conditioner_options": "chunk_size=500"},
    "independent": {
        "prefs_per_step": 9,
        "split_batch": False,
        "learning_rate": 3e-3,
    },
}
"""What differs from the defaults of `Config`, for a data set, a conditioner or both."""


def configure(**given: Any) -> Config:
    """Make a `Config` from what is given and the defaults that suit it.

    Raises:
      UsageError: an unknown setting or name, or a number out of its range.

    >>> configure(data="multi-digits").network
    'mlp'
    >>> configure(data="multi-mnist", network="lenet").batch_size
    64
    """
    known = [each.name for each in dataclasses.fields(Config)]
    for name in given:
        check_name(name, known, "setting")
    data = check_name(given.get("data", Config.data), DATASETS, "data")
    defaults: dict[str, Any] = {
        "train_pairs": DATASETS[data].train_pairs,
        "test_pairs": DATASETS[data].test_pairs,
    }
    conditioner = given.get("conditioner", Config.conditioner)
    for chosen in (data, conditioner, (data, conditioner)):
        defaults |= DEFAULTS.get(chosen, {})
    return Config(**(defaults | given))
