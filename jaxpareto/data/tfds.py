"""MNIST, Fashion-MNIST and KMNIST through tensorflow-datasets, without TensorFlow.

The sets that come with tensorflow-datasets need TensorFlow to unpack and encode their
images. `load_tfds` brings its own builder: it downloads the four IDX files from
where tensorflow-datasets has them (which checks their SHA-256), reads them with
`read_idx`, and keeps them as array records in the usual folder (`TFDS_DATA_DIR`, else
`~/tensorflow_datasets`), in the order of the files. The next call reads that copy.
Needs the extra `data`.
"""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike, fspath
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from jaxpareto.data.idx import FILES, Source, read_pair
from jaxpareto.errors import RunError, check_name, require

URLS = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "kmnist": "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
}
"""Name -> address of the four IDX files (ending in a slash), of tensorflow-datasets."""


def load_tfds(name: str, folder: str | PathLike[str] | None = None) -> Source:
    """Load a set of single images, downloading it the first time.

    Args:
      name: one of `URLS`.
      folder: where tensorflow-datasets keeps its copy; None for its usual folder.

    Returns:
      The data set, on the host, in the order of the IDX files.

    Raises:
      UsageError: no such set.
      RunError: the extra `data` is not installed, or the download failed.

    Source: https://www.tensorflow.org/datasets (format array_record).
    """
    check_name(name, URLS, "source")
    try:
        builder_class = _builder_class()
    except RunError as error:
        raise RunError(f"{error}; or {_by_hand(name)}") from error
    builder = builder_class(
        config=name,
        data_dir=None if folder is None else fspath(folder),
        file_format="array_record",
    )
    if not builder.data_path.exists():  # it appears when all is written
        probe(name, URLS[name], _by_hand(name))
        with download_errors(name, _by_hand(name)):
            builder.download_and_prepare()
    arrays = [_column(builder.as_data_source(part)) for part in ("train", "test")]
    return Source(*arrays[0], *arrays[1], classes=10)


@cache  # tensorflow-datasets knows builders by name and refuses a second definition
def _builder_class() -> Any:
    """Define the builder; only here is tensorflow-datasets imported."""
    tfds = require("tensorflow_datasets", "data")
    require("importlib_resources", "data")  # it needs this and does not say so

    class JaxparetoImages(tfds.core.GeneratorBasedBuilder):
        """Images of 28 x 28 bytes and their labels, from four IDX files."""

        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [  # noqa: RUF012 (the attribute is theirs)
            tfds.core.BuilderConfig(name=name) for name in URLS
        ]

        def _info(self):
            """Describe the features; a Tensor needs no TensorFlow, an Image does."""
            features = tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(28, 28), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            )
            return tfds.core.DatasetInfo(
                builder=self,
                description="Images and labels in the order of their IDX files.",
                features=features,
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            """Download the four files (unpacked by us: theirs needs TensorFlow)."""
            base = URLS[self.builder_config.name]
            paths = dl_manager.download([f"{base}{file}.gz" for file in FILES])
            return {
                "train": self._generate_examples(paths[0], paths[1]),
                "test": self._generate_examples(paths[2], paths[3]),
            }

        def _generate_examples(self, images_path, labels_path):
            """Yield the examples in order."""
            images, labels = read_pair(images_path, labels_path)
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield i, {"image": image, "label": int(label)}

    return JaxparetoImages


def _column(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Read a whole split: images [n, 28, 28] uint8, labels [n] uint8."""
    examples = rows.__getitems__(range(len(rows)))
    images = np.stack([example["image"] for example in examples])
    return images, np.array([example["label"] for example in examples], np.uint8)


def probe(name: str, url: str, advice: str) -> None:
    """Find out within seconds that the address of a set cannot be reached.

    Raises:
      RunError: it cannot; the advice says how to do without.
    """
    parts = urlsplit(url)
    if parts.scheme in urllib.request.getproxies():
        return  # a proxy resolves the name for us
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=10).close()
    except OSError as error:
        raise RunError(
            f"{name}: cannot reach {parts.hostname} ({error}); {advice}"
        ) from error


@contextmanager
def download_errors(name: str, advice: str) -> Iterator[None]:
    """Retry once instead of ten times, and say in one line what went wrong.

    Raises:
      RunError: the download failed; the advice says how to do without.
    """
    downloader: Any = require("tensorflow_datasets.core.download.downloader", "data")
    manager = require("tensorflow_datasets.core.download.download_manager", "data")
    util = require("tensorflow_datasets.core.download.util", "data")
    failures = (OSError, util.DownloadError, manager.NonMatchingChecksumError)
    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, 1
    try:
        yield
    except failures as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{name}: download failed ({first_line}); {advice}") from error
    finally:
        downloader.MAX_RETRIES = retries


def _by_hand(name: str) -> str:
    """Say how to do without the download."""
    return (
        f"put the four IDX files from {URLS[name]} into FOLDER/{name}/ and give "
        "--data-dir FOLDER (or set JAXPARETO_DATA=FOLDER)"
    )
