"""Transitions: thresholds against brute force and analytic limits, their gradients, optimal stimuli, basins, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.equilibria.stability import flat_field
from nmmjax.transitions.attractors import find_attractors

RATES = jnp.asarray([0.632021, 0.074733])
FIRST = {"r": RATES, "v": -1 / (2 * jnp.pi * RATES)}
SECOND = {name: value[::-1] for name, value in FIRST.items()}
PAIR = nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0)
ONE = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
LOW, HIGH = {"r": 0.0811344420, "v": -1.9616199886}, {"r": 1.0305967988, "v": -0.1544298830}
CASES = {  # model, start, end, node, sign
    "pair": (PAIR, FIRST, SECOND, 1, 1),
    "up": (ONE, LOW, HIGH, None, 1),
    "down": (ONE, HIGH, LOW, None, -1),
}


@pytest.fixture(scope="module")
def pulses():
    return {
        name: nmm.minimal_pulse(model, start=start, end=end, duration=5.0, node=node)
        for name, (model, start, end, node, _) in CASES.items()
    }


def ends_at(model, start, end, stimulus, duration, settle=60.0):
    """Whether a run ends nearer to `end` than to `start`: by `simulate`, without what the library decides with."""
    ts = jnp.asarray([0.0, duration, duration + settle])
    last = nmm.simulate(model, start, ts, stimulus=stimulus, rtol=1e-9, atol=1e-11).ys.r[-1]
    return jnp.linalg.norm(last - end["r"]) < jnp.linalg.norm(last - start["r"])


@pytest.mark.parametrize("name", CASES)
def test_minimal_pulse_is_where_brute_force_switches_first(pulses, name):
    model, start, end, node, sign = CASES[name]
    pulse = pulses[name]
    low, high = (float(each) for each in pulse.bracket)
    assert pulse.reached and np.sign(high) == sign and 0 < (high - low) / high <= 1e-6
    aim = (lambda stimulus: stimulus) if node is None else (lambda stimulus: model.target(stimulus, node))

    def switches(amplitude):
        return ends_at(model, start, end, aim(nmm.Pulse(amplitude, 0.0, 5.0)), 5.0)

    grid = high * jnp.linspace(0.01, 0.99, 99)
    near = high * jnp.asarray([1 - 1e-4, 1 - 1e-5, 1 + 1e-5, 1 + 1e-4, 1.01])
    seen = np.asarray(jax.jit(jax.vmap(switches))(jnp.concatenate([grid, near])))
    assert not seen[:99].any()
    np.testing.assert_array_equal(seen[99:], [False, False, True, True, True])


def test_pulse_is_a_stimulus_with_its_numbers(pulses):
    pulse = pulses["pair"]
    a = float(pulse.amplitude)
    np.testing.assert_allclose(a, 2.535296, rtol=2e-6)
    np.testing.assert_allclose((pulse.charge, pulse.energy), (5 * a, 5 * a**2), rtol=1e-12)
    np.testing.assert_allclose(pulse.stimulus(jnp.asarray(1.0)), [0.0, a])
    np.testing.assert_allclose(pulse.start.r, RATES, rtol=1e-5)
    assert "switches" in repr(pulse) and "at node 1" in repr(pulse) and nmm.results.RESULTS[pulse.result] == ""


def test_what_no_pulse_can_do_is_said_without_a_number():
    pulse = nmm.minimal_pulse(PAIR, start=FIRST, end=SECOND, duration=5.0, node=1, bound=2.0)
    assert not pulse.reached and jnp.isnan(pulse.amplitude) and jnp.isnan(pulse.energy) and pulse.stimulus is None
    assert pulse.result == nmm.results.RESULTS.not_reachable
    assert "Not reachable up to amplitude 2 " in repr(pulse)


def test_state_and_mirrored_task_agree(pulses):
    """The pair is symmetric: from the other state, with nodes exchanged, the threshold is the same."""
    start, end = nmm.State(**SECOND), nmm.State(**FIRST)
    pulse = nmm.minimal_pulse(PAIR, start=start, end=end, duration=5.0, node=0)
    np.testing.assert_allclose(pulse.amplitude, pulses["pair"].amplitude, rtol=2e-6)


def test_scaling_of_the_time_constant():
    """τ → 2τ with the duration doubled and r halved leaves the threshold as it is."""
    slow = nmm.MPR(tau=2.0)
    halved = [{"r": y["r"] / 2, "v": y["v"]} for y in (LOW, HIGH)]
    pulse = nmm.minimal_pulse(slow, start=halved[0], end=halved[1], duration=10.0)
    reference = nmm.minimal_pulse(ONE, start=LOW, end=HIGH, duration=5.0)
    np.testing.assert_allclose(pulse.amplitude, reference.amplitude, rtol=3e-6)


def test_nodes_are_ranked(pulses):
    ranked = nmm.best_node(PAIR, start=FIRST, end=SECOND, duration=5.0)
    assert [pulse.node for pulse in ranked] == [0, 1]  # calming the winner needs less than exciting the loser
    assert float(ranked[0].amplitude) < 0 < float(ranked[1].amplitude)
    np.testing.assert_allclose(ranked[1].amplitude, pulses["pair"].amplitude, rtol=1e-4)
    alone = nmm.minimal_pulse(PAIR, start=FIRST, end=SECOND, duration=5.0, node=0)
    np.testing.assert_allclose(ranked[0].amplitude, alone.amplitude, rtol=1e-4)


@pytest.fixture(scope="module")
def curve():
    return nmm.strength_duration(ONE, start=LOW, end=HIGH, durations=jnp.geomspace(0.1, 20.0, 12), sign=1)


@pytest.mark.slow
def test_strength_duration_ends_at_the_fold(curve):
    """A long pulse switches once the low state is gone: at the fold η = −3.13613409; the rest takes (π/time)²."""
    fold = -3.13613409 + 5.0
    assert fold < float(curve.rheobase) < fold + 1e-3
    assert bool(jnp.all(jnp.isfinite(curve.amplitudes))) and bool(np.all(curve.decided))
    assert bool(jnp.all((curve.brackets[:, 1] - curve.brackets[:, 0]) <= 1e-6 * curve.brackets[:, 1]))
    one = nmm.minimal_pulse(ONE, start=LOW, end=HIGH, duration=curve.chronaxie, sign=1, bound=2.01 * curve.rheobase)
    assert one.reached and float(one.amplitude) <= 2 * float(curve.rheobase) * (1 + 1e-5)
    assert "rheobase 1.86" in repr(curve)


def test_short_pulses_are_kicks_of_the_voltage(curve):
    """As the duration goes to 0 the charge tends to the smallest kick of v that switches."""

    def ends_high(kick):
        ts = jnp.asarray([0.0, 80.0])
        return nmm.simulate(ONE, {"r": LOW["r"], "v": LOW["v"] + kick}, ts).ys.r[-1] > 0.5

    kicks = jnp.linspace(2.8, 3.3, 201)
    first = float(kicks[np.argmax(np.asarray(jax.vmap(ends_high)(kicks)))])
    charges = np.asarray(curve.charges)
    limit = charges[0] - (charges[1] - charges[0]) * 0.1 / (float(curve.durations[1]) - 0.1)  # linear in the duration
    np.testing.assert_allclose(limit, first, rtol=5e-3)


@pytest.mark.slow
def test_minimal_charge_and_energy_are_the_least_of_the_curve():
    options = {"start": HIGH, "end": LOW, "sign": -1}
    durations = jnp.geomspace(0.1, 10.0, 60)
    many = nmm.strength_duration(ONE, durations=durations, **options)
    for objective, costs in (("charge", jnp.abs(many.charges)), ("energy", many.energies)):
        best = nmm.minimal_charge(ONE, durations=(0.1, 10.0), objective=objective, **options)
        value = abs(float(getattr(best, objective)))
        assert value <= float(jnp.min(costs)) * (1 + 1e-5)
        assert value >= float(jnp.min(costs)) * (1 - 1e-2)


def threshold(model, start, end, duration, node):
    """The threshold to rounding."""
    pulse = nmm.minimal_pulse(model, start=start, end=end, duration=duration, node=node, rtol=1e-12)
    return float(jnp.mean(pulse.bracket))


@pytest.mark.slow
def test_gradient_of_the_threshold_of_the_pair(pulses):
    """Against central differences of thresholds bisected to rounding: the issue's number."""
    found = nmm.threshold_gradient(pulses["pair"])
    assert found.result == nmm.results.RESULTS.successful
    np.testing.assert_allclose(found.saddle.r, 0.295314, rtol=2e-6)  # the symmetric state, models.md §9
    np.testing.assert_allclose(found.eigenvalue, 1.2495, rtol=1e-4)
    h, at = 1e-3, lambda model: threshold(model, FIRST, SECOND, 5.0, 1)
    by_J = (at(nmm.mutual_inhibition(J_cross=-15 + h)) - at(nmm.mutual_inhibition(J_cross=-15 - h))) / (2 * h)
    weights = found.model.weights
    np.testing.assert_allclose(weights[0, 1] + weights[1, 0], by_J, rtol=1e-6)


@pytest.mark.slow
def test_gradients_by_excitability_and_duration(pulses):
    found = nmm.threshold_gradient(pulses["pair"])
    h, at = 1e-3, lambda model, T=5.0: threshold(model, FIRST, SECOND, T, 1)
    by_eta = (at(nmm.mutual_inhibition(eta=5 + h)) - at(nmm.mutual_inhibition(eta=5 - h))) / (2 * h)
    by_T = (at(PAIR, 5 + h) - at(PAIR, 5 - h)) / (2 * h)
    np.testing.assert_allclose(found.model.node.eta, by_eta, rtol=1e-6)
    np.testing.assert_allclose(found.duration, by_T, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["up", "down"])
@pytest.mark.parametrize("parameter", ["eta", "J", "Delta", "tau"])
def test_gradient_of_the_threshold_of_one_population(pulses, name, parameter):
    _, start, end, node, _ = CASES[name]
    value, h = float(getattr(ONE, parameter)), 1e-3
    found = nmm.threshold_gradient(pulses[name])
    up, down = (threshold(nmm.MPR(**{parameter: value + step}), start, end, 5.0, node) for step in (h, -h))
    np.testing.assert_allclose(getattr(found.model, parameter), (up - down) / (2 * h), rtol=1e-4)


@pytest.mark.slow
def test_threshold_amplitude_differentiates(pulses):
    slope = jax.grad(lambda J: nmm.threshold_amplitude(nmm.MPR(J=J), pulses["down"]))(15.0)
    np.testing.assert_allclose(slope, nmm.threshold_gradient(pulses["down"]).model.J, rtol=1e-12)


@pytest.fixture(scope="module")
def optimum():
    return nmm.optimal_stimulus(ONE, start=HIGH, end=LOW, T=5.0, pieces=32, steps=5, sign=-1)


@pytest.mark.slow
def test_optimal_stimulus_beats_the_best_pulse(optimum):
    assert optimum.reached and optimum.pulse.reached
    assert float(optimum.energy) < 0.65 * float(optimum.pulse.energy)
    assert bool(jnp.all(jnp.diff(optimum.history) < 0))
    np.testing.assert_allclose(optimum.energy, jnp.sum(optimum.values**2) * 5.0 / 32, rtol=1e-12)
    np.testing.assert_allclose(optimum.energy, optimum.history[-1] * (1 + 1e-4) ** 2, rtol=1e-9)
    assert "% of the energy of the best pulse" in repr(optimum)


@pytest.mark.slow
def test_optimal_stimulus_switches_and_slightly_less_does_not(optimum):
    run = lambda factor: nmm.simulate(
        *(ONE, optimum.start, jnp.asarray([0.0, 5.0, 80.0])),
        stimulus=nmm.Sampled(optimum.stimulus.ts, factor * optimum.stimulus.values, interpolation="hold"),
    ).ys.r[-1]
    np.testing.assert_allclose(run(1.0), LOW["r"], rtol=1e-3)
    np.testing.assert_allclose(run(1 - 2e-4), HIGH["r"], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pair", "up"])
def test_optimal_stimulus_of_the_other_cases(name):
    model, start, end, node, _ = CASES[name]
    found = nmm.optimal_stimulus(model, start=start, end=end, T=5.0, node=node)
    assert found.reached and float(found.energy) < 0.9 * float(found.pulse.energy)


@pytest.fixture(scope="module")
def plane():
    rs, vs = jnp.linspace(0.02, 2.0, 41), jnp.linspace(-4.0, 4.0, 41)
    return nmm.basin_map(ONE, attractors=[LOW, HIGH], over={"r": rs, "v": vs})


def test_basins_are_those_of_long_simulations(plane):
    r, v = (each.reshape(-1) for each in jnp.meshgrid(*plane.coordinates, indexing="ij"))
    ends = jax.jit(jax.vmap(lambda r, v: nmm.simulate(ONE, {"r": r, "v": v}, jnp.asarray([0.0, 300.0])).ys.r[-1]))(r, v)
    expected = np.where(np.abs(np.asarray(ends) - HIGH["r"]) < 1e-3, 1, 0).reshape(41, 41)
    np.testing.assert_array_equal(plane.labels, expected)
    assert sum(plane.fractions.values()) == pytest.approx(1.0)


def test_basins_obey_the_energy(plane):
    """Below the pass's energy V(r_saddle) a state can't cross it: it ends on its own side (docs/theory.md §4)."""
    saddle = nmm.State(r=jnp.asarray(0.4729803407), v=jnp.asarray(0.0))
    top = nmm.potential_energy(ONE, saddle)
    r, v = jnp.meshgrid(*plane.coordinates, indexing="ij")
    below = np.asarray(nmm.total_energy(ONE, nmm.State(r=r, v=v)) < top)
    assert 50 < below.sum() < below.size
    np.testing.assert_array_equal(plane.labels[below], (np.asarray(r) > 0.4729803407)[below].astype(int))


def test_basins_as_labelled_data(plane):
    data = plane.to_xarray()
    assert data.basin.dims == ("r", "v") and data.attrs["eta"] == -5.0 and data.basin.attrs["label_1"] == "state 1"
    np.testing.assert_allclose(data.r_attractor, [LOW["r"], HIGH["r"]], rtol=1e-8)
    assert "state 0" in repr(plane)


def test_states_that_never_decide_are_told():
    """On the diagonal the pair keeps its symmetry and ends at the saddle: in no basin."""
    rs = jnp.asarray([0.2, 0.5])
    over = {("r", 0): rs, ("r", 1): rs}
    found = nmm.basin_map(PAIR, attractors=[FIRST, SECOND], y0={"r": 0.3, "v": -0.5}, over=over)
    np.testing.assert_array_equal(found.labels, [[-1, 1], [0, -1]])
    assert found.cycles == () and found.to_xarray().basin.dims == ("r_0", "r_1")


def test_oscillations_are_basins_too():
    """Gap junctions sustain a cycle, of peak 1.8648 (docs/theory.md §5)."""
    model = nmm.MPR(eta=1.0, J=0.0, Delta=0.05, gap=nmm.GapJunction(0.2))
    over = {"r": jnp.linspace(0.1, 2.0, 3), "v": jnp.linspace(-2.0, 2.0, 3)}
    found = nmm.basin_map(model, attractors=[], y0={"r": 0.3, "v": 0.0}, patience=100.0, over=over)
    assert np.all(found.labels == 0) and len(found.cycles) == 1 and found.names == ("cycle 0",)
    np.testing.assert_allclose(found.cycles[0][1], 1.8648, rtol=1e-3)


SLOW = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, adaptation=nmm.SpikeFrequencyAdaptation(0.01, 20.0, kernel="exponential"))


@pytest.mark.slow
def test_slow_models_switch_too():
    """Rest and steady firing of an adapting population; the pulse is checked by `simulate`."""
    ts = jnp.asarray([0.0, 400.0])
    start, end = (nmm.simulate(SLOW, y, ts).y_end for y in (LOW, HIGH))
    pulse = nmm.minimal_pulse(SLOW, start=start, end={"r": end.r, "v": end.v}, duration=5.0)  # A follows from the rate
    assert pulse.reached and pulse.start.names == ("r", "v", "A")
    for factor, target in ((1 + 1e-4, pulse.end), (1 - 1e-4, pulse.start)):
        stimulus = nmm.Pulse(factor * pulse.amplitude, 0.0, 5.0)
        end = nmm.simulate(SLOW, pulse.start, jnp.asarray([0.0, 5.0, 400.0]), stimulus=stimulus).y_end
        np.testing.assert_allclose(end.r, target.r, rtol=1e-3)


@pytest.mark.parametrize("name", ["pair", "up"])
def test_traps_cannot_be_left(name, key):
    """Inside |z| = 1 the distance falls, for states of any direction: the inequality of attractors.py."""
    model, start, end, _, _ = CASES[name]
    found = find_attractors(model, {"start": start, "end": end})
    size = found.flat.shape[1]
    for k in range(2):
        inverse = jnp.linalg.inv(found.forms[k])
        z = jax.random.normal(key, (500, size))
        z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
        back = jax.flatten_util.ravel_pytree(found.state(k))[1]
        flow = jax.vmap(flat_field(model, found.state(k)))(found.flat[k][None] + z @ inverse.T) @ found.forms[k].T
        assert float(jnp.max(jnp.sum(z * flow, axis=1))) < 0
        np.testing.assert_allclose(found.distances(back(found.flat[k] + inverse @ z[0]))[k], 1.0, rtol=1e-9)


GOOD = {"model": ONE, "start": LOW, "end": HIGH, "duration": 5.0}
BAD = {
    "saddle": (GOOD | {"end": {"r": 0.4729803407, "v": -0.3364937808}}, "`end` must .*not \\+1.6416"),
    "moving": (GOOD | {"start": {"r": 0.3, "v": -0.3}}, "`start` must be a stable fixed point: dy/dt = 0, not 1.3"),
    "same": (GOOD | {"end": LOW}, "`end` must differ from `start`"),
    "keys": (GOOD | {"start": {"r": 0.3}}, "`start` must be a stable state"),
    "shape": (GOOD | {"start": FIRST}, "must be a number"),
    "duration": (GOOD | {"duration": 0.0}, "`duration` must be > 0"),
    "bound": (GOOD | {"bound": -1.0}, "`bound` must be > 0"),
    "sign": (GOOD | {"sign": 2}, "`sign` must be 1, −1 or None"),
    "scan": (GOOD | {"scan": 1}, "`scan` must be an integer ≥ 2"),
    "node of one": (GOOD | {"node": 0}, "`node` must be None for one population"),
    "node": (GOOD | {"model": PAIR, "start": FIRST, "end": SECOND, "node": 2}, "`node` must be an integer from 0 to 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_in_one_sentence(name, unchecked):
    arguments, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        nmm.minimal_pulse(**arguments)
    assert str(error.value).startswith("Argument `") and str(error.value).endswith(".")


def test_bad_input_elsewhere(pulses, unchecked):
    with pytest.raises(ValueError, match="`durations` must be > 0"):
        nmm.strength_duration(ONE, start=LOW, end=HIGH, durations=jnp.asarray([1.0, -1.0]))
    with pytest.raises(ValueError, match="`durations` must be a pair"):
        nmm.minimal_charge(ONE, start=LOW, end=HIGH, durations=(5.0, 1.0))
    with pytest.raises(ValueError, match="`model` must be a `Network`"):
        nmm.best_node(ONE, start=LOW, end=HIGH, duration=1.0)
    with pytest.raises(ValueError, match="`T` must be > 0"):
        nmm.optimal_stimulus(ONE, start=LOW, end=HIGH, T=-1.0)
    with pytest.raises(ValueError, match="`over` must name variables"):
        nmm.basin_map(ONE, attractors=[LOW], over={"r": jnp.ones(2), "A": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"`over\['r'\]` must be finite and > 0"):
        nmm.basin_map(ONE, attractors=[LOW], over={"r": jnp.zeros(2), "v": jnp.ones(2)})
    with pytest.raises(ValueError, match="`patience` must be given"):
        nmm.basin_map(ONE, attractors=[], over={"r": jnp.ones(2), "v": jnp.ones(2)})
    with pytest.raises(ValueError, match="`pulse` must be a minimal pulse that switches"):
        nmm.threshold_gradient(None)


@pytest.mark.slow
def test_picture_of_an_optimal_stimulus(optimum):
    import matplotlib.pyplot as plt

    upper, lower = nmm.plot.switch(optimum, after=10.0)
    assert "input" in upper.get_ylabel() and "rate" in lower.get_ylabel()
    plt.close("all")


def test_pictures(pulses, curve, plane):
    import matplotlib.pyplot as plt

    assert len(nmm.plot.strength_duration(curve)) == 2
    assert nmm.plot.basins(plane).get_xlabel().startswith("firing rate r")
    upper, lower = nmm.plot.switch(pulses["pair"], after=10.0)
    assert "input" in upper.get_ylabel() and "rate" in lower.get_ylabel()
    plt.close("all")
