"""Relaxed weight sharing: all kernels are made by one network, each from a code.

Between sharing a kernel among layers, as a recurrent network does, and learning each on
its own lies learning a short code z for each, and one generator for all of them. A
kernel of several times the basic size is put together from as many basic ones, each
with a code of its own. What is not generated is learned directly. Nothing conditions
these weights: they are only fewer.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxpareto import draw
from jaxpareto.errors import UsageError
from jaxpareto.hyper.static import Kernel
from jaxpareto.hyper.trunk import direct
from jaxpareto.tree import Spec
from jaxpareto.types import Array, Key


class Relaxed(nn.Module):
    """A static hypernetwork without a preference; it knows shapes alone.

    `kernel[:, :, i C : (i + 1) C, j F : (j + 1) F] = scale * Kernel(z_ij)`

    with basic kernels of C channels and F filters. With one kernel of the basic size it
    is the hypernetwork of Ha et al. for MNIST, and with `embedding` and `width` of 64
    that for CIFAR-10.

    Attributes:
      spec: of the target.
      generated: numbers of the leaves that are made; all [height, width, C a, F b] with
        the same height and width and whole a, b.
      basic: (C, F) of a basic kernel.
      embedding: length of a code z.
      width: `d`, length of the inner vectors of the generator.

    Raises:
      UsageError: a leaf that is to be made is no such kernel.

    Source: Ha, Dai and Le (2017), "HyperNetworks", section 3.1.
    """

    spec: Spec
    generated: tuple[int, ...]
    basic: tuple[int, int]
    embedding: int = 4
    width: int = 4

    @nn.compact
    def leaves(self) -> list[Array]:
        """Make the target's leaves."""
        shapes = [self.spec.shapes[i] for i in self.generated]
        grids = [_grid(shape, self.basic) for shape in shapes]
        reaches = {shape[:2] for shape in shapes}
        if len(reaches) != 1:
            raise UsageError(
                "one generator makes kernels of one height and width, found "
                f"{sorted(reaches)}"
            )
        counts = [rows * columns for rows, columns in grids]
        codes = self.param("codes", _units, (sum(counts), self.embedding))
        basics = Kernel((*reaches.pop(), *self.basic), self.width)(codes)
        made = [
            self.param(f"direct{i}", direct(self.spec, i), shape)
            for i, shape in enumerate(self.spec.shapes)
            if i not in self.generated
        ]
        at = 0
        for i, grid, count in sorted(zip(self.generated, grids, counts, strict=True)):
            kernel = _tiled(basics[at : at + count], grid)
            made.insert(i, self.spec.scales[i] * kernel)
            at += count
        return made


def kernels(spec: Spec, basic: Sequence[int], reach: int) -> tuple[int, ...]:
    """List the leaves that `Relaxed` can make: square kernels of a side, in tiles.

    Args:
      spec: of the target.
      basic: (C, F) of a basic kernel.
      reach: the side.
    """
    return tuple(
        i
        for i, shape in enumerate(spec.shapes)
        if len(shape) == 4
        and shape[:2] == (reach, reach)
        and not any(n % m for n, m in zip(shape[2:], basic, strict=True))
    )


def _units(key: Key, shape: tuple[int, int], dtype: Any = jnp.float32) -> Array:
    """Draw codes of mean square one each: of four numbers, chance would make some small
    and with them their kernels."""
    drawn = draw.normal(key, shape, dtype=dtype)
    return drawn / jnp.sqrt(jnp.mean(jnp.square(drawn), axis=1, keepdims=True))


def _grid(shape: tuple[int, ...], basic: tuple[int, int]) -> tuple[int, int]:
    """Return how many basic kernels lie along the channels and the filters."""
    if len(shape) != 4 or any(n % m for n, m in zip(shape[2:], basic, strict=True)):
        raise UsageError(
            f"a leaf of shape {shape} is not made of kernels of {basic[0]} channels "
            f"and {basic[1]} filters"
        )
    return shape[2] // basic[0], shape[3] // basic[1]


def _tiled(basics: Array, grid: tuple[int, int]) -> Array:
    """Put basic kernels [a b, h, w, C, F] together as [h, w, a C, b F]."""
    _, height, width, channels, filters = basics.shape
    laid = basics.reshape(*grid, height, width, channels, filters)
    laid = laid.transpose(2, 3, 0, 4, 1, 5)
    return laid.reshape(height, width, grid[0] * channels, grid[1] * filters)
