"""Fluctuations of networks with delays: against the discretised flow, spectra, limits, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow
from scipy.linalg import expm, solve_continuous_lyapunov

import nmmjax as nmm
from nmmjax.numerics.delayed import generator
from nmmjax.stochastic.linear import response

GUESS = {"r": 0.25, "v": -0.2}


def network(gain=-1.0, stretch=1.0, synapse=None, tau=1.0):
    """Three populations, a delay for every pair, one of them 0."""
    W = jnp.array([[1.0, 0.5, -0.3], [0.2, 0.8, 0.6], [-0.4, 0.7, 1.1]])
    D = jnp.array([[1.5, 0.0, 0.7], [2.0, 1.1, 0.4], [0.3, 0.9, 2.5]])
    node = nmm.per_node(nmm.MPR(J=0.2, Delta=0.3, tau=tau, synapse=synapse), eta=[1.0, 1.3, 0.7])
    return nmm.Network(node, W, gain, delay=stretch * D)


def discretised(found, points):
    """A and B of the flow on Chebyshev's points of the past."""
    A = np.asarray(generator(found.linear, points))
    n, m = found.linear.b.shape
    B = np.zeros((A.shape[0], n))
    for a in range(m):
        B[a * n + np.arange(n), np.arange(n)] = np.asarray(found.linear.b)[:, a]
    return A, B


NOISES = {
    "white": nmm.WhiteNoise(jnp.array([0.01, 0.002, 0.005])),
    "shared": nmm.WhiteNoise(0.01, shared=True),
    "coloured": nmm.OrnsteinUhlenbeck(0.01, 0.8),
}
CASES = {
    "white": {},
    "shared": {"synapse": nmm.ExponentialSynapse(tau=0.4)},
    "coloured": {"tau": 1.4},
}


@pytest.mark.parametrize("name", rest_slow(CASES, "coloured"))
def test_covariances_are_those_of_the_discretised_flow(name):
    found = nmm.linear_response(network(**CASES[name]), NOISES[name], guess=GUESS)
    k, n = found.A.shape[0], 3
    m = found.covariance.shape[0]
    A, B = discretised(found, 40)
    if name == "coloured":
        A = np.block([[A, B], [np.zeros_like(B.T), -np.eye(n) / 0.8]])
        B = np.concatenate([np.zeros_like(B), np.eye(n) / 0.8])
    whole = solve_continuous_lyapunov(A, -B @ np.asarray(found.P) @ B.T)
    kept = np.r_[:m, A.shape[0] - n : A.shape[0]] if name == "coloured" else np.r_[:m]
    exact = whole[np.ix_(kept, kept)]
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    assert kept.size == k and float(found.error) < 1e-6
    assert np.abs((np.asarray(found.joint) - exact) / scale).max() < 2e-8
    lags = np.array([0.0, 0.6, 3.0])
    rows = np.eye(A.shape[0])[:n]
    late = np.stack([rows @ expm(A * s) @ whole @ rows.T for s in lags])
    np.testing.assert_allclose(found.lagged(lags), late, atol=3e-7 * np.abs(late).max())
    np.testing.assert_allclose(found.lagged(-lags), np.swapaxes(late, 1, 2), atol=3e-7 * np.abs(late).max())


def test_frequencies_as_many_as_told():
    exact = nmm.linear_response(network(), 0.01, guess=GUESS)
    few, more = (response(network(), 0.01, GUESS, 0.0, each) for each in (1, 4))
    assert int(few.points) < int(more.points) and float(few.error) > 10 * float(more.error)
    np.testing.assert_allclose(few.fc(), exact.fc(), atol=1e-2)
    np.testing.assert_allclose(more.fc(), exact.fc(), atol=1e-6)


def test_without_delay_it_is_the_response_of_the_present():
    late, now = network(stretch=0.0), network().undelayed()
    ours, theirs = (nmm.linear_response(each, 0.01, guess=GUESS) for each in (late, now))
    np.testing.assert_allclose(ours.joint, theirs.joint, atol=1e-9 * float(jnp.max(theirs.joint)))
    f = np.array([0.0, 0.2, 1.0])
    np.testing.assert_allclose(ours.cross_spectra(f), theirs.cross_spectra(f), rtol=1e-10)
    np.testing.assert_allclose(ours.frequencies, theirs.frequencies, rtol=1e-6)


def test_spectra_with_delays_integrate_to_covariances():
    found = nmm.linear_response(network(), 0.01, guess=GUESS)
    f = np.linspace(0.0, 100.0, 40_001)
    spectra = np.asarray(found.cross_spectra(f))
    np.testing.assert_allclose(2 * np.trapezoid(spectra.real, f, axis=0), found.cov(), rtol=1e-5)
    r = np.asarray(found.state.r)
    rates = np.asarray(found.eigenvalues)
    assert rates.shape == (6,) and np.all(rates.real < 0)
    at = 2j * np.pi * f[200]
    linear = found.linear
    late = np.asarray(linear.M) * np.exp(-at * np.asarray(linear.D))
    square = (at - 2 * np.asarray(found.state.v)) ** 2 + 4 * np.pi**2 * r**2 - 2 * r * 0.2
    T = np.linalg.inv(np.diag(square / (2 * r)) - late)
    np.testing.assert_allclose(spectra[200], 0.02 * T @ T.conj().T, rtol=1e-9)


def test_a_network_with_delays_that_oscillates_has_no_stationary_state():
    late = lambda gain: nmm.Network(nmm.MPR(eta=1.0, J=0.0, Delta=0.1), [[1.0]], gain, delay=3.0)
    near = {"r": 0.22, "v": -0.07}
    quiet, loud = (nmm.linear_response(late(gain), 1e-3, guess=near) for gain in (-2.2, -2.6))
    assert quiet.result == nmm.results.RESULTS.successful and np.isfinite(float(quiet.relative[0]))
    assert loud.result == nmm.results.RESULTS.unstable_state and np.isnan(np.asarray(loud.joint)).all()
    assert "not stable" in str(loud) and "slowest eigenvalue -0.03" in str(quiet)
    close = nmm.linear_response(late(-2.38), 1e-3, guess=near)
    assert float(close.error) > 1e-5 and "not resolved" in str(close)


@pytest.mark.slow
def test_fc_differentiates_with_delays():
    def fc(gain, stretch, eta):
        model = nmm.Network(
            nmm.per_node(nmm.MPR(J=0.2, Delta=0.3), eta=eta), network().weights, gain, delay=stretch * network().delay
        )
        return nmm.linear_response(model, 0.01, guess=GUESS).fc()[0, 1]

    at = jnp.array(-1.0), jnp.array(1.0), jnp.array([1.0, 1.3, 0.7])
    reverse, values, h = jax.jit(jax.grad(fc, (0, 1, 2)))(*at), jax.jit(fc), 1e-4
    assert bool(jnp.all(jnp.isfinite(reverse[2])))
    for k in range(2):
        moved = [values(*(each + sign * h * (j == k) for j, each in enumerate(at))) for sign in (1, -1)]
        assert float(reverse[k]) == pytest.approx(float(moved[0] - moved[1]) / (2 * h), rel=1e-5)
    gains = jnp.array([-1.2, -1.0])
    many = jax.jit(jax.vmap(lambda gain: fc(gain, at[1], at[2])))(gains)
    np.testing.assert_allclose(many[1], values(*at), rtol=1e-7)


@pytest.mark.slow
def test_simulations_with_delays_have_these_covariances():
    """Within four standard errors, from 40 parts of a run; at lag 3 as well."""
    late = nmm.Network(network().node, network().weights, -1.0, delay=jnp.maximum(network().delay, 0.2))
    found = nmm.linear_response(late, 1e-5, guess=GUESS)
    noise, ts = nmm.WhiteNoise(jnp.full(3, 1e-5)), np.arange(0.0, 8000.0, 0.5)
    run = nmm.simulate(late, found.state, ts, noise=noise, key=jax.random.key(0), dt0=0.05)
    parts = np.asarray(run.ys.r)[160:].reshape(40, -1, 3)
    apart = lambda lag: np.stack(
        [(each[lag:] - each.mean(0)).T @ (each[: len(each) - lag] - each.mean(0)) for each in parts]
    )
    for lag, exact in ((0, found.cov()), (6, found.lagged([3.0])[0])):
        seen = apart(lag) / (parts.shape[1] - lag)
        error = seen.std(axis=0) / np.sqrt(40)
        assert np.abs((seen.mean(axis=0) - np.asarray(exact)) / error).max() < 4
