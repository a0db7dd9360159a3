"""The burst atlas against simulated borders."""

import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.sweeps.atlas import PATTERNS

J = 15 * 2**0.5


COMMON = {"J": J, "Delta": 2.0}


def depressed(eta=-5.5, alpha=0.05, kernel="alpha", **others):
    return nmm.MPR(eta=eta, **(COMMON | others), adaptation=nmm.SynapticDepression(alpha, 10.0, kernel))


# η of depression with α = 0.05, τ_A = 10: pattern, spikes per burst and period, both simulated by DOP853 at 1e-10.
ATLAS = [
    (-8.0, "rest", None, None),
    (-6.0, "rest", None, None),
    (-5.70, "rest", None, None),
    (-5.68, "rest_or_bursting", 6, 92.269182),
    (-5.665, "rest_or_bursting", 7, None),
    (-5.65, "bursting", 7, None),
    (-5.5, "bursting", 7, 57.360350),
    (-5.2, "bursting", 6, 46.399491),
    (-5.02, "bursting", None, None),
    (-5.015, "rest_or_bursting", None, None),
    (-4.6, "rest_or_bursting", 6, 39.181011),
    (-4.54, "rest_or_bursting", 5, None),
    (-4.51, "rest", None, None),
    (-4.0, "rest", None, None),
    (-3.3, "rest", None, None),
]


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """The atlas, and the same call once more, which finds its sweep in the store."""
    over = {"eta": jnp.array([row[0] for row in ATLAS]) - 0.5, "adaptation.alpha": jnp.array([0.0, 0.05, 0.1])}
    store = tmp_path_factory.mktemp("atlas") / "atlas.zarr"
    return [nmm.burst_atlas(depressed(), over, I=0.5, store=store, progress=False) for _ in range(2)]


@pytest.mark.parametrize("row", range(len(ATLAS)), ids=[f"{row[0]:g}" for row in ATLAS])
def test_atlas_of_depression_at_its_published_borders(computed, row):
    eta, pattern, spikes, period = ATLAS[row]
    found = computed[0].isel({"eta": row, "adaptation.alpha": 1})
    assert float(found.eta) == eta - 0.5 and int(found.status) == 0
    assert PATTERNS[int(found.pattern) + 1] == pattern
    assert np.isfinite(float(found.spikes_per_burst)) == ("bursting" in pattern)
    if spikes is not None:
        assert float(found.spikes_per_burst) == spikes
    if period is not None:
        assert float(found.burst_period) == pytest.approx(period, rel=1e-5)


def test_atlas_over_two_parameters(computed, tmp_path):
    """Rest without adaptation, in one of two wells where there are two; tonic firing with strong adaptation and drive."""
    data, again = computed
    assert again.equals(data)
    names = np.array(data.pattern.attrs["flag_meanings"])[np.asarray(data.pattern) + 1]
    assert set(names[:, 0]) == {"rest"} and names[0, 2] == "rest" and names[-1, 2] == "tonic"
    np.testing.assert_array_equal(data.stable_rests[:, 0], [2] + [1] * (len(ATLAS) - 1))
    assert data.pattern.dims == ("eta", "adaptation.alpha") and data.eta.attrs["symbol"] == "η"
    data.to_netcdf(tmp_path / "atlas.nc", engine="h5netcdf")
    axes = nmm.plot.atlas(data)
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == [each.replace("_", " ") for each in PATTERNS if each in names]
    with pytest.raises(ValueError, match=r"`dataset` must have two dimensions"):
        nmm.plot.atlas(data.isel(eta=0))


BAD = [
    (lambda: nmm.burst_atlas(nmm.MPR(), {"eta": [1.0]}), r"`model` must have adaptation, depression or plasticity"),
    (lambda: nmm.burst_atlas(depressed(), ["eta"]), r"`over` must be a mapping"),
    (lambda: nmm.burst_atlas(depressed(), {}), r"`over` must name one or two parameters"),
    (lambda: nmm.burst_atlas(depressed(), {"r": [0.1]}), r"`r` must be one of the swept names"),
    (lambda: nmm.burst_atlas(depressed(), {"Delta": [-0.1]}), r"`Delta` must be ≥ 0"),
    (lambda: nmm.burst_atlas(depressed(), {"eta": 1.0}), r"`eta` must be a 1-D array of numbers"),
    (lambda: nmm.BurstCount(prominence=-1.0), r"`prominence` must be a number ≥ 0"),
    (lambda: nmm.plot.atlas("x"), r"`dataset` must be the result of `burst_atlas`"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_one_sentence(call, message, unchecked):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
