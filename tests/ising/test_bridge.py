"""From networks to the Ising models of their recordings and back: closed cases, round trips, a simulation, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmmjax import MPR, Network, binarize, boltzmann, fit_ising, per_node, simulate
from nmmjax.ising import compare_landscapes, network_from_ising, predict_ising, saddle_rates
from nmmjax.results import IsingModel

# Both states equally likely at D = 0.25; mean rates 0.1 and 1.2.
NODE = MPR(eta=-3.75, J=15.0, Delta=1.0)
D = 0.25
SIGNS = np.array([[0, 1, -1, 0.5], [1, 0, 0.5, 1], [-1, 0.5, 0, 0], [0.5, 1, 0, 0]])


def network(strength=0.1, **more):
    W = strength * SIGNS
    return Network(per_node(NODE, eta=-3.75 - 0.66 * W.sum(axis=1), **more), W)


def test_uncoupled_nodes_are_spins_in_fields():
    nodes = Network(per_node(NODE, eta=np.array([-3.8, -3.7])), np.zeros((2, 2)))
    found, r = predict_ising(nodes, D), saddle_rates(nodes)
    assert np.all(np.asarray(found.J) == 0)
    for k, eta in enumerate((-3.8, -3.7)):
        low = float(boltzmann(MPR(eta=eta, J=15.0, Delta=1.0), D).cdf(r[k]))
        assert np.isclose(float(found.h[k]), np.log((1 - low) / low) / 2, rtol=1e-9)


@pytest.mark.slow
def test_weak_couplings_are_those_of_psi_over_a_temperature():
    """J_ij → G W_ij ΔR Δ(1/R)/4T, so that T_Ψ → T R⁻R⁺ at low noise."""
    rates = {}
    for noise in (0.05, 0.1):
        weak = network(1e-4)
        found = predict_ising(weak, noise)
        comparison = compare_landscapes(weak, noise, found)
        rates[noise] = comparison.psi_temperature / comparison.expected_temperature
        assert np.allclose(
            np.asarray(found.J)[np.triu_indices(4, 1)] * comparison.psi_temperature, comparison.coupling, rtol=1e-2
        )
    assert abs(rates[0.05] - 1) < abs(rates[0.1] - 1) < 0.1


@pytest.mark.slow
def test_units_of_time_cancel():
    slow = network(tau=np.full(4, 3.0))
    assert np.allclose(predict_ising(slow, D).J, predict_ising(network(), D).J, rtol=1e-9)
    assert np.allclose(3 * np.asarray(saddle_rates(slow)), saddle_rates(network()), rtol=1e-9)


@pytest.mark.slow
def test_round_trip():
    J = 0.3 * SIGNS
    model = IsingModel(np.array([0.1, -0.2, 0.0, 0.3]), J)
    made = network_from_ising(model, NODE, D)
    again = predict_ising(made, D)
    assert np.allclose(again.h, model.h, atol=1e-7) and np.allclose(again.J, J, atol=1e-7)
    assert np.allclose(made.weights, made.weights.T)
    with pytest.raises(ValueError, match=r"this population can have|single state"):
        network_from_ising(IsingModel(np.array([0.0, 40.0]), np.zeros((2, 2))), NODE, D)


@pytest.mark.slow
def test_comparison_with_a_recording_of_the_predicted_model():
    """Samples of the predicted Ising model stand for a recording: couplings, states and minima are found again."""
    pair = network(0.15)
    predicted = predict_ising(pair, D)
    recorded = fit_ising(predicted.sample(jax.random.key(0), 40_000))
    found = compare_landscapes(pair, D, recorded)
    assert found.J_error < 0.02 and found.h_error < 0.02 and found.state_correlation > 0.99
    assert abs(found.psi_temperature / found.expected_temperature - 1) < 0.25
    assert found.patterns.shape == (found.psi.size, 4) and found.is_minimum.any()
    assert found.barriers.shape[1] == 2 and np.all(np.isfinite(found.barriers))
    assert "T_Ψ" in repr(found)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.25, 0.35])
def test_recordings_of_simulations_have_the_predicted_couplings(noise):
    mixed = network(0.1)
    ts, keys = jnp.arange(0.0, 3000.0, 1.0), jax.random.split(jax.random.key(0), 32)
    high = jax.random.bernoulli(jax.random.key(1), 0.5, (32, 4))
    starts = jnp.where(high, 1.2, 0.1)
    start = lambda r: {"r": r, "v": -0.5 * jnp.ones_like(r)}
    run = jax.vmap(lambda key, r: simulate(mixed, start(r), ts, noise=noise, key=key, dt0=0.01).ys.r)(keys, starts)
    r = np.asarray(run)[:, 200:]
    recorded = fit_ising(binarize(r.reshape(-1, 4), threshold=np.asarray(saddle_rates(mixed))))
    found = compare_landscapes(mixed, noise, recorded)
    assert found.J_error < 0.05 and found.h_error < 0.1
    assert np.corrcoef(found.J, np.asarray(found.predicted.J)[np.triu_indices(4, 1)])[0, 1] > 0.97


def test_bad_input(unchecked):
    skew = Network(NODE, np.array([[0.0, 0.1], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="`weights` must be symmetric"):
        predict_ising(skew, D)
    with pytest.raises(ValueError, match="a single state at node 0, 1"):
        predict_ising(Network(MPR(eta=5.0), 0.1 * (1 - np.eye(2))), D)
    with pytest.raises(ValueError, match="`noise` must be > 0"):
        predict_ising(network(), 0.0)
    with pytest.raises(ValueError, match="as many regions as the network has nodes, 4"):
        compare_landscapes(network(), D, IsingModel(np.zeros(2), np.zeros((2, 2))))
    with pytest.raises(ValueError, match="have two states"):
        network_from_ising(IsingModel(np.zeros(2), np.zeros((2, 2))), MPR(eta=5.0), D)
