"""The chunked hypernetwork: (preference, chunk id) -> one chunk of the weights.

A small fully connected network reads a preference and the embedding of a chunk and
answers with an inner vector `a` in R^d, which a projection turns into the chunk:

    a = MLP([E pref', e_j]),     chunk_j = W_t(j) a / d + c_j.

The division makes one learning rate suit every width: a step of Adam moves each number
of `W` by about the rate, and so each generated number by the rate times mean |a|.

Either every chunk has a projection of its own (Lin et al., 2020), or consecutive chunks
share one (the ResNet recipe of Navon et al., 2021), which keeps the parameters few.

`Chunked.__call__` makes one chunk, so `vmap` over ids gives them all; `every_chunk`
does the same without copying a projection per chunk, and is what training uses.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxpareto.hyper.chunking import Chunking
from jaxpareto.types import Array, Key

# E[(w relu(x))^2] = mean(x^2) for a symmetric x, by He's factor 2.
_he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


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


class Chunked(nn.Module):
    """A chunked hypernetwork; it knows the sizes of its chunks and no target.

    Initialised so that each generated number has the standard deviation that
    `chunking.scales` asks for, whatever the widths (hyperfan-in of Chang, Flokas and
    Lipson, 2020): the layers keep the mean square of `a` at one, and `W` has variance
    `d scale^2`. Where projections are shared a chunk cannot have
    its own variance in `W`, so fixed gains `scale / rms(scale)` are put behind it.

    Attributes:
      chunking: how the target's vector is cut.
      width: `d`, of the inner vector.
      hidden: widths of the hidden layers.
      pref_width: of the embedding of the preference.
      chunk_width: of the learned embedding of each chunk.
      tables: how many projections a group of chunks shares; None is one per chunk.
      pref_scale: initial size of the preference's embedding beside a chunk's. Well
        below one, the networks of all preferences start out alike and part as they
        learn; at one they start as strangers, and training is slow and erratic.
    """

    chunking: Chunking
    width: int = 32
    hidden: tuple[int, ...] = (100, 100)
    pref_width: int = 32
    chunk_width: int = 64
    tables: int | None = None
    pref_scale: float = 0.3

    def setup(self):
        self.embed_pref = nn.Dense(
            self.pref_width,
            use_bias=False,
            kernel_init=nn.initializers.normal(self.pref_scale),
        )
        self.embeddings = self.param(
            "embeddings",
            nn.initializers.normal(1.0),
            (self.chunking.count, self.chunk_width),
        )
        # Mean square of the first layer's input, under uniform preferences.
        inputs = self.pref_width + self.chunk_width
        square = (self.pref_width * self.pref_scale**2 + self.chunk_width) / inputs
        first = nn.initializers.variance_scaling(1.0 / square, "fan_in", "normal")
        inits = [first, *(_he for _ in self.hidden)]
        self.layers = [
            nn.Dense(width, kernel_init=init)
            for width, init in zip((*self.hidden, self.width), inits, strict=True)
        ]
        self.projections = [
            self.param(f"projection{i}", self._projection_init(i), shape)
            for i, shape in enumerate(self._projection_shapes())
        ]
        self.offsets = [
            self.param(f"offset{i}", nn.initializers.zeros, (group.count, group.size))
            for i, group in enumerate(self.chunking.groups)
        ]

    def __call__(self, pref: Array, chunk_id: Array | int, group: int = 0) -> Array:
        """Make one chunk.

        Args:
          pref: [m] on the simplex.
          chunk_id: integer, may be traced: number of the chunk within its group.
          group: which group of `chunking`; 0 is all of them for equal slices.

        Returns:
          [chunk_size].
        """
        first = self._first_id(group)
        inner = self._inner(pref, self.embeddings[first + chunk_id])
        table = self.projections[group][chunk_id // self._shared_by(group)]
        gain = jnp.asarray(self._gains(group))[chunk_id]
        made = inner @ table / self.width
        return gain * made + self.offsets[group][chunk_id]

    def every_chunk(self, pref: Array) -> list[Array]:
        """Make all chunks, [count, chunk_size] for each group."""
        inner = self._inner(pref, self.embeddings)
        chunks = []
        for i, group in enumerate(self.chunking.groups):
            first, shared = self._first_id(i), self._shared_by(i)
            tables = self.projections[i].shape[0]
            mine = inner[first : first + group.count]
            # Chunks that share a projection are one matrix product; the last
            # projection may serve fewer, its surplus rows are dropped.
            mine = jnp.pad(mine, ((0, tables * shared - group.count), (0, 0)))
            made = mine.reshape(tables, shared, self.width) @ self.projections[i]
            made = made.reshape(tables * shared, group.size)[: group.count]
            made = made / self.width
            chunks.append(self._gains(i) * made + self.offsets[i])
        return chunks

    def flat(self, pref: Array) -> Array:
        """Make the target's whole parameter vector from a preference [m].

        Returns:
          At least [n] numbers, in the order of the target's flat vector; a surplus of
          the last slice stays at the end.
        """
        chunks = [chunk.reshape(-1) for chunk in self.every_chunk(pref)]
        flat = jnp.concatenate(chunks)
        return flat if self.chunking.order is None else flat[self.chunking.order]

    def _inner(self, pref: Array, embedding: Array) -> Array:
        """Compute `a` [..., d] for chunk embeddings [..., chunk_width]."""
        wish = self.embed_pref(standardise(pref))
        wish = jnp.broadcast_to(wish, (*embedding.shape[:-1], self.pref_width))
        x = jnp.concatenate([wish, embedding], axis=-1)
        for layer in self.layers[:-1]:
            x = nn.relu(layer(x))
        return self.layers[-1](x)

    def _first_id(self, group: int) -> int:
        return sum(g.count for g in self.chunking.groups[:group])

    def _shared_by(self, group: int) -> int:
        """How many consecutive chunks of a group share one projection."""
        count = self.chunking.groups[group].count
        return 1 if self.tables is None else -(-count // min(self.tables, count))

    def _projection_shapes(self) -> list[tuple[int, int, int]]:
        return [
            (-(-group.count // self._shared_by(i)), self.width, group.size)
            for i, group in enumerate(self.chunking.groups)
        ]

    def _projection_init(self, group: int):
        scales = self.chunking.scales[group]

        def init(key: Key, shape: tuple[int, ...]) -> Array:
            unit = jax.random.normal(key, shape) * math.sqrt(self.width)
            if self.tables is None:
                return unit * scales[:, None, :]
            return unit * _root_mean_square(scales)

        return init

    def _gains(self, group: int) -> np.ndarray:
        """Fixed factors behind a shared projection, [count, size]; else one."""
        scales = self.chunking.scales[group]
        if self.tables is None:
            return np.ones((scales.shape[0], 1), np.float32)
        # A gain of zero could never be learned away: numbers that a direct
        # initialisation sets to zero get the smallest gain of the others.
        positive = scales[scales > 0]
        floor = positive.min() if positive.size else 1.0
        return np.maximum(scales, floor) / (_root_mean_square(scales) or 1.0)


def _root_mean_square(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
