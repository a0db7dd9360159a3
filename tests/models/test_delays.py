"""Delays as a property of a coupling: how they are given, what they refuse, what stays without them."""

import jax
import jax.numpy as jnp
import pytest

import nmmjax as nmm
from nmmjax._parameter import parameter_table
from nmmjax.models.coupling import Coupling

NODE = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, tau=10.0)
CONNECTOME = nmm.random_connectome(4, key=jax.random.key(0))


def test_delays_of_lengths_and_speed():
    brain = nmm.Network(NODE, CONNECTOME, gain=0.5, speed=3.0)
    assert jnp.allclose(brain.coupling.delays(), CONNECTOME.lengths / 3.0, rtol=1e-15)
    slope = jax.jacfwd(lambda speed: nmm.Network(NODE, CONNECTOME, speed=speed).coupling.delays())(jnp.asarray(3.0))
    assert jnp.allclose(slope, -CONNECTOME.lengths / 9.0, rtol=1e-14)
    assert {"gain", "speed"} <= set(parameter_table(brain))


def test_a_number_is_the_delay_of_all_pairs():
    network = nmm.Network(NODE, jnp.ones((3, 3)), delay=2.0)
    assert jnp.all(network.coupling.delays() == 2.0) and network.delay == 2.0
    assert "delay" in parameter_table(network)


def test_a_delayed_network_asks_for_its_past():
    network = nmm.Network(NODE, jnp.ones((3, 3)), delay=2.0)
    y = network.state({"r": 0.1, "v": -1.0})
    with pytest.raises(ValueError, match=r"must be without delays here"):
        network.vector_field(jnp.zeros(()), y)
    past = network.sent(y) @ jnp.ones((3, 3))
    now = network.undelayed().vector_field(jnp.zeros(()), y)
    assert jnp.allclose(network.vector_field(jnp.zeros(()), y, past=past).v, now.v, rtol=1e-14)
    assert network.offers == {"delays"} and "potential" in network.undelayed().offers


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"delay": -1.0}, "Argument `delay` must be ≥ 0, but got -1."),
        ({"delay": jnp.ones((2, 2))}, r"Argument `delay` must be of the weights' shape \(3, 3\)"),
        ({"delay": jnp.nan}, "Argument `delay` must be finite, without NaN"),
        ({"speed": 1.0}, "Argument `speed` must be None unless the weights are a `Connectome` with lengths"),
        ({"delay": 1.0, "reversal": 0.0}, "Argument `delay` must be None for conductances, which are instantaneous"),
    ],
)
def test_wrong_delays(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        nmm.Network(NODE, jnp.ones((3, 3)), **given)


@pytest.mark.parametrize("speed", [0.0, -3.0, jnp.nan])
def test_wrong_speeds(speed):
    with pytest.raises(ValueError, match="Argument `speed` must be"):
        nmm.Network(NODE, CONNECTOME, speed=speed)
    with pytest.raises(ValueError, match="Argument `speed` must be given together with lengths"):
        Coupling(jnp.ones((3, 3)), speed=1.0)


def test_functions_of_the_present_state_refuse_delays():
    network = nmm.Network(NODE, jnp.ones((3, 3)), delay=2.0)
    y = network.state({"r": 0.1, "v": -1.0})
    with pytest.raises(ValueError, match=r"must be without delays here \(`network.undelayed\(\)`"):
        nmm.total_energy(network, y)
    with pytest.raises(ValueError, match=r"must be without delays here \(`network.undelayed\(\)`"):
        nmm.network_potential(network, y.r)


def test_networks_of_neurons_have_no_delays_yet():
    with pytest.raises(ValueError, match="Argument `model` must be without delays here"):
        nmm.QIFNetwork(nmm.Network(NODE, jnp.ones((3, 3)), delay=2.0), 64)
