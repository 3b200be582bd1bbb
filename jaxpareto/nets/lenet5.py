"""LeNet-5 for one task, as the source report has it: 6 and 16 filters, 120 and 84."""

from collections.abc import Sequence

import jax

from jaxpareto.errors import UsageError
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import conv2d
from jaxpareto.types import Array, Key, Net, Params


def lenet5(
    image_shape: Sequence[int] = (28, 28),
    *,
    classes: int = 10,
    dropout: float | Array = 0.0,
) -> Net:
    """Make LeNet-5 with ReLU and max-pooling: 44,426 parameters on 28 x 28.

    Convolution 5x5x6, pool, convolution 5x5x16, pool, dense 120, dense 84, dense c
    (LeCun et al., 1998, with today's activation, pooling and a full second layer).

    Args:
      image_shape: (height, width) of the images.
      classes: `c`, outputs.
      dropout: probability of dropping an output of the two dense hidden layers, when a
        key is given.

    Returns:
      A `Net` whose `apply` returns logits [b, c].

    Raises:
      UsageError: the images are smaller than 16 x 16.

    >>> params = jax.eval_shape(lenet5().init, jax.random.key(0))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    44426
    """
    height, width = (((side - 4) // 2 - 4) // 2 for side in image_shape[:2])
    if height < 1 or width < 1:
        raise UsageError(
            f"images of {image_shape[0]} x {image_shape[1]} are too small for LeNet-5 "
            "(at least 16 x 16); use --net mlp or conv1d"
        )
    sizes = (height * width * 16, 120, 84, classes)

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 5)
        convolutions = {
            "conv0": layers.weights(keys[0], 5, 5, 1, 6),
            "conv1": layers.weights(keys[1], 5, 5, 6, 16),
        }
        return convolutions | {
            f"layer{i}": layers.weights(keys[2 + i], sizes[i], sizes[i + 1])
            for i in range(3)
        }

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        x = layers.with_channels(images)
        for name in ("conv0", "conv1"):  # the ReLU commutes with the pool
            x = conv2d(x, params[name]["kernel"], pool=2)
            x = jax.nn.relu(x + params[name]["bias"][None, None, None])
        return layers.tail(params, x.reshape(len(x), -1), dropout, key)

    return Net(init, apply)
