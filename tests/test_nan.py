"""NaN means "absent" here, so a search for a NaN of one's own, `JAX_DEBUG_NANS`, passes by."""

import jax
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax import MPR

BISTABLE, REST, UP = MPR(), {"r": 0.08, "v": -1.96}, {"r": 1.0, "v": -0.16}
PULSE = nmm.Pulse(3.0, 1.0, 4.0)
slow = pytest.mark.slow


def stopped():
    """A run that ends early: NaN after it."""
    return nmm.simulate(BISTABLE, REST, np.linspace(0.0, 10.0, 11), stimulus=PULSE, max_steps=16)


def settled(y):
    return nmm.simulate(BISTABLE, y, [0.0, 200.0], rtol=1e-11, atol=1e-13).y_end


CALLS = {
    "simulate": stopped,
    "find_spikes": lambda: nmm.find_spikes(stopped()),
    "boltzmann": lambda: nmm.boltzmann(BISTABLE, noise=0.5),
    "orbit": lambda: nmm.orbit(BISTABLE, 5.2),
    "predict_peaks": lambda: nmm.predict_peaks(BISTABLE, 2.0, 30),
    "energy_balance": lambda: nmm.energy_balance(stopped()),
    "sweep": lambda: nmm.sweep(
        BISTABLE, over={"eta": [-9.0, -5.0]}, y0=REST, t1=5.0, observe={"p": nmm.Period()}, progress=False
    ),
    "energy_landscape": lambda: nmm.energy_landscape(MPR(eta=-20.0)),
    "network landscape": lambda: nmm.energy_landscape(nmm.mutual_inhibition()),
    "continue_branch": lambda: nmm.continue_branch(BISTABLE, "eta", (-8.0, 0.0)),
    "escape_rate": lambda: nmm.escape_rate(BISTABLE, 0.5, REST),
    "minimal_pulse": lambda: nmm.minimal_pulse(BISTABLE, start=settled(REST), end=settled(UP), duration=1.0),
    "basin_map": lambda: nmm.basin_map(
        BISTABLE, attractors=[settled(REST), settled(UP)], over={"r": np.array([0.1, 1.0]), "v": np.array([-1.0])}
    ),
    "find_bursts": lambda: nmm.find_bursts(stopped()),
    "spike_peaks": lambda: nmm.spike_peaks(BISTABLE, REST, 5.0, 3, stimulus=PULSE),
    "fit": lambda: nmm.fit(BISTABLE, free=("eta",), target=lambda model: (model.eta + 4.0) ** 2, starts=2, progress=False),
    "find_fold": lambda: nmm.find_fold(MPR(J=2.0), "eta", {"r": 0.3, "v": -1.0}),
}
QUICK = ("simulate",)


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=slow) for name in CALLS])
def test_debugging_nans_passes_by(name):
    with jax.debug_nans(True):
        result = CALLS[name]()
        assert str(result)


@pytest.mark.slow
def test_threads_of_a_sweep_pass_by_too():
    """The switch of a whole process, which threads see."""
    jax.config.update("jax_debug_nans", True)
    try:
        found = nmm.sweep(BISTABLE, over={"eta": [-9.0, -5.0]}, y0=REST, t1=1.0, observe={"p": nmm.Period()}, progress=False)
    finally:
        jax.config.update("jax_debug_nans", False)
    assert np.all(np.isnan(found.p.values))
