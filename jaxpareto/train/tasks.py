"""Train networks conditioned on a task, and find the codes of tasks that came later.

A training on tasks is a training on preferences (`train.step`): the preferences are the
corners of the simplex over tasks, each step takes all of them, and the batch is split
so that every task sees its own rows (`data.per_task`). `recipe` puts that together.

`infer` keeps a trained network as it is and looks for the code of a new task.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxpareto import prefs
from jaxpareto.errors import UsageError
from jaxpareto.metrics import class_cross_entropy, correct
from jaxpareto.train.recipe import Hparams, Recipe, pixels
from jaxpareto.types import (
    Array,
    Conditioned,
    Key,
    Net,
    Params,
    Split,
    Weighed,
    Weighting,
)


def _alike(losses: Array, gram: Array | None, prefs: Array) -> Weighed:
    del gram, prefs
    return Weighed(jnp.ones_like(losses), jnp.ones(len(losses), bool))


ALIKE = Weighting(_alike, needs_gram=False)
"""Every task counts as much as every other."""


def mean_loss(logits: Array, labels: Array) -> Array:
    """Return the mean cross-entropy [1] in nats, of logits [b, c] and labels [b, 1]."""
    return jnp.mean(class_cross_entropy(logits, labels[:, 0]))[None]


def recipe(
    conditioned: Conditioned,
    tasks: int,
    optimizer: Callable[[Hparams], optax.GradientTransformation],
    *,
    one_by_one: bool = False,
) -> Recipe:
    """Say how a network conditioned on t tasks is trained: all tasks in each step.

    The objective is the mean of their cross-entropies, in nats.

    Args:
      conditioned: from `tasks.of_tasks`, or `conditioned.independent(net, np.eye(t))`;
        it answers logits [b, c].
      tasks: `t`.
      optimizer: `optimizer(hparams)`.
      one_by_one: as in `Recipe`.

    Returns:
      A recipe for batches from `data.per_task`.
    """
    corners = np.eye(tasks, dtype=np.float32)
    return Recipe(
        conditioned,
        ALIKE,
        prefs.fixed(corners),
        optimizer,
        prefs_per_step=tasks,
        split_batch=True,
        one_by_one=one_by_one,
        losses=mean_loss,
    )


def accuracies(
    conditioned: Conditioned, phi: Params, at: Array, which: Array, split: Split
) -> Array:
    """Measure networks on tasks, one after another.

    Args:
      conditioned: the network.
      phi: its parameters.
      at: [k, ...] preferences or codes, whatever `conditioned.params` reads.
      which: [k] the task that each is measured on; may be traced.
      split: images [t, n, ...], labels [t, n]; rows with the label -1 do not count.

    Returns:
      [k], the share of right answers.
    """

    def one(asked: tuple[Array, Array]) -> Array:
        mine, task = asked
        images, labels = split.images[task], split.labels[task]
        logits = conditioned.forward(conditioned.params(phi, mine), pixels(images))
        right = correct(logits[:, None], labels[:, None])  # no class is -1
        return jnp.sum(right) / jnp.sum(labels >= 0)

    return lax.map(one, (at, which))


class Inferred(NamedTuple):
    """What was found for a new task.

    Attributes:
      code: [w].
      losses: [steps] cross-entropy in nats, of each step's batch before the step.
    """

    code: Array
    losses: Array


def infer(
    conditioned: Conditioned,
    shared: Params,
    start: Any,
    rows: Split,
    count: int | Array,
    key: Key,
    optimizer: optax.GradientTransformation,
    *,
    steps: int,
    batch_size: int,
) -> Inferred:
    """Find the code of a new task; the network that reads it stays as it is.

    `argmin_code mean_i ce(forward(params(shared, code), images_i), labels_i)`, i among
    the first `count` rows, from which each step draws its batch with replacement.

    Args:
      conditioned: from `tasks.of_codes`. Any other `params(shared, what is sought)`
        will do: one that returns what is sought trains a network from scratch.
      shared: its parameters; never changed.
      start: the first code [w], or the first of whatever is sought.
      rows: images [n, ...], labels [n].
      count: how many of the rows are known, 1 to n; may be traced.
      key: draws the batches; consumed.
      optimizer: of the code.
      steps: how many.
      batch_size: rows of a step.

    Raises:
      UsageError: more examples than rows, or none.
    """
    if not isinstance(count, jax.Array):
        check_count(count, len(rows.labels))

    def loss(code: Any, batch: Split) -> Array:
        params = conditioned.params(shared, code)
        logits = conditioned.forward(params, pixels(batch.images))
        return jnp.mean(class_cross_entropy(logits, batch.labels))

    def step(carry: tuple[Any, Any], i: Array) -> tuple[tuple[Any, Any], Array]:
        code, state = carry
        drawn = jax.random.randint(jax.random.fold_in(key, i), (batch_size,), 0, count)
        batch = Split(rows.images[drawn], rows.labels[drawn])
        value, gradient = jax.value_and_grad(loss)(code, batch)
        updates, state = optimizer.update(gradient, state, code)
        return (optax.apply_updates(code, updates), state), value

    carry = start, optimizer.init(start)
    (code, _), losses = lax.scan(step, carry, jnp.arange(steps))
    return Inferred(code, losses)


def check_count(count: int, rows: int) -> None:
    """Refuse more examples than there are rows.

    Raises:
      UsageError: that, or no example.
    """
    if not 1 <= count <= rows:
        raise UsageError(f"{count} examples of {rows} rows; give 1 to {rows}")


def from_scratch(net: Net) -> Conditioned:
    """Let `infer` seek a whole network: what is sought are its parameters."""
    return Conditioned(
        net.init, lambda _, params: params, net.apply, batchwise=net.batchwise
    )
