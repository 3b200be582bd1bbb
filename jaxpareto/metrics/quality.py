"""Judge a front: how near the true one, how evenly spread, how obedient.

`igd`, `igd_plus` and `gd` need points of the true front, which toy problems have;
`spacing`, `sparsity` and `span` look at the spread of the points alone; `uniformity`
and `cross_angle` ask of one point whether it lies where its preference or ray wanted
it, and the caller averages over the points. All objectives are minimised. A NaN among
the arguments gives NaN, never a number that looks like an answer.
"""

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jax.typing import ArrayLike

from jaxpareto.errors import UsageError
from jaxpareto.metrics.front import _points
from jaxpareto.types import Array


def igd(points: ArrayLike, front: ArrayLike) -> Array:
    """Measure how far the true front is from the points (inverted generational).

    `igd = mean_j min_i || points_i - front_j ||`

    Sees both faults, points beside the front and parts of the front without points. A
    point with an infinite coordinate is infinitely far from everything. Time and memory
    O(k r m).

    Args:
      points: [k, m], each objective in its own unit, minimised; k may be 0.
      front: [r, m], finite, in the same units: points spread over the true front.

    Returns:
      Scalar of 0 or more, in the units of the objectives, to be minimised; inf when
      there are no points.

    Raises:
      UsageError: the shapes are not [k, m] and [r, m] with r >= 1.

    Source: Coello Coello and Reyes Sierra (2004), "A study of the parallelization of a
    coevolutionary multi-objective evolutionary algorithm".

    >>> print(igd([[0.0, 2.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]))
    1.0
    """
    points, front = _pair(points, front, "igd")
    return _mean_nearest(points[None] - front[:, None], points, front)


def igd_plus(points: ArrayLike, front: ArrayLike) -> Array:
    """Measure how far the true front is from the points, counting only what is worse.

    `igd_plus = mean_j min_i || max(points_i - front_j, 0) ||`

    Unlike `igd` it never prefers a dominated set of points to the one that dominates
    it. Time and memory O(k r m).

    Args:
      points: [k, m], each objective in its own unit, minimised; k may be 0.
      front: [r, m], finite, in the same units: points spread over the true front.

    Returns:
      Scalar of 0 or more, in the units of the objectives, to be minimised; inf when
      there are no points.

    Raises:
      UsageError: the shapes are not [k, m] and [r, m] with r >= 1.

    Source: Ishibuchi, Masuda, Tanigaki and Nojima (2015), "Modified distance
    calculation in generational distance and inverted generational distance".

    >>> print(igd_plus([[0.0, 2.0], [1.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]))
    0.5
    """
    points, front = _pair(points, front, "igd_plus")
    worse = jnp.maximum(points[None] - front[:, None], 0)
    return _mean_nearest(worse, points, front)


def gd(points: ArrayLike, front: ArrayLike) -> Array:
    """Measure how far the points are from the true front: generational distance.

    `gd = mean_i min_j || points_i - front_j ||`

    Blind to parts of the front without points: one point on the front has a gd of 0.
    This is the mean distance, as most programs have it; the first paper divides the
    root of the sum of squares by k. Time and memory O(k r m).

    Args:
      points: [k, m], each objective in its own unit, minimised.
      front: [r, m], finite, in the same units: points spread over the true front.

    Returns:
      Scalar of 0 or more, in the units of the objectives, to be minimised; NaN when
      there are no points, inf when a point has an infinite coordinate.

    Raises:
      UsageError: the shapes are not [k, m] and [r, m] with r >= 1.

    Source: Van Veldhuizen and Lamont (1998), "Evolutionary computation and convergence
    to a Pareto front".

    >>> print(gd([[0.0, 2.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]))
    0.5
    """
    points, front = _pair(points, front, "gd")
    return _mean_nearest(points[:, None] - front[None], points, front)


def uniformity(losses: ArrayLike, pref: ArrayLike) -> Array:
    """Measure how well one point balances the losses that its preference weighs.

    `1 - sum_i share_i log(m share_i)`, with
    `share_i = pref_i losses_i / sum_j pref_j losses_j`

    which is 1 less the divergence of the shares from 1 / m. Published tables give the
    mean over the preferences of a front. Losses that are all zero lie on every ray.

    Args:
      losses: [m], not negative, each in its own unit, minimised.
      pref: [m], on the simplex; a larger entry asks for a smaller loss.

    Returns:
      Scalar in [1 - log(m), 1], no unit, to be maximised; 1 when all `pref_i losses_i`
      are equal. NaN when one of these is negative or infinite.

    Raises:
      UsageError: the shapes are not [m] and [m].

    Source: Mahapatra and Rajan (2020), "Multi-task learning with user preferences", for
    the divergence; Navon, Shamsian, Fetaya and Chechik (2021), "Learning the Pareto
    front with hypernetworks", for the measure.

    >>> print(uniformity(jnp.array([3.0, 1.0]), jnp.array([0.25, 0.75])))
    1.0
    """
    losses, pref = _vectors(losses, pref, "uniformity needs losses [m] and a pref [m]")
    weighed = losses * pref
    total = jnp.sum(weighed)
    share = weighed / jnp.where(total == 0, 1, total)
    balance = 1 - jnp.sum(xlogy(share, share * losses.size))
    return jnp.where(jnp.all((weighed >= 0) & jnp.isfinite(weighed)), balance, jnp.nan)


def spacing(points: ArrayLike) -> Array:
    """Measure how uneven the gaps between neighbouring points are.

    `sqrt(sum_i (d_i - mean(d))^2 / (k - 1))`, with
    `d_i = min_{j != i} sum_o |points_io - points_jo|`

    Blind to the length of the front: two clumps of points can have a spacing of 0. Some
    programs divide by k, or measure d along straight lines. Time and memory O(k^2 m).

    Args:
      points: [k, m], each objective in its own unit; scale them alike first.

    Returns:
      Scalar of 0 or more, in the units of the objectives, to be minimised; 0 when all
      points are equally far from their nearest neighbour. NaN when k < 2 or when a
      coordinate is infinite.

    Raises:
      UsageError: the shape is not [k, m] with m >= 1.

    Source: Schott (1995), "Fault tolerant design using single and multicriteria genetic
    algorithm optimization".

    >>> print(spacing([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0]]))
    0.0
    """
    points = _points(points, "spacing")
    k = points.shape[0]
    if k < 2:
        return jnp.full((), jnp.nan, points.dtype)
    gaps = jnp.sum(jnp.abs(points[:, None] - points[None]), axis=-1)
    nearest = jnp.min(jnp.where(jnp.eye(k, dtype=bool), jnp.inf, gaps), axis=1)
    spread = jnp.sqrt(jnp.sum((nearest - jnp.mean(nearest)) ** 2) / (k - 1))
    # Arithmetic alone carries a NaN through here on a CPU; this is the promise of it.
    return jnp.where(jnp.all(jnp.isfinite(points)), spread, jnp.nan)


def sparsity(points: ArrayLike) -> Array:
    """Measure how large the gaps are that the points leave along each objective.

    `sum_o sum_i (sorted_o[i + 1] - sorted_o[i])^2 / (k - 1)`, with `sorted_o` the
    points' values of objective o in rising order

    The mean squared gap, summed over the objectives. Its paper measures non-dominated
    points; here all count, so choose them first. A short front has a small sparsity
    too: compare at equal `span`, or look at the hypervolume beside it.

    Args:
      points: [k, m], each objective in its own unit; scale them alike first.

    Returns:
      Scalar of 0 or more, in squared units, to be minimised. NaN when k < 2 or when a
      coordinate is infinite.

    Raises:
      UsageError: the shape is not [k, m] with m >= 1.

    Source: Xu, Tian, Ma, Rus, Sueda and Matusik (2020), "Prediction-guided
    multi-objective reinforcement learning for continuous robot control".

    >>> print(sparsity([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0]]))
    2.0
    """
    points = _points(points, "sparsity")
    k = points.shape[0]
    if k < 2:
        return jnp.full((), jnp.nan, points.dtype)
    total = jnp.sum(jnp.diff(jnp.sort(points, axis=0), axis=0) ** 2)
    # Sorting puts a NaN or inf at an end, where a difference need not show it.
    return jnp.where(jnp.all(jnp.isfinite(points)), total / (k - 1), jnp.nan)


def span(points: ArrayLike) -> Array:
    """Measure how far the points reach, in the objective in which they reach least.

    `min_o (max_i points_io - min_i points_io)`

    A front that collapsed to one point has a span of 0, however good that point is.

    Args:
      points: [k, m], each objective in its own unit; scale them alike first.

    Returns:
      Scalar of 0 or more, in the unit of that objective, to be maximised. NaN when
      k = 0 or when a coordinate is infinite.

    Raises:
      UsageError: the shape is not [k, m] with m >= 1.

    Source: Zhang and others (2024), "LibMOON: a gradient-based multiobjective
    optimization library in PyTorch", for the smallest of the m reaches.

    >>> print(span([[0.0, 4.0], [1.0, 3.0], [2.0, 3.5]]))
    1.0
    """
    points = _points(points, "span")
    if points.shape[0] == 0:
        return jnp.full((), jnp.nan, points.dtype)
    reach = jnp.min(jnp.max(points, axis=0) - jnp.min(points, axis=0))
    return jnp.where(jnp.all(jnp.isfinite(points)), reach, jnp.nan)


def cross_angle(losses: ArrayLike, ray: ArrayLike) -> Array:
    """Measure how far one point lies from the ray that was asked for, as an angle.

    `angle = arccos(losses . ray / (||losses|| ||ray||))`, in degrees

    computed as `2 atan2(||a - b||, ||a + b||)` of the two unit vectors: the arc cosine
    loses half of the digits near 0, where all the good fronts are. Published tables
    give the mean over the rays of a front.

    Args:
      losses: [m], each in its own unit, minimised.
      ray: [m], a direction in the space of losses (not a preference: see `to_ray`).

    Returns:
      Scalar in [0, 90] degrees when nothing is negative ([0, 180] otherwise), to be
      minimised. 0 when losses or ray are all zero: the origin lies on every ray. NaN
      when a coordinate is infinite.

    Raises:
      UsageError: the shapes are not [m] and [m].

    Source: Kahan (2006), "How futile are mindless assessments of roundoff in
    floating-point computation?", for the formula; Zhang and others (2024), "LibMOON: a
    gradient-based multiobjective optimization library in PyTorch", for the measure.

    >>> print(cross_angle(jnp.array([1.0, 1.0]), jnp.array([0.0, 2.0])))
    45.0
    """
    losses, ray = _vectors(losses, ray, "cross_angle needs losses [m] and a ray [m]")
    one, other = _unit(losses), _unit(ray)
    apart = jnp.sqrt(jnp.sum((one - other) ** 2))
    along = jnp.sqrt(jnp.sum((one + other) ** 2))
    angle = jnp.rad2deg(2 * jnp.arctan2(apart, along))
    angle = jnp.where(jnp.any(one != 0) & jnp.any(other != 0), angle, 0)
    return jnp.where(jnp.all(jnp.isfinite(losses) & jnp.isfinite(ray)), angle, jnp.nan)


def _pair(points: ArrayLike, front: ArrayLike, what: str) -> tuple[Array, Array]:
    """Return points [k, m] and front [r, m] as floats, or say what is wrong."""
    points, front = _points(points, what), _points(front, what)
    if points.shape[1] != front.shape[1] or front.shape[0] == 0:
        raise UsageError(
            f"{what} needs points [k, m] and a front [r, m] with r >= 1; "
            f"found {points.shape} and {front.shape}"
        )
    return points, front


def _vectors(one: ArrayLike, other: ArrayLike, need: str) -> tuple[Array, Array]:
    """Return two vectors [m] as floats of one type, or say what is wrong."""
    one, other = jnp.asarray(one), jnp.asarray(other)
    if one.ndim != 1 or one.shape != other.shape or one.size == 0:
        raise UsageError(
            f"{need} (use vmap for more than one); found {one.shape} and {other.shape}"
        )
    dtype = jnp.result_type(one, other, jnp.float32)
    return one.astype(dtype), other.astype(dtype)


def _mean_nearest(gaps: Array, points: Array, front: Array) -> Array:
    """Return the mean over axis 0 of the shortest gap along axis 1, of [., ., m]."""
    squares = jnp.sum(gaps**2, axis=-1)
    # The root has no slope at 0, where a point of the front is hit: 0 will do.
    lengths = jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    distance = jnp.mean(jnp.min(lengths, axis=1, initial=jnp.inf))
    broken = jnp.any(jnp.isnan(points)) | ~jnp.all(jnp.isfinite(front))
    return jnp.where(broken, jnp.nan, distance)


def _unit(vector: Array) -> Array:
    """Return the vector [m] at length 1, or zeros for zeros."""
    largest = jnp.max(jnp.abs(vector))
    # First the scale: the squares of tiny losses would all be 0.
    scaled = vector / jnp.where(largest == 0, 1, largest)
    length = jnp.sqrt(jnp.sum(scaled**2))
    return scaled / jnp.where(largest == 0, 1, length)
