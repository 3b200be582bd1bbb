"""Pictures: prepared for a backbone as torchvision does it, whatever they come as."""

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxpareto.backbones import PREPROCESSINGS
from jaxpareto.backbones.preprocess import prepare
from jaxpareto.errors import RunError, UsageError


def picture(shape, mode="RGB"):
    """Draw a smooth picture with some noise, as photographs are."""
    rows, columns = np.indices(shape)
    waves = [128 + 90 * np.sin(rows / (7 + i) + columns / (5 - i)) for i in range(3)]
    noise = np.random.default_rng(2).normal(0, 12, (*shape, 3))
    pixels = np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def saved(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def as_torchvision(image, resize, crop):
    """Follow torchvision's `Resize` and `CenterCrop`, and its ImageFolder's loader."""
    image = image.convert("RGB")
    w, h = image.size
    if w < h:
        image = image.resize((resize, int(resize * h / w)), Image.Resampling.BILINEAR)
    else:
        image = image.resize((int(resize * w / h), resize), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    top = int(round((pixels.shape[0] - crop) / 2.0))  # noqa: RUF046
    left = int(round((pixels.shape[1] - crop) / 2.0))  # noqa: RUF046
    return pixels[top : top + crop, left : left + crop]


def china():
    """Return the path of a photograph that comes with scikit-learn."""
    found = find_spec("sklearn")  # without importing it, which takes seconds
    if found is None or found.origin is None:
        pytest.skip("needs scikit-learn's photographs")
    return Path(found.origin).parent / "datasets" / "images" / "china.jpg"


@pytest.mark.parametrize("version", PREPROCESSINGS)
@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        ((300, 411), "RGB"),
        ((411, 300), "L"),
        ((233, 233), "RGBA"),
        ((232, 256), "P"),
        ((256, 232), "CMYK"),
        ((7, 10), "RGB"),
        ((60, 19), "1"),
    ],
)
def test_pictures_are_prepared_as_by_torchvision(shape, mode, version):
    image = picture(shape, mode)
    steps = PREPROCESSINGS[version]
    data = saved(image, "TIFF" if mode == "CMYK" else "PNG")
    found = prepare(data, steps)
    assert found.shape == (224, 224, 3)
    assert found.dtype == np.uint8
    wanted = as_torchvision(image, {"v1": 256, "v2": 232}[version], 224)
    np.testing.assert_array_equal(found, wanted)


def test_a_photograph_as_path_bytes_and_array():
    photograph = Image.open(china())
    wanted = as_torchvision(photograph, 232, 224)
    pixels = np.asarray(photograph)
    for image in (china(), str(china()), china().read_bytes(), pixels):
        np.testing.assert_array_equal(prepare(image), wanted)
    grey = pixels[:, :, 0]
    np.testing.assert_array_equal(prepare(grey), prepare(grey[..., None]))
    np.testing.assert_array_equal(prepare(grey)[..., 0], prepare(grey)[..., 2])


def test_resizing_is_antialiased():
    """Pillow in whole numbers against PyTorch's own antialiased bilinear resizing."""
    torch = pytest.importorskip("torch", reason="an oracle: needs PyTorch")
    pixels = np.asarray(Image.open(china()))
    images = torch.tensor(pixels.copy()).permute(2, 0, 1)[None].float()
    size = (232, int(232 * pixels.shape[1] / pixels.shape[0]))
    resized = torch.nn.functional.interpolate(
        images, size, mode="bilinear", antialias=True
    )
    left = round((size[1] - 224) / 2)
    wanted = resized[0].permute(1, 2, 0).numpy()[4:228, left : left + 224]
    assert np.max(np.abs(prepare(pixels) - wanted)) < 1.01


def test_a_noted_rotation_is_not_applied():
    image = picture((40, 30))
    note = Image.Exif()
    note[0x0112] = 6  # orientation: a quarter turn
    data = saved(image, "PNG", exif=note)
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6
    np.testing.assert_array_equal(prepare(data), prepare(saved(image)))


def test_what_is_no_picture_gives_one_line(tmp_path):
    whole = saved(picture((40, 30)))
    (tmp_path / "text.png").write_text("hello")
    for bad, said in [
        (tmp_path / "text.png", "cannot read a picture from .*text.png"),
        (tmp_path / "absent.png", "No such file"),
        (tmp_path, "cannot read a picture"),
        (b"", r"a picture from 0 bytes \(no format that Pillow knows\)"),
        (whole[: len(whole) // 2], "cannot read a picture from .* bytes"),
        (saved(picture((40, 30)), "JPEG")[:-200], "truncated"),
    ]:
        with pytest.raises(RunError, match=said) as error:
            prepare(bad)
        assert "\n" not in str(error.value)
    for shape, dtype in [((4, 4), float), ((4, 4, 4), np.uint8), ((0, 4), np.uint8)]:
        with pytest.raises(UsageError, match=r"expected an image \[h, w\]"):
            prepare(np.zeros(shape, dtype))
