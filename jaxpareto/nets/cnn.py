"""Multi-task convolutional networks: the field's LeNet and the source report's CNN.

Both share everything up to one dense layer and end in one dense head per task. Bias and
ReLU are monotone, so they commute with max-pooling: applied after the pool they touch a
quarter of the numbers and change nothing.
"""

from collections.abc import Sequence

import jax

from jaxpareto.errors import UsageError
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import conv2d
from jaxpareto.types import Array, Key, Net, Params


def lenet(
    image_shape: tuple[int, int] = (36, 36),
    *,
    tasks: int = 2,
    classes: int = 10,
    channels: int = 1,
    shared_relu: bool = True,
    first: int = 9,
    decoder: int | None = None,
) -> Net:
    """Make the multi-task LeNet of Pareto MTL: 31,910 parameters on 36 x 36, two tasks.

    Convolution 9x9x10, pool, convolution 5x5x20, pool, dense 50, one head per task.

    Args:
      image_shape: (height, width) of the images.
      tasks: `m`, the number of heads.
      classes: `c`, outputs of each head.
      channels: of the images.
      shared_relu: apply the ReLU after the shared dense layer. Pareto MTL has it; PHN's
        code (Navon et al., 2021) lost it, and others copied that.
      first: side of the first kernel; 5 in COSMOS and in Pareto manifold learning.
      decoder: width of one more rectified layer in front of each head. Pareto manifold
        learning has 50: 27,450 parameters on 28 x 28 with `first=5`.

    Raises:
      UsageError: the images are too small for the two convolutions.

    >>> params = jax.eval_shape(lenet().init, jax.random.key(0))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    31910
    """
    height, width = (((side - first + 1) // 2 - 4) // 2 for side in image_shape)
    if height < 1 or width < 1:
        raise UsageError(
            f"images of {image_shape[0]} x {image_shape[1]} are too small for the "
            f"LeNet (at least {first + 11} x {first + 11}); use --network mlp"
        )

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 4)
        return {
            "conv0": layers.weights(keys[0], first, first, channels, 10),
            "conv1": layers.weights(keys[1], 5, 5, 10, 20),
            "hidden": layers.weights(keys[2], height * width * 20, 50),
        } | layers.heads(keys[3], tasks, 50, classes, hidden=decoder)

    def features(params: Params, images: Array) -> Array:
        x = layers.with_channels(images)
        for name in ("conv0", "conv1"):
            x = conv2d(x, params[name]["kernel"], pool=2)
            x = jax.nn.relu(x + params[name]["bias"][None, None, None])
        x = layers.dense(params["hidden"], x.reshape(x.shape[0], -1))
        return jax.nn.relu(x) if shared_relu else x

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        del key
        return layers.answer(params, features(params, images))

    return Net(init, apply, features)


def multitask_cnn(
    image_shape: tuple[int, int] = (36, 36),
    *,
    tasks: int = 2,
    classes: int = 10,
    channels: int = 1,
    filters: Sequence[int] = (32, 64, 96),
    width: int = 128,
    dropout: float = 0.5,
) -> Net:
    """Make the multi-task CNN of the source report.

    Three convolutions 3x3 with ReLU, the first two followed by a 2x2 pool, a shared
    dense layer, dropout, one head per task. The report names the filters it tried; the
    width of the dense layer and the dropout rate are ours.

    Args:
      image_shape: (height, width) of the images.
      tasks: `m`, the number of heads.
      classes: `c`, outputs of each head.
      channels: of the images.
      filters: of the three convolutions.
      width: of the shared dense layer.
      dropout: probability of dropping one of its outputs, when a key is given.

    Raises:
      UsageError: not three filter counts, or images too small.

    >>> net = multitask_cnn(filters=(16, 16, 32))
    >>> params = jax.eval_shape(net.init, jax.random.key(0))
    >>> jax.eval_shape(net.apply, params, jax.numpy.ones((5, 36, 36))).shape
    (5, 2, 10)
    """
    if len(filters) != 3:
        raise UsageError(f"expected three filter counts, found {tuple(filters)}")
    final = [((side - 2) // 2 - 2) // 2 - 2 for side in image_shape]
    if min(final) < 1:
        raise UsageError(
            f"images of {image_shape[0]} x {image_shape[1]} are too small for the "
            "CNN (at least 18 x 18); use --network mlp"
        )
    depths = (channels, *filters)
    flat = final[0] * final[1] * filters[-1]

    def init(key: Key) -> Params:
        keys = jax.random.split(key, 5)
        convolutions = {
            f"conv{i}": layers.weights(keys[i], 3, 3, depths[i], depths[i + 1])
            for i in range(3)
        }
        return (
            convolutions
            | {"hidden": layers.weights(keys[3], flat, width)}
            | layers.heads(keys[4], tasks, width, classes)
        )

    def features(params: Params, images: Array) -> Array:
        x = layers.with_channels(images)
        for i in range(3):
            x = conv2d(x, params[f"conv{i}"]["kernel"], pool=2 if i < 2 else 1)
            x = jax.nn.relu(x + params[f"conv{i}"]["bias"][None, None, None])
        return jax.nn.relu(layers.dense(params["hidden"], x.reshape(x.shape[0], -1)))

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        x = layers.dropout(key, features(params, images), dropout)
        return layers.answer(params, x)

    return Net(init, apply, features)
