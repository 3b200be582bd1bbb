"""Backbones: frozen networks that turn images into features.

Their weights come from a file that you have, torchvision's or timm's: nothing is
downloaded, and PyTorch is not needed.
"""

from jaxpareto.backbones.convert import from_state_dict
from jaxpareto.backbones.weights import file_hash, read_weights

__all__ = ["file_hash", "from_state_dict", "read_weights"]
