"""Networks of populations: equations, reductions, solvers, energies with what populations exchange, errors at the door."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central_difference, plain_field, rest_slow, slope
from jax.experimental.sparse import BCOO
from scipy.integrate import solve_ivp

import nmmjax as nmm

WEIGHTS = jax.random.normal(jax.random.key(1), (4, 4))
ETAS, TAUS = jnp.linspace(-1.0, 2.0, 4), jnp.linspace(0.7, 1.5, 4)
PLAIN = nmm.per_node(nmm.MPR(J=3.0, Delta=0.3), eta=ETAS, tau=TAUS)
NETWORKS = {
    "plain": nmm.Network(PLAIN, WEIGHTS),
    "sparse": nmm.Network(PLAIN, BCOO.fromdense(WEIGHTS), gain=0.8),
    "terms": nmm.Network(
        nmm.per_node(
            nmm.MPR(J=3.0, Delta=0.3, gap=nmm.GapJunction(0.2), conductance=nmm.ConductanceSynapse(0.2, -1.0)), eta=ETAS
        ),
        WEIGHTS,
    ),
    "depression": nmm.Network(
        nmm.per_node(nmm.MPR(J=3.0, Delta=0.3, adaptation=nmm.SynapticDepression(0.05, 4.0)), eta=ETAS, tau=TAUS), WEIGHTS
    ),
    "plasticity": nmm.Network(nmm.MPR(J=3.0, Delta=0.3, plasticity=nmm.ShortTermPlasticity(5.0, 9.0, 0.3)), WEIGHTS),
}
Y0 = {"r": jnp.linspace(0.2, 0.6, 4), "v": 0.0}
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


@pytest.mark.parametrize("name", ["plain", "sparse", "terms"])
def test_vector_field_is_the_equations_written_again(name):
    network = NETWORKS[name]
    y = network.state({"r": jnp.linspace(0.2, 0.6, 4), "v": jnp.linspace(-1.0, 1.0, 4)})
    stimulus = network.target(nmm.Constant(0.7), [1, 2])
    flow = network.vector_field(jnp.asarray(0.0), y, stimulus(jnp.asarray(0.0)))
    nodes, r, v = network.nodes(), np.asarray(y.r), np.asarray(y.v)
    taus = np.asarray(nodes.tau)
    W = float(network.gain) * np.asarray(WEIGHTS)
    for i in range(4):
        one = jax.tree.map(lambda each, i=i: each[i], nodes)
        current = sum(W[i, j] * taus[j] * r[j] for j in range(4)) + (0.7 if i in (1, 2) else 0.0)
        np.testing.assert_allclose((flow.r[i], flow.v[i]), plain_field(one, r[i], v[i], current), rtol=1e-13)


def test_a_network_of_one_is_a_population_and_an_uncoupled_one_many():
    ts = jnp.linspace(0.0, 10.0, 21)
    one = nmm.Network(nmm.MPR(eta=1.0, J=1.0, Delta=0.3), jnp.asarray([[3.0]]))
    alone = nmm.simulate(nmm.MPR(eta=1.0, J=4.0, Delta=0.3), {"r": 0.3, "v": 0.0}, ts)
    np.testing.assert_allclose(nmm.simulate(one, {"r": 0.3, "v": 0.0}, ts).ys.r[:, 0], alone.ys.r, rtol=1e-8)
    uncoupled = nmm.Network(nmm.per_node(nmm.MPR(J=4.0, Delta=0.3), eta=jnp.asarray([1.0, 2.0])), jnp.zeros((2, 2)))
    run = nmm.simulate(uncoupled, {"r": 0.3, "v": 0.0}, ts)
    np.testing.assert_allclose(run.ys.r[:, 0], alone.ys.r, rtol=1e-6)


def test_against_scipy():
    network = NETWORKS["plain"]
    W, nodes = np.asarray(WEIGHTS), network.nodes()
    eta, J, Delta, tau = (np.asarray(each) for each in (nodes.eta, nodes.J, nodes.Delta, nodes.tau))

    def field(t, y):
        r, v = np.split(y, 2)
        R = tau * r
        return np.concatenate(
            [(Delta / (np.pi * tau) + 2 * r * v) / tau, (v**2 + eta + J * R + W @ R - (np.pi * R) ** 2) / tau]
        )

    start = np.concatenate([np.linspace(0.2, 0.6, 4), np.zeros(4)])
    end = solve_ivp(field, (0.0, 6.0), start, method="DOP853", rtol=1e-12, atol=1e-13).y[:4, -1]
    run = nmm.simulate(network, Y0, jnp.linspace(0.0, 6.0, 4), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(run.y_end.r, end, rtol=1e-8)
    assert int(run.reached) == 4


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("plain", 2),
        ("sparse", 4),
        pytest.param("plain", 4, marks=pytest.mark.slow),
        pytest.param("terms", 4, marks=pytest.mark.slow),
    ],
)
def test_splitting_has_its_order_with_time_constants_that_differ(name, order):
    network, ts = NETWORKS[name], jnp.linspace(0.0, 4.0, 3)
    true = nmm.simulate(network, Y0, ts, solver=diffrax.Dopri8(), rtol=1e-13, atol=1e-14).y_end.r
    steps, errors = (0.04, 0.02, 0.01), []
    for step in steps:
        end = nmm.simulate(network, Y0, ts, solver=nmm.MobiusSplitting(order), dt0=step).y_end.r
        errors.append(float(jnp.max(jnp.abs(end - true))))
    assert abs(slope(np.log(steps), np.log(errors)) - order) < 0.1
    assert errors[-1] < (1e-4 if order == 2 else 1e-8)


def test_splitting_is_reversible():
    """A step and the same step backwards, at Δ = 0, return to the start: the map is symmetric in time."""
    network = nmm.Network(nmm.MPR(eta=1.0, J=4.0, Delta=0.0), 0.3 * (WEIGHTS + WEIGHTS.T))
    term, solver = nmm.extend.PopulationTerm(network), nmm.MobiusSplitting(4)
    y0 = network.state(Y0)
    there, _ = solver.advance(term, jnp.asarray(0.0), jnp.asarray(0.3), y0)
    back, _ = solver.advance(term, jnp.asarray(0.3), jnp.asarray(0.0), there)
    np.testing.assert_allclose(back.r, y0.r, rtol=1e-13)
    np.testing.assert_allclose(back.v, y0.v, atol=1e-13)


@pytest.mark.parametrize("name", rest_slow(NETWORKS, "sparse"))
def test_energy_of_every_population_is_balanced(name):
    network = NETWORKS[name]
    stimulus = network.target(nmm.Pulse(2.0, 1.0, 2.5), [1, 3]) + nmm.Sinusoid(0.5, 1.0)
    run = nmm.simulate(network, Y0, jnp.linspace(0.0, 4.0, 41), stimulus=stimulus, rtol=1e-10, atol=1e-12)
    balance = nmm.energy_balance(run)
    assert balance.energy.shape == (41, 4) and balance.exchange is not None
    assert float(balance.relative) < 2e-9 and float(balance.network.relative) < 2e-9
    power = nmm.mechanics.exchange_power(network, run.ys)
    assert power.shape == (41, 4, 4)
    np.testing.assert_allclose(jnp.diagonal(power, axis1=1, axis2=2), 0.0)
    np.testing.assert_allclose(jnp.sum(power, axis=-1), nmm.mechanics.received_power(network, run.ys), atol=1e-11)


@networks
def test_energy_changes_by_heat_slow_variables_and_what_others_deliver(network):
    """dE_i/dt along the flow, by autodiff, against the powers: the sum rule, population by population."""
    y = network.state({"r": jnp.linspace(0.2, 0.6, 4), "v": jnp.linspace(-0.5, 0.5, 4)})
    flow = network.vector_field(jnp.asarray(0.0), y)
    rate = jax.jvp(lambda each: nmm.total_energy(network, each), (y,), (flow,))[1]
    slow = sum(nmm.mechanics.slow_power(network, y).values(), jnp.zeros(4))
    np.testing.assert_allclose(
        rate, nmm.mechanics.received_power(network, y) + slow - nmm.mechanics.heat_rate(network, y), atol=1e-11
    )


def test_gradient_flows_through_weights_and_gain():
    ts = jnp.linspace(0.0, 2.0, 3)

    def end(gain):
        network = nmm.Network(PLAIN, WEIGHTS, gain=gain)
        return jnp.sum(nmm.simulate(network, Y0, ts, rtol=1e-11, atol=1e-13).y_end.r)

    expected = central_difference(lambda gain: float(end(gain)), 0.8, 1e-4)
    np.testing.assert_allclose(jax.grad(end)(0.8), expected, rtol=1e-6)


@pytest.mark.slow
def test_float32_network():
    network = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), NETWORKS["plain"])
    run = nmm.simulate(network, {name: jnp.asarray(value, jnp.float32) for name, value in Y0.items()}, jnp.linspace(0, 4, 5))
    assert run.ys.r.dtype == jnp.float32
    twin = nmm.simulate(NETWORKS["plain"], Y0, jnp.linspace(0, 4, 5))
    np.testing.assert_allclose(run.ys.r, twin.ys.r, rtol=3e-3)


def test_dataset_has_nodes():
    pytest.importorskip("xarray")
    network = NETWORKS["depression"]
    run = nmm.simulate(network, Y0, jnp.linspace(0.0, 1.0, 5), stimulus=network.target(nmm.Constant(1.0), 0))
    data = run.to_xarray()
    assert data["r"].dims == ("t", "node") and data["total_energy"].shape == (5, 4) and data["A"].attrs["units"] == "1"
    np.testing.assert_allclose(data["I"][:, 0], 1.0)
    np.testing.assert_allclose(data["I"][:, 1], 0.0)
    assert len(data.attrs["weights"]) == 16 and data.attrs["node.eta"] == ETAS.tolist()


def test_helpers():
    trio = nmm.mutual_inhibition(eta=5.0, J_self=1.0, J_cross=-15.0, size=3)
    np.testing.assert_allclose(trio.matrix(), [[1, -15, -15], [-15, 1, -15], [-15, -15, 1]])
    assert float(trio.asymmetry()) == 0.0
    # Sanz Perl et al. 2023 without long-range input (models.md of the notes): a stable focus.
    ping = nmm.excitatory_inhibitory(eta=(30.0, 40.0), J_ee=50.0, J_ie=20.0, J_ei=-20.0, J_ii=-20.0, Delta=(40.0, 47.0))
    assert float(ping.asymmetry()) == 40.0
    r = jnp.asarray([4.50470422, 2.84774362])
    y = ping.state({"r": r, "v": -jnp.asarray([40.0, 47.0]) / (2 * jnp.pi * r)})
    np.testing.assert_allclose(ping.vector_field(jnp.asarray(0.0), y).v, 0.0, atol=2e-6)


REFUSED = {
    "square": (
        lambda: nmm.Network(nmm.MPR(), jnp.ones((2, 3))),
        r"`weights` must be of the shape \(n, n\), but got \(2, 3\)",
    ),
    "NaN": (lambda: nmm.Network(nmm.MPR(), [[0.0, np.nan], [0.0, 0.0]]), r"`weights` must be finite, without NaN"),
    "words": (lambda: nmm.Network(nmm.MPR(), "ring"), r"`weights` must be an array of numbers"),
    "nodes": (lambda: nmm.Network(PLAIN, jnp.ones((3, 3))), r"`eta` must be a number or one per node, \(3,\)"),
    "bounds": (lambda: nmm.per_node(nmm.MPR(), Delta=[1.0, -1.0]), r"`Delta` must be ≥ 0"),
    "name": (lambda: nmm.per_node(nmm.MPR(), beta=[1.0]), r"`beta` must be one of the parameters `eta`"),
    "axis": (lambda: nmm.per_node(nmm.MPR(), eta=1.0), r"`eta` must be an array of numbers with 1 axis"),
    "target": (lambda: NETWORKS["plain"].target(nmm.Constant(1.0), 4), r"`node` must be an integer from 0 to 3, but got 4"),
    "state": (
        lambda: NETWORKS["plain"].state({"r": [1.0, 2.0], "v": 0.0}),
        r"`r` must be a number or an array of shape \(4,\)",
    ),
    "rate": (lambda: NETWORKS["plain"].state({"r": [1.0, 2.0, -1.0, 1.0], "v": 0.0}), r"`r` must be > 0"),
    "sign": (lambda: nmm.mutual_inhibition(J_cross=3.0), r"`J_cross` must be ≤ 0"),
    "Dale": (
        lambda: nmm.excitatory_inhibitory(eta=(1.0, 1.0), J_ee=1.0, J_ei=1.0, J_ie=1.0, J_ii=-1.0),
        r"`J_ei` must be ≤ 0",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_errors_at_the_door(make, message, unchecked):
    with pytest.raises(ValueError, match=message):
        make()


def test_many_pairs_are_each_a_pair_that_receives_from_the_others():
    given = {"eta": (4.0, 1.0), "J_ee": 2.0, "J_ei": -12.0, "J_ie": 10.0, "J_ii": -1.0, "tau": (1.0, 1.5)}
    given |= {"synapse": nmm.ExponentialSynapse(tau=0.5)}
    C = np.array([[0.0, 0.7, 0.1], [0.2, 0.0, 0.0], [0.3, 0.4, 0.0]])
    many, one = nmm.excitatory_inhibitory(**given, pairs=C, names=("e", "i")), nmm.excitatory_inhibitory(**given)
    rng = np.random.default_rng(1)
    y = {name: rng.uniform(0.1, 1.0, (2, 3)) for name in "rvs"}
    flow = many.vector_field(jnp.zeros(()), many.state({name: each.ravel() for name, each in y.items()}))
    for k in range(3):
        pair = one.state({name: each[:, k] for name, each in y.items()})
        own = one.vector_field(jnp.zeros(()), pair, jnp.asarray([C[k] @ y["s"][0], 0.0]))
        for name in "rvs":
            np.testing.assert_allclose(getattr(flow, name).reshape(2, 3)[:, k], getattr(own, name), rtol=1e-12)
    assert many.names == ("e0", "e1", "e2", "i0", "i1", "i2")
    with pytest.raises(ValueError, match="`pairs` must be ≥ 0"):
        nmm.excitatory_inhibitory(**given, pairs=-C)
