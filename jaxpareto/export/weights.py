"""Weights alone, as safetensors: any framework reads them, none is needed."""

from typing import Any

import jax

from jaxpareto.errors import require
from jaxpareto.export.network import Network


def to_safetensors(network: Network) -> bytes:
    """Write the weights as the bytes of a safetensors file.

    Each leaf of the pytree is a tensor, named by its path, as `hidden0/kernel`; the
    metadata say the network and its preference.

    Raises:
      RunError: safetensors is not installed.
    """
    safetensors = require("safetensors.flax", "export")
    return safetensors.save(named(network.weights), metadata=network.about)


def named(params: Any) -> dict[str, Any]:
    """Name the leaves of a pytree by their paths.

    >>> named({"conv0": {"kernel": 1, "bias": 2}})
    {'conv0/bias': 2, 'conv0/kernel': 1}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
    }
