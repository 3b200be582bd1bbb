"""One training step, and many of them, as pure functions.

The step is the same for every method: draw k preferences, make k networks, take their
losses, let the rule weigh the tasks, and follow the gradient in `phi`:

    d = 1/k sum_k sum_i w_i(L(pref_k), pref_k)  grad_phi L_i(params(phi, pref_k)).

The k preferences either all see the whole batch, or share it among them: b/k examples
each cost about what one preference costs and see more of the front.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxpareto.data import Batches
from jaxpareto.errors import UsageError
from jaxpareto.metrics import cross_entropy
from jaxpareto.types import Array, Conditioned, Key, Params, Rule, Sampler, Split


class Hparams(NamedTuple):
    """Settings that are numbers: traced, so that `vmap` sweeps them, compiled once.

    Attributes:
      learning_rate: at the peak of the schedule.
      weight_decay: of the optimiser; 0 is off.
    """

    learning_rate: float | Array = 1e-3
    weight_decay: float | Array = 0.0


class Recipe(NamedTuple):
    """Everything about a training that changes the compiled program.

    Attributes:
      conditioned: the network to train.
      rule: how the tasks are weighed at a preference.
      sampler: `sampler(key, k) -> [k, m]`.
      optimizer: `optimizer(hparams) -> optax.GradientTransformation`.
      prefs_per_step: `k`.
      split_batch: whether the k preferences share the batch instead of each seeing it.
    """

    conditioned: Conditioned
    rule: Rule
    sampler: Sampler
    optimizer: Callable[[Hparams], optax.GradientTransformation]
    prefs_per_step: int = 1
    split_batch: bool = False


class State(NamedTuple):
    """What the next step needs.

    Attributes:
      phi: parameters of the conditioned network.
      opt_state: of the optimiser.
      key: of the run; step t uses `fold_in(key, t)`, so nothing random is carried.
      step: number of steps done, int32.
    """

    phi: Params
    opt_state: Any
    key: Key
    step: Array


class Info(NamedTuple):
    """What a person needs to know of a step.

    Attributes:
      objective: the weighted loss, mean over preferences.
      losses: [m] loss per task in nats, mean over preferences.
      grad_norm: global norm of the gradient in `phi`, before clipping.
    """

    objective: Array
    losses: Array
    grad_norm: Array


def pixels(images: Array) -> Array:
    """Scale uint8 pixels to [0, 1]; floats are taken as they are."""
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255.0
    return images


def init(recipe: Recipe, key: Key, hparams: Hparams) -> State:
    """Make the state before the first step; the key is consumed.

    Args:
      recipe: what is trained and how.
      key: decides the initial parameters and all preferences and dropouts drawn later.
      hparams: numbers of the optimiser.
    """
    init_key, run_key = jax.random.split(key)
    phi = recipe.conditioned.init(init_key)
    opt_state = recipe.optimizer(hparams).init(phi)
    return State(phi, opt_state, run_key, jnp.zeros((), jnp.int32))


def step(
    recipe: Recipe, state: State, batch: Split, hparams: Hparams
) -> tuple[State, Info]:
    """Do one step on one batch.

    Args:
      recipe: what is trained and how.
      state: before the step.
      batch: images [b, h, w] uint8 or float, labels [b, m].
      hparams: numbers of the optimiser.

    Raises:
      UsageError: the batch is to be split and k does not divide it.
    """
    k = recipe.prefs_per_step
    key = jax.random.fold_in(state.key, state.step)
    pref_key, dropout_key = jax.random.split(key)
    prefs = recipe.sampler(pref_key, k)
    images, labels = batch
    if recipe.split_batch:
        check_split(len(images), k)
        images = images.reshape(k, -1, *images.shape[1:])
        labels = labels.reshape(k, -1, *labels.shape[1:])
    axis = 0 if recipe.split_batch else None

    def objective(phi: Params) -> tuple[Array, Array]:
        def at(pref: Array, images: Array, labels: Array, key: Key):
            logits = recipe.conditioned.apply(phi, pref, pixels(images), key=key)
            losses = jnp.mean(cross_entropy(logits, labels), axis=0)
            weights = recipe.rule(jax.lax.stop_gradient(losses), None, pref)
            return jax.lax.stop_gradient(weights) @ losses, losses

        keys = jax.random.split(dropout_key, k)
        values, losses = jax.vmap(at, (0, axis, axis, 0))(prefs, images, labels, keys)
        return jnp.mean(values), jnp.mean(losses, axis=0)

    (value, losses), gradient = jax.value_and_grad(objective, has_aux=True)(state.phi)
    updates, opt_state = recipe.optimizer(hparams).update(
        gradient, state.opt_state, state.phi
    )
    phi = optax.apply_updates(state.phi, updates)
    info = Info(value, losses, optax.tree.norm(gradient))
    return State(phi, opt_state, state.key, state.step + 1), info


def run_steps(
    recipe: Recipe,
    batches: Batches,
    state: State,
    data: Any,
    hparams: Hparams,
    epoch: Array | int,
    first: Array | int,
    *,
    count: int,
) -> tuple[State, Info]:
    """Scan `count` steps of an epoch, from its batch number `first` on.

    An epoch cut into pieces ends in the same state as one done in one go: the plan of
    its batches depends on the key and the epoch alone.

    Args:
      recipe: what is trained and how.
      batches: how batches are made from the data.
      state: before the steps.
      data: device arrays, as in `batches.data`.
      hparams: numbers of the optimiser.
      epoch: number of the epoch, from 0.
      first: number of the first batch, from 0.
      count: how many steps; a new count compiles anew.

    Returns:
      The state after, and the steps' `Info` with a leading axis [count].
    """
    # The order of the data has a key of its own, apart from those of the steps.
    plan_key = jax.random.fold_in(jax.random.fold_in(state.key, 0x0DA7A), epoch)
    plan = batches.begin(data, plan_key)

    def body(state: State, i: Array) -> tuple[State, Info]:
        return step(recipe, state, batches.take(data, plan, i), hparams)

    return jax.lax.scan(body, state, first + jnp.arange(count))


def train(
    recipe: Recipe,
    batches: Batches,
    epochs: int,
    key: Key,
    hparams: Hparams,
    data: Any,
) -> tuple[State, Info]:
    """Train from scratch in one pure function; map it over keys and hyperparameters.

    `jax.vmap(partial(train, recipe, batches, epochs), (0, None, None))` trains one
    network per key. The loop of `train.loop` does the same steps, with talking,
    checkpoints and stops in between.

    Args:
      recipe: what is trained and how.
      batches: how batches are made from the data.
      epochs: how many times through the data.
      key: the key is consumed.
      hparams: numbers of the optimiser.
      data: device arrays, as in `batches.data`.

    Returns:
      The last state, and the history: an `Info` with leading axes [epochs, steps].
    """

    def body(state: State, epoch: Array) -> tuple[State, Info]:
        return run_steps(
            recipe, batches, state, data, hparams, epoch, 0, count=batches.steps
        )

    return jax.lax.scan(body, init(recipe, key, hparams), jnp.arange(epochs))


def check_split(batch_size: int, k: int) -> None:
    """Raise `UsageError` unless k preferences can share the batch evenly."""
    if batch_size % k:
        raise UsageError(
            f"{k} preferences cannot share a batch of {batch_size} evenly; choose a "
            "--prefs-per-step that divides --batch-size, or --no-split-batch"
        )
