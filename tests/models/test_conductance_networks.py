"""Networks of conductances: a node receives a current and a conductance; the circuit of Byrne et al.; what is refused."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import slope
from jax.flatten_util import ravel_pytree

import nmmjax as nmm

W, E = np.array([[0.2, 1.1], [0.7, 0.3]]), np.array([5.0, -5.0])


def network(reversal=E, **more):
    node = nmm.MPR(eta=2.0, J=0.0, Delta=0.5, tau=1.3, synapse=nmm.ExponentialSynapse(tau=0.7), **more)
    return nmm.Network(node, W, gain=1.2, reversal=reversal)


Y0 = {"r": [0.3, 0.5], "v": [0.2, -0.4], "s": [0.2, 0.4]}


@pytest.mark.parametrize("leak", [None, nmm.Leak(0.3, 1.0)])
def test_a_node_receives_a_current_and_a_conductance(leak):
    model = network(leak=leak)
    flow = model.vector_field(jnp.zeros(()), model.state(Y0), 0.1)
    r, v, s = (np.array(Y0[name]) for name in "rvs")
    g, current = 1.2 * W @ (1.3 * s), 1.2 * W @ (1.3 * s * E)
    if leak is not None:
        g, current = g + 0.3, current + 0.3
    np.testing.assert_allclose(flow.r, (0.5 / (np.pi * 1.3) + 2 * r * v - g * r) / 1.3, rtol=1e-13)
    np.testing.assert_allclose(flow.v, (v**2 + 2.1 - (np.pi * 1.3 * r) ** 2 + current - g * v) / 1.3, rtol=1e-13)


def test_divergence_is_the_trace():
    model = network()
    flat, back = ravel_pytree(model.state(Y0))
    jacobian = jax.jacfwd(lambda u: ravel_pytree(model.vector_field(jnp.zeros(()), back(u), 0.1))[0])(flat)
    np.testing.assert_allclose(
        jnp.sum(model.divergence(jnp.zeros(()), model.state(Y0), 0.1)), jnp.trace(jacobian), rtol=1e-12
    )


@pytest.mark.parametrize("order", [2, 4])
def test_the_map_is_exact_for_both_held(order):
    """So geometric steps have their order, and rates stay positive."""
    model, ts = network(), jnp.asarray([0.0, 2.0])
    exact = nmm.simulate(model, Y0, ts, solver=diffrax.Dopri8(), rtol=1e-12, atol=1e-13).y_end
    steps, errors = np.array([20, 40, 80]), []
    for count in steps:
        found = nmm.simulate(model, Y0, ts, solver=nmm.MobiusSplitting(order), dt0=2.0 / count).y_end
        errors.append(max(np.abs(getattr(found, name) - getattr(exact, name)).max() for name in "rvs"))
    assert -order - 0.4 < slope(np.log(steps), np.log(errors)) < -order + 0.2
    rough = nmm.simulate(model, Y0, jnp.linspace(0.0, 20.0, 21), solver=nmm.MobiusSplitting(2), dt0=1.0)
    assert np.all(np.asarray(rough.ys.r) > 0)


def test_byrne_is_the_kuramoto_form_of_its_source():
    """a + ib = Z by the equations as Neuroblox codes them (models of Byrne et al. 2020), against ours through W ↦ Z."""
    C, k, alpha, v_syn = 30.0, np.array([[0.1, 0.5], [0.65, 0.2]]), np.array([10.0, 0.8]), np.array([10.0, -10.0])
    eta, Delta = np.array([10.0, 0.0]), 0.5
    model = nmm.byrne(k_ee=0.1, k_ii=0.2)
    r, v, s = np.array([0.02, 0.01]), np.array([0.3, -0.6]), np.array([0.015, 0.02])
    flow = model.vector_field(jnp.zeros(()), nmm.State(r=jnp.asarray(r), v=jnp.asarray(v), s=jnp.asarray(s)))
    order = lambda W: (1 - np.conj(W)) / (1 + np.conj(W))
    W = np.pi * C * r + 1j * v
    Z = order(W)
    a, b = Z.real, Z.imag
    g = k * s  # of node i from sender j
    square, product = (a + 1) ** 2 - b**2, b * (a + 1)
    da = b * (a - 1) - Delta / 2 * square - eta * product
    db = (b**2 - (a - 1) ** 2) / 2 - Delta * product + eta / 2 * square
    for j in range(2):
        da += -v_syn[j] * g[:, j] * product - g[:, j] / 2 * (a**2 - b**2 - 1)
        db += v_syn[j] * g[:, j] / 2 * square - a * b * g[:, j]
    rate = (1 - a**2 - b**2) / (1 + 2 * a + a**2 + b**2) / (C * np.pi)
    h = 1e-6
    moved = order(np.pi * C * (r + h * np.asarray(flow.r)) + 1j * (v + h * np.asarray(flow.v)))
    back = order(np.pi * C * (r - h * np.asarray(flow.r)) + 1j * (v - h * np.asarray(flow.v)))
    np.testing.assert_allclose((moved - back) / (2 * h), (da + 1j * db) / C, rtol=1e-7)
    np.testing.assert_allclose(flow.s, alpha * (rate - s), rtol=1e-12)


def test_one_population_is_the_conductance_synapse_of_its_own():
    alone = nmm.MPR(eta=4.0, J=0.0, Delta=0.5, synapse=nmm.ExponentialSynapse(tau=0.7, strength=0.8, reversal=-3.0))
    node = nmm.MPR(eta=4.0, J=0.0, Delta=0.5, synapse=nmm.ExponentialSynapse(tau=0.7))
    y = {"r": 0.3, "v": 0.2, "s": 0.5}
    one = nmm.Network(node, [[0.8]], reversal=-3.0)
    ours, own = one.vector_field(jnp.zeros(()), one.state(y)), alone.vector_field(jnp.zeros(()), alone.state(y))
    for name in "rvs":
        np.testing.assert_allclose(getattr(ours, name)[0], getattr(own, name), rtol=1e-13)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: nmm.Network(nmm.MPR(), -W, reversal=1.0), "`weights` must be ≥ 0 to be conductances"),
        (lambda: nmm.Network(nmm.MPR(), W, reversal=[1.0, 2.0, 3.0]), "`reversal` must"),
        (lambda: nmm.energy_landscape(network()), "have an exactly solvable part"),
        (lambda: nmm.network_potential(network(), jnp.ones(2)), "have an exactly solvable part"),
        (lambda: nmm.byrne(k_ei=-1.0), "`k_ei` must be ≥ 0, but got -1"),
        (lambda: nmm.byrne(alpha="x"), r"`alpha` must be a pair \(e, i\)"),
        (lambda: nmm.byrne(alpha=(0.0, 1.0)), "`alpha` must be > 0, but got 0"),
        (lambda: nmm.Network(nmm.MPR(), W, reversal="a"), "`reversal` must be a number or numbers"),
        (lambda: nmm.Network(nmm.MPR(), W, gain=-1.0, reversal=1.0), "`gain` must be ≥ 0 for conductances"),
    ],
)
def test_mistakes_are_one_sentence(call, match, unchecked):
    with pytest.raises(ValueError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
