"""The multi-task ResNet-18 of Navon et al. (2021): the field's large target.

He et al. (2016), for images of 36 x 36: a stem of 7x7, four stages of two residual
blocks, a mean over all pixels, one shared dense layer, one dense head per task. No
convolution has a bias; a norm behind each has a scale and a bias instead. A network is
a function of its parameters alone, so no norm keeps running statistics: it takes them
from one image, from the batch at hand, or from the maker.
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import or_
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import UsageError, check_name
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import conv2d, max_pool
from jaxpareto.types import Array, Key, Net, Params

NORMS = ("group", "batch", "frozen")
WIDTHS = (64, 128, 256, 512)

_EPSILON = 1e-5

Norm = Callable[[Params, Array], tuple[Array, Params]]
"""`norm(layer, x) -> (standardised x, the statistics of the batch that it used)`."""


def resnet18(
    image_shape: tuple[int, int] = (36, 36),
    *,
    tasks: int = 2,
    classes: int = 10,
    channels: int = 1,
    norm: str = "group",
    groups: int = 32,
    statistics: Params | None = None,
    widths: Sequence[int] = WIDTHS,
) -> Net:
    """Make the multi-task ResNet-18: 11,443,156 parameters for two tasks.

    A norm computes `(x - mean) / sqrt(var + 1e-5) * scale + bias`, where mean and
    variance are

    - `"group"`: of each image and group of channels (Wu and He, 2018), so that an
      answer does not depend on the other images of its batch;
    - `"batch"`: of each channel over the batch at hand (Ioffe and Szegedy, 2015), in
      evaluation as in training: what Navon et al. use;
    - `"frozen"`: constants, from `batch_statistics`.

    Args:
      image_shape: (height, width) of the images, [b, h, w] or [b, h, w, channels].
      tasks: `m`, the number of heads.
      classes: `c`, outputs of each head.
      channels: of the images.
      norm: one of `NORMS`.
      groups: of channels, for `"group"`.
      statistics: for `"frozen"`, `{"mean", "var"}` of every norm; by default 0 and 1.
      widths: filters of the stages; more of them, or fewer, make another network.

    Raises:
      UsageError: unknown norm, images too small, groups that do not divide the widths,
        or statistics of another network or norm.

    >>> net = resnet18()
    >>> params = jax.eval_shape(net.init, jax.random.key(0))
    >>> sum(leaf.size for leaf in jax.tree.leaves(params))
    11443156
    """
    check_name(norm, NORMS, "norm")
    if min(image_shape) < 15:
        # Stages 3 and 4 would see one pixel each, and 8 of 9 of their weights none.
        raise UsageError(
            f"images of {image_shape[0]} x {image_shape[1]} are too small for the "
            "ResNet (at least 15 x 15); use --network mlp"
        )
    if norm == "group" and any(width % groups for width in widths):
        raise UsageError(f"{groups} groups do not divide all of {tuple(widths)}")
    kernels = _kernels(channels, widths)
    if norm == "frozen":
        statistics = _fitting(statistics, kernels)
    elif statistics is not None:
        raise UsageError(f"statistics are for the norm 'frozen', found {norm!r}")
    standardise: Norm = {
        "group": partial(_by_group, groups=groups),
        "batch": _by_batch,
        "frozen": _by_constants,
    }[norm]

    def init(key: Key) -> Params:
        trunk_key, hidden_key, heads_key = jax.random.split(key, 3)
        return (
            _init_trunk(trunk_key, kernels)
            | {"hidden": layers.weights(hidden_key, widths[-1], widths[-1])}
            | layers.heads(heads_key, tasks, widths[-1], classes)
        )

    def features(params: Params, images: Array) -> Array:
        if statistics is not None:
            params = _joined(params, statistics)
        x, _ = _trunk(params, images, standardise)
        return jax.nn.relu(layers.dense(params["hidden"], x))

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        del key
        return layers.answer(params, features(params, images))

    return Net(init, apply, features, batchwise=norm == "batch")


def batch_statistics(params: Params, images: Array) -> Params:
    """Measure what the batch norm subtracts and divides by, to freeze it.

    `resnet18(norm="frozen", statistics=batch_statistics(params, images))` answers for
    `images` as `resnet18(norm="batch")` does, and for other images by the same norm.

    Args:
      params: of a `resnet18` with any norm.
      images: [b, h, w] or [b, h, w, channels].

    Returns:
      `{"mean", "var"}`, [filters] each, for every convolution, named as in `params`.

    >>> params = jax.eval_shape(resnet18().init, jax.random.key(0))
    >>> found = jax.eval_shape(batch_statistics, params, jnp.ones((4, 36, 36)))
    >>> found["stem"]["var"].shape
    (64,)
    """
    return _trunk(params, images, _by_batch)[1]


def _kernels(channels: int, widths: Sequence[int]) -> dict[str, Any]:
    """Return the shapes of the kernels, in the structure of the parameters."""
    before = widths[0]
    kernels: dict[str, Any] = {"stem": (7, 7, channels, before)}
    for stage, width in enumerate(widths, start=1):
        for block in range(2):
            made = {"conv0": (3, 3, before, width), "conv1": (3, 3, width, width)}
            if stage > 1 and block == 0:
                made["projection"] = (1, 1, before, width)
            kernels[f"stage{stage}_block{block}"] = made
            before = width
    return kernels


def _is_shape(node: Any) -> bool:
    return isinstance(node, tuple)


def _init_trunk(key: Key, kernels: dict[str, Any]) -> Params:
    """Make `{"kernel", "scale", "bias"}` for every convolution and its norm."""
    shapes, treedef = jax.tree.flatten(kernels, is_leaf=_is_shape)
    made = [
        layers.weights(k, *shape) | {"scale": jnp.ones(shape[-1])}
        for k, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    ]
    return jax.tree.unflatten(treedef, made)


def _fitting(statistics: Params | None, kernels: dict[str, Any]) -> Params:
    """Return statistics that have the shapes of the network; mean 0, variance 1."""
    plain = jax.tree.map(
        lambda shape: {
            "mean": np.zeros(shape[-1], np.float32),
            "var": np.ones(shape[-1], np.float32),
        },
        kernels,
        is_leaf=_is_shape,
    )
    if statistics is None:
        return plain
    if jax.tree.map(jnp.shape, statistics) != jax.tree.map(jnp.shape, plain):
        raise UsageError(
            "these statistics are of another network; measure them with "
            "batch_statistics(params, images)"
        )
    return statistics


def _joined(params: Params, statistics: Params) -> Params:
    """Put the statistics of each norm beside its scale and bias."""
    trunk = {name: params[name] for name in statistics}
    joined = jax.tree.map(or_, trunk, statistics, is_leaf=lambda node: "kernel" in node)
    return params | joined


def _trunk(params: Params, images: Array, norm: Norm) -> tuple[Array, Params]:
    """Return the features [b, d] of images, and the statistics of every norm."""
    x = jnp.pad(layers.with_channels(images), ((0, 0), (0, 2), (0, 2), (0, 0)))
    x, used = _convolve(params["stem"], x, norm, stride=2)
    # ReLU is monotone: after the pool it changes nothing, and has less to do.
    x = jax.nn.relu(max_pool(x, 3, stride=2, padding=1))
    statistics = {"stem": used}
    for name in sorted(params):
        if name.startswith("stage"):
            x, statistics[name] = _block(params[name], x, norm)
    return jnp.mean(x, axis=(1, 2)), statistics


def _block(block: Params, x: Array, norm: Norm) -> tuple[Array, Params]:
    """Add two convolutions to what goes in; one with a projection halves its size."""
    stride = 2 if "projection" in block else 1
    used = {}
    out, used["conv0"] = _convolve(block["conv0"], x, norm, stride=stride)
    out, used["conv1"] = _convolve(block["conv1"], jax.nn.relu(out), norm)
    if "projection" in block:
        x, used["projection"] = _convolve(block["projection"], x, norm, stride=stride)
    return jax.nn.relu(out + x), used


def _convolve(
    layer: Params, x: Array, norm: Norm, *, stride: int = 1
) -> tuple[Array, Params]:
    """Convolve and normalise; the padding keeps the size, but for the stride."""
    kernel = layer["kernel"]
    x = conv2d(x, kernel, stride=stride, padding=kernel.shape[0] // 2)
    x, used = norm(layer, x)
    return x * layer["scale"][None, None, None] + layer["bias"][None, None, None], used


def _by_group(layer: Params, x: Array, *, groups: int) -> tuple[Array, Params]:
    del layer
    grouped = x.reshape(*x.shape[:3], groups, -1)
    return _standardise(grouped, *_moments(grouped, (1, 2, 4))).reshape(x.shape), {}


def _by_batch(layer: Params, x: Array) -> tuple[Array, Params]:
    del layer
    mean, var = _moments(x, (0, 1, 2))
    return _standardise(x, mean, var), {"mean": mean[0, 0, 0], "var": var[0, 0, 0]}


def _by_constants(layer: Params, x: Array) -> tuple[Array, Params]:
    used = {name: jnp.asarray(layer[name]) for name in ("mean", "var")}
    mean, var = (each[None, None, None] for each in used.values())
    return _standardise(x, mean, var), used


def _moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return mean and (biased) variance over `axes`, which stay as axes of length 1."""
    mean = jnp.mean(x, axis=axes, keepdims=True)
    return mean, jnp.mean(jnp.square(x - mean), axis=axes, keepdims=True)


def _standardise(x: Array, mean: Array, var: Array) -> Array:
    return (x - mean) * jax.lax.rsqrt(var + _EPSILON)
