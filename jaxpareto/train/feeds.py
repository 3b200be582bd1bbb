"""Where the rows come from that heads are trained on and judged by.

They stay on the device, or are read from a store in every epoch, a few thousand at a
time, by a thread that is ahead of the training. Of many devices each holds some of the
rows, and only these are read for it; which rows make a batch depends on no device.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import logistic
from jaxpareto.data.features import Store
from jaxpareto.data.features.stream import ahead
from jaxpareto.train.head_config import HeadConfig
from jaxpareto.train.mesh import Devices
from jaxpareto.types import Array

STILL = 16_384
"""Rows whose logits exist at once when heads are judged."""


class Feed(NamedTuple):
    """Where training rows come from.

    Attributes:
      moving: `moving(epoch)` goes through features, labels, and a table of rows
        [steps, batch size], in the order of that epoch.
      still: goes through features and labels, in any order.
      steps: of an epoch.
      rows: how many there are.
      devices: among which they are shared out, if they are.
    """

    moving: Callable[[int], Iterable[tuple[Any, Any, Array]]]
    still: logistic.Blocks
    steps: int
    rows: int
    devices: Devices | None = None


def resident(features: Array, labels: Array, config: HeadConfig) -> Feed:
    """Feed rows that stay on the device."""
    n = len(labels)

    def moving(epoch: int):
        yield features, labels, _table(n, epoch, config)

    return Feed(moving, pieces(features, labels), _steps(n, config), n)


def streamed(store: Store, config: HeadConfig) -> Feed:
    """Feed rows from a disk, a few thousand at a time, in a new order every epoch."""
    size = _at_once(config)

    def read(size: int, **order: Any) -> Iterable[tuple[Array, Array]]:
        for block in store.batches(size, seed=config.seed, **order):
            yield jnp.asarray(block.x, jnp.float32), jnp.asarray(block.y)

    def moving(epoch: int):
        for x, y in read(size, epoch=epoch, shuffle=config.order == "epoch"):
            yield x, y, logistic.table(len(y), config.batch_size)

    still = partial(read, STILL, shuffle=False)
    return Feed(moving, still, _steps(store.rows, config), store.rows)


def shared(
    read: Callable[[int, int], np.ndarray],
    labels: np.ndarray,
    config: HeadConfig,
    devices: Devices,
) -> Feed:
    """Feed rows that stay on many devices, a part of them on each.

    Args:
      read: `read(first, last) -> [last - first, d]`; each process reads its own.
      labels: [n].
      config: of the study.
      devices: to hold them.
    """
    n = len(labels)
    x, y = devices.read(n, read), devices.everywhere(labels)

    def moving(epoch: int):
        yield x, y, devices.everywhere(_table(n, epoch, config))

    still = _pieces(x, labels, devices)
    return Feed(moving, still, _steps(n, config), n, devices)


def shared_stream(store: Store, config: HeadConfig, devices: Devices) -> Feed:
    """Feed rows from a disk to many devices: each batch that of `streamed`.

    The rows of a few thousand are read in the order of the store, each device its part
    of them, so that reads are long; what mixes them is the table.
    """
    size = _at_once(config)

    def moving(epoch: int):
        shuffle = config.order == "epoch"
        plan = store.orders(size, seed=config.seed, epoch=epoch, shuffle=shuffle)
        yield from ahead(mixed, plan)

    def mixed(rows: np.ndarray) -> tuple[Array, Array, Array]:
        ranks = np.argsort(rows)
        x, y = there(rows[ranks])
        place = np.empty_like(ranks)
        place[ranks] = np.arange(len(rows))
        missing = -len(rows) % config.batch_size
        table = np.pad(place, (0, missing), constant_values=len(rows))
        table = table.reshape(-1, config.batch_size).astype(np.int32)
        return x, devices.everywhere(y), devices.everywhere(table)

    def there(rows: np.ndarray) -> tuple[Array, np.ndarray]:
        x = devices.read(len(rows), lambda a, b: store.read(rows[a:b]))
        return x, store.labels[rows]

    def block(rows: np.ndarray) -> tuple[Array, Array]:
        x, y = there(rows)
        return x, _beside(y, devices)

    def still():
        yield from ahead(block, store.orders(STILL, shuffle=False))

    return Feed(moving, still, _steps(store.rows, config), store.rows, devices)


def pieces(features: Array, labels: Array) -> logistic.Blocks:
    """Cut rows that are at hand into blocks."""
    cuts = [slice(i, i + STILL) for i in range(0, len(labels), STILL)]
    return lambda: ((features[cut], labels[cut]) for cut in cuts)


def tests(features: Any, labels: Any, devices: Devices | None) -> logistic.Blocks:
    """Cut rows to be judged by into blocks, on one device or many."""
    if devices is None:
        return pieces(jnp.asarray(features), jnp.asarray(labels))
    return _pieces(devices.rows(features), labels, devices)


def _pieces(x: Array, labels: np.ndarray, devices: Devices) -> logistic.Blocks:
    y = _beside(labels, devices)
    return lambda: zip(devices.pieces(x, STILL), devices.pieces(y, STILL), strict=True)


def _beside(labels: np.ndarray, devices: Devices) -> Array:
    """Share out labels as their rows are; what fills up is no row."""
    labels = np.asarray(labels, np.int32)
    return devices.read(len(labels), lambda a, b: labels[a:b], fill=-1)


def _at_once(config: HeadConfig) -> int:
    return config.batch_size * max(1, STILL // config.batch_size)


def _steps(n: int, config: HeadConfig) -> int:
    return math.ceil(n / config.batch_size)


def _table(n: int, epoch: int, config: HeadConfig) -> Array:
    """Lay out n rows that are all at hand."""
    key = jax.random.fold_in(jax.random.key(config.seed), epoch)
    return logistic.table(
        n, config.batch_size, key if config.order == "epoch" else None
    )
