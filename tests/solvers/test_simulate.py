"""`simulate`: agreement of solvers, transformations, events, failures, input checks, cost."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from helpers import MODELS, central_difference, reference

import nmmjax as nmm
from nmmjax import MPR, Constant, MobiusExtrapolation, MobiusSplitting, Pulse, Sampled, Sinusoid, State, simulate
from nmmjax.models.base import AbstractModel
from nmmjax.models.stimulus import AbstractStimulus
from nmmjax.results import RESULTS

Y0, TS = {"r": 0.5, "v": -0.3}, np.linspace(0.0, 4.0, 9)
MODEL, STIMULUS = MODELS["tau"], Sinusoid(2.0, 1.3)


@pytest.fixture(scope="module")
def exact():
    return reference(MODEL, tuple(Y0.values()), TS, lambda t: 2 * np.sin(1.3 * t))


# --- solvers ----------------------------------------------------------------------------------------------------------

SOLVERS = [
    (None, {}, 1e-7),
    (diffrax.Dopri8(), {"rtol": 1e-11, "atol": 1e-12}, 1e-9),
    (diffrax.Kvaerno5(), {}, 1e-6),
    (diffrax.Midpoint(), {"stepsize_controller": diffrax.ConstantStepSize(), "dt0": 1e-3}, 1e-4),
    (diffrax.Euler(), {"dt0": 1e-4}, 1e-2),
    (MobiusSplitting(4), {"dt0": 1e-2}, 1e-7),
    (MobiusExtrapolation(6), {}, 1e-7),
    (MobiusExtrapolation(8), {"rtol": 1e-11, "atol": 1e-12}, 1e-9),
]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("solver", "options", "tolerance"), SOLVERS, ids=[type(s[0]).__name__ + str(i) for i, s in enumerate(SOLVERS)]
)
def test_solvers_agree(solver, options, tolerance, exact):
    run = simulate(MODEL, Y0, TS, stimulus=STIMULUS, solver=solver, **options)
    assert run.result == RESULTS.successful
    np.testing.assert_allclose([run.ys.r, run.ys.v], exact, atol=tolerance)
    np.testing.assert_allclose([run.y_end.r, run.y_end.v, run.t_end], [run.ys.r[-1], run.ys.v[-1], 4.0], rtol=1e-13)
    assert run.reached == 9 and np.isfinite(run.wall_time)
    np.testing.assert_allclose(run.input, 2 * np.sin(1.3 * TS), atol=1e-14)


@pytest.mark.last_bits
@pytest.mark.parametrize(("solver", "options", "tolerance"), SOLVERS)
def test_the_first_saved_state_is_the_given_one(solver, options, tolerance):
    run = simulate(MODEL, Y0, TS, stimulus=STIMULUS, solver=solver, **options)
    np.testing.assert_allclose([run.ys.r[0], run.ys.v[0]], list(Y0.values()), rtol=0)


def test_dense_output(exact):
    """`evaluate` gives the solution at any time; of order 4 for Tsit5, hence the looser tolerance between steps."""
    run = simulate(MODEL, Y0, TS[[0, -1]], stimulus=STIMULUS, dense=True, max_steps=512)
    for t in (TS, jnp.asarray(TS[3])):
        y = run.evaluate(t)
        assert y.r.shape == np.shape(t)
        np.testing.assert_allclose([y.r, y.v], exact if np.ndim(t) else exact[:, 3], atol=1e-6)


def test_dense_output_of_the_geometric_solver(exact):
    run = simulate(
        MODEL, Y0, TS[[0, -1]], stimulus=STIMULUS, dense=True, max_steps=512, solver=MobiusExtrapolation(8), rtol=1e-10
    )
    y = run.evaluate(TS)
    np.testing.assert_allclose([y.r, y.v], exact, atol=1e-8)


# --- transformations --------------------------------------------------------------------------------------------------


def end_state(x, **options):
    """(r, v) at t = 2 as a function of (eta, J, Delta, tau, r0, v0, amplitude)."""
    run = simulate(
        MPR(*x[:4]),
        State(r=x[4], v=x[5]),
        jnp.array([0.0, 2.0]),
        stimulus=Sinusoid(x[6], 1.3),
        rtol=1e-10,
        atol=1e-11,
        **options,
    )
    return jnp.stack([run.y_end.r, run.y_end.v])


X = jnp.array([1.0, 4.0, 0.3, 1.7, 0.5, -0.3, 2.0])


@pytest.fixture(scope="module")
def jitted_end_state():
    return jax.jit(end_state)


def test_jit_and_vmap(jitted_end_state):
    """Inside jit and vmap the numbers are those of single runs."""
    lanes = X[None] * jnp.linspace(0.8, 1.2, 5)[:, None]
    together = jax.jit(jax.vmap(end_state))(lanes)
    np.testing.assert_allclose(together, [jitted_end_state(lane) for lane in lanes], rtol=1e-8)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_gradient(mode, jitted_end_state):
    """Reverse and forward mode equal central differences, by every parameter, the initial state and the stimulus."""
    if mode == "reverse":
        jacobian = jax.jit(jax.jacrev(end_state))(X)
    else:
        jacobian = jax.jit(jax.jacfwd(lambda x: end_state(x, adjoint=diffrax.ForwardMode())))(X)
    unit = jnp.eye(X.size)
    differences = [central_difference(lambda h, e=e: np.asarray(jitted_end_state(X + h * e)), 0.0, 2e-4) for e in unit]
    np.testing.assert_allclose(jacobian.T, differences, rtol=1e-6, atol=1e-7)


def test_checks_read_numbers_that_a_transformation_closes_over():
    """States, times and stimuli made outside of `jit` are checked inside it: as good ones pass, bad ones are refused."""
    good, bad = (State(r=jnp.asarray(r), v=jnp.asarray(0.0)) for r in (0.5, -0.5))
    sampled = Sampled(TS, TS)
    shape = jax.eval_shape(lambda eta: simulate(MPR(eta), good, TS, stimulus=sampled).ys.r, 1.0)
    assert shape.shape == TS.shape
    with pytest.raises(ValueError, match="`r` must be > 0"):
        jax.eval_shape(lambda eta: simulate(MPR(eta), bad, TS).ys.r, 1.0)


class Counted(AbstractStimulus):
    """A stimulus that counts how often Python evaluates it: only while tracing."""

    amplitude: jax.Array
    traces = []  # noqa: RUF012

    def __call__(self, t):
        self.traces.append(1)
        return self.amplitude * jnp.cos(t)

    def jumps(self):
        return jnp.zeros(0, self.amplitude.dtype)


def test_new_values_do_not_recompile():
    """Parameters, states, times, tolerances and stimulus values are arrays: changing them reuses the compiled run."""
    run = lambda a, **options: simulate(
        MPR(eta=a, J=4.0 * a, tau=a), {"r": a, "v": -a}, a * TS, stimulus=Counted(jnp.asarray(a)), **options
    )
    first = run(1.0, rtol=1e-6)
    count = len(Counted.traces)
    assert count > 0
    second = run(1.1, rtol=1e-7)
    assert len(Counted.traces) == count
    assert not np.allclose(first.ys.r, second.ys.r)
    assert second.wall_time < first.wall_time


@pytest.mark.parametrize(
    ("solver", "options"), [(None, {}), (MobiusSplitting(4), {"dt0": 0.01})], ids=["Tsit5", "MobiusSplitting"]
)
def test_float32_stays_float32(solver, options, exact):
    """A float32 model is solved in float32 throughout, whatever the dtype of state, times and stimulus."""
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), MODEL)
    run = simulate(model, Y0, TS, stimulus=STIMULUS, solver=solver, **options)
    assert {leaf.dtype for leaf in jax.tree.leaves((run.ts, run.ys, run.t_end, run.y_end, run.input))} == {
        jnp.dtype("float32")
    }
    assert run.result == RESULTS.successful
    np.testing.assert_allclose([run.ys.r, run.ys.v], exact, atol=1e-3)


# --- events and failures ----------------------------------------------------------------------------------------------


def rate_crosses_half(t, y, args, **kwargs):
    return y.r - 0.5


@pytest.mark.parametrize(
    "solver", [None, pytest.param(MobiusExtrapolation(8), marks=pytest.mark.slow)], ids=["Tsit5", "MobiusExtrapolation"]
)
def test_event_ends_the_run(solver):
    """An event stops at the crossing; t_end and y_end are there, later times are NaN."""
    event = diffrax.Event(rate_crosses_half, optx.Newton(1e-10, 1e-10), direction=True)
    run = simulate(MODEL, Y0, TS, stimulus=STIMULUS, event=event, solver=solver, rtol=1e-10, atol=1e-11)
    assert run.result == RESULTS.event_occurred
    assert 1 < run.t_end < 2
    np.testing.assert_allclose(run.y_end.r, 0.5, atol=1e-7)
    reached = run.t_end >= TS
    assert int(run.reached) == reached.sum()
    assert np.all(np.isfinite(run.ys.r) == reached) and np.all(np.isfinite(run.ys.v) == reached)
    end = reference(MODEL, tuple(Y0.values()), [0.0, float(run.t_end)], lambda t: 2 * np.sin(1.3 * t))[:, -1]
    np.testing.assert_allclose([run.y_end.r, run.y_end.v], end, atol=1e-6)
    assert "event" in str(run)


def test_too_few_steps(exact):
    """Out of steps: a result code, the computed part is right, NaN after it; `throw=True` raises."""
    options = {"stimulus": STIMULUS, "max_steps": 16}
    run = simulate(MODEL, Y0, TS, **options)
    assert run.result == RESULTS.max_steps_reached
    n = int(run.reached)
    assert 1 <= n < TS.size
    np.testing.assert_allclose([run.ys.r[:n], run.ys.v[:n]], exact[:, :n], atol=1e-7)
    assert np.all(np.isnan(run.ys.r[n:])) and np.all(np.isnan(run.ys.v[n:]))
    assert TS[n - 1] <= run.t_end < TS[n] and np.isfinite(run.y_end.r)
    assert "max_steps" in str(run) and f"{n} of 9 times" in str(run)
    with pytest.raises(RuntimeError, match=r"^The solve stopped at t = .*max_steps"):
        simulate(MODEL, Y0, TS, throw=True, **options)


def test_throw_under_jit():
    with pytest.raises(RuntimeError, match="max_steps"):
        jax.block_until_ready(jax.jit(lambda eta: simulate(MPR(eta), Y0, TS, max_steps=16, throw=True).ys)(1.0))


def test_each_lane_has_its_own_result():
    """Under vmap a lane that fails does not touch the others."""
    run = jax.vmap(lambda T: simulate(MODEL, Y0, jnp.stack([jnp.zeros_like(T), T]), max_steps=16))(
        jnp.array([0.05, 50.0, 0.1])
    )
    assert (run.result == RESULTS.successful).tolist() == [True, False, True]
    assert (run.result == RESULTS.max_steps_reached).tolist() == [False, True, False]
    assert np.isfinite(run.ys.r).tolist() == [[True, True], [True, False], [True, True]]
    assert "batch shape (3,)" in str(run)


@pytest.mark.parametrize(
    ("r", "v", "step", "result"),
    [(30.0, 5.0, 1.0, "non_finite"), (0.2, -3.05, 0.36, "rate_not_positive"), (0.5, 0.0, 1e-3, "successful")],
)
def test_what_the_integrator_cannot_see(r, v, step, result):
    """Euler with a huge step explodes or crosses r = 0: the result says so."""
    run = simulate(MPR(), {"r": r, "v": v}, step * np.arange(21), solver=diffrax.Euler(), dt0=step)
    assert run.result == getattr(RESULTS, result)
    if result != "successful":
        message = {"non_finite": "infinite or NaN", "rate_not_positive": "left r > 0"}[result]
        assert message in str(run)
        with pytest.raises(RuntimeError, match=message):
            simulate(MPR(), {"r": r, "v": v}, step * np.arange(21), solver=diffrax.Euler(), dt0=step, throw=True)


# --- the door ---------------------------------------------------------------------------------------------------------

BAD = [
    ({"model": "mpr"}, "`model` must be a model such as"),
    ({"y0": {"r": 0.0, "v": 0.0}}, "`r` must be > 0, but got 0"),
    ({"y0": {"r": -1.0, "v": 0.0}}, "`r` must be > 0, but got -1"),
    ({"y0": {"r": np.nan, "v": 0.0}}, "`r` must be finite, without NaN, but got nan"),
    ({"y0": {"r": 1.0, "v": np.inf}}, "`v` must be finite, without NaN, but got inf"),
    ({"y0": {"r": 1.0}}, r"`y0` must have the key `v`, but got \['r'\]"),
    ({"y0": {"r": 1.0, "v": 0.0, "V": 0.0}}, "`V` must be one of the state names `r`, `v`, but got `V`"),
    ({"y0": {"r": "1", "v": 0.0}}, "`r` must be a number .*, but got '1'"),
    ({"y0": {"r": [1.0, 2.0], "v": [0.0, 0.0]}}, "`r` must be a number .*vmap.*, but got .* of shape"),
    ({"y0": {"r": [1.0, 2.0], "v": 0.0}}, "`v` must have the shape of `r`"),
    ({"y0": [1.0, 0.0]}, r"`y0` must be a state or a mapping .*, but got \[1.0, 0.0\]"),
    ({"y0": None}, "`y0` must be a state or a mapping .*, but got None"),
    ({"ts": [0.0, 2.0, 1.0]}, "`ts` must be strictly increasing, but got"),
    ({"ts": [0.0, 0.0]}, "`ts` must be strictly increasing, but got"),
    ({"ts": [1.0, 0.0]}, "`ts` must be strictly increasing, but got"),
    ({"ts": [0.0]}, "`ts` must have one axis and at least 2 times"),
    ({"ts": 3.0}, "`ts` must have one axis and at least 2 times"),
    ({"ts": [[0.0, 1.0]]}, "`ts` must have one axis and at least 2 times"),
    ({"ts": [0.0, np.nan]}, "`ts` must be finite, without NaN"),
    ({"ts": [0.0, np.inf]}, "`ts` must be finite, without NaN"),
    ({"ts": "0, 1"}, "`ts` must be an array of numbers, but got '0, 1'"),
    ({"ts": None}, "`ts` must be an array of numbers, but got None"),
    ({"stimulus": 3.0}, "`stimulus` must be None or a stimulus such as .*, but got 3.0"),
    ({"stimulus": lambda t: t}, "`stimulus` must be None or a stimulus such as"),
    ({"solver": MobiusSplitting(4)}, r"`dt0` must be given.*MobiusSplitting\(4\).*, but got None"),
    ({"solver": diffrax.Euler()}, "`dt0` must be given.*Euler.*, but got None"),
    (
        {"solver": diffrax.Euler(), "stepsize_controller": diffrax.PIDController(1e-3, 1e-3)},
        "`solver` must give an error estimate for PIDController",
    ),
    ({"rtol": 0.0}, "`rtol` must be a number > 0, but got 0"),
    ({"rtol": -1e-3}, "`rtol` must be a number > 0, but got -0.001"),
    ({"rtol": np.nan}, "`rtol` must be a number > 0, but got nan"),
    ({"rtol": [1e-3, 1e-4]}, "`rtol` must be a number > 0"),
    ({"rtol": "tight"}, "`rtol` must be a number > 0, but got 'tight'"),
    ({"atol": 0.0}, "`atol` must be a number > 0, but got 0"),
    ({"dt0": 0.0}, "`dt0` must be a number > 0, but got 0"),
    ({"dt0": -0.1}, "`dt0` must be a number > 0, but got -0.1"),
    ({"dt0": np.inf, "solver": MobiusSplitting(4)}, "`dt0` must be a number > 0, but got inf"),
    ({"solver": MobiusSplitting}, "`solver` must be a diffrax solver such as"),
    ({"solver": "Tsit5"}, "`solver` must be a diffrax solver such as .*, but got 'Tsit5'"),
    ({"event": rate_crosses_half}, "`event` must be None or a `diffrax.Event`"),
    ({"max_steps": 0}, "`max_steps` must be an integer ≥ 1, but got 0"),
    ({"max_steps": 1e5}, "`max_steps` must be an integer ≥ 1, but got 100000.0"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD, ids=[next(iter(wrong)) for wrong, _ in BAD])
def test_wrong_input_is_refused_in_one_sentence(wrong, message, unchecked):
    arguments = {"model": MODEL, "y0": Y0, "ts": TS} | wrong
    with pytest.raises(ValueError, match=f"^Argument {message}[^\n]*\\.$"):
        simulate(arguments.pop("model"), arguments.pop("y0"), arguments.pop("ts"), **arguments)


def test_evaluate_needs_dense_output():
    run = simulate(MODEL, Y0, TS, stimulus=STIMULUS)
    with pytest.raises(ValueError, match="Argument `dense` must be True"):
        run.evaluate(jnp.asarray(1.0))


def test_printed_run_says_what_it_is_and_cost():
    run = simulate(MODEL, Y0, TS, stimulus=STIMULUS)
    text = str(run)
    for part in ("MPR(eta=1, J=4, Delta=0.3, tau=1.7)", "Sinusoid(amplitude=2, omega=1.3", "Tsit5, rtol 1e-08, atol 1e-10",
                 "float64 on cpu", "accepted", "rejected", "successful", "9 of 9 times", "wall time", "memory"):  # fmt: skip
        assert part in text
    assert repr(run) == text
    assert "Constant(amplitude=1) + Pulse(" in str(
        eqx.tree_at(lambda r: r.stimulus, run, Constant(1.0) + Pulse(2.0, 0.0, 1.0))
    )


def test_states_of_python_numbers_and_arguments_of_the_wrong_kind():
    run = simulate(MPR(), nmm.State(r=0.5, v=-1), [0.0, 0.1])
    assert run.reached == 2
    for wrong in ({"stepsize_controller": "x"}, {"adjoint": "x"}):
        with pytest.raises(ValueError, match=f"Argument `{next(iter(wrong))}` must be None or a diffrax"):
            simulate(MPR(), {"r": 0.5, "v": 0.0}, [0.0, 0.1], **wrong)
    with pytest.raises(ValueError, match="Argument `rtol` must be None with a `stepsize_controller`"):
        controller = diffrax.PIDController(rtol=1e-5, atol=1e-7)
        simulate(MPR(), {"r": 0.5, "v": 0.0}, [0.0, 0.1], rtol=1e-3, stepsize_controller=controller)
    with pytest.raises(ValueError, match="Argument `r` must be > 0, but got -1"):
        simulate(nmm.mechanics.RescaledTime(MPR()), {"r": -1, "v": 0}, [0.0, 0.1])


# --- times far from 0 -------------------------------------------------------------------------------------------------

REST, SPAN = {"r": 0.08, "v": -1.96}, np.linspace(0.0, 40.0, 401)


def pulsed(t0, **options):
    return simulate(MPR(), REST, t0 + SPAN, stimulus=Pulse(3.0, t0 + 10, t0 + 20), **options)


@pytest.fixture(scope="module")
def from_zero():
    with jax.enable_x64(False):
        return pulsed(0.0)


@pytest.mark.last_bits
@pytest.mark.parametrize("t0", [1e4, 1e5, 1e6, -1e5])
def test_float32_is_as_exact_far_from_0(t0, from_zero):
    """Rates, input and times of a run don't depend on where its clock stands."""
    with jax.enable_x64(False):
        run = pulsed(t0)
        np.testing.assert_allclose(run.ys.r, from_zero.ys.r, rtol=1e-6)
        np.testing.assert_array_equal(run.input, from_zero.input)
        np.testing.assert_allclose(np.asarray(run.ts, float), t0 + SPAN, rtol=0, atol=1e-3)
        assert float(run.t_end) == t0 + 40 and run.ys.r.dtype == jnp.float32


@pytest.mark.slow
def test_seconds_since_1970_in_float32(from_zero):
    """Where float32 holds no time at all: differences count, and `ts` are reported as given."""
    with jax.enable_x64(False):
        run = simulate(MPR(), REST, 1.7e9 + SPAN, stimulus=Constant(0.5))
        near = simulate(MPR(), REST, SPAN, stimulus=Constant(0.5))
        np.testing.assert_allclose(run.ys.r, near.ys.r, rtol=1e-5)
        assert np.array_equal(run.ts, 1.7e9 + SPAN) and run.t_end == 1.7e9 + 40
        assert "1700000040" in str(run)
        np.testing.assert_array_equal(run.to_xarray().t, 1.7e9 + SPAN)


@pytest.mark.slow
def test_what_looks_at_a_run_far_from_0(from_zero):
    """Spikes, bursts, balance and dense output of such a run are those of the run from 0."""
    with jax.enable_x64(False):
        run = pulsed(1e5)
        near, far = (nmm.find_spikes(each) for each in (from_zero, run))
        np.testing.assert_allclose(np.asarray(far.time) - 1e5, near.time, atol=1e-4)
        np.testing.assert_allclose(far.peak, near.peak, rtol=1e-5)
        starts = [nmm.find_bursts(each).start.values for each in (from_zero, run)]
        np.testing.assert_allclose(starts[1] - 1e5, starts[0], atol=1e-4)
        balances = [nmm.energy_balance(each) for each in (from_zero, run)]
        np.testing.assert_allclose(balances[1].work, balances[0].work, rtol=1e-5)
        dense = pulsed(1e5, dense=True, max_steps=1024)
        np.testing.assert_allclose(dense.evaluate(1e5 + SPAN).r, from_zero.ys.r, rtol=1e-4)
        first = [
            nmm.spike_peaks(MPR(), REST, t0 + 40, 2, t0=t0, stimulus=Pulse(3.0, t0 + 10, t0 + 20)).state.r
            for t0 in (0.0, 1e5)
        ]
        np.testing.assert_allclose(first[1], first[0], rtol=1e-4)


FAR = {
    "Argument `start` must be nearer to 0": lambda: Pulse(3.0, 1.7e9 + 10, 1.7e9 + 20),
    "moves this time by 0.4": lambda: nmm.PulseTrain(3.0, 1e7 + 0.4, 2.0, 1.0, 3),
    "Argument `ts` must be nearer to 0": lambda: Sampled(1.7e9 + SPAN, SPAN),
    "Argument `ts` must begin nearer to 0: the phase": lambda: simulate(
        MPR(), REST, 1.7e9 + SPAN, stimulus=Sinusoid(1.0, 0.2)
    ),
}


@pytest.mark.parametrize("sentence", FAR)
def test_what_float32_cannot_hold_is_refused(sentence, unchecked):
    with jax.enable_x64(False), pytest.raises(ValueError) as error:
        FAR[sentence]()
    assert sentence in str(error.value) and "enable x64" in str(error.value) and "\n" not in str(error.value)


class Daily(AbstractStimulus):
    """A user's stimulus, which knows nothing of clocks that start elsewhere."""

    def __call__(self, t):
        return jnp.where(t % 24 < 3, 2.0, 0.0)

    def jumps(self):
        return jnp.asarray([240.0, 243.0])


class Forced(AbstractModel):
    """A user's model, whose equations name the time."""

    equations = "dr/dt = g r cos t, dv/dt = I(t)"
    source = ""
    g: jax.Array

    variables = {name: nmm.extend.Variable(name) for name in ("r", "v", "t")}  # noqa: RUF012

    def vector_field(self, t, y, I=0.0):
        return nmm.State(r=self.g * y.r * jnp.cos(t), v=I + 0 * t, t=jnp.ones_like(t))


@pytest.mark.slow
def test_models_stimuli_and_events_are_told_the_time():
    start = {"r": jnp.asarray(1.0), "v": jnp.asarray(0.0), "t": jnp.asarray(240.0)}
    run = simulate(Forced(jnp.ones(())), start, 240 + SPAN[:101], stimulus=Daily())
    np.testing.assert_allclose(run.ys.r, np.exp(np.sin(240 + SPAN[:101]) - np.sin(240.0)), rtol=1e-6)
    np.testing.assert_allclose(run.ys.v, 2 * np.minimum(SPAN[:101], 3.0), atol=1e-6)
    run = simulate(MPR(), REST, 240 + SPAN[:101], stimulus=Daily())
    same = simulate(MPR(), REST, SPAN[:101], stimulus=Pulse(2.0, 0.0, 3.0))
    np.testing.assert_allclose(run.ys.r, same.ys.r, rtol=1e-6)
    event = diffrax.Event(lambda t, y, args, **kwargs: t - 243.5, optx.Newton(1e-10, 1e-10))
    np.testing.assert_allclose(simulate(MPR(), REST, 240 + SPAN, stimulus=Daily(), event=event).t_end, 243.5, atol=1e-8)
    still = diffrax.Event(diffrax.steady_state_event())
    ends = [simulate(MPR(), REST, t0 + SPAN, event=still).t_end - t0 for t0 in (0.0, 500.0)]
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-9)


@pytest.mark.slow
def test_traced_times_far_from_0(from_zero):
    with jax.enable_x64(False):
        ts = jnp.asarray(1e5 + SPAN[::10], jnp.float32)  # whole numbers
        ys = jax.jit(lambda ts: simulate(MPR(), REST, ts, stimulus=Pulse(3.0, 1e5 + 10, 1e5 + 20)).ys.r)(ts)
        np.testing.assert_allclose(ys, from_zero.ys.r[::10], rtol=1e-5)


@pytest.mark.slow
def test_gradient_by_the_times():
    """The start, too, has a derivative: a later start sees the pulse earlier."""

    def end(t0):
        ts = jnp.stack([t0, jnp.asarray(11.3)])
        return simulate(MPR(), Y0, ts, stimulus=Pulse(3.0, 10.0, 20.0), rtol=1e-11, atol=1e-12).y_end.r

    expected = central_difference(lambda h: np.asarray(jax.jit(end)(9.0 + h)), 0.0, 1e-4)
    np.testing.assert_allclose(jax.grad(end)(9.0), expected, rtol=1e-6)


# --- more than one event in a step, and derivatives that find their adjoint -------------------------------------------


@pytest.mark.parametrize(
    ("order", "direction"),
    [
        ((5.0, -1.0), None),
        pytest.param((-1.0, 5.0), None, marks=pytest.mark.slow),
        pytest.param((5.0, -1.0), (True, True), marks=pytest.mark.slow),
    ],
)
def test_of_two_events_in_a_step_the_earlier_ends_the_run(order, direction):
    conditions = tuple(lambda t, y, args, level=level, **kwargs: y.v - level for level in order)
    given = {"solver": diffrax.Heun(), "dt0": 0.7}
    finder = optx.Newton(1e-9, 1e-9)
    run = simulate(MPR(eta=5.0), Y0 | {"v": -2.0}, TS, event=diffrax.Event(conditions, finder, direction), **given)
    assert run.result == RESULTS.event_occurred and 0 < run.t_end < 0.7
    np.testing.assert_allclose(run.y_end.v, -1.0, atol=1e-6)
    assert [bool(each) for each in run.event_mask] == [level == -1.0 for level in order]
    assert int(run.reached) == 1


def last_rate(eta):
    return simulate(MPR(eta=eta), {"r": 0.1, "v": -2.0}, np.arange(5.0)).ys.r[-1]


def test_forward_mode_finds_its_adjoint():
    expected = central_difference(lambda h: np.asarray(last_rate(-5.0 + h)), 0.0, 1e-3)
    value, slope = jax.jvp(last_rate, (-5.0,), (1.0,))
    np.testing.assert_allclose(slope, expected, rtol=1e-5)
    np.testing.assert_allclose(value, last_rate(-5.0), rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("inner", [jax.jacfwd, jax.jacrev])
def test_second_derivatives(outer, inner):
    """`jax.hessian` and the other three."""
    expected = central_difference(lambda h: np.asarray(jax.grad(last_rate)(-5.0 + h)), 0.0, 1e-3)
    np.testing.assert_allclose(outer(inner(last_rate))(-5.0), expected, rtol=1e-5)


# --- the range of a recorded input ------------------------------------------------------------------------------------


def test_a_traced_run_beyond_the_recorded_input_is_not_a_number():
    """What can't be refused inside `jit` gets a result code, lane by lane."""
    held = Sampled([0.0, 2.0], [3.0, 3.0])

    def run(t1):
        return simulate(MODEL, Y0, jnp.linspace(0.0, t1, 5), stimulus=held)

    out = jax.jit(jax.vmap(run))(jnp.asarray([2.0, 4.0, 2.0 * (1 + 1e-15)]))
    np.testing.assert_array_equal(out.result == RESULTS.successful, [True, False, True])
    np.testing.assert_array_equal(out.result == RESULTS.input_out_of_range, [False, True, False])
    np.testing.assert_array_equal(np.isfinite(out.ys.r), [[True] * 5, [True] * 3 + [False] * 2, [True] * 5])
    np.testing.assert_allclose(out.ys.r[0], run(2.0).ys.r, rtol=1e-7)


@pytest.mark.slow
def test_a_traced_noisy_run_beyond_the_recorded_input_is_not_a_number():
    held = Sampled([0.0, 2.0], [3.0, 3.0])
    noisy = jax.jit(lambda t1: simulate(
        MODEL, Y0, jnp.linspace(0.0, t1, 5), stimulus=held, noise=0.1, key=jax.random.key(0), dt0=0.1
    ))(4.0)  # fmt: skip
    assert noisy.result == RESULTS.input_out_of_range and int(noisy.reached) == 3 and bool(jnp.isnan(noisy.y_end.r))


def test_running_sums_are_the_times_they_mean():
    """A few roundings are no difference: of runs, of `evaluate`, and of what sweeps sample."""
    sums = np.cumsum(np.full(30, 0.1))
    assert sums[-1] != 3.0
    recorded = Sampled(np.linspace(0.0, 3.0, 31), np.ones(31))
    run = simulate(MODEL, Y0, np.append(0.0, sums), stimulus=recorded, dense=True, max_steps=256)
    assert run.result == RESULTS.successful
    np.testing.assert_allclose(run.evaluate(3.0).r, run.ys.r[-1], rtol=1e-9)
    with pytest.raises(ValueError, match="Argument `t` must lie within the run's times"):
        run.evaluate(3.01)
    with pytest.raises(ValueError, match="Argument `ts` must lie within the stimulus's range"):
        simulate(MODEL, Y0, [0.0, 3.0001], stimulus=recorded)
    observe = {"a": nmm.Samples(sums, "r"), "b": nmm.Samples(np.linspace(0.1, 3.0, 30), "r")}
    swept = nmm.sweep(MODEL, over={"eta": [1.0]}, y0=Y0, t1=3.0, observe=observe, progress=False)
    np.testing.assert_array_equal(swept.a.values, swept.b.values)
