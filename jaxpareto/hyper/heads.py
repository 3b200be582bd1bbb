"""Dense heads: one small network, and a dense layer to all of the target's weights.

    a = MLP(pref),     theta = W a / d + s V x + b

This is the hypernetwork of Navon et al. (2021), some d + 1 times as large as its
target. With few inner numbers and `base`, the same formula is a network of its own
(`b`, which starts as the target would) and a small correction for each preference.

The division makes one learning rate suit every width: a step of Adam moves each number
of `W` by about the rate, and so each generated number by the rate times mean |a|.

`V` reads the preference itself (`x`, standardised) and starts at zero. The inner vector
hardly differs between preferences at the start, and what differs is learned last; along
`V` the networks of two preferences part as fast as both of them learn. `straight` is s,
and 0 leaves `V` out.
"""

import math

import jax.numpy as jnp
from flax import linen as nn

from jaxpareto import draw
from jaxpareto.hyper.trunk import Trunk, standardise
from jaxpareto.tree import Spec
from jaxpareto.types import Array, Key


class Heads(nn.Module):
    """A hypernetwork with dense heads; it knows the sizes of its target alone.

    Initialised so that each generated number has the standard deviation and the mean
    that `spec` asks for (`hyper.INITS` are other wishes than the target's own).

    Attributes:
      spec: of the target.
      width: `d`, of the inner vector.
      hidden: widths of the layers before it.
      pref_scale: how loud a preference is at initialisation, see `Trunk`.
      base: let `b` start as the target would, and `W a / d` at `delta` of that.
      delta: initial size of the corrections; without `base` it is not read.
      straight: `s`, how strongly the preference itself acts.
    """

    spec: Spec
    width: int = 100
    hidden: tuple[int, ...] = (100, 100)
    pref_scale: float = 0.3
    base: bool = False
    delta: float = 0.3
    straight: float = 0.0

    @nn.compact
    def flat(self, pref: Array) -> Array:
        """Make the target's parameter vector [n] from a preference [m]."""
        inner = Trunk(self.hidden, self.width, self.pref_scale)(pref)
        n = self.spec.size
        table = self.param("table", self._table, (self.width, n))
        offset = self.param("offset", self._offset, (n,))
        made = inner @ table / self.width + offset
        if not self.straight:
            return made
        zeros = nn.initializers.zeros
        plane = self.param("plane", zeros, (pref.shape[-1], n))
        return made + self.straight * (standardise(pref) @ plane)

    def _table(self, key: Key, shape: tuple[int, ...]) -> Array:
        unit = draw.normal(key, shape) * math.sqrt(self.width)
        size = self.delta if self.base else 1.0
        return unit * size * self.spec.each(self.spec.scales)[None]

    def _offset(self, key: Key, shape: tuple[int, ...]) -> Array:
        means = jnp.asarray(self.spec.each(self.spec.means))
        if not self.base:
            return means
        return means + self.spec.each(self.spec.scales) * draw.normal(key, shape)
