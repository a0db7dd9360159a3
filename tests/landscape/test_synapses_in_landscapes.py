"""Networks with synapses: resting states stay those of Ψ, and where it is proved that minima stay stable, they do."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.landscape.certificates import synapse_margins
from nmmjax.landscape.potential import eigenvalues_at, hessian

KERNELS = {
    "exponential": lambda tau: nmm.ExponentialSynapse(tau),
    "alpha": lambda tau: nmm.AlphaSynapse(tau / 2),
    "double": lambda tau: nmm.DoubleExponentialSynapse(tau / 4, 3 * tau / 4),
}
DRAWS = {"exponential": 300, "alpha": 1000, "double": 1000}


def draw(rng, kernel, size=3):
    """A network at rest at random rates, with symmetric weights and time constants of any size, and x = ln R there."""
    r, Delta, tau = (10 ** rng.uniform(*ends, size) for ends in ((-1.2, 0.3), (-1.3, 0.3), (-0.3, 0.3)))
    A = rng.normal(size=(size, size)) * 10 ** rng.uniform(-0.5, 1.5)
    M, delay, R = (A + A.T) / 2, 10 ** rng.uniform(-2.5, 1.0), r
    eta = np.pi**2 * R**2 - Delta**2 / (4 * np.pi**2 * R**2) - M @ R
    node = nmm.MPR(synapse=KERNELS[kernel](delay))
    node = nmm.per_node(node, eta=eta, J=np.diag(M), Delta=Delta, tau=tau)
    return nmm.Network(node, M - np.diag(np.diag(M))), np.log(R)


@eqx.filter_jit
def spectrum(network, x):
    return eigenvalues_at(network, x), jnp.linalg.eigvalsh(hessian(network, x))


@pytest.mark.parametrize("kernel", [pytest.param(k, marks=[] if k == "exponential" else pytest.mark.slow) for k in KERNELS])
def test_where_it_is_proved_the_index_counts_the_unstable_eigenvalues(kernel):
    """No violation; beyond the bound minima oscillate."""
    rng, proved, unstable, minima = np.random.default_rng(3), 0, 0, 0
    for _ in range(DRAWS[kernel]):
        network, x = draw(rng, kernel)
        found, slopes = (np.asarray(each) for each in spectrum(network, jnp.asarray(x)))
        index, wrong = int((slopes < 0).sum()), int((found.real > 0).sum())
        if synapse_margins(network, x[None], None)[0] > 0:
            proved += 1
            assert index == wrong
        elif index == 0:
            minima += 1
            unstable += wrong > 0
            assert wrong in (0, 2, 4, 6)  # pairs: by Hopf points only
    assert proved > 100 and minima > 20 and unstable > 5


def test_the_certificate_is_implied_by_the_least_eigenvalue():
    """λ_min(M) ≥ −min_i(Δ_i/πr_i²)/τ implies it for time constants of 1; and all positive semidefinite M have it."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        network, x = draw(rng, "exponential")
        network = eqx.tree_at(lambda each: each.node.tau, network, jnp.ones(3))
        nodes, least = network.nodes(), np.linalg.eigvalsh(np.asarray(network.matrix()))[0]
        bound = -np.min(np.asarray(nodes.Delta) / (np.pi * np.exp(2 * x))) / float(network.node.synapse.tau)
        held = synapse_margins(network, x[None], None)[0]
        assert held > 0 or least < bound
        A = rng.normal(size=(3, 3))
        excited = nmm.Network(eqx.tree_at(lambda each: each.J, network.node, jnp.zeros(3)), A @ A.T)
        assert synapse_margins(excited, x[None], None)[0] > 0


def pair(tau, **options):
    """Two that inhibit each other, through synapses."""
    node = nmm.MPR(eta=5.0, J=0.0, Delta=1.0, synapse=nmm.ExponentialSynapse(tau))
    return nmm.energy_landscape(nmm.Network(node, -15.0 * (1 - np.eye(2))), **options)


@pytest.mark.slow
def test_the_landscape_of_a_network_knows_of_its_synapses():
    """The points of the network without synapses; eigenvalues with them; the statement at every minimum."""
    plain = nmm.energy_landscape(nmm.Network(nmm.MPR(eta=5.0, J=0.0, Delta=1.0), -15.0 * (1 - np.eye(2))))
    fast, slow = pair(0.02), pair(0.5)
    for found in (fast, slow):
        np.testing.assert_allclose(found.minima.r, plain.minima.r, rtol=1e-9)
        np.testing.assert_allclose(found.minima.state.s, found.minima.r, rtol=1e-12)
        np.testing.assert_allclose(found.saddles.energy, plain.saddles.energy, rtol=1e-9)
        assert found.minima.eigenvalues.shape == (2, 6) and found.agreeing == found.checked == 3
    assert np.all(fast.proved_stable()) and "proved for 2 of 2 minima" in repr(fast)
    assert not np.any(slow.proved_stable()) and np.all(slow.minima.stable)  # sufficient, not necessary
    y = jax.tree.map(lambda each: each[0], slow.minima.state)
    flow = slow.network.vector_field(jnp.zeros(()), y)
    np.testing.assert_allclose(jax.tree.leaves(flow), 0, atol=1e-9)
    assert np.isnan(plain.synapse_margin).all() and plain.proved_stable().all()


@pytest.mark.slow
def test_inhibition_makes_a_minimum_oscillate():
    """ING as a network of one node: Ψ is convex, its minimum unstable."""
    node = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
    found = nmm.energy_landscape(nmm.Network(node, np.zeros((1, 1))))
    assert len(found.minima) == 1 and not found.minima.stable[0] and not found.proved_stable()[0]
    assert found.agreeing == 0 and found.checked == 1 and found.single


@pytest.mark.slow
def test_cycles_of_networks_with_synapses_are_found():
    """PING at rest nowhere: all starts go to its cycle of 20.8111911 ms, r_e from 4.667 to 158.66 Hz."""
    found = nmm.energy_landscape(nmm.ping(), cycles=4)
    cycles = found.cycles
    assert len(found.minima) == 0 and len(cycles) == 1 and cycles.counts[0] == 4
    np.testing.assert_allclose(cycles.period, [20.8111911], atol=1e-6)
    np.testing.assert_allclose([cycles.troughs[0, 0], cycles.peaks[0, 0]], [0.004667, 0.15866], atol=6e-6)
    assert cycles.multipliers.shape == (1, 6)
    np.testing.assert_allclose(cycles.multipliers[0, 0], 1.0, atol=1e-6)
    ts, course = cycles.course()
    np.testing.assert_allclose(course.s[-1], course.s[0], rtol=1e-6)
    books = nmm.circulation(nmm.simulate(nmm.ping(), cycles[0], jnp.linspace(0.0, 45.0, 4501), rtol=1e-9, atol=1e-11))
    assert books.gap[-1] < 1e-5 and ts.shape == (401,)


def test_mistakes_are_one_sentence(unchecked):
    conductance = nmm.Network(nmm.coombes_byrne(), np.eye(2))
    with pytest.raises(ValueError, match="without slow terms other than synapses without conductance"):
        nmm.energy_landscape(conductance)
    with pytest.raises(ValueError, match="without slow terms"):
        nmm.ising.predict_ising(nmm.Network(nmm.MPR(synapse=nmm.ExponentialSynapse(0.5)), np.eye(2)), 0.1)
