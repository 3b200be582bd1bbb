"""Preferences: where they come from, and what counts as one.

A preference `pref` [m] is a point of the simplex (non-negative, sum 1, no unit); a
larger entry means "care more about this objective". Training draws preferences with a
sampler, `sampler(key, k) -> [k, m]`, made by one of `SAMPLERS` or by `fixed`;
evaluation walks over a `grid`; what a person writes goes through `parse_pref` or
`check_pref`.
"""

from itertools import combinations
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import ArrayLike as Numbers
from numpy.typing import NDArray

from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Sampler

_SUM_TOLERANCE = 1e-4  # lets float32 and 0.33333 x 3 pass, and no mistake


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
    if m == 2:
        first = np.linspace(0, 1, k) if k > 1 else np.array([0.5])
        return np.stack([first, 1 - first], axis=1).astype(np.float32)
    if k < m:
        raise UsageError(
            f"a grid for {m} objectives needs {m} or more points; found {k}"
        )
    h = 1
    while comb(h + m, m - 1) <= k:
        h += 1
    # Stars and bars: m - 1 bars among h stars, and the gaps between them are the h_i.
    bars = np.array(list(combinations(range(h + m - 1), m - 1)))
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, h + m - 1)))
    return ((np.diff(edges, axis=1) - 1) / h).astype(np.float32)


def dirichlet_sampler(m: int, alpha: ArrayLike = 1.0) -> Sampler:
    """Make the sampler that draws from `dirichlet` for m objectives.

    >>> dirichlet_sampler(2, 0.2)(jax.random.key(0), 5).shape
    (5, 2)
    """

    def sampler(key: Key, k: int) -> Array:
        return dirichlet(key, k, m, alpha=alpha)

    return sampler


def uniform_sampler(m: int, alpha: ArrayLike = 1.0) -> Sampler:
    """Make the sampler that draws from `uniform` for m objectives; alpha is not used.

    >>> uniform_sampler(2)(jax.random.key(0), 5).shape
    (5, 2)
    """
    del alpha

    def sampler(key: Key, k: int) -> Array:
        return uniform(key, k, m)

    return sampler


def fixed(prefs: Numbers) -> Sampler:
    """Make the sampler that always answers with the given preferences.

    With it one training loop also trains k independent networks, each for its own
    preference.

    Args:
      prefs: [k, m], each row on the simplex.

    Returns:
      `sampler(key, k)`, which returns prefs and does not use the key; it raises
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

    def sampler(key: Key, k: int) -> Array:
        del key
        if k != len(held):
            raise UsageError(f"asked for {k} of {len(held)} fixed preferences")
        return jnp.asarray(held)

    return sampler


SAMPLERS = {"dirichlet": dirichlet_sampler, "uniform": uniform_sampler}
"""Name -> `maker(m, alpha) -> sampler(key, k) -> prefs [k, m]`."""


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
    try:
        values = np.asarray(pref, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _not_a_pref("has entries that are not numbers", pref, m) from error
    if values.shape != (m,):
        raise _not_a_pref(f"has shape {values.shape}, not ({m},)", pref, m)
    if not np.all(np.isfinite(values)):
        raise _not_a_pref("has entries that are not finite", pref, m)
    if np.any(values < 0):
        raise _not_a_pref("has negative entries", pref, m)
    total = values.sum()
    if abs(total - 1) > _SUM_TOLERANCE:
        raise _not_a_pref(f"sums to {total:g}, not 1", pref, m)
    return (values / total).astype(np.float32)


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
    return check_pref(values, m)


def _not_a_pref(problem: str, pref: object, m: int) -> UsageError:
    """Return the one-line error: what was found, and what is accepted."""
    found = " ".join(str(pref).split())
    example = ",".join(f"{share:g}" for share in _example(m))
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
