"""Pytrees as flat vectors, from a description of their shapes alone.

A target network and a hypernetwork are strangers that meet through a `Spec`: what the
network's parameter pytree looks like, and how large each leaf is when the network is
initialised directly. It is read off `net.init`, never written by hand.

>>> import jax
>>> spec = spec_of(lambda key: {"w": jax.random.normal(key, (2, 3))}, jax.random.key(0))
>>> spec.size, spec.shapes
(6, ((2, 3),))
>>> unravel(spec, ravel(spec, {"w": jax.numpy.ones((2, 3))}))["w"].shape
(2, 3)
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Params


class Spec(NamedTuple):
    """What a parameter pytree looks like: enough to build one from a flat vector.

    Attributes:
      treedef: the structure, as `jax.tree.structure` gives it.
      paths: the name of each leaf, as `"conv0/kernel"`.
      shapes: the shape of each leaf.
      scales: how far the numbers of each leaf spread around `means` under direct
        initialisation: a standard deviation.
      means: the constant that a leaf starts around: 1 for the scale of a normalisation,
        0 for kernels and biases.
    """

    treedef: Any
    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]
    means: tuple[float, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of scalars in each leaf."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def size(self) -> int:
        """`n`, the number of scalars in the pytree."""
        return sum(self.sizes)

    def each(self, values: Sequence[float]) -> np.ndarray:
        """Repeat one value per leaf for each of its numbers, [n] float32."""
        return np.repeat(np.asarray(values, np.float32), self.sizes)


def spec_of(init: Callable[[Key], Params], key: Key, *, draws: int = 16) -> Spec:
    """Describe the pytree that `init` makes.

    The scale of a leaf is measured, not derived from a fan-in, so that it is right for
    any network and any initialiser: over a few draws, `scale = sqrt(mean(leaf^2))` of a
    leaf that starts around zero, and `std(leaf)` of one that starts around a constant.

    Args:
      init: `init(key) -> params`, a pytree of floating-point arrays.
      key: the key is consumed.
      draws: how many initialisations the scales are averaged over.

    Raises:
      UsageError: the pytree is empty or has a leaf that is not floating-point.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(jax.eval_shape(init, key))
    if not leaves:
        raise UsageError("the network has no parameters; a hypernetwork has no work")
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UsageError(
                f"parameter {name} has type {leaf.dtype}; floats are needed"
            )

    found = [
        (float(np.mean(mean)), float(np.mean(square)))
        for mean, square in _moments(init, jax.random.split(key, draws))
    ]
    # A mean that is small beside the spread is the accident of a few draws.
    means = [mean if mean**2 > 0.5 * square else 0.0 for mean, square in found]
    return Spec(
        treedef=treedef,
        paths=tuple(
            jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves
        ),
        shapes=tuple(tuple(leaf.shape) for _, leaf in leaves),
        scales=tuple(
            math.sqrt(max(square - mean**2, 0.0))
            for mean, (_, square) in zip(means, found, strict=True)
        ),
        means=tuple(means),
    )


@partial(jax.jit, static_argnums=0)
def _moments(init: Callable[[Key], Params], keys: Key) -> list[tuple[Array, Array]]:
    """Return the mean and the mean square of every leaf, each [draws]."""

    def of(key: Key) -> list[tuple[Array, Array]]:
        leaves = jax.tree.leaves(init(key))
        return [(jnp.mean(leaf), jnp.mean(jnp.square(leaf))) for leaf in leaves]

    # One draw after another: a large network is never held `draws` times in memory.
    return lax.map(of, keys)


def ravel(spec: Spec, params: Params) -> Array:
    """Concatenate the leaves of `params` into one vector [n]; undone by `unravel`."""
    leaves = spec.treedef.flatten_up_to(params)
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])


def unravel(spec: Spec, flat: Array) -> Params:
    """Cut a vector [n] into the pytree that `spec` describes.

    Raises:
      UsageError: `flat` is not a vector of length `spec.size`.
    """
    if flat.shape != (spec.size,):
        raise UsageError(
            f"expected a vector of {spec.size} parameters, found {flat.shape}"
        )
    # `split`, because its gradient is one concatenation; that of a slice pads to all n.
    leaves = [
        piece.reshape(shape)
        for piece, shape in zip(lax.split(flat, spec.sizes), spec.shapes, strict=True)
    ]
    return jax.tree.unflatten(spec.treedef, leaves)


def jacobian(
    function: Callable[[Params], Array], at: Params, *, one_by_one: bool = False
) -> tuple[Array, Params]:
    """Return m values and their gradients, one backward pass for each.

    Args:
      function: `function(params) -> [m]`.
      at: where.
      one_by_one: whether the passes come one after another instead of side by side,
        which suits what fits a CPU's cache once.

    Returns:
      The values [m], and a pytree like `at` with a leading axis [m] on every leaf.

    >>> values, rows = jacobian(lambda x: jax.numpy.array([x @ x, x[0]]), jnp.ones(2))
    >>> print(values, rows, sep="\\n")
    [2. 1.]
    [[2. 2.]
     [1. 0.]]
    """
    values, pull_back = jax.vjp(function, at)
    each = jnp.eye(len(values), dtype=values.dtype)
    (rows,) = lax.map(pull_back, each) if one_by_one else jax.vmap(pull_back)(each)
    return values, rows


# Up to so many gradients each pair has a product of its own: on a CPU the one matrix
# product of two long rows took 46 ms where their three inner products take 2 (3.2 M
# numbers, 2 cores); of eight rows it took half of what 36 inner products do.
_FEW = 4


def gramian(rows: Params) -> Array:
    """Return the inner products [m, m] of m gradients, as `jacobian` gives them.

    >>> print(gramian({"a": jnp.array([[3.0], [0.0]]), "b": jnp.array([[4.0], [1.0]])}))
    [[25.  4.]
     [ 4.  1.]]
    """
    flat = [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(rows)]
    return jnp.sum(jnp.stack([_products(x) for x in flat]), axis=0)


def _products(rows: Array) -> Array:
    """Return the inner products [m, m] of the rows [m, n]."""
    # Full precision: accelerators would round the products, and solvers read small
    # differences between them.
    m = len(rows)
    if m > _FEW:
        return jnp.dot(rows, rows.T, precision="highest")
    below = {
        (i, j): jnp.vdot(rows[i], rows[j], precision="highest")
        for i in range(m)
        for j in range(i + 1)
    }
    whole = [below[max(i, j), min(i, j)] for i in range(m) for j in range(m)]
    return jnp.stack(whole).reshape(m, m)


def count(params: Params) -> int:
    """Number of scalars in a pytree of arrays or of shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
