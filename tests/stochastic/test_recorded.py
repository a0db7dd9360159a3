"""What scanners record of small fluctuations, against a Lyapunov equation for the network and its scanner together."""

import jax
import numpy as np
import pytest
from helpers import central_difference
from scipy.linalg import solve_continuous_lyapunov

import nmmjax as nmm
from nmmjax.monitors.balloon import SETS

W = np.array([[0.0, 1.0, 0.2], [0.5, 0.0, 0.7], [0.1, 0.4, 0.0]])
GUESS = {"r": 0.005, "v": -2.0}


def response(gain=5.0, W=W):
    population = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, tau=10.0)
    return nmm.linear_response(nmm.Network(population, W, gain=gain), 1e-4, guess=GUESS)


@pytest.mark.parametrize("constants", ["friston2003", "vbjax"])
def test_recorded_connectivity_is_that_of_a_lyapunov_equation(constants):
    """Written once more, in s, f − 1, v and q of every node behind the network's variables."""
    found = response()
    n, m, scale = 3, found.A.shape[0], 30.0
    decay, back, tau, alpha, E0, k1, k2, k3, V0 = SETS[constants]
    flow = 1 + scale * np.asarray(found.state.r) / back
    share = lambda f: f * (1 - (1 - E0) ** (1 / f)) / E0
    slope = (share(flow + 1e-6) - share(flow - 1e-6)) / 2e-6
    v = flow**alpha
    q, leaving = v * share(flow) / flow, v ** (1 / alpha - 1) / tau
    s, f, vol, oxy = (m + k * n + np.arange(n) for k in range(4))
    r, i = found.variables.index("r") * n + np.arange(n), np.arange(n)
    A, out = np.zeros((m + 4 * n, m + 4 * n)), np.zeros((n, m + 4 * n))
    A[s, r], A[s, s], A[s, f], A[f, s] = scale, -decay, -back, 1.0
    A[vol, f], A[vol, vol] = 1 / tau, -leaving / alpha
    A[oxy, f], A[oxy, oxy], A[oxy, vol] = slope / tau, -leaving, -(1 / alpha - 1) * leaving * q / v
    A *= 1e-3  # from 1/s to 1/ms
    A[:m, :m] = found.A
    noise = np.zeros_like(A)
    noise[:m, :m] = found.B @ found.P @ found.B.T
    out[i, oxy], out[i, vol] = -V0 * (k1 + k2 / v), -V0 * (k3 - k2 * q / v**2)
    C = out @ solve_continuous_lyapunov(A, -noise) @ out.T
    fc = nmm.stochastic.recorded_connectivity(found, nmm.BOLD(TR=1000.0, constants=constants, scale=scale))
    sigma = np.sqrt(np.diag(C))
    np.testing.assert_allclose(fc.values, C / np.outer(sigma, sigma), atol=1e-6)  # times from 1 ms to 2 s
    assert np.abs(np.asarray(fc.values) - np.asarray(found.fc())).max() > 0.02  # slow fluctuations are correlated otherwise
    assert "without a run" in str(fc) and fc.coords["node"] == ("0", "1", "2")


def test_its_derivative():
    monitor = nmm.BOLDKernel(TR=1000.0)
    one = lambda gain: nmm.stochastic.recorded_connectivity(response(gain), monitor).values[0, 1]
    slope = central_difference(lambda gain: float(one(gain)), 5.0, 1e-2)
    assert abs(jax.grad(one)(5.0) - slope) < 1e-6 * abs(slope)


@pytest.mark.slow
def test_delays_of_milliseconds_do_not_matter_to_bold():
    """Correlations of the rates do; those of slow signals don't."""
    lags = np.array([[0.0, 10.0, 20.0], [5.0, 0.0, 7.0], [3.0, 4.0, 0.0]])
    population = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, tau=10.0)
    late = nmm.linear_response(nmm.Network(population, W, gain=5.0, delay=lags), 1e-4, guess=GUESS)
    monitor = nmm.BOLD(TR=1000.0)
    fc = [np.asarray(nmm.stochastic.recorded_connectivity(each, monitor).values) for each in (response(), late)]
    assert np.abs(fc[1] - fc[0]).max() < 3e-6 and np.abs(late.fc() - response().fc()).max() > 0.02


REFUSED = {
    "response": ((3, nmm.BOLD(TR=1.0)), "`response` must be a `LinearResponse`"),
    "monitor": ((None, 3), "`monitor` must be a monitor"),
    "transfer": ((None, nmm.Subsample(1.0)), "`monitor` must have a transfer function and know the unit of time"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_in_one_sentence(name, unchecked):
    (given, monitor), sentence = REFUSED[name]
    with pytest.raises(ValueError, match=sentence):
        nmm.stochastic.recorded_connectivity(response() if given is None else given, monitor)
