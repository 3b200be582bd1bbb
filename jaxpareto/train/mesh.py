"""Many devices: which of them there are, and what of a training lies where.

Devices stand in a mesh of P x B. The networks of a step (its preferences; the seeds of
a sweep; the weight decays of heads) are shared out among P, and the examples that each
of them sees among B. What has a row per example is shared out among all P B, so that no
device holds a data set; parameters that serve all networks are on every device.

| what | where |
| --- | --- |
| images, features [n, ...] | rows among all devices |
| labels and other vectors [n] | every device |
| phi, its optimiser state | every device |
| a member of a sweep, a head of a decay | the P devices, its share each |
| the batch of a step | networks among P, examples among B |

XLA does the rest from these places (`jax.jit` with `NamedSharding`): a batch is looked
up where its rows lie and summed over the devices, which adds zeros and is exact, and
gradients are summed once. No random number depends on the devices, so results are those
of one device up to the rounding of sums.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxpareto.errors import UsageError
from jaxpareto.train.recipe import Layout, Where, as_it_is
from jaxpareto.types import Array

NETWORKS, BATCH = "networks", "batch"
ALL = (NETWORKS, BATCH)


@dataclass(frozen=True)
class Devices:
    """A mesh of P x B devices, and how to put things on it; `choose` makes one.

    Attributes:
      mesh: with the axes `networks` and `batch`.
    """

    mesh: Mesh

    @property
    def count(self) -> int:
        """How many devices."""
        return self.mesh.size

    @property
    def about(self) -> str:
        """The mesh in words, as `--devices` takes them.

        >>> Devices(_mesh(jax.devices()[:1], 1)).about
        '1x1'
        """
        return f"{self.mesh.shape[NETWORKS]}x{self.mesh.shape[BATCH]}"

    def at(self, *axes: Any) -> NamedSharding:
        """Name a place: for each axis of an array the mesh axes that share it out."""
        return NamedSharding(self.mesh, P(*axes))

    @cached_property
    def same(self) -> NamedSharding:
        """The place of what is on every device."""
        return self.at()

    @cached_property
    def _gather(self) -> Callable[[Any], Any]:
        return jax.jit(as_it_is, out_shardings=self.same)

    def everywhere(self, tree: Any) -> Any:
        """Put a pytree of arrays that every process has on every device."""
        return jax.tree.map(lambda x: _put(x, self.same), tree)

    def put(self, tree: Any, where: Any) -> Any:
        """Put a pytree of arrays that every process has where a like one says."""
        return jax.tree.map(_put, tree, where)

    def data(self, tree: Any) -> Any:
        """Share out the images [n, h, w] of a data set; all else goes everywhere."""

        def place(x: Any) -> Array:
            return self.rows(x) if np.ndim(x) > 2 else _put(x, self.same)

        return jax.tree.map(place, tree)

    def rows(self, x: Any) -> Array:
        """Share out rows [n, ...] among all devices; each process puts its own.

        Rows of zeros are added until the devices divide them. Nothing reads these:
        whoever looks rows up knows how many there are from the labels.
        """
        x = np.asarray(x)
        return self.read(len(x), lambda first, last: x[first:last])

    def read(
        self, rows: int, read: Callable[[int, int], np.ndarray], *, fill: float = 0
    ) -> Array:
        """Share out rows that are read where they are needed, and nowhere else.

        Args:
          rows: how many there are, `n`.
          read: `read(first, last) -> [last - first, ...]`, the rows from first on.
          fill: what is added where the devices do not divide them.
        """
        size = rows + -rows % self.count
        like = read(0, 0)

        def part(index: Any) -> np.ndarray:
            first, last, _ = index[0].indices(size)
            found = read(min(first, rows), min(last, rows))
            more = last - first - len(found)
            if not more:
                return found
            filler = np.full((more, *found.shape[1:]), fill, found.dtype)
            return np.concatenate([found, filler])

        shape = (size, *like.shape[1:])
        return jax.make_array_from_callback(shape, self.at(ALL), part)

    def layout(self, *, split_batch: bool, members: bool = False) -> Layout:
        """Say where the networks and the batch of a step lie.

        Args:
          split_batch: as of the `Recipe`.
          members: the step is one member of a sweep, mapped with
            `spmd_axis_name="networks"`: its own preferences stay together.
        """
        k = None if members else NETWORKS
        of_batch = self.at(k, BATCH) if split_batch else self.at(BATCH)
        of_each = self.at(k)

        def share(at: Where) -> Where:
            # Drawn on every device: a sampler may loop until all of them agree.
            prefs, keys = _keep(_keep((at.prefs, at.keys), self.same), of_each)
            return Where(prefs, _keep(at.batch, of_batch), keys)

        return Layout(share, self.on_each, None if members else self.look)

    def look(self, x: Array, at: Array) -> Array:
        """Find, inside a compiled function, rows of what `rows` shared out.

        Each device gives those that it holds, and zeros; the sum of all of them is
        exact. So XLA never brings the whole of x together, as it may where it is left
        to choose.

        Args:
          x: [n, ...].
          at: [b] integers, from 0 to n - 1; one outside finds zeros.

        Returns:
          [b, ...], on every device.
        """

        def found(x: Array, at: Array) -> Array:
            place = at - jax.lax.axis_index(ALL) * len(x)
            here = (place >= 0) & (place < len(x))
            rows = jnp.take(x, place, axis=0, mode="clip")
            here = here.reshape(-1, *(1 for _ in rows.shape[1:]))
            return jax.lax.psum(jnp.where(here, rows, jnp.zeros_like(rows)), ALL)

        of_rows, each = P(ALL), P()
        inside = jax.shard_map(
            found, mesh=self.mesh, in_specs=(of_rows, each), out_specs=each
        )
        return inside(x, at)

    def share_rows(self, tree: Any) -> Any:
        """Share out, inside a compiled function, the batch [b, ...] of a step."""
        return _keep(tree, self.at(BATCH))

    def on_each(self, tree: Any) -> Any:
        """Ask, inside a compiled function, for a pytree on every device."""
        return _keep(tree, self.same)

    def share_examples(self, tree: Any) -> Any:
        """Share out, inside a compiled function, batches [steps, b, ...] along b."""
        return _keep(tree, self.at(None, ALL))

    def add_up(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Compile a sum over rows: each device sums its own, then all of them.

        Args:
          function: `function(shared, rows) -> sums` of a pytree that every device has,
            and one of rows [b, ...] as `rows` shares them out.
        """

        def here(shared: Any, rows: Any) -> Any:
            return jax.lax.psum(function(shared, rows), ALL)

        summed = jax.shard_map(
            here,
            mesh=self.mesh,
            in_specs=(P(), P(ALL)),
            out_specs=P(),
            check_vma=False,  # what a scan begins with is the same on every device
        )
        return jax.jit(summed)

    def fetch(self, tree: Any) -> Any:
        """Bring a pytree to this process, wherever its parts lie."""
        return jax.tree.map(_local, self._gather(tree))

    def pieces(self, x: Array, size: int) -> Iterator[Array]:
        """Cut rows that are shared out into pieces, without moving them.

        Args:
          x: [n, ...], from `rows` or of the same place.
          size: rows in a piece, about; each device gives the same number.
        """
        here = len(x) // self.count
        step = max(1, size // self.count)
        for first in range(0, here, step):
            yield _cutter(self.mesh, min(step, here - first))(x, first)


@cache
def _cutter(mesh: Mesh, size: int) -> Callable[[Array, int], Array]:
    """Compile the cut of `size` rows of every device."""

    def cut(x: Array, first: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(x, first, size)

    rows = P(ALL)
    return jax.jit(jax.shard_map(cut, mesh=mesh, in_specs=(rows, P()), out_specs=rows))


def choose(
    words: str | None, networks: int, batch: int, *, what: str = "preferences"
) -> Devices | None:
    """Choose devices for a training.

    Args:
      words: a count, as `8`; the mesh itself, as `4x2`; or None for all devices that
        can be used. `1` is the plain program, without a mesh.
      networks: what P must divide: preferences, seeds or weight decays.
      batch: what B must divide: the examples that each network sees in a step.
      what: the networks in words.

    Returns:
      The devices; None where there is one device to use.

    Raises:
      UsageError: no count, more devices than there are, or one that does not divide.

    >>> choose("1", networks=8, batch=64) is None
    True
    """
    found = jax.devices()
    cuts = meshes(len(found), networks, batch)
    if words is None:
        p, b = max(cuts, key=lambda cut: (math.prod(cut), cut))
    else:
        p, b = _asked(words, cuts, len(found), f"{networks} {what}", batch)
    if p * b < len(found) and jax.process_count() > 1:
        raise UsageError(
            f"{len(found)} devices in {jax.process_count()} processes, and {p * b} can "
            f"share {networks} {what} and {batch} examples of each: use fewer "
            f"processes, or a number of {what} and a batch that they divide"
        )
    return None if p * b == 1 else Devices(_mesh(found[: p * b], p))


def meshes(count: int, networks: int, batch: int) -> list[tuple[int, int]]:
    """List the meshes of up to `count` devices that share out networks and examples.

    >>> meshes(4, 6, 2)
    [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]
    """
    return [
        (p, b)
        for p in range(1, count + 1)
        for b in range(1, count // p + 1)
        if networks % p == 0 and batch % b == 0
    ]


def _asked(
    words: str, cuts: list[tuple[int, int]], found: int, networks: str, batch: int
) -> tuple[int, int]:
    """Read `8` or `4x2`, and find the mesh; P as large as can be."""
    try:
        asked = [int(word) for word in words.split("x")]
        if len(asked) > 2 or min(asked) < 1:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"--devices must be a count, as 8, or {networks.split()[-1]} x batch, as "
            f"4x2; found {words!r}"
        ) from None
    total = math.prod(asked)
    if total > found:
        raise UsageError(f"found {_devices(found)}, asked for {total}; {_more()}")
    fit = [cut for cut in cuts if math.prod(cut) == total]
    if len(asked) == 2:
        fit = [cut for cut in fit if cut == tuple(asked)]
    if not fit:
        counts = ", ".join(map(str, sorted({math.prod(cut) for cut in cuts})))
        raise UsageError(
            f"--devices {words}: {networks} and {batch} examples of each cannot be "
            f"shared out evenly; counts that can: {counts}"
        )
    return fit[-1]


def _devices(count: int) -> str:
    return f"{count} device{'s' * (count > 1)}"


def _more() -> str:
    """Say how there might be more devices."""
    if jax.default_backend() != "cpu":
        return "ask for fewer, or start more processes (docs/scaling.md)"
    return (
        "ask for fewer, or let a CPU appear as several with "
        "XLA_FLAGS=--xla_force_host_platform_device_count=8"
    )


def _mesh(devices: Any, p: int) -> Mesh:
    grid = np.asarray(devices).reshape(p, -1)
    return Mesh(grid, ALL, axis_types=(AxisType.Auto, AxisType.Auto))


def _keep(tree: Any, where: NamedSharding) -> Any:
    return jax.lax.with_sharding_constraint(tree, where)


def _put(x: Any, where: NamedSharding) -> Array:
    """Put an array that is at hand on devices, some of which may be elsewhere."""
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(x), where))
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, where, lambda index: x[index])


def _local(x: Array) -> Array:
    """Take the copy of this process of what is on every device."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_local(jax.random.key_data(x)))
    return jnp.asarray(np.asarray(x))
