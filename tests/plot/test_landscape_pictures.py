"""Pictures of landscapes, phase planes, trees and network runs are labelled; films are written."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.landscape.tree import disconnectivity


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def run():
    pulse = nmm.Pulse(amplitude=3.0, start=1.0, stop=2.0)
    return nmm.simulate(nmm.MPR(), {"r": 0.08, "v": -1.96}, jnp.linspace(0.0, 5.0, 51), stimulus=pulse)


PAIR = nmm.mutual_inhibition()


def labels(axes):
    return axes.get_xlabel(), axes.get_ylabel()


def test_potential_with_a_run(run):
    axes = nmm.plot.landscape(nmm.energy_landscape(nmm.MPR()), run)
    assert all(labels(axes))
    shown = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"potential V(r)", "energy E of the run", "V under I = 3", "minimum", "pass"} <= shown


def test_phase_plane(run):
    axes = nmm.plot.phase_plane(nmm.MPR(), run)
    assert all(labels(axes))
    separatrix = [line for line in axes.get_lines() if line.get_label() == "separatrix"]
    assert len(separatrix) == 1 and len(separatrix[0].get_xdata()) > 50
    alone = nmm.plot.phase_plane(nmm.MPR(eta=-2.0))
    assert "separatrix" not in {line.get_label() for line in alone.get_lines()}


@pytest.mark.slow
def test_two_populations_and_their_run():
    states = nmm.energy_landscape(PAIR)
    stimulus = PAIR.target(nmm.Pulse(5.0, 1.0, 2.0), 1)
    run = nmm.simulate(PAIR, states.minima[0], jnp.linspace(0.0, 5.0, 51), stimulus=stimulus)
    axes = nmm.plot.landscape(states, run)
    assert "r₀" in axes.get_xlabel() and "r₁" in axes.get_ylabel()
    over_time = nmm.plot.trajectory(run)
    assert len([line for line in over_time[0].get_lines() if line.get_label().startswith("node")]) == 2
    assert nmm.plot.energy(run, nmm.energy_balance(run)).shape == (3,)


@pytest.mark.slow
def test_trees():
    tree = disconnectivity(np.array([0.0, 1.0, 0.5]), np.array([[0, 1], [1, 2]]), np.array([3.0, 5.0]))
    axes = nmm.plot.disconnectivity(tree)
    assert axes.get_xlabel() == "minima" and "energy" in axes.get_ylabel()
    few = nmm.plot.disconnectivity(tree, most=2)
    assert few.get_xlabel() == "minima, 2 lowest of 3"
    separate = disconnectivity(np.array([0.0, 1.0]), np.zeros((0, 2), int), np.zeros(0))
    assert all(labels(nmm.plot.disconnectivity(separate)))
    W = jax.random.uniform(jax.random.key(0), (3, 3))
    network = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), (W + W.T) / 2, gain=0.1)
    assert "minima" in nmm.plot.landscape(nmm.energy_landscape(network)).get_xlabel()


def test_film(run, tmp_path):
    path = nmm.plot.animate_landscape(run, tmp_path / "film.gif", frames=3)
    assert path.stat().st_size > 1000
    with pytest.raises(ValueError, match=r"`path` must end in \.gif or \.mp4"):
        nmm.plot.animate_landscape(run, tmp_path / "film.avi")


def test_wrong_landscape_is_refused(unchecked):
    with pytest.raises(ValueError, match="`found` must be a `PopulationLandscape`, a `NetworkLandscape` or an"):
        nmm.plot.landscape("here")
