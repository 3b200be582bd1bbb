"""A network as ONNX, through jax2onnx, checked in ONNX Runtime before it is given away.

jax2onnx has conversions of its own for the layers of Flax, and they refuse a single
preference [m], which has no batch axis. So the part that makes weights of a preference
is traced here first, and what it converts are JAX's own primitives.
"""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxpareto.errors import RunError, UsageError, require
from jaxpareto.export.network import Network
from jaxpareto.types import Array, Params

TOLERANCE = 1e-5
"""Largest difference to JAX, relative to the largest logit or to 1."""


def to_onnx(network: Network) -> bytes:
    """Write the network as the bytes of an ONNX file.

    Inputs are `images` and, where it is one, `preference`; the output is `logits`. It
    is run once in ONNX Runtime on random images, and compared with JAX.

    Raises:
      UsageError: it is a network of your own.
      RunError: packages of the extra `onnx` are missing, or the converted network does
        not answer as JAX does.
    """
    if network.example is not None:
        raise UsageError(
            "ONNX files are for runs of jaxpareto front; a front of your own leaves as "
            ".jaxexport or .safetensors"
        )
    jax2onnx, onnx = require("jax2onnx", "onnx"), require("onnx", "onnx")
    require("onnxruntime", "onnx")
    plain = network
    if network.make is not None:
        plain = network._replace(make=_traced(network))
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # shapes it does not know
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own, on every call
        model = jax2onnx.to_onnx(
            plain.answer,
            inputs=list(network.shapes.values()),
            input_names=list(network.shapes),
            output_names=["logits"],
            model_name=network.about["network"],
        )
    onnx.helper.set_model_props(model, network.about)
    data = model.SerializeToString()
    found = difference(network, data)
    if not found <= TOLERANCE:
        raise RunError(
            f"the ONNX network differs from JAX by {found:.1e}, more than "
            f"{TOLERANCE:g}: nothing was written; use --format jaxexport"
        )
    return data


def difference(network: Network, data: bytes, *, examples: int = 4) -> float:
    """Compare an ONNX file with JAX on random images and preferences.

    `max |onnx - jax| / max(1, max |jax|)`

    Args:
      network: what was exported.
      data: the file.
      examples: how many images; each preference sees all of them.
    """
    runtime = require("onnxruntime", "onnx")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    images = random.random((examples, *network.image), np.float32)
    centre = np.full(network.tasks, 1 / network.tasks, np.float32)
    prefs = [*np.eye(network.tasks, dtype=np.float32), centre]
    inputs = [(pref, images) for pref in prefs] if network.whole else [(images,)]
    answer, worst = jax.jit(network.answer), 0.0
    for each in inputs:
        (found,) = session.run(None, dict(zip(network.shapes, each, strict=True)))
        want = np.asarray(answer(*map(jnp.asarray, each)))
        scale = max(1.0, float(np.abs(want).max()))
        worst = max(worst, float(np.abs(found - want).max()) / scale)
    return worst


def _traced(network: Network) -> Callable[[Params, Array], Params]:
    """Return `make` as a list of primitives, without the modules it is written in."""
    assert network.make is not None
    traced, shapes = jax.make_jaxpr(network.make, return_shape=True)(
        network.weights, jnp.zeros(network.tasks)
    )
    evaluate: Any = core.jaxpr_as_fun(traced)
    structure = jax.tree.structure(shapes)

    def make(phi: Params, pref: Array) -> Params:
        return jax.tree.unflatten(structure, evaluate(*jax.tree.leaves(phi), pref))

    return make
