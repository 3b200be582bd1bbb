"""A convolution that stays a matrix product when its kernels are mapped over.

`vmap` over the kernels of `lax.conv_general_dilated` gives a grouped convolution, and a
convolution inside `lax.scan` loses its threads on a CPU (jax-ml/jax issue 12868). A
matrix product suffers neither. Along the width a row of the kernel is a banded
(Toeplitz) matrix,

    out[y] = sum_i rows[y + i] @ band(kernel[i]),

so that a convolution is one product of stacked image rows with a band. Cutting the
output columns into equal blocks, which share one band, keeps the wasted multiplications
low. A convolution with stride or padding is a sum of products instead, one for each
place (i, j) in the kernel,

    out = sum_{i, j} images[:, i::stride, j::stride] @ kernel[i, j],

or, where the channels are few, one product of those shifted images side by side.

Which form is used is decided in `choose_form`, the one function that knows the backend.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError, check_name
from jaxpareto.types import Array

FORMS = ("banded", "shifted", "native")

# Narrowest matrix product that keeps the CPU's vector units busy: of 20, 40, 64 and 128
# the one that is fastest or within a tenth of it for most layers and numbers of kernels
# (benchmarks/convolution.py, 2 cores with AVX-512).
_MIN_COLUMNS = 40

# Fewest channels for which each shifted image is worth a product of its own: with one
# channel the gradient of a 7x7 kernel took 90 ms so, and 58 ms as one product of all 49
# side by side; with 64 channels or more the two are alike (same machine).
_MIN_CHANNELS = 16


def choose_form(
    backend: str | None = None, *, stride: int = 1, padding: int = 0
) -> str:
    """Name the form of convolution for a backend: always a matrix product for now.

    It is the form that cannot become a grouped convolution under `vmap`, and that
    keeps its threads inside `scan` on a CPU. It is not measured on accelerators yet.

    Args:
      backend: as `jax.default_backend()` names it.
      stride: of the convolution.
      padding: zeros on every side; a network that pads has many channels.
    """
    del backend
    return "banded" if stride == 1 and padding == 0 else "shifted"


def block_width(out_width: int, filters: int, kernel_width: int, pool: int = 1) -> int:
    """Choose how many output columns share one band: a multiple of `pool`.

    A block of `w` columns multiplies `w + kernel_width - 1` input columns where
    `kernel_width` would do; the product is `w * filters` wide.
    """
    narrow = -(-_MIN_COLUMNS // filters)
    wide = max(narrow, kernel_width // 2)
    blocks = max(1, round(out_width / wide))
    return -(-out_width // (blocks * pool)) * pool


def conv2d(
    images: Array,
    kernel: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    pool: int = 1,
    form: str | None = None,
) -> Array:
    """Convolve (cross-correlate), then max-pool if asked.

    `conv[b, y, x, f] = sum_{i, j, g} images[b, sy+i-p, sx+j-p, g] kernel[i, j, g, f]`
    `out[b, y, x, f] = max_{i, j < pool} conv[b, pool y + i, pool x + j, f]`

    with stride s and padding p; images are zero outside.

    Args:
      images: [b, height, width, channels].
      kernel: [kernel_height, kernel_width, channels, filters].
      stride: how far the kernel moves from one output to the next.
      padding: rows and columns of zeros around each image.
      pool: side of the squares that the maximum is taken over; what does not fill a
        square at the border is dropped.
      form: one of `FORMS`; by default what `choose_form` says.

    Returns:
      [b, out_height // pool, out_width // pool, filters], where
      `out_height = (height + 2 padding - kernel_height) // stride + 1`.

    Raises:
      UsageError: the kernel is larger than the padded image, the channels differ, or
        the banded form is asked to stride.

    >>> conv2d(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 2))).shape
    (1, 2, 2, 2)
    """
    form = form or choose_form(stride=stride, padding=padding)
    check_name(form, FORMS, "form of convolution")
    if images.ndim != 4 or kernel.ndim != 4 or images.shape[-1] != kernel.shape[2]:
        raise UsageError(
            "expected images [b, height, width, channels] and a kernel [height, width, "
            f"channels, filters], found {images.shape} and {kernel.shape}"
        )
    if any(
        (side + 2 * padding - reach) // stride + 1 < pool
        for side, reach in zip(images.shape[1:3], kernel.shape[:2], strict=True)
    ):
        raise UsageError(
            f"a kernel of {kernel.shape[:2]} does not fit images of "
            f"{images.shape[1:3]}; use a smaller network or larger images"
        )
    images = _surround(images, padding, 0.0)
    if form == "banded":
        if stride != 1:
            raise UsageError(f"a banded convolution has stride 1, found {stride}")
        return _banded(images, kernel, pool)
    if form == "shifted":
        out = _shifted(images, kernel, stride)
    else:
        layout = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(
            images, kernel, (stride, stride), "VALID", dimension_numbers=layout
        )
    return max_pool(out, pool) if pool > 1 else out


def _shifted(images: Array, kernel: Array, stride: int) -> Array:
    """Convolve as a sum of products, one for each place in the kernel."""
    rows, columns, channels, filters = kernel.shape
    shifted = _windows(images, (rows, columns), stride)
    shape = (*shifted[0].shape[:3], filters)
    if channels < _MIN_CHANNELS:
        shifted = [jnp.concatenate(shifted, axis=-1)]
    # Products of matrices: those of larger arrays would transpose them, going backward.
    flat = [x.reshape(-1, x.shape[-1]) for x in shifted]
    places = kernel.reshape(len(flat), -1, filters)
    return reduce(add, [x @ places[i] for i, x in enumerate(flat)]).reshape(shape)


def _banded(images: Array, kernel: Array, pool: int) -> Array:
    """Convolve as one product of stacked rows with a band, and pool.

    The columns of the product are ordered such that those which meet in a pool lie in
    `pool` separate runs: the maximum is taken of long contiguous runs, both ways.
    """
    b, height, width, channels = images.shape
    rows, columns, _, filters = kernel.shape
    out_height = (height - rows + 1) // pool * pool
    out_width = (width - columns + 1) // pool * pool
    block = block_width(out_width, filters, columns, pool)
    blocks = -(-out_width // block)
    # The last block may reach beyond the image: its surplus columns are cut off again.
    span = block + columns - 1
    reach = (blocks - 1) * block + span
    images = jnp.pad(images, ((0, 0), (0, 0), (0, max(0, reach - width)), (0, 0)))
    strips = jnp.stack(
        [images[:, :, i * block : i * block + span] for i in range(blocks)], axis=2
    ).reshape(b, height, blocks, span * channels)
    stacked = jnp.stack([strips[:, i : i + out_height] for i in range(rows)], axis=3)
    # A product of matrices: that of a larger array would transpose it, going backward.
    out = stacked.reshape(-1, rows * span * channels) @ _band(kernel, block, pool)
    out = out.reshape(b, out_height // pool, pool, blocks, pool, -1)
    out = _maximum(jax.lax.split(out, (1,) * pool, axis=2))
    out = _maximum(jax.lax.split(out, (1,) * pool, axis=4))
    out = out.reshape(b, out_height // pool, blocks * block // pool, filters)
    return out[:, :, : out_width // pool]


def _band(kernel: Array, block: int, pool: int) -> Array:
    """Lay a kernel out as the matrix [rows * span * channels, block * filters].

    Output column `o` of the block reads input columns `o ... o + columns - 1`. Writing
    the padded kernel `block` times, each one column longer than the span, and reading
    it back in lines of `span` shifts every copy by one: no scatter, and a cheap
    gradient.
    """
    rows, columns, channels, filters = kernel.shape
    span = block + columns - 1
    padded = jnp.pad(kernel, ((0, 0), (0, block), (0, 0), (0, 0)))
    copies = jnp.broadcast_to(
        padded[:, None], (rows, block, span + 1, channels, filters)
    ).reshape(rows, block * (span + 1), channels, filters)
    shifted = copies[:, : block * span].reshape(
        rows, block // pool, pool, span, channels, filters
    )
    return shifted.transpose(0, 3, 4, 2, 1, 5).reshape(
        rows * span * channels, block * filters
    )


def max_pool(
    images: Array,
    size: int | tuple[int, int] = 2,
    *,
    stride: int | None = None,
    padding: int = 0,
) -> Array:
    """Take the maximum over squares; a remainder at the border is dropped.

    `out[b, y, x, f] = max_{i, j < size} images[b, s y + i - p, s x + j - p, f]`

    with stride s and padding p; images are minus infinity outside.

    Args:
      images: [b, height, width, channels].
      size: the side of a square, or (height, width) of an oblong.
      stride: how far one is from the next; by default its width: they are disjoint.
      padding: rows and columns around each image, less than `size`.

    Returns:
      [b, (height + 2 padding - size) // stride + 1, likewise of the width, channels].

    Raises:
      UsageError: a square could lie in the padding alone.

    >>> float(max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, 0, 0, 0])
    5.0
    """
    sides = (size, size) if isinstance(size, int) else size
    if padding >= min(sides):
        raise UsageError(f"a padding of {padding} would fill a square of side {size}")
    images = _surround(images, padding, -jnp.inf)
    # Strided slices and `maximum`: on a CPU faster than `reduce_window`, both ways.
    return _maximum(_windows(images, sides, stride or sides[1]))


def _surround(images: Array, padding: int, value: float) -> Array:
    """Put `padding` rows and columns of `value` around each image."""
    if not padding:
        return images
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return jnp.pad(images, around, constant_values=value)


def _windows(images: Array, size: tuple[int, int], stride: int) -> list[Array]:
    """Return, for each place in a window, what all windows hold there.

    Args:
      images: [b, height, width, channels].
      size: (height, width) of a window.
      stride: how far one window is from the next.

    Returns:
      One array [b, windows down, windows across, channels] for each place, by rows.
    """
    down, across = (
        (side - reach) // stride * stride + 1
        for side, reach in zip(images.shape[1:3], size, strict=True)
    )
    return [
        images[:, i : i + down : stride, j : j + across : stride]
        for i in range(size[0])
        for j in range(size[1])
    ]


def _maximum(arrays: Sequence[Array]) -> Array:
    """Take the elementwise maximum; of equals the first gets the gradient.

    A selection, because the gradient of `jnp.maximum` shares among equals, which costs
    a division for every number.
    """
    return reduce(lambda a, b: jnp.where(a >= b, a, b), arrays)
