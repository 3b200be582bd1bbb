"""Images changed a little at every step, on the device."""

import jax
import jax.numpy as jnp

from jaxpareto.types import Array, Key


def shift_images(images: Array, key: Key, most: int | Array) -> Array:
    """Shift each image by whole pixels, its own draw from U{-most..most} in each axis.

    What leaves the image is lost, and zeros come in on the other side. Images whose
    digits keep clear of the border by `most` pixels lose nothing.

    Args:
      images: [b, h, w], of any type.
      key: consumed.
      most: pixels, at least 0; may be traced.

    Returns:
      [b, h, w], of the same type.

    >>> import numpy as np
    >>> image = np.pad([[[7]]], ((0, 0), (2, 2), (2, 2)))
    >>> shifted = shift_images(jnp.asarray(image), jax.random.key(0), 2)
    >>> int(shifted.sum()), bool((shifted == image).all())
    (7, False)
    """
    count, height, width = images.shape
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
    return jnp.where(inside, moved, jnp.zeros((), images.dtype))
