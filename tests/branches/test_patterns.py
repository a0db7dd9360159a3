"""Growth rates of patterns against closed forms, the whole network's Jacobian, and the transfer functions of synapses."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow

import nmmjax as nmm
from nmmjax.equilibria.stability import jacobian

NODE = {"eta": -5.0, "J": 10.0, "Delta": 1.0}
GUESS = {"r": 1.0, "v": -0.15}
LAMBDA = np.array([1.0, 0.5, 0.0, -0.5])


def rows_equal(size, key=0):
    """A directed network whose rows have the sum 1."""
    weights = np.random.default_rng(key).random((size, size))
    return weights / weights.sum(axis=1, keepdims=True)


def test_golden_values():
    found = nmm.master_stability(nmm.MPR(**NODE), guess=GUESS, gain=5.0, Lambda=LAMBDA)
    assert float(found.state.r) == pytest.approx(1.0305967988, abs=1e-10)
    np.testing.assert_allclose(np.real(found.exponents), -0.30886, atol=5e-6)
    swing = [3.31862898, 4.02073156, 4.61727910, 5.14511908]
    np.testing.assert_allclose(np.imag(found.exponents), np.outer(swing, [1, -1]), atol=1e-8)
    r, v = float(found.state.r), float(found.state.v)
    closed = 2 * v + 1j * np.sqrt(2 * r * (2 * np.pi**2 * r - 10 - 5 * LAMBDA))
    np.testing.assert_allclose(found.exponents[:, 0], closed, rtol=1e-12)


NODES = {
    "instantaneous": nmm.MPR(**NODE),
    "alpha": nmm.MPR(**NODE, synapse=nmm.AlphaSynapse(tau=0.7)),
    "conductance": nmm.MPR(**NODE, tau=1.5, synapse=nmm.ExponentialSynapse(tau=0.7, strength=0.3, reversal=2.0)),
}


@pytest.mark.parametrize("name", rest_slow(NODES, "conductance"))
def test_modes_are_the_eigenvalues_of_the_whole_jacobian(name):
    network = nmm.Network(NODES[name], rows_equal(6), 5.0)
    found = nmm.master_stability(network, guess=GUESS, Lambda=LAMBDA)
    uniform = jax.tree.map(lambda each: jnp.full(6, each), found.state)
    whole = np.linalg.eigvals(np.asarray(jacobian(network, uniform)))
    rates = np.asarray(found.mode_exponents).ravel()
    assert rates.size == whole.size
    distance = np.abs(rates[:, None] - whole)
    assert distance.min(axis=0).max() < 1e-10 and distance.min(axis=1).max() < 1e-10
    assert float(jnp.real(found.modes[0])) == pytest.approx(1.0, abs=1e-12)
    assert found.stable == bool(np.all(whole.real < 0))


@pytest.mark.parametrize("delay", [0.0, 0.8])
def test_dispersion_relation_by_transfer_functions(delay):
    """(λ − 2v)² + 4π²r² − 2r (J H(λ) + GΛ e^(−λD) H(λ)) = 0 with the synapse's own H; and 1 = GΛ e^(−λD) × the node's."""
    synapse = nmm.AlphaSynapse(tau=0.3)
    found = nmm.master_stability(
        nmm.MPR(**NODE, synapse=synapse), guess=GUESS, gain=5.0, Lambda=LAMBDA[[0, 1, 3]], delay=delay
    )
    r, v, rate = float(found.state.r), float(found.state.v), np.asarray(found.exponents)
    strength = 5.0 * LAMBDA[[0, 1, 3], None] * np.exp(-rate * delay)
    residual = (
        (rate - 2 * v) ** 2 + 4 * np.pi**2 * r**2 - 2 * r * (10 + strength) * np.asarray(synapse.transfer(jnp.asarray(rate)))
    )
    np.testing.assert_allclose(np.abs(residual), 0.0, atol=1e-10)
    np.testing.assert_allclose(strength * np.asarray(found.transfer(rate)), 1.0, rtol=1e-9)


@pytest.mark.parametrize("delay", [0.5, 3.0])
def test_no_root_to_the_right_is_missed(delay):
    """The argument principle: zeros of the characteristic function right of the last root found."""
    found = nmm.master_stability(nmm.MPR(**NODE), guess=GUESS, gain=5.0, Lambda=LAMBDA, delay=delay)
    r, v = float(found.state.r), float(found.state.v)
    for Lambda, roots in zip(LAMBDA, np.asarray(found.exponents), strict=True):
        function = lambda x, Lambda=Lambda: (
            (x - 2 * v) ** 2 + 4 * np.pi**2 * r**2 - 2 * r * (10 + 5 * Lambda * np.exp(-x * delay))
        )
        left, right, high, points = roots.real.min() - 1e-3, 30.0, 200.0, 20_001
        corners = [left - 1j * high, right - 1j * high, right + 1j * high, left + 1j * high, left - 1j * high]
        path = np.concatenate([np.linspace(a, b, points) for a, b in itertools.pairwise(corners)])
        turns = np.sum(np.angle(function(path[1:]) / function(path[:-1]))) / (2 * np.pi)
        assert round(turns) == np.sum(roots.real > left)


def test_verdict_labels_and_picture():
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
    ring = np.roll(np.eye(5), 1, axis=1)
    found = nmm.master_stability(nmm.Network(ing, ring, 2.0), guess={"r": 0.2, "v": -0.2})
    assert found.Lambda.ndim == 2 and not found.stable and found.unstable.shape == (5,)
    assert "the uniform state is unstable: the uniform mode grows and 4 of 4 patterns grow" in str(found)
    data = found.to_xarray()
    assert data.exponent_real.dims == ("Lambda_0", "Lambda_1", "root") and data.mode_real.shape == (5,)
    axes = nmm.plot.master_stability(found)
    assert "Re Λ" in axes.get_xlabel()
    both = np.array([[0.0, 1.0], [1.0, 0.0]])
    quiet = nmm.master_stability(nmm.Network(nmm.MPR(**NODE), both, 5.0), guess=GUESS)
    assert quiet.stable and "the slowest of 2 modes decays at 0.3089" in str(quiet) and quiet.Lambda.shape == (201,)
    axes = nmm.plot.master_stability(quiet)
    assert "1/time" in axes.get_ylabel()
    np.testing.assert_allclose(axes.lines[1].get_ydata(), quiet.growth, rtol=1e-12)


def test_a_direction_around_a_ring_makes_patterns():
    """Instantaneous coupling: nothing grows with real Λ ≤ 1, in a directed ring patterns do."""
    node, ring = nmm.MPR(**NODE), np.roll(np.eye(8), 1, axis=1)
    both = nmm.master_stability(nmm.Network(node, (ring + ring.T) / 2, 5.0), guess=GUESS, Lambda=LAMBDA)
    one = nmm.master_stability(nmm.Network(node, ring, 5.0), guess=GUESS, Lambda=LAMBDA)
    assert both.stable and not one.stable and not one.unstable[0]
    whole = np.linalg.eigvals(
        np.asarray(jacobian(nmm.Network(node, ring, 5.0), jax.tree.map(lambda each: jnp.full(8, each), one.state)))
    )
    assert whole.real.max() == pytest.approx(float(jnp.max(one.mode_growth)), abs=1e-10) and whole.real.max() > 0.1


def test_a_guess_from_which_nothing_is_found():
    class Drift(nmm.extend.AbstractModel):
        speed: jax.Array = nmm.extend.parameter(1.0, symbol="a", doc="speed")
        variables = {"x": nmm.extend.Variable("position")}  # noqa: RUF012

        def vector_field(self, t, y, I=0.0):
            return nmm.State(x=self.speed * (1 + y.x**2) + 0 * I)

        def sent(self, y):
            return y.x

    found = nmm.master_stability(Drift(), guess={"x": 0.0}, Lambda=[0.0, 1.0])
    assert found.result == nmm.results.RESULTS.no_fixed_point and np.isnan(np.asarray(found.exponents)).all()
    assert "No fixed point" in str(found) and not found.stable


REFUSED = {
    "rows": (nmm.Network(nmm.MPR(), np.array([[0.0, 1.0], [2.0, 0.0]])), {}, "rows of equal sums, .*row sums from 1 to 2"),
    "nodes": (
        nmm.Network(nmm.per_node(nmm.MPR(), eta=np.array([-5.0, -4.0])), np.eye(2)),
        {},
        "equal nodes, .*values of eta",
    ),
    "gain": (nmm.Network(nmm.MPR(), np.eye(2)), {"gain": 2.0}, "be None for a network"),
    "Lambda": (nmm.MPR(), {}, "be given for a node"),
    "finite": (nmm.MPR(), {"Lambda": [np.nan]}, "be finite numbers"),
    "delay": (nmm.MPR(), {"Lambda": [1.0], "delay": -1.0}, "`delay`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    model, options, rule = REFUSED[name]
    with pytest.raises(ValueError, match=rule):
        nmm.master_stability(model, guess=GUESS, **options)
