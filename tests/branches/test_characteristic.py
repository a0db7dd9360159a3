"""Characteristic roots of networks with delays against closed forms, determinants and the whole Jacobian."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow
from outside.fitzhugh_nagumo import FitzHughNagumo

import nmmjax as nmm
from nmmjax.equilibria.delays import leading_roots, linearized_with_delays
from nmmjax.equilibria.stability import jacobian
from nmmjax.landscape.certificates import delay_margins
from nmmjax.numerics.delayed import count_right_of, problem

HOPF = {  # Δ, D: J, r, ω at η = 1
    (0.1, 3.0): (-2.3920482, 0.22019075, 0.95846589),
    (0.1, 2.0): (-1.53916343, 0.25037046, 1.34155113),
    (0.1, 1.5): (1.01961794, 0.37441201, 2.48543319),
}


def one_node(J, Delta, delay, eta=1.0):
    """A population whose coupling to itself is late."""
    return nmm.Network(nmm.MPR(eta=eta, J=0.0, Delta=Delta), [[1.0]], gain=J, delay=delay)


def random_network(n, seed=0, strength=3.0, synapse=None, tau=1.0):
    rng = np.random.default_rng(seed)
    W, D = rng.standard_normal((n, n)), rng.uniform(0.0, 2.0, (n, n))
    D[0] = 0.0  # node 0 receives at once
    node = nmm.per_node(nmm.MPR(J=1.0, Delta=1.0, tau=tau, synapse=synapse), eta=rng.uniform(-1.0, 3.0, n))
    return nmm.Network(node, W, strength / n, delay=D)


def determinant(network, y, rates):
    """det(λ − A − Σ B_ij e^(−λ D_ij)) of the whole network, by a Jacobian of every pair."""
    now, n = network.undelayed(), network.size
    whole = np.asarray(jacobian(now, y))
    alone = np.asarray(jacobian(nmm.Network(now.node, 0 * now.weights), y))
    received = np.asarray(now.apply(now.sent(y)))
    alone = np.asarray(jacobian(nmm.Network(nmm.per_node(now.node, eta=now.nodes().eta + received), 0 * now.weights), y))
    late, times = whole - alone, np.tile(np.asarray(network.coupling.delays()), (whole.shape[0] // n,) * 2)
    return np.array([np.linalg.det(rate * np.eye(whole.shape[0]) - alone - late * np.exp(-rate * times)) for rate in rates])


@pytest.mark.parametrize(("Delta", "D"), HOPF)
def test_golden_hopf_points_have_roots_on_the_axis(Delta, D):
    J, r, omega = HOPF[Delta, D]
    found = nmm.characteristic_roots(one_node(J, Delta, D), guess={"r": r, "v": -0.1})
    assert float(found.state.r[0]) == pytest.approx(r, abs=1e-8) and found.complete
    assert abs(complex(found.rightmost) - 1j * omega) < 2e-8
    assert float(jnp.max(found.change)) < 1e-13


@pytest.mark.parametrize("right_of", [-0.3, -3.0])
def test_every_root_solves_the_equation_and_none_is_missing(right_of):
    """(λ − 2v)² + 4π²r² = 2 r J e^(−λD), whose zeros right of the line the argument principle counts on its own contour."""
    found = nmm.characteristic_roots(one_node(-2.8, 0.1, 3.0), right_of=right_of)
    r, v = float(found.state.r[0]), float(found.state.v[0])
    function = lambda x: (x - 2 * v) ** 2 + 4 * np.pi**2 * r**2 + 5.6 * r * np.exp(-3.0 * x)
    roots = np.asarray(found.roots)
    np.testing.assert_allclose(np.abs(function(roots)) / np.abs(1 + 5.6 * r * np.exp(-3.0 * roots)), 0.0, atol=1e-12)
    high, right, points = 130.0, 30.0, 40_001
    corners = [right_of - 1j * high, right - 1j * high, right + 1j * high, right_of + 1j * high, right_of - 1j * high]
    path = np.concatenate([np.linspace(a, b, points) for a, b in itertools.pairwise(corners)])
    turns = np.sum(np.angle(function(path[1:]) / function(path[:-1]))) / (2 * np.pi)
    assert found.complete and found.count == round(turns) == roots.size
    assert found.unstable == 2 and not found.stable


NETWORKS = {
    "instantaneous": {},
    "alpha": {"synapse": nmm.AlphaSynapse(tau=0.7)},
    "time constants": {"tau": 1.7},
    "exponential": {"synapse": nmm.ExponentialSynapse(tau=0.4), "tau": 0.6},
}


@pytest.mark.parametrize("name", rest_slow(NETWORKS, "alpha"))
def test_networks_with_a_delay_for_every_pair(name):
    network = random_network(4, **NETWORKS[name])
    found = nmm.characteristic_roots(network, guess={"r": 0.3, "v": -0.3})
    assert found.complete and found.roots.size >= 4
    roots = np.asarray(found.roots)
    slope = (determinant(network, found.state, roots + 1e-5) - determinant(network, found.state, roots - 1e-5)) / 2e-5
    np.testing.assert_allclose(np.abs(determinant(network, found.state, roots) / slope), 0.0, atol=1e-8)
    compiled = np.asarray(leading_roots(linearized_with_delays(network, found.state)))[:4]
    assert np.abs(compiled[:, None] - roots).min(axis=1).max() < 1e-6


def test_without_delays_roots_are_eigenvalues():
    network = random_network(5)
    now = nmm.characteristic_roots(network.undelayed(), guess={"r": 0.3, "v": -0.3})
    whole = np.linalg.eigvals(np.asarray(jacobian(network.undelayed(), now.state)))
    assert now.roots.size == whole.size
    assert np.abs(np.asarray(now.roots)[:, None] - whole).min(axis=1).max() < 1e-10
    zero = nmm.characteristic_roots(nmm.Network(network.node, network.weights, network.gain, delay=0.0), guess=now.state)
    np.testing.assert_allclose(zero.roots, now.roots, rtol=1e-12)
    assert now.complete and "eigenvalues" in str(now)


def test_roots_that_fall_together_are_counted_as_often():
    """Five equal nodes, all to all: the modes of sum 0 are four of one root."""
    network = nmm.Network(nmm.MPR(eta=1.0, J=0.0, Delta=0.5), np.ones((5, 5)) - np.eye(5), 0.5, delay=1.5)
    found = nmm.characteristic_roots(network)
    assert found.complete and found.count == found.roots.size
    modes = nmm.master_stability(network, guess={"r": 0.3, "v": -0.3})
    rates, roots = np.asarray(modes.mode_exponents).ravel(), np.asarray(found.roots)
    rates = rates[rates.real > float(found.right_of) + 1e-6]
    assert rates.size and all(np.sum(np.abs(roots - rate) < 1e-8) == np.sum(np.abs(rates - rate) < 1e-8) for rate in rates)
    assert np.max(np.abs(np.asarray(modes.delay) - 1.5)) == 0
    with pytest.raises(ValueError, match="Argument `delay` must be 0 for a network with delays of its own"):
        nmm.master_stability(network, guess={"r": 0.3, "v": -0.3}, delay=1.0)
    with pytest.raises(ValueError, match="Argument `model` must have one delay for all pairs"):
        nmm.master_stability(nmm.Network(network.node, network.weights, delay=jnp.eye(5) + jnp.triu(jnp.ones((5, 5)))),
                             guess={"r": 0.3, "v": -0.3})  # fmt: skip


def test_a_mode_says_who_takes_part():
    """Two pairs that see only themselves: roots of either have no share of the other."""
    W = np.kron(np.eye(2), np.array([[0.0, -3.0], [-3.0, 0.0]]))
    node = nmm.per_node(nmm.MPR(J=0.0, Delta=0.3), eta=np.array([1.0, 1.0, 2.0, 2.0]))
    found = nmm.characteristic_roots(nmm.Network(node, W, delay=1.0), guess={"r": 0.2, "v": -0.3})
    shares = np.abs(np.asarray(found.modes)).reshape(-1, 2, 2).max(axis=2)
    np.testing.assert_allclose(shares.max(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(shares.min(axis=1), 0.0, atol=1e-7)


def test_many_delays():
    """12 regions, every pair with a delay of its own: all roots right of the line, and that the state is stable."""
    brain = nmm.Network(
        nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, tau=10.0), nmm.random_connectome(12, key=jax.random.key(0)), gain=2.0, speed=6.0
    )
    found = nmm.characteristic_roots(brain)
    assert found.complete and found.stable and found.roots.size
    assert count_right_of(problem(linearized_with_delays(brain, found.state)), 0.0) == 0
    assert count_right_of(problem(linearized_with_delays(brain, found.state)), 0.0, work=1e3) is None
    data = found.to_xarray()
    assert data.mode_real.dims == ("root", "node") and list(data.node.values) == list(brain.labels)


@pytest.mark.slow
def test_other_nodes():
    """FitzHugh–Nagumo oscillators, whose states have other names: uniform modes are those of the master stability."""
    ring = np.roll(np.eye(3), 1, axis=1)
    network = nmm.Network(FitzHughNagumo(a=0.0, b=2.0), ring, 0.2, delay=0.5)
    guess = {"V": -1.2, "w": -0.6}
    found = nmm.characteristic_roots(network, guess=guess, right_of=-0.5)
    modes = nmm.master_stability(network, guess=guess)
    assert found.complete and found.roots.size
    distance = np.abs(np.asarray(found.roots)[:, None] - np.asarray(modes.mode_exponents).ravel())
    assert distance.min(axis=1).max() < 1e-9


@pytest.mark.slow
def test_landscapes_know_of_delays():
    """Minima stay minima of Ψ, whatever the delays, but may oscillate; below the bound it is proved that they don't."""
    pair = nmm.mutual_inhibition()
    short = nmm.energy_landscape(nmm.Network(pair.node, pair.weights, delay=0.02))
    assert short.proved_stable().all() and short.checked == short.agreeing == 3
    assert "no delay of the coupling up to theirs makes them oscillate" in str(short)
    alone = nmm.Network(nmm.MPR(eta=1.0, J=0.0, Delta=0.1), [[1.0]], -2.8, delay=3.0)
    late = nmm.energy_landscape(alone)
    assert late.minima.kinds == ("unstable",) and late.agreeing == 0 and not late.proved_stable().any()
    np.testing.assert_allclose(late.minima.r, nmm.energy_landscape(alone.undelayed()).minima.r, rtol=1e-12)
    uneven = nmm.Network(pair.node, pair.weights, delay=[[0.0, 0.1], [0.2, 0.0]])
    assert np.isnan(delay_margins(uneven, np.zeros((1, 2)), None)).all()
    with pytest.raises(ValueError, match="Argument `cycles` must be 0 for networks with delays"):
        nmm.energy_landscape(alone, cycles=1)


def test_proved_margins_of_unequal_delays_hold():
    """At 0.99 of the bound diag(a/r) > |J|∘D, delays equal both ways: unstable roots number the Morse index."""
    rng, seen = np.random.default_rng(1), 0
    for _ in range(40):
        n = int(rng.integers(1, 5))
        J, D = rng.normal(0, 4, (2, n, n))
        J, D = J + J.T, np.abs(D + D.T)
        r = rng.uniform(0.05, 1.0, n)
        eta = np.pi**2 * r**2 - 0.25 / (4 * np.pi**2 * r**2) - J @ r
        build = lambda scale, eta=eta, J=J, D=D: nmm.Network(
            nmm.per_node(nmm.MPR(J=0.0, Delta=0.5), eta=eta), J, delay=scale * D
        )
        x = np.log(r)[None]
        c = np.diag(0.5 / (np.pi * r**2))
        bound = np.min(np.linalg.eigvals(np.linalg.solve(np.abs(J) * D, c)).real[
            np.linalg.eigvals(np.linalg.solve(np.abs(J) * D, c)).real > 0])  # fmt: skip
        network = build(0.99 * bound)
        assert delay_margins(network, x, None)[0] > 0 and delay_margins(build(1.01 * bound), x, None)[0] < 0
        y = nmm.State(r=jnp.asarray(r), v=jnp.asarray(-0.5 / (2 * np.pi * r)))
        index = np.sum(np.linalg.eigvalsh(np.diag(2 * np.pi**2 * r + 0.5**2 / (2 * np.pi**2 * r**3)) - J) < 0)
        assert count_right_of(problem(linearized_with_delays(network, y)), 0.0) == index
        seen += index > 0
    assert seen > 5


def test_verdict_refusals_and_picture():
    found = nmm.characteristic_roots(one_node(-2.8, 0.1, 3.0), right_of=-0.7)
    assert "none is missing, by the argument principle" in str(found) and "unstable: 2 grow" in str(found)
    axes = nmm.plot.characteristic_roots(found)
    assert "1/time" in axes.get_xlabel() and "none missing" in axes.get_title()
    drawn = np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(np.sort(drawn), np.sort(np.real(found.roots)))
    axes = nmm.plot.delays(nmm.Network(nmm.MPR(), nmm.random_connectome(8, key=jax.random.key(0)), speed=3.0))
    assert "delay" in axes[1].get_xlabel() and "share" in axes[1].get_ylabel()
    none = nmm.characteristic_roots(nmm.Network(nmm.MPR(), [[1.0]], delay=1.0), right_of=3.0)
    assert none.roots.size == 0 and none.complete and not none.stable and np.isnan(complex(none.rightmost).real)
    with pytest.raises(ValueError, match="Argument `result` must have roots"):
        nmm.plot.characteristic_roots(none)
    with pytest.raises(ValueError, match="Argument `network` must be a `Network`"):
        nmm.characteristic_roots(nmm.MPR())
    with pytest.raises(ValueError, match="Argument `network` must couple its nodes by currents"):
        nmm.characteristic_roots(nmm.Network(nmm.MPR(synapse=nmm.ExponentialSynapse(tau=0.2)), [[1.0]], reversal=-2.0))
    with pytest.raises(ValueError, match="Argument `right_of` must be finite"):
        nmm.characteristic_roots(one_node(-2.8, 0.1, 3.0), right_of=jnp.nan)
    with pytest.raises(ValueError, match="be a `Network` with delays or"):
        nmm.plot.delays(nmm.Network(nmm.MPR(), [[1.0]]))
