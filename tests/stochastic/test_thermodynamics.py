"""Driven noisy runs: first law per run, Jarzynski and Crooks against exact free energies, known laws, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from nmmjax import MPR, Constant, OrnsteinUhlenbeck, Pulse, Ramp, boltzmann, simulate, total_energy
from nmmjax.stochastic import crooks, jarzynski, run_protocol

POPULATION = MPR(eta=1.0, J=3.0, Delta=0.5)
RAMP = Ramp(0.5, 0.0, 1.0)


@pytest.fixture(scope="module")
def runs():
    """Forward and backward runs of docs/theory.md §7's ramp."""
    ways = {}
    for reverse in (False, True):
        ways[reverse] = run_protocol(
            POPULATION, RAMP, 0.1, jax.random.key(int(reverse)), t1=1.0, lanes=1 << 14, reverse=reverse
        )
    return ways


def test_the_exact_difference_is_that_of_the_notes(runs):
    assert abs(float(runs[False].free_energy) - 1.01357) < 1e-5
    assert abs(float(runs[True].free_energy) + 1.01357) < 1e-5
    assert np.isclose(float(runs[False].temperature), np.pi * 0.1 / 0.5)


def test_jarzynski_from_either_direction(runs):
    for way in runs.values():
        found = way.jarzynski()
        assert abs(float(found.value - way.free_energy)) < 4 * float(found.standard_error) < 0.01
        weights = np.exp(-np.asarray(way.entropy_production))
        assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(weights.size)
        assert float(way.dissipated.mean()) > 0 and np.any(np.asarray(way.dissipated) < 0)


def test_crooks(runs):
    both = crooks(runs[False], runs[True])
    assert abs(float(both.free_energy.value - both.exact)) < 4 * float(both.free_energy.standard_error)
    assert float(both.free_energy.standard_error) < float(both.forward.standard_error)
    assert abs(float(both.slope.value) - 1) < 4 * float(both.slope.standard_error) < 0.2
    assert "exact 1.01357" in repr(both)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1.0, 3.0])
def test_jarzynski_within_a_thousandth(stop):
    found = run_protocol(POPULATION, Ramp(0.5, 0.0, stop), 0.1, jax.random.key(5), t1=stop, lanes=200_000).jarzynski()
    assert abs(float(found.value) - 1.01357) < 1e-3 and float(found.standard_error) < 5e-4


def test_first_law_of_every_run(runs):
    for way in runs.values():
        first, last = (RAMP(jnp.asarray(t)) for t in ((1.0, 0.0) if way.reversed else (0.0, 1.0)))
        change = total_energy(POPULATION, way.end, last) - total_energy(POPULATION, way.start, first)
        assert np.allclose(way.energy_change, change, atol=1e-12)
        assert np.allclose(way.work, way.heat + way.energy_change, atol=1e-12)


def test_starts_are_in_equilibrium(runs):
    law = boltzmann(POPULATION, 0.1, 0.5)
    assert kstest(np.asarray(runs[True].start.r), lambda r: np.asarray(law.cdf(jnp.asarray(r)))).pvalue > 1e-3


def test_a_sudden_jump_costs_the_difference_of_landscapes():
    """At once: W = ΔI/R at the start, and no heat."""
    sudden = run_protocol(POPULATION, Ramp(0.5, 0.0, 1e-6), 0.1, jax.random.key(0), t1=1e-6, lanes=64)
    assert np.allclose(sudden.work, 0.5 / np.asarray(sudden.start.r), rtol=1e-4)
    assert np.all(np.abs(np.asarray(sudden.heat)) < 2e-2)


def test_no_protocol_no_work():
    still = run_protocol(POPULATION, Constant(0.3), 0.1, jax.random.key(0), t1=1.0, lanes=64)
    assert np.all(np.asarray(still.work) == 0) and float(still.free_energy) == 0
    assert abs(float(still.heat.mean())) < 4 * float(still.heat.std()) / 8


@pytest.mark.slow
def test_the_unit_of_time_cancels():
    """τ scales time and rates, not energies."""
    slow = MPR(eta=1.0, J=3.0, Delta=0.5, tau=2.0)
    one = run_protocol(POPULATION, RAMP, 0.1, jax.random.key(0), t1=1.0, lanes=64, dt0=0.01)
    two = run_protocol(slow, Ramp(0.5, 0.0, 2.0), 0.1, jax.random.key(0), t1=2.0, lanes=64, dt0=0.02)
    assert np.allclose(one.work, two.work, rtol=1e-6)


@pytest.mark.slow
def test_the_step_hardly_matters():
    coarse, fine = (
        run_protocol(POPULATION, Pulse(1.0, 0.2, 0.6), 0.1, jax.random.key(0), t1=1.0, lanes=8192, dt0=dt).work.mean()
        for dt in (0.02, 0.005)
    )
    assert abs(float(coarse / fine) - 1) < 0.06


@settings(max_examples=20, deadline=None)
@given(mean=st.floats(-5, 5), spread=st.floats(0.1, 1.0), T=st.floats(0.2, 5.0))
def test_jarzynski_of_normal_work(mean, spread, T):
    """Normal work with deviation s: ΔF = mean − s²/2T."""
    W = mean + spread * T * np.random.default_rng(0).normal(size=100_000)
    found = jarzynski(W, T)
    assert abs(float(found.value) - (mean - spread**2 * T / 2)) < 5 * float(found.standard_error)


def test_jarzynski_stands_large_work():
    assert np.isclose(float(jarzynski(np.array([1e4, 1e4 + 1]), 1.0).value), 1e4 - np.log((1 + np.exp(-1)) / 2))


def test_heat_of_a_still_population_agrees_with_the_energies(unchecked):
    run = simulate(POPULATION, {"r": 0.5, "v": 0.0}, jnp.linspace(0.0, 1.0, 3), noise=0.1, key=jax.random.key(0))
    assert np.all(np.isfinite(np.asarray(total_energy(POPULATION, run.ys))))


BAD = [
    ({"noise": 0.0}, "`noise` must be > 0"),
    ({"noise": OrnsteinUhlenbeck(0.1, 1.0)}, "`noise` must be white noise"),
    ({"lanes": 1}, "`lanes` must be an integer ≥ 2"),
    ({"t1": 0.0}, "`t1` must be later than `t0` (0)"),
    ({"key": 3}, "`key` must be one random key"),
    ({"stimulus": 0.5}, "`stimulus` must be a stimulus"),
    ({"population": MPR(Delta=0.0)}, "Δ"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(given, message, unchecked):
    default = {"population": POPULATION, "stimulus": RAMP, "noise": 0.1, "key": jax.random.key(0), "t1": 1.0, "lanes": 16}
    with pytest.raises(ValueError, match=r".*") as error:
        run_protocol(**(default | given))
    assert message in str(error.value) or "Delta" in str(error.value)


def test_crooks_refuses_the_same_direction_twice(runs, unchecked):
    with pytest.raises(ValueError, match="`backward` must be made with `reverse=True`"):
        crooks(runs[False], runs[False])
    other = run_protocol(POPULATION, RAMP, 0.2, jax.random.key(0), t1=1.0, lanes=16, reverse=True)
    with pytest.raises(ValueError, match="at the temperature of `forward`"):
        crooks(runs[False], other)
    with pytest.raises(ValueError, match="`work` must be an array"):
        jarzynski([1.0], 1.0)


@pytest.mark.slow
def test_protocols_far_from_0_in_float32():
    """Work and heat don't depend on where the protocol's clock stands."""
    with jax.enable_x64(False):
        model = MPR(eta=1.0, J=4.0, Delta=0.5)
        runs = [
            run_protocol(model, Ramp(0.5, t0, t0 + 1), 0.3, jax.random.key(0), t0=t0, t1=t0 + 1, lanes=16, dt0=0.05)
            for t0 in (0.0, 1e5)
        ]
        np.testing.assert_allclose(runs[1].work, runs[0].work, rtol=1e-5)
        assert float(runs[1].t0) == 1e5
