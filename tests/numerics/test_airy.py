"""The root that noise changes, against SciPy's Airy functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central_difference
from scipy.integrate import quad
from scipy.special import airye

from nmmjax.numerics.airy import noisy_rate, noisy_root

TURN = np.exp(1j * np.pi / 3)


def by_scipy(I, D):
    ai, slope, _, _ = airye(TURN * I / D ** (2 / 3))
    return 1j * TURN * D ** (1 / 3) * slope / ai


def some_currents():
    rng = np.random.default_rng(0)
    real, width, D = (10 ** rng.uniform(low, high, 2000) for low, high in ((-3, 2), (-6, 2), (-4, 1)))
    return real * rng.choice([-1, 1], 2000) - 1j * width, D


@pytest.mark.parametrize(("dtype", "error"), [("float64", 3e-13), ("float32", 3e-6)])
def test_the_root_is_a_ratio_of_airy_functions(dtype, error):
    I, D = some_currents()
    found = noisy_root(jnp.asarray(I, {"float64": complex, "float32": "complex64"}[dtype]), jnp.asarray(D, dtype))
    assert np.max(np.abs(np.asarray(found) / by_scipy(I, D) - 1)) < error


@pytest.mark.parametrize("D", [1e-5, 0.999e-3, 1.001e-3, 0.1, 2.0])
def test_it_solves_its_equation_and_joins_its_series(D):
    """i(I − W²) + D dW/dI = 0, on both sides of where the series ends."""
    I = jnp.array([1 - 0.3j, -0.5 - 0.1j, -2 - 1e-3j, 0.02 - 1j, 0j])
    W, slope = jax.jvp(lambda I: noisy_root(I, jnp.full(5, D)), (I,), (jnp.ones_like(I),))
    np.testing.assert_allclose(D * slope, 1j * (W**2 - I), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("argument", [0, 1])
@pytest.mark.parametrize(("mu", "D"), [(1.0, 0.1), (0.0, 0.5), (-1.0, 0.5), (2.0, 1e-4)])
def test_derivatives(argument, mu, D):
    given = [jnp.asarray(mu), jnp.asarray(D)]
    for function in (noisy_rate, lambda mu, D: jnp.imag(noisy_root(jax.lax.complex(mu, -jnp.ones_like(mu)), D))):
        of = jax.jit(lambda x, function=function: function(*[x if k == argument else given[k] for k in (0, 1)]))
        expected = central_difference(of, given[argument])
        np.testing.assert_allclose(jax.grad(of)(given[argument]), expected, rtol=1e-6, atol=1e-8)


def test_the_real_rate_is_right_however_small():
    """ν against its integral, over 60 decades; and its limits for D → 0."""
    for mu, D in ((-3.0, 0.05), (-1.0, 0.3), (-0.5, 0.1), (0.0, 1.0), (2.0, 0.02)):
        peak = max(-mu, 0) ** 1.5 * 4 / (3 * D)  # the largest exponent, taken out
        integrand = lambda z, mu=mu, D=D, peak=peak: np.exp(-mu * z**2 - D**2 * z**6 / 12 - peak)
        edge = (12 * (40 + 2 * peak) / D**2) ** (1 / 6)
        rate = np.exp(-peak) / np.sqrt(np.pi) / (2 * quad(integrand, 0, edge, epsabs=0, epsrel=1e-12, limit=500)[0])
        assert float(noisy_rate(jnp.asarray(mu), jnp.asarray(D))) == pytest.approx(rate, rel=1e-11)
    limits = noisy_rate(jnp.array([4.0, 0.0, -1.0]), jnp.zeros(3))
    np.testing.assert_allclose(limits, [2 / np.pi, 0.0, 0.0], rtol=1e-15)
