"""Hopf points of filtered coupling: closed forms, published tables, eigenvalues of the whole system."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.equilibria.stability import jacobian
from nmmjax.mechanics import hopf_coupling, pair_hopf_coupling

RNG = np.random.default_rng(11)
TABLE = {  # (η, J) = (4, −21): synapse, Δ, R, ω
    "first order, T = 0.5": (nmm.ExponentialSynapse(tau=0.5), 0.47427526, 0.18287209, 2.30301287),
    "first order, T = 0.25": (nmm.ExponentialSynapse(tau=0.25), 0.3733837, 0.18035785, 2.64391015),
    "second order, T = 0.5": (nmm.AlphaSynapse(tau=0.5), 0.7196708, 0.19059938, 1.81648038),
    "second order, T = 0.25": (nmm.AlphaSynapse(tau=0.25), 0.64779925, 0.18814041, 2.34112121),
}
DELAYS = {  # η = 1, Δ = .1: delay, J, r, ω
    3.0: (-2.3920482, 0.22019075, 0.95846589),
    2.0: (-1.53916343, 0.25037046, 1.34155113),
    1.5: (1.01961794, 0.37441201, 2.48543319),
}


def draws(*ends):
    return jnp.asarray(10 ** RNG.uniform(*ends, 1000))


def test_first_order_has_its_closed_form():
    """J = −Δ (1 + ω²τ_s²)/(π r² τ_s), ω² = a² + 2a/τ_s + 4π² r²; 1000 draws, and the only point."""
    r, Delta, tau = draws(-1.3, 0.3), draws(-1.3, 0.3), draws(-1.7, 0.7)
    found = jax.vmap(lambda r, Delta, tau: hopf_coupling(nmm.ExponentialSynapse(tau), r, Delta))(r, Delta, tau)
    a = Delta / (np.pi * r)
    omega = np.sqrt(a**2 + 2 * a / tau + 4 * np.pi**2 * r**2)
    np.testing.assert_allclose(found.omega[:, 0], omega, rtol=1e-10)
    np.testing.assert_allclose(found.coupling[:, 0], -Delta * (1 + omega**2 * tau**2) / (np.pi * r**2 * tau), rtol=1e-10)
    assert np.isnan(found.omega[:, 1:]).all()


@pytest.mark.parametrize("name", TABLE)
def test_tables_of_synapses(name):
    synapse, Delta, R, omega = TABLE[name]
    found = hopf_coupling(synapse, R, Delta)
    np.testing.assert_allclose([found.coupling[0], found.omega[0], found.eta[0]], [-21.0, omega, 4.0], rtol=2e-7)
    # In milliseconds: τ = 10, the synapse as much slower.
    slower = jax.tree.map(lambda each: 10.0 * each, synapse)
    found = hopf_coupling(slower, R / 10, Delta, tau=10.0)
    np.testing.assert_allclose([found.coupling[0], found.omega[0], found.eta[0]], [-21.0, omega / 10, 4.0], rtol=2e-7)


@pytest.mark.parametrize("delay", DELAYS)
def test_tables_of_delays(delay):
    """A function as filter; a delay has infinitely many points, and excitation can oscillate, too."""
    J, r, omega = DELAYS[delay]
    found = hopf_coupling(lambda rate: jnp.exp(-delay * rate), r, 0.1, count=5)
    k = int(np.argmin(np.abs(found.omega - omega)))
    np.testing.assert_allclose([found.coupling[k], found.omega[k], found.eta[k]], [J, omega, 1.0], rtol=2e-7)
    assert np.all(np.isfinite(found.omega)) and np.any(found.coupling > 0)


def test_a_double_exponential_has_eigenvalues_on_the_axis():
    synapse = nmm.DoubleExponentialSynapse(0.3, 1.1)
    found = hopf_coupling(synapse, 0.3, 0.4, tau=1.4)
    model = nmm.MPR(eta=found.eta[0], J=found.coupling[0], Delta=0.4, tau=1.4, synapse=synapse)
    values = np.linalg.eigvals(np.asarray(jacobian(model, nmm.find_fixed_point(model, {"r": 0.3, "v": -0.15}))))
    leading = values[np.argmin(np.abs(values.real))]
    np.testing.assert_allclose([leading.real, abs(leading.imag)], [0.0, found.omega[0]], atol=1e-9)
    slope = jax.grad(lambda r: hopf_coupling(synapse, r, 0.4, tau=1.4).coupling[0])(0.3)
    ends = [hopf_coupling(synapse, r, 0.4, tau=1.4).coupling[0] for r in (0.3 - 1e-5, 0.3 + 1e-5)]
    np.testing.assert_allclose(slope, (ends[1] - ends[0]) / 2e-5, rtol=1e-7)


def test_ping_has_its_closed_form():
    """√|J_ei J_ie| = a ω/r, ω² = Ω² + a²; 1000 draws."""
    r, Delta, share = draws(-1.3, 0.3), draws(-1.3, 0.3), jnp.asarray(RNG.uniform(-2, 0.95, 1000))
    own = share * 2 * np.pi**2 * r  # Ω² = 4π²r² − 2rJ_self > 0
    found = jax.vmap(lambda r, Delta, own: pair_hopf_coupling(None, r, Delta, own))(r, Delta, own)
    a = Delta / (np.pi * r)
    omega = np.sqrt(4 * np.pi**2 * r**2 - 2 * r * own + a**2)
    np.testing.assert_allclose(found.omega[:, 0], omega, rtol=1e-12)
    np.testing.assert_allclose(found.coupling[:, 0], a * omega / r, rtol=1e-12)


def test_a_pair_with_synapses_has_eigenvalues_on_the_axis():
    synapse, r, Delta, own = nmm.ExponentialSynapse(0.3), 0.5, 0.3, 2.0
    found = pair_hopf_coupling(synapse, r, Delta, own)
    J = found.coupling[0]
    sums = np.array([own - J, own + J])
    eta = np.pi**2 * r**2 - Delta**2 / (4 * np.pi**2 * r**2) - sums * r
    network = nmm.excitatory_inhibitory(
        eta=tuple(eta), J_ee=own, J_ei=-J, J_ie=J, J_ii=0.0, Delta=(Delta, Delta), synapse=synapse
    )
    network = nmm.Network(nmm.per_node(network.node, J=np.array([own, own])), network.weights)
    y = nmm.find_fixed_point(network, {"r": r, "v": -Delta / (2 * np.pi * r), "s": r})
    np.testing.assert_allclose(y.r, r, rtol=1e-9)
    values = np.linalg.eigvals(np.asarray(jacobian(network, y)))
    leading = values[np.argmax(values.real)]
    np.testing.assert_allclose([leading.real, abs(leading.imag)], [0.0, found.omega[0]], atol=1e-8)
    assert found.eta is None and "J =" in repr(found)


def test_mistakes_are_one_sentence(unchecked):
    for call, text in [
        (lambda: hopf_coupling(None, 0.3, 0.4), "Argument `filter` must be a synapse or a function of λ"),
        (lambda: hopf_coupling(3.0, 0.3, 0.4), "Argument `filter` must be a synapse or a function of λ"),
        (lambda: hopf_coupling(nmm.ExponentialSynapse(1.0), -0.3, 0.4), "Argument `r` must be > 0"),
        (lambda: pair_hopf_coupling(None, 0.3, 0.0), "Argument `Delta` must be > 0"),
        (lambda: pair_hopf_coupling(None, 0.3, 0.1, count=0), "Argument `count`"),
    ]:
        with pytest.raises(ValueError, match=text):
            call()
    assert "no Hopf point" in repr(hopf_coupling(lambda rate: jnp.ones_like(rate), 0.3, 0.4))
