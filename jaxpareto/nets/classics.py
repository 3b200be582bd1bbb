"""The networks with a single task, by the names of `jaxpareto search`.

All are made alike, so that a search need not know which it trains: `make(image_shape,
classes, widths, sizes, dropout)`, where what a network does not have is not read.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxpareto.nets.autoencoder import (
    Autoencoder,
    conv_autoencoder,
    dense_autoencoder,
    sequence_autoencoder,
)
from jaxpareto.nets.cnn7 import cnn7
from jaxpareto.nets.dense import mlp_net
from jaxpareto.nets.lenet5 import lenet5
from jaxpareto.nets.sequence import sequence_net
from jaxpareto.types import Array, Net

Maker = Callable[..., Net]


class Classic(NamedTuple):
    """A network with a single task.

    Attributes:
      make: `make(image_shape, *, classes, widths, sizes, dropout) -> Net`; widths and
        dropout may be traced where `sizes` bound the widths.
      widths: of its hidden layers where a search says nothing; none if they are fixed.
      depth: whether a search may ask for any number of hidden layers.
      drops: whether it has dropout.
      reconstructs: whether it answers pixels [b, h w] instead of logits [b, c].
      about: one line for people.
    """

    make: Maker
    widths: tuple[int, ...]
    depth: bool
    drops: bool
    reconstructs: bool
    about: str


def _dense(
    image_shape: Sequence[int],
    *,
    classes: int,
    widths: Sequence[int | Array],
    sizes: Sequence[int] | None,
    dropout: float | Array,
) -> Net:
    return mlp_net(
        image_shape, classes=classes, widths=widths, sizes=sizes, dropout=dropout
    )


def _dense_coder(
    image_shape: Sequence[int],
    *,
    widths: Sequence[int | Array],
    sizes: Sequence[int] | None,
    **_: object,
) -> Net:
    return dense_autoencoder(image_shape, widths=widths, sizes=sizes).net


def _fixed(make: Callable[..., Net]) -> Maker:
    """Drop the words for widths, which the network has none of."""

    def maker(
        image_shape: Sequence[int], *, classes: int, dropout: float | Array, **_: object
    ) -> Net:
        return make(image_shape, classes=classes, dropout=dropout)

    return maker


def _coder(make: Callable[..., Autoencoder]) -> Maker:
    """Make an autoencoder with the defaults of its maker."""
    return lambda image_shape, **_: make(image_shape).net


CLASSICS: dict[str, Classic] = {
    "perceptron": Classic(
        _dense, (), False, False, False, "one linear layer, as 784-10"
    ),
    "shallow": Classic(
        _dense, (300,), False, True, False, "one hidden layer with ReLU, as 784-300-10"
    ),
    "mlp": Classic(
        _dense, (300, 100), True, True, False, "any number of hidden layers with ReLU"
    ),
    "lenet5": Classic(
        _fixed(lenet5), (), False, True, False, "two convolutions 5x5, dense 120 and 84"
    ),
    "cnn7": Classic(
        _fixed(cnn7), (), False, True, False, "two convolutions 7x7 of 16, dense"
    ),
    "conv1d": Classic(
        _fixed(sequence_net), (), False, True, False, "32 kernels of 3 pixels, dense"
    ),
    "autoencoder": Classic(
        _dense_coder, (200, 50, 200), True, False, True, "dense with tanh, sigmoid out"
    ),
    "conv-autoencoder": Classic(
        _coder(conv_autoencoder), (), False, False, True, "two convolutions each way"
    ),
    "conv1d-autoencoder": Classic(
        _coder(sequence_autoencoder), (), False, False, True, "the same on one axis"
    ),
}
"""Name -> network with a single task."""
