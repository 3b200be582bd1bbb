"""Pictures as a network of torchvision was tested with them, by way of Pillow.

Decode to RGB; resize the short side with antialiased bilinear interpolation; cut out
the centre; then, on the device, scale to [0, 1] and standardise each channel. Resizing
without antialiasing, which most array libraries do, costs a ResNet-18 0.8 points of
accuracy. As in torchvision, a rotation that a camera noted beside the picture (EXIF) is
not applied. This module does not import JAX: worker processes load it alone.
"""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxpareto.errors import RunError, UsageError, require

if TYPE_CHECKING:
    from PIL.Image import Image

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Picture = str | os.PathLike[str] | bytes | np.ndarray
"""A file's path, its bytes, or a uint8 array [h, w] or [h, w, 3]."""


class Preprocessing(NamedTuple):
    """What is done to a picture.

    Attributes:
      resize: the short side of the picture before cutting.
      crop: side of the square that is cut out of its centre.
    """

    resize: int
    crop: int

    @property
    def words(self) -> str:
        """One line that names it exactly."""
        return (
            f"Pillow: RGB, short side to {self.resize} (bilinear, antialiased), centre "
            f"crop {self.crop}, / 255, minus {MEAN}, / {STD}"
        )


PREPROCESSINGS = {"v1": Preprocessing(256, 224), "v2": Preprocessing(232, 224)}
"""As torchvision's weights IMAGENET1K_V1 and IMAGENET1K_V2 of a ResNet want it."""


def prepare(image: Picture, steps: Preprocessing = PREPROCESSINGS["v2"]) -> np.ndarray:
    """Decode, resize and cut one picture.

    The long side becomes `int(resize * long / short)`, and the square starts at
    `int(round((side - crop) / 2))`, as in torchvision.

    Args:
      image: a file's path, its bytes, or a uint8 array [h, w] or [h, w, 3].
      steps: one of `PREPROCESSINGS`, or your own.

    Returns:
      [crop, crop, 3] uint8.

    Raises:
      RunError: not a picture that Pillow can read, or Pillow is missing.
      UsageError: an array of another shape or type.

    >>> prepare(np.zeros((300, 400, 3), np.uint8)).shape
    (224, 224, 3)
    """
    picture = decode(image, "RGB")
    width, height = picture.size
    short = min(width, height)
    size = (int(steps.resize * width / short), int(steps.resize * height / short))
    resampling = require("PIL.Image", "backbones").Resampling.BILINEAR
    picture = picture.resize(size, resampling)
    left, top = (int(round((side - steps.crop) / 2.0)) for side in size)  # noqa: RUF046
    box = (left, top, left + steps.crop, top + steps.crop)
    return np.asarray(picture.crop(box))


def decode_exactly(image: Picture, shape: tuple[int, ...]) -> np.ndarray:
    """Decode one picture, which has to have this size already.

    Args:
      image: as for `prepare`.
      shape: (h, w) for a grey picture, or (h, w, 3).

    Returns:
      An array of this shape, uint8.

    Raises:
      RunError: not a picture that Pillow can read, or of another size.
      UsageError: an array of another shape or type.
    """
    if isinstance(image, np.ndarray) and (image.shape, image.dtype) == (
        shape,
        np.uint8,
    ):
        return image
    found = np.asarray(decode(image, "L" if len(shape) == 2 else "RGB"))
    if found.shape != shape:
        raise RunError(
            f"expected a picture of {shape[0]} x {shape[1]}, found {found.shape[0]} x "
            f"{found.shape[1]} in {_what(image)}; resize it before"
        )
    return found


def decode(image: Picture, mode: str) -> "Image":
    """Read one picture in Pillow's mode `"RGB"` or `"L"` (grey).

    Raises:
      RunError: not a picture that Pillow can read, or Pillow is missing.
      UsageError: an array of another shape or type.
    """
    pillow = require("PIL.Image", "backbones")
    broken = (OSError, SyntaxError, ValueError, pillow.DecompressionBombError)
    if isinstance(image, np.ndarray):
        return pillow.fromarray(_checked(image)).convert(mode)
    try:
        source = io.BytesIO(image) if isinstance(image, bytes) else Path(image)
        with pillow.open(source) as picture:
            return picture.convert(mode)
    except broken as error:
        unknown = isinstance(error, pillow.UnidentifiedImageError)
        reason = (
            "no format that Pillow knows" if unknown else " ".join(str(error).split())
        )
        raise RunError(
            f"cannot read a picture from {_what(image)} ({reason[:200]})"
        ) from error


def _what(image: Picture) -> str:
    """Name the source of a picture in an error."""
    if isinstance(image, np.ndarray):
        return "an array"
    return f"{len(image)} bytes" if isinstance(image, bytes) else str(image)


def _checked(image: np.ndarray[Any, Any]) -> np.ndarray:
    """Return an array that Pillow takes; [h, w, 1] is as good as [h, w]."""
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    grey, colour = image.ndim == 2, image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not (grey or colour) or image.size == 0:
        raise UsageError(
            "expected an image [h, w] or [h, w, 3] of uint8, found "
            f"{image.shape} of {image.dtype}"
        )
    return image
