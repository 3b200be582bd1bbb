"""Judge a front: how much it dominates, what in it is dominated, does it obey.

A front is an array of points [k, m] in the space of objectives, all minimised; to
judge a quantity that is maximised (accuracy, say), negate it. Everything here works
under `jit` and `vmap`, and asks for float64 by the usual means (`jax.enable_x64`).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxpareto.errors import UsageError
from jaxpareto.types import Array


def hypervolume(points: ArrayLike, reference: ArrayLike) -> Array:
    """Measure the region that a front dominates, up to a reference point.

    `hv = volume of { z [m] : points_i <= z <= reference for some i }`

    Exact for any m >= 2. Points that do not dominate the reference in every objective
    contribute nothing, +inf included. A NaN anywhere gives NaN: a front with a hole in
    it has no volume to report.

    Two objectives take one sort. With more, the last objective is cut into k slabs, in
    each of which the volume is one of m - 1 objectives: time O(k^(m-1)), after one sort
    per objective, and memory O(k^2) for any m >= 3. Meant for m <= 4 and for k of some
    hundreds there. Differentiable wherever no two points share a coordinate and none
    touches the reference; to rounding, dominated points have zero gradient.

    Args:
      points: [k, m], each objective in its own unit, minimised; k may be 0.
      reference: [m], in the same units: the worst values that still count.

    Returns:
      Scalar, in the product of the m units, to be maximised; float32 or wider.

    Raises:
      UsageError: the shapes are not [k, m] and [m] with m >= 2.

    Source: Zitzler and Thiele (1998), "Multiobjective optimization using evolutionary
    algorithms", for the measure; While, Hingston, Barone and Huband (2006), "A faster
    algorithm for calculating hypervolume", for the slabs.

    >>> front = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    >>> print(hypervolume(front, jnp.array([3.0, 3.0])))
    3.0
    """
    points = _points(points, "hypervolume")
    reference = jnp.asarray(reference)
    k, m = points.shape
    if m < 2 or reference.shape != (m,):
        raise UsageError(
            f"hypervolume needs points [k, m] and a reference [m] with m >= 2; "
            f"found {points.shape} and {reference.shape}"
        )
    dtype = jnp.promote_types(points.dtype, reference.dtype)
    points, reference = points.astype(dtype), reference.astype(dtype)
    if k == 0:
        return jnp.zeros((), dtype)
    # Each point owns the box [0, gain]; what does not dominate has an empty box.
    gains = jnp.maximum(reference[None, :] - points, 0)
    gains = gains[_order(gains[:, 0])]
    volume = _union(gains, jnp.ones(k, bool))
    # Arithmetic alone carries a NaN through here on a CPU; this is the promise of it.
    broken = jnp.any(jnp.isnan(points)) | jnp.any(jnp.isnan(reference))
    return jnp.where(broken, jnp.nan, volume)


def nondominated(points: ArrayLike) -> Array:
    """Say which points no other point beats.

    `mask_i = not exists j : points_j <= points_i in every objective, < in one`

    Equal points do not dominate each other: duplicates are all in or all out. A point
    with a NaN is out, and dominates nothing. Time and memory O(k^2 m).

    Args:
      points: [k, m], each objective in its own unit, minimised.

    Returns:
      [k] bool; its sum is the number of non-dominated points.

    Raises:
      UsageError: the shape is not [k, m] with m >= 1.

    >>> front = jnp.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    >>> print(nondominated(front))
    [ True  True False]
    """
    points = _points(points, "nondominated")
    one, other = points[:, None, :], points[None, :, :]
    beaten = jnp.all(other <= one, axis=-1) & jnp.any(other < one, axis=-1)
    return ~jnp.any(beaten, axis=1) & ~jnp.any(jnp.isnan(points), axis=1)


def spearman(x: ArrayLike, y: ArrayLike) -> Array:
    """Measure how far one quantity rises with another, by rank.

    `rho = cov(rank(x), rank(y)) / sqrt(var(rank(x)) * var(rank(y)))`

    where equal values share the average of their ranks. Of a front, `rho` between
    `pref_i` and `-loss_i` says whether the network obeys: 1 when caring more about an
    objective always lowers its loss. Piecewise constant, so its gradient is zero.

    Args:
      x: [k], any unit.
      y: [k], any unit.

    Returns:
      Scalar in [-1, 1]. NaN when x or y is constant (k = 1 included) or has a NaN.

    Raises:
      UsageError: the shapes are not [k] and [k].

    Source: Spearman (1904), "The proof and measurement of association between two
    things".

    >>> print(spearman(jnp.array([0.0, 0.5, 1.0]), jnp.array([1.0, 4.0, 9.0])))
    1.0
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 1 or x.shape != y.shape:
        raise UsageError(
            f"spearman needs two sequences [k] of one length; "
            f"found {x.shape} and {y.shape}"
        )
    rank_x, rank_y = _centred_ranks(x), _centred_ranks(y)
    spread = jnp.sqrt(jnp.sum(rank_x**2)) * jnp.sqrt(jnp.sum(rank_y**2))
    rho = jnp.clip(jnp.sum(rank_x * rank_y) / spread, -1, 1)
    broken = jnp.any(jnp.isnan(x)) | jnp.any(jnp.isnan(y))
    return jnp.where(broken, jnp.nan, rho)


def _points(points: ArrayLike, what: str) -> Array:
    """Return the points as floats [k, m], or say that the shape is wrong."""
    points = jnp.asarray(points)
    if points.ndim != 2 or points.shape[1] == 0:
        raise UsageError(f"{what} needs points [k, m]; found shape {points.shape}")
    return points.astype(jnp.promote_types(points.dtype, jnp.float32))


def _order(values: Array) -> Array:
    """Return the indices [k] that sort the values from large to small."""
    return jnp.argsort(lax.stop_gradient(values), descending=True)


def _steps(values: Array) -> Array:
    """Return each value's distance to the next one, the last one's to 0."""
    return values - jnp.append(values[1:], 0)


def _union(gains: Array, alive: Array) -> Array:
    """Return the volume of the union of the alive boxes [0, gains_i].

    `gains` [k, m] is sorted by its first column, from large to small. A dead row loses
    its second coordinate only, which empties its box and leaves the order standing.
    """
    if gains.shape[1] == 2:
        height = lax.cummax(jnp.where(alive, gains[:, 1], 0))
        return jnp.sum(_steps(gains[:, 0]) * height)
    # Positions, not values, decide who is in a slab: a compiler may round one value
    # in two ways at its two uses, and `value >= level` would then lose a whole slab.
    order = _order(gains[:, -1])
    position = jnp.argsort(order)

    def slab(i: Array) -> Array:
        return _union(gains[:, :-1], alive & (position <= i))

    slabs = jnp.arange(gains.shape[0])
    if gains.shape[1] == 3:
        volumes = jax.vmap(slab)(slabs)
    else:  # one slab at a time, forgotten until its gradient is due: memory O(k^2)
        volumes = lax.map(jax.checkpoint(slab), slabs)
    return jnp.sum(_steps(gains[order, -1]) * volumes)


def _centred_ranks(values: Array) -> Array:
    """Return the ranks [k] minus their mean; equal values share their average rank."""
    ordered = jnp.sort(values)
    below = jnp.searchsorted(ordered, values, side="left")
    upto = jnp.searchsorted(ordered, values, side="right")
    dtype = jnp.promote_types(values.dtype, jnp.float32)
    return (below + upto - values.size).astype(dtype) / 2
