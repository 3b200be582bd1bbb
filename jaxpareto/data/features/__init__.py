"""Feature stores: what a frozen backbone says of every image, kept on disk.

`extract` writes one from a folder of images, a split of tensorflow-datasets or arrays
(`folder_images`, `tfds_images`, `array_images`; `images_of` takes the words of a
command line). Killed at any moment, it continues with `resume=True` and ends in the
same bytes. `verify` finds every changed byte, `stats` says what is in a store,
`consolidate` puts it into single files, and `open_store` reads it.
"""

from typing import TYPE_CHECKING

from jaxpareto.lazy import loader

if TYPE_CHECKING:
    from jaxpareto.data.features.check import Stats, consolidate, stats, verify
    from jaxpareto.data.features.read import Store, check_alike, open_store
    from jaxpareto.data.features.sources import (
        Images,
        array_images,
        folder_images,
        images_of,
        tfds_images,
    )
    from jaxpareto.data.features.stream import Rows
    from jaxpareto.data.features.write import extract

_HOMES = {
    "Images": "sources",
    "Rows": "stream",
    "Stats": "check",
    "Store": "read",
    "array_images": "sources",
    "check_alike": "read",
    "consolidate": "check",
    "extract": "write",
    "folder_images": "sources",
    "images_of": "sources",
    "open_store": "read",
    "stats": "check",
    "tfds_images": "sources",
    "verify": "check",
}

__all__ = [
    "Images",
    "Rows",
    "Stats",
    "Store",
    "array_images",
    "check_alike",
    "consolidate",
    "extract",
    "folder_images",
    "images_of",
    "open_store",
    "stats",
    "tfds_images",
    "verify",
]

# A worker that prepares images has no JAX.
__getattr__ = loader(__name__, _HOMES)
