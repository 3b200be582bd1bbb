"""Preferences: where they come from, and what counts as one.

A preference `pref` [m] is a point of the simplex (non-negative, sum 1, no unit); a
larger entry means "care more about this objective". Training draws preferences with a
sampler, `sampler(key, k, progress=1.0) -> [k, m]`, made by one of `SAMPLERS` or by
`fixed`, where progress in [0, 1] is the share of the training that is done; evaluation
walks over a `grid` or over the field's `rays`; what a person writes goes through
`parse_pref` or `check_pref`. `to_ray` turns a preference into a direction in the space
of losses, and `to_pref` a direction into a preference.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import ArrayLike as Numbers
from numpy.typing import NDArray

from jaxpareto.errors import UsageError
from jaxpareto.simplex import lattice
from jaxpareto.simplex import to_pref as to_pref  # `as`: these two are also found here
from jaxpareto.simplex import to_ray as to_ray
from jaxpareto.types import Array, Key, Sampler

_SUM_TOLERANCE = 1e-4  # lets float32 and 0.33333 x 3 pass, and no mistake
_MARGIN = 0.1  # radians between the outermost rays of the field's protocol and the axes


def dirichlet(key: Key, k: int, m: int, *, alpha: ArrayLike = 1.0) -> Array:
    """Draw preferences from a Dirichlet distribution.

    `density(pref) proportional to prod_i pref_i^(alpha_i - 1)`

    Small alpha draws near the vertices, large alpha near the centre, 1 uniformly.

    Args:
      key: random key; it is consumed.
      k: how many preferences.
      m: how many objectives.
      alpha: scalar or [m], positive, no unit; may be traced (then nobody checks it, and
        values of 0 or less give NaN).

    Returns:
      [k, m], each row on the simplex.

    Raises:
      UsageError: k < 1, m < 2, or alpha is a number of 0 or less.

    Source: Navon, Shamsian, Fetaya and Chechik (2021), "Learning the Pareto front with
    hypernetworks", for the use (with alpha = 0.2).

    >>> prefs = dirichlet(jax.random.key(0), 3, 2, alpha=0.2)
    >>> prefs.shape, bool(jnp.allclose(prefs.sum(axis=1), 1))
    ((3, 2), True)
    """
    _check_counts(k, m)
    if isinstance(alpha, int | float) and not alpha > 0:
        raise UsageError(f"alpha must be positive, for example 1.0; found {alpha}")
    alpha = jnp.asarray(alpha, dtype=float)
    if alpha.shape not in ((), (m,)):
        raise UsageError(f"alpha must be a number or [{m}]; found shape {alpha.shape}")
    return jax.random.dirichlet(key, jnp.broadcast_to(alpha, (m,)), (k,))


def uniform(key: Key, k: int, m: int) -> Array:
    """Draw preferences uniformly from the simplex.

    `pref_i = e_i / sum_j e_j`, with independent `e_i` from the exponential distribution

    The same distribution as `dirichlet` with alpha = 1, at a fraction of its cost.

    Args:
      key: random key; it is consumed.
      k: how many preferences.
      m: how many objectives.

    Returns:
      [k, m], each row on the simplex.

    Raises:
      UsageError: k < 1 or m < 2.

    Source: Devroye (1986), "Non-uniform random variate generation", chapter V.

    >>> prefs = uniform(jax.random.key(0), 3, 2)
    >>> prefs.shape, bool(jnp.allclose(prefs.sum(axis=1), 1))
    ((3, 2), True)
    """
    _check_counts(k, m)
    draws = jax.random.exponential(key, (k, m))
    return draws / jnp.sum(draws, axis=1, keepdims=True)


def stratified(key: Key, k: int, m: int) -> Array:
    """Draw preferences uniformly from the simplex, spread evenly over it in each draw.

    `pref_j = r_j - r_(j+1)`, with `r_1 = 1`, `r_(m+1) = 0`,
    `r_(j+1) = r_j * u_j^(1 / (m - j))` and `u` [k, m - 1] a Latin hypercube: each
    column holds one uniform number of each `[i/k, (i + 1)/k]`, in a random order

    Each row alone is uniform on the simplex, but the k rows of a draw never crowd: for
    m = 2, each of k equal pieces of the simplex holds one; for more, each of k slices
    of equal mass along one objective, drawn anew each time. The order of the rows is
    random, so that a row's place (a shard of the batch) says nothing about it.

    Args:
      key: random key; it is consumed.
      k: how many preferences.
      m: how many objectives.

    Returns:
      [k, m], each row on the simplex.

    Raises:
      UsageError: k < 1 or m < 2.

    Source: McKay, Beckman and Conover (1979), "A comparison of three methods for
    selecting values of input variables", for the hypercube; Devroye (1986),
    "Non-uniform random variate generation", chapter V, for the map to the simplex.

    >>> prefs = stratified(jax.random.key(0), 4, 2)
    >>> print(jnp.floor(4 * jnp.sort(prefs[:, 0])))
    [0. 1. 2. 3.]
    """
    _check_counts(k, m)
    order_key, place_key, turn_key = jax.random.split(key, 3)
    cells = jnp.argsort(jax.random.uniform(order_key, (k, m - 1)), axis=0)
    u = (cells + jax.random.uniform(place_key, (k, m - 1))) / k
    # Of what the first j - 1 objectives left, the others keep the largest of m - j
    # uniform numbers: that is how the spacings of m - 1 sorted ones are distributed.
    kept = jnp.cumprod(u ** (1 / jnp.arange(m - 1, 0, -1))[None, :], axis=1)
    edges = jnp.pad(kept, ((0, 0), (1, 0)), constant_values=1)
    prefs = edges - jnp.pad(kept, ((0, 0), (0, 1)))
    # The first objective is the one sliced evenly; let each have its turn.
    return jnp.roll(prefs, jax.random.randint(turn_key, (), 0, m), axis=1)


def log_uniform(key: Key, k: int, m: int, *, least: float = 1e-3) -> Array:
    """Draw weights whose logarithms are uniform, and divide by their sum.

    `pref_i = w_i / sum_j w_j`, `log w_i` uniform on [log least, 0], independent

    Args:
      key: random key; it is consumed.
      k: how many preferences.
      m: how many objectives.
      least: the smallest weight beside the largest, no unit; between 0 and 1.

    Returns:
      [k, m], each row on the simplex.

    Raises:
      UsageError: k < 1, m < 2, or least is not between 0 and 1.

    Source: Dosovitskiy and Djolonga (2020), "You only train once: loss-conditional
    training of deep networks", section 3.

    >>> prefs = log_uniform(jax.random.key(0), 100, 2)
    >>> bool((prefs > 0.99).any()), bool((prefs < 0.01).any())
    (True, True)
    """
    _check_counts(k, m)
    if not 0 < least < 1:
        raise UsageError(f"least must lie between 0 and 1; found {least}")
    logs = np.log(least) * jax.random.uniform(key, (k, m))
    return jax.nn.softmax(logs, axis=1)


def annealed(k: int, m: int, progress: ArrayLike, *, power: float = 5.0) -> Array:
    """Lay preferences out on a grid that spreads from the centre to the vertices.

    `pref_i = p_i^(power * t) / sum_j p_j^(power * t)`, for each p of the grid

    All k are the centre at t = 0, the grid itself at `t = 1 / power`, and near the
    vertices at t = 1: first learn what the objectives share, then what parts them. (The
    vertices of the grid are already where they belong at any t above 0.) Nothing is
    random.

    Args:
      k: how many preferences; exactly as many as some `grid` has, and at least m.
      m: how many objectives.
      progress: scalar, t in [0, 1], the share of the training that is done; may be
        traced (then nobody checks it).
      power: how far they spread, no unit; positive.

    Returns:
      [k, m], each row on the simplex, in the order of `grid`.

    Raises:
      UsageError: no grid has k points, power is 0 or less, or progress is a number
        outside [0, 1].

    Source: Dimitriadis, Frossard and Fleuret (2025), "Pareto low-rank adapters:
    efficient multi-task learning with preferences".

    >>> print(annealed(3, 2, 0.0))
    [[0.5 0.5]
     [0.5 0.5]
     [0.5 0.5]]
    """
    _check_counts(k, m)
    if not power > 0:
        raise UsageError(f"power must be positive, for example 5.0; found {power}")
    if isinstance(progress, int | float) and not 0 <= progress <= 1:
        raise UsageError(f"progress must lie between 0 and 1; found {progress}")
    points = lattice(k, m)
    if len(points) != k:
        above = k
        while len(lattice(above, m)) < k:
            above += 1
        raise UsageError(
            f"annealed preferences of {m} objectives need the size of a grid, "
            f"{len(points)} or {above}; found {k}"
        )
    # Divided by the largest share, no power of which can underflow.
    shares = jnp.asarray(points / points.max(axis=1, keepdims=True), dtype=float)
    raised = shares ** (power * jnp.asarray(progress, dtype=float))
    return raised / jnp.sum(raised, axis=1, keepdims=True)


def grid(k: int, m: int) -> NDArray[np.float32]:
    """Lay preferences out evenly, the same ones each time, to evaluate a front.

    `{ (h_1, ..., h_m) / h : h_i = 0 .. h, sum_i h_i = h }`, of comb(h + m - 1, m - 1)
    points, for the largest h at which these are no more than k

    The first row cares least about the first objective, and the last row most. For
    m = 2 these are exactly k points, with `pref[:, 0]` evenly from 0 to 1; k = 1 gives
    the centre. For m >= 3 there may be fewer than k: look at the shape.

    Args:
      k: how many preferences at most.
      m: how many objectives.

    Returns:
      A NumPy array [k or fewer, m] of float32, each row on the simplex.

    Raises:
      UsageError: k < 1, m < 2, or k < m where m >= 3 (the vertices alone are m points).

    Source: Das and Dennis (1998), "Normal-boundary intersection".

    >>> print(grid(3, 2))
    [[0.  1. ]
     [0.5 0.5]
     [1.  0. ]]
    >>> grid(25, 3).shape
    (21, 3)
    """
    _check_counts(k, m)
    if k == 1 and m == 2:
        return np.array([[0.5, 0.5]], dtype=np.float32)
    return lattice(k, m).astype(np.float32)


def rays(k: int, m: int) -> NDArray[np.float32]:
    """Lay out the preferences on which the field evaluates: at equal angles, inside.

    `pref = (sin t, cos t) / (sin t + cos t)`, t evenly from 0.1 to pi/2 - 0.1, for
    m = 2; the points of a lattice that have no zero, for m >= 3

    Papers call these rays and give them to their networks as preferences, which is what
    they are here: nothing is turned around. Unlike those of `grid` they leave the
    vertices out and lie closer together near them: of 25, the first is (0.09, 0.91).

    Args:
      k: how many preferences at most; papers take 25.
      m: how many objectives.

    Returns:
      A NumPy array [k or fewer, m] of float32, positive, each row on the simplex, in
      the order of `grid`; exactly k rows for m = 2, and the centre for k = 1.

    Raises:
      UsageError: k < 1 or m < 2.

    Source: Navon, Shamsian, Fetaya and Chechik (2021), "Learning the Pareto front with
    hypernetworks", and Ruchte and Grabocka (2021), "Scalable Pareto front approximation
    for deep multi-objective learning", for the 25 angles.

    >>> print(rays(3, 2).round(2))
    [[0.09 0.91]
     [0.5  0.5 ]
     [0.91 0.09]]
    """
    _check_counts(k, m)
    if k < m:
        return np.full((1, m), 1 / m, dtype=np.float32)
    if m == 2:
        angles = np.linspace(_MARGIN, np.pi / 2 - _MARGIN, k)
        ends = np.stack([np.sin(angles), np.cos(angles)], axis=1)
        return (ends / ends.sum(axis=1, keepdims=True)).astype(np.float32)
    points = lattice(k, m)
    h = round(1 / points[points > 0].min())
    # One more step in each direction than a whole lattice of as many points has.
    return ((points * h + 1) / (h + m)).astype(np.float32)


def _steady(draw: Callable[[Key, int, int], Array], m: int) -> Sampler:
    """Make a sampler of a draw that is the same from the first step to the last."""

    def sampler(key: Key, k: int, progress: ArrayLike = 1.0) -> Array:
        del progress
        return draw(key, k, m)

    return sampler


def dirichlet_sampler(m: int, alpha: ArrayLike = 1.0) -> Sampler:
    """Make the sampler that draws from `dirichlet` for m objectives.

    >>> dirichlet_sampler(2, 0.2)(jax.random.key(0), 5).shape
    (5, 2)
    """

    return _steady(partial(dirichlet, alpha=alpha), m)


def uniform_sampler(m: int, alpha: ArrayLike = 1.0) -> Sampler:
    """Make the sampler that draws from `uniform` for m objectives; alpha is not used.

    >>> uniform_sampler(2)(jax.random.key(0), 5).shape
    (5, 2)
    """
    del alpha
    return _steady(uniform, m)


def stratified_sampler(m: int, alpha: ArrayLike = 1.0) -> Sampler:
    """Make the sampler that draws from `stratified`; alpha is not used.

    >>> stratified_sampler(2)(jax.random.key(0), 5).shape
    (5, 2)
    """
    del alpha
    return _steady(stratified, m)


def log_uniform_sampler(m: int, alpha: ArrayLike = 1.0) -> Sampler:
    """Make the sampler that draws from `log_uniform`; alpha is not used.

    >>> log_uniform_sampler(2)(jax.random.key(0), 5).shape
    (5, 2)
    """
    del alpha
    return _steady(log_uniform, m)


def annealed_sampler(m: int, alpha: ArrayLike = 1.0) -> Sampler:
    """Make the sampler that answers with `annealed`; key and alpha are not used.

    >>> annealed_sampler(2)(jax.random.key(0), 5, 0.5).shape
    (5, 2)
    """
    del alpha

    def sampler(key: Key, k: int, progress: ArrayLike = 1.0) -> Array:
        del key
        return annealed(k, m, progress)

    return sampler


def with_corners(sampler: Sampler, m: int) -> Sampler:
    """Make a sampler of which the first m preferences are always the vertices.

    The ends of a front are where samplers seldom go and where its volume is won.

    Args:
      sampler: draws the other k - m; it is not asked where k = m.
      m: how many objectives.

    Returns:
      `sampler(key, k, progress)`; it raises UsageError where k < m.

    Raises:
      UsageError: m < 2.

    >>> print(with_corners(fixed([[0.5, 0.5]]), 2)(jax.random.key(0), 3))
    [[1.  0. ]
     [0.  1. ]
     [0.5 0.5]]
    """
    _check_counts(1, m)

    def cornered(key: Key, k: int, progress: ArrayLike = 1.0) -> Array:
        if k < m:
            raise UsageError(
                f"the {m} vertices need {m} or more preferences per step; found {k}"
            )
        if k == m:
            return jnp.eye(m)
        others = sampler(key, k - m, progress)
        return jnp.concatenate([jnp.eye(m, dtype=others.dtype), others])

    return cornered


def fixed(prefs: Numbers) -> Sampler:
    """Make the sampler that always answers with the given preferences.

    With it one training loop also trains k independent networks, each for its own
    preference.

    Args:
      prefs: [k, m], each row on the simplex.

    Returns:
      `sampler(key, k, progress)`, which returns prefs and uses nothing but k; it raises
      UsageError when asked for another number of preferences than it holds.

    Raises:
      UsageError: a row of prefs is not a preference.

    >>> print(fixed(grid(2, 2))(jax.random.key(0), 2))
    [[0. 1.]
     [1. 0.]]
    """
    rows = np.asarray(prefs)
    if rows.ndim != 2 or 0 in rows.shape:
        raise UsageError(f"fixed preferences must be [k, m]; found shape {rows.shape}")
    held = np.stack([check_pref(row, rows.shape[1]) for row in rows])

    def sampler(key: Key, k: int, progress: ArrayLike = 1.0) -> Array:
        del key, progress
        if k != len(held):
            raise UsageError(f"asked for {k} of {len(held)} fixed preferences")
        return jnp.asarray(held)

    return sampler


SAMPLERS = {
    "dirichlet": dirichlet_sampler,
    "uniform": uniform_sampler,
    "stratified": stratified_sampler,
    "log-uniform": log_uniform_sampler,
    "annealed": annealed_sampler,
}
"""Name -> `maker(m, alpha) -> sampler(key, k, progress=1.0) -> prefs [k, m]`."""

ABOUT: dict[str, tuple[str, str]] = {
    "dirichlet": (
        "near the vertices (alpha < 1) or near the centre (alpha > 1)",
        "Navon et al. (2021)",
    ),
    "uniform": ("anywhere with equal chance", "Devroye (1986)"),
    "stratified": (
        "anywhere with equal chance, and evenly in each step",
        "McKay et al. (1979)",
    ),
    "log-uniform": (
        "weights of any size with equal chance: often near the vertices",
        "Dosovitskiy, Djolonga (2020)",
    ),
    "annealed": (
        "a grid that spreads from the centre as training goes on; nothing random",
        "Dimitriadis et al. (2025)",
    ),
}
"""Name of a sampler -> (which preferences it draws, in a line; its source)."""


def check_pref(pref: Numbers, m: int) -> NDArray[np.float32]:
    """Return a preference from outside as m floats that sum to 1, or say what is wrong.

    For the host, before anything is traced. A sum within 1e-4 of 1 is a rounded
    preference, and is divided out; any other sum is an error, for weights that sum to 2
    may have been meant as something else.

    Args:
      pref: [m], no unit; a larger entry cares more about this objective.
      m: how many objectives.

    Returns:
      A NumPy array [m] of float32 on the simplex.

    Raises:
      UsageError: wrong length, not numbers, not finite, negative, or sum not 1.

    >>> print(check_pref([0.25, 0.75], 2))
    [0.25 0.75]
    """
    return _checked(pref, m, pref)


def parse_pref(text: str, m: int) -> NDArray[np.float32]:
    """Read a preference as a person writes it, m numbers with commas between.

    Args:
      text: for example `"0.3,0.7"`; blanks around the numbers are fine.
      m: how many objectives.

    Returns:
      A NumPy array [m] of float32 on the simplex, as `check_pref` returns it.

    Raises:
      UsageError: not numbers, or not a preference.

    >>> print(parse_pref("0.25, 0.75", 2))
    [0.25 0.75]
    """
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise _not_a_pref("has entries that are not numbers", text, m) from error
    if len(values) != m:
        raise _not_a_pref(f"has {len(values)} entries, not {m}", text, m)
    return _checked(values, m, text)


def _checked(pref: Numbers, m: int, given: object) -> NDArray[np.float32]:
    """Check a preference that was given in these words, or as these numbers."""
    try:
        values = np.asarray(pref, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _not_a_pref("has entries that are not numbers", given, m) from error
    if values.shape != (m,):
        raise _not_a_pref(f"has shape {values.shape}, not ({m},)", given, m)
    if not np.all(np.isfinite(values)):
        raise _not_a_pref("has entries that are not finite", given, m)
    if np.any(values < 0):
        raise _not_a_pref("has negative entries", given, m)
    total = values.sum()
    if abs(total - 1) > _SUM_TOLERANCE:
        raise _not_a_pref(f"sums to {total:g}, not 1", given, m)
    return (values / total).astype(np.float32)


def _not_a_pref(problem: str, pref: object, m: int) -> UsageError:
    """Return the one-line error: what was found, and what is accepted."""
    found = " ".join(str(pref).split())
    found = found if len(found) <= 60 else f"{found[:57]}..."
    example = _example(m)
    if isinstance(pref, str):  # as it was written in a call of the command
        example = ",".join(f"{share:g}" for share in example)
    return UsageError(
        f"preference {found!r} {problem}; give {m} non-negative numbers "
        f"that sum to 1, for example {example}"
    )


def _example(m: int) -> list[float]:
    """Return m tidy decimals that sum to 1: 0.5,0.5 or 0.4,0.3,0.3."""
    tenths = 10 if m <= 10 else 10 ** len(str(m))
    share, left = divmod(tenths, m)
    return [(share + (i < left)) / tenths for i in range(m)]


def _check_counts(k: int, m: int) -> None:
    """Refuse counts of which there can be no preferences."""
    if k < 1:
        raise UsageError(f"the number of preferences must be 1 or more; found {k}")
    if m < 2:
        raise UsageError(f"the number of objectives must be 2 or more; found {m}")
