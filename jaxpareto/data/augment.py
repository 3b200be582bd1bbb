"""Images changed a little at every step, on the device."""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxpareto.types import Array, Key


def shift_images(images: Array, key: Key, most: int | Array) -> Array:
    """Shift each image by whole pixels, its own draw from U{-most..most} in each axis.

    What leaves the image is lost, and zeros come in on the other side. Images whose
    digits keep clear of the border by `most` pixels lose nothing.

    Args:
      images: [b, h, w] or [b, h, w, channels], of any type.
      key: consumed.
      most: pixels, at least 0; may be traced.

    Returns:
      The same shape and type.

    >>> import numpy as np
    >>> image = np.pad([[[7]]], ((0, 0), (2, 2), (2, 2)))
    >>> shifted = shift_images(jnp.asarray(image), jax.random.key(0), 2)
    >>> int(shifted.sum()), bool((shifted == image).all())
    (7, False)
    """
    count, height, width, *channels = images.shape
    by = jax.random.randint(key, (2, count, 1), -most, most + 1)
    rows, columns = jnp.arange(height)[None, :] - by[0], jnp.arange(width)[None] - by[1]
    each = jnp.arange(count)[:, None, None]
    # Clipped to read inside the image, then blanked: a negative index would wrap.
    moved = images[
        each,
        jnp.clip(rows, 0, height - 1)[:, :, None],
        jnp.clip(columns, 0, width - 1)[:, None, :],
    ]
    inside = ((rows >= 0) & (rows < height))[:, :, None]
    inside &= ((columns >= 0) & (columns < width))[:, None, :]
    inside = inside.reshape(*inside.shape, *(1 for _ in channels))
    return jnp.where(inside, moved, jnp.zeros((), images.dtype))


def warp_images(images: Array, key: Key, most: float | Array) -> Array:
    """Turn, stretch, shear and move each image a little, by an affine map of its own.

    `out[y] = image[y + E y + e]`, y in [-1, 1]^2 from edge to edge of the image

    What lies between pixels is interpolated linearly, and is zero outside the image.

    Args:
      images: [b, h, w] or [b, h, w, channels], of any type; integers are rounded.
      key: consumed.
      most: each of the six numbers of E and e is drawn from U(-most, most). 0.15 turns
        by up to 9 degrees, stretches by up to 15 % and moves by up to 15 % of half the
        side. May be traced.

    Returns:
      The same shape and type.

    >>> image = jnp.zeros((1, 9, 9)).at[0, 4, 4].set(1.0)
    >>> warped = warp_images(image, jax.random.key(0), 0.1)
    >>> bool(warped.sum() > 0.5), bool((warped == image).all())
    (True, False)
    >>> bool((warp_images(image, jax.random.key(0), 0.0) == image).all())
    True
    """
    _, height, width, *channels = images.shape
    drawn = jax.random.uniform(key, (len(images), 2, 3), minval=-most, maxval=most)
    half = jnp.array([height, width])[:, None, None] / 2
    pixels = jnp.stack(jnp.indices((height, width))).astype(jnp.float32)
    y = (pixels + 0.5) / half - 1

    def one(image: Array, drawn: Array) -> Array:
        by = jnp.tensordot(drawn[:, :2], y, axes=1) + drawn[:, 2, None, None]
        return map_coordinates(image, list(pixels + by * half), 1, mode="constant")

    each = jax.vmap(one, (-1, None), -1) if channels else one
    moved = jax.vmap(each)(images.astype(jnp.float32), drawn)
    if jnp.issubdtype(images.dtype, jnp.integer):
        moved = jnp.round(moved)
    return moved.astype(images.dtype)


def mirror_images(images: Array, key: Key) -> Array:
    """Swap left and right in half of the images, drawn anew.

    Args:
      images: [b, h, w] or [b, h, w, channels].
      key: consumed.

    >>> seen = mirror_images(jnp.arange(40).reshape(20, 1, 2), jax.random.key(0))
    >>> sorted(set((seen[:, 0, 1] - seen[:, 0, 0]).tolist()))
    [-1, 1]
    """
    chosen = jax.random.bernoulli(key, 0.5, (len(images),))
    chosen = chosen.reshape(-1, *(1 for _ in images.shape[1:]))
    return jnp.where(chosen, images[:, :, ::-1], images)
