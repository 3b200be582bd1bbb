"""Static hypernetworks: one small network makes the kernels of all layers of a shape.

Each convolution kernel has an embedding z of a few numbers, and

    a_i = (W_i z + B_i),     K[:, :, i, :] = <W_out, a_i> / d + B_out,

for each input channel i. Kernels of one shape share W, B, W_out and B_out; what is no
convolution kernel is learned directly and is the same for all preferences. Here the
embeddings move with the preference. Source: Ha, Dai and Le (2017), "HyperNetworks",
section 3.1, where the embedding is learned and nothing moves it.
"""

import math

import jax.numpy as jnp
from flax import linen as nn

from jaxpareto.errors import UsageError
from jaxpareto.hyper.trunk import direct, normal, standardise
from jaxpareto.tree import Spec
from jaxpareto.types import Array


class Static(nn.Module):
    """A static hypernetwork; it knows the sizes of its target alone.

    Attributes:
      spec: of the target.
      embedding: length of z.
      width: `d`, length of a_i.
      pref_scale: how far a preference moves an embedding of size one, at the start.

    Raises:
      UsageError: the target has no convolution kernel.
    """

    spec: Spec
    embedding: int = 4
    width: int = 4
    pref_scale: float = 0.3

    @nn.compact
    def leaves(self, pref: Array) -> list[Array]:
        """Make the target's leaves from a preference [m]."""
        kernels = [i for i, shape in enumerate(self.spec.shapes) if len(shape) == 4]
        if not kernels:
            raise UsageError(
                "a static hypernetwork makes convolution kernels, and this network has "
                "none; choose another --network or --conditioner"
            )
        shapes = sorted({self.spec.shapes[i] for i in kernels})
        makers = {shape: Kernel(shape, self.width) for shape in shapes}
        count, width = len(kernels), self.embedding
        embeddings = self.param("embeddings", normal(1.0), (count, width))
        moves = normal(self.pref_scale)
        shifts = self.param("shifts", moves, (count, *pref.shape, width))
        codes = embeddings + jnp.tensordot(standardise(pref), shifts, (0, 1))
        made = []
        for i, shape in enumerate(self.spec.shapes):
            if i in kernels:
                made.append(
                    self.spec.scales[i] * makers[shape](codes[kernels.index(i)])
                )
            else:
                made.append(self.param(f"direct{i}", direct(self.spec, i), shape))
        return made


class Kernel(nn.Module):
    """Make a kernel [height, width, channels, filters] of mean square one from z.

    The layer of Ha et al.: 4,240 numbers for 7 x 7
    kernels between 16 channels, z and a_i of length 4.

    Attributes:
      shape: of the kernel.
      width: `d`.
    """

    shape: tuple[int, ...]
    width: int = 4

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """Make [..., height, width, channels, filters] from codes [..., embedding]."""
        height, width, channels, filters = self.shape
        d, mapped = self.width, (None,) * (z.ndim - 1)
        unit = normal(1.0 / math.sqrt(z.shape[-1]))
        first = self.param("first", unit, (channels, d, z.shape[-1]))
        first_bias = self.param("first_bias", nn.initializers.zeros, (channels, d))
        inner = jnp.tensordot(z, first, (-1, -1)) + first_bias[mapped]
        # Behind the division by d, sums of d terms have variance one.
        out = self.param("out", normal(math.sqrt(d)), (d, height, width, filters))
        bias = self.param("out_bias", nn.initializers.zeros, (height, width, filters))
        made = jnp.tensordot(inner, out, 1) / d + bias[(*mapped, None)]
        return jnp.moveaxis(made, -4, -2)
