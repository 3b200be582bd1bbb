"""Layers that the target networks share: dense, dropout, one head per task."""

import jax
import jax.numpy as jnp

from jaxpareto import draw
from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Params


def weights(key: Key, *shape: int) -> Params:
    """Make `{"kernel", "bias"}`: kernel by He et al. (2015), bias zero.

    Args:
      key: the key is consumed.
      shape: of the kernel; the last axis is the output's, all others are fan-in.
    """
    return {"kernel": draw.he(key, shape), "bias": jnp.zeros(shape[-1])}


def dense(layer: Params, x: Array) -> Array:
    """Return `x @ kernel + bias`, [b, d_in] -> [b, d_out]."""
    return x @ layer["kernel"] + layer["bias"][None]


def dropout(key: Key | None, x: Array, rate: float | Array) -> Array:
    """Zero each number with probability `rate` and scale the rest; no key, no change.

    `E[dropout(x)] = x`. The key is consumed; the rate may be traced.
    """
    if key is None or (isinstance(rate, float) and rate == 0.0):
        return x
    # The generator counts along the last axis first: drawn unit by unit, a network that
    # is padded with more units drops the same ones of its own.
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape[::-1]).T
    return jnp.where(keep, x / (1.0 - rate), 0.0)


def heads(
    key: Key, tasks: int, width: int, classes: int, *, hidden: int | None = None
) -> Params:
    """Make one dense head per task, under the names `task0`, `task1`, ...

    With `hidden` each has a rectified layer of that width, under `decoder0`, ...
    """
    if tasks < 2:
        raise UsageError(f"a trade-off needs at least 2 tasks, found {tasks}")
    keys = jax.random.split(key, tasks)
    if hidden is None:
        return {f"task{i}": weights(k, width, classes) for i, k in enumerate(keys)}
    made = {}
    for i, key in enumerate(keys):
        first, second = jax.random.split(key)
        made[f"decoder{i}"] = weights(first, width, hidden)
        made[f"task{i}"] = weights(second, hidden, classes)
    return made


def answer(params: Params, x: Array) -> Array:
    """Apply every head of `params` to the shared features: [b, d] -> [b, m, c]."""
    answers = []
    for name in sorted(name for name in params if name.startswith("task")):
        decoder = params.get(name.replace("task", "decoder"))
        seen = x if decoder is None else jax.nn.relu(dense(decoder, x))
        answers.append(dense(params[name], seen))
    return jnp.stack(answers, axis=1)


def with_channels(images: Array) -> Array:
    """Give images [b, h, w] the axis of their one channel; others have theirs."""
    return images[..., None] if images.ndim == 3 else images


def tail(params: Params, x: Array, rate: float | Array, key: Key | None) -> Array:
    """Apply the dense layers `layer0`, `layer1`, ...: ReLU and dropout between them."""
    count = sum(name.startswith("layer") for name in params)
    for i in range(count):
        x = dense(params[f"layer{i}"], x)
        if i < count - 1:
            noise = None if key is None else jax.random.fold_in(key, i)
            x = dropout(noise, jax.nn.relu(x), rate)
    return x
