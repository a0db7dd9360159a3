"""Mean field and neurons side by side: deviations, what is to be expected of them, verdicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

POPULATION = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
START = {"r": 0.08, "v": -1.96}
TS, LONG = jnp.linspace(0.0, 10.0, 101), jnp.linspace(0.0, 20.0, 401)
PULSE = nmm.Pulse(3.0, 1.0, 5.0)


@pytest.fixture(scope="module")
def comparison():
    return nmm.compare_with_neurons(POPULATION, size=(10_000, 1000), y0=START, ts=LONG, stimulus=PULSE)


def test_deviations_fall_faster_than_the_square_root(comparison):
    assert comparison.sizes.tolist() == [1000, 10_000]
    np.testing.assert_allclose(comparison.expected[0] / comparison.expected[1], np.sqrt(10), rtol=1e-12)
    assert np.all(comparison.ratio < 1)
    assert -1.1 < comparison.exponent < -0.5
    run, largest = comparison.mean_field, comparison.neurons[-1]
    np.testing.assert_allclose(comparison.deviation[-1], np.sqrt(np.mean((largest.ys.r - run.ys.r) ** 2)))
    assert "describes 10000 neurons" in comparison.verdict
    assert "deviation ∝ N^" in str(comparison)


@pytest.mark.slow
@pytest.mark.slow
def test_random_phases_deviate_as_expected():
    """One snapshot of neurons drawn at random: the deviation expected is the standard deviation of many drawings."""
    ts = jnp.array([0.0, 1e-3])
    seen = [
        nmm.simulate(nmm.QIFNetwork(nmm.MPR(J=0.0), 400, key=jax.random.key(k)), {"r": 0.5, "v": -0.3}, ts).ys.r[0]
        for k in range(150)
    ]
    told = nmm.compare_with_neurons(nmm.MPR(J=0.0), size=400, y0={"r": 0.5, "v": -0.3}, ts=ts).expected[0]
    assert abs(np.std(seen) / float(told) - 1) < 0.2


def test_neurons_that_the_mean_field_does_not_describe():
    """Adaptation by own spikes, strong: the verdict says so."""
    model = nmm.MPR(eta=2.0, J=5.0, adaptation=nmm.SpikeFrequencyAdaptation(alpha=4.0, tau=10.0, kernel="exponential"))
    network = nmm.QIFNetwork(model, 20_000, own_spikes=True)
    told = nmm.compare_with_neurons(network, y0={"r": 0.5, "v": 0.0}, ts=jnp.linspace(0.0, 20.0, 41))
    assert told.sizes.tolist() == [20_000]
    assert float(told.ratio[0]) > 3
    assert "more than their finite number explains" in told.verdict


def test_cauchy_noise_keeps_its_exact_mean_field():
    told = nmm.compare_with_neurons(
        nmm.MPR(eta=1.0, J=2.0, Delta=0.3),
        size=2000,
        y0={"r": 0.44, "v": -0.1},
        ts=TS,
        noise=nmm.CauchyNoise(0.4),
        key=jax.random.key(0),
        dt0=0.02,
    )
    assert float(told.ratio[0]) < 3


def test_datasets_of_populations_and_circuits(comparison, tmp_path):
    data = comparison.to_xarray()
    assert data.r_neurons.dims == ("size", "t")
    data.to_netcdf(tmp_path / "comparison.nc")
    comparison.neurons[0].to_xarray().to_netcdf(tmp_path / "neurons.nc")
    pair = nmm.compare_with_neurons(nmm.ping(), size=50, y0={"r": 0.02, "v": -1.0}, ts=jnp.linspace(0.0, 2.0, 5))
    assert pair.to_xarray().r_neurons.dims == ("size", "t", "node")


def test_pictures(comparison):
    left, right = nmm.plot.neurons(comparison)
    assert right.get_xscale() == "log" and "(1/time)" in left.get_ylabel()
    above, below = nmm.plot.raster(comparison.neurons[-1], mean_field=comparison.mean_field)
    assert "200 shown" in above.get_ylabel() and "(1/time)" in below.get_ylabel()
    with pytest.raises(ValueError, match="Argument `run` must be a run of a `QIFNetwork`"):
        nmm.plot.raster(comparison.mean_field)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"size": 0}, "Argument `size` must be"),
        ({"size": (100, 1.5)}, "Argument `size` must be"),
        ({"noise": 0.1, "key": jax.random.key(0)}, "Argument `noise` must be None or `CauchyNoise`"),
        ({"noise": nmm.CauchyNoise(0.1)}, "Argument `key` must be"),
    ],
)
def test_refusals(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        nmm.compare_with_neurons(POPULATION, y0=START, ts=TS, **given)
