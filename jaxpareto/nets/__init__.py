"""Target networks as pure functions of a parameter pytree.

Each maker takes the shape of an image and more, and returns a `Net`. `NETWORKS` lists
those with one head per task by the names of the command line. `CLASSICS` lists those
with a single task: classifiers that answer logits [b, c], and autoencoders that answer
pixels [b, h w].
"""

from collections.abc import Callable
from functools import partial

from jaxpareto.nets import imagenet
from jaxpareto.nets.autoencoder import (
    Autoencoder,
    conv_autoencoder,
    dense_autoencoder,
    sequence_autoencoder,
)
from jaxpareto.nets.classics import CLASSICS, Classic
from jaxpareto.nets.cnn import lenet, multitask_cnn
from jaxpareto.nets.cnn7 import cnn7
from jaxpareto.nets.convolution import conv2d, max_pool
from jaxpareto.nets.dense import ACTIVATIONS, dense_net, mlp_net
from jaxpareto.nets.lenet5 import lenet5
from jaxpareto.nets.mlp import mlp
from jaxpareto.nets.plain_resnet import plain_resnet
from jaxpareto.nets.resnet import batch_statistics, resnet18
from jaxpareto.nets.sequence import conv1d, max_pool1d, sequence_net
from jaxpareto.types import Net

NETWORKS: dict[str, Callable[..., Net]] = {
    "mlp": mlp,
    "lenet": lenet,
    "lenet-phn": partial(lenet, shared_relu=False),
    "lenet-cosmos": partial(lenet, first=5),
    "lenet-pamal": partial(lenet, first=5, decoder=50),
    "resnet18": resnet18,
    "resnet18-batch": partial(resnet18, norm="batch"),
    "cnn-16-16-32": partial(multitask_cnn, filters=(16, 16, 32)),
    "cnn-16-32-64": partial(multitask_cnn, filters=(16, 32, 64)),
    "cnn-32-64-64": partial(multitask_cnn, filters=(32, 64, 64)),
    "cnn-32-64-96": partial(multitask_cnn, filters=(32, 64, 96)),
}
"""Name -> `maker(image_shape, *, tasks, classes, channels=1) -> Net`."""

__all__ = [
    "ACTIVATIONS",
    "CLASSICS",
    "NETWORKS",
    "Autoencoder",
    "Classic",
    "batch_statistics",
    "cnn7",
    "conv1d",
    "conv2d",
    "conv_autoencoder",
    "dense_autoencoder",
    "dense_net",
    "imagenet",
    "lenet",
    "lenet5",
    "max_pool",
    "max_pool1d",
    "mlp",
    "mlp_net",
    "multitask_cnn",
    "plain_resnet",
    "resnet18",
    "sequence_autoencoder",
    "sequence_net",
]
