"""Networks of this library as backbones: what was trained here gives features too."""

import hashlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from jaxpareto.backbones.preprocess import decode_exactly
from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Backbone, Net, Params


def of_net(
    name: str,
    net: Net,
    params: Params,
    *,
    image_shape: tuple[int, int],
    channels: int = 1,
) -> Backbone:
    """Freeze a network of this library: its features are what its heads see.

    Args:
      name: of the backbone, for people.
      net: such as a row of `nets.NETWORKS` makes.
      params: its parameters, e.g. `front.params(pref)` of a finished run.
      image_shape: (height, width) of its images. A picture of another size is refused,
        never resized.
      channels: 1 (grey) or 3.

    Returns:
      The backbone: its `prepare` gives [h, w] or [h, w, 3] uint8, its `features` scales
      them to [0, 1] as training does, and its fingerprint is the hash of the
      parameters' bytes, one leaf after another in the order of the pytree.

    Raises:
      UsageError: the network has no shared features, or other images.

    >>> from jaxpareto.nets import mlp
    >>> net = mlp((8, 8), widths=(5,))
    >>> backbone = of_net("tiny", net, net.init(jax.random.key(0)), image_shape=(8, 8))
    >>> image = backbone.prepare(np.zeros((8, 8), np.uint8))
    >>> backbone.dim, backbone.features(image[None]).shape
    (5, (1, 5))
    """
    see = net.features
    if see is None:
        raise UsageError(f"{name} has no features that all its heads share")
    if channels not in (1, 3):
        raise UsageError(f"expected 1 or 3 channels, found {channels}")
    shape = (*image_shape, *([3] if channels == 3 else []))
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    try:
        dim = jax.eval_shape(see, params, images).shape[1]
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(
            f"these parameters of {name} do not fit images of {image_shape[0]} x "
            f"{image_shape[1]} with {channels} channels"
        ) from error

    @jax.jit
    def features(params: Params, images: Array) -> Array:
        return see(params, _scaled(images, shape)).astype(jnp.float32)

    return Backbone(
        name=name,
        dim=dim,
        features=Partial(features, jax.device_put(params)),
        prepare=partial(decode_exactly, shape=shape),
        fingerprint=_hash(params),
        preprocess=f"{'RGB' if channels == 3 else 'grey'} {image_shape[0]} x "
        f"{image_shape[1]}, / 255",
    )


def _scaled(images: Array, shape: tuple[int, ...]) -> Array:
    if images.dtype != jnp.uint8 or images.shape[1:] != shape:
        raise UsageError(
            f"expected images [b, {', '.join(map(str, shape))}] of uint8 as prepare "
            f"gives them, found {images.shape} of {images.dtype}"
        )
    return images.astype(jnp.float32) / 255.0


def _hash(params: Params) -> str:
    """Return the SHA-256 of the parameters' bytes, in the order of their paths."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
