"""A convolution that stays a matrix product when its kernels are mapped over.

`vmap` over the kernels of `lax.conv_general_dilated` gives a grouped convolution, and a
convolution inside `lax.scan` loses its threads on a CPU (jax-ml/jax issue 12868). A
matrix product suffers neither. Along the width a row of the kernel is a banded
(Toeplitz) matrix,

    out[y] = sum_i rows[y + i] @ band(kernel[i]),

so that a convolution is one product of stacked image rows with a band. Cutting the
output columns into equal blocks, which share one band, keeps the wasted multiplications
low.

Which form is used is decided in `choose_form`, the one function that knows the backend.
"""

from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError, check_name
from jaxpareto.types import Array

FORMS = ("banded", "native")

# Narrowest matrix product that keeps the CPU's vector units busy: the LeNet's step took
# 49 ms at 64 and 58 ms at 128 (2 cores with AVX2, 8 preferences share a batch of 256).
_MIN_COLUMNS = 64


def choose_form(backend: str | None = None) -> str:
    """Name the form of convolution for a backend: always a matrix product for now.

    It is the form that cannot become a grouped convolution under `vmap`, and that
    keeps its threads inside `scan` on a CPU. It is not measured on accelerators yet.
    """
    del backend
    return "banded"


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
    images: Array, kernel: Array, *, pool: int = 1, form: str | None = None
) -> Array:
    """Convolve (cross-correlate) without padding, stride 1; then max-pool if asked.

    `conv[b, y, x, f] = sum_{i, j, g} images[b, y+i, x+j, g] kernel[i, j, g, f]`
    `out[b, y, x, f] = max_{i, j < pool} conv[b, pool y + i, pool x + j, f]`

    Args:
      images: [b, height, width, channels].
      kernel: [kernel_height, kernel_width, channels, filters].
      pool: side of the squares that the maximum is taken over; what does not fill a
        square at the border is dropped.
      form: one of `FORMS`; by default what `choose_form` says.

    Returns:
      [b, (height - kernel_height + 1) // pool, (width - kernel_width + 1) // pool,
      filters].

    Raises:
      UsageError: the kernel is larger than the image, or the channels differ.

    >>> conv2d(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 2))).shape
    (1, 2, 2, 2)
    """
    form = check_name(form or choose_form(), FORMS, "form of convolution")
    if images.ndim != 4 or kernel.ndim != 4 or images.shape[-1] != kernel.shape[2]:
        raise UsageError(
            "expected images [b, height, width, channels] and a kernel [height, width, "
            f"channels, filters], found {images.shape} and {kernel.shape}"
        )
    if any(
        side - reach + 1 < pool
        for side, reach in zip(images.shape[1:3], kernel.shape[:2], strict=True)
    ):
        raise UsageError(
            f"a kernel of {kernel.shape[:2]} does not fit images of "
            f"{images.shape[1:3]}; use a smaller network or larger images"
        )
    if form == "banded":
        return _banded(images, kernel, pool)
    out = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return max_pool(out, pool)


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
    stacked = jnp.concatenate(
        [strips[:, i : i + out_height] for i in range(rows)], axis=-1
    )
    out = stacked @ _band(kernel, block, pool)
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


def max_pool(images: Array, size: int = 2) -> Array:
    """Take the maximum over disjoint squares; a remainder at the border is dropped.

    Args:
      images: [b, height, width, channels].
      size: the side of a square.

    Returns:
      [b, height // size, width // size, channels].

    >>> float(max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, 0, 0, 0])
    5.0
    """
    height = images.shape[1] // size * size
    width = images.shape[2] // size * size
    # Strided slices and `maximum`: on a CPU faster than `reduce_window`, both ways.
    return _maximum(
        [
            images[:, i:height:size, j:width:size]
            for i in range(size)
            for j in range(size)
        ]
    )


def _maximum(arrays: Sequence[Array]) -> Array:
    """Take the elementwise maximum; of equals the first gets the gradient.

    A selection, because the gradient of `jnp.maximum` shares among equals, which costs
    a division for every number.
    """
    return reduce(lambda a, b: jnp.where(a >= b, a, b), arrays)
