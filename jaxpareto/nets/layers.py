"""Layers that the target networks share: dense, dropout, one head per task."""

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Params

he_normal = jax.nn.initializers.he_normal()


def weights(key: Key, *shape: int) -> Params:
    """Make `{"kernel", "bias"}`: kernel by He et al. (2015), bias zero.

    Args:
      key: the key is consumed.
      shape: of the kernel; the last axis is the output's, all others are fan-in.
    """
    return {"kernel": he_normal(key, shape), "bias": jnp.zeros(shape[-1])}


def dense(layer: Params, x: Array) -> Array:
    """Return `x @ kernel + bias`, [b, d_in] -> [b, d_out]."""
    return x @ layer["kernel"] + layer["bias"][None]


def dropout(key: Key | None, x: Array, rate: float) -> Array:
    """Zero each number with probability `rate` and scale the rest; no key, no change.

    `E[dropout(x)] = x`. The key is consumed.
    """
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), 0.0)


def heads(key: Key, tasks: int, width: int, classes: int) -> Params:
    """Make one dense head per task, under the names `task0`, `task1`, ..."""
    if tasks < 2:
        raise UsageError(f"a trade-off needs at least 2 tasks, found {tasks}")
    return {
        f"task{i}": weights(k, width, classes)
        for i, k in enumerate(jax.random.split(key, tasks))
    }


def answer(params: Params, x: Array) -> Array:
    """Apply every head of `params` to the shared features: [b, d] -> [b, m, c]."""
    names = sorted(name for name in params if name.startswith("task"))
    return jnp.stack([dense(params[name], x) for name in names], axis=1)
