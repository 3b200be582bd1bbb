"""A multi-task perceptron: shared hidden layers, one dense head per task."""

from collections.abc import Sequence

import jax

from jaxpareto.nets import layers
from jaxpareto.types import Array, Key, Net, Params


def mlp(
    image_shape: tuple[int, int],
    *,
    tasks: int = 2,
    classes: int = 10,
    channels: int = 1,
    widths: Sequence[int] = (32,),
) -> Net:
    """Make a multi-task perceptron with rectified hidden layers.

    Args:
      image_shape: (height, width) of the images.
      tasks: `m`, the number of heads.
      classes: `c`, outputs of each head.
      channels: of the images.
      widths: of the hidden layers; no hidden layer gives linear classifiers.

    >>> net = mlp((12, 12))
    >>> params = net.init(jax.random.key(0))
    >>> net.apply(params, jax.numpy.ones((5, 12, 12))).shape
    (5, 2, 10)
    """
    sizes = (image_shape[0] * image_shape[1] * channels, *widths)

    def init(key: Key) -> Params:
        *keys, last = jax.random.split(key, len(sizes))
        hidden = {
            f"hidden{i}": layers.weights(k, sizes[i], sizes[i + 1])
            for i, k in enumerate(keys)
        }
        return hidden | layers.heads(last, tasks, sizes[-1], classes)

    def features(params: Params, images: Array) -> Array:
        x = images.reshape(images.shape[0], -1)
        for i in range(len(widths)):
            x = jax.nn.relu(layers.dense(params[f"hidden{i}"], x))
        return x

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        del key
        return layers.answer(params, features(params, images))

    return Net(init, apply, features)
