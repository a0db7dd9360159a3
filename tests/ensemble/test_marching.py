"""Sweeps of networks with delays, noise of each node and monitors: lanes are runs, whatever their company."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

NODE = nmm.MPR(eta=-4.6, J=14.5, Delta=0.7)
CONNECTOME = nmm.random_connectome(5, key=jax.random.key(0), density=1.0)
Y0 = {"r": 0.3, "v": -1.0}
GAINS = np.array([1.0, 2.0, 3.0])


def delayed(gain=2.0, speed=20.0):
    return nmm.Network(NODE, CONNECTOME, gain=gain, speed=speed)


def swept(model, over, observe, t1=4.0, dt0=1 / 16, **given):
    return nmm.sweep(model, over=over, y0=Y0, t1=t1, observe=observe, dt0=dt0, progress=False, **given)


def test_lanes_with_delays_are_runs():
    monitors = {"bold": nmm.BOLD(TR=2.0, seconds=0.1, window=0.5), "fc": nmm.FunctionalConnectivity(nmm.Subsample(0.5))}
    observe = {"last": nmm.Final(), "mean": nmm.Mean("r"), "some": nmm.Samples([1.0, 3.0], "v"), **monitors}
    observe |= {"peak": nmm.Peak("r"), "trough": nmm.Trough("v"), "period": nmm.Period("r"), "spikes": nmm.SpikeCount()}
    data = swept(delayed(), {"gain": GAINS}, observe)
    for gain, lane in zip(GAINS, data.transpose("gain", ...).gain, strict=True):
        run = nmm.simulate(delayed(gain), Y0, jnp.linspace(0.0, 4.0, 9), dt0=1 / 16, monitors=monitors)
        at = data.sel(gain=lane)
        assert np.allclose(at.last_r, run.ys.r[-1], rtol=1e-10) and np.allclose(
            at.some, run.ys.v[jnp.array([2, 6])], rtol=1e-10
        )
        assert np.allclose(at.bold, run.monitors["bold"].values, rtol=1e-9, atol=1e-15)
        assert np.allclose(at.fc, run.monitors["fc"].values, rtol=1e-7)
    fine = nmm.simulate(delayed(3.0), Y0, jnp.linspace(0.0, 4.0, 65), dt0=1 / 16).ys.r
    assert np.allclose(data["mean"][-1], np.mean((fine[1:] + fine[:-1]) / 2), rtol=1e-9)
    assert np.allclose(data.peak[-1], fine.max(), rtol=1e-9)  # of steps: between them the past is not known
    assert data.fc.dims == ("gain", "node", "other_node") and data.bold.dims == ("gain", "bold_time", "node")
    assert (data.status == 0).all()


def test_speeds_differ_between_lanes():
    data = swept(delayed(), {"speed": np.array([10.0, 20.0, 40.0])}, {"last": nmm.Final("r")})
    for speed in (10.0, 40.0):
        run = nmm.simulate(delayed(speed=speed), Y0, [0.0, 4.0], dt0=1 / 16)
        assert np.allclose(data["last"].sel(speed=speed), run.ys.r[-1], rtol=1e-4)  # steps follow the fastest lane


def test_transients_are_left_out():
    observe = {"mean": nmm.Mean("r"), "sub": nmm.Subsample(1.0)}
    late = swept(delayed(), {"gain": GAINS[:1]}, observe, t0=2.0)
    run = nmm.simulate(delayed(1.0), Y0, jnp.linspace(0.0, 4.0, 65), dt0=1 / 16).ys.r
    assert np.allclose(late["mean"][0], np.mean((run[32:-1] + run[33:]) / 2), rtol=1e-8)
    assert np.allclose(late["sub"][0], run[jnp.array([48, 64])], rtol=1e-8) and late.sub_time.values.tolist() == [3.0, 4.0]


def test_derivatives_of_delayed_lanes():
    data = swept(delayed(), {"gain": GAINS, "speed": np.array([20.0])}, {"mean": nmm.Mean("r")}, gradient=("gain", "speed"))
    h = 1e-5
    up, down = (swept(delayed(), {"gain": GAINS + d, "speed": np.array([20.0])}, {"mean": nmm.Mean("r")}) for d in (h, -h))
    assert np.allclose(data.d_mean_d_gain, (up["mean"].values - down["mean"].values) / (2 * h), rtol=1e-5)
    up, down = (swept(delayed(), {"gain": GAINS, "speed": np.array([20.0 + d])}, {"mean": nmm.Mean("r")}) for d in (h, -h))
    assert np.allclose(data.d_mean_d_speed, (up["mean"].values - down["mean"].values) / (2 * h), rtol=1e-3, atol=1e-8)


def test_noisy_lanes_have_paths_of_their_own_whatever_the_chunks(tmp_path):
    model = nmm.Network(NODE, CONNECTOME, gain=1.0)
    over = {"gain": GAINS, "noise": np.array([0.0, 1e-2])}
    given = {"key": jax.random.key(0), "noise": 0.0}
    whole = swept(model, over, {"last": nmm.Final("r")}, **given)
    pieces = swept(model, over, {"last": nmm.Final("r")}, **given, chunk=2, store=tmp_path / "store")
    assert np.array_equal(whole["last"], pieces["last"])
    quiet = nmm.simulate(nmm.Network(NODE, CONNECTOME, gain=3.0), Y0, [0.0, 4.0], dt0=1 / 16, solver=nmm.MobiusSplitting(4))
    assert np.allclose(whole["last"].sel(gain=3.0, noise=0.0), quiet.ys.r[-1], rtol=1e-9)
    assert not np.allclose(whole["last"].sel(noise=0.0), whole["last"].sel(noise=1e-2), rtol=1e-3)


@pytest.mark.parametrize("law", [nmm.WhiteNoise, lambda D: nmm.OrnsteinUhlenbeck(D, 0.5)], ids=["white", "coloured"])
def test_variances_of_noisy_lanes(law):
    node = nmm.MPR(eta=-2.0, J=2.0, Delta=1.0)
    model = nmm.Network(node, jnp.array([[0.0, 3.0], [2.0, 0.0]]))
    state = nmm.linear_response(model).state
    noises = np.array([5e-4, 1e-3])
    data = nmm.sweep(
        model,
        over={"noise": ("sample", np.repeat(noises, 8))},
        y0={"r": float(state.r[0]), "v": float(state.v[0])},
        t1=1010.0,
        t0=10.0,
        observe={"v0": nmm.Variance("r[0]"), "v1": nmm.Variance("r[1]")},
        noise=law(1e-3),
        key=jax.random.key(0),
        dt0=1 / 16,
        progress=False,
    )
    expected = [np.diag(nmm.linear_response(model, noise=law(D)).cov("r")) for D in noises]
    found = np.stack([data.v0.values.reshape(2, 8).mean(axis=1), data.v1.values.reshape(2, 8).mean(axis=1)], axis=1)
    assert np.allclose(found, expected, rtol=0.06)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"observe": {"bold": nmm.BOLD(TR=100.0)}}, "Argument `t1` must be at least one period of the monitor 'bold'"),
        ({"observe": {"a": nmm.Subsample(1.0, channel="x")}}, "channels of Network"),
        ({"noise": nmm.CauchyNoise(0.1), "key": jax.random.key(0)}, "must be a number D, `WhiteNoise` or `Ornstein"),
        ({"solver": diffrax.Tsit5()}, "Argument `solver` must be None or a `MobiusSplitting` of order 2 or 4"),
        ({"stimulus": nmm.Pulse(1.0, 0.5, np.pi)}, "Argument `ts` must be multiples of one interval"),
    ],
)
def test_wrong_arguments(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        swept(delayed(), {"gain": GAINS}, **{"observe": {"last": nmm.Final()}} | given)


def test_a_population_has_no_monitors_in_sweeps():
    with pytest.raises(ValueError, match="Argument `observe` must hold monitors of a `Network` only"):
        swept(nmm.MPR(), {"eta": GAINS}, {"a": nmm.Subsample(1.0)})


def test_a_failed_lane_does_not_harm_others():
    model = eqx.tree_at(lambda each: each.coupling.gain, delayed(), jnp.asarray(1.0))
    data = swept(model, {"gain": np.array([1.0, 1e300])}, {"mean": nmm.Mean("r")})
    alone = swept(model, {"gain": np.array([1.0])}, {"mean": nmm.Mean("r")})
    assert data.status.values[0] == 0 and data.status.values[1] != 0 and np.isnan(data["mean"].values[1])
    assert data["mean"].values[0] == alone["mean"].values[0]
