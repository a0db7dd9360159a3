"""The sweep engine against independent solvers: values, orders, error estimates, failures that stay alone, determinism."""

import dataclasses

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import MODELS, reference, rest_slow, slope
from hypothesis import given, settings
from hypothesis import strategies as st

import nmmjax as nmm
from nmmjax import MPR, Custom, Final, Mean, MobiusSplitting, Peak, Pulse, PulseTrain, Ramp, Sinusoid, plan_sweep
from nmmjax.ensemble.convergence import Rules, converge
from nmmjax.ensemble.packing import packer
from nmmjax.ensemble.scales import scales
from nmmjax.ensemble.steps import steps_of
from nmmjax.extend import compute_lanes
from nmmjax.mechanics.channels import Problem
from nmmjax.models.base import AbstractModel
from nmmjax.models.stimulus import input_at

Y0, T1 = {"r": 0.3, "v": -0.5}, 6.0
# Eight lanes: excitation, inhibition, no coupling, homogeneous, several time constants.
SETS = {
    "eta": [1.0, 2.0, -3.0, 4.0, 1.0, -5.0, 0.5, 3.0],
    "J": [8.0, -6.0, 0.0, 0.0, 5.0, 15.0, 12.0, -9.0],
    "Delta": [0.3, 0.2, 0.7, 0.0, 0.0, 1.0, 0.05, 0.0],
    "tau": [1.0, 1.0, 1.3, 0.8, 1.6, 1.0, 2.0, 0.7],
}
UNCOUPLED = [2, 3]


def together(sets=SETS):
    return {name: ("lane", values) for name, values in sets.items()}


def models(sets=SETS):
    return [MPR(*each) for each in zip(*(sets[name] for name in ("eta", "J", "Delta", "tau")), strict=True)]


def compute(plan, lanes=None):
    return compute_lanes(plan, np.arange(plan.lanes) if lanes is None else np.asarray(lanes))


def final(found, name="last"):
    """(lanes, 2): r and v at the end."""
    return np.stack([found[f"{name}_r"], found[f"{name}_v"]], axis=1)


def endings(stimuli, currents, cuts, y0=(0.3, -0.5)):
    """Exact states at T1: of every lane, under its own current, restarted at its cuts."""
    rows = []
    for model, current, cut in zip(models(), currents, cuts, strict=True):
        states, begin = np.asarray(y0), 0.0
        for end in [*cut, T1]:
            # Inside a piece the current is smooth: one-sided at its ends.
            inside = lambda t, a=begin, b=end, current=current: current(min(max(t, a), np.nextafter(b, a)))
            states = reference(model, states, [begin, end], inside)[:, -1]
            begin = end
        rows.append(states)
    return np.array(rows)


# --- against an independent solver --------------------------------------------------------------------------------------

STIMULI = {  # stimulus, the same in NumPy, its jumps
    "none": (None, lambda t: 0.0, ()),
    "pulse": (Pulse(3.0, 2.03, 4.57), lambda t: 3.0 * (2.03 <= t < 4.57), (2.03, 4.57)),
    "sinusoid": (Sinusoid(2.0, 1.3), lambda t: 2.0 * np.sin(1.3 * t), ()),
    "ramp": (Ramp(2.5, 1.1, 3.3), lambda t: 2.5 * np.clip((t - 1.1) / 2.2, 0, 1), (1.1, 3.3)),
    "train": (
        PulseTrain(2.0, 0.5, 1.5, 0.4, count=2),
        lambda t: 2.0 * (0.5 <= t < 0.9 or 2.0 <= t < 2.4),
        (0.5, 0.9, 2.0, 2.4),
    ),
}


@pytest.fixture(scope="module")
def exact():
    """Exact final states by stimulus, made once."""
    made = {}

    def of(name):
        if name not in made:
            stimulus, current, cut = STIMULI[name]
            made[name] = endings(stimulus, [current] * 8, [cut] * 8)
        return made[name]

    return of


def sweep_of(name, **arguments):
    given = {"y0": Y0, "t1": T1, "observe": {"last": Final()}, "stimulus": STIMULI[name][0]} | arguments
    return plan_sweep(MPR(), over=together(), **given)


@pytest.mark.parametrize("name", rest_slow(STIMULI, "none", "pulse"))
def test_final_states_and_error_estimates(name, exact):
    """Lanes equal SciPy's DOP853 to about their tolerance; the estimate bounds most; J = 0 is exact in big steps."""
    for rtol in (1e-4, 1e-6, 1e-9):
        found = compute(sweep_of(name, rtol=rtol))
        assert np.all(found["status"] == 0) and np.all(np.isnan(found["failure_time"]))
        errors = np.max(np.abs(final(found) - exact(name)) / (np.abs(exact(name)) + 0.1), axis=1)
        assert np.mean(errors <= rtol) >= 7 / 8 and np.all(errors <= 3 * rtol), errors
        assert np.all(found["error"] <= rtol)
        assert np.mean(errors <= found["error"] + 1e-11) >= 0.75, (errors, found["error"])
    if name in ("none", "pulse", "train"):  # piecewise constant input
        big = compute(sweep_of(name, dt0=0.9))
        np.testing.assert_allclose(final(big)[UNCOUPLED], exact(name)[UNCOUPLED], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["none", "sinusoid", "ramp"])
def test_order(name, exact):
    """The processed splitting is of order 4, and of order 6 once extrapolated from steps h and h/2."""
    counts = np.array([96, 128, 192, 256, 384, 512])
    runs = {n: final(compute(sweep_of(name, dt0=T1 / n))) for n in sorted({*counts, *(2 * counts)})}
    coupled = [lane for lane in range(8) if lane not in UNCOUPLED]
    true = exact(name)[coupled]
    worst = [np.linalg.norm(runs[n][coupled] - true) for n in counts]
    assert abs(slope(-np.log(counts), np.log(worst)) - 4) < 0.2
    better = [(16 * runs[2 * n][coupled] - runs[n][coupled]) / 15 for n in counts]
    improved = np.array([np.linalg.norm(each - true) for each in better])
    usable = improved > 1e-11
    assert usable.sum() >= 3
    if name != "ramp":  # whose stretches round their steps, each by itself
        assert abs(slope(-np.log(counts[usable]), np.log(improved[usable])) - 6) < 0.5


def test_swept_stimulus():
    """The stimulus' own numbers vary over lanes: amplitude and onset, which moves the stretches."""
    starts, amplitudes = [0.0, 1.0, 2.0, 2.5], [3.0, 1.0, -2.0, 4.0]
    over = {"stimulus.start": ("lane", starts), "stimulus.amplitude": ("lane", amplitudes)}
    model = MPR(1.0, 8.0, 0.3, 1.2)
    plan = plan_sweep(model, over=over, y0=Y0, t1=T1, observe={"last": Final()}, stimulus=Pulse(1.0, 1.0, 3.0), rtol=1e-9)
    found = final(compute(plan))
    for lane, (start, amplitude) in enumerate(zip(starts, amplitudes, strict=True)):
        y = np.array([0.3, -0.5])
        for begin, end, current in ((0.0, start, 0.0), (start, 3.0, amplitude), (3.0, T1, 0.0)):
            y = reference(model, y, [begin, end], lambda t, c=current: c)[:, -1] if end > begin else y
        np.testing.assert_allclose(found[lane], y, rtol=1e-8, atol=1e-9)


@pytest.fixture(scope="module")
def wide():
    """A wide random ensemble with peaks and means, at four tolerances."""
    rng = np.random.default_rng(1)
    n = 200
    over = {
        "eta": ("lane", rng.uniform(-6, 6, n)),
        "J": ("lane", rng.uniform(-10, 20, n)),
        "Delta": ("lane", rng.uniform(0.02, 1, n)),
        "r": ("lane", 10 ** rng.uniform(-1.5, 0.5, n)),
    }
    observe = {"last": Final(), "peak": Peak("r"), "mean": Mean("r")}
    plans = {
        rtol: plan_sweep(MPR(), over=over, y0=Y0, t1=10.0, observe=observe, rtol=rtol) for rtol in (1e-4, 1e-6, 1e-8, 1e-11)
    }
    return plans, {rtol: compute(plan) for rtol, plan in plans.items()}


def test_estimates_bound_the_errors_of_a_wide_ensemble(wide):
    """In nine of ten lanes; and the tolerance is honoured in 97 %, ten times the tolerance in 99 %."""
    _, found = wide
    true = found[1e-11]
    names = ("last_r", "last_v", "peak", "mean")
    for rtol in (1e-4, 1e-6, 1e-8):
        assert np.all(found[rtol]["status"] == 0)
        error = np.max([np.abs(found[rtol][each] - true[each]) / (np.abs(true[each]) + 0.1) for each in names], axis=0)
        assert np.mean(error <= found[rtol]["error"] + 1e-10) >= 0.9
        assert np.mean(error <= rtol) >= 0.97 and np.mean(error <= 10 * rtol) >= 0.99


def test_the_finest_run_is_true(wide):
    plans, found = wide
    values = plans[1e-11].values(np.arange(6))
    for lane in range(6):
        model = MPR(values["eta"][lane], values["J"][lane], values["Delta"][lane])
        y = reference(model, (values["r"][lane], -0.5), [0.0, 10.0])[:, -1]
        np.testing.assert_allclose(final(found[1e-11])[lane], y, rtol=1e-9, atol=1e-10)


def test_float32():
    """Single precision throughout, accurate to its rounding, and it ends."""
    single = lambda x: jnp.asarray(x, jnp.float32)
    with jax.enable_x64(False):
        model = MPR(single(1.0), single(8.0), single(0.3), single(1.2))
        plan = plan_sweep(model, over={"eta": [-2.0, 0.0, 1.0]}, y0=Y0, t1=T1, observe={"last": Final(), "mean": Mean("r")})
        assert plan.dtype == "float32"
        found = compute(plan)
    assert found["last_r"].dtype == found["mean"].dtype == np.float32
    assert np.all(found["status"] == 0)
    for lane, eta in enumerate((-2.0, 0.0, 1.0)):
        true = reference(MPR(eta, 8.0, 0.3, 1.2), (0.3, -0.5), [0.0, T1])[:, -1]
        np.testing.assert_allclose(final(found)[lane], true, rtol=1e-3, atol=1e-3)


ETA_NEAR_ZERO = [-1.1496063, 0.50393701, 1.13385827, 1.52755906]
J_NEAR_ZERO = [27.16535433, 29.05511811, 28.11023622, 28.34645669]
MEAN_NEAR_ZERO = [0.03140522, -1.13020091, 0.07898625, 0.00561975]  # by the same sweep in float64


def test_rounding_counts_relative_to_what_is_observed():
    """Float32 lanes whose mean energy is a small difference of terms near 100, and whose v ends near 0: successful, and as
    close as those terms allow. Before, each said that the tolerance was not met."""
    sets = {"eta": ("lane", ETA_NEAR_ZERO), "J": ("lane", J_NEAR_ZERO)}
    observe = {"peak": Peak("r"), "mean_energy": Mean("energy"), "last": Final()}
    with jax.enable_x64(False):
        plan = plan_sweep(MPR(Delta=1.0), over=sets, y0={"r": 0.1, "v": -2.0}, t1=200.0, observe=observe)
        found = compute(plan)
        values = plan.values(np.arange(4))
        finals = {"r": found["last_r"], "v": found["last_v"]}
        sizes = jax.tree.map(np.asarray, scales(plan.task(tuple(values)))(plan.base, values, finals))
    np.testing.assert_array_equal(found["status"], 0)
    assert np.all(found["error"] <= 1e-4)
    assert np.all(np.abs(found["mean_energy"] - MEAN_NEAR_ZERO) < 1e-4 * sizes["mean_energy"])
    assert np.all((sizes["mean_energy"] > 60) & (sizes["mean_energy"] < 400))
    np.testing.assert_allclose(sizes["last_v"], np.hypot(np.pi * found["last_r"], found["last_v"]), rtol=1e-5)


def test_a_scale_hides_no_true_alarm():
    """Two runs that never agree to better than a tenth of the scale have not met the tolerance, and keep their error."""

    def solve(lanes, rates, multiple=1):
        steps = np.ceil(rates * multiple * 10).astype(int)
        noise = (0.1 if np.log2(multiple) % 2 else -0.1) * np.array([1.0, 1e-5])[lanes]
        return {"x": (1e-3 + 10 * noise).astype(np.float32)}, steps[:, None]

    sizes = lambda lanes, results: {"x": np.full(lanes.size, 10.0)}
    rules = Rules.of({"x": True}, {}, (1e-4, 0.0), 10**6, True, np.float32)
    _, error, met, _ = converge(solve, np.array([1.0, 1.0]), rules, sizes=sizes)
    assert not met[0] and error[0] > 1e-4 and met[1] and error[1] <= 1e-4


# --- Runge–Kutta --------------------------------------------------------------------------------------------------------

ETAS = [-1.0, 1.0, 2.5]
RUNGE_KUTTA = {
    "Tsit5, gap": (diffrax.Tsit5(), "gap", None),
    "Dopri5, conductance": (diffrax.Dopri5(), "conductance", Sinusoid(1.0, 1.3)),
    "Dopri8, everything": (diffrax.Dopri8(), "everything", None),
}
runge_kutta = pytest.mark.parametrize(
    ("solver", "name", "stimulus"),
    [pytest.param(*each, id=name, marks=[pytest.mark.slow] * ("Dopri8" in name)) for name, each in RUNGE_KUTTA.items()],
)


def solve_all(model, solver, stimulus, controller, first, y0):
    """`diffrax.diffeqsolve` for every η with its `first` step: (final r, final v, number of steps)."""

    @eqx.filter_jit
    def one(eta, dt0):
        term = diffrax.ODETerm(lambda t, y, each: each.vector_field(t, y, input_at(stimulus, t)))
        each = eqx.tree_at(lambda m: m.eta, model, eta)
        run = diffrax.diffeqsolve(
            term, solver, 0.0, T1, dt0, y0, args=each, stepsize_controller=controller, max_steps=100_000
        )
        return run.ys.r[-1], run.ys.v[-1], run.stats["num_steps"]

    return np.array([one(jnp.asarray(eta), jnp.asarray(dt0)) for eta, dt0 in zip(ETAS, first, strict=True)]).T


def first_steps(plan, model, stimulus):
    """Hairer's first step of every lane (diffrax, left to itself, starts with 0.01)."""
    order, zero = plan.method.solver.order(None), jnp.asarray(0.0)

    @eqx.filter_jit
    def one(eta):
        each = eqx.tree_at(lambda m: m.eta, model, eta)
        y0 = each.state(Y0)
        slope = each.vector_field(zero, y0, input_at(stimulus, zero))
        return plan.method._first_step(Problem(each, y0, stimulus), zero, y0, slope, order)

    return [float(one(jnp.asarray(eta))) for eta in ETAS]


@runge_kutta
def test_fixed_steps_are_those_of_diffrax(solver, name, stimulus):
    model = MODELS[name]
    plan = plan_sweep(
        model, over={"eta": ETAS}, y0=Y0, t1=T1, observe={"last": Final()}, solver=solver, dt0=0.01, stimulus=stimulus
    )
    found = compute(plan)
    r, v, steps = solve_all(model, solver, stimulus, diffrax.ConstantStepSize(), [0.01] * 3, model.state(Y0))
    np.testing.assert_allclose(final(found), np.stack([r, v], axis=1), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found["steps"], steps)
    assert np.all(np.isnan(found["error"]))


@runge_kutta
def test_adaptive_steps_are_those_of_diffrax(solver, name, stimulus):
    model = MODELS[name]
    rtol, atol = 1e-7, 1e-8
    plan = plan_sweep(
        model,
        over={"eta": ETAS},
        y0=Y0,
        t1=T1,
        observe={"last": Final()},
        solver=solver,
        rtol=rtol,
        atol=atol,
        stimulus=stimulus,
    )
    found = compute(plan)
    r, v, steps = solve_all(
        model, solver, stimulus, diffrax.PIDController(rtol, atol), first_steps(plan, model, stimulus), model.state(Y0)
    )
    np.testing.assert_array_equal(found["steps"], steps)
    np.testing.assert_allclose(final(found), np.stack([r, v], axis=1), rtol=1e-9, atol=1e-9)


def test_adaptive_steps_onto_jumps():
    model, (begin, end) = MODELS["gap"], (2.03, 4.57)
    plan = plan_sweep(
        model, over={"eta": ETAS}, y0=Y0, t1=T1, observe={"last": Final()}, stimulus=Pulse(3.0, begin, end), rtol=1e-10
    )
    found = final(compute(plan))
    for lane, eta in enumerate(ETAS):
        each, y = eqx.tree_at(lambda m: m.eta, model, jnp.asarray(eta)), np.array([0.3, -0.5])
        for a, b, current in ((0.0, begin, 0.0), (begin, end, 3.0), (end, T1, 0.0)):
            y = reference(each, y, [a, b], lambda t, c=current: c)[:, -1]
        np.testing.assert_allclose(found[lane], y, rtol=1e-8, atol=1e-8)


class Rotation(AbstractModel):
    """A harmonic oscillator, which shares nothing with neural masses."""

    equations = "x' = −y, y' = x + I(t)"
    source = "Galilei"

    variables = {"x": nmm.extend.Variable("place", "m"), "y": nmm.extend.Variable("place", "m")}  # noqa: RUF012

    def vector_field(self, t, y, I=0.0):
        return nmm.State(x=-y.y, y=y.x + I)


@pytest.mark.parametrize("dt0", [None, 0.01], ids=["adaptive", "fixed"])
def test_a_model_of_ones_own(dt0):
    """Another model with another state: final states, means and refined peaks of its channels."""
    x = np.array([1.0, 2.0, 0.5])
    observe = {"last": Final(), "mean": Mean("x"), "peak": Peak("y")}
    plan = plan_sweep(
        Rotation(), over={"x": x}, y0={"x": 1.0, "y": 0.0}, t1=4.0, observe=observe, dt0=dt0, rtol=1e-10, atol=1e-12
    )
    found = compute(plan)
    np.testing.assert_allclose(found["last_x"], x * np.cos(4.0), rtol=1e-7)
    np.testing.assert_allclose(found["last_y"], x * np.sin(4.0), rtol=1e-7)
    np.testing.assert_allclose(found["mean"], x * np.sin(4.0) / 4, rtol=1e-7)
    np.testing.assert_allclose(found["peak"], x, rtol=1e-9)
    assert plan.variables["peak"].attrs["units"] == "m"


# --- failures -----------------------------------------------------------------------------------------------------------


def explosive(rates):
    """Explicit steps so large that a high rate blows up."""
    over = {"r": ("lane", rates)}
    observe = {"last": Final(), "peak": Peak("r"), "mean": Mean("v")}
    return plan_sweep(MPR(1.0, 8.0, 0.3), over=over, y0=Y0, t1=T1, observe=observe, solver=diffrax.Tsit5(), dt0=0.04)


def test_a_lane_that_blows_up_costs_no_other():
    good = [0.1, 0.3, 0.5]
    found, alone = compute(explosive([*good[:2], 300.0, good[2]])), compute(explosive(good))
    assert found["status"].tolist() == [0, 0, 2, 0]
    for name in ("last_r", "last_v", "peak", "mean"):
        assert np.isnan(found[name][2])
        np.testing.assert_array_equal(found[name][[0, 1, 3]], alone[name])
    assert 0 <= found["failure_time"][2] < T1
    assert np.all(np.isnan(found["failure_time"][[0, 1, 3]]))
    np.testing.assert_array_equal(found["steps"][[0, 1, 3]], alone["steps"])


def test_adaptive_lanes_stop_at_the_largest_number_of_steps():
    """Lanes that need more say so and when; their results are NaN, not those of an earlier time."""
    plan = plan_sweep(MODELS["gap"], over={"r": [0.3, 30.0]}, y0=Y0, t1=3.0, observe={"last": Final()}, rtol=1e-8)
    full = compute(plan)
    limit = int(full["steps"].mean())
    short = dataclasses.replace(plan, method=dataclasses.replace(plan.method, max_steps=limit))
    found = compute(short)
    slow, fast = np.argmax(full["steps"]), np.argmin(full["steps"])
    assert found["status"][slow] == 1 and found["steps"][slow] == limit and 0 < found["failure_time"][slow] < 3
    assert found["status"][fast] == 0 and found["last_r"][fast] == full["last_r"][fast]
    assert np.isnan(found["last_r"][slow])


def test_a_tolerance_that_is_not_met_is_said():
    plan = dataclasses.replace(sweep_of("none", rtol=1e-10), max_steps=60)
    found = compute(plan)
    missed = found["status"] == 1
    assert missed.sum() >= 2 and set(found["status"]) <= {0, 1}
    assert np.all(np.isfinite(final(found)))
    assert np.all(found["error"][missed] > 1e-10) and np.all(found["error"][~missed] <= 1e-10)
    assert plan.meanings[1].startswith("The tolerance was not met")


# --- determinism --------------------------------------------------------------------------------------------------------


def test_observables_of_ones_own_are_told_apart():
    """A store must refuse another function, though all functions print alike; and know the same one again."""

    def plan(name):
        return grid(observe={"mine": Custom(lambda p: 0 * p.t, lambda s, p: s + p.weight * p.y.r, name=name)})

    plan("first").require_names()
    assert plan("first").config == plan("first").config
    assert plan("first").config != plan("second").config
    with pytest.raises(ValueError, match="`name` must be given to Custom with `store`"):
        plan("").require_names()


def test_equal_calls_have_equal_bits(wide):
    """A fixed part of a sweep is the same in every run: both devices, all threads, whichever ends first."""
    plan = wide[0][1e-6]
    assert jax.local_device_count() == 2
    lanes = np.random.default_rng(0).permutation(plan.lanes)
    one, two = compute(plan, lanes), compute(plan, lanes)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    heard = []
    compute_lanes(plan, lanes, heard.append)
    assert sum(heard) == plan.lanes
    # Other lanes beside it move a lane within its tolerance only.
    np.testing.assert_allclose(one["last_r"], wide[1][1e-6]["last_r"][lanes], rtol=1e-5, atol=1e-6)


# --- plans --------------------------------------------------------------------------------------------------------------


def grid(**arguments):
    given = {"over": {"eta": [1.0, 2.0]}, "y0": Y0, "t1": T1, "observe": {"last": Final()}} | arguments
    model = given.pop("model", MPR())
    return plan_sweep(model, **given)


SENTENCES = {
    "tiny steps": ({"dt0": 1e-12}, r"Argument `dt0` must be at least"),
    "nothing swept": ({"over": {}}, r"Argument `over` must name at least one parameter"),
    "no mapping": ({"over": [1.0]}, r"Argument `over` must be a mapping"),
    "empty axis": ({"over": {"eta": []}}, r"Argument `eta` must have one axis with at least one value"),
    "two axes": ({"over": {"eta": [[1.0]]}}, r"Argument `eta` must have one axis"),
    "a number": ({"over": {"eta": 1.0}}, r"Argument `eta` must have one axis"),
    "no numbers": ({"over": {"eta": ["a"]}}, r"Argument `eta` must be an array of numbers"),
    "not finite": ({"over": {"eta": [1.0, np.nan]}}, r"Argument `eta` must be finite"),
    "unknown parameter": ({"over": {"zeta": [1.0]}}, r"Argument `zeta` must be one of the swept names `eta`, `J`"),
    "no gap junction": ({"over": {"gap.g": [0.1]}}, r"Argument `gap.g` must be one of the swept names"),
    "no stimulus": ({"over": {"stimulus.amplitude": [0.1]}}, r"Argument `stimulus.amplitude` must be one of"),
    "out of bounds": ({"over": {"Delta": [0.1, -0.1]}}, r"Argument `Delta` must be ≥ 0"),
    "rate": ({"over": {"r": [0.0]}}, r"Argument `r` must be > 0"),
    "time constant": ({"over": {"tau": [0.0]}}, r"Argument `tau` must be > 0"),
    "lengths": (
        {"over": {"eta": ("s", [1.0]), "J": ("s", [1.0, 2.0])}},
        r"Argument `J` must have 1 values, like the others along `s`",
    ),
    "dimension": ({"over": {"eta": ("J", [1.0])}}, r"Argument `eta` must use a dimension that is no parameter's name"),
    "unknown channel": ({"observe": {"p": Peak("w")}}, r"Argument `w` must be one of the channels of MPR"),
    "no observable": ({"observe": {"p": "r"}}, r"Argument `observe` must hold observables"),
    "nothing observed": ({"observe": {}}, r"Argument `observe` must name at least one observable"),
    "observable's name": (
        {"observe": {"my peak": Peak("r")}},
        r"Argument `observe` must use names that are Python identifiers",
    ),
    "time": ({"t0": 2.0, "t1": 2.0}, r"Argument `t1` must be later than `t0`"),
    "negative time": ({"t0": -1.0}, r"Argument `t0` must be ≥ 0"),
    "infinite time": ({"t1": np.inf}, r"Argument `t1` must be finite"),
    "rtol": ({"rtol": 0.0}, r"Argument `rtol` must be > 0"),
    "dt0": ({"dt0": -0.1}, r"Argument `dt0` must be > 0"),
    "implicit method": (
        {"solver": diffrax.Kvaerno5()},
        r"Argument `solver` must be None, `MobiusSplitting\(4\)` or an explicit",
    ),
    "order": ({"solver": MobiusSplitting(2)}, r"Argument `solver` must be of order 4"),
    "splitting of a gap": (
        {"model": MODELS["gap"], "solver": MobiusSplitting(4)},
        r"Argument `solver` must be a diffrax solver for this model",
    ),
    "state": ({"y0": {"r": 0.1}}, r"Argument `y0` must have the key `v`"),
    "initial rate": ({"y0": {"r": -0.1, "v": 0.0}}, r"Argument `r` must be > 0"),
    "model": ({"model": "MPR"}, r"Argument `model` must be a model"),
    "stimulus": ({"stimulus": 3.0}, r"Argument `stimulus` must be None or a stimulus"),
}


@pytest.mark.parametrize(("arguments", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence) as caught:
        grid(**arguments)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3), data=st.data())
def test_lanes_are_numbered_in_c_order(sizes, data):
    names = ["eta", "J", "tau"][: len(sizes)]
    axes = [np.arange(1.0, size + 1) for size in sizes]
    plan = grid(over=dict(zip(names, axes, strict=True)))
    assert plan.lanes == np.prod(sizes) and tuple(plan.dims.values()) == tuple(sizes)
    lanes = np.array(data.draw(st.lists(st.integers(0, plan.lanes - 1), min_size=1)))
    for name, mesh in zip(names, np.meshgrid(*axes, indexing="ij"), strict=True):
        np.testing.assert_array_equal(plan.values(lanes)[name], mesh.ravel()[lanes])


@settings(max_examples=50, deadline=None)
@given(numbers=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=6), pairs=st.booleans())
def test_packing_loses_nothing(numbers, pairs):
    tree = {"a": tuple(jnp.asarray(each) for each in numbers), "b": ()}
    pack, unpack = packer(tree, pairs)
    assert len(pack(tree)) == (-(-len(numbers) // 2) if pairs else len(numbers))
    assert jax.tree.all(jax.tree.map(lambda a, b: a == b, unpack(pack(tree)), tree))


@settings(max_examples=50, deadline=None)
@given(length=st.floats(0, 1e4, allow_subnormal=False), rate=st.floats(1e-3, 1e3))
def test_numbers_of_steps(length, rate):
    """As many steps as the rate asks for, not one more from rounding, and none in no time."""
    (steps,) = steps_of(np.array([length]), np.array([rate]), 1)
    assert steps >= length * rate * (1 - 1e-9) and steps <= length * rate * (1 + 1e-9) + 1
    assert (steps == 0) == (length == 0)


def series(c):
    """Runs whose errors are c (h⁴ + h⁶), beside a rough result."""

    def solve(lanes, rates, multiple=1):
        steps = np.ceil(rates).astype(np.int64) * multiple
        h = 1 / steps
        return {"x": 2.0 + c[lanes] * (h**4 + h**6), "n": np.floor(steps / 7.0)}, steps[:, None]

    return solve


@pytest.mark.parametrize("several", [False, True], ids=["one stretch", "several"])
def test_convergence_of_a_known_series(several):
    """What is left after extrapolation is within the tolerance and the estimate; rough results are not extrapolated."""
    solve = series(np.array([1.0, 30.0, 1000.0]))
    rules = Rules.of({"x": True, "n": False}, {}, (1e-8, 0.1), 10**6, several, float)
    found, error, met, spent = converge(solve, np.full(3, 4.0), rules)
    assert np.all(met) and np.all(error <= 1e-8)
    assert np.all(np.abs(found["x"] - 2) / 2.1 <= np.maximum(error, 1e-15))
    assert np.all(np.diff(spent) > 0) and np.all(found["n"] == np.floor(found["n"]))


def test_a_series_that_does_not_converge_is_no_success():
    solve = lambda lanes, rates, multiple=1: ({"x": rates * multiple}, np.ceil(rates * multiple)[:, None].astype(int))
    _, error, met, spent = converge(solve, np.full(2, 4.0), Rules.of({"x": True}, {}, (1e-8, 0.1), 10**4, False, float))
    assert not np.any(met) and np.all(error > 1e-8) and np.all(spent < 10**5)
