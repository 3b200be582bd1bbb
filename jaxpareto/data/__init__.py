"""Data: images that show several things at once, and mini-batches of them.

`load_tasks` loads a multi-task data set by name (`DATASETS` lists them), `load_source`
the single images it is made of, and `multi_mnist` composes a set from any images
(`LAYOUTS` says how). `load_task_set` cuts or turns single images into several tasks
(`TASK_SETS`), for networks conditioned on a task. `stored`, `fresh` and `per_task` make
mini-batches on the device. Nothing here needs more than JAX and NumPy, except a
download, which needs the extra `data`. `jaxpareto.data.features` keeps what a frozen
network says of images in a store on disk; `load_frozen` loads such features, or some
that ship (`FROZEN`).
"""

from typing import TYPE_CHECKING

from jaxpareto.lazy import loader

if TYPE_CHECKING:
    from jaxpareto.data.augment import mirror_images, shift_images, warp_images
    from jaxpareto.data.batches import Batches, Look, fresh, per_task, stored, whole
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
    from jaxpareto.data.task_sets import TASK_SETS, load_task_set
    from jaxpareto.data.tasks import TaskSet

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
    "TASK_SETS": "task_sets",
    "TaskSet": "tasks",
    "load_source": "sources",
    "load_task_set": "task_sets",
    "load_tasks": "registry",
    "mirror_images": "augment",
    "multi_mnist": "multimnist",
    "per_task": "batches",
    "read_idx": "idx",
    "shift_images": "augment",
    "stored": "batches",
    "warp_images": "augment",
    "whole": "batches",
}

__all__ = [
    "DATASETS",
    "FROZEN",
    "LAYOUTS",
    "TASK_SETS",
    "Batches",
    "Frozen",
    "Look",
    "Rows",
    "TaskSet",
    "checked",
    "fresh",
    "load_frozen",
    "load_source",
    "load_task_set",
    "load_tasks",
    "mirror_images",
    "multi_mnist",
    "per_task",
    "read_idx",
    "shift_images",
    "stored",
    "stream_frozen",
    "warp_images",
    "whole",
]

# A worker that prepares images has no JAX.
__getattr__ = loader(__name__, _HOMES)
