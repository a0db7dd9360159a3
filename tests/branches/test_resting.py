"""All resting states of networks over the gain: folds, barriers, and that nothing which a run finds is missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

PAIR = nmm.Network(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0), np.array([[0.0, 1.0], [1.0, 0.0]]))
GAINS = np.linspace(0.0, 4.0, 9)


@pytest.fixture(scope="module")
def pair():
    return nmm.resting_states(PAIR, {"gain": GAINS})


def test_states_of_a_pair_over_the_gain(pair):
    """Uncoupled: every combination of both nodes' states; with coupling the mixed ones vanish in the fold of `find_fold`."""
    alone = np.asarray(nmm.energy_landscape(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)).minima.r)
    alone = alone[np.isfinite(alone)]
    both = np.sort((alone[:, None] + alone[None]).ravel()) / 2
    np.testing.assert_allclose(np.sort(pair.mean[:, 0]), both, rtol=1e-9)
    assert list(pair.count) == [4, 4, 4, 4, 2, 2, 2, 2, 2] and pair.complete.all() and not pair.single.any()
    fold = nmm.find_fold(nmm.Network(PAIR.node, PAIR.weights, 1.5), "gain", {"r": [1.0, 0.15], "v": [-0.15, -1.1]})
    assert fold.labels == ["LP"]
    np.testing.assert_allclose(pair.ends, float(fold.parameter), rtol=1e-9)
    assert pair.folds.all() and not pair.appears.any() and len(set(pair.end_branch)) == 2
    np.testing.assert_allclose(np.sort(pair.end_r, axis=1), np.sort(np.asarray(fold.state.r))[None].repeat(2, 0), rtol=1e-6)


def test_barriers_are_those_of_landscapes(pair):
    for k in (1, 6):
        found = nmm.energy_landscape(nmm.Network(PAIR.node, PAIR.weights, GAINS[k]))
        here = pair.exists[:, k]
        order = np.argsort(pair.energy[here, k], kind="stable")
        np.testing.assert_allclose(pair.energy[here, k][order], found.minima.energy, rtol=1e-10)
        np.testing.assert_allclose(pair.barrier[here, k][order], found.minima.barrier, rtol=1e-8)
        assert pair.energy[pair.lowest[k], k] == pytest.approx(float(found.minima.energy[0]))


def test_a_state_shallower_than_a_step_keeps_its_barrier():
    """The way down from its pass must not jump out of it: a barrier of 0.012 beside others of 0.4."""
    brain = nmm.Network(
        nmm.MPR(eta=-6.0, J=14.5, Delta=0.7, tau=10.0), nmm.random_connectome(6, key=jax.random.key(0)), gain=4.0
    )
    found = nmm.energy_landscape(brain)
    assert len(found.minima) == 5 and np.isfinite(np.asarray(found.minima.barrier)).all()
    assert np.asarray(found.minima.barrier).min() < 0.01


@pytest.mark.slow
def test_a_brain_over_the_gain():
    """Six regions: barriers fall to 0 at folds, every state found at a value is found from its neighbours; with delays the
    same states."""
    population, connectome = nmm.MPR(eta=-6.0, J=14.5, Delta=0.7, tau=10.0), nmm.random_connectome(6, key=jax.random.key(0))
    brain = nmm.Network(population, connectome)
    gains = np.linspace(0.0, 8.0, 41)
    found = nmm.resting_states(brain, {"gain": gains})
    assert found.folds.mean() > 0.95 and found.count.max() >= 6
    for branch, value, appears in zip(found.end_branch, found.ends, found.appears, strict=True):
        (own,) = np.nonzero(found.exists[branch])
        nearest = own[0] if appears else own[-1]
        assert abs(gains[nearest] - value) < 0.2 and found.barrier[branch, nearest] < 0.15
    for k in (10, 20):
        here = nmm.energy_landscape(nmm.Network(population, connectome, gains[k]))
        assert len(here.minima) <= found.count[k]
    late = nmm.resting_states(nmm.Network(population, connectome, speed=3.0), {"gain": gains[18:21]})
    np.testing.assert_allclose(
        np.sort(late.mean[late.exists[:, 1], 1]), np.sort(found.mean[found.exists[:, 19], 19]), rtol=1e-9
    )
    assert np.isfinite(late.growth[late.exists]).all() and late.stable.sum() <= late.exists.sum()


def test_verdict_data_picture_and_refusals(pair):
    text = str(pair)
    assert "4 branches, from 2 to 4 minima at one value (all that a search could find)" in text and "vanishes (fold)" in text
    data = pair.to_xarray()
    assert data.r.dims == ("branch", "gain", "node") and data.end.size == 2
    axes = nmm.plot.resting_states(pair)
    assert "1/time" in axes[0].get_ylabel() and "barrier" in axes[1].get_ylabel() and "global gain" in axes[1].get_xlabel()
    with pytest.raises(ValueError, match="Argument `over` must be one parameter and its values"):
        nmm.resting_states(PAIR, {"gain": GAINS, "node.eta": GAINS})
    with pytest.raises(ValueError, match="Argument `over` must increase"):
        nmm.resting_states(PAIR, {"gain": GAINS[::-1]})
    with pytest.raises(ValueError, match="Argument `over` must be one of"):
        nmm.resting_states(PAIR, {"G": GAINS})
    with pytest.raises(ValueError, match="Argument `over` must be a parameter that moves resting states"):
        nmm.resting_states(nmm.Network(PAIR.node, PAIR.weights, delay=1.0), {"delay": GAINS})
    with pytest.raises(ValueError, match="Argument `network` must be symmetric, up to a positive scaling"):
        nmm.resting_states(nmm.Network(nmm.MPR(), jnp.array([[0.0, 1.0], [-1.0, 0.0]])), {"gain": GAINS})
    with pytest.raises(ValueError, match="Argument `network` must be a `Network`"):
        nmm.resting_states(nmm.MPR(), {"eta": GAINS})
