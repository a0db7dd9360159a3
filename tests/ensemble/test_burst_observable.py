"""Bursts counted while integrating, against the spikes of the same run."""

import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

J = 15 * 2**0.5


COMMON = {"J": J, "Delta": 2.0}


def depressed(eta=-5.5, alpha=0.05, kernel="alpha", **others):
    return nmm.MPR(eta=eta, **(COMMON | others), adaptation=nmm.SynapticDepression(alpha, 10.0, kernel))


@pytest.mark.slow
@pytest.mark.parametrize("others", [{}, {"gap": nmm.GapJunction(0.05)}, {"conductance": nmm.ConductanceSynapse(0.1, 1.0)}])
def test_burst_count_sees_what_a_run_shows(others):
    """Short and long bursts, with gap junctions and conductances, too, against the spikes of the same run."""
    for model in (depressed(-4.5, 0.09, **others), depressed(-5.5, **others)):
        start = {"r": 0.25, "v": -1.0, "A": 0.13}
        data = nmm.sweep(
            model,
            over={"eta": model.eta[None]},
            y0=start,
            t0=150.0,
            t1=500.0,
            observe={"burst": nmm.BurstCount()},
            progress=False,
        )
        run = nmm.simulate(model, start, jnp.linspace(0.0, 500.0, 20_001), rtol=1e-9, atol=1e-11)
        spikes = nmm.find_spikes(run)
        seen = np.asarray(spikes.time)[np.asarray(spikes.time) > 150.0]
        level = float(nmm.cusp_rate(model))
        up = np.flatnonzero((run.ys.r[:-1] < level) & (run.ys.r[1:] >= level))
        up = np.asarray(run.ts)[up[np.asarray(run.ts)[up] > 150.0]]
        assert float(data.burst_onsets[0]) == up.size and up.size >= 3
        assert abs(float(data.burst_spikes[0]) - seen.size) <= 1
        assert float(data.burst_period[0]) == pytest.approx(np.diff(up).mean(), abs=0.02)
        inside = np.sum((seen > up[0]) & (seen < up[-1]))
        assert float(data.burst_per_burst[0]) == pytest.approx(inside / (up.size - 1), abs=1e-12)


def test_burst_count_of_a_population_that_rings_down():
    population = nmm.MPR(-5.0, 15.0, 0.3)
    observe = {"burst": nmm.BurstCount()}
    data = nmm.sweep(population, over={"eta": [-5.0]}, y0={"r": 1.5, "v": 0.0}, t1=20.0, observe=observe, progress=False)
    assert float(data.burst_onsets[0]) == 0 and float(data.burst_growth[0]) < 0.8
    assert float(data.burst_spikes[0]) > 3
    assert np.isnan(float(data.burst_period[0])) and np.isnan(float(data.burst_per_burst[0]))
