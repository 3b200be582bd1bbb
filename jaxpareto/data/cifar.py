"""CIFAR-10 and CIFAR-100 as arrays, from a prepared copy of tensorflow-datasets."""

import os
from io import BytesIO
from typing import Any

import numpy as np

from jaxpareto.data.features.sources import tfds_images
from jaxpareto.data.idx import Source
from jaxpareto.errors import check_name, require

CIFAR = ("cifar10", "cifar100")


def load_cifar(
    name: str = "cifar10", folder: str | os.PathLike[str] | None = None
) -> Source:
    """Load the small colour images of Krizhevsky (2009), in the copy's own order.

    Args:
      name: one of `CIFAR`.
      folder: where tensorflow-datasets keeps its copies; None for its usual folder.

    Returns:
      The data set, on the host: images [n, 32, 32, 3] uint8.

    Raises:
      UsageError: no such set.
      RunError: the extra `data` is not installed, or there is no prepared copy; the
        line says how to make one.
    """
    check_name(name, CIFAR, "source")
    arrays: list[Any] = []
    classes = 0
    for split in ("train", "test"):
        rows = tfds_images(f"{name}/{split}", folder)
        classes = rows.classes
        pairs = [rows.read(rows.item(i)) for i in range(rows.rows)]
        arrays.append(np.stack([_decoded(image) for image, _ in pairs]))
        arrays.append(np.array([label for _, label in pairs], np.uint8))
    return Source(*arrays, classes=classes)


def _decoded(image: Any) -> np.ndarray:
    """Return an image [h, w, 3] from the bytes of its file; an array is one already."""
    if isinstance(image, np.ndarray):
        return image
    pillow = require("PIL.Image", "data")
    return np.asarray(pillow.open(BytesIO(image)).convert("RGB"))
