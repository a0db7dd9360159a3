"""Models made before x64 was enabled, or with one number of another kind, are taken like any other; what is absent has NaN
derivatives."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax._nan import nan_unless

MODEL, Y0, TS = nmm.MPR(eta=-4.0), {"r": 0.1, "v": -2.0}, np.arange(5.0)
SINGLE = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), MODEL)
MODELS = {
    "single": SINGLE,
    "mixed": eqx.tree_at(lambda m: m.eta, MODEL, jnp.asarray(-4.0, jnp.float32)),
    "number": eqx.tree_at(lambda m: m.eta, MODEL, -4.0),
    "whole number": eqx.tree_at(lambda m: m.eta, MODEL, -4),
    "NumPy": eqx.tree_at(lambda m: m.eta, MODEL, np.float64(-4.0)),
}
FUNCTIONS = {
    "simulate": lambda m: nmm.simulate(m, Y0, TS).ys.r[-1],
    "landscape": lambda m: nmm.energy_landscape(m).barrier[0],
    "branch": lambda m: nmm.continue_branch(m, "eta", (-8.0, 0.0)).folds.parameter[0],
    "fold": lambda m: nmm.find_fold(m, "eta", {"r": 0.3, "v": -1.0}).parameter,
    "orbit": lambda m: nmm.orbit(m, energy=12.0).period,
    "boltzmann": lambda m: nmm.boltzmann(m, noise=0.5).mean(lambda r: r),
    "escape": lambda m: nmm.escape_rate(m, noise=0.3, start={"r": 1.0, "v": -0.1}, method="turnover").rate,
    "energy": lambda m: nmm.total_energy(m, Y0),
    "network": lambda m: nmm.network_potential(nmm.Network(m, np.ones((2, 2))), np.asarray([0.3, 0.5])),
    "fit": lambda m: nmm.fit(m, free=("eta",), target=lambda m: (m.eta + 5.0) ** 2, starts=2, progress=False).best.eta,
    "energies": lambda m: nmm.fit(m, free=("eta",), target=nmm.EnergyTarget(barrier=5.0), starts=2, progress=False).best.eta,
    "recording": lambda m: (
        nmm.fit(
            m,
            free=("eta",),
            target=nmm.TrajectoryTarget(TS, r=np.full(5, 0.1), v=np.full(5, -2.0)),
            starts=2,
            progress=False,
        ).best.eta
    ),
}
SLOW = ("branch", "escape", "energies", "recording", "fit", "fold")


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("name", [pytest.param(each, marks=pytest.mark.slow if each in SLOW else []) for each in FUNCTIONS])
def test_a_number_is_a_number_in_any_precision(name, model, unchecked):
    with jax.numpy_dtype_promotion("standard"):  # as users have it
        found, expected = FUNCTIONS[name](model), FUNCTIONS[name](MODEL)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if model is not SINGLE else 2e-3)


def test_a_run_in_float64_is_refused_where_x64_is_off(unchecked):
    run = nmm.simulate(MODEL, Y0, TS, stimulus=nmm.Pulse(1.0, 1.0, 2.0))
    with jax.enable_x64(False):
        for function in (nmm.energy_balance, nmm.find_spikes, lambda run: run.to_xarray()):
            with pytest.raises(ValueError, match="Argument `run` must be used with x64 enabled, as it was made"):
                function(run)


def test_the_cause_of_a_failure_in_a_thread_is_shown():
    """Not that a pool of threads was shut down after it."""

    class Broken(nmm.extend.AbstractTarget):
        def residuals(self, model, unknowns=None, refine=1):
            raise ZeroDivisionError("the cause")

        def count(self, model):
            return 1

        def stages(self, model):
            return (self, self)

    with pytest.raises(ZeroDivisionError, match="the cause"):
        nmm.fit(MODEL, free=("eta",), target=Broken(), starts=4, progress=False)


def test_parameters_per_node_are_changed_by_per_node(unchecked):
    with pytest.raises(ValueError, match=r"`eta` must be a number .*`per_node` for those of a network's nodes"):
        dataclasses.replace(nmm.per_node(MODEL, eta=[-5.0, -4.0]), J=3.0)


ABSENT = {
    "fold": (lambda J: nmm.find_fold(nmm.MPR(J=J), "eta", {"r": 0.3, "v": -1.0}).parameter, 2.0, 15.0),
    "peak": (lambda D: nmm.predict_peaks(nmm.MPR(eta=2.0, J=5.0, Delta=D), r0=6.0, count=4)[-1], 3.0, 0.05),
    "Hopf point": (lambda J: nmm.find_hopf(nmm.MPR(J=J), "eta", {"r": 0.3, "v": -1.0}).parameter, 2.0, None),
}


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.slow] if each != "fold" else []) for each in ABSENT])
def test_what_is_absent_has_nan_derivatives(name):
    quantity, absent, there = ABSENT[name]
    for derivative in (jax.grad, jax.jacfwd):
        assert np.isnan(quantity(absent)) and np.isnan(derivative(quantity)(absent))
        assert there is None or np.isfinite(derivative(quantity)(there))


def test_absent_entries_do_not_spoil_others():
    """Of several results only the first exists; what a loss doesn't use has no say."""
    quantity = lambda x: nan_unless(jnp.asarray([True, False]), jnp.stack([x**2, x**3]))
    for derivative in (jax.grad, jax.jacfwd, lambda f: jax.jit(jax.grad(f))):
        np.testing.assert_allclose(derivative(lambda x: quantity(x)[0])(2.0), 4.0)
        assert np.isnan(derivative(lambda x: quantity(x)[1])(2.0))
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda x: quantity(x)[0]))(jnp.asarray([2.0, 3.0])), [4.0, 6.0])


def reactor(y, q):
    """Two steady states beyond the fold, and a Hopf point (Uppal, Ray & Poore 1974)."""
    made = q["Da"] * (1 - y[0]) * jnp.exp(y[1])
    return jnp.stack([made - y[0], 7.06 * made - 1.74 * y[1]])


STARTS = [[0.4, 0.4], *(pytest.param(each, marks=pytest.mark.slow) for each in ([0.0, 0.0], [0.9, 3.0]))]


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS)
def test_branches_start_wherever_newton_converges(start):
    branch = nmm.continue_branch(reactor, "Da", (0.1, 0.25), guess=jnp.asarray(start), parameters={"Da": 0.15})
    assert int(branch.count[0]) > 10
    state = np.asarray(branch.state[0, :5]), np.asarray(branch.parameter[0, :5])
    for y, Da in zip(*state, strict=True):
        np.testing.assert_allclose(reactor(jnp.asarray(y), {"Da": Da}), 0.0, atol=1e-9)
