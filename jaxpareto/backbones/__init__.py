"""Backbones: frozen networks that turn images into features.

`load` makes one from torchvision's or timm's weights, a file that you have (nothing is
downloaded, and PyTorch is not needed); `BACKBONES` lists their names. `of_net` makes
one from a network of this library. Pictures are decoded by Pillow, and `.safetensors`
files by safetensors, both in the extra `backbones`.

    backbone = backbones.load("resnet50", "resnet50-11ad3fa6.pth")
    images = np.stack([backbone.prepare(path) for path in paths])
    features = backbone.features(images)  # [b, 2048]
"""

from typing import TYPE_CHECKING

from jaxpareto.lazy import loader

if TYPE_CHECKING:
    from jaxpareto.backbones.convert import from_state_dict
    from jaxpareto.backbones.own import of_net
    from jaxpareto.backbones.preprocess import PREPROCESSINGS
    from jaxpareto.backbones.registry import BACKBONES, load
    from jaxpareto.backbones.weights import file_hash, read_weights

_HOMES = {
    "BACKBONES": "registry",
    "PREPROCESSINGS": "preprocess",
    "file_hash": "weights",
    "from_state_dict": "convert",
    "load": "registry",
    "of_net": "own",
    "read_weights": "weights",
}

__all__ = [
    "BACKBONES",
    "PREPROCESSINGS",
    "file_hash",
    "from_state_dict",
    "load",
    "of_net",
    "read_weights",
]

# A worker that prepares pictures has no JAX.
__getattr__ = loader(__name__, _HOMES)
