"""Models as a user writes them, outside the library, against numbers that don't come from it."""

import inspect
import re

import jax.numpy as jnp
import numpy as np
import pytest
from outside import ei_pair, fitzhugh_nagumo, own_mechanical, synapse

import nmmjax as nmm


@pytest.mark.parametrize("module", [synapse, ei_pair, own_mechanical, fitzhugh_nagumo], ids=lambda each: each.__name__)
def test_nothing_private_is_imported(module):
    text = inspect.getsource(module)
    assert re.findall(r"nmmjax[\w.]*", "\n".join(re.findall(r"^(?:from|import) .*$", text, re.MULTILINE))) == ["nmmjax"]
    assert not re.search(r"\b(?:nmm|self|super\(\))\.(?:\w+\.)*_", text)


def test_the_synapse_is_25_lines():
    assert len(inspect.getsource(synapse).splitlines()) <= 35
    assert len(inspect.getsource(synapse.FirstOrderSynapse).splitlines()) <= 25


def test_inhibition_through_a_synapse_oscillates():
    """Hopf point at Δ = 0.47427526, R = 0.18287209, ω = 2.30301287, solved from the characteristic equation."""
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.48, synapse=synapse.FirstOrderSynapse(tau=0.5))
    found = nmm.find_hopf(ing, "Delta", {"r": 0.18, "v": -0.41, "s": 0.18})
    np.testing.assert_allclose(found.parameter, 0.47427526, rtol=1e-7)
    np.testing.assert_allclose(found.state.r, 0.18287209, rtol=1e-7)
    np.testing.assert_allclose(found.omega, 2.30301287, rtol=1e-8)


@pytest.mark.slow
def test_its_cycle_has_the_period_of_a_run():
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.48, synapse=synapse.FirstOrderSynapse(tau=0.5))
    hopf = nmm.find_hopf(ing, "Delta", {"r": 0.18, "v": -0.41, "s": 0.18})
    cycles = nmm.continue_cycle(hopf, (0.3, 0.6))
    at = int(np.nanargmin(np.asarray(cycles.parameter)[: int(cycles.count)]))
    np.testing.assert_allclose(cycles.parameter[at], 0.3, rtol=1e-9)
    np.testing.assert_allclose(cycles.period[at], 2.757911, rtol=1e-6)
    np.testing.assert_allclose([cycles.minimum.r[at], cycles.maximum.r[at]], [0.03119, 1.2933828], rtol=2e-4)


def test_a_network_sends_what_its_synapses_pass_on():
    """With all of a population's coupling through one other, the fixed point is that of the rate itself."""
    node = nmm.MPR(eta=-4.0, J=0.0, synapse=synapse.FirstOrderSynapse(tau=0.5))
    pair = nmm.Network(node, np.array([[0.0, 10.0], [10.0, 0.0]]))
    end = nmm.simulate(pair, {"r": 0.1, "v": -2.0}, np.array([0.0, 100.0])).y_end
    alone = nmm.energy_landscape(nmm.MPR(eta=-4.0, J=10.0)).minima
    np.testing.assert_allclose(end.r, alone.r[0], rtol=1e-6)
    np.testing.assert_allclose(end.s, end.r, rtol=1e-6)


def test_an_excitatory_and_an_inhibitory_population_make_gamma():
    """Hopf point of the published set at an input of 7.6878198 to e: 30.2037 Hz with τ = 10 ms; r_e = 27.51014 Hz."""
    pair = ei_pair.EIPair(eta_e=2.7, eta_i=-5.0, J=15.0, tau=0.1)
    start = {"r_e": 0.275, "v_e": -0.58, "r_i": 0.152, "v_i": -1.05, "s_ei": 2.28, "s_ie": 4.13}
    found = nmm.find_hopf(pair, "eta_e", start)
    np.testing.assert_allclose(found.parameter, -5.0 + 7.6878198, rtol=1e-7)
    np.testing.assert_allclose(found.omega, 1.8977547, rtol=1e-7)
    np.testing.assert_allclose([found.state.r_e, found.state.r_i], [0.2751014, 0.1517053], rtol=1e-6)


def test_fitzhugh_and_nagumos_oscillator_has_its_hopf_point():
    """Where the trace vanishes, 1 − V² = ε b."""
    model = fitzhugh_nagumo.FitzHughNagumo(current=0.33)
    found = nmm.find_hopf(model, "current", {"V": -0.95, "w": -0.3})
    V = -np.sqrt(1 - 0.08 * 0.8)
    np.testing.assert_allclose(found.state.V, V, rtol=1e-10)
    np.testing.assert_allclose(found.parameter, (V + 0.7) / 0.8 - V + V**3 / 3, rtol=1e-10)


def test_a_double_well_has_its_energies():
    model = own_mechanical.DoubleWell(a=2.0, gamma=0.1)
    y = nmm.State(q=jnp.asarray(1.5), p=jnp.asarray(0.4))
    np.testing.assert_allclose(nmm.total_energy(model, y), 0.4**2 / 2 + 1.5**4 / 4 - 1.5**2, rtol=1e-14)
    np.testing.assert_allclose(nmm.potential_energy(model, y, 0.3), 1.5**4 / 4 - 1.5**2 + 0.3 * 1.5**2 / 2, rtol=1e-14)
    np.testing.assert_allclose(nmm.mechanics.heat_rate(model, y), 0.1 * 0.4**2, rtol=1e-14)
    np.testing.assert_allclose(nmm.mechanics.mechanical_residual(model, y, 0.3), 0.0, atol=1e-14)
