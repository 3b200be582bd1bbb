"""Mixtures: the target's weights as a few learned parts, weighed by preference.

| module | theta(pref) | numbers |
| --- | --- | --- |
| `Linear` | `sum_i pref_i theta_i` | m n |
| `LowRank` | `theta_0 + s sum_j g_j(pref) A_j B_j` in each layer | n + a little |
| `Film` | `theta_0`, each layer's outputs scaled and shifted | n + a little |

All three answer with the leaves of the target, in the order of its spec.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxpareto import draw
from jaxpareto.errors import UsageError, check_name
from jaxpareto.hyper.trunk import Trunk, direct, layers_of, normal
from jaxpareto.tree import Spec
from jaxpareto.types import Array, Key


class Linear(nn.Module):
    """A mixture of m copies of the target: a straight path between two networks.

    `theta(pref) = sum_i pref_i theta_i`

    Source: Dimitriadis, Frossard and Fleuret (2023), "Pareto manifold learning".

    Attributes:
      spec: of the target.
      spread: how much the copies differ at initialisation, beside what they have in
        common; 0 starts all of them alike.
    """

    spec: Spec
    spread: float = 0.0

    @nn.compact
    def leaves(self, pref: Array) -> list[Array]:
        """Make the target's leaves from a preference [m]."""
        m = pref.shape[-1]
        copies = [
            self.param(f"copies{i}", self._init(i), (m, *shape))
            for i, shape in enumerate(self.spec.shapes)
        ]
        return [jnp.tensordot(pref, each, 1) for each in copies]

    def _init(self, leaf: int) -> nn.initializers.Initializer:
        mean, scale = self.spec.means[leaf], self.spec.scales[leaf]

        def init(key: Key, shape: tuple[int, ...]) -> Array:
            common, own = jax.random.split(key)
            both = draw.normal(common, (1, *shape[1:]))
            both = both + self.spread * draw.normal(own, shape)
            return mean + scale * both / math.sqrt(1.0 + self.spread**2)

        return init


GATES = ("preference", "mlp")


class LowRank(nn.Module):
    """One network, and a correction of low rank to each of its layers.

    `theta(pref) = theta_0 + s sum_j g_j(pref) A_j B_j`, A_j [fan_in, r], B_j [r, out].

    With `gates="preference"`, g = pref and there is one correction of rank r for each
    objective: a plane through theta_0, as in PaLoRA and LORPMAN. With `gates="mlp"`, r
    corrections of rank one are weighed by a small network of the preference, anew in
    each layer: a curved path for the same few numbers. Leaves with a single axis get
    whole vectors in the place of A_j B_j.

    Source: Dimitriadis, Frossard and Fleuret (2025), "Pareto low-rank adapters"; Chen
    and Kwok (2024), "Efficient Pareto manifold learning with low-rank structure", whose
    penalty is `crowding`.

    Attributes:
      spec: of the target.
      rank: `r`.
      strength: `s`.
      gates: one of `GATES`.
      hidden: widths of the layers of the gates' network.
    """

    spec: Spec
    rank: int = 4
    strength: float = 1.0
    gates: str = "preference"
    hidden: tuple[int, ...] = (32, 32)

    @nn.compact
    def leaves(self, pref: Array) -> list[Array]:
        """Make the target's leaves from a preference [m]."""
        gates = self._gates(pref)
        made = []
        for i, shape in enumerate(self.spec.shapes):
            base = self.param(f"base{i}", direct(self.spec, i), shape)
            made.append(base + self.strength * self._correction(i, shape, gates[i]))
        return made

    def _gates(self, pref: Array) -> Array:
        """Return g for every leaf, [leaves, corrections]."""
        check_name(self.gates, GATES, "gates")
        count = len(self.spec.shapes)
        if self.gates == "preference":
            return jnp.broadcast_to(pref, (count, *pref.shape))
        inner = Trunk(self.hidden, count * self.rank, pref_scale=1.0)(pref)
        return inner.reshape(count, self.rank)

    def _correction(self, leaf: int, shape: tuple[int, ...], gates: Array) -> Array:
        """Return `sum_j g_j A_j B_j` in the shape of the leaf."""
        parts = len(gates)
        if len(shape) < 2:
            whole = self.param(f"whole{leaf}", nn.initializers.zeros, (parts, *shape))
            return jnp.tensordot(gates, whole, 1)
        rank = self.rank if self.gates == "preference" else 1
        into, out = math.prod(shape[:-1]), shape[-1]
        columns = normal(1.0 / math.sqrt(into))
        down = self.param(f"down{leaf}", columns, (into, parts, rank))
        up = self.param(f"up{leaf}", nn.initializers.zeros, (parts, rank, out))
        # One product: the gates are put between the two factors.
        gated = (down * gates[None, :, None]).reshape(into, parts * rank)
        return (gated @ up.reshape(parts * rank, out)).reshape(shape)


def crowding(phi: dict[str, Array]) -> Array:
    """Say how much the corrections of a `LowRank` overlap: the penalty of LORPMAN.

    `sum over layers of |Q^T Q - I|^2`, Q the unit columns of all A_j side by side.

    Args:
      phi: parameters of a `LowRank`.

    Returns:
      A number, 0 where all columns are orthogonal.

    >>> float(crowding({"down0": jnp.eye(4).reshape(4, 2, 2)}))
    0.0
    """
    total = jnp.zeros(())
    for name, leaf in phi.items():
        if name.startswith("down"):
            columns = leaf.reshape(leaf.shape[0], -1)
            length = jnp.sqrt(jnp.sum(jnp.square(columns), axis=0) + 1e-12)
            columns = columns / length[None]
            overlap = columns.T @ columns - jnp.eye(columns.shape[1])
            total = total + jnp.sum(jnp.square(overlap))
    return total


class Film(nn.Module):
    """One network whose layers are scaled and shifted by a preference.

    A layer's output `y = W x + b` becomes `gamma(pref) y + beta(pref)`, one gamma and
    one beta for each of its channels. Being linear, that is the layer with the weights
    `gamma W` and `gamma b + beta`: so this, too, makes weights, for any target. A layer
    is what has a `bias` of one axis (and where it ends in a normalisation, `scale` is
    its W); the rest of a target is left as it is.

    Source: Perez et al. (2018), "FiLM"; Dosovitskiy and Djolonga (2020), "You only
    train once" (YOTO), for conditioning on the weights of the losses.

    Attributes:
      spec: of the target.
      hidden: widths of the layers of the small network.

    Raises:
      UsageError: no leaf of the target is a `bias`.
    """

    spec: Spec
    hidden: tuple[int, ...] = (64,)

    @nn.compact
    def leaves(self, pref: Array) -> list[Array]:
        """Make the target's leaves from a preference [m]."""
        layers = self._layers()
        widths = [self.spec.shapes[bias][0] for bias, _ in layers]
        *hidden, last = self.hidden
        inner = nn.relu(Trunk(tuple(hidden), last, pref_scale=1.0)(pref))
        knobs = nn.Dense(2 * sum(widths), kernel_init=nn.initializers.zeros)(inner)
        made = [
            self.param(f"base{i}", direct(self.spec, i), shape)
            for i, shape in enumerate(self.spec.shapes)
        ]
        starts = np.cumsum([0, *widths])
        for (bias, others), start, width in zip(layers, starts, widths, strict=False):
            gamma = 1.0 + knobs[start : start + width]
            beta = knobs[starts[-1] + start : starts[-1] + start + width]
            made[bias] = gamma * made[bias] + beta
            for i in others:
                made[i] = made[i] * gamma.reshape((1,) * (made[i].ndim - 1) + (width,))
        return made

    def _layers(self) -> list[tuple[int, list[int]]]:
        """List the layers: the leaf of the bias, and those that share its channels."""
        shapes, found = self.spec.shapes, []
        for leaves in layers_of(self.spec).values():
            for bias in leaves:
                name = self.spec.paths[bias].rpartition("/")[2]
                if name == "bias" and len(shapes[bias]) == 1:
                    same = [i for i in leaves if shapes[i][-1:] == shapes[bias]]
                    # A normalisation undoes what is done to a kernel before it.
                    last = [i for i in same if self.spec.paths[i].endswith("scale")]
                    found.append((bias, last or [i for i in same if i != bias]))
        if not found:
            raise UsageError(
                "FiLM scales and shifts layers, and no parameter of this network is "
                f"called bias; found {', '.join(self.spec.paths[:5])}, ..."
            )
        return found
