"""ResNets for ImageNet as torchvision has them, to read features off: inference alone.

He et al. (2016), in the variant that is called v1.5: a stem of 7x7 with stride 2 and a
max-pool, four stages of residual blocks, a mean over all pixels, a linear classifier. A
block is two convolutions of 3x3 ("basic") or 1x1, 3x3, 1x1 ("bottleneck"); the stride
of a stage is in the first 3x3 of its first block. All padding is the same on both
sides, unlike XLA's and Flax's "SAME". Each convolution has a batch norm behind it that
subtracts stored means and divides by stored deviations; `fold` puts it into the kernel.

Parameters are `{"stem": layer, "stages": [[block, ...], ...], "head": dense}`, where a
block is `{"conv0": layer, "conv1": layer, ...}`, with a `"projection"` where its input
does not fit its output, and a layer is `{"kernel", "scale", "bias", "mean", "var"}`, or
`{"kernel", "bias"}` once it is folded. The multi-task ResNet-18 that the Pareto papers
train is in `nets/resnet.py`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpareto.errors import check_name
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import max_pool
from jaxpareto.types import Array, Params

WIDTHS = (64, 128, 256, 512)

_EPSILON = 1e-5  # PyTorch's; Flax's is the same, Keras has 1.001e-5


class Architecture(NamedTuple):
    """What tells one of these networks from another.

    Attributes:
      blocks: in each of the four stages.
      bottleneck: whether a block is 1x1, 3x3, 1x1, and four times as wide at its end.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool

    @property
    def dim(self) -> int:
        """`d`, the number of features."""
        return WIDTHS[-1] * (4 if self.bottleneck else 1)


ARCHITECTURES = {
    "resnet18": Architecture((2, 2, 2, 2), bottleneck=False),
    "resnet34": Architecture((3, 4, 6, 3), bottleneck=False),
    "resnet50": Architecture((3, 4, 6, 3), bottleneck=True),
    "resnet101": Architecture((3, 4, 23, 3), bottleneck=True),
}


def shapes(name: str, *, classes: int = 1000) -> Params:
    """Return the shapes of the parameters before folding, as `jax.ShapeDtypeStruct`.

    Args:
      name: one of `ARCHITECTURES`.
      classes: `c`, outputs of the classifier.

    Raises:
      UsageError: unknown name.

    >>> found = shapes("resnet50")
    >>> found["stages"][1][0]["conv1"]["kernel"].shape, found["head"]["kernel"].shape
    ((3, 3, 128, 128), (2048, 1000))
    """
    check_name(name, ARCHITECTURES, "architecture")
    architecture = ARCHITECTURES[name]
    before, found = WIDTHS[0], []
    for width, count in zip(WIDTHS, architecture.blocks, strict=True):
        blocks = []
        for _ in range(count):
            blocks.append(_block_shapes(before, width, architecture.bottleneck))
            before = width * (4 if architecture.bottleneck else 1)
        found.append(blocks)
    head = {"kernel": _shape(before, classes), "bias": _shape(classes)}
    return {"stem": _layer_shapes(7, 3, WIDTHS[0]), "stages": found, "head": head}


def features(params: Params, images: Array) -> Array:
    """Return what the classifier sees: the mean over all pixels of the last stage.

    Args:
      params: as `shapes` describes them, or folded; their type is what it computes in.
      images: [b, h, w, 3], standardised as the network was trained.

    Returns:
      [b, d].

    >>> images = jax.ShapeDtypeStruct((5, 224, 224, 3), jnp.float32)
    >>> jax.eval_shape(features, shapes("resnet50"), images).shape
    (5, 2048)
    """
    return jnp.mean(stages(params, images)[-1], axis=(1, 2))


def logits(params: Params, images: Array) -> Array:
    """Return the answers of the network's own classifier, [b, c]; see `features`."""
    return layers.dense(params["head"], features(params, images))


def stages(params: Params, images: Array) -> list[Array]:
    """Return what leaves the stem and each of the stages, [b, height, width, channels].

    Args:
      params: as for `features`.
      images: [b, h, w, 3], standardised.

    >>> images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    >>> found = jax.eval_shape(stages, shapes("resnet18"), images)
    >>> [each.shape[2:] for each in found]
    [(56, 64), (56, 64), (28, 128), (14, 256), (7, 512)]
    """
    x = images.astype(params["stem"]["kernel"].dtype)
    x = max_pool(_convolve(params["stem"], x, stride=2), 3, stride=2, padding=1)
    # ReLU is monotone: after the pool it changes nothing, and has less to do.
    outputs = [jax.nn.relu(x)]
    for number, blocks in enumerate(params["stages"]):
        x = outputs[-1]
        for i, block in enumerate(blocks):
            x = _apply_block(block, x, stride=2 if number > 0 and i == 0 else 1)
        outputs.append(x)
    return outputs


def fold(params: Params) -> Params:
    """Put the batch norms into their convolutions: same answers, one step less each.

    `(x * kernel - mean) s + bias = x * (kernel s) + (bias - mean s)` with
    `s = scale / sqrt(var + 1e-5)`. What is folded already stays as it is.

    >>> sorted(jax.eval_shape(fold, shapes("resnet18"))["stem"])
    ['bias', 'kernel']
    """

    def folded(layer: Params) -> Params:
        if "scale" not in layer:
            return layer
        factor = _factor(layer)
        return {
            "kernel": layer["kernel"] * factor[None, None, None],
            "bias": layer["bias"] - layer["mean"] * factor,
        }

    return jax.tree.map(folded, params, is_leaf=lambda node: "kernel" in node)


def _apply_block(block: Params, x: Array, *, stride: int) -> Array:
    """Add what the convolutions make of x to x, or to its projection."""
    convolutions = [block[name] for name in sorted(block) if name.startswith("conv")]
    sides = [layer["kernel"].shape[0] for layer in convolutions]
    out = x
    for i, layer in enumerate(convolutions):
        out = jax.nn.relu(out) if i else out
        out = _convolve(layer, out, stride=stride if i == sides.index(3) else 1)
    if "projection" in block:
        x = _convolve(block["projection"], x, stride=stride)
    return jax.nn.relu(out + x)


def _convolve(layer: Params, x: Array, *, stride: int) -> Array:
    """Convolve and normalise; the padding keeps the size, but for the stride."""
    kernel = layer["kernel"]
    around = kernel.shape[0] // 2
    # XLA's own convolution: nothing is mapped over kernels here, and nothing scanned.
    x = jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(around, around)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    if "scale" in layer:
        x = (x - layer["mean"][None, None, None]) * _factor(layer)[None, None, None]
    return x + layer["bias"][None, None, None]


def _factor(layer: Params) -> Array:
    """Return what the batch norm multiplies by, [filters]."""
    return layer["scale"] * jax.lax.rsqrt(layer["var"] + _EPSILON)


def _block_shapes(before: int, width: int, bottleneck: bool) -> dict[str, Any]:
    sides = (1, 3, 1) if bottleneck else (3, 3)
    after = 4 * width if bottleneck else width
    depths = (before, *[width] * (len(sides) - 1), after)
    block = {
        f"conv{i}": _layer_shapes(side, depths[i], depths[i + 1])
        for i, side in enumerate(sides)
    }
    # The first block of every stage that is wider than what it sees.
    if before != after:
        block["projection"] = _layer_shapes(1, before, after)
    return block


def _layer_shapes(side: int, before: int, after: int) -> dict[str, Any]:
    norm = {name: _shape(after) for name in ("scale", "bias", "mean", "var")}
    return {"kernel": _shape(side, side, before, after)} | norm


def _shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)
