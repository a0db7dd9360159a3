"""Where the energy went: E(t) − E(0) = work − heat to the accuracy of the run, for every stimulus and term."""

from itertools import pairwise

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from helpers import MODELS

import nmmjax as nmm
from nmmjax import (
    MPR,
    Constant,
    MobiusSplitting,
    Pulse,
    PulseTrain,
    Ramp,
    Sampled,
    Sinusoid,
    energy_balance,
    kinetic_energy,
    potential_energy,
    simulate,
    total_energy,
)
from nmmjax.mechanics import RescaledTime
from nmmjax.results import RESULTS

Y0, TS = {"r": 0.5, "v": -0.3}, np.linspace(0.0, 6.0, 13)
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
SAMPLES = np.linspace(0.0, 6.0, 7), np.array([0.0, 1.0, -1.0, 0.5, 1.5, 0.0, 0.5])
STIMULI = {
    "constant": Constant(0.8),
    "pulse": Pulse(1.5, 1.1, 3.3),
    "ramp": Ramp(1.5, 1.1, 3.3),
    "sinusoid": Sinusoid(1.5, 2.1, 0.3),
    "train": PulseTrain(1.5, 0.4, 1.3, 0.6, count=3),
    "linear": Sampled(*SAMPLES),
    "cubic": Sampled(*SAMPLES, "cubic"),
    "hold": Sampled(*SAMPLES, "hold"),
}


def silent(stimulus):
    """The same stimulus at zero strength: other numbers, same compiled code."""
    strength = "values" if isinstance(stimulus, Sampled) else "amplitude"
    return eqx.tree_at(lambda s: getattr(s, strength), stimulus, jnp.zeros_like(getattr(stimulus, strength)))


def only(kinds):
    """The sum of all stimuli, with only `kinds` switched on, so that all cases share one compilation."""
    parts = [each if name in kinds else silent(each) for name, each in STIMULI.items()]
    total = parts[0]
    for each in parts[1:]:
        total = total + each
    return total


def check(run, bound=1e-8):
    balance = energy_balance(run)
    assert run.result == RESULTS.successful
    assert balance.relative <= bound
    scale = max(np.abs(part).max() for part in (balance.energy, balance.work, balance.heat))
    np.testing.assert_allclose(balance.energy - balance.energy[0], balance.work - balance.heat, atol=bound * scale)
    np.testing.assert_allclose(balance.energy, total_energy(run.model, run.ys, run.input), rtol=1e-13)
    without = total_energy(run.model, run.ys)  # the same in port form: E₀ gains −I d(1/R)
    np.testing.assert_allclose(without - without[0], balance.port_work - balance.heat, atol=10 * bound * scale)
    assert balance.work[0] == balance.heat[0] == balance.residual[0] == 0
    if run.model.gap is None:
        assert np.all(np.diff(balance.heat) >= 0)
    return balance


@pytest.mark.parametrize("kinds", [[], *([name] for name in STIMULI), list(STIMULI)], ids=["none", *STIMULI, "all"])
def test_energy_is_accounted_for(kinds):
    """Gap junction, conductance and τ under every kind of stimulus."""
    balance = check(simulate(MODELS["everything"], Y0, TS, stimulus=only(kinds), **TIGHT))
    if kinds in ([], ["constant"]):
        np.testing.assert_allclose(balance.work, 0, atol=1e-9)
    else:
        assert np.abs(balance.work).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("stimulus", [None, *STIMULI.values()], ids=["none", *STIMULI])
def test_energy_is_accounted_for_without_the_sum(stimulus):
    check(simulate(MODELS["everything"], Y0, TS, stimulus=stimulus, **TIGHT))


@pytest.mark.parametrize("name", ["homogeneous", "heterogeneous", "tau", pytest.param("gap", marks=pytest.mark.slow)])
def test_energy_of_simpler_models(name):
    """The terms one by one; nothing is lost at Δ = 0, and work by a pulse is its edges' ΔI/R."""
    stimulus = STIMULI["pulse"]
    run = simulate(MODELS[name], Y0, np.sort(np.append(TS[:-2], [1.1, 3.3])), stimulus=stimulus, **TIGHT)
    balance = check(run)
    if name == "homogeneous":
        np.testing.assert_allclose(balance.heat, 0, atol=1e-12)
    R = run.model.tau * run.ys.r
    on, off = (int(np.flatnonzero(run.ts == t)[0]) for t in (1.1, 3.3))
    steps = np.zeros(TS.size)
    steps[on:] += 1.5 / R[on]
    steps[off:] -= 1.5 / R[off]
    np.testing.assert_allclose(balance.work, steps, rtol=1e-7, atol=1e-8)


def test_a_sloppy_run_has_a_larger_residual():
    """The residual measures the run's own error."""
    relative = []
    for rtol in (1e-3, 1e-5, 1e-7, 1e-9):
        run = simulate(MODELS["everything"], Y0, TS, stimulus=only(["sinusoid"]), rtol=rtol, atol=rtol)
        relative.append(float(energy_balance(run).relative))
    assert relative[0] > 1e-5
    assert all(b < a / 5 for a, b in pairwise(relative))


def test_other_solvers_runs_balance_too():
    run = simulate(MODELS["tau"], Y0, TS, stimulus=STIMULI["pulse"], solver=MobiusSplitting(4), dt0=0.01)
    check(run, 1e-6)


def test_a_failed_run_balances_where_it_came():
    """Finite before the failure, NaN after it."""
    run = simulate(MODELS["tau"], Y0, TS, stimulus=STIMULI["pulse"], max_steps=40, **TIGHT)
    n = int(run.reached)
    assert run.result == RESULTS.max_steps_reached and 2 <= n < TS.size
    balance = energy_balance(run)
    for part in (balance.energy, balance.work, balance.heat, balance.port_work, balance.residual):
        assert np.all(np.isfinite(part[:n])) and np.all(np.isnan(part[n:]))
    assert balance.relative < 1e-7


def rate_turns(t, y, args, **kwargs):
    return MODELS["everything"].vector_field(t, y).r


def test_energy_is_potential_at_peaks():
    """Where ṙ = 0, at peaks and troughs of r, K = 0 and E = V(r)."""
    event = diffrax.Event(rate_turns, optx.Newton(1e-12, 1e-12))
    y, t = MODELS["everything"].state(Y0), 0.0
    extrema = []
    for _ in range(3):
        run = simulate(MODELS["everything"], y, [t, t + 10.0], event=event, **TIGHT)
        assert run.result == RESULTS.event_occurred
        E, V = total_energy(run.model, run.y_end), potential_energy(run.model, run.y_end)
        assert abs(E / V - 1) < 1e-9 and kinetic_energy(run.model, run.y_end) < 1e-9
        extrema.append(float(run.y_end.r))
        t, y = float(run.t_end) + 0.01, simulate(MODELS["everything"], run.y_end, [0.0, 0.01], **TIGHT).y_end
    assert (extrema[1] - extrema[0]) * (extrema[2] - extrema[1]) < 0  # peak, trough, peak or the reverse


def test_only_populations_have_an_energy_balance():
    run = simulate(RescaledTime(MPR()), Y0, [0.0, 0.1])
    with pytest.raises(ValueError, match=r"^Argument `model` must have a potential \(`AbstractMechanical`\), but got R"):
        energy_balance(run)


@pytest.mark.slow
def test_balance_in_float32():
    """The balance of a float32 run stays float32 and closes to its rounding."""
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), MODELS["tau"])
    balance = energy_balance(simulate(model, Y0, TS, stimulus=STIMULI["sinusoid"]))
    assert {leaf.dtype for leaf in jax.tree.leaves(balance)} == {jnp.dtype("float32")}
    assert balance.relative < 1e-3


@pytest.mark.slow
def test_long_gaps_between_saved_times():
    """Two saved times 3000 apart: the ledger follows the run all the way, not just the steps of one solve's default."""
    run = nmm.simulate(nmm.MPR(2.0, 5.0, 0.01), {"r": 3.0, "v": 0.2}, [0.0, 3000.0], rtol=1e-10, atol=1e-12)
    assert nmm.energy_balance(run).relative < 1e-8
