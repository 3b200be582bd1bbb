"""Hypernetworks in flax.linen: from a preference to the parameters of any target.

They are handed the shapes of what they make (a `tree.Spec`), and know no target
network. Each has a method `flat(pref)`, the vector of all parameters, or
`leaves(pref)`, a list of arrays; `jaxpareto.conditioned` makes networks of them.
"""

from jaxpareto.hyper.chunked import Chunked
from jaxpareto.hyper.chunking import CHUNKINGS, Chunking, equal_slices, per_filter
from jaxpareto.hyper.heads import Heads
from jaxpareto.hyper.initial import INITS, hyperfan_in, hyperfan_out
from jaxpareto.hyper.mixtures import Film, Linear, LowRank, crowding
from jaxpareto.hyper.planes import Planes
from jaxpareto.hyper.relaxed import Relaxed, kernels
from jaxpareto.hyper.sparse import Sparse
from jaxpareto.hyper.static import Kernel, Static
from jaxpareto.hyper.trunk import Trunk, standardise, unstandardise

__all__ = [
    "CHUNKINGS",
    "INITS",
    "Chunked",
    "Chunking",
    "Film",
    "Heads",
    "Kernel",
    "Linear",
    "LowRank",
    "Planes",
    "Relaxed",
    "Sparse",
    "Static",
    "Trunk",
    "crowding",
    "equal_slices",
    "hyperfan_in",
    "hyperfan_out",
    "kernels",
    "per_filter",
    "standardise",
    "unstandardise",
]
