"""CIFAR-10 and CIFAR-100 from their binary archives, without TensorFlow or pickles.

`load_cifar` reads `<folder>/<name>/` where a folder is named, and otherwise downloads
through tensorflow-datasets, which checks what it downloads and keeps a copy as array
records (see `tfds.py`). Needs the extra `data` for the download alone.
"""

import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpareto.data.idx import Source
from jaxpareto.data.tfds import download_errors, probe
from jaxpareto.errors import RunError, check_name, require

PIXELS = 3 * 32 * 32


class Archive(NamedTuple):
    """Where a set is, and how its binary files are laid out.

    Attributes:
      url: official address of the archive.
      train: files of the training images, by their names in it.
      test: of the test images.
      labels: bytes of labels before the pixels of an image; the last one counts.
      classes: how many.
    """

    url: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: int
    classes: int


ARCHIVES = {
    "cifar10": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        labels=1,
        classes=10,
    ),
    "cifar100": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        ("train.bin",),
        ("test.bin",),
        labels=2,  # of 20 superclasses, then of 100 classes
        classes=100,
    ),
}
"""Name -> archive."""


def load_cifar(name: str, data_dir: str | os.PathLike[str] | None = None) -> Source:
    """Load CIFAR-10 or CIFAR-100.

    Args:
      name: `"cifar10"` or `"cifar100"`.
      data_dir: folder that holds `<name>/` with the archive as published; None means
        the folder `JAXPARETO_DATA`, or a download.

    Returns:
      The data set, images [n, 32, 32, 3].

    Raises:
      UsageError: no such set.
      RunError: the archive is missing or damaged, or the download failed.

    Source: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
    """
    archive = ARCHIVES[check_name(name, ARCHIVES, "source")]
    named = data_dir or os.environ.get("JAXPARETO_DATA")
    if not named:
        return _download(name, archive)
    path = Path(named) / name / archive.url.rpartition("/")[2]
    if not path.is_file():
        raise RunError(f"{path} is not there; put the archive from {archive.url} there")
    return Source(
        *read_archive(path, archive, archive.train),
        *read_archive(path, archive, archive.test),
        classes=archive.classes,
    )


def read_archive(
    path: str | os.PathLike[str], archive: Archive, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Read some files of an archive: images [n, 32, 32, 3] uint8, labels [n] uint8.

    Raises:
      RunError: it is damaged, or a file is missing or of another length.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in names and (file := tar.extractfile(member)):
                    found[name] = file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise RunError(f"{path}: damaged ({error}); download it again") from error
    size = archive.labels + PIXELS
    for name in names:
        if not found.get(name) or len(found[name]) % size:
            raise RunError(
                f"{path}: {name} has {len(found.get(name, b''))} bytes, and an image "
                f"has {size}; download it again"
            )
    rows = np.frombuffer(b"".join(found[name] for name in names), np.uint8)
    rows = rows.reshape(-1, size)
    labels = rows[:, archive.labels - 1]
    if labels.max() >= archive.classes:
        raise RunError(
            f"{path}: label {labels.max()}; labels are 0 to {archive.classes - 1}; "
            "download it again"
        )
    images = rows[:, archive.labels :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.copy()


def _download(name: str, archive: Archive) -> Source:
    """Let tensorflow-datasets download and keep a set."""
    by_hand = (
        f"put the archive from {archive.url} into FOLDER/{name}/ and give --data-dir "
        "FOLDER (or set JAXPARETO_DATA=FOLDER)"
    )
    try:
        builder_class = _builder_class()
    except RunError as error:
        raise RunError(f"{error}; or {by_hand}") from error
    builder = builder_class(config=name, file_format="array_record")
    if not builder.data_path.exists():  # it appears when all is written
        probe(name, archive.url, by_hand)
        with download_errors(name, by_hand):
            builder.download_and_prepare()
    arrays = []
    for part in ("train", "test"):
        rows = builder.as_data_source(part)
        examples = rows.__getitems__(range(len(rows)))
        arrays.append(np.stack([example["image"] for example in examples]))
        labels = [example["label"] for example in examples]
        arrays.append(np.array(labels, np.uint8))
    return Source(*arrays, classes=archive.classes)


@cache  # tensorflow-datasets knows builders by name and refuses a second definition
def _builder_class() -> Any:
    """Define the builder; only here is tensorflow-datasets imported."""
    tfds = require("tensorflow_datasets", "data")
    require("importlib_resources", "data")  # it needs this and does not say so

    class JaxparetoCifar(tfds.core.GeneratorBasedBuilder):
        """Images of 32 x 32 x 3 bytes and their labels, from a binary archive."""

        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [  # noqa: RUF012 (the attribute is theirs)
            tfds.core.BuilderConfig(name=name) for name in ARCHIVES
        ]

        def _info(self):
            """Describe the features; a Tensor needs no TensorFlow, an Image does."""
            classes = ARCHIVES[self.builder_config.name].classes
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(32, 32, 3), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=classes),
                }
            )
            return tfds.core.DatasetInfo(
                builder=self,
                description="Images and labels in the order of their binary files.",
                features=features,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            """Download the archive (unpacked by us: theirs needs TensorFlow)."""
            archive = ARCHIVES[self.builder_config.name]
            path = dl_manager.download(archive.url)
            return {
                "train": self._generate_examples(path, archive, archive.train),
                "test": self._generate_examples(path, archive, archive.test),
            }

        def _generate_examples(self, path, archive, names):
            """Yield the examples in order."""
            images, labels = read_archive(path, archive, names)
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield i, {"image": image, "label": int(label)}

    return JaxparetoCifar
