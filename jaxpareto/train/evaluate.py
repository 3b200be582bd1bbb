"""The front of a trained network: k networks on a whole test set, in one compiled call.

The weights are generated once per preference; the examples then stream through all k
networks batch by batch, so that memory does not grow with the test set.
"""

from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import require
from jaxpareto.metrics import (
    correct,
    cross_entropy,
    hypervolume,
    nondominated,
    spearman,
)
from jaxpareto.train.mesh import Devices
from jaxpareto.train.step import pixels
from jaxpareto.types import Array, Conditioned, Params, Split

BATCH = 500
"""Examples that go through all k networks at once."""


class Scores(NamedTuple):
    """Mean scores of k networks on m tasks.

    Attributes:
      losses: [k, m] cross-entropy in nats; smaller is better.
      accuracies: [k, m] share of right answers in [0, 1]; larger is better.
    """

    losses: Array
    accuracies: Array


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
    count = -(-n // min(BATCH, n))
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

        return jax.vmap(sums)(networks)

    batches = (batched(split.images), batched(split.labels), batched(jnp.ones(n)))
    if devices is not None:
        batches = devices.share_examples(batches)
    found = jax.tree.map(
        lambda x: jnp.sum(x, axis=0) / n, jax.lax.map(on_batch, batches)
    )
    return found if devices is None else devices.on_each(found)


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


def summarise(prefs: Array, scores: Scores, reference: float = 2.0) -> dict[str, Any]:
    """Put a front in the words of `front.json`.

    Args:
      prefs: [k, m] on the simplex.
      scores: of the k networks.
      reference: the loss, in nats, that a network must stay below to count in the
        hypervolume; the same for every task.

    Returns:
      `preferences`, `losses`, `accuracies`, `hypervolume`, `reference`, `nondominated`
      (a count) and `spearman` (rank correlation of pref_i with -loss_i, per task; None
      where it is not defined, as for a single preference).
    """
    losses = jnp.asarray(scores.losses)
    corner = jnp.full(losses.shape[1], reference)
    count, correlation = _order(jnp.asarray(prefs), losses)
    return {
        "preferences": np.asarray(prefs, np.float64).round(7).tolist(),
        "losses": np.asarray(losses, np.float64).tolist(),
        "accuracies": np.asarray(scores.accuracies, np.float64).tolist(),
        "hypervolume": volume(losses, corner),
        "reference": [float(x) for x in corner],
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
