"""The front of a trained network: k networks on a whole test set, in one compiled call.

The weights are generated once per preference; the examples then stream through all k
networks batch by batch, so that memory does not grow with the test set.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.data.batches import count_rows
from jaxpareto.errors import require
from jaxpareto.metrics import (
    correct,
    cross_entropy,
    hypervolume,
    nondominated,
    spearman,
)
from jaxpareto.train.mesh import Devices
from jaxpareto.train.microbatch import choose_microbatch
from jaxpareto.train.recipe import pixels
from jaxpareto.types import Array, Conditioned, Params, Split

BATCH = 500
"""Examples that go through all k networks at once."""


class Scores(NamedTuple):
    """Mean scores of k networks on m tasks.

    Attributes:
      losses: [k, m] cross-entropy in nats; smaller is better.
      accuracies: [k, m] share of right answers in [0, 1]; larger is better. None where
        nothing is to be right or wrong.
    """

    losses: Array
    accuracies: Array | None


@partial(jax.jit, static_argnames=("conditioned", "devices"))
def score(
    conditioned: Conditioned,
    phi: Params,
    prefs: Array,
    split: Split,
    devices: Devices | None = None,
) -> Scores:
    """Score the networks for k preferences on a split.

    Args:
      conditioned: the network.
      phi: its parameters.
      prefs: [k, m] on the simplex.
      split: images [n, h, w] uint8, labels [n, m].
      devices: to share the examples of a batch; phi and the split are on all of them.
    """
    n = len(split.images)
    image = jax.ShapeDtypeStruct(split.images.shape[1:], jnp.float32)
    piece = choose_microbatch(conditioned, prefs.shape[1], image)
    # One network after another, where a few images fill the cache; else side by side.
    alone = devices is None and 0 < piece < BATCH
    count = -(-n // min(piece if alone else BATCH, n))
    size = -(-n // count)
    if devices is not None:
        size += -size % devices.count
    surplus = count * size - n

    def batched(x: Array) -> Array:
        x = jnp.pad(x, [(0, surplus)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(count, size, *x.shape[1:])

    networks = jax.vmap(conditioned.params, (None, 0))(phi, prefs)

    def on_batch(batch: tuple[Array, Array, Array]) -> Scores:
        images, labels, present = batch
        scaled = pixels(images)

        def sums(params: Params) -> Scores:
            logits = conditioned.forward(params, scaled)
            per_example = Scores(cross_entropy(logits, labels), correct(logits, labels))
            mask = present[:, None]
            return jax.tree.map(lambda x: jnp.sum(x * mask, axis=0), per_example)

        return jax.lax.map(sums, networks) if alone else jax.vmap(sums)(networks)

    batches = (batched(split.images), batched(split.labels), batched(jnp.ones(n)))
    if devices is not None:
        batches = devices.share_examples(batches)
    found = jax.tree.map(
        lambda x: jnp.sum(x, axis=0) / n, jax.lax.map(on_batch, batches)
    )
    return found if devices is None else devices.on_each(found)


@partial(jax.jit, static_argnums=(0, 4), static_argnames="batch_size")
def measure(
    conditioned: Conditioned,
    phi: Params,
    prefs: Array,
    data: Split,
    measures: tuple[Callable[[Any, Any], Array], ...],
    *,
    batch_size: int = BATCH,
) -> tuple[Array, ...]:
    """Measure the networks for k preferences on examples of any kind.

    Args:
      conditioned: the network.
      phi: its parameters.
      prefs: [k, m] on the simplex.
      data: inputs and targets, pytrees of arrays with a leading axis [n].
      measures: functions `f(outputs, targets) -> [m]`, means over the examples given.
      batch_size: examples that go through all k networks at once.

    Returns:
      The mean of each measure over all n examples, [k, m].
    """
    n = count_rows(data)
    size = min(batch_size, n)
    whole = n // size
    networks = jax.vmap(conditioned.params, (None, 0))(phi, prefs)

    def on_batch(batch: Split) -> tuple[Array, ...]:
        def of_one(params: Params) -> tuple[Array, ...]:
            outputs = conditioned.forward(params, batch.images)
            return tuple(each(outputs, batch.labels) for each in measures)

        return jax.vmap(of_one)(networks)

    head = jax.tree.map(
        lambda leaf: leaf[: whole * size].reshape(whole, size, *leaf.shape[1:]), data
    )
    means = jax.lax.map(on_batch, head)
    found = jax.tree.map(lambda mean: jnp.mean(mean, axis=0), means)
    if rest := n - whole * size:
        last = on_batch(jax.tree.map(lambda leaf: leaf[whole * size :], data))
        share = rest / n
        found = jax.tree.map(lambda a, b: (1 - share) * a + share * b, found, last)
    return found


def volume(losses: Array, corner: Array) -> float:
    """Measure the hypervolume of a front [k, m]; both ways of doing so are exact.

    Beyond three objectives `metrics.hypervolume` takes k^(m - 1) steps, and moocore,
    where it is installed, far fewer.
    """
    if losses.shape[1] > 3 and find_spec("moocore"):
        moocore = require("moocore", "metrics")
        points, reference = (np.asarray(x, np.float64) for x in (losses, corner))
        return float(moocore.hypervolume(points, ref=reference))
    return float(_hypervolume(losses, corner))


_hypervolume = jax.jit(hypervolume)


def summarise(prefs: Array, scores: Scores, reference: Any = 2.0) -> dict[str, Any]:
    """Put a front in the words of `front.json`.

    Args:
      prefs: [k, m] on the simplex.
      scores: of the k networks.
      reference: the loss that a network must stay below to count in the hypervolume; a
        number for all tasks (2.0 nats), or [m]. None leaves the hypervolume out.

    Returns:
      `preferences`, `losses`, `accuracies`, `hypervolume`, `reference`, `nondominated`
      (a count) and `spearman` (rank correlation of pref_i with -loss_i, per task; None
      where it is not defined, as for a single preference).
    """
    losses = jnp.asarray(scores.losses)
    corner = None
    if reference is not None:
        corner = jnp.broadcast_to(jnp.asarray(reference, float), losses.shape[1])
    count, correlation = _order(jnp.asarray(prefs), losses)
    return {
        "preferences": np.asarray(prefs, np.float64).round(7).tolist(),
        "losses": np.asarray(losses, np.float64).tolist(),
        "accuracies": None
        if scores.accuracies is None
        else np.asarray(scores.accuracies, np.float64).tolist(),
        "hypervolume": None if corner is None else volume(losses, corner),
        "reference": None if corner is None else [float(x) for x in corner],
        "nondominated": int(count),
        "spearman": [
            None if np.isnan(x) else float(x) for x in np.asarray(correlation)
        ],
    }


@jax.jit
def _order(prefs: Array, losses: Array) -> tuple[Array, Array]:
    """Count the non-dominated points, and correlate pref_i with -loss_i, [m]."""
    correlation = jax.vmap(spearman, (1, 1))(prefs, -losses)
    return jnp.sum(nondominated(losses)), correlation
