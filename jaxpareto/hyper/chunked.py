"""The chunked hypernetwork: (preference, chunk id) -> one chunk of the weights.

A small fully connected network reads a preference and the embedding of a chunk and
answers with an inner vector `a` in R^d, which a projection turns into the chunk:

    a = MLP([E pref', e_j]),     chunk_j = W_t(j) a / d + c_j.

The division makes one learning rate suit every width: a step of Adam moves each number
of `W` by about the rate, and so each generated number by the rate times mean |a|.

Either every chunk has a projection of its own (Lin et al., 2020), or consecutive chunks
share one (the ResNet recipe of Navon et al., 2021, and von Oswald et al., 2020), which
keeps the parameters few.

`Chunked.__call__` makes one chunk, so `vmap` over ids gives them all; `every_chunk`
does the same without copying a projection per chunk, and is what training uses.
"""

import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxpareto import draw
from jaxpareto.errors import check_name
from jaxpareto.hyper.chunking import Chunking
from jaxpareto.hyper.trunk import fan_in, he, normal, standardise
from jaxpareto.types import Array, Key

OFFSETS = ("chunk", "table", "none")
BALANCES = ("gains", "embeddings")


class Chunked(nn.Module):
    """A chunked hypernetwork; it knows the sizes of its chunks and no target.

    Initialised so that each generated number has the standard deviation and the mean
    that `chunking` asks for, whatever the widths: the layers keep the mean square of
    `a` at one, and `W` has variance `d scale^2`. Where projections are shared a chunk
    cannot have its own variance in `W`. Then either fixed gains `scale / rms(scale)`
    are put behind it, or, as in von Oswald et al.'s library, the embeddings of the
    chunks are drawn larger or smaller, which gives each chunk the mean variance of its
    numbers (the layers being homogeneous):

    `Var(e_j) = max(eps, ((n_p + n_c) Var(chunk_j) - n_p Var(E pref')) / n_c)`,

    with n_p and n_c the widths of the two inputs of the network.

    Attributes:
      chunking: how the target's vector is cut.
      width: `d`, of the inner vector.
      hidden: widths of the hidden layers.
      pref_width: of the embedding of the preference.
      chunk_width: of the learned embedding of each chunk.
      tables: how many projections a group of chunks shares; None is one per chunk.
      offsets: `c`: one for each `"chunk"`, one for each projection (`"table"`), or
        `"none"`, and then the wished means are constants behind the projections.
      balance: how chunks that share a projection get their own size: `"gains"` or
        `"embeddings"`.
      rectify: put a ReLU behind `a`, as von Oswald et al. do.
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
    offsets: str = "chunk"
    balance: str = "gains"
    rectify: bool = False
    pref_scale: float = 0.3

    def setup(self):
        check_name(self.offsets, OFFSETS, "offsets")
        check_name(self.balance, BALANCES, "balance")
        loud, sizes = self._inputs()
        self.embed_pref = nn.Dense(
            self.pref_width,
            use_bias=False,
            kernel_init=normal(loud),
        )
        self.embeddings = self.param(
            "embeddings",
            lambda key, shape: jnp.asarray(sizes) * draw.normal(key, shape),
            (self.chunking.count, self.chunk_width),
        )
        # Mean square of the first layer's input, under uniform preferences.
        inputs = self.pref_width + self.chunk_width
        chunk_square = 1.0 if self.balance == "gains" else float(np.mean(sizes**2))
        square = (self.pref_width * loud**2 + self.chunk_width * chunk_square) / inputs
        first = fan_in(1.0 / square)
        inits = [first, *(he for _ in self.hidden)]
        self.layers = [
            nn.Dense(width, kernel_init=init)
            for width, init in zip((*self.hidden, self.width), inits, strict=True)
        ]
        self.projections = [
            self.param(f"projection{i}", self._projection_init(i), shape)
            for i, shape in enumerate(self._projection_shapes())
        ]
        self.constants = [self._constant(i) for i in range(len(self.chunking.groups))]

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
        return gain * made + self.constants[group][chunk_id]

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
            chunks.append(self._gains(i) * made + self.constants[i])
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
        x = self.layers[-1](x)
        # E[relu(x)^2] is half of E[x^2].
        return math.sqrt(2.0) * nn.relu(x) if self.rectify else x

    def _inputs(self) -> tuple[float, np.ndarray]:
        """Return how loud a preference is, and each chunk's embedding [count, 1]."""
        count, n_p, n_c = self.chunking.count, self.pref_width, self.chunk_width
        if self.balance == "gains":
            return self.pref_scale, np.ones((count, 1), np.float32)
        wished = np.concatenate(
            [np.mean(np.square(scale), axis=1) for scale in self.chunking.scales]
        )
        # In units of the mean variance: what all chunks share is left to W.
        wished = wished / wished.mean()
        # The preference takes a part of what the quietest chunk allows.
        part = self.pref_scale**2 / (1.0 + self.pref_scale**2)
        loud = part * wished[wished > 0].min() * (n_p + n_c) / n_p
        rest = np.maximum(((n_p + n_c) * wished - n_p * loud) / n_c, 1e-6)
        return math.sqrt(loud), np.sqrt(rest)[:, None].astype(np.float32)

    def _constant(self, group: int) -> Array | np.ndarray:
        """Return `c`, broadcast to one for each chunk [count, size]."""
        means, count = self.chunking.means[group], self.chunking.groups[group].count
        if self.offsets == "chunk":
            return self.param(f"offset{group}", lambda _: jnp.asarray(means))
        if self.offsets == "none":
            return means
        tables = self._projection_shapes()[group][0]
        zeros = nn.initializers.zeros
        each = self.param(f"offset{group}", zeros, (tables, means.shape[1]))
        return means + jnp.repeat(each, self._shared_by(group), axis=0)[:count]

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
            unit = draw.normal(key, shape) * math.sqrt(self.width)
            if self.tables is None:
                return unit * scales[:, None, :]
            return unit * _root_mean_square(scales)

        return init

    def _gains(self, group: int) -> np.ndarray:
        """Fixed factors behind a shared projection, [count, size]; else one."""
        scales = self.chunking.scales[group]
        if self.tables is None or self.balance == "embeddings":
            return np.ones((scales.shape[0], 1), np.float32)
        # A gain of zero could never be learned away: numbers that a direct
        # initialisation sets to zero get the smallest gain of the others.
        positive = scales[scales > 0]
        floor = positive.min() if positive.size else 1.0
        return np.maximum(scales, floor) / (_root_mean_square(scales) or 1.0)


def _root_mean_square(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
