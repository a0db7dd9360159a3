"""Lyapunov exponents against Floquet multipliers, eigenvalues and a chaotic system of the literature."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.equilibria.stability import jacobian

ING = {"eta": 4.0, "J": -21.0, "Delta": 0.3, "synapse": nmm.ExponentialSynapse(tau=0.5)}
START = {"r": 0.4, "v": 0.3}


class Lorenz(nmm.extend.AbstractModel):
    rho: jax.Array = nmm.extend.parameter(28.0, symbol="ρ", doc="Rayleigh number")
    variables = {name: nmm.extend.Variable("amplitude") for name in "xyz"}  # noqa: RUF012 (as users write it)

    def vector_field(self, t, y, I=0.0):
        return nmm.State(x=10 * (y.y - y.x) + I, y=y.x * (self.rho - y.z) - y.y, z=y.x * y.y - 8 / 3 * y.z)


@pytest.fixture(scope="module")
def lanes():
    return nmm.lyapunov_exponents(nmm.MPR(**ING), y0=START, t1=500.0, over={"Delta": jnp.array([0.3, 0.6, 0.45])})


def test_the_cycle_of_an_inhibitory_population(lanes):
    """Golden values of a computation of its own; 0, and the logarithms of the Floquet multipliers over the period."""
    np.testing.assert_allclose(lanes.exponents[0], [0.0, -0.59923, -4.07912], atol=5e-6)
    assert abs(float(lanes.exponents[0, 1]) - np.log(0.1915469) / 2.757911) < 1e-6
    assert float(lanes.sum_exact[0]) == pytest.approx(-4.678354, abs=1e-6)
    np.testing.assert_allclose(lanes.sum_error, 0.0, atol=1e-6)
    assert np.all(np.asarray(lanes.spread[0]) < 1e-5)
    assert lanes.kinds.tolist() == ["cycle", "rest", "cycle"] and lanes.exponents.shape == (3, 3)
    np.testing.assert_array_equal(lanes.dimension, [1, 0, 1])


def test_lanes_are_labelled(lanes):
    data = lanes.to_xarray()
    assert data.exponents.dims == ("Delta", "exponent") and data.settled.values.all()
    assert data.Delta.attrs["symbol"] == "Δ" and data.exponents.attrs["units"].startswith("1/time")
    assert "3 of 3 lanes settled" in str(lanes)
    axes = nmm.plot.lyapunov(lanes)
    assert "Δ" in axes.get_xlabel() and "1/time" in axes.get_ylabel()
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(drawn["λ1"], np.asarray(lanes.exponents)[[0, 2, 1], 0])


@pytest.mark.slow
def test_lanes_are_single_runs(lanes):
    one = nmm.lyapunov_exponents(nmm.MPR(**ING), y0=START, t1=500.0)
    np.testing.assert_allclose(lanes.exponents[0], one.exponents, atol=1e-9)
    assert one.result == nmm.results.RESULTS.successful and str(one.kinds) == "cycle"
    assert "λ2 -0.59923 ±" in str(one) and "-4.67835" in str(one)


@pytest.mark.parametrize(
    "solver", [nmm.MobiusSplitting(4), pytest.param(diffrax.Dopri5(), marks=pytest.mark.slow)], ids=["splitting", "adaptive"]
)
def test_at_rest_they_are_the_real_parts_of_the_eigenvalues(solver):
    model = nmm.MPR()
    found = nmm.lyapunov_exponents(model, y0={"r": 0.1, "v": -2.0}, t1=100.0, t0=50.0, solver=solver)
    rest = nmm.find_fixed_point(model, {"r": 0.1, "v": -2.0})
    expected = np.sort(np.linalg.eigvals(np.asarray(jacobian(model, rest))).real)[::-1]
    np.testing.assert_allclose(found.exponents, expected, rtol=1e-6)
    assert float(found.sum_exact) == pytest.approx(expected.sum(), rel=1e-6) and str(found.kinds) == "rest"


def test_undamped_both_vanish_and_the_result_says_so():
    found = nmm.lyapunov_exponents(
        nmm.MPR(eta=2.0, J=5.0, Delta=0.0), y0={"r": 0.5, "v": -1.0}, t1=100.0, t0=50.0, solver=nmm.MobiusSplitting(4)
    )
    assert np.all(np.abs(found.exponents) < 0.03) and abs(float(found.sum_exact)) < 1e-7
    np.testing.assert_allclose(found.exponents[0], -found.exponents[1], atol=1e-7)
    assert found.result == nmm.results.RESULTS.exponents_unsettled and str(found.kinds) == "conservative"
    assert "still change" in str(found)
    axes = nmm.plot.lyapunov(found)
    assert axes.size == 2 and "unit of τ" in axes[-1].get_xlabel() and "1/time" in axes[0].get_ylabel()


def test_chaos_of_lorenz():
    """0.9056, 0, −14.572 (Sprott, Chaos and Time-Series Analysis, 2003); the sum is −(σ + 1 + β) at every state."""
    found = nmm.lyapunov_exponents(Lorenz(), y0={"x": 1.0, "y": 1.0, "z": 20.0}, t1=2000.0, t0=20.0)
    expected = np.array([0.9056, 0.0, -14.572])
    assert np.all(np.abs(np.asarray(found.exponents) - expected) < 3 * np.asarray(found.spread) + 1e-3)
    assert np.all(np.asarray(found.spread) < 0.02)
    assert float(found.sum_exact) == pytest.approx(-(10 + 1 + 8 / 3), rel=1e-12) and abs(float(found.sum_error)) < 1e-5
    assert str(found.kinds) == "chaos" and float(found.dimension) == pytest.approx(2.062, abs=0.005)


@pytest.mark.slow
def test_a_network_on_its_cycle():
    """The symmetric pair of docs/theory.md §D7: multipliers of absolute values .2917, .2917, .2515 at period 1.851721."""
    weights = np.array([[-1.0, 10.0], [10.0, -9.0]])
    network = nmm.Network(nmm.per_node(nmm.MPR(J=0.0, Delta=0.3), eta=np.array([4.0, -3.5])), weights)
    y0 = {"r": np.array([6.0, 1.0]), "v": np.zeros(2)}
    found = nmm.lyapunov_exponents(network, y0=y0, t1=200.0, rtol=1e-8)
    assert str(found.kinds) == "cycle" and abs(float(found.exponents[0])) < 1e-5 and abs(float(found.sum_error)) < 1e-6
    run = nmm.simulate(network, y0, jnp.linspace(0.0, 40.0, 801))
    loose = {"rtol": 1e-9, "atol": 1e-12, "solver": diffrax.Dopri8()}

    def after(x):
        y0 = {"r": x[:2], "v": x[2:]}
        end = nmm.simulate(network, y0, jnp.array([0.0, 1.851721]), adjoint=diffrax.ForwardMode(), **loose).y_end
        return jnp.concatenate([end.r, end.v])

    multipliers = np.linalg.eigvals(jax.jacfwd(after)(jnp.concatenate([run.y_end.r, run.y_end.v])))
    expected = np.sort(np.log(np.abs(multipliers)))[::-1] / 1.851721
    np.testing.assert_allclose(found.exponents, expected, atol=1e-3)
    first = nmm.lyapunov_exponents(network, y0=y0, t1=200.0, count=2, rtol=1e-8)
    np.testing.assert_allclose(first.exponents, found.exponents[:2], atol=1e-3)  # the second is one of an equal pair
    assert np.isnan(first.sum_error) and float(first.sum_exact) == pytest.approx(float(found.sum_exact), abs=1e-7)


def test_divergence_is_the_trace_of_the_jacobian():
    """Of populations and networks, self-coupling included."""
    W = np.array([[0.5, -2.0], [1.0, 3.0]])
    node = nmm.MPR(Delta=0.3, synapse=nmm.AlphaSynapse(0.4, strength=0.7, reversal=-2.0), tau=1.3)
    node = nmm.per_node(node, eta=np.array([1.0, 2.0]))
    for model in (nmm.MPR(**ING), nmm.Network(node, W), Lorenz()):
        shape = () if model.size is None else (2,)
        draw = np.random.default_rng(1)
        y = nmm.State(**{name: jnp.asarray(0.5 + draw.random(shape)) for name in model.variables})
        trace = jnp.trace(jacobian(model, y))
        np.testing.assert_allclose(jnp.sum(model.divergence(jnp.zeros(()), y)), trace, rtol=1e-12)


REFUSED = {
    "count": ({"count": 4}, "be at most 3, the number of variables"),
    "t1": ({"t1": -1.0}, "be"),
    "over": ({"over": {"nothing": jnp.ones(2)}}, "be one of the swept names"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    options, rule = REFUSED[name]
    with pytest.raises(ValueError, match=rule):
        nmm.lyapunov_exponents(nmm.MPR(**ING), **({"y0": START, "t1": 10.0} | options))


def test_a_run_that_fails_has_a_code():
    class Escape(nmm.extend.AbstractModel):
        rate: jax.Array = nmm.extend.parameter(1.0, symbol="a", doc="rate")
        variables = {"x": nmm.extend.Variable("position")}  # noqa: RUF012

        def vector_field(self, t, y, I=0.0):
            return nmm.State(x=self.rate * y.x**2)

    found = nmm.lyapunov_exponents(Escape(), y0={"x": 1.0}, t1=4.0)
    assert np.isnan(found.exponents).all() and found.result != nmm.results.RESULTS.successful
    assert str(found.kinds) == "undecided" and "nan" in str(found)
