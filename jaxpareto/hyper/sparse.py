"""Sparse hypernetworks: layers that grow toward the output, a few inputs per unit.

A preference is embedded in R^d, normalised, and goes through layers of widths
..., n / 4, n / 2, n. Each unit reads `c` units of the layer before: c = 1 in the last
and widest layer, 2 in the one below, 3, ... so that the whole costs about 4 n numbers.

    x_0 = LayerNorm(E^T pref),   x_l[o] = sum_j v_l[j, o] f(x_{l-1})[i_l[j, o]],
    theta = scale * x_L

The wiring `i` is fixed and local: unit `o` reads inputs around `o * in / out`. Forms:
`linear` (f is the identity), `affine` (adds biases), `mlp` (f is PReLU, no biases) and
`mlp-bias`. Source: Cubelier (2022), "Sparse hypernetworks for multitasking", master's
thesis, University of Liege. Here two units may be wired twice to the same input, where
the thesis merges the two wires.
"""

import functools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxpareto import draw
from jaxpareto.errors import UsageError, check_name
from jaxpareto.hyper.trunk import standardise
from jaxpareto.tree import Spec
from jaxpareto.types import Array, Key

FORMS = ("linear", "affine", "mlp", "mlp-bias")
WIRINGS = ("local", "uniform")
DECREASES = ("linear", "exponential", "constant")
_SLOPE = 0.25  # of PReLU below zero, at the start
# On a CPU, XLA sums over an axis of gathered numbers 40 times as slowly as it adds
# terms (15 against 0.3 ms for 2 inputs to each of 318,000 units, EPYC, jax 0.10.2). The
# narrow layers have more inputs and cost nothing: there one sum compiles sooner.
_FEW = 8


def widths(n: int, latent: int) -> list[int]:
    """List the widths of the layers from `latent` to `n`, halving from the end.

    >>> widths(100, 10)
    [10, 12, 25, 50, 100]
    """
    found = [n]
    while latent < found[-1] / 2:
        found.append(found[-1] // 2)
    return [latent, *reversed(found)]


def inputs_per_unit(layers: int, decrease: str, last: int = 1) -> list[int]:
    """List `c` for each layer, from the narrow ones to the widest, which has `last`.

    >>> inputs_per_unit(4, "linear"), inputs_per_unit(4, "exponential")
    ([4, 3, 2, 1], [4, 3, 2, 1])
    """
    check_name(decrease, DECREASES, "decrease")
    grown = {
        "linear": lambda i: last + i,
        "exponential": lambda i: math.ceil(last * 1.5**i),
        "constant": lambda _: last,
    }[decrease]
    return [grown(i) for i in reversed(range(layers))]


def wire(
    rng: np.random.Generator, into: int, out: int, c: int, spread: float
) -> np.ndarray:
    """Draw which inputs each unit reads, [c, out], in `0 ... into - 1`.

    Args:
      rng: decides.
      into: width of the layer before.
      out: width of this layer.
      c: inputs of each unit.
      spread: standard deviation around the aligned input; infinite is uniform.
    """
    if math.isinf(spread):
        return rng.integers(into, size=(c, out), dtype=np.int32)
    aligned = np.arange(out) * into // out
    drawn = np.rint(aligned[None] + spread * rng.standard_normal((c, out)))
    return np.clip(drawn, 0, into - 1).astype(np.int32)


class Sparse(nn.Module):
    """A sparse hypernetwork; it knows the sizes of its target alone.

    Initialised so that every layer keeps the mean square at one, and each generated
    number has the standard deviation and the mean that `spec` asks for.

    Attributes:
      spec: of the target.
      latent: `d`, width of the embedding of a preference.
      embed: whether there is such an embedding; without one, x_0 is the normalised
        input itself, as for the learned embeddings of Cubelier's tasks, and d its
        width (at least 3: two numbers have but two normalised forms).
      form: one of `FORMS`.
      wiring: `"local"`, with a standard deviation of `latent / 4` (none in the last
        layer), or `"uniform"`.
      decrease: how `c` falls toward the output, one of `DECREASES`.
      last: `c` of the last layer.
      pref_scale: how much the embeddings of the objectives differ at initialisation,
        beside what they have in common.
      seed: of the wiring, which is no parameter.
    """

    spec: Spec
    latent: int = 32
    embed: bool = True
    form: str = "linear"
    wiring: str = "local"
    decrease: str = "linear"
    last: int = 1
    pref_scale: float = 0.3
    seed: int = 0

    @nn.compact
    def flat(self, pref: Array) -> Array:
        """Make the target's parameter vector [n] from a preference [m]."""
        check_name(self.form, FORMS, "form")
        x = nn.LayerNorm(use_bias=False, use_scale=False)(self._first(pref))
        curved, biased = "mlp" in self.form, self.form in ("affine", "mlp-bias")
        for i, table in enumerate(self._tables(len(x))):
            c, out = table.shape
            slope = 1.0
            if curved and i > 0:
                slope = _SLOPE
                steepness = self.param(
                    f"slope{i}", nn.initializers.constant(_SLOPE), ()
                )
                x = jnp.where(x > 0, x, steepness * x)
            bound = math.sqrt(6.0 / ((1.0 + slope**2) * c))
            values = self.param(f"values{i}", _uniform(bound), (c, out))
            x = _wired(x, values, table)
            if biased:
                x = x + self.param(f"bias{i}", nn.initializers.zeros, (out,))
        return jnp.asarray(self._gains()) * x + self.spec.each(self.spec.means)

    def _first(self, pref: Array) -> Array:
        """Return what is normalised and goes into the first layer, [d]."""
        if self.embed:
            shape = (*pref.shape, self.latent)
            return pref @ self.param("embeddings", self._embeddings, shape)
        if len(pref) < 3:
            raise UsageError(
                f"embed=false needs an input of at least 3 numbers, found {len(pref)}; "
                "leave it out"
            )
        return standardise(pref)

    def _gains(self) -> np.ndarray:
        """Return fixed factors [n] behind the last layer.

        A factor of zero could never be learned away: numbers that a direct
        initialisation sets to a constant get the smallest factor of the others.
        """
        scales = self.spec.each(self.spec.scales)
        positive = scales[scales > 0]
        return np.maximum(scales, positive.min() if positive.size else 1.0)

    def _tables(self, latent: int | None = None) -> list[np.ndarray]:
        """Draw the wiring behind `latent` numbers, from narrow layers to wide ones."""
        latent = self.latent if latent is None else latent
        check_name(self.wiring, WIRINGS, "wiring")
        sizes = widths(self.spec.size, latent)
        counts = inputs_per_unit(len(sizes) - 1, self.decrease, self.last)
        rng = np.random.default_rng(self.seed)
        local = self.wiring == "local"
        spreads = [latent / 4 if local else math.inf] * (len(sizes) - 1)
        if local:
            spreads[-1] = 0.0
        pairs = zip(sizes[:-1], sizes[1:], counts, spreads, strict=True)
        return [wire(rng, *each) for each in pairs]

    def _embeddings(self, key: Key, shape: tuple[int, ...]) -> Array:
        common, own = jax.random.split(key)
        shared = draw.normal(common, (1, *shape[1:]))
        return shared + self.pref_scale * draw.normal(own, shape)


def _wired(x: Array, values: Array, table: np.ndarray) -> Array:
    """Return `sum_j values[j, o] x[table[j, o]]`, [out]."""
    c = len(table)
    if c > _FEW:
        return jnp.sum(x[table] * values, axis=0)
    terms = [x[table[j]] * values[j] for j in range(c)]
    return functools.reduce(operator.add, terms)


def _uniform(bound: float) -> nn.initializers.Initializer:
    """Draw from -bound to bound, without a bias to either side."""
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(
        key, shape, dtype, -bound, bound
    )
