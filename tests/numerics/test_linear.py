"""Small linear systems against LAPACK, and what becomes of matrices that have no inverse."""

import jax
import jax.numpy as jnp
import numpy as np

from nmmjax.numerics.linear import covariance, scaled_inverse, solve_positive, solve_scaled

A = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]])
B = np.array([1.0, 2.0, 3.0])
UNITS = np.diag([1e-7, 1.0, 1e6])


def test_positive_definite_systems():
    np.testing.assert_allclose(solve_positive(jnp.asarray(A), jnp.asarray(B)), np.linalg.solve(A, B), rtol=1e-13)
    np.testing.assert_allclose(jax.jit(solve_positive)(jnp.asarray(A), jnp.eye(3)), np.linalg.inv(A), rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(solve_scaled(A, B), np.linalg.solve(A, B), rtol=1e-12)
    np.testing.assert_allclose(solve_scaled(A, np.eye(3)), np.linalg.inv(A), rtol=1e-12, atol=1e-15)


def test_inverses_do_not_depend_on_units():
    scaled = UNITS @ A @ UNITS
    for found in (covariance(scaled), scaled_inverse(scaled, 1e-13)):
        np.testing.assert_allclose(UNITS @ found @ UNITS, np.linalg.inv(A), rtol=1e-10, atol=1e-12)


def test_directions_without_information():
    """Their variance is infinite; the pseudo-inverse leaves them out."""
    flat = covariance(np.diag([4.0, 0.0]))
    assert flat[0, 0] == 0.25 and np.isinf(flat[1, 1])
    assert np.isnan(covariance(np.full((2, 2), np.nan))).all()
    both = covariance(np.array([[1.0, 1.0], [1.0, 1.0]]))
    assert np.isinf(np.diagonal(both)).all()
    np.testing.assert_allclose(scaled_inverse(np.diag([4.0, 0.0]), 1e-13), np.diag([0.25, 0.0]))
