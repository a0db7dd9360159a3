"""Stimuli: values, jumps, sums, interpolation, gradients, and gradients of solutions with respect to jump times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import MODELS, central_difference
from scipy.interpolate import CubicHermiteSpline

from nmmjax import MPR, Constant, MobiusSplitting, Pulse, PulseTrain, Ramp, Sampled, Sinusoid, simulate
from nmmjax.solvers.clock import jump_times

SAMPLES = np.array([0.0, 0.5, 1.25, 2.0, 4.0]), np.array([1.0, -1.0, 0.5, 2.0, 0.0])

VALUES = {  # stimulus, times, values there (right-continuous), jumps, span
    "constant": (Constant(1.5), [-9.0, 0.0, 9.0], [1.5, 1.5, 1.5], [], None),
    "pulse": (Pulse(2.0, 1.0, 3.0), [0.999, 1.0, 2.999, 3.0, 4.0], [0, 2, 2, 0, 0], [1, 3], None),
    "ramp": (Ramp(2.0, 1.0, 3.0), [0.0, 1.0, 1.5, 3.0, 4.0], [0, 0, 0.5, 2, 2], [1, 3], None),
    "sinusoid": (Sinusoid(2.0, np.pi, 0.5), [0.0, 1.0], [2 * np.sin(0.5), -2 * np.sin(0.5)], [], None),
    "train": (
        PulseTrain(2.0, 1.0, 0.7, 0.3, count=3),
        [0.0, 0.999, 1.0, 1.299, 1.301, 1.7, 2.4, 2.699, 2.701, 3.1, 99.0],
        [0, 0, 2, 2, 0, 2, 2, 2, 0, 0, 0],
        [1, 1.3, 1.7, 2, 2.4, 2.7],
        None,
    ),
    "hold": (
        Sampled(*SAMPLES, "hold"),
        [0.0, 0.499, 0.5, 1.0, 1.25, 3.9, 4.0],
        [1, 1, -1, -1, 0.5, 2, 0],
        SAMPLES[0],
        (0, 4),
    ),
    "linear": (Sampled(*SAMPLES), [0.0, 0.25, 0.5, 3.0, 4.0], [1, 0, -1, 1, 0], SAMPLES[0], (0, 4)),
    "sum": (
        Pulse(2.0, 1.0, 3.0) + Constant(1.0) + Sampled([0.0, 5.0], [0.0, 5.0]) + Sampled([-1.0, 4.0], [0.0, 0.0]),
        [0.5, 2.0, 3.5],
        [1.5, 5.0, 4.5],
        [-1, 0, 1, 3, 4, 5],
        (0, 4),
    ),
}


@pytest.mark.parametrize(("stimulus", "times", "values", "jumps", "span"), VALUES.values(), ids=VALUES)
def test_values_jumps_and_span(stimulus, times, values, jumps, span):
    """Values at edges, at a scalar and elementwise; jumps; where the stimulus is defined."""
    np.testing.assert_allclose(stimulus(jnp.array(times)), values, atol=1e-14)
    one = stimulus(jnp.asarray(times[1]))
    assert one.shape == () and abs(one - values[1]) < 1e-14
    np.testing.assert_allclose(np.sort(stimulus.jumps()), jumps, rtol=1e-14)
    assert (span is None) == (stimulus.span() is None)
    if span is not None:
        np.testing.assert_allclose(stimulus.span(), span)


def test_train_jumps_where_its_values_do():
    """Just before each jump the old value, at it the new one, to the last bit, for periods that are no binary fractions."""
    train = PulseTrain(1.0, 0.1, 0.7, 0.3, count=200)
    onsets, ends = np.split(np.asarray(train.jumps()), 2)
    for times, before, at in ((onsets, 0, 1), (ends, 1, 0)):
        np.testing.assert_array_equal(train(jnp.asarray(np.nextafter(times, -np.inf))), before)
        np.testing.assert_array_equal(train(jnp.asarray(times)), at)


def test_interpolation_against_numpy_and_scipy():
    """Linear is `np.interp`; cubic is the Hermite spline with backward differences, C¹, through the samples."""
    ts, values = SAMPLES
    t = np.linspace(0, 4, 81)
    np.testing.assert_allclose(Sampled(ts, values)(jnp.asarray(t)), np.interp(t, ts, values), atol=1e-13)
    backward = np.diff(values) / np.diff(ts)
    spline = CubicHermiteSpline(ts, values, np.concatenate([backward[:1], backward]))
    cubic = Sampled(ts, values, "cubic")
    np.testing.assert_allclose(cubic(jnp.asarray(t)), spline(t), atol=1e-13)
    np.testing.assert_allclose(jax.vmap(jax.grad(cubic))(jnp.asarray(t[1:-1])), spline(t[1:-1], 1), atol=1e-12)


SMOOTH = {
    "constant": lambda x: Constant(x[0]),
    "pulse": lambda x: Pulse(x[0], x[1], x[1] + x[2]),
    "ramp": lambda x: Ramp(x[0], x[1], x[1] + x[2]),
    "sinusoid": lambda x: Sinusoid(x[0], x[1], x[2]),
    "train": lambda x: PulseTrain(x[0], x[1], x[2] + 0.4, x[2], count=4),
    "linear": lambda x: Sampled(jnp.stack([0 * x[0], x[1], 9 + x[2]]), x),
    "cubic": lambda x: Sampled(jnp.stack([0 * x[0], x[1], 9 + x[2]]), x, "cubic"),
    "hold": lambda x: Sampled(jnp.stack([0 * x[0], x[1], 9 + x[2]]), x, "hold"),
    "sum": lambda x: Ramp(x[0], x[1], x[1] + x[2]) + Sinusoid(x[1], x[2]) + Constant(x[0]),
}


@pytest.mark.parametrize("make", SMOOTH.values(), ids=SMOOTH)
def test_gradients_of_values(make):
    """dI/d(parameter), away from jumps, in both modes, equals central differences."""
    x, ts = jnp.array([1.3, 0.8, 1.1]), jnp.array([0.1, 1.0, 1.45, 3.3])
    values = jax.jit(lambda x: make(x)(ts))
    forward, reverse = jax.jacfwd(values)(x), jax.jacrev(values)(x)
    differences = np.stack(
        [central_difference(lambda h, e=e: np.asarray(values(x + h * e)), 0.0) for e in jnp.eye(3)], axis=1
    )
    np.testing.assert_allclose(forward, differences, atol=1e-9)
    np.testing.assert_allclose(reverse, differences, atol=1e-9)


REFUSED = [
    (lambda: Pulse(1.0, 2.0, 2.0), r"`stop` must be later than `start` \(2\), but got 2"),
    (lambda: Pulse(1.0, 2.0, 1.0), r"`stop` must be later than `start` \(2\), but got 1"),
    (lambda: Ramp(1.0, 2.0, -1.0), r"`stop` must be later than `start` \(2\), but got -1"),
    (lambda: Pulse(1.0, np.nan, 1.0), "`start` must be finite, without NaN, but got nan"),
    (lambda: Sinusoid(1.0, -2.0), "`omega` must be > 0, but got -2"),
    (lambda: PulseTrain(1.0, 0.0, 1.0, 1.0, count=3), r"`width` must be below `period` \(1\), but got 1"),
    (lambda: PulseTrain(1.0, 0.0, 1.0, 2.0, count=3), r"`width` must be below `period` \(1\), but got 2"),
    (lambda: PulseTrain(1.0, 0.0, 1.0, 0.0, count=3), "`width` must be > 0, but got 0"),
    (lambda: PulseTrain(1.0, 0.0, -1.0, 0.5, count=3), "`period` must be > 0, but got -1"),
    (lambda: PulseTrain(1.0, 0.0, 1.0, 0.5, count=0), "`count` must be an integer ≥ 1, but got 0"),
    (lambda: PulseTrain(1.0, 0.0, 1.0, 0.5, count=2.5), "`count` must be an integer ≥ 1, but got 2.5"),
    (lambda: PulseTrain(1.0, 0.0, 1.0, 0.5, count=True), "`count` must be an integer ≥ 1, but got True"),
    (lambda: Sampled([0.0, 0.0], [1.0, 1.0]), "`ts` must be strictly increasing, but got .*"),
    (lambda: Sampled([0.0, 2.0, 1.0], [1.0, 1.0, 1.0]), "`ts` must be strictly increasing, but got .*"),
    (lambda: Sampled([0.0], [1.0]), "`ts` must have at least 2 sample times, but got .*"),
    (
        lambda: Sampled([0.0, 1.0], [1.0, 2.0, 3.0]),
        r"`values` must have the shape of `ts`, \(2,\), or \(times, nodes\), \(2, n\), but got \(3,\)",
    ),
    (lambda: Sampled([0.0, 1.0], 1.0), "`values` must be an array of numbers with 1 or 2 axes, but got 1"),
    (lambda: Sampled([[0.0, 1.0]], [[0.0, 1.0]]), "`ts` must be an array of numbers with 1 axis, but got .*"),
    (lambda: Sampled([0.0, np.nan], [0.0, 1.0]), "`ts` must be finite, without NaN, but got .*"),
    (lambda: Sampled([0.0, 1.0], [0.0, np.inf]), "`values` must be finite, without NaN, but got .*"),
    (lambda: Sampled([0.0, 1.0], [0.0, 1.0], "spline"), r"`interpolation` must be one of \(.*\), but got 'spline'"),
    (
        lambda: Constant(amplitudes=1.0),
        "`amplitudes` must be one of the arguments of Constant, `amplitude`, but got `amplitudes`",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message[:50] for _, message in REFUSED])
def test_wrong_stimuli_are_refused_in_one_sentence(make, message, unchecked):
    with pytest.raises(ValueError, match=f"^Argument {message}\\.$"):
        make()


def test_only_stimuli_add_up(unchecked):
    with pytest.raises(TypeError, match="unsupported operand"):
        Constant(1.0) + 2.0


@pytest.mark.parametrize("ts", [[-0.1, 1.0], [0.0, 4.5]])
@pytest.mark.parametrize("extra", [None, Constant(1.0)])
def test_simulate_stays_within_a_recording(ts, extra):
    """Times outside a recorded input are refused, inside a sum too."""
    stimulus = Sampled(*SAMPLES) if extra is None else extra + Sampled(*SAMPLES)
    with pytest.raises(ValueError, match=r"^Argument `ts` must lie within the stimulus's range \[0, 4\], but got"):
        simulate(MPR(), {"r": 0.1, "v": 0.0}, ts, stimulus=stimulus)


def test_jumps_closer_than_rounding_are_merged():
    merged = jump_times(Pulse(1.0, 0.1 + 0.2, 1.0) + Pulse(1.0, -1.0, 0.3))
    np.testing.assert_array_equal(merged, [-1.0, 0.3, 0.3, 1.0])


# --- inside a solution ------------------------------------------------------------------------------------------------

MODEL, Y0 = MODELS["heterogeneous"], {"r": 0.5, "v": -0.3}
WAYS = {"splitting": {"solver": MobiusSplitting(4), "dt0": 0.005}, "Tsit5": {"rtol": 1e-10, "atol": 1e-12}}
EDGES = jnp.array([1.5, 0.51234, 1.23456])


@pytest.mark.parametrize(
    ("options", "rtol"), [(WAYS["splitting"], 1e-5), pytest.param(WAYS["Tsit5"], 1e-3, marks=pytest.mark.slow)], ids=WAYS
)
def test_gradient_by_amplitude_start_and_stop(options, rtol):
    """A solution's derivative by the edges of a pulse flows through the steps that end on them."""

    def end(x):
        y = simulate(MODEL, Y0, [0.0, 2.0], stimulus=Pulse(x[0], x[1], x[2]), max_steps=1024, **options).y_end
        return y.r - 0.5 * y.v

    gradient = jax.jit(jax.grad(end))(EDGES)
    end = jax.jit(end)
    differences = [central_difference(lambda h, e=e: np.asarray(end(EDGES + h * e)), 0.0, 1e-4) for e in jnp.eye(3)]
    assert np.min(np.abs(differences)) > 1e-2
    np.testing.assert_allclose(gradient, differences, rtol=rtol)


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_touching_pulses_are_one(options):
    """A pulse cut in two, even at times that differ in the last bit, acts as the whole."""
    ts = [0.0, 1.0, 2.0]
    whole = simulate(MODEL, Y0, ts, stimulus=Pulse(1.5, 0.1, 1.7) + Pulse(0.0, 3.0, 4.0), **options)
    for cut in (0.3, 0.1 + 0.2, 1.0):
        halves = simulate(MODEL, Y0, ts, stimulus=Pulse(1.5, 0.1, 0.3 if cut < 1 else 1.0) + Pulse(1.5, cut, 1.7), **options)
        np.testing.assert_allclose([halves.ys.r, halves.ys.v], [whole.ys.r, whole.ys.v], rtol=1e-8, atol=1e-8)
