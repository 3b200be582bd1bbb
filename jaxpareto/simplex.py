"""The geometry that preferences and rays share: lattices, and the one conversion.

A `pref` [m] says how much one cares: it lies on the simplex, and a larger entry asks
for a *smaller* loss. A `ray` [m] is a direction in the space of losses: a larger entry
allows a *larger* loss. Papers use one letter for both; here `to_ray` and `to_pref` are
the only way from one to the other, and what balances weighted losses,
`pref_1 loss_1 = ... = pref_m loss_m`, is what lies on the ray.
"""

from itertools import combinations
from math import comb

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxpareto.errors import UsageError
from jaxpareto.types import Array

FLOOR = 1e-6
"""Shares below this count as this much: the ray of a vertex stays finite."""


def to_ray(pref: ArrayLike) -> Array:
    """Turn what one cares about into the direction in which the losses should lie.

    `ray_i = (1 / pref_i) / sum_j (1 / pref_j)`, with shares of at least 1e-6

    For two objectives the ray is the preference read backwards. Its own inverse.

    Args:
      pref: [m], on the simplex, no unit; a larger entry cares more.

    Returns:
      [m], positive, sum 1: proportional to the losses asked for.

    Raises:
      UsageError: the shape is not [m].

    Source: Mahapatra and Rajan (2020), "Multi-task learning with user preferences",
    section 3: the losses asked for are those with equal `pref_i * loss_i`.

    >>> print(to_ray(jnp.array([0.25, 0.75])))
    [0.75 0.25]
    """
    pref = jnp.asarray(pref)
    pref = pref.astype(jnp.promote_types(pref.dtype, jnp.float32))
    if pref.ndim != 1:
        raise UsageError(
            f"expected one vector [m] (use vmap for more); found {pref.shape}"
        )
    inverse = 1 / jnp.maximum(pref, FLOOR)
    return inverse / jnp.sum(inverse)


def to_pref(ray: ArrayLike) -> Array:
    """Turn a direction in the space of losses into the preference that asks for it.

    `pref_i = (1 / ray_i) / sum_j (1 / ray_j)`, with shares of at least 1e-6

    Args:
      ray: [m], not negative, of any length but zero.

    Returns:
      [m], positive, sum 1.

    Raises:
      UsageError: the shape is not [m].

    >>> print(to_pref(jnp.array([3.0, 1.0])))
    [0.25 0.75]
    """
    ray = jnp.asarray(ray)
    return to_ray(ray / jnp.sum(ray))


def lattice(k: int, m: int) -> NDArray[np.float64]:
    """Lay at most k points evenly over the simplex, vertices included.

    `{ (h_1, ..., h_m) / h : h_i = 0 .. h, sum_i h_i = h }`, of comb(h + m - 1, m - 1)
    points, for the largest h at which these are no more than k

    Args:
      k: how many points at most, at least m.
      m: dimension, at least 2.

    Returns:
      A NumPy array [k or fewer, m]; the first coordinate rises from row to row.

    Raises:
      UsageError: k < m (the vertices alone are m points), or m < 2.

    Source: Das and Dennis (1998), "Normal-boundary intersection".

    >>> print(lattice(3, 2))
    [[0.  1. ]
     [0.5 0.5]
     [1.  0. ]]
    """
    if m < 2 or k < m:
        raise UsageError(
            f"a grid for {m} objectives needs {max(m, 2)} or more points and 2 or more "
            f"objectives; found {k} points"
        )
    h = 1
    while comb(h + m, m - 1) <= k:
        h += 1
    # Stars and bars: m - 1 bars among h stars, and the gaps between them are the h_i.
    bars = np.array(list(combinations(range(h + m - 1), m - 1)))
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, h + m - 1)))
    return (np.diff(edges, axis=1) - 1) / h


def unit_rays(k: int, m: int) -> NDArray[np.float64]:
    """Lay at most k unit rays over the positive orthant, its axes included.

    For two objectives at equal angles, `(cos t, sin t)` with t from 90 to 0 degrees;
    for more, the lattice of the simplex, each point divided by its length.

    Args:
      k: how many rays at most, at least m.
      m: how many objectives, at least 2.

    Returns:
      A NumPy array [k or fewer, m], each row of length 1.

    Raises:
      UsageError: k < m or m < 2.

    Source: Lin, Zhen, Li, Zhang and Kwong (2019), "Pareto multi-task learning",
    section 4, for the equal angles.

    >>> print(unit_rays(3, 2).round(3) + 0)
    [[0.    1.   ]
     [0.707 0.707]
     [1.    0.   ]]
    """
    if m == 2 and k >= 2:
        angles = np.linspace(np.pi / 2, 0, k)
        rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return np.where(rays < 1e-12, 0.0, rays)  # cos(90 degrees) is not quite 0
    points = lattice(k, m)
    return points / np.linalg.norm(points, axis=1, keepdims=True)
