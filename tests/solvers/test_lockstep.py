"""Networks in equal steps: delays, noise of each node, monitors; against closed forms, other methods and each other."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.solvers.network_run import common_interval

NODE = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7)
CONNECTOME = nmm.random_connectome(6, key=jax.random.key(0), density=1.0)
R0 = jnp.linspace(0.1, 0.6, 6)
SMOOTH = {"r": R0, "v": -0.7 / (2 * jnp.pi * R0)}  # dr/dt = 0: the past has no corner
CORNER = {"r": R0, "v": jnp.full(6, -1.0)}


def network(gain=3.0, **given):
    return nmm.Network(NODE, CONNECTOME, gain=gain, **given)


def ended(model, y0, dt0, T=8.0, **given):
    return nmm.simulate(model, y0, [0.0, T], dt0=dt0, **given).ys.r[-1]


@pytest.mark.parametrize("y0", [SMOOTH, CORNER], ids=["smooth past", "corner in the past"])
def test_order_4_with_different_delays(y0):
    model = network(speed=20.0)
    exact = ended(model, y0, 1 / 256)
    steps = np.array([1 / 16, 1 / 32, 1 / 64])
    errors = [float(jnp.max(jnp.abs(ended(model, y0, h) - exact))) for h in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] > 3.7
    assert errors[-1] < 1e-4


@pytest.mark.slow
def test_other_steppers_agree_with_different_delays():
    """Runge–Kutta for nodes with slow terms tends to the same limit; force gradients are of order 4 with delays of 0."""
    delays = CONNECTOME.lengths / 20.0
    slow = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, adaptation=nmm.SpikeFrequencyAdaptation(alpha=0.0, tau=10.0))
    plain = ended(network(speed=20.0), SMOOTH, 1 / 128)
    general = ended(nmm.Network(slow, CONNECTOME.weights, gain=3.0, delay=delays), SMOOTH | {"A": 0.0}, 1 / 128)
    assert jnp.allclose(plain, general, rtol=1e-5)
    mixed = nmm.Network(NODE, CONNECTOME.weights, gain=3.0, delay=jnp.where(delays < jnp.median(delays), 0.0, delays))
    exact = ended(mixed, SMOOTH, 1 / 256)
    errors = [float(jnp.max(jnp.abs(ended(mixed, SMOOTH, h) - exact))) for h in (1 / 32, 1 / 64)]
    assert np.log2(errors[0] / errors[1]) > 3.5


def test_until_the_first_signal_arrives_nodes_are_alone():
    model = network(delay=5.0)
    y = model.state(CORNER)
    constant = model.gain * model.weights @ (NODE.tau * y.r)
    alone = nmm.Network(nmm.per_node(NODE, eta=NODE.eta + constant), jnp.zeros((6, 6)))
    expected = nmm.simulate(alone, CORNER, [0.0, 4.9], rtol=1e-11, atol=1e-12).ys
    found = nmm.simulate(model, CORNER, [0.0, 4.9], dt0=1 / 64).ys
    assert jnp.allclose(found.r[-1], expected.r[-1], rtol=1e-5) and jnp.allclose(found.v[-1], expected.v[-1], rtol=1e-5)


def test_no_delay_is_the_network_without_delays():
    found = ended(network(delay=0.0), CORNER, 1 / 64)
    assert jnp.allclose(found, ended(network(), CORNER, 1 / 64, solver=nmm.MobiusSplitting(4)), rtol=1e-12)


def test_the_loop_of_networks_is_the_solver_of_diffrax():
    """The same steps, of the same numbers, as `MobiusSplitting` through diffrax."""
    import diffrax

    from nmmjax.solvers.term import PopulationTerm

    model, y0 = network(), network().state(CORNER)
    term = PopulationTerm(model, None)
    for order in (2, 4):
        own = nmm.simulate(model, CORNER, [0.0, 0.5, 1.0], solver=nmm.MobiusSplitting(order), dt0=1 / 16)
        theirs = diffrax.diffeqsolve(
            term, nmm.MobiusSplitting(order), 0.0, 1.0, 1 / 16, y0, stepsize_controller=diffrax.ConstantStepSize()
        ).ys
        assert jnp.allclose(own.ys.r[-1], theirs.r[-1], rtol=1e-10)


PULSE = nmm.Pulse(1.0, 0.3, 0.7)
TRACED: dict[str, dict[str, Any]] = {
    "noise": {"noise": 0.05, "dt0": 1 / 16},
    "noise, steps by default": {"noise": 0.05},
    "noise and a jumping input": {"noise": 0.05, "dt0": 1 / 16, "stimulus": PULSE},
    "no noise, uneven times": {"solver": nmm.MobiusSplitting(4), "dt0": 1 / 16},
}


@pytest.mark.parametrize("given", TRACED.values(), ids=list(TRACED))
def test_runs_inside_jit_and_vmap_are_the_same(given):
    """With `dt0` given, steps are known, and paths are the same inside; steps by default depend on values hidden there."""
    key: dict[str, Any] = {"key": jax.random.key(1)} if "noise" in given else {}
    run = lambda r: nmm.simulate(network(), {"r": r, "v": CORNER["v"]}, [0.0, 0.5, 1.2], **given, **key).ys.r
    inside = jax.jit(run)(R0)
    if "dt0" in given:
        single = run(R0)
        assert jnp.allclose(inside, single, rtol=1e-12)
        assert jnp.allclose(jax.vmap(run)(jnp.stack([R0, 2 * R0]))[0], single, rtol=1e-12)
    assert bool(jnp.all(jnp.isfinite(inside)))


def test_a_traced_step_goes_through_diffrax():
    run = lambda dt0: nmm.simulate(network(), CORNER, [0.0, 1.0], solver=nmm.MobiusSplitting(4), dt0=dt0).ys.r
    assert jnp.allclose(jax.jit(run)(1 / 16), run(1 / 16), rtol=1e-12)


@pytest.mark.slow
def test_blocks_do_not_matter():
    """Saved times cut steps into blocks of other lengths: the numbers stay."""
    model = network(speed=20.0)
    few = nmm.simulate(model, CORNER, jnp.linspace(0.0, 6.0, 3), dt0=1 / 32)
    many = nmm.simulate(model, CORNER, jnp.linspace(0.0, 6.0, 97), dt0=1 / 32)
    assert jnp.allclose(few.ys.r[-1], many.ys.r[-1], rtol=1e-10)
    assert jnp.allclose(few.ys.v[1], many.ys.v[48], rtol=1e-10)


def test_a_run_goes_on_with_its_history():
    model = network(speed=20.0)
    whole = nmm.simulate(model, SMOOTH, [0.0, 4.0, 8.0], dt0=1 / 32)
    first = nmm.simulate(model, SMOOTH, [0.0, 4.0], dt0=1 / 32)
    second = nmm.simulate(model, first, [4.0, 8.0], dt0=1 / 32)
    assert jnp.allclose(second.ys.r[-1], whole.ys.r[-1], rtol=1e-6)
    by_hand = nmm.simulate(model, SMOOTH, [0.0, 8.0], dt0=1 / 32, past=lambda t: SMOOTH)
    assert jnp.allclose(by_hand.ys.r[-1], whole.ys.r[-1], rtol=1e-12)


def test_history_of_a_run_is_what_was_sent():
    run = nmm.simulate(network(speed=20.0), SMOOTH, jnp.linspace(0.0, 8.0, 65), dt0=1 / 32)
    signal, slope = run.history(7.0)
    assert jnp.allclose(signal, run.ys.r[56], rtol=1e-12)
    assert jnp.allclose(slope, 0.7 / jnp.pi + 2 * run.ys.r[56] * run.ys.v[56], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", [jax.jacfwd, pytest.param(jax.jacrev, marks=pytest.mark.slow)])
def test_derivatives_by_speed_and_gain(mode):
    def end(gain, speed):
        return jnp.sum(ended(network(gain, speed=speed), SMOOTH, 1 / 16, T=4.0))

    found = mode(end, argnums=(0, 1))(jnp.asarray(3.0), jnp.asarray(20.0))
    h = 1e-5
    by_gain = (end(3.0 + h, 20.0) - end(3.0 - h, 20.0)) / (2 * h)
    by_speed = (end(3.0, 20.0 + 10 * h) - end(3.0, 20.0 - 10 * h)) / (20 * h)
    assert jnp.allclose(jnp.stack(found), jnp.stack([by_gain, by_speed]), rtol=1e-5)


def test_sparse_weights_are_the_dense_ones():
    from jax.experimental.sparse import BCOO

    dense = nmm.Network(NODE, CONNECTOME.weights, gain=3.0, delay=CONNECTOME.lengths / 20.0)
    sparse = nmm.Network(NODE, BCOO.fromdense(CONNECTOME.weights), gain=3.0, delay=CONNECTOME.lengths / 20.0)
    assert jnp.allclose(ended(dense, SMOOTH, 1 / 32), ended(sparse, SMOOTH, 1 / 32), rtol=1e-10)


def test_short_delays_shorten_steps():
    model = network(delay=0.02)
    run = nmm.simulate(model, CORNER, [0.0, 1.0], dt0=0.05)
    assert int(run.stats["num_steps"]) > 50 and "below the least delay of 0.02" in run.method


@pytest.mark.parametrize("noise", [nmm.WhiteNoise(1e-3), nmm.OrnsteinUhlenbeck(1e-3, 0.5)], ids=["white", "coloured"])
def test_noise_of_nodes_has_the_covariance_of_linear_response(noise):
    node = nmm.MPR(eta=-2.0, J=2.0, Delta=1.0)
    model = nmm.Network(node, jnp.array([[0.0, 3.0], [2.0, 0.0]]))
    expected = nmm.linear_response(model, noise=noise)
    run = nmm.simulate(model, expected.state, jnp.linspace(0.0, 2e5, 200_001), noise=noise, key=jax.random.key(1), dt0=1 / 4)
    found = np.cov(np.asarray(run.ys.r[200:]).T)
    assert np.allclose(found, expected.cov("r"), rtol=0.06)


def test_noisy_runs_with_delays_are_reproducible_whatever_the_blocks():
    model, key = network(speed=20.0), jax.random.key(3)
    given = {"noise": 0.01, "key": key, "dt0": 1 / 32}
    few = nmm.simulate(model, SMOOTH, [0.0, 2.0, 4.0], **given)
    many = nmm.simulate(model, SMOOTH, jnp.linspace(0.0, 4.0, 17), **given)
    assert jnp.allclose(few.ys.r[-1], many.ys.r[-1], rtol=1e-9)
    shared = nmm.simulate(model, SMOOTH, [0.0, 4.0], **given | {"noise": nmm.WhiteNoise(0.01, shared=True)})
    assert not jnp.allclose(few.ys.r[-1], shared.ys.r[-1], rtol=1e-3)


def test_float32_follows_float64():
    model = network(speed=20.0)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf, model)
    found = nmm.simulate(single, SMOOTH, [0.0, 4.0], dt0=1 / 32).ys.r[-1]
    assert found.dtype == jnp.float32
    assert np.allclose(found, ended(model, SMOOTH, 1 / 32, T=4.0), rtol=1e-3)


def test_monitors_record_what_the_run_shows():
    model = network(speed=20.0)
    run = nmm.simulate(
        model,
        SMOOTH,
        jnp.linspace(0.0, 8.0, 33),
        dt0=1 / 32,
        monitors={
            "each": nmm.Subsample(1.0),
            "mean": nmm.TemporalAverage(2.0),
            "fc": nmm.FunctionalConnectivity(nmm.Subsample(0.5)),
        },
    )
    assert jnp.allclose(run.monitors["each"].values, run.ys.r[4::4], rtol=1e-12)
    # The mean of r is known: r' = Δ/π + 2 r v, so that the mean of v follows from ln r.
    fine = nmm.simulate(model, SMOOTH, jnp.linspace(0.0, 8.0, 257), dt0=1 / 32)
    means = np.asarray(fine.ys.r)
    halves = (means[1:] + means[:-1]) / 2
    assert np.allclose(run.monitors["mean"].values, halves.reshape(4, 64, 6).mean(axis=1), rtol=1e-10)
    assert np.allclose(run.monitors["fc"].values, np.corrcoef(np.asarray(run.ys.r[2::2]).T), atol=1e-10)


def test_monitors_of_one_population():
    population = nmm.MPR(eta=1.0, J=0.0, Delta=1.0)
    run = nmm.simulate(population, {"r": 0.1, "v": 0.0}, [0.0, 1.0, 2.0], dt0=1 / 64, monitors={"r": nmm.Subsample(1.0)})
    assert run.ys.r.shape == (3,)
    assert jnp.allclose(run.monitors["r"].values[:, 0], run.ys.r[1:], rtol=1e-12)
    exact = nmm.simulate(population, {"r": 0.1, "v": 0.0}, [0.0, 1.0, 2.0], rtol=1e-11, atol=1e-12)
    assert jnp.allclose(run.ys.r, exact.ys.r, rtol=1e-6)


@pytest.mark.slow
def test_windows_and_saved_times_do_not_change_monitors():
    model, brain = network(speed=20.0), nmm.BOLD(TR=4.0, seconds=0.1, window=0.5)
    few = nmm.simulate(model, SMOOTH, [0.0, 8.0], dt0=1 / 32, monitors={"bold": brain}).monitors["bold"].values
    many = nmm.simulate(model, SMOOTH, jnp.linspace(0.0, 8.0, 65), dt0=1 / 32, monitors={"bold": brain})
    assert jnp.allclose(few, many.monitors["bold"].values, rtol=1e-2)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"past": lambda t: SMOOTH}, "Argument `past` must be None for a model without delays"),
        ({"monitors": [nmm.Subsample(1.0)]}, "Argument `monitors` must be a dictionary of monitors by name"),
        ({"monitors": {"a": nmm.Mean("r")}}, "Argument `monitors` must hold monitors such as"),
        ({"monitors": {"a": nmm.Subsample(30.0)}}, "Argument `ts` must last at least one period of the monitor 'a', 30"),
        ({"monitors": {"a": nmm.Subsample(np.pi)}}, "Argument `ts` must be multiples of one interval"),
        ({"monitors": {"a": nmm.Subsample(1.0, channel="x")}}, "channels of Network"),
        ({"monitors": {"a": nmm.Subsample(1.0)}, "rtol": 1e-3}, "Argument `rtol` must not be given with delays or monitors"),
    ],
)
def test_wrong_monitors(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        nmm.simulate(network(), CORNER, [0.0, 8.0], **given)


def test_delays_that_jit_hides_are_refused():
    def end(speed):
        return ended(network(speed=speed), CORNER, 1 / 16, T=1.0)

    with pytest.raises(ValueError, match=r"Argument `speed` must be known outside `jax\.jit` and `jax\.vmap`"):
        jax.jit(end)(jnp.asarray(20.0))


def test_common_interval_of_times_and_periods():
    assert common_interval(np.linspace(0, 60_000, 601), {"bold": 2000.0}, 0.1) == (100.0, 600)
    found = common_interval(np.array([0.0, 0.3, 1.0]), {}, 0.1, np.array([0.5, 7.0]))
    assert found.length == pytest.approx(0.1) and found.records == 10
    assert found.places(np.array([0.0, 0.3, 1.0])).tolist() == [0, 3, 10]


def test_an_input_that_jumps_is_stepped_onto_with_delays():
    model = network(speed=20.0)
    pulse = nmm.Pulse(amplitude=2.0, start=1.0, stop=2.5)
    ends = [nmm.simulate(model, SMOOTH, [0.0, 4.0], stimulus=pulse, dt0=h).ys.r[-1] for h in (1 / 16, 1 / 32, 1 / 256)]
    errors = [float(jnp.max(jnp.abs(each - ends[-1]))) for each in ends[:2]]
    assert np.log2(errors[0] / errors[1]) > 3.3


TIMES = [
    (np.linspace(0.0, 60_000.0, 61, dtype=np.float32), {"bold": 1000.0}, 1000.0),  # rounded: differences of 1000.004
    (np.linspace(0.0, 60_000.0, 601, dtype=np.float32), {"a": 720.0, "b": 2000.0}, 20.0),
    (np.linspace(0.0, 2.0, 21), {"a": 0.25}, 0.05),
    (np.linspace(5.0, 65.0, 241), {}, 0.25),
    (np.array([0.0, 1.0, 2.5]), {"a": 0.02}, 0.02),
]


@pytest.mark.parametrize(("ts", "periods", "length"), TIMES)
def test_times_and_periods_have_a_common_interval(ts, periods, length):
    found = common_interval(np.asarray(ts, float), periods, min(length, 0.1))
    assert abs(found.length / length - 1) < 1e-6 and found.records == round(float(ts[-1] - ts[0]) / length)
