"""Preferences and rays turn into each other, and lattices are even and complete."""

from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto.errors import UsageError
from jaxpareto.simplex import FLOOR, lattice, to_pref, to_ray, unit_rays

SOME = np.random.default_rng(0).dirichlet(np.ones(3), 20).astype(np.float32)
RAYS = jax.jit(jax.vmap(to_ray))(SOME)

# --- preferences and rays -------------------------------------------------------------


def test_on_the_ray_all_weighted_losses_are_equal():
    weighted = SOME * np.asarray(RAYS)
    np.testing.assert_allclose(weighted, weighted[:, :1] * np.ones((1, 3)), rtol=1e-5)
    np.testing.assert_allclose(np.sum(RAYS, axis=1), 1, rtol=1e-6)
    assert np.all(np.argmax(SOME, axis=1) == np.argmin(RAYS, axis=1))


def test_there_and_back():
    back = jax.jit(jax.vmap(to_pref))(RAYS)
    np.testing.assert_allclose(back, SOME, rtol=1e-5)
    for length in (1e-9, 1e3):
        other = jax.jit(jax.vmap(to_pref))(length * RAYS)
        np.testing.assert_allclose(other, SOME, rtol=1e-5)


def test_of_two_the_ray_is_the_preference_read_backwards():
    np.testing.assert_allclose(to_ray(np.array([0.2, 0.8])), [0.8, 0.2], rtol=1e-6)
    np.testing.assert_allclose(to_pref(np.array([1, 4])), [0.8, 0.2], rtol=1e-6)


@pytest.mark.parametrize("convert", [to_ray, to_pref])
def test_a_vertex_has_a_finite_partner(convert):
    partner = convert(jnp.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(partner, [0.5, 0.5, FLOOR / 2], rtol=1e-5)
    slopes = jax.jacobian(convert)(jnp.array([0.0, 0.0, 1.0]))
    assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize("convert", [to_ray, to_pref])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_type_stays(convert, dtype):
    with jax.enable_x64(True):
        assert convert(jnp.array([0.3, 0.7], dtype)).dtype == dtype


@pytest.mark.parametrize("convert", [to_ray, to_pref])
def test_nan_is_not_hidden(convert):
    assert np.all(np.isnan(convert(jnp.array([np.nan, 0.5]))))


@pytest.mark.parametrize("convert", [to_ray, to_pref])
@pytest.mark.parametrize("shape", [(), (4, 2)])
def test_one_vector_at_a_time(convert, shape):
    with pytest.raises(UsageError, match="vmap"):
        convert(jnp.ones(shape))


# --- lattices -------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3, 4, 7])
@pytest.mark.parametrize("k", [7, 21, 92, 300])
def test_lattice_is_the_largest_of_at_most_k_points(k, m):
    points = lattice(k, m)
    sizes = [comb(h + m - 1, m - 1) for h in range(1, k + 1)]
    assert len(points) == max(size for size in sizes if size <= k)
    h = sizes.index(len(points)) + 1
    steps = points * h
    assert points.dtype == np.float64
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    np.testing.assert_allclose(points.sum(axis=1), 1, rtol=1e-12)
    assert np.all(points >= 0)
    # As many different points as there are: these are all of them.
    assert len(np.unique(np.round(steps), axis=0)) == len(points)
    assert np.all(np.diff(points[:, 0]) >= 0)
    for vertex in np.eye(m):
        assert np.any(np.all(points == vertex[None], axis=1))


@pytest.mark.parametrize("make", [lattice, unit_rays])
def test_too_few_points_or_objectives(make):
    np.testing.assert_array_equal(make(3, 3), np.eye(3)[::-1])
    np.testing.assert_array_equal(make(2, 2), np.eye(2)[::-1])
    for k, m in ((2, 3), (1, 2), (0, 2), (5, 1), (5, 0)):
        with pytest.raises(UsageError, match=f"found {k} points"):
            make(k, m)


@pytest.mark.parametrize("k", [2, 5, 25])
def test_unit_rays_of_two_are_at_equal_angles(k):
    rays = unit_rays(k, 2)
    angles = np.arctan2(rays[:, 1], rays[:, 0])
    np.testing.assert_allclose(angles, np.linspace(np.pi / 2, 0, k), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(rays[[0, -1]], [[0, 1], [1, 0]])


def test_unit_rays_of_three_lie_above_the_lattice():
    rays = unit_rays(25, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=1), 1, rtol=1e-12)
    shares = rays / rays.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, lattice(25, 3), atol=1e-12)
