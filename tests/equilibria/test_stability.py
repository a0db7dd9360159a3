"""Jacobians, eigenvalues and fixed points against differences, closed forms and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import MODELS, central_difference, plain_field

import nmmjax as nmm
from nmmjax.equilibria.newton import fixed_point
from nmmjax.equilibria.stability import (
    eigenvalues,
    flat_field,
    is_stable,
    jacobian,
    planar_eigenvalues,
    planar_jacobian,
    smooth_eigenvalues,
)
from nmmjax.equilibria.steady import find_equilibria, steady_force
from nmmjax.numerics.linear import characteristic

models = pytest.mark.parametrize("name", MODELS)
ADAPTING = nmm.MPR(eta=-5.0, J=15.0, adaptation=nmm.SpikeFrequencyAdaptation(alpha=0.3, tau=8.0))


@models
def test_jacobian_is_that_of_the_equations_elementwise_too(name):
    model, r, v = MODELS[name], 0.7, -0.4
    A = jacobian(model, nmm.State(r=jnp.asarray(r), v=jnp.asarray(v)))
    expected = [
        [central_difference(lambda r, k=k: plain_field(model, r, v)[k], r) for k in (0, 1)],
        [central_difference(lambda v, k=k: plain_field(model, r, v)[k], v) for k in (0, 1)],
    ]
    np.testing.assert_allclose(A, np.transpose(expected), rtol=1e-8, atol=1e-9)
    both = nmm.State(r=jnp.asarray([r, 2 * r]), v=jnp.asarray([v, v]))
    entries = planar_jacobian(model, both)
    np.testing.assert_allclose([each[0] for each in entries], A.ravel(), rtol=1e-13)
    np.testing.assert_allclose(planar_eigenvalues(*entries)[0], eigenvalues(A), rtol=1e-12)


def test_jacobian_of_a_network_is_blocks_of_its_nodes():
    """∂(ṙ, v̇)/∂(r, v) with all r before all v; the weights enter ∂v̇/∂r alone."""
    W = jnp.asarray([[0.0, 2.0], [3.0, 0.0]])
    network = nmm.Network(nmm.MPR(eta=-1.0, J=4.0, Delta=0.5), W)
    y = nmm.State(r=jnp.asarray([0.3, 0.8]), v=jnp.asarray([-0.5, 0.2]))
    A = jacobian(network, y)
    np.testing.assert_allclose(A[2:, :2], W + np.diag(4 - 2 * np.pi**2 * np.asarray(y.r)), rtol=1e-13)
    np.testing.assert_allclose(A[:2, 2:], 2 * np.diag(y.r), rtol=1e-13)


def test_eigenvalues_have_two_derivatives():
    """Of (0 1; −1 −2ζ): −ζ ± √(ζ² − 1)."""
    matrix = lambda zeta: jnp.asarray([[0.0, 1.0], [-1.0, 0.0]]) + zeta * jnp.asarray([[0.0, 0.0], [0.0, -2.0]])
    real = lambda zeta: jnp.real(smooth_eigenvalues(matrix(zeta)))
    exact = lambda zeta: -zeta + jnp.sqrt(zeta**2 - 1)
    for found, true in ((real, exact), (jax.jacfwd(real), jax.grad(exact)), (jax.hessian(real), jax.grad(jax.grad(exact)))):
        assert found(1.5)[0] == pytest.approx(float(true(1.5)), rel=1e-11)
    np.testing.assert_allclose(real(0.3), [-0.3, -0.3], rtol=1e-13)


def test_stability_without_eigenvalues(key):
    for each in jax.random.split(key, 20):
        A = jax.random.normal(each, (4, 4)) - 1.2 * jnp.eye(4)
        c, M = characteristic(A)
        np.testing.assert_allclose(jnp.stack(c), np.poly(np.asarray(A)), rtol=1e-9, atol=1e-9)
        adjugate = sum(each * 0.5 ** (3 - k) for k, each in enumerate(M))
        shifted = 0.5 * np.eye(4) - np.asarray(A)
        np.testing.assert_allclose(adjugate, np.linalg.inv(shifted) * np.linalg.det(shifted), rtol=1e-8, atol=1e-9)
        assert bool(is_stable(c)) == bool(np.all(np.linalg.eigvals(np.asarray(A)).real < 0))


@pytest.mark.parametrize("model", [MODELS["everything"], ADAPTING], ids=["everything", "adaptation"])
def test_equilibria_are_fixed_points_of_newtons_method_too(model):
    found = find_equilibria(model)
    count = int(np.isfinite(np.asarray(found.state.r)).sum())
    assert count >= 1
    for k in range(count):
        y = jax.tree.map(lambda each, k=k: each[k], found.state)
        assert np.max(np.abs(flat_field(model, y)(jnp.stack(jax.tree.leaves(y))))) < 1e-12
        near, A, residual = fixed_point(model, jax.tree.map(lambda each: each * 1.001, y))
        assert residual < 1e-12 and near.r == pytest.approx(float(y.r), rel=1e-10)
        np.testing.assert_allclose(eigenvalues(jnp.asarray(A)), found.eigenvalues[k], rtol=1e-7)
        assert abs(steady_force(model, jnp.log(model.tau * y.r))) < 1e-11
