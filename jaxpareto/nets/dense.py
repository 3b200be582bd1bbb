"""Chains of dense layers for one task: perceptron, MLP, the halves of an autoencoder.

`dense_net` makes them all: it has any number of layers, each with its activation. The
widths of its hidden layers may be traced numbers below a width that is fixed, so that
networks of different widths train in one compiled call. A network of 64 units inside
128 is the network of 64: it starts from the same weights, and its other 64 units stay
at zero with everything that leads to them and away from them.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import UsageError, check_name
from jaxpareto.nets import layers
from jaxpareto.types import Array, Key, Net, Params

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
    "tanh": jnp.tanh,
}
"""Name -> function of [b, d]. All but softmax act on each number alone."""


def dense_net(
    sizes: Sequence[int],
    activations: Sequence[str],
    *,
    widths: Sequence[int | Array] | None = None,
    dropout: float | Array = 0.0,
) -> Net:
    """Make a chain of dense layers: `x_{i+1} = f_i(x_i W_i + b_i)`.

    Kernels start as normal numbers of variance 2 / fan-in in front of a ReLU and
    1 / fan-in elsewhere, biases at zero.

    Args:
      sizes: of the input, of each hidden layer and of the output, `d_0 .. d_L`.
      activations: a name of `ACTIVATIONS` for each layer but the input, L of them.
      widths: units in use of each hidden layer, L - 1 numbers from 1 to its size, which
        may be traced; by default all.
      dropout: probability of dropping an output of a hidden layer, when a key is given.

    Returns:
      A `Net` whose `apply` returns [b, d_L]; images are flattened.

    Raises:
      UsageError: a size below 1, an unknown activation, or lists of other lengths.

    >>> net = dense_net((64, 100, 10), ("relu", "linear"))
    >>> params = net.init(jax.random.key(0))
    >>> net.apply(params, jnp.ones((5, 8, 8))).shape
    (5, 10)
    """
    depth = len(sizes) - 1
    if depth < 1 or len(activations) != depth or min(sizes) < 1:
        raise UsageError(
            f"expected sizes of at least 1 and an activation for each but the first, "
            f"found sizes {tuple(sizes)} and activations {tuple(activations)}"
        )
    for name in activations:
        check_name(name, ACTIVATIONS, "activation")
    if widths is not None and len(widths) != depth - 1:
        raise UsageError(f"found {len(widths)} widths for {depth - 1} hidden layers")
    used = [sizes[0], *(sizes[1:-1] if widths is None else widths), sizes[-1]]

    def init(key: Key) -> Params:
        keys = jax.random.split(key, depth)
        return {
            f"layer{i}": {
                "kernel": _kernel(
                    keys[i], sizes[i : i + 2], used[i : i + 2], activations[i]
                ),
                "bias": jnp.zeros(sizes[i + 1]),
            }
            for i in range(depth)
        }

    def apply(params: Params, images: Array, *, key: Key | None = None) -> Array:
        live = None if widths is None else used[1:]
        return chain(params, images, activations, live, rate=dropout, key=key)

    return Net(init, apply)


def chain(
    params: Params,
    images: Array,
    activations: Sequence[str],
    used: Sequence[int | Array] | None = None,
    *,
    first: int = 0,
    last: int | None = None,
    rate: float | Array = 0.0,
    key: Key | None = None,
) -> Array:
    """Apply layers `first` to `last - 1` of a dense chain, by default all of them.

    Args:
      params: of `dense_net`.
      images: [b, ...]; flattened.
      activations: of all its layers.
      used: units in use of all its layers, or None for all units.
      first: the first layer to apply.
      last: the one before which to stop.
      rate: probability of dropping an output of a hidden layer.
      key: turns dropout on.

    Returns:
      [b, d], the answer of the last of them.
    """
    x = images.reshape(images.shape[0], -1)
    for i in range(len(activations))[first:last]:
        x = layers.dense(params[f"layer{i}"], x)
        x = _activate(activations[i], x, None if used is None else used[i])
        if key is not None and i < len(activations) - 1:
            x = layers.dropout(jax.random.fold_in(key, i), x, rate)
    return x


def mlp_net(
    image_shape: Sequence[int],
    *,
    classes: int = 10,
    widths: Sequence[int | Array] = (100,),
    sizes: Sequence[int] | None = None,
    activation: str = "relu",
    dropout: float | Array = 0.0,
) -> Net:
    """Make a perceptron of any depth for one task; no hidden layer is the perceptron.

    Args:
      image_shape: (height, width) of the images, or (height, width, channels).
      classes: `c`, outputs.
      widths: of the hidden layers; may be traced where `sizes` are given.
      sizes: widths to compile for, by default `widths` themselves.
      activation: of the hidden layers, a name of `ACTIVATIONS`.
      dropout: probability of dropping an output of a hidden layer, when a key is given.

    Returns:
      A `Net` whose `apply` returns logits [b, c].

    Raises:
      UsageError: as `dense_net`.

    >>> params = jax.eval_shape(mlp_net((28, 28), widths=()).init, jax.random.key(0))
    >>> params["layer0"]["kernel"].shape
    (784, 10)
    """
    hidden = [int(width) for width in widths] if sizes is None else list(sizes)
    return dense_net(
        (int(np.prod(image_shape)), *hidden, classes),
        [activation] * len(hidden) + ["linear"],
        widths=None if sizes is None else widths,
        dropout=dropout,
    )


def _kernel(
    key: Key,
    shape: Sequence[int],
    used: Sequence[int | Array],
    activation: str,
) -> Array:
    """Draw a kernel of which `used` rows and columns are not zero.

    Each output has a key of its own, and the generator counts: neither the number of
    outputs nor that of inputs changes a weight that both networks have.
    """

    def draw(unit: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, unit), (shape[0],))

    gain = 2.0 if activation == "relu" else 1.0
    scale = jnp.sqrt(gain / used[0])
    drawn = scale * jax.vmap(draw)(jnp.arange(shape[1])).T
    rows = jnp.arange(shape[0])[:, None] < used[0]
    columns = jnp.arange(shape[1])[None] < used[1]
    return jnp.where(rows & columns, drawn, 0.0)


def _activate(name: str, x: Array, used: int | Array | None) -> Array:
    """Apply an activation to the units [b, d] in use, or all; the others answer zero.

    Where a unit answers zero and nothing leads away from it, neither does a gradient.
    """
    if used is None or name in ("linear", "relu", "tanh"):
        return ACTIVATIONS[name](x)  # of the unused, zero: they stay there
    live = jnp.arange(x.shape[-1])[None] < used
    if name == "softmax":
        return jax.nn.softmax(jnp.where(live, x, -jnp.inf))
    return jnp.where(live, ACTIVATIONS[name](x), 0.0)
