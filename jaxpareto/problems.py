"""Toy problems whose Pareto fronts are known exactly: the truth to test learners on.

A `Problem` is m losses of n numbers in a box, all minimised and without units, together
with points of its true front and the hypervolume of the whole of it. Take one from
`PROBLEMS`, or make one of another size or of your own data with the functions below. A
network makes any numbers; `decode` folds them into the box.

>>> problem = PROBLEMS["quadratic"]
>>> problem.m, problem.n, round(problem.hypervolume, 6)
(2, 2, 0.833333)
>>> print(problem.losses(jnp.array([1.0, 1.0])), problem.front(3)[0])
[1. 0.] [0. 1.]
"""

from collections.abc import Callable, Sequence
from math import erf, exp, pi, sqrt
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxpareto import logistic
from jaxpareto.errors import UsageError
from jaxpareto.simplex import lattice, unit_rays
from jaxpareto.types import Array

Points = NDArray[np.float64]
Losses = Callable[[Array], Array]
Curve = Callable[[Points], Points]  # t [k] -> points [k, 2], the first loss rising


class Problem(NamedTuple):
    """m losses of n variables in a box, and their true front. Hashable.

    Attributes:
      m: number of losses.
      n: number of variables.
      losses: `losses(x [n]) -> [m]`, minimised; pure, for one x (use vmap for more);
        its gradient is finite in all of the box, faces included.
      lower: [n], the smallest value of each variable.
      upper: [n], the largest.
      front: `front(k) -> points [k, m]` float64 NumPy, exact. For two losses the points
        are evenly spaced along the front, ends included, the first loss rising; for
        three they are a lattice of at most k points.
      reference: [m], the reference point of `hypervolume`.
      hypervolume: of the whole true front, not of finitely many points of it.
      ends: [m][m], row i the point of the front where loss i is smallest; with three
        losses an edge of the front is, and this is the middle of it.
    """

    m: int
    n: int
    losses: Losses
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    front: Callable[[int], Points]
    reference: tuple[float, ...]
    hypervolume: float
    ends: tuple[tuple[float, ...], ...]


def decode(problem: Problem, free: ArrayLike) -> Array:
    """Fold what a network says into the box of a problem.

    `x = lower + (upper - lower) (1 + sin(free)) / 2`

    Fronts often lie on the faces of the box. The sine reaches them, where a sigmoid
    would only come near; and far out it has slopes, where a sigmoid is flat.

    Args:
      problem: the problem whose box is meant.
      free: [n], any finite numbers, in radians; 0 is the middle of the box.

    Returns:
      x [n], inside the box or on its faces.

    Raises:
      UsageError: the shape is not [n].

    >>> print(decode(PROBLEMS["quadratic"], jnp.array([0.0, jnp.pi / 2])))
    [0.5 1. ]
    """
    free = _vector(free, problem.n)
    share = (1 + jnp.sin(free)) / 2
    lower = jnp.asarray(problem.lower, free.dtype)
    upper = jnp.asarray(problem.upper, free.dtype)
    return lower * (1 - share) + upper * share  # rounding cannot leave the box


def vlmop2(n: int = 10) -> Problem:
    """Pose the problem of Fonseca and Fleming: a concave front.

    `f = 1 - exp(-sum_i (x_i -+ 1 / sqrt(n))^2)`, x in [-1, 1]

    Optimal are the x with all coordinates equal and at most 1 / sqrt(n) in size, so the
    front, `sqrt(-log(1 - f_1)) + sqrt(-log(1 - f_2)) = 2`, is the same for every n. Its
    hypervolume up to (1, 1) is `exp(-4) + sqrt(2 pi) exp(-2) erf(sqrt(2)) = 0.342116`.
    25 points with x at even steps have 0.3208, 25 evenly spaced points 0.3240; 1,000
    have 0.3416 and 0.3417.

    Args:
      n: number of variables. 2 at first, in a wider box; 10, and this box, in LibMOON,
        whose published numbers are the ones to compare with.

    Raises:
      UsageError: n < 1.

    Source: Fonseca and Fleming (1995), "Multiobjective genetic algorithms made easy";
    Van Veldhuizen and Lamont (1999), "Multiobjective evolutionary algorithm test
    suites", for the name.

    >>> print(vlmop2(n=2).losses(jnp.zeros(2)).round(4))
    [0.6321 0.6321]
    """
    _at_least(n, 1)
    shift = 1 / sqrt(n)

    def losses(x: Array) -> Array:
        x = _vector(x, n)
        squares = [jnp.sum((x - shift) ** 2), jnp.sum((x + shift) ** 2)]
        return -jnp.expm1(-jnp.stack(squares))

    def curve(t: Points) -> Points:
        return -np.expm1(-4 * np.stack([t, 1 - t], axis=1) ** 2)

    volume = exp(-4) + sqrt(2 * pi) * exp(-2) * erf(sqrt(2))
    return _two(n, losses, (-1, 1), curve, (1.0, 1.0), volume)


def quadratic(n: int = 2) -> Problem:
    """Pose two parabolas: convex losses, a convex front.

    `f_1 = sum_i x_i^2 / n`, `f_2 = sum_i (x_i - 1)^2 / n`, x in [0, 1]

    Optimal are the x with all coordinates equal. The front is
    `sqrt(f_1) + sqrt(f_2) = 1`; its hypervolume up to (1, 1) is 5/6. With n = 2 these
    are the losses of CVX2 in LibMOP (ex2 in PHN-CSF), whose x is 5 times ours. Gaps
    published for it (3.9e-4 the best) are to 1,000 points with x at even steps, whose
    own hypervolume is 3.3e-4 short of 5/6.

    Args:
      n: number of variables.

    Raises:
      UsageError: n < 1.

    Source: Tuan, Hoang, Le and Thang (2024), "A framework for controllable Pareto front
    learning with completed scalarization functions and its applications".

    >>> print(quadratic().front(3)[1])
    [0.25 0.25]
    """
    _at_least(n, 1)

    def losses(x: Array) -> Array:
        x = _vector(x, n)
        return jnp.stack([jnp.mean(x**2), jnp.mean((x - 1) ** 2)])

    def curve(t: Points) -> Points:
        return np.stack([t, 1 - t], axis=1) ** 2

    return _two(n, losses, (0, 1), curve, (1.0, 1.0), 5 / 6)


# Where the curve of ZDT3 is its front: from where f_2 is as low as never before to its
# next minimum. The starts are rounded up, so that no minimum dominates them. Below the
# curve is the area `f - 2/3 f^1.5 - sin(a f) / a^2 + f cos(a f) / a`, a = 10 pi; with
# the boxes over the gaps it gives the hypervolume. A test derives all of these again.
_ZDT3_HYPERVOLUME = 1.3317629086570204
_ZDT3 = (
    (0.0, 0.0830015349269116),
    (0.1822287280293999, 0.2577623633878302),
    (0.4093136748086570, 0.4538821040888302),
    (0.6183967944392659, 0.6525117038046626),
    (0.8233317983266328, 0.8518328654364138),
)


def zdt(which: int, n: int = 30) -> Problem:
    """Pose ZDT1 (convex front), ZDT2 (concave) or ZDT3 (in five pieces).

    `f_1 = x_1`, `g = 1 + 9 sum_{i > 1} x_i / (n - 1)`, x in [0, 1], and

    1. `f_2 = g - sqrt(f_1 g)`, with hypervolume `1.21 - 1/3`;
    2. `f_2 = g - f_1^2 / g`, with hypervolume `1.21 - 2/3`;
    3. `f_2 = g - sqrt(f_1 g) - f_1 sin(10 pi f_1)`, with hypervolume 1.331763

    up to (1.1, 1.1). Optimal are the x with zeros after x_1, so that g = 1; in ZDT3
    only those x_1 where no smaller one has an f_2 as low, which reaches -0.7734.

    Args:
      which: 1, 2 or 3.
      n: number of variables; 30 as published.

    Raises:
      UsageError: another number, or n < 2.

    Source: Zitzler, Deb and Thiele (2000), "Comparison of multiobjective evolutionary
    algorithms: empirical results".

    >>> print(zdt(2, n=2).losses(jnp.array([0.5, 0.0])))
    [0.5  0.75]
    """
    _one_of(which, 1, 2, 3)
    _at_least(n, 2)

    def losses(x: Array) -> Array:
        x = _vector(x, n)
        f, g = x[0], 1 + 9 * jnp.mean(x[1:])
        wave = f * jnp.sin(10 * jnp.pi * f) if which == 3 else 0
        second = g - f**2 / g if which == 2 else g - _root(f * g) - wave
        return jnp.stack([f, second])

    def curve(t: Points) -> Points:  # f_1 = t^2, for even steps where the root is steep
        wave = t**2 * np.sin(10 * np.pi * t**2) if which == 3 else 0
        second = 1 - t**4 if which == 2 else 1 - t - wave
        return np.stack([t**2, second], axis=1)

    volume = _ZDT3_HYPERVOLUME if which == 3 else 1.21 - which / 3
    pieces = _ZDT3 if which == 3 else ((0.0, 1.0),)
    pieces = [(sqrt(start), sqrt(stop)) for start, stop in pieces]
    return _two(n, losses, (0, 1), curve, (1.1, 1.1), volume, pieces)


def dtlz(which: int, n: int) -> Problem:
    """Pose DTLZ1 (a plane, behind a wall of local fronts) or DTLZ2 (a sphere).

    1. `f = (1 + g) / 2 (x_1 x_2, x_1 (1 - x_2), 1 - x_1)`, with
       `g = 100 sum_{i > 2} (1 + (x_i - 1/2)^2 - cos(20 pi (x_i - 1/2)))`: the front is
       `sum_i f_i = 1/2`, its hypervolume up to 0.55 each `0.55^3 - 1/48`;
    2. `f = (1 + g) (cos a cos b, cos a sin b, sin a)`, with `a = pi / 2 x_1`,
       `b = pi / 2 x_2` and `g = sum_{i > 2} (x_i - 1/2)^2`: the front is
       `sum_i f_i^2 = 1`, its hypervolume up to 1.1 each `1.1^3 - pi / 6`.

    x is in [0, 1]; optimal are the x with 1/2 after x_2. The reference points are 1.1
    times the worst values on the front.

    Args:
      which: 1 or 2.
      n: number of variables; 7 for DTLZ1 and 12 for DTLZ2 as published.

    Raises:
      UsageError: another number, or n < 3.

    Source: Deb, Thiele, Laumanns and Zitzler (2005), "Scalable test problems for
    evolutionary multiobjective optimization".

    >>> print(dtlz(1, n=3).losses(jnp.array([0.5, 0.5, 0.5])))
    [0.125 0.125 0.25 ]
    """
    _one_of(which, 1, 2)
    _at_least(n, 3)

    def dtlz1(x: Array) -> Array:
        x = _vector(x, n)
        off = x[2:] - 0.5
        # 1 - cos(2 a) as 2 sin(a)^2, which keeps its digits where g is small.
        g = 100 * jnp.sum(off**2 + 2 * jnp.sin(10 * jnp.pi * off) ** 2)
        return (1 + g) / 2 * jnp.stack([x[0] * x[1], x[0] * (1 - x[1]), 1 - x[0]])

    def dtlz2(x: Array) -> Array:
        x = _vector(x, n)
        sine = jnp.sin(jnp.pi / 2 * x[:2])
        # The cosine of a right angle is rounded to less than 0: no loss ought to be.
        cosine = jnp.sin(jnp.pi / 2 * (1 - x[:2]))
        sides = [cosine[0] * cosine[1], cosine[0] * sine[1], sine[0]]
        return (1 + jnp.sum((x[2:] - 0.5) ** 2)) * jnp.stack(sides)

    middles = 1 - np.eye(3)
    if which == 1:
        losses, front, ends = dtlz1, lambda k: lattice(k, 3) / 2, middles / 4
        return _problem(n, losses, (0, 1), front, ends, (0.55,) * 3, 0.55**3 - 1 / 48)
    losses, front, ends = dtlz2, lambda k: unit_rays(k, 3), middles / sqrt(2)
    return _problem(n, losses, (0, 1), front, ends, (1.1,) * 3, 1.1**3 - pi / 6)


def least_squares_pair(features: ArrayLike, targets: ArrayLike) -> Problem:
    """Pose two linear regressions that must share their weights.

    `f_i = mean_j (sum_d features_jd x_d - targets_ji)^2 / c_i`

    with `c_i` such that loss i is 1 where the other one is smallest. Both losses curve
    alike, so the optimal x fill the segment between the two best fits. With `e_i` the
    loss of best fit i, the front is
    `sqrt((f_1 - e_1) / (1 - e_1)) + sqrt((f_2 - e_2) / (1 - e_2)) = 1`, and its
    hypervolume up to (1, 1) is `5/6 (1 - e_1) (1 - e_2)`. Of features that depend on
    each other, the best fits of least length are taken. The box reaches to twice the
    largest weight of both, either way.

    Args:
      features: [b, n] finite, any units; a column of ones is the caller's to add.
      targets: [b, 2] finite, any units.

    Returns:
      The problem, of n variables.

    Raises:
      UsageError: the shapes do not match, a number is not finite, or both targets have
        the same best fit, so that the front is one point.

    >>> problem = least_squares_pair(np.eye(2), np.eye(2))
    >>> print(problem.losses(jnp.array([0.5, 0.5])), round(problem.hypervolume, 6))
    [0.25 0.25] 0.833333
    """
    features, targets = np.asarray(features, float), np.asarray(targets, float)
    if features.ndim != 2 or targets.shape != (len(features), 2) or not features.size:
        raise UsageError(
            f"expected features [b, n] and targets [b, 2]; "
            f"found {features.shape} and {targets.shape}"
        )
    if not (np.all(np.isfinite(features)) and np.all(np.isfinite(targets))):
        raise UsageError("features and targets must be finite; found NaN or inf")
    n = features.shape[1]
    fits = np.linalg.lstsq(features, targets, rcond=None)[0]
    floors = np.mean((features @ fits - targets) ** 2, axis=0)
    # What a best fit leaves over is orthogonal to the step to the other one: squares
    # add up, and both losses rise by the same amount.
    rise = np.mean((features @ (fits[:, 1] - fits[:, 0])) ** 2)
    if rise <= 1e-12 * np.mean(targets**2):
        raise UsageError("both targets have the same best fit: the front is one point")
    scales = floors + rise
    lowest = floors / scales

    # Turned by Q, all but n rows of the features vanish, and what is left of the
    # targets there no x can help: n rows instead of b, and the same losses.
    turn, features = np.linalg.qr(features)
    beyond = np.mean((targets - turn @ (turn.T @ targets)) ** 2, axis=0)
    rows, targets = len(targets), turn.T @ targets

    def losses(x: Array) -> Array:
        x = _vector(x, n)
        said = jnp.matmul(jnp.asarray(features, x.dtype), x, precision="highest")
        errors = said[:, None] - jnp.asarray(targets, x.dtype)
        squares = jnp.sum(errors**2, axis=0) / rows + jnp.asarray(beyond, x.dtype)
        return squares / jnp.asarray(scales, x.dtype)

    def curve(t: Points) -> Points:
        return lowest + (1 - lowest) * np.stack([t, 1 - t], axis=1) ** 2

    far = 2 * np.max(np.abs(fits)).item()
    volume = 5 / 6 * np.prod(1 - lowest).item()
    return _two(n, losses, (-far, far), curve, (1.0, 1.0), volume)


_NODES = 256  # decays that `weight_decay` solves for


def weight_decay(
    features: ArrayLike, labels: ArrayLike, decay: float = 1e-3
) -> Problem:
    """Pose the weight decay of a logistic head: how well it fits, how large it is.

    `f_1 = (CE(x) + (decay / 2) |W|^2) / c_1`, `f_2 = |W|^2 / (2 c_2)`

    x is W [d, c], row after row, and then the bias [c]; CE is the mean cross-entropy;
    `c_i` are such that loss i is 1 where the other one is smallest. Both losses are
    convex, so the front is the path of the best heads for all decays from `decay`,
    where f_1 is smallest, to infinity, where W is zero. (With a decay of 0 it might
    have no end.) The box reaches to twice the largest number of these heads, either
    way.

    The path has no formula: it is solved for at 256 decays, in float64. At each of them
    the weighted sum that is smallest there gives the front's tangent, and between two
    the front is taken for the parabola that has both tangents. Tests find points right
    to 1e-6 and the hypervolume to 1e-7.

    Args:
      features: [b, d] finite, any units.
      labels: [b] integers from 0, of c classes that are all there.
      decay: positive.

    Returns:
      The problem, of `d c + c` variables.

    Raises:
      UsageError: the shapes do not match, a number is not finite, a class is missing,
        the decay is not positive, or the front is one point.

    Source: ours; see `logistic.path` for learning the same front directly.

    >>> rows, labels = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
    >>> problem = weight_decay(rows, labels, 0.1)
    >>> problem.n, round(problem.hypervolume, 4)
    (4, 0.418)
    """
    features, labels = np.asarray(features, float), np.asarray(labels)
    c = _classes(features, labels)
    if not 0 < decay < np.inf:
        raise UsageError(f"the decay must be positive and finite; found {decay:g}")
    points, decays, largest = _path(features, labels, c, decay)
    scales = np.array([points[-1, 0], points[0, 1]])
    if not scales[1] > 0:
        raise UsageError("the features tell nothing of the labels: one point")
    points = points / scales
    corners = _corners(points, (decays - decay) * scales[1] / scales[0])
    volume = 1 - points[0, 0] - _below(points, corners)
    n = (features.shape[1] + 1) * c

    def losses(x: Array) -> Array:
        x = _vector(x, n)
        kernel, bias = x[:-c].reshape(-1, c), x[-c:]
        rows = jnp.asarray(features, x.dtype)
        answers = jnp.matmul(rows, kernel, precision="highest") + bias[None]
        norm = jnp.sum(kernel**2) / 2
        fit = logistic.cross_entropy(answers, jnp.asarray(labels)) + decay * norm
        return jnp.stack([fit, norm]) / jnp.asarray(scales, x.dtype)

    def curve(t: Points) -> Points:
        place = t * len(corners)
        i = np.minimum(place.astype(int), len(corners) - 1)
        t = (place - i)[:, None]
        ahead = (1 - t) * corners[i] + t * points[i + 1]
        return (1 - t) * ((1 - t) * points[i] + t * corners[i]) + t * ahead

    far = 2 * largest
    return _two(n, losses, (-far, far), curve, (1.0, 1.0), volume.item())


def _path(
    features: Points, labels: NDArray[Any], c: int, decay: float
) -> tuple[Points, Points, float]:
    """Solve for the heads of decays from `decay` to so many that W is nearly zero.

    Returns:
      Losses [nodes + 1, 2] before they are scaled, W = 0 at last; the decays [nodes];
      the largest number of all these heads.
    """

    def follow(rows: Array, labels: Array, decays: Array) -> tuple[Array, Array]:
        heads = logistic.follow(rows, labels, decays, c, tolerance=1e-12).head
        fits = jax.vmap(logistic.mean_loss, (0, None, None))(heads, rows, labels)
        norms = jax.vmap(logistic.penalty, (0, None))(heads, 1.0)
        largest = jnp.max(jnp.abs(jnp.append(heads.kernel, heads.bias)))
        return jnp.stack([fits + decay * norms, norms], axis=1), largest

    # Where the decay is a thousand times the curvature, W is about a thousandth.
    spread = np.linalg.norm(features - features.mean(axis=0), ord=2) ** 2
    most = 1e3 * (spread / len(labels) + decay)
    decays = np.geomspace(most, decay, _NODES, dtype=np.float64)
    with jax.enable_x64(True):
        points, largest = jax.jit(follow)(features, labels, decays)
    shares = np.bincount(labels) / len(labels)
    none = [[-np.sum(shares * np.log(shares)), 0.0]]
    points = np.append(np.asarray(points)[::-1], none, axis=0)
    return points, decays[::-1], float(largest)


def _corners(points: Points, slopes: Points) -> Points:
    """Return where the tangents of neighbours on a convex curve meet.

    Args:
      points: [k + 1, 2], the first coordinate rising; the last one has the tangent
        `f_2 = 0`.
      slopes: [k] of the others, whose tangents are `f_1 + slope f_2 = const`.
    """
    const = points[:-1, 0] + slopes * points[:-1, 1]
    second = np.append(np.diff(const) / np.diff(slopes), 0.0)
    return np.stack([const - slopes * second, second], axis=1)


def _below(points: Points, corners: Points) -> np.float64:
    """Return the area below the parabolas through points, with tangents at corners."""
    (wide, high), (along, up) = np.diff(points, axis=0).T, (corners - points[:-1]).T
    chords = np.sum(wide * (points[:-1, 1] + points[1:, 1])) / 2
    # A parabola cuts two thirds off the triangle of a chord and its tangents.
    return chords - np.sum(np.abs(wide * up - high * along)) / 3


def _classes(features: Points, labels: NDArray[Any]) -> int:
    """Return how many classes labelled rows have, or say what is wrong with them."""
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.size:
        raise UsageError(
            f"expected features [b, d] and labels [b]; "
            f"found {features.shape} and {labels.shape}"
        )
    if not np.all(np.isfinite(features)):
        raise UsageError("features must be finite; found NaN or inf")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise UsageError("labels must be integers from 0")
    counts = np.bincount(labels)
    if len(counts) < 2 or not counts.all():
        missing = np.flatnonzero(counts == 0)
        raise UsageError(f"expected rows of 2 or more classes; none of {missing}")
    return len(counts)


def _two(
    n: int,
    losses: Losses,
    box: tuple[float, float],
    curve: Curve,
    reference: tuple[float, ...],
    volume: float,
    pieces: Sequence[tuple[float, float]] = ((0.0, 1.0),),
) -> Problem:
    """Put together a problem of two losses; its front is the curve over pieces of t."""

    def front(k: int) -> Points:
        _at_least(k, 2, "points of a front")
        t = np.stack([np.linspace(start, stop, 2001) for start, stop in pieces])
        steps = np.linalg.norm(np.diff(curve(t.ravel()), axis=0), axis=1)
        steps = np.append(0, steps).reshape(t.shape)
        steps[:, 0] = 0  # from piece to piece there is nothing
        passed = np.cumsum(steps)
        return curve(np.interp(np.linspace(0, passed[-1], k), passed, t.ravel()))

    ends = curve(np.array([pieces[0][0], pieces[-1][1]])) + 0.0  # no -0.0
    return _problem(n, losses, box, front, ends, reference, volume)


def _problem(
    n: int,
    losses: Losses,
    box: tuple[float, float],
    front: Callable[[int], Points],
    ends: Points,
    reference: tuple[float, ...],
    volume: float,
) -> Problem:
    """Put together a problem whose variables all have the same box."""
    lower, upper = ((float(face),) * n for face in box)
    rows = tuple(map(tuple, ends.tolist()))
    m = len(reference)
    return Problem(m, n, losses, lower, upper, front, reference, volume, rows)


def _vector(x: ArrayLike, n: int) -> Array:
    """Return x [n] as floats, or say that the shape is wrong."""
    x = jnp.asarray(x)
    if x.shape != (n,):
        raise UsageError(
            f"expected a vector [{n}] (use vmap for more than one); found {x.shape}"
        )
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _at_least(found: int, least: int, what: str = "variables") -> None:
    """Refuse a size that is too small."""
    if found < least:
        raise UsageError(f"expected {least} or more {what}; found {found}")


def _one_of(found: int, *known: int) -> None:
    """Refuse a number that names no problem."""
    if found not in known:
        raise UsageError(f"expected one of the problems {known}; found {found}")


def _root(value: Array) -> Array:
    """Return the square root, with slope 0 at 0, where the true one is infinite."""
    return jnp.where(value > 0, jnp.sqrt(jnp.where(value > 0, value, 1)), 0)


PROBLEMS: dict[str, Problem] = {
    "vlmop2": vlmop2(),
    # The illustration of Navon and others (2021): the same losses, more variables.
    "phn-toy": vlmop2(n=100),
    "quadratic": quadratic(),
    "zdt1": zdt(1),
    "zdt2": zdt(2),
    "zdt3": zdt(3),
    "dtlz1": dtlz(1, n=7),
    "dtlz2": dtlz(2, n=12),
}
"""Name -> problem, of the size that its papers use."""
