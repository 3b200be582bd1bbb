"""Images changed a little at every step, on the device."""

import jax
import jax.numpy as jnp

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
