"""Distributions of the excitabilities: poles, densities, quantiles, doors."""

import numpy as np
import pytest
from scipy.integrate import quad

import nmmjax as nmm

FAMILIES = [
    nmm.Lorentzian(),
    nmm.Flat(2),
    nmm.Flat(10),
    nmm.GaussianLike(2),
    nmm.GaussianLike(10),
    nmm.Bimodal(4.0),
    nmm.Mixture((nmm.Lorentzian(), nmm.GaussianLike(4)), weights=(0.3, 0.7), centres=(-3, 2), widths=(0.1, 1)),
]


def test_densities_are_those_of_the_publications():
    x = np.linspace(-40, 40, 401)
    near = np.linspace(-4, 4, 81)
    for n in (1, 2, 5, 10):
        flat = n * np.sin(np.pi / (2 * n)) / np.pi / (1 + x ** (2 * n))
        assert np.allclose(nmm.Flat(n).density(x), flat, rtol=1e-12, atol=0)
        gauss = nmm.GaussianLike(n)
        assert abs(gauss.density(1.0) / gauss.density(0.0) - 0.5) < 1e-12
    narrow = np.exp(-np.log(2) * near**2) * np.sqrt(np.log(2) / np.pi)
    errors = [np.max(np.abs(nmm.GaussianLike(n).density(near) - narrow)) for n in (2, 4, 6, 8, 10)]
    assert np.all(np.diff(errors) < 0) and errors[-1] < 1e-4
    z, c = nmm.GaussianLike(2).poles()
    assert np.allclose(np.sort_complex(z), [-0.531896 - 1.28411j, 0.531896 - 1.28411j], atol=1e-6)
    assert np.allclose(np.sort_complex(c), [0.5 - 1.207107j, 0.5 + 1.207107j], atol=1e-6)
    two = lambda x: 0.5 / np.pi * (1 / (1 + (x - 2) ** 2) + 1 / (1 + (x + 2) ** 2))
    assert np.allclose(nmm.Bimodal(4.0).density(x), two(x), rtol=1e-12)
    mixed = FAMILIES[-1].density(x)
    parts = 0.3 * nmm.Lorentzian().density((x + 3) / 0.1) / 0.1 + 0.7 * nmm.GaussianLike(4).density(x - 2)
    assert np.allclose(mixed, parts, rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_quantiles_invert_the_distribution(family):
    z, c = (np.asarray(each) for each in family.poles())
    assert np.all(z.imag < 0) and abs(c.sum() - 1) < 1e-14
    u = np.concatenate([[1e-200, 1e-15, 1e-9, 1e-6], np.linspace(0.001, 0.999, 500), [1 - 1e-6]])
    x = family.quantile(u)
    assert np.all(np.diff(x) > 0) and np.max(np.abs(family.cumulative(x) - u)) < 1e-13
    assert np.allclose(family.cumulative(x[:4]) / u[:4], 1, rtol=1e-10)
    assert family.quantile(u[4:10].reshape(2, 3)).shape == (2, 3)
    area, _ = quad(family.density, *family.quantile([1e-3, 1 - 1e-3]), limit=200, points=[*z.real])
    assert abs(area - (1 - 2e-3)) < 1e-7


def test_one_pole_is_the_lorentzian():
    u = np.array([1e-300, 1e-9, 0.2, 0.5, 0.7, 1 - 1e-9])
    assert np.allclose(nmm.Poles([-1j], [1.0]).quantile(u), nmm.Lorentzian().quantile(u), rtol=1e-9, atol=1e-15)
    for family in (nmm.Lorentzian(), nmm.Flat(1), nmm.GaussianLike(1), nmm.Bimodal(0.0)):
        assert np.allclose(family.density(u), 1 / (np.pi * (1 + u**2)), rtol=1e-14)


REFUSED = {
    "Argument `z` must be finite and in the lower half plane (imaginary parts < 0), but got 1j at [0] of shape (1,).": (
        lambda: nmm.Poles([1j], [1])
    ),
    "Argument `c` must have the sum 1, but got (1.2+0j).": lambda: nmm.Poles([-1j], [1.2]),
    "nowhere negative (it is at 5.0)": lambda: nmm.Poles([-1j, 5 - 1e-3j], [1.01, -0.01]),
    "one weight per pole, shape (1,)": lambda: nmm.Poles([-1j], [1, 2]),
    "be complex numbers (K,)": lambda: nmm.Poles(["a"], [1]),
    "Argument `n` must be an integer from 1 to 10, but got 0.": lambda: nmm.Flat(0),
    "Argument `n` must be an integer from 1 to 10, but got 2.5.": lambda: nmm.GaussianLike(2.5),
    "Argument `separation` must be ≥ 0, but got -1.": lambda: nmm.Bimodal(-1),
    "Argument `weights` must have the sum 1, but got 0.5.": lambda: nmm.Mixture((nmm.Flat(2),), (0.5,)),
    "Argument `weights` must be > 0": lambda: nmm.Mixture((nmm.Flat(2), nmm.Flat(2)), (1.5, -0.5)),
    "have one value for each of the 1 kinds": lambda: nmm.Mixture((nmm.Flat(2),), (1.0,), widths=(1, 2)),
    "Argument `kinds` must have no parameters of their own": lambda: nmm.Mixture((nmm.Bimodal(2.0),), (1.0,)),
    "Argument `kinds` must be distributions": lambda: nmm.Mixture((), ()),
    "Argument `u` must be > 0 and < 1, but got 0.": lambda: nmm.Flat(2).quantile(0.0),
    "Argument `u` must be without NaN": lambda: nmm.Flat(2).quantile([0.5, np.nan]),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_doors(sentence):
    with pytest.raises(ValueError) as caught:
        REFUSED[sentence]()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
