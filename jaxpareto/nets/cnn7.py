"""The convolutional network of Ha, Dai and Le (2017) for MNIST: kernels of 7 x 7."""

from collections.abc import Sequence

import jax

from jaxpareto.errors import UsageError
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import conv2d
from jaxpareto.types import Array, Key, Net, Params

SIDE = 7


def cnn7(
    image_shape: Sequence[int] = (28, 28),
    *,
    classes: int = 10,
    filters: int = 16,
    dropout: float | Array = 0.0,
) -> Net:
    """Make the network whose second kernel Ha et al. generate: 21,210 parameters.

    Convolution 7x7x16, pool, convolution 7x7x16, pool, dense c, with ReLU behind each
    pool; the zeros around the images keep their size. `conv1/kernel` has 12,544 of the
    parameters.

    Args:
      image_shape: (height, width) of the images.
      classes: `c`, outputs.
      filters: of both convolutions.
      dropout: probability of dropping what the dense layer sees, when a key is given.

    Returns:
      A `Net` whose `apply` returns logits [b, c].

    Raises:
      UsageError: the images are smaller than 4 x 4.

    Source: Ha, Dai and Le (2017), "HyperNetworks", its experiment on MNIST.

    >>> params = jax.eval_shape(cnn7().init, jax.random.key(0))
    >>> params["conv1"]["kernel"].size
    12544
    """
    height, width = (side // 2 // 2 for side in image_shape[:2])
    if height < 1 or width < 1:
        raise UsageError(
            f"images of {image_shape[0]} x {image_shape[1]} are too small to be pooled "
            "twice (at least 4 x 4); use --net mlp"
        )

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 3)
        return {
            "conv0": layers.weights(keys[0], SIDE, SIDE, 1, filters),
            "conv1": layers.weights(keys[1], SIDE, SIDE, filters, filters),
            "layer0": layers.weights(keys[2], height * width * filters, classes),
        }

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        x = layers.with_channels(images)
        for name in ("conv0", "conv1"):  # the ReLU commutes with the pool
            kernel = params[name]["kernel"]
            # Between so few filters a band is twice as fast as 49 narrow products.
            x = conv2d(x, kernel, padding=SIDE // 2, pool=2, form="banded")
            x = jax.nn.relu(x + params[name]["bias"][None, None, None])
        x = layers.dropout(key, x.reshape(len(x), -1), dropout)
        return layers.dense(params["layer0"], x)

    return Net(init, apply)
