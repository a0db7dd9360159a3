"""Distributions of the neurons' excitabilities, as sums over poles.

A rational density g(x) with simple poles z_k in the lower half plane is

    g(x) = −(1/π) Im Σ c_k/(x − z_k),        c_k = −2πi Res g(z_k),        Σ c_k = 1

and the mean of any function f of η that is analytic below the real axis is Σ c_k f(z_k). So a population whose currents
η + Δ x are spread by g is a sum of as many Lorentzian ones, of complex weight: closed equations, exactly solvable parts,
fixed points in closed form (docs/theory.md §F). Densities here are standard ones: of centre 0 and, if they have one peak, of
half-width 1 at half maximum; η shifts and Δ scales them.
"""

import abc
import functools
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_whole, require, require_each, whole
from .._parameter import check_parameters, declared, describe, parameter
from .._results import Shown
from .._types import Scalar, is_concrete

# Beyond this multiple of the largest |z_k| moments say more about the tail than the poles themselves, which cancel there.
_FAR, _MOMENTS = 1.5, 128
# A moment is zero if it is that small beside what it is the sum of; a density may be negative by as much, by rounding.
_ROUNDING = 1e-12
_MOST = 10


class AbstractHeterogeneity(eqx.Module, Shown):
    """A distribution of excitabilities, `MPR(heterogeneity=…)`: η + Δ x, x of a density that is given by its poles.

    Yours needs one method, `poles`. `quantile` and `density` follow from it.
    """

    source: ClassVar[str] = "docs/theory.md §F"

    @abc.abstractmethod
    def poles(self) -> tuple[Any, Any]:
        """(z, c), complex arrays (K,): the poles of the standard density in the lower half plane, and their weights, −2πi
        times the residues, whose sum is 1."""

    def density(self, x: Any) -> np.ndarray:
        """The standard density g at `x`, of any shape, per unit of x: ∫ g dx = 1."""
        x = _numbers("x", x)
        return self._distribution.density(x).reshape(x.shape)

    def cumulative(self, x: Any) -> np.ndarray:
        """The share of neurons with an excitability below `x`, of any shape."""
        x = _numbers("x", x)
        below = self._distribution.below(np.minimum(x, 0)).reshape(x.shape)
        return np.where(x < 0, below, 1 - self._distribution.above(np.maximum(x, 0)).reshape(x.shape))

    def quantile(self, u: Any) -> np.ndarray:
        """The x below which the share `u` of the neurons lies, 0 < u < 1, of any shape: the inverse of the distribution,
        found from its closed form to rounding, tails included. Float64. Raises `ValueError` for u outside of (0, 1)."""
        u = _shares(u)
        flat, distribution = np.atleast_1d(u).ravel(), self._distribution
        low = flat <= 0.5
        found = np.empty_like(flat)
        found[low] = distribution.lower_quantile(flat[low])
        found[~low] = -distribution.mirrored().lower_quantile(1 - flat[~low])
        return found.reshape(u.shape)

    @property
    def _distribution(self) -> "_Distribution":
        z, c = self.poles()
        known = is_concrete(z) and is_concrete(c)
        require("heterogeneity", "traced poles", "be known here, not an argument of `jit`, `vmap`, `grad`", known)
        return _Distribution(np.asarray(z, np.complex128), np.asarray(c, np.complex128))

    def __check_init__(self) -> None:
        check_parameters(self)
        z, c = self.poles()
        if not (is_concrete(z) and is_concrete(c)):
            return
        z, c = np.asarray(z, np.complex128), np.asarray(c, np.complex128)
        require("z", z, "have one axis and a pole", z.ndim == 1 and z.size > 0)
        require("c", c, f"have one weight per pole, shape {z.shape}", c.shape == z.shape)
        require_each("z", z, "be finite and in the lower half plane (imaginary parts < 0)", np.isfinite(z) & (z.imag < 0))
        require_each("c", c, "be finite", np.isfinite(c))
        total = complex(c.sum())
        require("c", total, "have the sum 1", abs(total - 1) <= 1e-6 * max(1.0, np.abs(c).max()))
        where = _Distribution(z, c).negative_at()
        require("c", c, f"belong to a density that is nowhere negative (it is at {where})", where is None)

    def __repr__(self) -> str:
        return describe(self)


def _numbers(name: str, value: object) -> np.ndarray:
    array = value if isinstance(value, np.ndarray) else as_array(value)  # within `jit` NumPy's arrays stay known
    require(name, value, "be a number or an array of numbers", hasattr(array, "dtype") and is_concrete(array))
    wide = np.asarray(value if isinstance(value, np.ndarray) else array, np.float64)
    require_each(name, wide, "be without NaN", ~np.isnan(wide))
    return wide


def _shares(u: object) -> np.ndarray:
    shares = _numbers("u", u)
    require_each("u", shares, "be > 0 and < 1", (shares > 0) & (shares < 1))
    return shares


class _Distribution:
    """A density and its distribution function in double precision, from poles and weights."""

    def __init__(self, z: np.ndarray, c: np.ndarray):
        self.z, self.c = z, c / c.sum()
        self.far = _FAR * np.abs(z).max()
        # Im Σ c z^m, scaled by the radius, is the coefficient of x^−(m+1) in −π g: those that cancel are zero.
        powers = (z / self.far)[None, :] ** np.arange(1, _MOMENTS)[:, None]
        moments = (self.c * powers).imag.sum(axis=1)
        size = np.abs(self.c * powers).sum(axis=1)
        self.moments = np.where(np.abs(moments) > _ROUNDING * size, moments, 0.0)

    def mirrored(self) -> "_Distribution":
        return _Distribution(-self.z.conj(), self.c.conj())

    def density(self, x: Any) -> np.ndarray:
        inside = lambda x: sum(-(c / (x - z)).imag / np.pi for z, c in zip(self.z, self.c, strict=True))
        outside = lambda t: -(t**2) / (np.pi * self.far) * _horner(self.moments, t)
        return self._either(x, np.abs(x) > self.far, inside, outside)

    def below(self, x: Any) -> np.ndarray:
        """The share below x; accurate for x < 0, far out as well."""
        inside = lambda x: sum(-(c * np.log(z - x)).imag / np.pi for z, c in zip(self.z, self.c, strict=True))
        outside = lambda t: t / np.pi * _horner(self.moments / np.arange(1, _MOMENTS), t)
        return self._either(x, x < -self.far, inside, outside)

    def _either(self, x: Any, far: Any, inside: Any, outside: Any) -> np.ndarray:
        """`inside(x)`, or, far from all poles, `outside(far/x)`."""
        x, far = np.atleast_1d(x), np.atleast_1d(far)
        found = np.empty_like(x)
        found[~far], found[far] = inside(x[~far]), outside(self.far / x[far])
        return found

    def above(self, x: np.ndarray) -> np.ndarray:
        return self.mirrored().below(-x)

    def lower_quantile(self, u: np.ndarray) -> np.ndarray:
        """The x with the share u ≤ ½ below: Newton's method on ln u over y, x = s sinh y, from a table, within bounds."""
        if not u.size:
            return u
        scale = np.abs(np.imag(self.z)).min()
        top = np.arcsinh(2 * self.far / scale)
        bottom, most = np.arcsinh(self.far / scale) + 1, 700 - np.log(scale)
        while self.below(-scale * np.sinh(bottom)) > u.min() and bottom < most:
            bottom = min(1.5 * bottom, most)
        table = np.linspace(-bottom, top, 8193)
        shares = np.maximum.accumulate(self.below(scale * np.sinh(table)))
        cell = np.clip(np.searchsorted(shares, u), 1, table.size - 1)
        low, high = table[cell - 1], table[cell]
        y, left = (low + high) / 2, np.arange(u.size)
        for _ in range(60):
            share = np.maximum(self.below(scale * np.sinh(y[left])), np.finfo(float).tiny)
            under = share < u[left]
            low[left], high[left] = np.where(under, y[left], low[left]), np.where(under, high[left], y[left])
            slope = self.density(scale * np.sinh(y[left])) * scale * np.cosh(y[left]) / share
            rising = slope > 0
            new = y[left] - np.log(share / u[left]) / np.where(rising, slope, 1.0)
            new = np.where(rising & (new > low[left]) & (new < high[left]), new, (low[left] + high[left]) / 2)
            moved, y[left] = np.abs(new - y[left]), new
            left = left[moved > 4 * np.finfo(float).eps * np.maximum(np.abs(new), 1e-3)]
            if not left.size:
                break
        return scale * np.sinh(y)

    def negative_at(self) -> float | None:
        """A place at which the density is negative beyond rounding, None if there is none."""
        angles = np.linspace(-np.pi / 2, np.pi / 2, 4001)[1:-1]
        x = np.concatenate([z.real + abs(z.imag) * np.tan(angles) for z in self.z])
        size = sum(abs(c) / np.abs(x - z) for z, c in zip(self.z, self.c, strict=True)) / np.pi
        share = self.density(x) / size
        worst = int(np.argmin(share))
        return float(x[worst]) if share[worst] < -100 * _ROUNDING else None


def _horner(coefficients: np.ndarray, t: np.ndarray) -> np.ndarray:
    value = np.zeros_like(t)
    for each in coefficients[::-1]:
        value = value * t + each
    return value


class Lorentzian(AbstractHeterogeneity):
    """Lorentzian excitabilities, 1/(π(1 + x²)): one pole, −i, and the equations of Montbrió, Pazó & Roxin.

    What `heterogeneity=None` means. Its tails are so heavy that it has no mean, and they damp the population most.
    """

    def poles(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([-1j]), np.array([1.0 + 0j])

    def quantile(self, u: Any) -> np.ndarray:
        u = _shares(u)
        return np.where(u < 0.5, -1, 1) / np.tan(np.pi * np.minimum(u, 1 - u))


@declared
class Flat(AbstractHeterogeneity):
    """Excitabilities of a density that is flat within the half-width, ∝ 1/(1 + x^(2n)): n poles.

    - `n`: order, an integer from 1 (Lorentzian) to 10; for large n the density is uniform in (−1, 1)

    z_k = exp(−iπ(2k − 1)/2n), c_k = i sin(π/2n) z_k. Raises `ValueError` for other n. Source: Pyragas & Pyragas,
    arXiv:2305.02193 (2023); docs/theory.md §F.
    """

    n: int = eqx.field(static=True, converter=as_whole, default=2)

    def poles(self) -> tuple[np.ndarray, np.ndarray]:
        n = _order(self.n)
        z = np.exp(-1j * np.pi * (2 * np.arange(1, n + 1) - 1) / (2 * n))
        return z, 1j * np.sin(np.pi / (2 * n)) * z


@declared
class GaussianLike(AbstractHeterogeneity):
    """Excitabilities of nearly Gaussian density, ∝ 1/Σ_{k ≤ n} (βx²)^k/k!: the Gaussian's inverse as a series, with n poles.

    - `n`: order, an integer from 1 (Lorentzian) to 10. For n = 2, 4, 6 the mean rate of uncoupled neurons at η = Δ = 1
      exceeds that with Gaussian currents by 0.65, 0.03 and 0.01 %

    β, with Σ_{1 ≤ k ≤ n} β^k/k! = 1, makes the half-width 1: a Gaussian of that half-width has the standard deviation
    1/√(2 ln 2) = 0.849. Raises `ValueError` for other n. Sources: docs/theory.md §F; Pyragas & Pyragas, Phys. Rev. E
    105:044402 (2022) for another family that tends to a Gaussian.
    """

    n: int = eqx.field(static=True, converter=as_whole, default=2)

    def poles(self) -> tuple[np.ndarray, np.ndarray]:
        return _gaussian_like(_order(self.n))


@functools.cache
def _gaussian_like(n: int) -> tuple[np.ndarray, np.ndarray]:
    series = np.array([1 / math.factorial(k) for k in range(n + 1)])  # of exp, in rising powers
    ends = np.roots((series - 2 * (np.arange(n + 1) == 0))[::-1])
    beta = float(ends[np.argmin(np.abs(ends.imag) + np.where(ends.real > 0, 0, np.inf))].real)
    w = np.roots(series[::-1]).astype(np.complex128)
    for _ in range(3):  # Newton's method: companion matrices of factorials lose digits
        w = w - np.polyval(series[::-1], w) / np.polyval(series[:-1][::-1], w)
    root = np.sqrt(w / beta)
    z = np.where(np.imag(root) < 0, root, -root)
    c = 1 / (z * np.polyval(series[:-1][::-1], w))
    return z, c / c.sum()


@declared
class Bimodal(AbstractHeterogeneity):
    """Excitabilities with two peaks: the mean of two Lorentzians of half-width 1, `separation` apart.

    - `separation`: distance of their centres ≥ 0, in units of Δ; a parameter like others, for sweeps, branches and fits

    The density has two peaks if the separation exceeds 2/√3. Raises `ValueError` for a separation < 0. Source: Pyragas &
    Pyragas, arXiv:2107.03150 (2021).
    """

    separation: Scalar = parameter(4.0, symbol="s", bounds="[0, inf)", doc="distance of the two peaks, in units of Δ")

    def poles(self) -> tuple[Any, Any]:
        centres = jnp.stack([-self.separation / 2, self.separation / 2])
        z = jax.lax.complex(centres, -jnp.ones_like(centres))
        return z, jnp.full_like(z, 0.5)


class Poles(AbstractHeterogeneity):
    """Excitabilities of any rational density, given by its poles and weights: g(x) = −(1/π) Im Σ c_k/(x − z_k).

    - `z` (K,): poles in the lower half plane, complex numbers, in units of Δ, from the centre η
    - `c` (K,): weights, −2πi times the residues of g, complex numbers whose sum is 1

    Raises `ValueError` for poles that aren't in the lower half plane, weights whose sum isn't 1, and densities that are
    negative somewhere.
    """

    z: tuple[complex, ...] = eqx.field(static=True)
    c: tuple[complex, ...] = eqx.field(static=True)

    def __init__(self, z: Any, c: Any):
        self.z, self.c = _complex("z", z), _complex("c", c)

    def poles(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.z, np.complex128), np.array(self.c, np.complex128)


class Mixture(AbstractHeterogeneity):
    """Excitabilities of several kinds of neurons: Σ w_j g_j((x − m_j)/s_j)/s_j, with the poles of all.

    - `kinds`: the kinds, such as `(Lorentzian(), GaussianLike(2))`
    - `weights`: share w_j > 0 of each; their sum is 1
    - `centres`, `widths`: their centres m_j (0 by default) and half-widths s_j > 0 (1 by default), in units of Δ, from η

    The equations have a rate and a voltage for every pole. Raises `ValueError` for lengths that differ, and weights that
    don't add up to 1.
    """

    kinds: tuple[AbstractHeterogeneity, ...]
    weights: tuple[float, ...] = eqx.field(static=True)
    centres: tuple[float, ...] = eqx.field(static=True)
    widths: tuple[float, ...] = eqx.field(static=True)

    def __init__(self, kinds: Any, weights: Any, centres: Any = None, widths: Any = None):
        self.kinds = tuple(kinds) if isinstance(kinds, (tuple, list)) else ()
        fits = len(self.kinds) > 0 and all(isinstance(each, AbstractHeterogeneity) for each in self.kinds)
        require("kinds", kinds, "be distributions such as `(Lorentzian(), Flat(4))`", fits)
        rule = "have no parameters of their own (a `Bimodal` is two `Lorentzian()` with `centres`)"
        require("kinds", kinds, rule, not jax.tree.leaves(self.kinds))
        given = {"weights": weights, "centres": centres, "widths": widths}
        default = {"centres": 0.0, "widths": 1.0}
        found = {n: (default[n],) * len(self.kinds) if each is None else _floats(n, each) for n, each in given.items()}
        for name, each in found.items():
            require(name, each, f"have one value for each of the {len(self.kinds)} kinds", len(each) == len(self.kinds))
        self.weights, self.centres, self.widths = found["weights"], found["centres"], found["widths"]
        for name in ("weights", "widths"):
            require_each(name, found[name], "be > 0", np.array(found[name]) > 0)
        total = sum(self.weights)
        require("weights", total, "have the sum 1", abs(total - 1) < 1e-9)

    def poles(self) -> tuple[np.ndarray, np.ndarray]:
        every = [each.poles() for each in self.kinds]
        z = np.concatenate([m + s * z for (z, _), m, s in zip(every, self.centres, self.widths, strict=True)])
        return z, np.concatenate([w * c for (_, c), w in zip(every, self.weights, strict=True)])


class Broadened(AbstractHeterogeneity):
    """A distribution with independent Lorentzian numbers of half-width `by` added: every pole moves down by as much. What
    Cauchy noise of every neuron makes of the distribution `kind`."""

    kind: AbstractHeterogeneity
    by: Scalar = parameter(symbol="Γ/Δ", bounds="[0, inf)", doc="half-width of what is added, in units of Δ")

    def poles(self) -> tuple[Any, Any]:
        z, c = self.kind.poles()
        real, imag = (jnp.asarray(each, self.by.dtype) for each in (z.real, z.imag))
        if real.ndim <= self.by.ndim:  # one value per node
            real, imag = (each.reshape(*each.shape, *(1,) * self.by.ndim) for each in (real, imag))
        imag = imag - (self.by if self.by.ndim == 0 else self.by[None])
        return jax.lax.complex(jnp.broadcast_to(real, imag.shape), imag), c


def _order(n: Any) -> int:
    number = whole(n)
    require("n", n, f"be an integer from 1 to {_MOST}", number is not None and 1 <= number <= _MOST)
    assert number is not None
    return number


def _complex(name: str, values: Any) -> tuple[complex, ...]:
    try:
        array = np.asarray(values, np.complex128)
    except (TypeError, ValueError):
        array = np.zeros((0, 0))
    require(name, values, "be complex numbers (K,)", array.ndim == 1 and array.size > 0)
    return tuple(complex(each) for each in array)


def _floats(name: str, values: Any) -> tuple[float, ...]:
    array = as_array(values)
    fits = hasattr(array, "ndim") and array.ndim == 1 and is_concrete(array) and bool(np.all(np.isfinite(array)))
    require(name, values, "be an array of finite numbers, known before tracing", fits)
    return tuple(float(each) for each in np.asarray(values, float))
