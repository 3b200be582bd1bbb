"""Any network, its training images shifted a little at random, and mirrored."""

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Net, Params


def jittered(net: Net, most: int, *, mirror: bool = False) -> Net:
    """Shift each image by up to `most` pixels each way whenever a key is given.

    `apply(params, images, key=key) = net.apply(params, shifted(images), key=...)`

    with what moves in from outside zero. Without a key, as in evaluation, nothing
    moves.

    Args:
      net: takes images [b, h, w] or [b, h, w, channels].
      most: pixels; each whole number from `-most` to `most` is as likely, down and
        across. 0 shifts nothing.
      mirror: whether to swap left and right in half of the images.

    Raises:
      UsageError: `most` is negative.

    >>> from jaxpareto.nets import cnn7
    >>> net = jittered(cnn7((8, 8)), 2)
    >>> params = net.init(jax.random.key(0))
    >>> net.apply(params, jnp.ones((3, 8, 8)), key=jax.random.key(1)).shape
    (3, 10)
    """
    if most < 0:
        raise UsageError(f"images shifted by up to {most} pixels; give 0 or more")

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        if key is not None:
            key, shift_key, mirror_key = jax.random.split(key, 3)
            if mirror:
                images = _mirrored(images, mirror_key)
            if most:
                images = _shifted(images, shift_key, most)
        return net.apply(params, images, key=key)

    return net._replace(apply=apply)


def _mirrored(images: Array, key: Key) -> Array:
    chosen = jax.random.bernoulli(key, 0.5, (len(images),))
    chosen = chosen.reshape(-1, *(1 for _ in images.shape[1:]))
    return jnp.where(chosen, images[:, :, ::-1], images)


def _shifted(images: Array, key: Key, most: int) -> Array:
    """Surround images with zeros, and cut each out again from a corner of its own."""
    margins = [(0, 0), (most, most), (most, most)] + [(0, 0)] * (images.ndim - 3)
    corners = jax.random.randint(key, (len(images), 2), 0, 2 * most + 1)
    shape = images.shape[1:]

    def one(image: Array, corner: Array) -> Array:
        start = (corner[0], corner[1], *(0 for _ in shape[2:]))
        return jax.lax.dynamic_slice(image, start, shape)

    return jax.vmap(one)(jnp.pad(images, margins), corners)
