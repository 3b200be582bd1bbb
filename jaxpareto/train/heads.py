"""Train the heads of all weight decays at once: the loop of a study, and its files.

The folder of a study has `config.json`, `metrics.jsonl` (a line per epoch), `heads/`
(checkpoints) and `heads.safetensors` (all heads and the decays). A study that is killed
and continued takes the very same steps again.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding

from jaxpareto import logistic
from jaxpareto.data import Frozen
from jaxpareto.errors import RunError, UsageError
from jaxpareto.logistic import Head, Plan, Running, Sweep, Tally
from jaxpareto.train import log
from jaxpareto.train.checkpoint import Checkpoints
from jaxpareto.train.feeds import Feed, tests
from jaxpareto.train.head_config import HeadConfig, parse_decays
from jaxpareto.train.mesh import NETWORKS, Devices
from jaxpareto.types import Array, Key

RATE = 0.5
"""The learning rate that is taken where none is given, as a share of the stable one."""


@dataclass(frozen=True)
class Trained:
    """Heads, side by side, and what the last epoch saw of them.

    Attributes:
      wide: kernel [d, l c], bias [l c].
      decays: [l].
      running: of the last epoch.
      seconds: of training, over all sessions.
    """

    wide: Head
    decays: np.ndarray
    running: Running
    seconds: float

    @cached_property
    def heads(self) -> Head:
        """One by one: kernels [l, d, c], biases [l, c]."""
        return logistic.heads(self.wide, len(self.decays))


class _State(NamedTuple):
    """What a checkpoint holds: the groups of heads, and what their last epoch saw."""

    sweeps: list[Sweep]
    running: list[Running]


def train(
    config: HeadConfig,
    feed: Feed,
    frozen: Frozen,
    folder: Path,
    *,
    rate: float,
    quiet: bool = False,
) -> Trained:
    """Train from the newest checkpoint in `folder`, or from the start.

    Args:
      config: of the study.
      feed: the training rows.
      frozen: the problem they are of; its test rows are judged after every epoch.
      folder: of the study.
      rate: the learning rate of the first epochs.
      quiet: show no progress.

    Raises:
      RunError: a loss is not finite; the last good checkpoint is kept.
    """
    decays = np.array(parse_decays(config.decays))
    groups = group(decays, config.heads_per_group)
    d, c = frozen.train.features.shape[1], len(frozen.names)
    rule = optimizer(config, rate, feed.steps)
    state = _begin(config, groups, rule, d, c)
    devices = feed.devices
    state = state if devices is None else _placed(state, devices)
    checkpoints = Checkpoints(folder / "heads")
    found = checkpoints.restore(state)
    first, state = (0, state) if found is None else found
    metrics = log.Metrics(folder / "metrics.jsonl", first)
    bar = log.Progress(config.epochs * feed.steps, first * feed.steps, quiet=quiet)
    seconds = metrics.seconds
    plan = Plan(
        config.batch_size,
        config.order,
        config.decay_bias,
        None if config.operands == "float32" else jnp.dtype(config.operands),
    )
    walk = _walker(rule, plan, state, devices)
    test = tests(*frozen.test, devices)
    try:
        for epoch in range(first, config.epochs):
            began = time.perf_counter()
            state = _epoch(state, feed.moving(epoch), groups, walk)
            trained = _together(state, decays, 0.0, devices)
            jax.block_until_ready(trained.wide)
            spent = time.perf_counter() - began
            seconds += spent
            line = {"epoch": epoch + 1, "seconds": round(spent, 4)}
            line |= _numbers(trained, feed.still, test, devices)
            _check_finite(line, checkpoints)
            checkpoints.save(epoch + 1, state)
            metrics.write(line)
            best = np.min(line["test"]["loss"])
            bar.advance(feed.steps, f"epoch {epoch + 1}, best test loss {best:.4f}")
    finally:
        for each in (bar, metrics, checkpoints):
            each.close()
    return _together(state, decays, seconds, devices)


def group(decays: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut decays into groups of at most `size`; 0 is all of them.

    >>> [len(each) for each in group(np.arange(5.0), 2)]
    [2, 2, 1]
    """
    size = size or len(decays)
    return [decays[i : i + size] for i in range(0, len(decays), size)]


def optimizer(
    config: HeadConfig, rate: float, steps: int
) -> optax.GradientTransformation:
    """Make the optimiser of a study: its rate drops every few epochs."""
    every = config.drop_every
    if config.optimizer == "sgd":
        return logistic.sgd(
            rate, config.momentum, steps=steps, every=every, factor=config.drop
        )
    drops = {
        epoch * steps: config.drop for epoch in range(every, config.epochs + 1, every)
    }
    schedule = optax.piecewise_constant_schedule(rate, drops)
    return getattr(optax, config.optimizer)(schedule)


def first_rate(config: HeadConfig, features: Array) -> tuple[float, float]:
    """Choose the learning rate, and find the one above which SGD can diverge.

    Args:
      config: of the study.
      features: [n, d] training rows, or a good many of them.

    Returns:
      The rate of the first epochs, and the stable one.

    Raises:
      UsageError: SGD is asked for with a rate above it.
    """
    decays = parse_decays(config.decays)
    bound = jax.jit(logistic.stable_rate)(features, max(decays), config.momentum)
    stable = float(bound)
    if config.optimizer != "sgd":
        return config.learning_rate or 1e-3, stable
    rate = config.learning_rate or RATE * stable
    if rate > stable and not config.allow_unstable:
        raise UsageError(
            f"--learning-rate {rate:g} is above {stable:.4g}, where SGD on these "
            "features can diverge; lower it, leave it out, or add --allow-unstable"
        )
    return rate, stable


def _begin(
    config: HeadConfig,
    groups: list[np.ndarray],
    rule: optax.GradientTransformation,
    d: int,
    c: int,
) -> _State:
    """Start the heads of every group."""
    l = sum(map(len, groups))
    first = starts(config.start, l, d, c, jax.random.key(config.seed))
    sweeps, seen, at = [], [], 0
    for each in groups:
        rows = slice(at, at + len(each))
        at += len(each)
        wide = Head(
            jnp.moveaxis(first.kernel[rows], 0, 1).reshape(d, -1),
            first.bias[rows].reshape(-1),
        )
        sweeps.append(logistic.start(wide, rule))
        seen.append(logistic.running(logistic.nothing(len(each), c)))
    return _State(sweeps, seen)


def starts(name: str, l: int, d: int, c: int, key: Key) -> Head:
    """Make the heads that training begins with, kernels [l, d, c], biases [l, c].

    Args:
      name: of `STARTS`: zeros; the same uniform numbers within `1 / sqrt(d)` for every
        decay, as PyTorch's linear layer has them; or other ones for each decay.
      l: decays.
      d: features.
      c: classes.
      key: consumed.
    """
    if name == "zeros":
        return Head(jnp.zeros((l, d, c)), jnp.zeros((l, c)))
    draws = l if name == "consecutive" else 1
    of_kernel, of_bias = jax.random.split(key)
    most = 1.0 / math.sqrt(d)
    kernel = jax.random.uniform(of_kernel, (draws, d, c), minval=-most, maxval=most)
    bias = jax.random.uniform(of_bias, (draws, c), minval=-most, maxval=most)
    return Head(jnp.broadcast_to(kernel, (l, d, c)), jnp.broadcast_to(bias, (l, c)))


def _places(sweep: Sweep, devices: Devices) -> tuple[Any, Any]:
    """Say where a sweep and its tally lie: the heads one after another on the P."""

    def last_axis(x: Any) -> NamedSharding:
        return devices.at(*(None,) * (x.ndim - 1), NETWORKS) if x.ndim else devices.same

    each = devices.at(NETWORKS)
    tally: dict[str, Any] = dict.fromkeys(Tally._fields, each) | {"rows": devices.same}
    return jax.tree.map(last_axis, sweep), Tally(**tally)


def _placed(state: _State, devices: Devices) -> _State:
    """Share out the heads that training begins with."""
    sweeps = [devices.put(each, _places(each, devices)[0]) for each in state.sweeps]
    return _State(sweeps, devices.everywhere(state.running))


def _walker(
    rule: optax.GradientTransformation,
    plan: Plan,
    state: _State,
    devices: Devices | None,
) -> Callable[..., Any]:
    """Compile the steps of a table of rows, for a group of heads."""
    out = None
    if devices is not None:
        plan = plan._replace(look=devices.look, share=devices.share_rows)
        out = _places(state.sweeps[0], devices)
    walk = partial(logistic.walk, optimizer=rule, plan=plan)
    return jax.jit(walk, donate_argnums=0, out_shardings=out)


def _epoch(
    state: _State,
    rows: Iterable[tuple[Any, Any, Array]],
    groups: list[np.ndarray],
    walk: Callable[..., Any],
) -> _State:
    """Go once through the rows with every group of heads."""
    sweeps = list(state.sweeps)
    tallies = []
    for each in state.running:
        l, c = each.class_loss.shape
        tallies.append(logistic.nothing(l, c))
    for x, y, order in rows:
        # The device works on the block before while this one is read; without a wait
        # the reading would get far ahead, and hold all of the store.
        jax.block_until_ready(tallies)
        for i, decays in enumerate(groups):
            sweeps[i], tallies[i] = walk(sweeps[i], tallies[i], x, y, order, decays)
    return _State(sweeps, [logistic.running(tally) for tally in tallies])


def _together(
    state: _State, decays: np.ndarray, seconds: float, devices: Devices | None
) -> Trained:
    """Put the groups side by side, in this process."""
    found = [sweep.head for sweep in state.sweeps], state.running
    heads, seen = found if devices is None else devices.fetch(found)
    kernels, biases = zip(*heads, strict=True)
    running = jax.tree.map(lambda *each: jnp.concatenate(each), *seen)
    wide = Head(jnp.concatenate(kernels, axis=1), jnp.concatenate(biases))
    return Trained(wide, decays, running, seconds)


_judge = jax.jit(logistic.judge)
_norms = jax.jit(logistic.norms, static_argnames="l")


def judged(
    wide: Head, blocks: logistic.Blocks, l: int, devices: Devices | None = None
) -> logistic.Measured:
    """Judge l heads by rows that come in blocks, shared out if there are devices."""
    tally = logistic.nothing(l, wide.bias.size // l)
    if devices is None:
        for x, y in blocks():
            jax.block_until_ready(tally)  # as in `_epoch`
            tally = _judge(tally, wide, x, y)
        return logistic.measured(tally)
    judge, wide = _judge_on(devices, l), devices.everywhere(wide)
    for block in blocks():
        more = devices.fetch(judge(wide, block))
        tally = jax.tree.map(jnp.add, tally, more)
    return logistic.measured(tally)


@cache
def _judge_on(devices: Devices, l: int) -> Callable[..., Tally]:
    """Compile what a block adds to a tally; each device judges the rows it holds."""

    def seen(wide: Head, block: tuple[Array, Array]) -> Tally:
        nothing = logistic.nothing(l, wide.bias.size // l)
        # A device may hold no row of a block: the last batch has then no mean.
        return logistic.judge(nothing, wide, *block)._replace(last=nothing.last)

    return devices.add_up(seen)


def bounds(trained: Trained, feed: Feed) -> np.ndarray:
    """Bound how far each head is from the best one for its decay, [l]: `gaps`."""
    wide, decays, devices = trained.wide, jnp.asarray(trained.decays), feed.devices
    if devices is None:
        return np.asarray(logistic.gaps(wide, feed.still, decays))
    wide, decays = devices.everywhere((wide, decays))
    found = logistic.gaps(wide, feed.still, decays, filled=True)
    return np.asarray(devices.fetch(found))


def _numbers(
    trained: Trained,
    train: logistic.Blocks,
    test: logistic.Blocks,
    devices: Devices | None,
) -> dict[str, Any]:
    """Say how the heads do, in lists of l numbers."""
    l = len(trained.decays)
    sizes, squares = _norms(trained.wide, l)
    seen, here, there = (
        trained.running,
        judged(trained.wide, train, l, devices),
        judged(trained.wide, test, l, devices),
    )
    objective = here.loss + 0.5 * trained.decays * squares
    numbers = {
        "running": {"loss": seen.loss, "accuracy": seen.correct, "last": seen.last},
        "train": {"loss": here.loss, "accuracy": here.correct, "objective": objective},
        "test": {"loss": there.loss, "accuracy": there.correct},
        "sum_abs": sizes,
    }
    return jax.tree.map(lambda x: np.asarray(x, np.float64).tolist(), numbers)


def _check_finite(line: dict[str, Any], checkpoints: Checkpoints) -> None:
    losses = np.array(line["train"]["loss"])
    if np.isfinite(losses).all():
        return
    kept = checkpoints.epochs
    last = f"epoch {kept[-1]}" if kept else "none yet"
    raise RunError(
        f"the loss of {np.sum(~np.isfinite(losses))} heads is not finite after epoch "
        f"{line['epoch']}; the last good checkpoint is kept ({last}). Start anew with "
        "a lower --learning-rate"
    )
