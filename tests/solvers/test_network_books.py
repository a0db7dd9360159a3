"""Where the energy of a whole network goes, for weights of any kind and every slow term; the work of E–I loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import slope
from jax.experimental.sparse import BCOO

import nmmjax as nmm
from nmmjax.mechanics import network_energy, network_power, synaptic_store

RNG = np.random.default_rng(5)
W = RNG.normal(size=(3, 3)) * 3
TERMS = {
    "gap": nmm.GapJunction(0.3),
    "conductance": nmm.ConductanceSynapse(0.4, -1.0),
    "leak": nmm.Leak(0.2, 1.0),
    "coupling_heterogeneity": nmm.CouplingHeterogeneity(0.7),
}
SLOW = {"s": [0.3, 0.5, 0.9], "z": [0.4, 0.2, 0.8], "A": [0.1, 0.2, 0.1], "B": [0.0, 0.1, 0.1]}
SLOW |= {"x": [0.9, 0.5, 0.7], "u": [0.5, 0.4, 0.3], "w": [0.3, 0.5, 0.9]}
NODES = {
    "plain": nmm.MPR(),
    "every instantaneous term": nmm.MPR(**TERMS),
    "synapse": nmm.MPR(synapse=nmm.ExponentialSynapse(0.4)),
    "conductance of a synapse": nmm.MPR(synapse=nmm.ExponentialSynapse(0.4, 0.7, -1.0), **TERMS),
    "recovery": nmm.MPR(adaptation=nmm.RecoveryCurrent(0.1, 0.3, 0.2)),
    "all that is slow": nmm.MPR(
        synapse=nmm.AlphaSynapse(0.4),
        adaptation=nmm.SynapticDepression(0.1, 3.0),
        plasticity=nmm.ShortTermPlasticity(1.0, 2.0, 0.3),
    ),
}


def network_of(node, weights=W):
    return nmm.Network(nmm.per_node(node, tau=[1.0, 1.7, 0.6], J=[2.0, -1.0, 0.4], Delta=[0.3, 0.8, 1.2]), weights, 0.7)


def state_of(model):
    return model.state({"r": [0.4, 0.7, 1.1], "v": [0.2, -0.5, 1.0]} | {name: SLOW[name] for name in model.slow_names})


def along(function, model, y, I):
    """d/dt of a function of the state along the flow."""
    return jax.jvp(function, (y,), (model.vector_field(jnp.zeros(()), y, I),))[1]


@pytest.mark.parametrize("name", NODES)
def test_the_energy_of_a_network_changes_by_its_powers(name):
    """For directed weights, time constants that differ and every term, at constant input."""
    model, I = network_of(NODES[name]), jnp.asarray([0.3, -0.2, 0.1])
    y = state_of(model)
    power = network_power(model, y)
    total = sum(jnp.sum(-each if kind == "friction" else each) for kind, each in power.items())
    np.testing.assert_allclose(along(lambda y: network_energy(model, y, I), model, y, I), total, rtol=1e-12)
    kept = {"friction", "parametric", "circulation"} | ({"synapse"} if model.slow_names else set())
    assert set(power) == kept | ({"slow"} if name in ("conductance of a synapse", "recovery", "all that is slow") else set())


def test_first_order_synapses_store_what_lags():
    """Work of the synapses = −d(store)/dt − Σ Z_ij τ_s Ṡ_i Ṡ_j, and no other term has this store."""
    model = network_of(NODES["synapse"])
    y = state_of(model)
    flow = model.vector_field(jnp.zeros(()), y)
    Z, S = (model.matrix() + model.matrix().T) / 2, model.nodes().tau * flow.s
    loss = 0.4 * S @ Z @ S
    store = along(lambda y: synaptic_store(model, y), model, y, 0.0)
    np.testing.assert_allclose(jnp.sum(network_power(model, y)["synapse"]), -store - loss, rtol=1e-12)
    others = [network_of(NODES[name]) for name in ("plain", "recovery")]
    assert all(synaptic_store(each, state_of(each)) is None for each in others)


def test_symmetric_weights_circulate_nothing_and_dense_and_sparse_agree():
    sparse = network_of(nmm.MPR(), BCOO.fromdense(jnp.asarray(W)))
    y = state_of(sparse)
    for kind, each in network_power(sparse, y).items():
        np.testing.assert_allclose(each, network_power(network_of(nmm.MPR()), y)[kind], rtol=1e-12)
    assert np.all(network_power(network_of(nmm.MPR(), W + W.T), y)["circulation"] == 0)
    symmetric = network_of(nmm.MPR(), W + W.T)
    still = y.replace(v=symmetric.nodes().voltage_at_rate(symmetric.nodes().tau * y.r))
    np.testing.assert_allclose(network_energy(symmetric, still), nmm.network_potential(symmetric, y.r), rtol=1e-12)


def pulsed(model, T=20.0):
    given = {"rtol": 1e-10, "atol": 1e-12, "stimulus": model.target(nmm.Pulse(1.0, 2.5, 7.0), 0)}
    return nmm.simulate(model, {"r": 0.2, "v": -0.5}, jnp.linspace(0.0, T, 101), **given)


CIRCUITS = {
    "ping": nmm.ping,
    "pair": lambda: nmm.excitatory_inhibitory(
        eta=(1.0, -2.0), J_ee=3.0, J_ei=-10.0, J_ie=9.0, J_ii=-2.0, Delta=(0.5, 0.7), tau=(1.0, 1.5),
        synapse=nmm.ExponentialSynapse(0.4),
    ),
    "directed": lambda: network_of(nmm.MPR(eta=-1.0), W / 3),
    "izhikevich": lambda: nmm.Network(nmm.izhikevich(), 0.02 * (1 - np.eye(2))),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CIRCUITS)
def test_books_of_a_network_close_along_runs(name):
    """To 1e-8 at rtol 1e-10, under a stimulus with jumps."""
    balance = nmm.energy_balance(pulsed(CIRCUITS[name]()))
    books = balance.network
    assert books.relative < 1e-8 and balance.relative < 1e-8
    assert np.all(np.diff(books.friction, axis=0) >= 0)
    np.testing.assert_allclose(books.energy, network_energy(*_seen(CIRCUITS[name]())), rtol=1e-12)
    if name == "pair":
        # The mutual part of its weights, (3, −.5; −.5, −2), is not positive semidefinite, so synapses pump, too.
        assert books.slow is None and "synapse" in repr(books) and "circulation" in repr(balance)
        np.testing.assert_allclose(books.dissipated + books.stored - books.stored[0], -books.synapse.sum(axis=1), atol=1e-12)
    if name == "ping":
        assert np.all(books.stored == 0) and np.all(books.synapse == 0)  # all of its weights circulate


def _seen(model):
    run = pulsed(model)
    return model, run.ys, run.input


@pytest.mark.slow
def test_synapses_of_a_positive_semidefinite_network_only_dissipate():
    A = RNG.normal(size=(3, 3))
    model = nmm.Network(nmm.MPR(eta=-2.0, J=0.0, Delta=0.5, synapse=nmm.ExponentialSynapse(0.7)), A @ A.T)
    books = nmm.energy_balance(pulsed(model)).network
    assert np.all(np.diff(books.dissipated) >= -1e-9) and books.dissipated[-1] > 0.01


def theory_pair(factor, r=0.5, Delta=0.3):
    """Two equal populations at rest at r, of `factor` times the coupling at the Hopf point."""
    a = Delta / (np.pi * r)
    J = factor * a / r * np.sqrt((2 * np.pi * r) ** 2 + a**2)
    weights = np.array([[0.0, -J], [J, 0.0]])
    eta = np.pi**2 * r**2 - Delta**2 / (4 * np.pi**2 * r**2) - weights @ np.array([r, r])
    return nmm.Network(nmm.per_node(nmm.MPR(J=0.0, Delta=Delta), eta=eta), weights, names=("E", "I")), J


@pytest.mark.slow
def test_an_e_i_loop_lives_on_the_area_it_encloses():
    """10 % beyond the Hopf point: 2J·area = .743947 = friction − parametric, per cycle."""
    model, J = theory_pair(1.1)
    y = nmm.simulate(model, {"r": [0.55, 0.45], "v": 0.0}, [0.0, 600.0], rtol=1e-10, atol=1e-12).y_end
    run = nmm.simulate(model, y, jnp.linspace(0.0, 10.0, 5001), rtol=1e-11, atol=1e-13)
    found = nmm.circulation(run, nodes=("E", "I"))
    np.testing.assert_allclose(2 * J * found.area, 0.743947, atol=5e-7)
    np.testing.assert_allclose(found.work, 2 * J * found.area, rtol=1e-12)
    assert np.all(found.gap < 1e-6) and found.labels == ("E", "I")
    np.testing.assert_allclose(nmm.circulation(run, nodes=(1, 0)).work, 0.743947, atol=5e-7)
    cycle = nmm.simulate(model, y, np.concatenate([[0.0], found.time]), rtol=1e-11, atol=1e-13)
    books = nmm.energy_balance(cycle).network
    friction, parametric, circulated = (
        np.diff(np.asarray(each).sum(axis=1))[1:] for each in (books.friction, books.parametric, books.circulation)
    )
    np.testing.assert_allclose(friction - parametric, 0.743947, atol=5e-7)
    np.testing.assert_allclose(circulated, 0.743947, atol=5e-7)


def test_circulation_is_the_line_of_the_books_and_of_order_4():
    """Loop by loop, with synapses; and the error falls with the fourth power of the distance of saved times."""
    run = nmm.simulate(nmm.ping(), {"r": 0.02, "v": -1.0}, jnp.linspace(0.0, 50.0, 3201), rtol=1e-10, atol=1e-12)

    def thinned(stride):
        columns = lambda run: (run.ts, run.elapsed, run.ys)
        return eqx.tree_at(columns, run, jax.tree.map(lambda each: each[::stride], columns(run)))

    strides = np.array([8, 4, 2])
    finest = nmm.circulation(run, nodes=("e", "i")).work
    errors = [np.abs(nmm.circulation(thinned(each)).work - finest).max() for each in strides]
    assert slope(np.log(strides), np.log(errors)) > 3.5 and errors[-1] < 1e-3
    assert np.all(finest > 0) and finest.size == 1
    data = nmm.circulation(run).to_xarray()
    assert data.sizes == {"t": run.ts.size, "node": 2, "loop": 1} and list(data.node.values) == ["e", "i"]
    np.testing.assert_allclose(data.area * data.curl, data.work)


def test_what_does_not_loop_has_no_work():
    run = nmm.simulate(nmm.Network(nmm.MPR(), W[:2, :2] / 10), {"r": 0.05, "v": -1.9}, jnp.linspace(0.0, 1.0, 11))
    found = nmm.circulation(run)
    assert found.area.size == 0 and "fewer than two peaks" in repr(found) and found.to_xarray().sizes["loop"] == 0


def test_mistakes_are_one_sentence(unchecked):
    single = nmm.simulate(nmm.MPR(), {"r": 0.1, "v": -1.9}, [0.0, 1.0])
    pair = nmm.simulate(nmm.mutual_inhibition(), {"r": [0.6, 0.1], "v": 0.0}, [0.0, 1.0])
    for call, text in [
        (lambda: nmm.circulation(single), "`run` must be a `Network`"),
        (lambda: nmm.circulation("run"), "be a run of a network"),
        (lambda: nmm.circulation(pair, nodes=(0, 0)), "be two different nodes"),
        (lambda: nmm.circulation(pair, nodes=3), "be two nodes of the network"),
        (lambda: nmm.circulation(pair, nodes=(0, 5)), "`nodes`"),
        (lambda: network_power(single.model, single.ys), "be a `Network`"),
    ]:
        with pytest.raises(ValueError, match=text):
            call()
