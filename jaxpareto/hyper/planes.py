"""A preference as extra channels of an image, for networks that read it as an input."""

import jax
from flax import linen as nn

from jaxpareto.types import Array


class Planes(nn.Module):
    """Draw a preference as m images: two transposed convolutions and a resize.

    `pref [m] -> 4 x 4 -> 10 x 10 -> image_shape`, m channels throughout, no biases, a
    ReLU after each: 52 m^2 numbers. Source: Ruchte and Grabocka (2021), "Scalable
    Pareto front approximation for deep multi-objective learning" (COSMOS).

    Attributes:
      image_shape: (height, width).
    """

    image_shape: tuple[int, int]

    @nn.compact
    def __call__(self, pref: Array) -> Array:
        """Return [height, width, m] from a preference [m]."""
        m = len(pref)
        x = pref[None, None, None]
        for size, stride, padding in ((4, 1, "VALID"), (6, 2, ((4, 4), (4, 4)))):
            x = nn.relu(
                nn.ConvTranspose(
                    m,
                    (size, size),
                    (stride, stride),
                    padding=padding,
                    use_bias=False,
                    kernel_init=nn.initializers.he_normal(),
                )(x)
            )
        return jax.image.resize(x[0], (*self.image_shape, m), "nearest")
