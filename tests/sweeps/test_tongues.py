"""Rotation numbers of a forced inhibitory population, and its 1:1 tongue against the phase response."""

import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

ING = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
START = {"r": 0.4, "v": 0.3}
NATURAL = 2 * np.pi / 2.757911
COEFFICIENT = 0.0969328  # |c₁| of Z_v, by the phase response at Δ = 0.3


@pytest.fixture(scope="module")
def tongues():
    """Frequencies within and beyond 1:1, where Adler's equation has the border at ±1, and at 1:2 and 2:1."""
    widths = np.array([-1.15, -0.85, 0.0, 0.85, 1.15, -4.0, 4.0]) * NATURAL * 0.1 * COEFFICIENT
    omegas = np.concatenate([NATURAL + widths, [NATURAL / 2, 2 * NATURAL]])
    return nmm.entrainment(ING, amplitudes=[0.0, 0.1, 2.0], omegas=omegas, y0=START, cycles=100, transient=60)


def test_without_input_the_rhythm_keeps_its_own_frequency(tongues):
    np.testing.assert_allclose(tongues.rotation[0] * tongues.omegas / NATURAL, 1.0, rtol=1e-6)
    assert not tongues.locked[0].any() and not tongues.status.any()


def test_the_tongue_at_weak_input_is_that_of_the_phase_response(tongues):
    """|ω − ω₀| < ω₀ A |c₁|: locked at .85 of it, not at 1.15."""
    np.testing.assert_array_equal(tongues.q[1, :5], [0, 1, 1, 1, 0])
    assert np.all(np.abs(tongues.rotation[1, 1:4] - 1) < 1e-4)
    drift = (tongues.rotation[1, [5, 6]] - 1) * tongues.omegas[[5, 6]]
    # Adler's equation: beyond the border the phase drifts at √(Δω² − (ω₀ A c₁)²).
    expected = NATURAL * 0.1 * COEFFICIENT * np.sqrt(4.0**2 - 1)
    np.testing.assert_allclose(drift, [expected, -expected], rtol=0.1)


def test_strong_input_locks_at_several_ratios(tongues):
    assert np.all(tongues.p[2, :5] == 1) and np.all(tongues.q[2, :5] == 1)
    assert (tongues.p[2, 7], tongues.q[2, 7]) == (2, 1) and (tongues.p[2, 8], tongues.q[2, 8]) == (1, 2)
    assert {(1, 1), (2, 1), (1, 2)} <= set(tongues.ratios)
    assert "1:1" in repr(tongues) and "as measured" in str(tongues)
    data = tongues.to_xarray()
    assert data.rotation.dims == ("amplitude", "omega") and data.omega.attrs["units"] == "rad/time"


def test_picture(tongues):
    axes = nmm.plot.arnold_tongues(tongues)
    assert "rad/time" in axes.get_xlabel() and "dimensionless" in axes.get_ylabel()


@pytest.mark.slow
def test_the_coefficient_is_that_of_the_phase_response():
    branch = nmm.continue_branch(ING, "Delta", (0.1, 1.0))
    response = nmm.phase_response(nmm.continue_cycle(branch.hopfs[0], (0.2, 0.6)), at=0.3)
    phases = np.arange(512) / 512
    found = np.abs(np.mean(np.asarray(response.at(phases).v) * np.exp(-2j * np.pi * phases)))
    assert found == pytest.approx(COEFFICIENT, rel=1e-5)


REFUSED = {
    "amplitudes": ({"amplitudes": [-1.0]}, "be numbers ≥ 0"),
    "omegas": ({"omegas": [0.0]}, "be numbers > 0"),
    "cycles": ({"cycles": 3}, "be an integer ≥ 10"),
    "node": ({"node": 0}, "be None for one population"),
    "channel": ({"channel": "x"}, "channels of"),
    "tolerance": ({"tolerance": 0.5}, "tolerance"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    options, rule = REFUSED[name]
    with pytest.raises(ValueError, match=rule):
        nmm.entrainment(ING, **({"amplitudes": [0.1], "omegas": [2.0], "y0": START} | options))


@pytest.mark.slow
def test_input_at_one_node_of_a_network_and_one_amplitude():
    network = nmm.Network(ING, 0.5 * (1 - jnp.eye(2)))
    found = nmm.entrainment(
        network, amplitudes=[2.0], omegas=np.linspace(2.0, 2.8, 5), y0=START, cycles=20, transient=20, channel="r[0]", node=0
    )
    assert found.rotation.shape == (1, 5) and np.isfinite(found.rotation).all()
    assert "cycles per cycle" in nmm.plot.arnold_tongues(found).get_ylabel()
