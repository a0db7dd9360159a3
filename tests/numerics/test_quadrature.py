"""Nodes of quadrature against closed forms, and points spread evenly."""

import jax.numpy as jnp
import numpy as np
import pytest

from nmmjax.numerics.quadrature import even_points, gauss_hermite, gauss_legendre, midpoints, nodes_between, panels


@pytest.mark.parametrize("order", [2, 4, 8, 48])
def test_gauss_legendre_is_exact_to_its_degree(order):
    nodes, weights = gauss_legendre(order)
    powers = np.arange(0, 2 * order, 2)
    np.testing.assert_allclose([np.sum(weights * nodes**k) for k in powers], 2 / (powers + 1), rtol=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        nodes[0] = 0.0


def test_gauss_hermite_gives_moments_of_the_normal_law():
    nodes, weights = gauss_hermite(40)
    np.testing.assert_allclose([np.sum(weights * nodes**k) for k in (0, 2, 4, 6)], [1, 1, 3, 15], rtol=1e-12)


def test_nodes_between_bounds_and_on_panels_are_the_same():
    ends = np.array([0.0, 0.5, 2.0, 2.25])
    at, weights = nodes_between(jnp.asarray(ends[:-1]), jnp.asarray(ends[1:]))
    same, also = panels(ends)
    np.testing.assert_allclose(at, same, rtol=1e-14)
    np.testing.assert_allclose(weights, also, rtol=1e-14)
    assert np.sum(also * np.exp(same)) == pytest.approx(np.expm1(2.25), rel=1e-14)
    assert np.sum(nodes_between(jnp.asarray(1.0), jnp.asarray(3.0), 4)[1]) == pytest.approx(2.0)


def test_midpoints_converge_spectrally():
    """∫₀^π dθ/(2 + cos θ) = π/√3."""
    assert np.pi / 24 * np.sum(1 / (2 + np.cos(midpoints(24)))) == pytest.approx(np.pi / np.sqrt(3), rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_even_points_fill_the_cube_and_go_on(size):
    points = even_points(512, size)
    np.testing.assert_array_equal(points[:100], even_points(100, size))
    assert points.min() >= 0 and points.max() < 1 and np.all(points[0] == 0.5)
    np.testing.assert_allclose(points.mean(axis=0), 0.5, atol=0.01)
    assert all(np.all(np.histogram(points[:, k], 16, (0, 1))[0] >= 24) for k in range(size))
