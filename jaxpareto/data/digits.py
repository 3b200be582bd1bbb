"""Handwritten digits that travel inside the package: real data with no download.

1,797 images of 8 x 8 pixels, enough to try a method in seconds. They are the test part
of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, 1998, UCI
Machine Learning Repository, doi 10.24432/C50P49, licence CC BY 4.0), the copy that
scikit-learn ships, with its pixels rescaled from 0..16 to 0..255.
"""

import io
from importlib import resources

import numpy as np

from jaxpareto.data.idx import Source

TRAIN = 1437
"""The first 1,437 images train, the last 360 test."""


def load_digits() -> Source:
    """Load the embedded digits: 1,437 training and 360 test images of 8 x 8 pixels.

    A pixel `v` in 0..16 of the original became `round(255 v / 16)`. The split keeps the
    order of the file, in which each writer's 130 or so digits follow each other: but
    for a few at the seam, the test digits come from other writers than the training
    digits, which is harder than a random split and closer to use.

    Returns:
      The data set, with 10 classes.

    >>> source = load_digits()
    >>> source.train_images.shape, source.test_images.shape, source.classes
    ((1437, 8, 8), (360, 8, 8), 10)
    """
    packed = resources.files("jaxpareto.data").joinpath("digits.npz").read_bytes()
    with np.load(io.BytesIO(packed)) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return Source(
        images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:], classes=10
    )
