"""Derivatives of observables: forward and reverse mode against each other, finite differences and diffrax."""

import dataclasses

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow

import nmmjax as nmm
from nmmjax.ensemble.engine import Shape

J, ETA = np.array([2.0, 9.0]), 1.0
T1, Y0 = 3.0, {"r": 0.3, "v": -0.5}
PULSE = nmm.Pulse(amplitude=2.0, start=1.0, stop=2.0)
METHODS = {
    "splitting": {},
    "adaptive": {"solver": diffrax.Tsit5()},
    "fixed": {"solver": diffrax.Tsit5(), "dt0": 0.01},
}
some = pytest.mark.parametrize("name", rest_slow(METHODS, "splitting"))


def plan(gradient=None, eta=ETA, stimulus=PULSE, **options):
    observe = {"last": nmm.Final("r"), "mean": nmm.Mean("energy"), "peak": nmm.Peak("r")}
    model = nmm.MPR(eta=eta, Delta=0.4)
    arguments = {"y0": Y0, "t1": T1, "observe": observe, "gradient": gradient, "stimulus": stimulus, "rtol": 1e-9}
    return nmm.plan_sweep(model, over={"J": J}, **(arguments | options))


@some
def test_forward_mode_against_differences(name):
    """By a swept parameter, one that isn't swept, and a jump's time."""
    by = ("J", "eta", "stimulus.start")
    forward = plan(by, **METHODS[name])
    found = nmm.extend.compute_lanes(forward, np.arange(2))
    step = 1e-5
    high, low = (nmm.extend.compute_lanes(plan(eta=ETA + s * step, **METHODS[name]), np.arange(2)) for s in (1, -1))
    for variable in ("last", "mean", "peak"):
        difference = (high[variable] - low[variable]) / (2 * step)
        np.testing.assert_allclose(found[f"d_{variable}_d_eta"], difference, rtol=2e-4, atol=1e-6)
        assert np.all(np.isfinite(found[f"d_{variable}_d_stimulus.start"]))


@pytest.mark.parametrize("name", ["splitting", pytest.param("adaptive", marks=pytest.mark.slow)])
def test_reverse_mode_is_forward_mode(name):
    forward = plan(("J", "eta"), stimulus=None, observe={"last": nmm.Final("r")}, **METHODS[name])
    backward = dataclasses.replace(forward, method=dataclasses.replace(forward.method, reverse=True))
    found, other = nmm.extend.compute_lanes(forward, np.arange(2)), nmm.extend.compute_lanes(backward, np.arange(2))
    for variable in ("last", "d_last_d_J", "d_last_d_eta"):
        np.testing.assert_allclose(found[variable], other[variable], rtol=1e-9, atol=1e-11)


@pytest.mark.slow
def test_against_diffrax():
    """The final rate's gradient equals that of diffrax's reverse mode at tight tolerances."""

    def final(J, eta):
        model = nmm.MPR(eta=eta, J=J, Delta=jnp.asarray(0.4))
        controller = diffrax.PIDController(rtol=1e-10, atol=1e-12)
        solved = diffrax.diffeqsolve(
            nmm.extend.PopulationTerm(model),
            diffrax.Dopri8(),
            0.0,
            T1,
            None,
            model.state(Y0),
            stepsize_controller=controller,
        )
        return solved.ys.r[0]

    true = jax.vmap(jax.grad(final, (0, 1)), (0, None))(jnp.asarray(J), jnp.asarray(ETA))
    found = nmm.extend.compute_lanes(plan(("J", "eta"), stimulus=None), np.arange(2))
    np.testing.assert_allclose(found["d_last_d_J"], true[0], rtol=1e-7)
    np.testing.assert_allclose(found["d_last_d_eta"], true[1], rtol=1e-7)


def test_many_parameters_choose_reverse_mode():
    names = ("J", "eta", "Delta", "tau", "r", "v", "stimulus.amplitude", "stimulus.start")
    assert not plan(names).method.reverse
    assert plan((*names, "stimulus.stop")).method.reverse


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tangents_make_blocks_smaller(dtype):
    """A block's state and tangents fill the first cache together."""
    without, several, most = (Shape.choose(10**6, dtype, tangents).block for tangents in (0, 3, 8))
    assert several == without // 4 and 8 <= most <= without // 9
    assert Shape.choose(1, dtype, 8).block == 8


def test_names_are_refused():
    with pytest.raises(ValueError, match="must be one of the names to differentiate by"):
        plan(("zeta",))
    with pytest.raises(ValueError, match="must name each parameter once"):
        plan(("J", "J"))
