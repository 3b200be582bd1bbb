"""What the networks of a front say of a few test images."""

import base64
import io
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto.errors import require
from jaxpareto.train.run import Front
from jaxpareto.types import Split


class Answers(NamedTuple):
    """Probabilities of every class, for each of k preferences and a few images.

    Attributes:
      images: [b, h, w] uint8.
      labels: [b, m], the true classes.
      probabilities: [k, b, m, c] uint8, in 255ths: fine enough for whole percents.
    """

    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def ask(cls, front: Front, prefs: Any, split: Split, count: int) -> "Answers":
        """Ask about the first `count` images of a split, which nobody picked.

        Args:
          front: the trained family.
          prefs: [k, m] on the simplex.
          split: where the images come from.
          count: how many of them, at most.
        """
        images = np.asarray(split.images[:count])
        labels = np.asarray(split.labels[:count])
        scaled = jnp.asarray(images, jnp.float32) / 255.0

        def at(phi: Any, pref: jax.Array) -> jax.Array:
            logits = front.conditioned.apply(phi, pref, scaled)
            return jnp.round(255.0 * jax.nn.softmax(logits)).astype(jnp.uint8)

        def each(phi: Any, prefs: jax.Array) -> jax.Array:
            return jax.lax.map(lambda pref: at(phi, pref), prefs)

        found = jax.jit(each)(front.phi, jnp.asarray(prefs, jnp.float32))
        return cls(images, labels, np.asarray(found))

    def plain(self) -> dict[str, Any]:
        """Put the answers into values that JSON can hold."""
        return {
            "images": [picture(image) for image in self.images],
            "labels": self.labels.tolist(),
            "probabilities": base64.b64encode(self.probabilities.tobytes()).decode(),
        }


def picture(image: np.ndarray) -> str:
    """Write grey pixels [h, w] uint8 as a PNG in a `data:` URI.

    Raises:
      RunError: pillow is not installed.

    >>> picture(np.zeros((2, 2), np.uint8)).split(",")[0]
    'data:image/png;base64'
    """
    pillow = require("PIL.Image", "plot")
    file = io.BytesIO()
    pillow.fromarray(image).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
