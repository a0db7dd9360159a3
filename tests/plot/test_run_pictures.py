"""Pictures of runs, orbits and peaks are labelled."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import nmmjax as nmm


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def all_labelled(axes):
    """Every axes has a y label, and the lowest of each column an x label."""
    axes = np.ravel(axes)
    return all(each.get_ylabel() for each in axes) and bool(axes[-1].get_xlabel())


def test_plots_are_labelled():
    pulse = nmm.Pulse(amplitude=3.0, start=1.0, stop=2.0)
    model = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=1.5)
    run = nmm.simulate(model, {"r": 0.08, "v": -1.96}, jnp.linspace(0.0, 5.0, 101), stimulus=pulse)
    axes = nmm.plot.trajectory(run)
    assert len(axes) == 3
    assert all_labelled(axes)
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), run.ys.r)
    assert all_labelled(nmm.plot.energy(run))
    balance = nmm.energy_balance(run)
    assert len(nmm.plot.energy(run, balance)) == 3
    model = nmm.MPR(2.0, 5.0, 0.0)
    assert all_labelled(nmm.plot.orbits(model, nmm.orbit(model, 12.0)))
    assert all_labelled(nmm.plot.peaks([3.0, 2.0], [3.0, 2.1]))
