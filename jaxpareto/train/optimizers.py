"""Optimisers and learning-rate schedules of Optax, by name."""

import inspect
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxpareto.errors import check_name
from jaxpareto.train.recipe import Hparams
from jaxpareto.types import Array, Params

SCHEDULES: dict[str, Callable[[int], optax.Schedule]] = {
    "constant": lambda _: optax.constant_schedule(1.0),
    "cosine": lambda steps: optax.cosine_decay_schedule(1.0, steps),
    "linear": lambda steps: optax.linear_schedule(1.0, 0.0, steps),
    "exponential": lambda steps: optax.exponential_decay(1.0, steps, 0.01),
    "step": lambda steps: optax.piecewise_constant_schedule(
        1.0, {steps // 2: 0.1, steps * 3 // 4: 0.1}
    ),
}
"""Name -> `maker(steps) -> schedule` of height one; `schedule` scales and warms it."""


def schedule(
    name: str, peak: float | Array, *, steps: int, warmup: int = 0
) -> optax.Schedule:
    """Make a learning-rate schedule: a linear warm-up to `peak`, then the named decay.

    Args:
      name: a name of `SCHEDULES`.
      peak: the largest learning rate; may be traced.
      steps: of the whole run.
      warmup: the first of them, over which the rate rises from zero.

    Raises:
      UsageError: unknown schedule.

    >>> rate = schedule("cosine", 0.1, steps=100, warmup=10)
    >>> float(rate(0)), round(float(rate(10)), 3), round(float(rate(100)), 3)
    (0.0, 0.1, 0.0)
    """
    make = SCHEDULES[check_name(name, SCHEDULES, "schedule")]
    shape = make(max(steps - warmup, 1))
    if warmup:
        ramp = optax.linear_schedule(0.0, 1.0, warmup)
        shape = optax.join_schedules([ramp, shape], [warmup])
    return lambda count: peak * jnp.asarray(shape(count))


# One needs a random key of its own; the other is deprecated and warns.
_LEFT_OUT = ("noisy_sgd", "optimistic_adam")


@cache
def optimizer_names() -> tuple[str, ...]:
    """Names of the functions of Optax that make an optimiser from a schedule alone."""
    names = []
    for name, made in vars(optax).items():
        if name.startswith("_") or name in _LEFT_OUT or not inspect.isfunction(made):
            continue
        parameters = inspect.signature(made).parameters.values()
        needed = [p for p in parameters if p.default is p.empty]
        if [p.name for p in needed] != ["learning_rate"]:
            continue
        if "Callable" in str(needed[0].annotation):  # takes a schedule
            names.append(name)
    return tuple(sorted(names))


def optimizer(
    name: str,
    schedule_name: str,
    *,
    steps: int,
    warmup: int = 0,
    clip: float | None = None,
    base_until: float = 1.0,
    rest_rate: float = 1.0,
) -> Callable[[Hparams], optax.GradientTransformation]:
    """Return a maker of the named optimiser under the named schedule.

    The maker accepts traced hyperparameters, so that a sweep is a `vmap`. Weight decay
    is the optimiser's own where it has one; elsewhere it is decoupled and scaled by
    the learning rate, `phi -= rate(t) decay phi` (Loshchilov and Hutter, 2019).

    Args:
      name: any optimiser of Optax that needs a learning rate alone.
      schedule_name: a name of `SCHEDULES`.
      steps: of the whole run.
      warmup: steps over which the rate rises linearly from zero.
      clip: largest global norm of the gradient.
      base_until: the share of the training after which parameters whose name begins
        with `base` stay as they are (as in LORPMAN).
      rest_rate: learning rate of all other parameters, relative (m in PaLoRA).

    Raises:
      UsageError: unknown optimiser or schedule.

    >>> tx = optimizer("adam", "cosine", steps=100)(Hparams(learning_rate=1e-3))
    >>> _ = tx.init({"w": 1.0})
    """
    check_name(name, optimizer_names(), "optimizer")
    check_name(schedule_name, SCHEDULES, "schedule")
    maker = getattr(optax, name)
    has_decay = "weight_decay" in inspect.signature(maker).parameters

    def make(hparams: Hparams) -> optax.GradientTransformation:
        peak = hparams.learning_rate
        rate = schedule(schedule_name, peak, steps=steps, warmup=warmup)
        clipping = [] if clip is None else [optax.clip_by_global_norm(clip)]
        if has_decay:
            rest = [maker(learning_rate=rate, weight_decay=hparams.weight_decay)]
        else:
            # What arrives here is to be added, hence the sign.
            decay = optax.add_decayed_weights(
                lambda t: -1.0 * rate(t) * hparams.weight_decay
            )
            rest = [maker(learning_rate=rate), decay]
        if base_until < 1.0 or rest_rate != 1.0:
            rest.append(_parts(round(base_until * steps), rest_rate))
        return optax.chain(*clipping, *rest)

    return make


def _parts(base_steps: int, rest_rate: float) -> optax.GradientTransformation:
    """Stop the updates of the base at a step, and scale those of the rest."""

    def label(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "base" if path[0].key.startswith("base") else "rest", params
        )

    def moves(t: ArrayLike) -> Array:
        return jnp.where(jnp.asarray(t) < base_steps, 1.0, 0.0)

    stop = optax.scale_by_schedule(moves)
    return optax.partition({"base": stop, "rest": optax.scale(rest_rate)}, label)
