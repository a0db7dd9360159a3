"""Pictures of brains: labels, and numbers read back from what is drawn."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import nmmjax as nmm


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


X = np.random.default_rng(0).normal(size=(400, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.2, 0.0, 1.0]]) + 0.3
NAMES = ("V1", "MT", "IPS")
BOLD = nmm.BOLD(TR=100.0).of(np.abs(X), 10.0, labels=NAMES)


def test_regions_are_stacked_with_a_scale():
    axes = nmm.plot.regions(BOLD)
    *lines, bar = axes.lines
    assert [each.get_text() for each in axes.get_yticklabels()] == list(NAMES) and axes.get_xlabel() == "time t (s)"
    length, named = np.ptp(bar.get_ydata()), float(axes.texts[-1].get_text())
    values = np.asarray(BOLD.values)
    for k, line in enumerate(lines):
        np.testing.assert_allclose(line.get_xdata(), BOLD.ts / 1000)
        drawn = (line.get_ydata() + k) * named / length  # the bar turns what is drawn into numbers
        np.testing.assert_allclose(drawn, values[:, k] - np.median(values[:, k]), atol=1e-12)
    lost = nmm.results.Monitored(BOLD.ts[:1], jnp.asarray([[np.nan, 1.0, 2.0]]), NAMES, 100.0)  # one sample, one node failed
    assert len(nmm.plot.regions(lost).lines) == 4
    some = nmm.plot.regions(BOLD, regions=["IPS", 0])
    assert [each.get_text() for each in some.get_yticklabels()] == ["IPS", "V1"]


def test_many_regions_are_an_image_and_recordings_and_runs_are_drawn():
    many = nmm.results.Recording(np.random.default_rng(0).normal(size=(20, 30)), dt=2.0)
    axes = nmm.plot.regions(many)
    np.testing.assert_array_equal(axes.images[0].get_array(), many.values.T)
    assert "unit of dt" in axes.get_xlabel() and axes.images[0].get_extent()[:2] == [-1.0, 39.0]
    brain = nmm.Network(nmm.MPR(), np.ones((2, 2)) / 10, names=("V1", "MT"))
    run = nmm.simulate(brain, {"r": 0.1, "v": -1.0}, np.linspace(0.0, 1.0, 11))
    assert "voltage" in nmm.plot.regions(run, channel="v").get_ylabel()
    for given, options in ((run, {"channel": "z"}), (3, {}), (BOLD, {"regions": [7]})):
        with pytest.raises(ValueError, match=r"^Argument `\w+` must .*\.$"):
            nmm.plot.regions(given, **options)


def test_connectivity_beside_that_of_a_recording():
    fc = nmm.functional_connectivity(X)
    recording = nmm.results.Recording(X[:200], NAMES)
    left, right = nmm.plot.functional_connectivity(fc, recording)
    other = np.corrcoef(X[:200].T)
    pairs = np.triu_indices(3, 1)
    np.testing.assert_allclose(left.images[0].get_array()[pairs], np.asarray(fc.values)[pairs])
    np.testing.assert_allclose(right.images[0].get_array()[pairs], other[pairs], atol=1e-12)
    assert f"{np.corrcoef(np.asarray(fc.values)[pairs], other[pairs])[0, 1]:.2f}" in right.get_title(loc="left")
    assert [each.get_text() for each in right.get_yticklabels()] == list(NAMES)
    for given in (BOLD, recording, other):
        assert len(nmm.plot.functional_connectivity(given).images) == 1
    for wrong in ((fc, np.eye(2)), (3,), (X,), (nmm.Metastability(nmm.Subsample(1.0)).of(X),)):
        with pytest.raises(ValueError, match=r"^Argument `(result|recorded)` must .*\.$"):
            nmm.plot.functional_connectivity(*wrong)


def test_dynamics_and_spectra():
    fcd = nmm.DynamicFC(nmm.BOLD(TR=100.0), width=1000.0, step=300.0, skip=0.0).of(BOLD)
    axes = nmm.plot.dynamic_connectivity(fcd)
    np.testing.assert_allclose(axes.images[0].get_array(), fcd.values)
    assert axes.get_xlabel() == "centre of window (s)"
    np.testing.assert_allclose(np.mean(axes.images[0].get_extent()[:2]), np.mean(fcd.coords["window"]) / 1000)
    power = nmm.Spectrum(nmm.Subsample(2.0), segment=80.0).of(X, labels=NAMES)
    axes = nmm.plot.spectrum(power)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.asarray(power.values)[1:, 0])
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), np.asarray(power.values)[1:].mean(axis=1))
    assert axes.get_xlabel() == "frequency (cycles/time)" and axes.lines[0].get_label() == "V1"
    for wrong in (lambda: nmm.plot.spectrum(fcd), lambda: nmm.plot.dynamic_connectivity(power)):
        with pytest.raises(ValueError, match=r"^Argument `result` must .*\.$"):
            wrong()
