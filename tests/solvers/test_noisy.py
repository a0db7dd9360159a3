"""`simulate` with noise: strong and weak order by regression, exact laws, coloured and Cauchy noise, networks, bad input."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rest_slow, slope
from scipy.integrate import quad

from nmmjax import (
    MPR,
    CauchyNoise,
    ConductanceSynapse,
    Constant,
    GapJunction,
    GaussianNoise,
    MobiusSplitting,
    Network,
    OrnsteinUhlenbeck,
    Pulse,
    Ramp,
    SpikeFrequencyAdaptation,
    SynapticDepression,
    WhiteNoise,
    energy_balance,
    excitatory_inhibitory,
    mutual_inhibition,
    simulate,
)
from nmmjax.coordinates import to_qqdot
from nmmjax.models.state import State
from nmmjax.results import RESULTS
from nmmjax.solvers.noisy import Kicks, noisy_step

Y0 = {"r": 0.5, "v": 0.0}
POPULATIONS = {
    "plain": MPR(eta=1.0, J=4.0, Delta=0.5),
    "tau": MPR(eta=1.0, J=4.0, Delta=0.5, tau=1.7),
    "gap": MPR(eta=1.0, J=4.0, Delta=0.5, gap=GapJunction(0.3)),
    "conductance": MPR(eta=1.0, J=4.0, Delta=0.5, conductance=ConductanceSynapse(0.3, -0.5)),
    "adaptation": MPR(eta=1.0, J=4.0, Delta=0.5, adaptation=SpikeFrequencyAdaptation(alpha=1.0, tau=3.0)),
}


def paths(model, count, halvings, lanes, T, D=0.3):
    """States at T of `lanes` paths by count · 2^k steps, k = 0 … halvings, along the same Brownian paths: (k, lanes)."""
    finest = count * 2**halvings
    # Two increments per step, of the first and the second half of it.
    fine = np.random.default_rng(0).normal(size=(2 * finest, lanes)) * np.sqrt(D * T / finest / float(model.tau))
    start = jax.tree.map(lambda each: jnp.full(lanes, each), model.state(Y0))
    ends = []
    for k in range(halvings, -1, -1):
        steps = finest // 2 ** (halvings - k)
        kicks = jnp.asarray(fine.reshape(steps, 2, -1, lanes).sum(axis=2))
        h = jnp.asarray(T / steps)

        @jax.jit
        def run(y, kicks, h=h):
            def step(y, pair):
                zero = jnp.zeros_like(pair[0])
                move = lambda y, a, b, x: noisy_step(model, None, jnp.zeros(()), h, y, Kicks(a, b, x))
                return jax.vmap(move)(y, *pair, zero), None

            return jax.lax.scan(step, y, kicks)[0]

        ends.append(run(start, kicks).r)
    return np.asarray(ends[::-1])


@pytest.mark.parametrize("name", rest_slow(POPULATIONS, "plain"))
def test_strong_order_is_one(name):
    """Root mean square of the distance to the finest path, along the same Brownian path."""
    r = paths(POPULATIONS[name], 40, 5, 1024, 2.0)
    errors = [np.sqrt(np.mean((r[k] - r[-1]) ** 2)) for k in range(4)]
    assert 0.9 < -slope(np.arange(4), np.log2(errors)) < 1.3
    assert errors[3] < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "gap", "conductance", "adaptation"])
def test_weak_order_is_two(name):
    """The mean's error; the same paths at both step sizes leave little of the sampling error."""
    r = paths(POPULATIONS[name], 20, 4, 400_000, 2.0, D=0.1)
    means = [np.mean(r[k] - r[k + 1]) for k in range(3)]
    noise = [np.std(r[k] - r[k + 1]) / np.sqrt(r.shape[1]) for k in range(3)]
    kept = [k for k in range(3) if abs(means[k]) > 10 * noise[k]]
    assert len(kept) >= 2
    assert 1.7 < -slope(kept, np.log2(np.abs([means[k] for k in kept]))) < 2.5


def law(model, D, f):
    """⟨f(r)⟩ under P(R) ∝ R^(−3/2) exp(−V(R)/T)."""
    eta, J, Delta, tau = (float(each) for each in (model.eta, model.J, model.Delta, model.tau))
    T = np.pi * D / Delta
    V = lambda R: eta / R + np.pi**2 * R - J * np.log(R) + Delta**2 / (12 * np.pi**2 * R**3)
    x = np.linspace(-8, 3, 2001)
    low = np.min(V(np.exp(x)) / T + x / 2)
    weight = lambda x: np.exp(low - x / 2 - V(np.exp(x)) / T)
    inside = x[weight(x) > 1e-14]
    integral = lambda g: quad(lambda x: g(np.exp(x)) * weight(x), inside[0], inside[-1], limit=400)[0]
    return integral(lambda R: f(R / tau)) / integral(lambda R: 1.0)


@pytest.mark.parametrize("name", ["plain", "tau"])
def test_long_runs_follow_the_boltzmann_law(name):
    """⟨r⟩, ⟨1/r⟩, ⟨ln r⟩ and ⟨q̇²⟩ = T within 4 standard errors, over 256 lanes."""
    model, D, lanes = POPULATIONS[name], 0.3, 256
    ts = jnp.arange(0.0, 120.0, 0.5)
    keys = jax.random.split(jax.random.key(3), lanes)
    run = jax.vmap(lambda key: simulate(model, Y0, ts, noise=D, key=key, dt0=0.01))(keys)
    y = jax.tree.map(lambda each: each[:, 40:], run.ys)
    _, speed = to_qqdot(model, y)
    T = np.pi * D / float(model.Delta)
    cases = {"r": (y.r, lambda r: r), "1/r": (1 / y.r, lambda r: 1 / r), "ln r": (jnp.log(y.r), np.log)}
    for values, f in cases.values():
        lane_means = np.mean(np.asarray(values), axis=1)
        error = lane_means.std(ddof=1) / np.sqrt(lanes)
        assert abs(lane_means.mean() - law(model, D, f)) < 4 * error and error < 0.02 * abs(law(model, D, f))
    lane_means = np.mean(np.asarray(speed) ** 2, axis=1)
    assert abs(lane_means.mean() - T) < 4 * lane_means.std(ddof=1) / np.sqrt(lanes)


def test_a_path_depends_on_key_and_steps_only():
    model, ts = POPULATIONS["plain"], jnp.linspace(0.0, 5.0, 51)
    run = lambda key, **more: simulate(model, Y0, ts, noise=0.2, key=jax.random.key(key), **more)
    first, again, other = run(0), run(0), run(1)
    assert np.array_equal(first.ys.r, again.ys.r) and not np.array_equal(first.ys.r, other.ys.r)
    assert first.result == RESULTS.successful and int(first.reached) == 51
    assert np.array_equal(first.ys.r, simulate(model, Y0, ts, noise=WhiteNoise(0.2), key=jax.random.key(0)).ys.r)
    batch = jax.vmap(lambda key: simulate(model, Y0, ts, noise=0.2, key=key))(jax.random.split(jax.random.key(5), 3))
    assert batch.ys.r.shape == (3, 51) and len(np.unique(np.asarray(batch.ys.r[:, -1]))) == 3
    assert "WhiteNoise(intensity=0.2)" in str(first) and "steps of at most" in first.method
    old = simulate(model, Y0, ts, noise=0.2, key=jax.random.PRNGKey(0))
    assert np.array_equal(old.ys.r, first.ys.r)


def test_no_noise_is_the_splitting():
    model, ts = POPULATIONS["plain"], jnp.linspace(0.0, 5.0, 51)
    noisy = simulate(model, Y0, ts, noise=0.0, key=jax.random.key(0), dt0=0.02)
    plain = simulate(model, Y0, ts, solver=MobiusSplitting(2), dt0=0.02)
    assert np.allclose(noisy.ys.r, plain.ys.r, rtol=1e-12)
    default = simulate(model, Y0, ts, noise=0.0, key=jax.random.key(0))
    assert np.allclose(default.ys.r, simulate(model, Y0, ts, rtol=1e-10, atol=1e-12).ys.r, rtol=3e-3)


@pytest.mark.parametrize("stimulus", [Pulse(3.0, 1.03, 2.517), Constant(0.7), Ramp(2.0, 1.0, 3.0)])
@pytest.mark.slow
def test_stimuli_act_at_their_times(stimulus):
    model, ts = POPULATIONS["tau"], jnp.linspace(0.0, 5.0, 11)
    noisy = simulate(model, Y0, ts, noise=0.0, key=jax.random.key(0), dt0=0.005, stimulus=stimulus)
    exact = simulate(model, Y0, ts, stimulus=stimulus, rtol=1e-11, atol=1e-13)
    assert noisy.ts.shape == noisy.ys.r.shape
    assert np.allclose(noisy.ys.r, exact.ys.r, rtol=1e-4)


def test_piecewise_constant_input_without_coupling_is_exact():
    model = eqx.tree_at(lambda each: each.J, POPULATIONS["plain"], jnp.zeros(()))
    ts = jnp.linspace(0.0, 5.0, 11)
    noisy = simulate(model, Y0, ts, noise=0.0, key=jax.random.key(0), dt0=0.3, stimulus=Pulse(3.0, 1.03, 2.517))
    exact = simulate(model, Y0, ts, stimulus=Pulse(3.0, 1.03, 2.517), rtol=1e-12, atol=1e-13)
    assert np.allclose(noisy.ys.r, exact.ys.r, rtol=1e-9)


@pytest.mark.parametrize("name", POPULATIONS)
def test_rates_stay_positive_at_any_step(name):
    run = simulate(POPULATIONS[name], Y0, jnp.linspace(0.0, 200.0, 401), noise=5.0, key=jax.random.key(1), dt0=0.5)
    assert np.all(np.asarray(run.ys.r) > 0) and np.all(np.isfinite(np.asarray(run.ys.v)))


def test_ornstein_uhlenbeck_noise_has_its_variance_and_correlation():
    noise, tau = OrnsteinUhlenbeck(0.4, 0.8), 1.7
    model, ts = POPULATIONS["tau"], jnp.arange(0.0, 400.0, 0.4)
    keys = jax.random.split(jax.random.key(2), 16)
    x = np.asarray(jax.vmap(lambda key: simulate(model, Y0, ts, noise=noise, key=key, dt0=0.1))(keys).fluctuation)
    variance = 0.4 * tau / 0.8
    assert x.shape == (16, ts.size)
    assert abs(x.var() / variance - 1) < 0.05
    assert abs(np.mean(x[:, 1:] * x[:, :-1]) / variance - np.exp(-0.5)) < 0.05


@pytest.mark.slow
def test_fast_coloured_noise_is_white():
    model, ts = POPULATIONS["plain"], jnp.arange(0.0, 60.0, 0.5)
    keys = jax.random.split(jax.random.key(4), 512)
    means = []
    for noise in (WhiteNoise(0.3), OrnsteinUhlenbeck(0.3, 0.02)):
        run = jax.vmap(lambda key, noise=noise: simulate(model, Y0, ts, noise=noise, key=key, dt0=0.005).ys.r[40:])(keys)
        means.append(np.asarray(run).mean())
    assert abs(means[1] / means[0] - 1) < 0.03


def test_coloured_noise_converges_along_a_path():
    """Order one along the same x, whose integral the trapezoidal rule takes."""
    model, count, lanes = POPULATIONS["plain"], 640, 1024
    rng, tau_c, D, T = np.random.default_rng(0), 0.5, 0.3, 2.0
    h = T / count
    x = [rng.normal(size=lanes) * np.sqrt(D / tau_c)]
    for _ in range(count):
        x.append(np.exp(-h / tau_c) * x[-1] + np.sqrt(D / tau_c * -np.expm1(-2 * h / tau_c)) * rng.normal(size=lanes))
    x, ends = np.asarray(x), []
    for stride in (16, 8, 4, 1):
        picked, step = jnp.asarray(x[::stride]), jnp.asarray(h * stride)
        y = jax.tree.map(lambda each: jnp.full(lanes, each), model.state(Y0))

        def move(y, pair, step=step):
            one = lambda y, a, b: noisy_step(model, None, jnp.zeros(()), step, y, Kicks(step / 2 * a, step / 2 * b, b))
            return jax.vmap(one)(y, *pair), None

        ends.append(np.asarray(jax.lax.scan(move, y, (picked[:-1], picked[1:]))[0].r))
    errors = [np.sqrt(np.mean((each - ends[-1]) ** 2)) for each in ends[:3]]
    assert -slope(np.arange(3), np.log2(errors)) > 0.9


def test_cauchy_noise_widens_delta():
    ts = jnp.linspace(0.0, 5.0, 11)
    run = simulate(MPR(eta=1.0, J=4.0, Delta=0.5), Y0, ts, noise=CauchyNoise(0.25))
    wide = simulate(MPR(eta=1.0, J=4.0, Delta=0.75), Y0, ts)
    assert np.array_equal(run.ys.r, wide.ys.r) and run.noise is None
    pair = simulate(mutual_inhibition(), Y0, ts, noise=CauchyNoise(0.25))
    assert np.allclose(pair.ys.r, simulate(mutual_inhibition(Delta=1.25), Y0, ts).ys.r)


@pytest.mark.slow
def test_networks():
    pair, ts = mutual_inhibition(), jnp.linspace(0.0, 10.0, 101)
    own = simulate(pair, Y0, ts, noise=0.2, key=jax.random.key(0))
    same = simulate(pair, Y0, ts, noise=WhiteNoise(0.2, shared=True), key=jax.random.key(0))
    assert own.ys.r.shape == (101, 2) and not np.allclose(own.ys.r[:, 0], own.ys.r[:, 1])
    assert np.allclose(same.ys.r[:, 0], same.ys.r[:, 1], rtol=1e-6)
    one = simulate(
        pair, Y0, ts, noise=jnp.array([0.2, 0.0]), key=jax.random.key(0), stimulus=pair.target(Pulse(1.0, 1.0, 2.0), 0)
    )
    assert np.all(np.isfinite(np.asarray(one.ys.r)))
    mixed = excitatory_inhibitory(eta=(1.0, 2.0), J_ee=5.0, J_ei=-4.0, J_ie=6.0, J_ii=-1.0, tau=(1.0, 2.0))
    coloured = simulate(mixed, Y0, ts, noise=OrnsteinUhlenbeck(0.2, 0.5), key=jax.random.key(0))
    assert coloured.fluctuation.shape == (101, 2)
    # Uncoupled nodes are single populations, each on its own clock.
    nodes = Network(MPR(eta=1.0, J=4.0, Delta=0.5, tau=1.7), np.zeros((2, 2)))
    alone = simulate(nodes, Y0, ts, noise=0.0, key=jax.random.key(0), dt0=0.01)
    assert np.allclose(alone.ys.r[:, 1], simulate(POPULATIONS["tau"], Y0, ts, rtol=1e-10, atol=1e-12).ys.r, rtol=1e-3)


@pytest.mark.slow
def test_paths_differentiate():
    ts, key = jnp.linspace(0.0, 3.0, 31), jax.random.key(0)
    end = lambda eta: simulate(MPR(eta=eta, J=4.0, Delta=0.5), Y0, ts, noise=0.2, key=key, dt0=0.02).ys.r[-1]
    step = 1e-5
    difference = (end(1.0 + step) - end(1.0 - step)) / (2 * step)
    assert np.allclose(jax.grad(end)(1.0), difference, rtol=1e-6)
    assert np.allclose(jax.jacfwd(end)(1.0), difference, rtol=1e-6)


def test_float32(unchecked):
    with jax.enable_x64(False):
        model = MPR(eta=1.0, J=4.0, Delta=0.5)
        run = simulate(model, Y0, jnp.linspace(0.0, 20.0, 201), noise=0.2, key=jax.random.key(0))
        assert run.ys.r.dtype == jnp.float32 and np.all(np.asarray(run.ys.r) > 0)


def test_depression_recovers_under_noise():
    model = MPR(eta=-4.6, J=15 * np.sqrt(2.0), Delta=2.0, adaptation=SynapticDepression(alpha=0.1, tau=10.0))
    ts = jnp.linspace(0.0, 20.0, 41)
    noisy = simulate(model, Y0, ts, noise=0.0, key=jax.random.key(0), dt0=0.002)
    exact = simulate(model, Y0, ts, rtol=1e-10, atol=1e-12)
    for name in noisy.ys.names:
        assert np.allclose(getattr(noisy.ys, name), getattr(exact.ys, name), rtol=2e-3, atol=1e-4)


BAD = [
    ({"noise": -0.1}, "`intensity` must be ≥ 0 and finite, but got -0.1"),
    ({"noise": float("nan")}, "`intensity` must be ≥ 0"),
    ({"noise": "loud"}, "`intensity` must be a number ≥ 0"),
    ({"noise": 0.1, "key": None}, "`key` must be one random key"),
    ({"noise": 0.1, "key": 3}, "`key` must be one random key"),
    ({"noise": None}, "`key` must be given together with `noise`"),
    ({"noise": jnp.array([0.1, 0.2])}, "`noise` must be a number"),
    ({"noise": GaussianNoise(0.1)}, "`noise` must be other than Gaussian noise of each neuron, which no mean field takes"),
    ({"noise": 0.1, "rtol": 1e-6}, "`rtol` must not be given with `noise`"),
    ({"noise": 0.1, "dense": True}, "`dense` must not be given"),
    ({"noise": 0.1, "solver": diffrax.Tsit5()}, "`solver` must be None or `MobiusSplitting(2)`"),
    ({"noise": 0.1, "solver": MobiusSplitting(4)}, "`solver` must be None or `MobiusSplitting(2)`"),
    ({"noise": 0.1, "dt0": 0.0}, "`dt0` must be > 0"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input(given, message, unchecked):
    given = {"key": jax.random.key(0)} | given
    with pytest.raises(ValueError) as error:
        simulate(POPULATIONS["plain"], Y0, jnp.linspace(0.0, 1.0, 11), **given)
    assert message in str(error.value)


def test_more_bad_input(unchecked):
    with pytest.raises(ValueError, match="`correlation_time` must be > 0"):
        OrnsteinUhlenbeck(0.1, 0.0)
    with pytest.raises(ValueError, match="`width` must be ≥ 0"):
        CauchyNoise(-1.0)
    with pytest.raises(ValueError, match="`intensity` must be ≥ 0"):
        GaussianNoise(-1.0)
    run = simulate(POPULATIONS["plain"], Y0, jnp.linspace(0.0, 1.0, 11), noise=0.1, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`run` must be without noise"):
        energy_balance(run)
    slow = Network(POPULATIONS["adaptation"], np.zeros((2, 2)))
    with pytest.raises(
        ValueError, match="`model` must be without slow terms other than synapses to have noise, as a network"
    ):
        simulate(slow, Y0, jnp.linspace(0.0, 1.0, 11), noise=0.1, key=jax.random.key(0))


def test_to_xarray_names_the_noise():
    run = simulate(POPULATIONS["plain"], Y0, jnp.linspace(0.0, 1.0, 11), noise=0.1, key=jax.random.key(0))
    assert run.to_xarray().attrs["noise"] == "WhiteNoise(intensity=0.1)"
    assert isinstance(run.ys, State)


# --- derivatives along one path, and noise that goes on ---------------------------------------------------------------

UNEVEN = {
    "a pulse": (np.linspace(0.0, 5.0, 6), {"dt0": 0.02}),
    "uneven times": (np.array([0.0, 0.1, 0.5, 2.7, 2.75, 5.0]), {"dt0": 0.02}),
    "steps that follow from the model": (np.linspace(0.0, 5.0, 6), {}),
}


@pytest.mark.parametrize(
    "case", ["uneven times", *(pytest.param(name, marks=pytest.mark.slow) for name in UNEVEN if name != "uneven times")]
)
def test_gradient_of_a_noisy_run_under_a_pulse_and_at_uneven_times(case):
    """Reverse and forward mode, and inside `jit`, equal differences along the same noise."""
    ts, options = UNEVEN[case]

    def end(eta):
        given = {"stimulus": Pulse(3.0, 2.0, 4.0), "noise": 0.1, "key": jax.random.key(0)} | options
        return simulate(MPR(eta=eta), {"r": 0.1, "v": -2.0}, ts, **given).ys.r[-1]

    h = 1e-4
    expected = (end(-5.0 + h) - end(-5.0 - h)) / (2 * h) if options else None  # else steps differ, and paths with them
    reverse = jax.grad(end)(-5.0)
    np.testing.assert_allclose(jax.jacfwd(end)(-5.0), reverse, rtol=1e-9)
    if options:
        np.testing.assert_allclose(reverse, expected, rtol=1e-5)
    else:
        np.testing.assert_allclose(jax.jit(jax.grad(end))(-5.0), reverse, rtol=1e-7)


@pytest.mark.slow
def test_gradient_of_a_noisy_run_by_the_time_of_a_pulse():
    def end(start):
        given = {"stimulus": Pulse(3.0, start, 4.0), "noise": 0.1, "key": jax.random.key(0), "dt0": 0.02}
        return simulate(MPR(), {"r": 0.1, "v": -2.0}, np.linspace(0.0, 10.0, 11), **given).ys.r[-1]

    h = 1e-6
    expected = (end(2.003 + h) - end(2.003 - h)) / (2 * h)
    np.testing.assert_allclose([jax.grad(end)(2.003), jax.jacfwd(end)(2.003)], expected, rtol=1e-6)


@pytest.mark.slow
def test_cutting_intervals_into_stretches_leaves_paths_alone():
    """A path depends on its key and the steps of its intervals, and not on how loops are cut; traced times, too."""
    ts = np.array([0.0, 0.1, 0.5, 2.7, 2.75, 5.0])
    run = lambda ts: simulate(POPULATIONS["plain"], Y0, ts, noise=0.3, key=jax.random.key(3), dt0=0.05).ys.r
    np.testing.assert_allclose(jax.jit(run)(jnp.asarray(ts)), run(ts), rtol=1e-12)


@pytest.mark.parametrize("nodes", [(), pytest.param((2,), marks=pytest.mark.slow)])
def test_coloured_noise_goes_on_from_a_run(nodes):
    """The joined path has the law of one: its variance, and its correlation across the join; the state goes on as well."""
    noise, lag = OrnsteinUhlenbeck(np.full(nodes, 0.4) if nodes else 0.4, 2.0), 10
    model = mutual_inhibition() if nodes else POPULATIONS["plain"]
    step = 0.1

    def joined(key):
        keys = jax.random.split(key)
        given = {"noise": noise, "dt0": step}
        first = simulate(model, Y0, step * np.arange(lag + 1), key=keys[0], **given)
        then = simulate(model, first, first.t_end + step * np.arange(lag + 1), key=keys[1], **given)
        return first.fluctuation, then.fluctuation, first.y_end.r - then.ys.r[0]

    before, after, jump = jax.vmap(joined)(jax.random.split(jax.random.key(5), 4000))
    assert before.shape == (4000, lag + 1, *nodes) and not np.any(jump)
    np.testing.assert_array_equal(before[:, -1], after[:, 0])
    x, y, variance = np.asarray(before[:, -1 - lag // 2]), np.asarray(after[:, lag // 2]), 0.4 / 2.0
    np.testing.assert_allclose(y.var(axis=0) / variance, 1, atol=0.08)
    np.testing.assert_allclose((x * y).mean(axis=0) / variance, np.exp(-lag * step / 2.0), atol=0.06)


@pytest.mark.slow
def test_noise_goes_on_only_where_it_was(unchecked):
    given = {"noise": OrnsteinUhlenbeck(0.4, 2.0), "key": jax.random.key(0), "dt0": 0.1}
    white = simulate(POPULATIONS["plain"], Y0, [0.0, 1.0], noise=0.1, key=jax.random.key(0), dt0=0.1)
    assert white.fluctuation_end is None
    anew = simulate(POPULATIONS["plain"], white, [1.0, 2.0], **given)
    same = simulate(POPULATIONS["plain"], white.y_end, [1.0, 2.0], **given)
    np.testing.assert_array_equal(anew.fluctuation, same.fluctuation)
