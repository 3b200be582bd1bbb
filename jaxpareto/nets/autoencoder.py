"""Autoencoders: dense as in the source report, and convolutional in one and two axes.

Each maps images to a latent vector and back to pixels in [0, 1]. The dense one has an
activation on its latent vector, as in the report, unless told otherwise; the
convolutional ones have none, so that the latent space is not squeezed into a cube.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import UsageError
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import conv2d
from jaxpareto.nets.dense import chain, dense_net
from jaxpareto.nets.sequence import conv1d, max_pool1d
from jaxpareto.types import Array, Key, Net, Params


class Autoencoder(NamedTuple):
    """Two halves that share a parameter pytree.

    Attributes:
      init: `init(key) -> params`; the key is consumed.
      encode: `encode(params, images) -> latent`, [b, h, w] -> [b, d].
      decode: `decode(params, latent) -> pixels`, [b, d] -> [b, h w] in [0, 1].
    """

    init: Callable[[Key], Params]
    encode: Callable[[Params, Array], Array]
    decode: Callable[[Params, Array], Array]

    @property
    def net(self) -> Net:
        """The whole as a `Net` whose `apply` returns reconstructed pixels [b, h w]."""

        def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
            del key
            return self.decode(params, self.encode(params, images))

        return Net(self.init, apply)


def dense_autoencoder(
    image_shape: Sequence[int] = (8, 8),
    *,
    widths: Sequence[int | Array] = (200, 50, 200),
    sizes: Sequence[int] | None = None,
    activation: str = "tanh",
    code: str | None = None,
) -> Autoencoder:
    """Make the dense autoencoder of the source report, 64-200-50-200-64 by default.

    Args:
      image_shape: (height, width) of the images.
      widths: of the encoder's hidden layer, of the latent vector and of the decoder's
        hidden layer, or any other odd number; may be traced where `sizes` are given.
      sizes: widths to compile for, by default `widths` themselves.
      activation: of all of them; the output is a sigmoid.
      code: activation of the latent vector, where it is another, as `"linear"`.

    Raises:
      UsageError: an even number of widths, one below 1, or an unknown activation.

    >>> coder = dense_autoencoder()
    >>> params = coder.init(jax.random.key(0))
    >>> coder.encode(params, jnp.ones((5, 8, 8))).shape
    (5, 50)
    """
    hidden = [int(width) for width in widths] if sizes is None else list(sizes)
    if len(hidden) % 2 == 0:
        raise UsageError(
            f"an autoencoder has an odd number of hidden layers, found {len(hidden)}"
        )
    pixels, cut = int(np.prod(image_shape)), len(hidden) // 2 + 1
    names = [activation] * len(hidden) + ["sigmoid"]
    names[cut - 1] = code or activation
    live = None if sizes is None else [*widths, pixels]
    net = dense_net((pixels, *hidden, pixels), names, widths=live and live[:-1])

    def encode(params: Params, images: Array) -> Array:
        return chain(params, images, names, live, last=cut)

    def decode(params: Params, latent: Array) -> Array:
        return chain(params, latent, names, live, first=cut)

    return Autoencoder(net.init, encode, decode)


def conv_autoencoder(
    image_shape: Sequence[int] = (8, 8), *, latent: int = 50, filters: int = 16
) -> Autoencoder:
    """Make a convolutional autoencoder: 45,971 parameters on 8 x 8, latent 50.

    Encoder: convolution 3x3 of f filters, ReLU, convolution 3x3 of 2 f filters with
    stride 2, dense. Decoder: dense to f maps of half the side, each pixel repeated
    2 x 2, convolution 3x3 of f filters, ReLU, convolution 3x3, sigmoid.
    What surrounds the latent vector is linear: with a ReLU on either side the error on
    digits is half as large again. Repeating and convolving leaves no checkerboard, as a
    transposed convolution does (Odena et al., 2016).

    Args:
      image_shape: (height, width) of the images, both even.
      latent: `d`, numbers of the latent vector.
      filters: f.

    Raises:
      UsageError: an odd side, or a size below 1.

    >>> params = jax.eval_shape(conv_autoencoder().init, jax.random.key(0))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    45971
    """
    height, width = image_shape[:2]
    if height % 2 or width % 2 or min(latent, filters) < 1:
        raise UsageError(
            f"expected images with even sides, and a latent size and filters of at "
            f"least 1; found {height} x {width}, {latent} and {filters}"
        )
    low, f = (height // 2, width // 2), filters
    pieces = low[0] * low[1]

    def init(key: Key) -> Params:
        shapes = {
            "conv0": (3, 3, 1, f),
            "conv1": (3, 3, f, 2 * f),
            "latent": (pieces * 2 * f, latent),
            "spread": (latent, pieces * f),
            "conv2": (3, 3, f, f),
            "conv3": (3, 3, f, 1),
        }
        keys = jax.random.split(key, len(shapes))
        return {
            name: layers.weights(k, *shape)
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def convolve(params: Params, name: str, x: Array, stride: int = 1) -> Array:
        layer = params[name]
        x = conv2d(x, layer["kernel"], stride=stride, padding=1)
        return x + layer["bias"][None, None, None]

    def encode(params: Params, images: Array) -> Array:
        x = jax.nn.relu(convolve(params, "conv0", layers.with_channels(images)))
        x = convolve(params, "conv1", x, stride=2)
        return layers.dense(params["latent"], x.reshape(len(x), -1))

    def decode(params: Params, latent: Array) -> Array:
        x = layers.dense(params["spread"], latent)
        x = x.reshape(len(x), *low, f)
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = convolve(params, "conv3", jax.nn.relu(convolve(params, "conv2", x)))
        return jax.nn.sigmoid(x.reshape(len(x), -1))

    return Autoencoder(init, encode, decode)


def sequence_autoencoder(
    image_shape: Sequence[int] = (8, 8), *, latent: int = 50, filters: int = 12
) -> Autoencoder:
    """Make a convolutional autoencoder of flattened images, all along one axis.

    Encoder: convolution 3 of f filters, max-pool 2, ReLU, dense. Decoder: dense to f
    channels of half the length, each repeated twice, convolution 3 of f filters,
    ReLU, convolution 3, sigmoid.

    Args:
      image_shape: (height, width) of the images, of an even number of pixels.
      latent: `d`, numbers of the latent vector.
      filters: f.

    Raises:
      UsageError: an odd number of pixels, or a size below 1.

    >>> coder = sequence_autoencoder((8, 8), latent=10)
    >>> coder.encode(coder.init(jax.random.key(0)), jnp.ones((5, 8, 8))).shape
    (5, 10)
    """
    pixels, f = int(np.prod(image_shape)), filters
    if pixels % 2 or min(latent, filters) < 1:
        raise UsageError(
            f"expected an even number of pixels, and a latent size and filters of at "
            f"least 1; found {pixels}, {latent} and {filters}"
        )

    def init(key: Key) -> Params:
        shapes = {
            "conv0": (3, 1, f),
            "latent": (pixels // 2 * f, latent),
            "spread": (latent, pixels // 2 * f),
            "conv1": (3, f, f),
            "conv2": (3, f, 1),
        }
        keys = jax.random.split(key, len(shapes))
        return {
            name: layers.weights(k, *shape)
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def convolve(params: Params, name: str, x: Array) -> Array:
        layer = params[name]
        return conv1d(x, layer["kernel"], padding=1) + layer["bias"][None, None]

    def encode(params: Params, images: Array) -> Array:
        x = convolve(params, "conv0", images.reshape(len(images), -1, 1))
        x = jax.nn.relu(max_pool1d(x))
        return layers.dense(params["latent"], x.reshape(len(x), -1))

    def decode(params: Params, latent: Array) -> Array:
        x = layers.dense(params["spread"], latent)
        x = jnp.repeat(x.reshape(len(x), -1, f), 2, axis=1)
        x = convolve(params, "conv2", jax.nn.relu(convolve(params, "conv1", x)))
        return jax.nn.sigmoid(x.reshape(len(x), -1))

    return Autoencoder(init, encode, decode)
