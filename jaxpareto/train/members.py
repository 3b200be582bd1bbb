"""Where the networks of a search run: the one place that chooses their arrangement.

On an accelerator they are one `vmap`: small products become large ones. On a CPU they
go one after another (`lax.map`), because the weights of one small network fit the cache
and those of many do not, and because one that has stopped then costs nothing. Several
devices each take their share of the members, under either; a CPU has several where the
program asked XLA for one per core before JAX started (`backend.one_device_per_core`).

Whatever the arrangement, the results are the same up to rounding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from jaxpareto.errors import check_name

ARRANGEMENTS = ("map", "vmap")


def choose_arrangement(backend: str | None = None) -> str:
    """Name what is fastest on a backend, by default on that of this process.

    >>> choose_arrangement("cpu"), choose_arrangement("gpu")
    ('map', 'vmap')
    """
    backend = backend or jax.default_backend()
    return "map" if backend == "cpu" else "vmap"


def over_members(
    function: Callable[..., Any],
    *,
    arrangement: str | None = None,
    devices: Sequence[Any] | None = None,
) -> Callable[..., Any]:
    """Compile `function(carried, mine, shared)` for many members at once.

    Args:
      function: of what one member carries from call to call, of its own numbers, and of
        what all share; what it returns is the member's.
      arrangement: one of `ARRANGEMENTS`; by default what `choose_arrangement` says.
      devices: among which the members are shared out; by default all. Their number
        must divide that of the members (`places` sees to it).

    Returns:
      The same function of pytrees `carried` and `mine` with a leading axis; it consumes
      what is carried.

    Raises:
      UsageError: unknown arrangement.

    >>> scaled = over_members(lambda carried, mine, shared: mine * shared)
    >>> slots = places(8)
    >>> scaled(None, slots.astype(float), 2.0)[np.argsort(slots)].tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]
    """
    how = arrangement or choose_arrangement()
    check_name(how, ARRANGEMENTS, "arrangement")
    devices = jax.devices() if devices is None else devices

    def share(carried: Any, mine: Any, shared: Any) -> Any:
        if how == "vmap":
            return jax.vmap(function, (0, 0, None))(carried, mine, shared)
        return jax.lax.map(lambda one: function(*one, shared), (carried, mine))

    if len(devices) > 1:
        mesh = Mesh(np.asarray(devices), ("members",), axis_types=(AxisType.Auto,))
        share = jax.shard_map(
            share,
            mesh=mesh,
            in_specs=(P("members"), P("members"), P()),
            out_specs=P("members"),
            check_vma=False,
        )
    return jax.jit(share, donate_argnums=0)


def places(
    count: int, *, capacity: int = 0, devices: Sequence[Any] | None = None
) -> np.ndarray:
    """Deal members to devices like cards, so that neighbours in a grid are spread.

    Args:
      count: of the members.
      capacity: places to fill at least, to reuse a program compiled for more.
      devices: as of `over_members`.

    Returns:
      The number of the member at each place; numbers from `count` on are spare places.
    """
    hands = len(jax.devices() if devices is None else devices)
    rounds = -(-max(count, capacity) // hands)
    return np.arange(rounds * hands).reshape(rounds, hands).T.ravel()
