"""Target networks as pure functions of a parameter pytree, with one head per task.

Each maker takes the shape of an image, the number of tasks and of classes, and returns
a `Net(init, apply, features)`. `NETWORKS` lists them by the names of the command line.
"""

from collections.abc import Callable
from functools import partial

from jaxpareto.nets import imagenet
from jaxpareto.nets.cnn import lenet, multitask_cnn
from jaxpareto.nets.convolution import conv2d, max_pool
from jaxpareto.nets.mlp import mlp
from jaxpareto.nets.resnet import batch_statistics, resnet18
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
    "NETWORKS",
    "batch_statistics",
    "conv2d",
    "imagenet",
    "lenet",
    "max_pool",
    "mlp",
    "multitask_cnn",
    "resnet18",
]
