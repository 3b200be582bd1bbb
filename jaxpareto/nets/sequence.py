"""Convolution and pooling along one axis, and a network of them on flattened images.

A flattened image is a sequence of pixels, row after row. What looks at three of them
sees neighbours in a row, and at its end the first pixels of the next.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import UsageError
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import conv2d, max_pool
from jaxpareto.types import Array, Key, Net, Params


def conv1d(x: Array, kernel: Array, *, stride: int = 1, padding: int = 0) -> Array:
    """Convolve (cross-correlate) sequences.

    `out[b, t, f] = sum_{i, g} x[b, stride t + i - padding, g] kernel[i, g, f]`

    Args:
      x: [b, length, channels]; zero outside.
      kernel: [reach, channels, filters].
      stride: how far the kernel moves from one output to the next.
      padding: zeros at both ends.

    Returns:
      [b, (length + 2 padding - reach) // stride + 1, filters].

    Raises:
      UsageError: the kernel is longer than the padded sequence, or channels differ.

    >>> conv1d(jnp.ones((1, 64, 1)), jnp.ones((3, 1, 32))).shape
    (1, 62, 32)
    """
    if x.ndim != 3 or kernel.ndim != 3:
        raise UsageError(
            f"expected sequences [b, length, channels] and a kernel [reach, channels, "
            f"filters], found {x.shape} and {kernel.shape}"
        )
    x = jnp.pad(x, ((0, 0), (padding, padding), (0, 0)))
    return conv2d(x[:, None], kernel[None], stride=stride)[:, 0]


def max_pool1d(x: Array, size: int = 2, *, stride: int | None = None) -> Array:
    """Take the maximum over pieces of sequences; a remainder at the end is dropped.

    `out[b, t, f] = max_{i < size} x[b, stride t + i, f]`

    Args:
      x: [b, length, channels].
      size: of a piece.
      stride: how far one piece is from the next; by default `size`.

    Returns:
      [b, (length - size) // stride + 1, channels].

    >>> max_pool1d(jnp.arange(6.0).reshape(1, 6, 1))[0, :, 0].tolist()
    [1.0, 3.0, 5.0]
    """
    return max_pool(x[:, None], (1, size), stride=stride)[:, 0]


def sequence_net(
    image_shape: Sequence[int],
    *,
    classes: int = 10,
    kernel: int = 3,
    filters: int = 32,
    pool: int = 2,
    widths: Sequence[int] = (100,),
    dropout: float | Array = 0.0,
) -> Net:
    """Make the convolutional network of the source report on flattened digits.

    Convolution of `filters` kernels, max-pool, then dense layers with ReLU: on 8 x 8
    pixels Conv1D(3, 1, 32), MaxPool1D(2, 2), Linear(992, 100), Linear(100, 10). As
    there, nothing but the maximum follows the convolution.

    Args:
      image_shape: (height, width) of the images.
      classes: `c`, outputs.
      kernel: pixels that a kernel sees.
      filters: number of kernels.
      pool: pixels that a maximum is taken of.
      widths: of the dense hidden layers; () for none.
      dropout: probability of dropping an output of those, when a key is given.

    Returns:
      A `Net` whose `apply` returns logits [b, c].

    Raises:
      UsageError: the images are too small.

    >>> params = jax.eval_shape(sequence_net((8, 8)).init, jax.random.key(0))
    >>> params["layer0"]["kernel"].shape
    (992, 100)
    """
    pixels = int(np.prod(image_shape))
    length = (pixels - kernel + 1) // pool
    if length < 1 or min(kernel, filters, pool, *widths, classes) < 1:
        raise UsageError(
            f"{pixels} pixels are too few for a kernel of {kernel} and pools of "
            f"{pool}, or one of the sizes is below 1"
        )
    sizes = (length * filters, *widths, classes)

    def init(key: Key) -> Params:
        first, *rest = jax.random.split(key, len(sizes))
        dense = {
            f"layer{i}": layers.weights(k, sizes[i], sizes[i + 1])
            for i, k in enumerate(rest)
        }
        return {"conv": layers.weights(first, kernel, 1, filters)} | dense

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        x = conv1d(images.reshape(len(images), -1, 1), params["conv"]["kernel"])
        x = max_pool1d(x, pool) + params["conv"]["bias"][None, None]
        return layers.tail(params, x.reshape(len(x), -1), dropout, key)

    return Net(init, apply)
