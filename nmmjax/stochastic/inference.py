"""η, J, Δ and the noise's D from a recording of the rate alone, by convex maximum likelihood."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaincc, ndtri

from .._checks import as_array, as_samples, require
from .._nan import nan_is_absent
from .._parameter import as_plain_number
from .._results import Shown
from .._types import Real, Scalar, Values, float_dtype
from ..models.mpr import MPR
from ..models.noise import WhiteNoise
from ..numerics.linear import scaled_inverse
from .correlation import long_run_covariance
from .exponential_family import MIXTURE, FittedFamily, maximize, statistics
from .ridge import along_temperature, intervals

NAMES = ("eta", "J", "Delta", "noise", "temperature", "rate_unit")
_SYMBOLS = ("η", "J", "Δ", "D", "T = π D/Δ", "unit of rate")
_FEWEST = 50
_BINS = 20
_DRAWS = 20_000
_ENOUGH = 1000  # effective samples for intervals if T is hardly known
_BENT = 0.05  # relative error of T from which the likelihood's ridge is followed
_WEAK = 0.2  # and from which the fit is called weak


class StationaryFit(eqx.Module, Shown):
    """Population and noise estimated from a stationary recording of the rate; made by `fit_stationary`.

    - `eta`, `J`, `Delta`, `intensity` (D), `temperature` (T = π D/Δ): the estimates, in the model's units; `rate_unit`: what
      R = 1 is in the recording's unit, 1/τ unless the unit is unknown
    - `errors`: standard errors by name, correlations in time included; `covariance` (6, 6) in the order of `NAMES`
    - `tau`: the population's time constant, as given; `samples`: number n of rates
    - `effective_samples`, `correlation_time`: how many independent samples ln r amounts to, and n over that, in samples
    - `theta` (4,), `root` (4, 4): θ of r in its own unit, and a root of its covariance; `moments`: what `interval` needs
    - `goodness`: p-value of Pearson's χ² of the fitted density; see `fit_stationary`
    - `gauge`: `model`, or, if the unit of r is unknown, what sets the units, `Δ = 1`
    - `status`: `good`, `weak` (T is known to a factor only), `boundary`, `few samples` or `not converged`; `message` says it
      in words
    """

    eta: Scalar
    J: Scalar
    Delta: Scalar
    intensity: Scalar
    temperature: Scalar
    rate_unit: Scalar
    covariance: Values
    tau: Scalar
    effective_samples: Scalar
    correlation_time: Scalar
    goodness: Scalar
    theta: Values
    root: Values
    moments: np.ndarray  # always float64: differences of large numbers
    samples: int = eqx.field(static=True)
    gauge: str = eqx.field(static=True)
    status: str = eqx.field(static=True)
    message: str = eqx.field(static=True)

    @property
    def population(self) -> MPR:
        """The fitted `MPR`; with τ = 1 if the unit of rate is unknown."""
        return MPR(eta=self.eta, J=self.J, Delta=self.Delta, tau=self.tau)

    @property
    def noise(self) -> WhiteNoise:
        """The fitted `WhiteNoise`."""
        return WhiteNoise(self.intensity)

    @property
    def values(self) -> dict[str, Scalar]:
        """The estimates by name."""
        return dict(zip(NAMES, self._estimates, strict=True))

    @property
    def errors(self) -> dict[str, Scalar]:
        """Standard errors by name; 0 for what is held (Δ at its bound or as the unit)."""
        return dict(zip(NAMES, jnp.sqrt(jnp.diagonal(self.covariance)), strict=True))

    @property
    def _estimates(self) -> tuple[Scalar, ...]:
        return self.eta, self.J, self.Delta, self.intensity, self.temperature, self.rate_unit

    def interval(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Confidence intervals at `level` by name: quantiles over 20 000 draws of θ, which is normal; the parameters need
        not be.

        They come from the profile likelihood over T if T's error is above 5 %, which takes the likelihood's ridge as it
        is; above 20 % (status `weak`) they have no ends below a thousand effective samples or at Δ = 0: no number would
        be honest. Draws beyond θ₄ = 0 count as Δ = 0, those beyond θ₂ = 0 as T = ∞, so that intervals may begin or end
        there.
        """
        rule = "lie between 0 and 1"
        require("level", level, rule, isinstance(level, (int, float)) and not isinstance(level, bool) and 0 < level < 1)
        error = float(self.errors["temperature"] / self.temperature)
        profiled = self.status == "good" and self.gauge == "model" and error > _BENT and self.effective_samples >= _ENOUGH
        if profiled or self.status in ("weak", "few samples"):
            return self._along_ridge(level)
        draws = np.random.default_rng(0).standard_normal((4, _DRAWS))
        theta = np.asarray(self.theta, float)[:, None] + np.asarray(self.root, float) @ draws
        cold, hot = theta[3] >= 0, theta[1] >= 0
        theta[3, cold], theta[1, hot] = -1e-300, -1e-300
        with np.errstate(all="ignore"):
            values = _parameters(theta, self.gauge)
        values = np.where(np.abs(values) < 1e-70, 0.0, values)
        values = np.where(np.isnan(values) | (np.abs(values) > 1e70), np.where(values < 0, -np.inf, np.inf), values)
        if self.gauge == "model":
            values[2:4, cold], values[5] = 0.0, float(self.rate_unit)
        ends = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=1, method="nearest").T
        if self.status == "boundary" and float(self.Delta) == 0:
            ends[2:4, 0] = 0.0
        return {name: (float(low), float(high)) for name, (low, high) in zip(NAMES, ends, strict=True)}

    def _along_ridge(self, level: float) -> dict[str, tuple[float, float]]:
        unit = float(self.rate_unit)
        if float(self.Delta) == 0 or float(self.effective_samples) < _ENOUGH:
            line, ray = (-np.inf, np.inf), (0.0, np.inf)
            return dict(zip(NAMES, (line, line, ray, ray, ray, (unit, unit)), strict=True))
        moments = np.asarray(self.moments, float)
        psi, mean, C, (center, width) = moments[:4], moments[4:8], moments[8:24].reshape(4, 4), moments[24:26]
        quantile = float(ndtri((1 + level) / 2)) ** 2
        error = float(self.errors["temperature"] / self.temperature)
        least = max(1.0, float(self.correlation_time) / 2)
        found, deviance, given = along_temperature(psi, mean, float(width), C, least, self.samples, quantile, error)
        to_theta = _to_theta(float(center))
        theta = found @ to_theta.T
        ends = intervals(theta, deviance, to_theta @ given @ to_theta.T, quantile)
        return ends | {"rate_unit": (unit, unit)}

    def __repr__(self) -> str:
        inside = self.interval()
        lines = [f"Stationary fit: {self.status}" + (f" ({self.message})" if self.message else "")]
        for name, symbol in zip(NAMES, _SYMBOLS, strict=True):
            if name != "rate_unit" or self.gauge != "model":
                low, high = inside[name]
                value = float(self.values[name])
                lines.append(
                    f"  {symbol:<14}{value:<12.6g} ± {float(self.errors[name]):<10.3g} 95 %: {low:.6g} to {high:.6g}"
                )
        lines.append(
            f"  {'samples':<14}{self.samples}, worth {float(self.effective_samples):.6g} independent ones "
            f"(correlation time {float(self.correlation_time):.4g} samples)"
        )
        lines.append(f"  {'goodness':<14}p = {float(self.goodness):.3g}")
        return "\n".join(lines)


@nan_is_absent
def fit_stationary(r: Any, tau: Real = 1.0, unit: str = "model") -> StationaryFit:
    """η, J, Δ of a population and the D of its noise from a stationary recording of its rate, with errors.

        ln P(R) = −(3/2) ln R + θ·s − ln Z,   s = (1/R, R, ln R, R⁻³),   θ = (−η, −π², J, −Δ²/12π²)/T,   T = π D/Δ

    - `r`: rates (n,), n ≥ 50, equally spaced in time, in the unit of 1/τ; NaN is left out but keeps its place in time. Cut
      off the time before the recording is stationary
    - `tau`: the population's time constant, R = τ r; the law of r says nothing about time
    - `unit`: `"model"`, or `"unknown"` if r is known up to a factor only: η, J, Δ, D then come in the units in which
      Δ = 1 (η/Δ, J/√Δ, D/Δ^(3/2); the model's scaling symmetry) with `rate_unit`, what R = 1 there is in the recording

    The exact law of `boltzmann` is an exponential family, its likelihood concave in θ: one maximum, by Newton's method
    from the means of s alone. Errors: inverse Fisher information with the long-run covariance of s between (Parzen's window
    of ten correlation times). If the maximum lies at Δ = 0, only η, J and T are known, Δ has an upper bound, and
    `status` is `boundary`.

    `goodness` compares about 20 bins with their fitted probabilities; χ² is divided by the bins' mean loss of effective
    samples (batch means; Rao & Scott's first-order correction). Its degrees of freedom count all fitted parameters as lost,
    so that small p-values are slightly too small; with less than about 200 effective samples it says little.

    Returns a `StationaryFit`. Raises `ValueError` for rates ≤ 0 or infinite, less than 50 samples, rates that vary by less
    than 0.1 %. Milliseconds for 10⁵ samples; needs no x64. Use it if the input is white noise; `fit` with a
    `StationaryTarget` fits a density with some parameters held. Source: docs/theory.md §7; Rao & Scott, Ann. Stat. 12:46
    (1984).
    """
    x, known = _logarithms(r)
    time = as_plain_number("tau", tau, "(0, inf)")
    require("unit", unit, 'be "model" or "unknown"', unit in ("model", "unknown"))
    if unit == "model":
        x = x + math.log(time)
    else:
        time = 1.0
    center, width = float(x[known].mean()), float(x[known].std())
    require("r", float(np.exp(center)), "vary by more than 0.1 %, but it is constant", width > 1e-3)
    shifted = np.where(known, x - center, 0.0)
    data = statistics(shifted)
    C, times, window = long_run_covariance(data, known)
    count = int(known.sum())
    effective = count / times[0]
    family = maximize(data[known].mean(axis=0), width, effective)
    to_theta = _to_theta(center)
    theta = to_theta @ family.psi
    # At Δ = 0 θ₄ has an error of its own, but no other parameter depends on it to first order.
    roots = [to_theta @ _root(_sandwich(family.information, C, free) / count) for free in _free(family)]
    gauge = "model" if unit == "model" else "T = 1" if family.bounded == "Delta" else "Δ = 1"
    slopes = np.stack([_derivative(theta, gauge, k) for k in range(4)], axis=1)
    spread = slopes @ roots[0]
    parameters = _parameters(theta, gauge)
    if unit == "model":
        parameters[5] = 1 / time
    error = float(np.linalg.norm(spread[4])) / abs(float(parameters[4]))
    status, message = _outcome(family, effective, gauge, error)
    goodness = _goodness(family, shifted, known, window)
    moments = np.concatenate([family.psi, data[known].mean(axis=0), C.ravel(), [center, width]])
    numbers = (*parameters, spread @ spread.T, time, effective, times[0], goodness, theta, roots[-1])
    dtype = float_dtype()
    arrays = [*(jnp.asarray(np.asarray(each, dtype)) for each in numbers), moments]
    return StationaryFit(*arrays, samples=count, gauge=gauge, status=status, message=message)


def _to_theta(center: float) -> Any:
    """θ of R from ψ of R/exp(center)."""
    return np.exp(center * np.array([1.0, -1.0, 0.0, 3.0]))[:, None] * MIXTURE.T


def _free(family: FittedFamily) -> list[Any]:
    """Which of ψ vary: for the estimates' errors, and for the intervals."""
    every = np.ones(4, bool)
    return [np.arange(4) < 3, every] if family.bounded == "Delta" else [every]


def _root(V: Any) -> Any:
    values, vectors = np.linalg.eigh((V + V.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0))


def _logarithms(r: object) -> tuple[Any, Any]:
    """(ln r with 0 where unknown, where known)."""
    array = as_array(r)
    is_array = isinstance(array, (jax.Array, np.ndarray)) and array.ndim == 1
    require("r", r, "be an array (n,) of rates in order of time", is_array)
    rates = np.asarray(array if isinstance(r, jax.Array) else as_samples(r), float)
    known = ~np.isnan(rates)
    given = rates[known]
    require("r", rates, "be > 0 and finite, or NaN", bool(np.all(np.isfinite(given) & (given > 0))))
    require("r", given.size, f"have at least {_FEWEST} samples", given.size >= _FEWEST)
    return np.log(np.where(known, rates, 1.0)), known


def _parameters(theta: Any, gauge: str) -> Any:
    """The six parameters of θ. θ in an unknown unit, r = c R, is (c θ₁, θ₂/c, θ₃, c³ θ₄), and at Δ = 1 θ₄/θ₂ gives c."""
    square = 12 * np.pi**4 * theta[3] / theta[1]
    if gauge == "model":
        T, Delta, c = -(np.pi**2) / theta[1], np.sqrt(square), 1 + 0 * theta[0]
    elif gauge == "T = 1":  # without a Δ to measure with
        T, Delta, c = 1 + 0 * theta[0], 0 * theta[0], -(np.pi**2) / theta[1]
    else:
        c = square**0.25
        T, Delta = -(np.pi**2) / (theta[1] * c), 1 + 0 * c
    return np.array([-theta[0] * T / c, theta[2] * T, Delta, T * Delta / np.pi, T, c]) + 0.0


def _derivative(theta: Any, gauge: str, k: int) -> Any:
    """∂/∂θ_k of the parameters, by a complex step; of those that Δ = 0 makes singular it is not asked."""
    if theta[k] == 0:
        return np.zeros(6)
    step = 1e-30 * abs(theta[k])
    return _parameters(theta + 1j * step * (np.arange(4) == k), gauge).imag / step


def _sandwich(F: Any, C: object, free: Any) -> Any:
    """F⁻¹ C F⁻¹ among the free, by scaling to unit diagonal."""
    inverse = np.zeros_like(F)
    inverse[np.ix_(free, free)] = scaled_inverse(F[np.ix_(free, free)], 1e-13)
    return inverse @ C @ inverse


def _outcome(family: FittedFamily, effective: float, gauge: str, error: float) -> tuple[str, str]:
    """(status, message)."""
    if effective < _FEWEST:
        return "few samples", f"the recording is worth {effective:.3g} independent samples; too few for intervals"
    if error > _WEAK and gauge == "model":
        known = "the recording shows too little of the landscape to tell its depth from the noise"
        return "weak", f"T, and with it every parameter, is known to a factor only (error {100 * error:.0f} %): {known}"
    if family.bounded == "Delta":
        scale = "; units are those in which T = 1" if gauge == "T = 1" else ""
        return "boundary", f"Δ is at its bound 0, and D with it: only η, J and T = π D/Δ are known{scale}"
    if family.bounded == "temperature":
        return "boundary", "T grows without bound: high rates fall off too slowly for a population with white noise"
    if not family.converged:
        return "not converged", "the likelihood still grew when its steps ended"
    return "good", ""


def _goodness(family: FittedFamily, x: Any, known: Any, window: int) -> float:
    """The p-value of χ² over bins made of panels, so that their fitted probabilities are exact."""
    total = np.concatenate([[0.0], np.cumsum(family.masses)])
    cuts = np.unique(np.searchsorted(total, np.arange(1, _BINS) / _BINS))
    cuts = cuts[(cuts > 0) & (cuts < total.size - 1)]
    shares = np.diff(np.concatenate([[0.0], total[cuts], [1.0]]))
    bins = np.searchsorted(family.edges[cuts], x, side="right")
    length = max(window, 1)
    batch = np.arange(x.size) // length
    number = int(batch[-1]) + 1
    counts = np.bincount((batch * shares.size + bins)[known], minlength=number * shares.size).reshape(number, shares.size)
    n = counts.sum()
    freedom = shares.size - 5
    if number < 10 or freedom < 1:
        return float("nan")
    observed = counts.sum(axis=0) / n
    excess = counts - counts.sum(axis=1, keepdims=True) * observed
    # Each bin's variance over that of independent samples, (1 − p) as weights.
    loss = np.sum(np.sum(excess**2, axis=0) / (n * shares)) * number / (number - 1) / (shares.size - 1)
    square = n * np.sum((observed - shares) ** 2 / shares) / max(loss, 1.0)
    return float(gammaincc(freedom / 2, square / 2))
