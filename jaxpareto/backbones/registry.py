"""Backbones by name, from a file of weights."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from jaxpareto.backbones.convert import from_state_dict
from jaxpareto.backbones.preprocess import MEAN, PREPROCESSINGS, STD, prepare
from jaxpareto.backbones.weights import file_hash, read_weights
from jaxpareto.errors import UsageError, check_name
from jaxpareto.nets import imagenet
from jaxpareto.types import Array, Backbone, Params

BACKBONES = imagenet.ARCHITECTURES
"""Name -> what tells one backbone from another, such as its `dim`."""


def load(
    name: str, weights: str | Path, *, preprocess: str = "v2", folded: bool = True
) -> Backbone:
    """Load a ResNet of torchvision or timm as a frozen network.

    Args:
      name: one of `BACKBONES`.
      weights: a `.safetensors` file, or a `.pth` of torchvision or timm.
      preprocess: one of `PREPROCESSINGS`; for torchvision, that of the weights' name.
      folded: put the batch norms into the convolutions, which is faster and rounds
        differently.

    Returns:
      The backbone: its `prepare` gives [224, 224, 3] uint8, its `features` are the mean
      over all pixels of the last stage, and its fingerprint is the hash of the file. On
      accelerators that round the operands of a product, `features` does so as well;
      `jax.default_matmul_precision("highest")` around it prevents that.

    Raises:
      UsageError: unknown name.
      RunError: the file is damaged, or holds the weights of something else.
    """
    check_name(name, BACKBONES, "backbone")
    steps = PREPROCESSINGS[check_name(preprocess, PREPROCESSINGS, "preprocessing")]
    fingerprint = file_hash(weights)
    params = from_state_dict(read_weights(weights), name)
    del params["head"]
    params = jax.jit(imagenet.fold)(params) if folded else jax.device_put(params)
    return Backbone(
        name=name,
        dim=BACKBONES[name].dim,
        features=Partial(_features, params),
        prepare=partial(prepare, steps=steps),
        fingerprint=fingerprint,
        preprocess=steps.words,
    )


def standardise(images: Array) -> Array:
    """Scale prepared pictures as the networks were trained: `(x / 255 - mean) / std`.

    Args:
      images: [b, h, w, 3] uint8.

    Returns:
      [b, h, w, 3] float32.

    Raises:
      UsageError: not bytes, which would be scaled twice.
    """
    if images.dtype != jnp.uint8:
        raise UsageError(
            f"expected images of uint8 as prepare gives them, found {images.dtype}"
        )
    mean, std = (jnp.asarray(each, jnp.float32) for each in (MEAN, STD))
    scaled = images.astype(jnp.float32) / 255.0
    return (scaled - mean[None, None, None]) / std[None, None, None]


@jax.jit
def _features(params: Params, images: Array) -> Array:
    """Return the features [b, d] of prepared pictures [b, h, w, 3]."""
    return imagenet.features(params, standardise(images))
