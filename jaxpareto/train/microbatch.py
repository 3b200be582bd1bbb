"""A batch in pieces that fit a CPU's cache.

What a convolutional network makes of a batch on its way is many times larger than the
batch; on a CPU it is written to memory and read back, which takes longer than the
products. Judged in pieces, one after another, all of it stays in the cache. A mean over
the batch is the mean over its pieces, and so is the gradient of a mean:

    L(b) = 1/p sum_i L(b_i),   grad L(b) = 1/p sum_i grad L(b_i).

Accelerators take the whole batch at once: they have threads to fill.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxpareto.data.batches import count_rows
from jaxpareto.types import Conditioned, Key

# How much one forward pass may write, in bytes, and how many images are too few for
# products of a good size: what `benchmarks/microbatch.py` found best, for networks from
# 6 KB to 10 MB an image (2 cores, each with 1 MiB of second-level cache).
_ROOM = 32 * 2**20
_FEWEST = 16


def mean_over(
    function: Callable[[Any, Key], Any], batch: Any, key: Key, size: int
) -> Any:
    """Return the mean of a function over equal pieces of a batch.

    Args:
      function: `function(piece, key) -> tree` of numbers that are means over examples.
      batch: a pytree of arrays [b, ...].
      key: one, or some [k]: split among the pieces, given as it is where there is one
        piece. Consumed.
      size: of a piece, about: the divisor of b that is nearest; 0 is the whole batch.

    >>> x = jnp.arange(6.0)
    >>> print(mean_over(lambda piece, key: piece.mean(), x, jax.random.key(0), 2))
    2.5
    """
    rows = count_rows(batch)
    count = pieces(rows, size)
    if count == 1:
        return function(batch, key)
    cut = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)
    split = partial(jax.random.split, num=count)
    given = (cut, jax.vmap(split, out_axes=1)(key) if key.ndim else split(key))
    like = jax.eval_shape(function, *jax.tree.map(lambda x: x[0], given))
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)

    def add(total: Any, at: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*at)), None

    total, _ = jax.lax.scan(add, nothing, given)
    return jax.tree.map(lambda x: x / count, total)


def pieces(rows: int, size: int) -> int:
    """Say into how many equal pieces of about `size` rows can be cut; 1 for size 0.

    >>> pieces(256, 32), pieces(100, 32), pieces(251, 32), pieces(64, 100)
    (8, 4, 1, 1)
    """
    if not size:
        return 1
    counts = [count for count in range(1, rows + 1) if rows % count == 0]
    return min(counts, key=lambda count: abs(math.log(rows / count / size)))


def choose_microbatch(
    conditioned: Conditioned, m: int, image: Any, backend: str | None = None
) -> int:
    """Choose how many images a CPU should take at once; 0, all of them, elsewhere.

    The power of two that makes a forward pass write at most 32 MiB, but not less than
    16; 0 as well where an answer depends on the other images of the batch. Nothing is
    computed.

    Args:
      conditioned: the network.
      m: number of objectives.
      image: one as `conditioned.forward` reads it, or its shape and type; a pytree of
        such where the network reads several things.
      backend: as `jax.default_backend()` names it, which is the default.

    >>> from jaxpareto.conditioned import chunked
    >>> from jaxpareto.nets import lenet, mlp
    >>> image = jax.ShapeDtypeStruct((36, 36), jnp.float32)
    >>> for net in lenet(), mlp((36, 36)):
    ...     made = chunked(net, 2, jax.random.key(0))
    ...     print(choose_microbatch(made, 2, image, "cpu"))
    32
    4096
    """
    if conditioned.batchwise or (backend or jax.default_backend()) != "cpu":
        return 0
    phi = jax.eval_shape(conditioned.init, jax.random.key(0))
    params = jax.eval_shape(conditioned.params, phi, jnp.ones(m))

    def written(images: int) -> int:
        seen = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((images, *x.shape), x.dtype), image
        )
        return sum(_sizes(jax.make_jaxpr(conditioned.forward)(params, seen).jaxpr))

    # What does not grow with the images is made once for all of them.
    each = written(2) - written(1)
    return max(_FEWEST, 2 ** int(math.log2(max(1.0, _ROOM / max(each, 1)))))


def _sizes(jaxpr: Any) -> Iterator[int]:
    """Say how many bytes each step of a traced function makes."""
    for equation in jaxpr.eqns:
        inner = list(core.jaxprs_in_params(equation.params))
        for each in inner:
            yield from _sizes(each)
        if not inner:
            yield from (x.aval.size * x.aval.dtype.itemsize for x in equation.outvars)
