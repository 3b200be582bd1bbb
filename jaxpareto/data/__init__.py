"""Data: images that show several things at once, and mini-batches of them.

`load_tasks` loads a multi-task data set by name (`DATASETS` lists them), `load_source`
the single images it is made of, and `multi_mnist` composes a set from any images
(`LAYOUTS` says how). `stored` and `fresh` make mini-batches on the device. Nothing here
needs more than JAX and NumPy, except a download, which needs the extra `data`.
`jaxpareto.data.features` keeps what a frozen network says of images in a store on disk;
`load_frozen` loads such features, or some that ship (`FROZEN`).
"""

from typing import TYPE_CHECKING

from jaxpareto.lazy import loader

if TYPE_CHECKING:
    from jaxpareto.data.batches import Batches, Look, fresh, stored, whole
    from jaxpareto.data.frozen import (
        FROZEN,
        Frozen,
        Rows,
        checked,
        load_frozen,
        stream_frozen,
    )
    from jaxpareto.data.idx import read_idx
    from jaxpareto.data.layouts import LAYOUTS
    from jaxpareto.data.multimnist import multi_mnist
    from jaxpareto.data.registry import DATASETS, load_tasks
    from jaxpareto.data.sources import load_source

_HOMES = {
    "DATASETS": "registry",
    "FROZEN": "frozen",
    "Frozen": "frozen",
    "Rows": "frozen",
    "checked": "frozen",
    "load_frozen": "frozen",
    "stream_frozen": "frozen",
    "LAYOUTS": "layouts",
    "Batches": "batches",
    "Look": "batches",
    "fresh": "batches",
    "load_source": "sources",
    "load_tasks": "registry",
    "multi_mnist": "multimnist",
    "read_idx": "idx",
    "stored": "batches",
    "whole": "batches",
}

__all__ = [
    "DATASETS",
    "FROZEN",
    "LAYOUTS",
    "Batches",
    "Frozen",
    "Look",
    "Rows",
    "checked",
    "fresh",
    "load_frozen",
    "load_source",
    "load_tasks",
    "multi_mnist",
    "read_idx",
    "stored",
    "stream_frozen",
    "whole",
]

# A worker that prepares images has no JAX.
__getattr__ = loader(__name__, _HOMES)
