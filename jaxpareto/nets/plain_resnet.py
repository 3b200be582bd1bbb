"""A residual network for 32 x 32 colour images, without any normalisation.

The target of Cubelier (2022), "Multitasking hypernetworks" (master's thesis, University
of Liege): a network is a function of its generated weights alone, so nothing in it
keeps statistics. All convolutions are 3 x 3 with biases; the second of a block that
changes the size carries the stride, and a 1 x 1 convolution takes the place of the
identity.
"""

from collections.abc import Sequence

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
    depth: int = 5,
    widths: Sequence[int] = WIDTHS,
) -> Net:
    """Make a residual network for one task: 426,426 parameters for 10 classes.

    A stem, `depth - 1` blocks of the first width, then for each further width a block
    that halves the image and `depth - 1` more, a mean over all pixels, a dense layer. A
    block is `x + relu(conv(relu(conv(x))))`.

    Args:
      image_shape: (height, width, channels).
      classes: `c`, outputs.
      depth: `n`, blocks of a width, with the one that leads to it.
      widths: filters.

    Returns:
      A `Net` whose `apply` returns logits [b, c].

    Raises:
      UsageError: a depth below 1, or images that cannot be halved so often.

    >>> params = jax.eval_shape(plain_resnet().init, jax.random.key(0))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    426426
    """
    channels = image_shape[2] if len(image_shape) == 3 else 1
    if depth < 1 or min(image_shape[:2]) < 2 ** (len(widths) - 1):
        raise UsageError(
            f"depth {depth} and images of {image_shape[0]} x {image_shape[1]}; give a "
            f"depth of at least 1 and at least {2 ** (len(widths) - 1)} pixels a side"
        )
    blocks = _blocks(depth, widths)

    def init(key: Key) -> Params:
        stem, head, *keys = jax.random.split(key, 2 + len(blocks))
        made = {"stem": layers.weights(stem, 3, 3, channels, widths[0])}
        for (name, (before, after)), key in zip(blocks.items(), keys, strict=True):
            first, second, third = jax.random.split(key, 3)
            made[name] = {
                "conv0": layers.weights(first, 3, 3, before, before),
                "conv1": layers.weights(second, 3, 3, before, after),
            }
            if before != after:
                made[name]["projection"] = layers.weights(third, 1, 1, before, after)
        return made | {"head": layers.weights(head, widths[-1], classes)}

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        del key
        x = jax.nn.relu(_convolve(params["stem"], layers.with_channels(images)))
        for name in blocks:
            x = _block(params[name], x)
        return layers.dense(params["head"], jnp.mean(x, axis=(1, 2)))

    return Net(init, apply)


def _blocks(depth: int, widths: Sequence[int]) -> dict[str, tuple[int, int]]:
    """List the blocks by name: filters before and behind."""
    found = {}
    before = widths[0]
    for stage, width in enumerate(widths):
        for i in range(depth):
            if i == 0 and stage == 0:
                continue  # the stem leads to the first width
            found[f"stage{stage}_block{i:02}"] = (before, width)
            before = width
    return found


def _block(block: Params, x: Array) -> Array:
    stride = 2 if "projection" in block else 1
    out = jax.nn.relu(_convolve(block["conv0"], x))
    out = jax.nn.relu(_convolve(block["conv1"], out, stride))
    if "projection" in block:
        x = _convolve(block["projection"], x, stride)
    return out + x


def _convolve(layer: Params, x: Array, stride: int = 1) -> Array:
    kernel = layer["kernel"]
    x = conv2d(x, kernel, stride=stride, padding=kernel.shape[0] // 2)
    return x + layer["bias"][None, None, None]
