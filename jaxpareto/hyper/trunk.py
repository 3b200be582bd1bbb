"""What the hypernetworks share: how a preference comes in, and a small perceptron."""

import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxpareto import draw
from jaxpareto.tree import Spec
from jaxpareto.types import Array


def normal(scale: float) -> nn.initializers.Initializer:
    """Initialise with normal numbers of a standard deviation."""
    return lambda key, shape, dtype=jnp.float32: draw.normal(key, shape, scale, dtype)


def fan_in(gain: float) -> nn.initializers.Initializer:
    """Initialise with variance `gain / fan_in`; the last axis is the output's."""
    return lambda key, shape, dtype=jnp.float32: draw.normal(
        key, shape, math.sqrt(gain * shape[-1] / math.prod(shape)), dtype
    )


he = fan_in(2.0)
"""E[(w relu(x))^2] = mean(x^2) for a symmetric x, by He's factor 2."""


def standardise(pref: Array) -> Array:
    """Centre a preference and scale it to `E |x|^2 = 1` under the uniform simplex.

    `x = (m pref - 1) sqrt((m + 1) / (m (m - 1)))`: without this the mean 1/m of a
    preference would drown what differs between preferences.

    Args:
      pref: [m] on the simplex.

    Returns:
      [m], zero at the centre of the simplex.
    """
    m = pref.shape[-1]
    return (m * pref - 1.0) * math.sqrt((m + 1) / (m * (m - 1)))


def unstandardise(x: Array) -> Array:
    """Undo `standardise`: what a hypernetwork takes for a preference, of any vector.

    `pref = (1 + x sqrt(m (m - 1) / (m + 1))) / m`. A vector of length about one lies
    where preferences lie, though not on the simplex, and zero at its centre: so
    whatever reads preferences reads any vector.

    Args:
      x: [m], m at least 2.

    >>> print(standardise(unstandardise(jnp.array([0.5, -2.0, 1.0]))).round(4))
    [ 0.5 -2.   1. ]
    """
    m = x.shape[-1]
    return (1.0 + x * math.sqrt(m * (m - 1) / (m + 1))) / m


class Trunk(nn.Module):
    """A perceptron from a preference to an inner vector of mean square one.

    The biases of its first layer start at random, so that the centre of the simplex is
    a preference like any other, and no zero.

    Attributes:
      hidden: widths of the rectified layers.
      width: `d`, of the inner vector.
      pref_scale: how loud a preference is beside that bias at initialisation. Well
        below one, the networks of all preferences start out alike.

    >>> import jax
    >>> trunk, pref = Trunk(), jnp.array([0.3, 0.7])
    >>> trunk.apply(trunk.init(jax.random.key(0), pref), pref).shape
    (100,)
    """

    hidden: tuple[int, ...] = (100, 100)
    width: int = 100
    pref_scale: float = 0.3

    @nn.compact
    def __call__(self, pref: Array) -> Array:
        first, *rest = (*self.hidden, self.width)
        unit = 1.0 / math.sqrt(1.0 + self.pref_scale**2)
        x = nn.Dense(
            first,
            kernel_init=normal(self.pref_scale * unit),
            bias_init=normal(unit),
        )(standardise(pref))
        for width in rest:
            x = nn.Dense(width, kernel_init=he)(nn.relu(x))
        return x


def direct(spec: Spec, leaf: int) -> nn.initializers.Initializer:
    """Initialise a leaf of the target as the target itself would, about.

    Normal numbers of the leaf's own mean and standard deviation.
    """
    mean, scale = spec.means[leaf], spec.scales[leaf]
    return lambda key, shape, dtype=jnp.float32: (
        mean + draw.normal(key, shape, scale, dtype)
    )


def layers_of(spec: Spec) -> dict[str, list[int]]:
    """Group the leaves of a target by layer: the path up to the last name.

    >>> spec = Spec(None, ("a/bias", "a/kernel", "b"), ((2,), (3, 2), (1,)), (), ())
    >>> layers_of(spec)
    {'a': [0, 1], '': [2]}
    """
    found: dict[str, list[int]] = {}
    for leaf, path in enumerate(spec.paths):
        found.setdefault(path.rpartition("/")[0], []).append(leaf)
    return found


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the fan-in and fan-out of a kernel [..., in, out].

    >>> fans((5, 5, 10, 20))
    (250, 500)
    """
    reach = int(np.prod(shape[:-2]))
    return reach * shape[-2], reach * shape[-1]
