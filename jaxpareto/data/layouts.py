"""Layouts: where the images of a pair go on their common canvas, and how they blend.

Lengths are multiples of a unit `J = ceil(size / 7)`: 4 pixels for 28 x 28 images, 2
for 8 x 8 (relatively more, since those digits fill their frame). The canvas is
`size + 2 J` wide: 36, and 12. The first image sits top left and the second bottom
right, a distance `g` apart in both axes; of three or four images the third is down only
and the fourth right only. `U` is drawn uniformly from the whole numbers 0..J.

| name | first at | second at | overlap | result |
| --- | --- | --- | --- | --- |
| `jitter` | U, U | J + U, J + U | added, clipped at 255 | the canvas |
| `corners` | 0, 0 | 2 J, 2 J | larger pixel | the canvas |
| `pamal` | 0, 0 | 3 J / 2, 3 J / 2 | larger pixel | the canvas, resized to `size` |

`jitter` is the construction of Lin et al. (2019, Pareto Multi-Task Learning, section
6.1) with the shifts and the blending of Ma et al. (2020, Efficient Continuous Pareto
Exploration). `pamal` follows Dimitriadis et al. (2023, Pareto Manifold Learning), where
both images of a pair may show the same class; we resize by the nearest neighbour, which
is exact. `corners` is the easiest: nothing moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpareto.errors import check_name
from jaxpareto.types import Array

CHUNK = 1024
"""Pairs composed at once: bounds the memory for index tables, some 20 MB a task."""

# (down, right) of each image, in units of the distance g.
CORNERS = np.array([[0, 0], [1, 1], [1, 0], [0, 1]], np.int32)


@dataclass(frozen=True)
class Layout:
    """Settings of a layout; the module's page explains them.

    Attributes:
      gap: the distance `g` between first and second image, in halves of `J`.
      jitter: whether `U` is added to every position.
      add: whether overlapping pixels add up (clipped at 255) or the larger one stays.
      resized: whether the canvas is sampled down to the size of one image.
      distinct: whether images from one source must differ in class.
    """

    gap: int
    jitter: bool
    add: bool
    resized: bool
    distinct: bool


LAYOUTS: dict[str, Layout] = {
    "jitter": Layout(gap=2, jitter=True, add=True, resized=False, distinct=True),
    "corners": Layout(gap=4, jitter=False, add=False, resized=False, distinct=True),
    "pamal": Layout(gap=3, jitter=False, add=False, resized=True, distinct=False),
}
"""Name -> settings."""


def get_layout(name: str) -> Layout:
    """Return the layout called `name`, or say which names there are."""
    return LAYOUTS[check_name(name, LAYOUTS, "layout")]


def unit(size: int) -> int:
    """Return `J`, the unit of length [pixels] for images of `size` pixels.

    >>> unit(28), unit(8)
    (4, 2)
    """
    return -(-size // 7)


def visible(size: int, layout: str) -> np.ndarray:
    """Return which rows (and columns) of the canvas the result shows.

    Resizing from `s = size + 2 J` to `size` is by the nearest neighbour: row `i` shows
    row `floor((2 i + 1) s / (2 size))` of the canvas, the one under the middle of the
    new pixel. Pillow's `NEAREST` follows the same rule.

    Args:
      size: rows of one image.
      layout: a name in `LAYOUTS`.

    Returns:
      [rows of the result] int32, rows of the canvas.

    Raises:
      UsageError: no such layout.

    >>> visible(8, "pamal")
    array([ 0,  2,  3,  5,  6,  8,  9, 11], dtype=int32)
    """
    canvas = size + 2 * unit(size)
    if not get_layout(layout).resized:
        return np.arange(canvas, dtype=np.int32)
    return ((2 * np.arange(size) + 1) * canvas // (2 * size)).astype(np.int32)


def place(bits: Array, size: int, layout: str) -> Array:
    """Turn random bits into positions: (row, column) of each image's first pixel.

    Args:
      bits: [n, m, 2] uint32; only `jitter` looks at them.
      size: rows of one image.
      layout: a name in `LAYOUTS`.

    Returns:
      [n, m, 2] int32, pixels, in 0..2 J.

    Raises:
      UsageError: no such layout.

    >>> place(jnp.zeros((1, 2, 2), jnp.uint32), 28, "corners").tolist()
    [[[0, 0], [8, 8]]]
    """
    settings = get_layout(layout)
    tasks, j = bits.shape[1], unit(size)
    fixed = jnp.asarray(CORNERS[None, :tasks] * (settings.gap * j // 2))
    if not settings.jitter:
        return jnp.broadcast_to(fixed, bits.shape)
    return fixed + (bits % (j + 1)).astype(jnp.int32)


def compose(
    images: Sequence[Array], indices: Array, offsets: Array, layout: str
) -> Array:
    """Place images on canvases and blend them.

    Integer arithmetic only, so the bytes are the same on every device. Each pixel of
    the result reads its pixel of each image, in one gather; nothing is scattered.

    Args:
      images: per task an array [n_t, size, size] uint8.
      indices: [n, m] int32, which image of each task.
      offsets: [n, m, 2] int32, pixels, from `place`.
      layout: a name in `LAYOUTS`.

    Returns:
      [n, rows, rows] uint8, with `rows` = size + 2 J (or `size` when resized).

    Raises:
      UsageError: no such layout.

    >>> white = jnp.full((1, 28, 28), 255, jnp.uint8)
    >>> offsets = jnp.array([[[0, 0], [8, 8]]])
    >>> canvas = compose([white, white], jnp.zeros((1, 2), int), offsets, "corners")
    >>> canvas.shape, int((canvas == 0).sum()) == 2 * 8 * 8
    ((1, 36, 36), True)
    """
    size = images[0].shape[-1]
    shown, add = visible(size, layout), get_layout(layout).add

    def one(pair):
        index, offset = pair
        parts = [
            _seen(stack, index[t], offset[t], shown).astype(jnp.uint16)
            for t, stack in enumerate(images)
        ]
        blended = reduce(jnp.add if add else jnp.maximum, parts)
        return jnp.minimum(blended, 255).astype(jnp.uint8)

    if len(indices) <= CHUNK:
        return jax.vmap(one)((indices, offsets))
    return lax.map(one, (indices, offsets), batch_size=CHUNK)


def _seen(stack: Array, index: Array, offset: Array, shown: np.ndarray) -> Array:
    """Show image `index` of a stack at `offset` on an empty canvas."""
    size = stack.shape[-1]
    row, column = (shown - offset[0])[:, None], (shown - offset[1])[None, :]
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    row, column = jnp.clip(row, 0, size - 1), jnp.clip(column, 0, size - 1)
    pixels = stack.at[index, row, column].get(mode="promise_in_bounds")
    return jnp.where(inside, pixels, 0)
