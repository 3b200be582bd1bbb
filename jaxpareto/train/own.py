"""A front of your own problem: any network, any arrays, any losses.

`fit_front` is what `jaxpareto front` does, with functions in place of names: the same
step, the same loop, the same evaluation.
"""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpareto import prefs, tree
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.data.batches import count_rows, stored
from jaxpareto.errors import RunError, UsageError, check_name
from jaxpareto.rules import RULES
from jaxpareto.train import folder as folders
from jaxpareto.train import loop, optimizers
from jaxpareto.train.evaluate import Scores, measure, summarise
from jaxpareto.train.microbatch import choose_microbatch
from jaxpareto.train.recipe import Hparams, Recipe, as_it_is
from jaxpareto.train.step import check_split
from jaxpareto.types import (
    Array,
    Conditioned,
    Key,
    Net,
    Params,
    Sampler,
    Split,
    Weighting,
)

Losses = Callable[[Any, Any], Array]
"""`losses(outputs, targets) -> [m]`: one mean per task over the examples of a batch."""

_NAMES = tuple(name for name in CONDITIONERS if name not in ("input", "independent"))
_OPTIONS = {"heads": {"width": 32, "straight": 0.25}}  # as in the preset prism


@dataclass(frozen=True)
class Plan:
    """The numbers of a call of `fit_front`, which a folder keeps."""

    epochs: int
    batch_size: int
    prefs_per_step: int
    split_batch: bool
    learning_rate: float
    seed: int

    def __post_init__(self):
        """Refuse what cannot be run, before any work."""
        for name in ("epochs", "batch_size", "prefs_per_step"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, found {vars(self)[name]}")
        if not 0.0 < self.learning_rate < float("inf"):
            raise UsageError(
                f"learning_rate must be positive, found {self.learning_rate}"
            )
        if self.split_batch:
            check_split(self.batch_size, self.prefs_per_step)


@dataclass(frozen=True)
class OwnFront:
    """A trained family of networks of your own: one for every preference.

    Attributes:
      conditioned: the network.
      phi: its parameters.
      losses: what it was trained for.
      m: the number of tasks.
      seconds: of training.
    """

    conditioned: Conditioned
    phi: Params
    losses: Losses
    m: int
    seconds: float

    @cached_property
    def _params(self):
        return jax.jit(self.conditioned.params)

    @cached_property
    def _apply(self):
        return jax.jit(self.conditioned.apply)

    def params(self, pref: Any) -> Params:
        """Generate your network's parameters for a preference [m] on the simplex.

        Raises:
          UsageError: `pref` is not on the simplex, or of the wrong length.
        """
        return self._params(self.phi, prefs.check_pref(pref, self.m))

    def __call__(self, pref: Any, x: Any) -> Any:
        """Answer what your network answers to `x`, for a preference [m].

        Raises:
          UsageError: `pref` is not on the simplex, or of the wrong length.
        """
        pref = prefs.check_pref(pref, self.m)
        return self._apply(self.phi, pref, jax.tree.map(jnp.asarray, x))

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
          asked: how many preferences of an even grid, or preferences [k, m].
          accuracies: `f(outputs, y) -> [m]`, shares of right answers, if there are any.
          reference: the losses [m] that a network must stay below to count in the
            hypervolume, in the units of the losses; None leaves that out.
          batch_size: examples that go through all networks at once. What is no mean
            over examples depends on it.

        Raises:
          UsageError: the arrays do not fit together, or a preference is no such.
        """
        began = time.perf_counter()
        at = _asked(asked, self.m)
        split = _split(data)
        measures = (self.losses, *([accuracies] if accuracies else []))
        found = measure(
            self.conditioned,
            self.phi,
            jnp.asarray(at),
            split,
            measures,
            batch_size=batch_size,
        )
        scores = Scores(found[0], found[1] if accuracies else None)
        front = summarise(jnp.asarray(at), scores, reference)
        target = jax.eval_shape(self.conditioned.params, self.phi, jnp.ones(self.m))
        return {
            "schema": 1,
            **front,
            "seconds_training": round(self.seconds, 3),
            "seconds_evaluation": round(time.perf_counter() - began, 3),
            "examples": count_rows(split),
            "parameters": {
                "target": tree.count(target),
                "conditioned": tree.count(self.phi),
            },
        }


def fit_front(
    net: Net,
    data: tuple[Any, Any],
    losses: Losses,
    *,
    conditioner: str | Callable[[Net, int, Key], Conditioned] = "heads",
    conditioner_options: Mapping[str, Any] | None = None,
    rule: str | Weighting = "linear",
    sampler: Sampler | None = None,
    optimizer: optax.GradientTransformation | None = None,
    epochs: int = 40,
    batch_size: int = 64,
    prefs_per_step: int = 8,
    split_batch: bool = True,
    learning_rate: float = 5e-3,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> OwnFront:
    """Learn a front of your own network, arrays and losses in one training run.

    Args:
      net: the target network: `Net(init, apply)` of your own, or one that
        `adapt.from_linen` or `adapt.from_nnx` made of a Flax module.
      data: (x, y), arrays or pytrees of arrays with one leading axis [n]. `x` reaches
        `net.apply` as it is, `y` reaches `losses`.
      losses: `f(outputs, y) -> [m]`, a mean per task over the examples it is given;
        smaller is better. It says how many tasks there are. On a CPU a large batch is
        judged in pieces, and what is no mean over examples depends on their size.
      conditioner: a name of `conditioned.CONDITIONERS` other than `"input"` and
        `"independent"`, or `f(net, m, key) -> Conditioned`.
      conditioner_options: of the named one (`jaxpareto front --list`); None is what
        suits.
      rule: a name of `rules.RULES`, or a `Weighting` made of a function by
        `rules.from_rule`, `from_scalarisation`, `from_solver` or `from_set`.
      sampler: of preferences; by default Dirichlet(0.2).
      optimizer: any of Optax; by default Adam, its learning rate warmed up over a tenth
        of the steps and then lowered along a cosine.
      epochs: times through the examples.
      batch_size: examples at every step, `b`; what is left over of an epoch waits for
        the next one.
      prefs_per_step: `k`, preferences at every step.
      split_batch: whether these share the batch, b/k examples each, or each see all.
      learning_rate: at the peak of the default optimiser's schedule.
      seed: decides everything random.
      folder: where to keep checkpoints and `metrics.jsonl`; None keeps nothing.
      resume: continue what is in the folder; the functions must be the same.
      quiet: show no progress.

    Returns:
      The front: `front(pref, x)`, `front.params(pref)`, `front.evaluate((x, y))`.

    Raises:
      UsageError: an unknown name, arrays that do not fit together, a number out of its
        range, or losses that are not [m].
      RunError: a loss is not finite.

    >>> x = np.linspace(-1.0, 1.0, 64, dtype=np.float32)[:, None]
    >>> y = np.concatenate([x, -x], axis=1)  # two wishes that one line cannot grant
    >>> line = Net(
    ...     lambda key: {"slope": jax.random.normal(key, (1, 1))},
    ...     lambda params, x, *, key=None: x @ params["slope"],
    ... )
    >>> def losses(said, y):
    ...     return jnp.mean((said - y) ** 2, axis=0)
    >>> more = {"conditioner": "linear", "epochs": 60, "learning_rate": 0.1}
    >>> front = fit_front(line, (x, y), losses, batch_size=16, **more)
    >>> print(front.params([1.0, 0.0])["slope"].round(1))
    [[1.]]
    """
    chosen = Plan(epochs, batch_size, prefs_per_step, split_batch, learning_rate, seed)
    split = _split(data)
    m = _count_tasks(net, losses, split)
    batches = stored(split, chosen.batch_size)
    steps = chosen.epochs * batches.steps
    conditioned = _condition(net, m, conditioner, conditioner_options, chosen.seed)
    example = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), split.images
    )
    recipe = Recipe(
        conditioned=conditioned,
        rule=_weigh(rule),
        sampler=sampler or prefs.SAMPLERS["dirichlet"](m, 0.2),
        optimizer=_optimize(optimizer, steps),
        prefs_per_step=chosen.prefs_per_step,
        split_batch=chosen.split_batch,
        losses=losses,
        steps=steps,
        inputs=as_it_is,
        microbatch=choose_microbatch(conditioned, m, example),
    )
    kept = None
    if folder is not None:
        kept = Path(folder)
        folders.check_folder(kept, chosen, resume=resume, read=_read_plan)
        folders.write_config(kept, chosen)
    fitted = loop.fit(
        recipe,
        batches,
        jax.random.key(chosen.seed),
        Hparams(chosen.learning_rate),
        kept,
        epochs=chosen.epochs,
        quiet=quiet,
    )
    return OwnFront(recipe.conditioned, fitted.state.best, losses, m, fitted.seconds)


def _read_plan(folder: Path) -> Plan:
    try:
        return Plan(**folders.read_config(folder)["config"])
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{folder / 'config.json'} is no plan of fit_front ({error})"
        ) from error


def _split(data: Any) -> Split:
    """Put (x, y) on the device."""
    if not isinstance(data, tuple) or len(data) != 2:
        raise UsageError(f"data must be a tuple (x, y), found {type(data).__name__}")
    split = Split(*(jax.tree.map(jnp.asarray, part) for part in data))
    count_rows(split)
    return split


def _count_tasks(net: Net, losses: Losses, split: Split) -> int:
    """Ask the losses how many tasks there are, without computing any."""
    _check_net(net)
    params = jax.eval_shape(net.init, jax.random.key(0))
    outputs = jax.eval_shape(net.apply, params, split.images)
    found = jax.tree.map(np.shape, jax.eval_shape(losses, outputs, split.labels))
    if not isinstance(found, tuple) or len(found) != 1 or found[0] < 2:
        raise UsageError(
            "losses(outputs, y) must return one array [m], a mean for each of m >= 2 "
            f"tasks (jnp.stack makes one of several numbers); found {found}"
        )
    return found[0]


def _check_net(net: Any) -> None:
    """Refuse what is no target network, before JAX says so in its own words."""
    if not isinstance(net, Net):
        raise UsageError(
            f"net must be a Net, found {type(net).__name__}; adapt.from_linen and "
            "adapt.from_nnx make one of a Flax module, Net(init, apply) of functions"
        )
    takes = inspect.signature(net.apply).parameters.values()
    if not any(each.name == "key" or each.kind is each.VAR_KEYWORD for each in takes):
        raise UsageError(
            "net.apply takes no key; write apply(params, x, *, key=None): a key turns "
            "dropout on, and may be ignored"
        )


def _condition(
    net: Net,
    m: int,
    conditioner: str | Callable[[Net, int, Key], Conditioned],
    options: Mapping[str, Any] | None,
    seed: int,
) -> Conditioned:
    """Make the conditioned network of a name or of a function."""
    key = jax.random.key(seed)
    if not isinstance(conditioner, str):
        if options is not None:
            raise UsageError("conditioner_options go with the name of a conditioner")
        return conditioner(net, m, key)
    chosen = CONDITIONERS[check_name(conditioner, _NAMES, "conditioner")]
    given = _OPTIONS.get(conditioner, {}) if options is None else options
    for name in given:
        check_name(name, chosen.options, f"option of conditioner {conditioner}")
    return chosen.make(net, m, key, **(chosen.options | dict(given)))


def _weigh(rule: str | Weighting) -> Weighting:
    if isinstance(rule, str):
        return RULES[check_name(rule, RULES, "rule")]
    if not isinstance(rule, Weighting):
        raise UsageError(
            "rule must be a name or a Weighting; make one of a function by "
            "rules.from_rule, from_scalarisation, from_solver or from_set"
        )
    return rule


def _optimize(
    optimizer: optax.GradientTransformation | None, steps: int
) -> Callable[[Hparams], optax.GradientTransformation]:
    if optimizer is None:
        return optimizers.optimizer("adam", "cosine", steps=steps, warmup=steps // 10)
    return lambda _: optimizer


def _asked(asked: int | Any, m: int) -> np.ndarray:
    """Return the preferences [k, m] to evaluate at."""
    if isinstance(asked, int):
        return np.asarray(prefs.grid(asked, m))
    return np.stack([np.asarray(prefs.check_pref(pref, m)) for pref in asked])
