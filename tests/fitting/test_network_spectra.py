"""Fits of networks to spectra of their rates: what is compared, gradients, recovery."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nmmjax as nmm

N, D = 3, 0.002
WEIGHTS = np.array([[0.0, 0.7, 0.3], [0.5, 0.0, 0.5], [0.2, 0.8, 0.0]])
NODE: Any = nmm.per_node(nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, tau=10.0), eta=[-5.1, -4.8, -5.0])
HIGH = {"r": jnp.full(N, 0.12), "v": jnp.full(N, -0.3)}
BANDS = ((0.0, 0.05), (0.05, 0.2))
F = np.linspace(0.01, 0.15, 8)


def network(gain):
    return nmm.Network(NODE, WEIGHTS, gain=gain)


@eqx.filter_jit
def spectra(gain, f):
    return 2 * D * nmm.linear_response(network(gain), guess=HIGH).spectrum(f)


def truth(gain=2.0):
    """Peak of the mean, powers in bands of every node, and the density's mean, by a fine grid."""
    f = np.linspace(0.0, 0.2, 4001)
    S = np.asarray(spectra(jnp.asarray(gain), f))
    middle, x = f[np.argmax(S.mean(axis=1))], np.linspace(-1.0, 1.0, 13)
    bend = np.polynomial.Polynomial.fit(x, np.asarray(spectra(jnp.asarray(gain), middle + 5e-5 * x)).mean(axis=1), 6)
    peak = middle + 5e-5 * min(bend.deriv().roots(), key=abs).real
    bands = {band: np.trapezoid(S[(f >= band[0]) & (f <= band[1])], dx=f[1], axis=0) for band in BANDS}
    return peak, bands, np.asarray(spectra(jnp.asarray(gain), F)).mean(axis=1)


PEAK, POWERS, MEAN = truth()
TARGET = nmm.SpectrumTarget(PEAK, band_power=POWERS, frequencies=F, power=MEAN, near=HIGH, noise=D)


@eqx.filter_jit
def residuals(target, gain):
    return target.residuals(network(gain))


def test_residuals_vanish_at_the_truth():
    TARGET.check(network(2.0))
    found = np.asarray(residuals(TARGET, jnp.asarray(2.0)))
    assert found.shape == (1 + 2 * N + F.size,)
    assert np.abs(found[0]) < 1e-9 and np.abs(found[1:7]).max() < 1e-6 and np.abs(found[7:]).max() < 1e-12


def test_gradients_agree_with_differences():
    slope = np.asarray(jax.jit(jax.jacrev(lambda gain: residuals(TARGET, gain)))(jnp.asarray(1.9)))
    losses = [np.asarray(residuals(TARGET, jnp.asarray(1.9 + step))) for step in (1e-4, -1e-4, 2e-4, -2e-4)]
    numeric = (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / 12e-4
    assert np.allclose(slope, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_gain_and_noise_come_from_spectra_of_the_nodes():
    power = np.array(spectra(jnp.asarray(2.0), F))
    power[2, 1] = np.nan  # unknown
    target = nmm.SpectrumTarget(frequencies=F, power=power, near=HIGH)
    assert target.count(network(2.0)) == N * F.size - 1
    fitted = nmm.fit(network(1.5), free=("gain",), target=target, starts=1, progress=False)
    assert float(fitted.best.gain) == pytest.approx(2.0, rel=1e-8)
    assert np.exp(fitted.unknowns[0, 0]) == pytest.approx(D, rel=1e-8)


def test_a_state_that_is_not_stable_has_no_spectrum():
    target = nmm.SpectrumTarget(
        frequencies=F, power=MEAN, near={"r": jnp.full(N, 0.0447), "v": jnp.full(N, -0.515)}, noise=D
    )
    assert np.isnan(np.asarray(residuals(target, jnp.asarray(0.01)))).all()
