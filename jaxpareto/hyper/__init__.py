"""Hypernetworks in flax.linen: from a preference to the flat parameters of any target.

They are handed the sizes of what they make, and know no target network.
"""

from jaxpareto.hyper.chunked import Chunked, standardise
from jaxpareto.hyper.chunking import CHUNKINGS, Chunking, equal_slices, per_filter

__all__ = [
    "CHUNKINGS",
    "Chunked",
    "Chunking",
    "equal_slices",
    "per_filter",
    "standardise",
]
