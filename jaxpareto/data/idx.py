"""IDX files, the format in which MNIST and its relatives are published.

`read_idx` reads one file, `load_idx_folder` the standard four of a data set:
`train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same two with `t10k`, each
plain or with the ending `.gz`. Files of images come from many mirrors and break in many
ways, so every problem is one line that names the file, what was found and what to do.
"""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxpareto.errors import RunError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of a data set, in the order of the fields of `Source`."""


class Source(NamedTuple):
    """A classification data set of single images, on the host.

    Attributes:
      train_images: [n, h, w] uint8, 0..255.
      train_labels: [n] integers, 0..classes-1.
      test_images: [n, h, w] uint8, 0..255.
      test_labels: [n] integers, 0..classes-1.
      classes: the number of classes `c`.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one IDX file of unsigned bytes.

    The file is `00 00 08 r`, then `r` big-endian 32-bit lengths, then the bytes.

    Args:
      path: the file; compressed if, and only if, its name ends in `.gz`.

    Returns:
      A read-only uint8 array with `r` axes, e.g. [n, h, w] for images.

    Raises:
      RunError: the file is missing, truncated, too long, or not such a file.

    Source: the format note on LeCun, Cortes and Burges' MNIST page.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9]))
    ...     read_idx(path)
    array([7, 0, 9], dtype=uint8)
    """
    path = Path(path)
    raw = _content(path)
    if raw[:3] != b"\0\0\x08" or len(raw) < 4 or not 1 <= raw[3] <= 4:
        raise RunError(
            f"{path}: wrong magic number {raw[:4].hex(' ')!r}; an IDX file of bytes "
            "starts with '00 00 08' and its number of axes, 01 to 04; download it again"
        )
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise RunError(f"{path}: truncated inside its header; download it again")
    shape = tuple(int(length) for length in np.frombuffer(raw, ">u4", raw[3], 4))
    announced, found = math.prod(shape), len(raw) - start
    if found != announced:
        what = "truncated" if found < announced else "followed by trailing bytes"
        raise RunError(
            f"{path}: {what}: its header announces {announced} bytes of data for shape "
            f"{shape}, and {found} follow; download it again"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def load_idx_folder(folder: str | os.PathLike[str]) -> Source:
    """Read the four files of a data set, and check that they belong together.

    Args:
      folder: holds the four `FILES`, each plain or with the ending `.gz`; where both
        are present the plain one is read.

    Returns:
      The data set, with 10 classes.

    Raises:
      RunError: a file is missing or broken, or two files contradict each other.
    """
    folder = Path(folder)
    missing = missing_files(folder)
    if missing:
        raise RunError(
            f"{folder}: {', '.join(missing)} (plain or .gz) not found; put the four "
            "IDX files of the data set there"
        )
    paths = [_existing(folder, file) for file in FILES]
    train, test = read_pair(paths[0], paths[1]), read_pair(paths[2], paths[3])
    if train[0].shape[1:] != test[0].shape[1:]:
        raise RunError(
            f"{folder}: training images of {train[0].shape[1:]} pixels and test images "
            f"of {test[0].shape[1:]}; these files belong to different data sets"
        )
    return Source(*train, *test, classes=10)


def missing_files(folder: Path) -> list[str]:
    """Name those of the four files that `folder` holds neither plain nor as `.gz`."""
    return [file for file in FILES if not _existing(folder, file).is_file()]


def read_pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the images [n, h, w] and labels [n] of one split, and check them."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, axes in ((images_path, images, 3), (labels_path, labels, 1)):
        if array.ndim != axes:
            raise RunError(
                f"{path}: wrong magic number {2048 + array.ndim} ({array.ndim} axes), "
                f"expected {2048 + axes} ({axes} axes); is it another file, renamed?"
            )
    if len(images) != len(labels) or not len(images):
        raise RunError(
            f"{images_path} holds {len(images)} images and {labels_path.name} "
            f"{len(labels)} labels; download both again from one place"
        )
    if labels.max() > 9:
        raise RunError(
            f"{labels_path}: label {labels.max()} at position {labels.argmax()}; "
            "labels are 0 to 9; download it again"
        )
    return images, labels


def _existing(folder: Path, file: str) -> Path:
    """Return the plain path if it is there, the compressed one otherwise."""
    plain = folder / file
    return plain if plain.is_file() else folder / f"{file}.gz"


def _content(path: Path) -> bytes:
    """Read a file, and unpack it if its name ends in `.gz`."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path}: not found; give the path of an IDX file") from None
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read ({error.strerror}); give the path of an IDX file"
        ) from error
    packed = raw[:2] == b"\x1f\x8b"
    if path.suffix != ".gz":
        if packed:
            raise RunError(f"{path}: is compressed; rename it to {path.name}.gz")
        return raw
    if not packed:
        raise RunError(
            f"{path}: not a gzip file (it starts with {raw[:8]!r}); download it again, "
            "or drop the ending .gz if it is already unpacked"
        )
    try:
        return gzip.decompress(raw)
    except EOFError:
        raise RunError(f"{path}: truncated gzip file; download it again") from None
    except (OSError, zlib.error) as error:
        raise RunError(
            f"{path}: damaged gzip file ({error}); download it again"
        ) from error
