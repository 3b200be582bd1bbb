"""A residual network without norms, for small images: the thesis's ResNet32x32.

With five blocks to a stage and three channels it has the thesis's 426,426 parameters.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import conv2d
from jaxpareto.types import Array, Key, Net, Params

WIDTHS = (16, 32, 64)


def plain_resnet(
    image_shape: Sequence[int] = (32, 32, 3),
    *,
    classes: int = 10,
    blocks: int = 5,
    widths: Sequence[int] = WIDTHS,
) -> Net:
    """Make the residual network of the thesis, for one task.

    A convolution 3x3 to the first width, then blocks

        x -> skip(x) + relu(conv(relu(conv(x)))),

    of which the second convolution widens, and halves the image, on the way to the next
    width; there `skip` is a convolution 1x1, elsewhere nothing. The first width has
    `blocks - 1` of them, so that each width has as many as the others, and the next one
    begins with a step. A mean over all pixels and a dense layer answer.

    What a branch adds is never negative, so that without norms the signal would double
    with every block: the second kernel of a branch starts at `1 / number of blocks` of
    its usual size.

    Args:
      image_shape: (height, width) of the images, or (height, width, channels).
      classes: `c`, outputs.
      blocks: of each width, counting the step to it.
      widths: filters.

    Returns:
      A `Net` whose `apply` returns logits [b, c].

    Raises:
      UsageError: fewer than one block, or images too small to be halved.

    Source: Cubelier (2022), "Sparse hypernetworks for multitasking", ResNet32x32.

    >>> params = jax.eval_shape(plain_resnet().init, jax.random.key(0))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    426426
    """
    least = 2 ** (len(widths) - 1)
    if blocks < 1 or not widths or min(image_shape[:2]) < least:
        raise UsageError(
            f"{blocks} blocks of widths {tuple(widths)} on images of "
            f"{image_shape[0]} x {image_shape[1]}; give at least 1 block, and "
            f"{least} x {least} pixels"
        )
    channels = image_shape[2] if len(image_shape) == 3 else 1
    steps = list(_steps(blocks, widths))
    small = 1.0 / len(steps)

    def init(key: Key) -> Params:
        first, last, *rest = jax.random.split(key, 2 + len(steps))
        params = {"conv": layers.weights(first, 3, 3, channels, widths[0])}
        for number, ((before, after), k) in enumerate(zip(steps, rest, strict=True)):
            params[f"block{number:02}"] = _block(k, before, after, small)
        return params | {"answer": layers.weights(last, widths[-1], classes)}

    def features(params: Params, images: Array) -> Array:
        x = jax.nn.relu(_convolve(params["conv"], layers.with_channels(images)))
        for number, (before, after) in enumerate(steps):
            x = _residual(params[f"block{number:02}"], x, 1 if before == after else 2)
        return jnp.mean(x, axis=(1, 2))

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        del key
        return layers.dense(params["answer"], features(params, images))

    return Net(init, apply, features)


def _steps(blocks: int, widths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (width before, width after) of each block."""
    before = widths[0]
    for stage, width in enumerate(widths):
        if stage:
            yield before, width
        for _ in range(blocks - 1):
            yield width, width
        before = width


def _block(key: Key, before: int, after: int, small: float) -> Params:
    """Make a block; only where the width changes has it a `skip`."""
    first, second, skip = jax.random.split(key, 3)
    last = layers.weights(second, 3, 3, before, after)
    made = {
        "conv0": layers.weights(first, 3, 3, before, before),
        "conv1": {"kernel": small * last["kernel"], "bias": last["bias"]},
    }
    return (
        made
        if before == after
        else made | {"skip": layers.weights(skip, 1, 1, before, after)}
    )


def _residual(block: Params, x: Array, stride: int) -> Array:
    out = jax.nn.relu(_convolve(block["conv0"], x))
    out = jax.nn.relu(_convolve(block["conv1"], out, stride))
    return out + (_convolve(block["skip"], x, stride) if "skip" in block else x)


def _convolve(layer: Params, x: Array, stride: int = 1) -> Array:
    kernel = layer["kernel"]
    out = conv2d(x, kernel, stride=stride, padding=kernel.shape[0] // 2)
    return out + layer["bias"][None, None, None]
