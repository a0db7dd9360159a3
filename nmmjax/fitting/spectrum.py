"""Fits to power spectra of the rate around a state of rest, by the linear response to white noise in closed form.

    S(f) = 2 |e_rᵀ (iω − A)⁻¹ e_v|² · 2D/τ, ω = 2π f        one-sided, ∫₀^∞ S df = variance of r

A is the Jacobian at rest, D the intensity of white noise in the voltage equation (dv = … + √(2D) dW in time t/τ).
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._parameter import as_number
from .._types import Real, Scalar, Values, Whole
from ..equilibria.stability import is_stable, jacobian
from ..equilibria.steady import nearest, resting_rates, steady_state
from ..models.base import AbstractModel
from ..models.mpr import MPR
from ..numerics.linear import characteristic
from ..numerics.quadrature import panels
from ..numerics.roots import solve_between, with_slope
from .target import AbstractTarget, as_near, deviations, require_population

_PANELS, _ORDER = 8, 48  # of a band
_SEARCH = 512  # frequencies among which a peak is looked for


class Response(eqx.Module):
    """|e_rᵀ (iω − A)⁻¹ e_v|² of a stable state as a ratio of polynomials in ω: coefficients by falling powers."""

    numerator: Values  # of the transfer function's in s = iω
    denominator: Values
    exists: Any

    def log_gain(self, omega: Values) -> Values:
        """ln |…|²."""
        return _log_square(self.numerator, omega) - _log_square(self.denominator, omega)


def _log_square(c: Values, omega: Values) -> Values:
    """ln |Σ c_k (iω)^(n−k)|²."""
    n = c.shape[0] - 1
    even = odd = jnp.zeros_like(omega)
    for k in range(n + 1):
        power = n - k
        term = c[k] * omega**power
        sign = -1 if power % 4 in (2, 3) else 1
        even, odd = (even + sign * term, odd) if power % 2 == 0 else (even, odd + sign * term)
    return jnp.log(even**2 + odd**2)


def response_at_rest(model: MPR, near: Scalar, current: Scalar) -> Response:
    """The response of r to the voltage at the state whose rate is closest to `near`; not existing if it isn't stable."""
    tilted = model.tilted(current)
    rates = resting_rates(tilted)
    r = rates[nearest(rates, near)]
    exists = jnp.isfinite(r)
    y = steady_state(tilted, jnp.log(tilted.tau * jnp.where(exists, r, 1)))
    c, M = characteristic(jacobian(tilted, y))
    r, v = y.names.index("r"), y.names.index("v")  # a synapse's s lies between them
    return Response(jnp.stack([each[r, v] for each in M[1:]]), jnp.stack(c), exists & is_stable(c))


def peak_frequency(model: MPR, response: Response) -> Scalar:
    """f of the highest maximum of the spectrum at f > 0, NaN if it has none."""
    c = response.denominator
    if c.shape[0] == 3:  # the closed form ω² = det − tr²/2
        square = c[2] - c[1] ** 2 / 2
        found = jnp.sqrt(jnp.where(square > 0, square, 1)) / (2 * jnp.pi)
        return jnp.where(response.exists & (square > 0), found, jnp.nan)
    n = c.shape[0] - 1
    # The coefficients bound all roots of the polynomial (Fujiwara), of which the resonance is one.
    largest = jnp.max(jnp.stack([2 * jnp.abs(c[k]) ** (1 / k) for k in range(1, n + 1)]))
    x = jax.lax.stop_gradient(jnp.log(largest)) + jnp.linspace(-12.0, 0.7, _SEARCH, dtype=c.dtype)

    def slope(response: Response, x: Values) -> Values:
        return with_slope(lambda x: response.log_gain(jnp.exp(x)), x)[1]

    rises = jax.lax.stop_gradient(slope(response, x)) > 0
    tops = rises[:-1] & ~rises[1:]
    height = jnp.where(tops, jax.lax.stop_gradient(response.log_gain(jnp.exp(x)))[:-1], -jnp.inf)
    cell = jnp.argmax(height)
    found = solve_between(slope, response, x[cell], x[cell + 1])
    return jnp.where(response.exists & jnp.any(tops), jnp.exp(found) / (2 * jnp.pi), jnp.nan)


def band_gains(response: Response, low: Values, high: Values) -> Values:
    """∫ |…|² df from `low` to `high`, (bands,).

    With ω = ω₀ + w sinh u, the resonance (or corner) at ω₀ of width w is as smooth as the rest, so that the
    Gauss–Legendre rule in u converges geometrically.
    """
    c = jax.lax.stop_gradient(response.denominator)
    n = c.shape[0] - 1
    fast = c if n == 2 else c[:3]
    square = jnp.maximum(fast[2] - fast[1] ** 2 / 4, 0)
    centre, width = jnp.sqrt(square), jnp.maximum(jnp.abs(fast[1]) / 2, 1e-6)
    nodes, weights = (jnp.asarray(each.ravel(), c.dtype) for each in panels(np.linspace(-1, 1, _PANELS + 1), _ORDER))

    def band(low: Values, high: Values) -> Values:
        a, b = (jnp.arcsinh((2 * jnp.pi * each - centre) / width) for each in (low, high))
        u = (a + b) / 2 + (b - a) / 2 * nodes
        omega = centre + width * jnp.sinh(u)
        return jnp.sum(weights * jnp.exp(response.log_gain(omega)) * width * jnp.cosh(u)) * (b - a) / 2 / (2 * jnp.pi)

    return jax.vmap(band)(low, high)


class SpectrumTarget(AbstractTarget):
    """A power spectrum of the rate that the model is to have when noise perturbs it about a state of rest.

        S(f) = 2 |e_rᵀ (iω − A)⁻¹ e_v|² 2D/τ,  ω = 2π f        one-sided, ∫ S df the variance of r
        residuals = (f_peak − wanted)/σ,  ln(∫ S df/wanted)/σ,  ln(S(f_k)/power_k)/σ

    - `peak_frequency`: where the spectrum is highest at f > 0, cycles per unit of time
    - `band_power`: a mapping {(f0, f1): power}: the variance of r in bands of frequency
    - `frequencies`, `power`: the density itself, arrays (k,), as `scipy.signal.welch` gives it; NaN leaves one out
    - `near`: the rate near which the population rests, such as the mean of the recording; None for its highest stable state
    - `noise`: the intensity D of the white noise (dv = … + √(2D) dW in time t/τ), or None to fit it too, as `ln D`
    - `error`: standard errors: of `peak_frequency` itself, relative ones of powers (1/√averages for Welch's estimate): a
      number for all, or a mapping of the names above to one or an array; None if unknown
    - `I`: constant input, in units of η, a number

    Linear, so valid for weak noise; slow variables are part of A. Residuals are NaN if the state isn't stable or the
    spectrum has no maximum. Raises `ValueError` for frequencies < 0, powers ≤ 0, bands that aren't any, nothing to compare.
    Use it for recordings of resting activity, of which only frequencies are known well. Source: Gardiner, Stochastic
    Methods, §4.4.6.
    """

    wanted: Any
    sigma: Any
    bands: Any
    frequencies: Any
    near: Scalar
    intensity: Any
    current: Scalar
    names: tuple[str, ...] = eqx.field(static=True)
    known: bool = eqx.field(static=True)

    def __init__(
        self,
        peak_frequency: Real | None = None,
        *,
        band_power: Any = None,
        frequencies: Any = None,
        power: Any = None,
        near: Any = None,
        noise: Real | None = None,
        error: Any = None,
        I: Real = 0.0,
    ):
        wanted: dict[str, np.ndarray] = {}
        present = None
        if peak_frequency is not None:
            wanted["peak_frequency"] = np.asarray([float(as_number("peak_frequency", peak_frequency, "(0, inf)"))])
        self.bands = self.frequencies = None
        if band_power is not None:
            rule = "be a mapping of bands (f0, f1) with 0 ≤ f0 < f1 to powers > 0"
            require("band_power", band_power, rule, isinstance(band_power, Mapping) and len(band_power) > 0)
            bands = [np.asarray(band, float) for band in band_power]
            fits = all(each.shape == (2,) and bool(np.isfinite(each).all()) and 0 <= each[0] < each[1] for each in bands)
            require("band_power", list(band_power), rule, fits)
            self.bands = jnp.asarray(np.stack(bands))
            wanted["band_power"] = np.asarray(
                [float(as_number("band_power", each, "(0, inf)")) for each in band_power.values()]
            )
        require("power", power, "be given with `frequencies`, or both be None", (power is None) == (frequencies is None))
        if power is not None:
            at, density = np.asarray(as_array(frequencies), float), np.asarray(as_array(power), float)
            require(
                "power", power, f"have the shape of `frequencies`, {at.shape}", density.shape == at.shape and at.ndim == 1
            )
            least = bool(np.all(np.isfinite(at)) and np.all(at >= 0))
            require("frequencies", frequencies, "be numbers ≥ 0", least)
            present = ~np.isnan(density)
            fits = present.any() and bool(np.all(np.isfinite(density[present]) & (density[present] > 0)))
            require("power", power, "be numbers > 0, or NaN for those that are missing", fits)
            self.frequencies, wanted["power"] = jnp.asarray(at[present]), density[present]
        require("peak_frequency", peak_frequency, "be given, or `band_power` or `power`", wanted)
        if hasattr(error, "keys"):
            require("error", sorted(error), f"name the data {sorted(wanted)}", set(error) == set(wanted))
        self.sigma = {}
        for name, value in wanted.items():
            each = error[name] if hasattr(error, "keys") else error
            if name == "power" and present is not None and np.ndim(each) and np.shape(each) == present.shape:
                each = np.asarray(each)[present]
            # Powers are compared by their logarithms, whose errors are relative.
            size = value if name == "peak_frequency" else np.ones_like(value)
            self.sigma[name] = jnp.asarray(deviations("error", each, size))
        self.wanted = jax.tree.map(jnp.asarray, wanted)
        self.names, self.known, self.near = tuple(wanted), error is not None, as_near(near)
        self.intensity = None if noise is None else as_number("noise", noise, "(0, inf)")
        self.current = as_number("I", I)

    @property
    def noise_known(self) -> bool:
        return self.known

    @property
    def _fits_noise(self) -> bool:
        return self.intensity is None and self.names != ("peak_frequency",)

    def check(self, model: AbstractModel) -> None:
        require_population(model, "SpectrumTarget")

    def unknown_names(self, model: AbstractModel) -> tuple[str, ...]:
        return ("ln D",) if self._fits_noise else ()

    def unknowns(self, model: Any) -> Values:
        """The intensity at which the powers of `model` are the wanted ones on average."""
        dtype = model.eta.dtype
        if not self._fits_noise:
            return jnp.zeros(0, dtype)
        powers = [found - jnp.log(self.wanted[name].astype(dtype)) for name, found in self._log_powers(model).items()]
        found = -jnp.mean(jnp.concatenate(powers))
        return jnp.where(jnp.isfinite(found), found, 0)[None]

    def _response(self, model: MPR) -> Response:
        return response_at_rest(model, self.near.astype(model.eta.dtype), self.current.astype(model.eta.dtype))

    def _log_powers(self, model: MPR) -> dict[str, Values]:
        """ln of the powers at D = 1."""
        response, dtype, found = self._response(model), model.eta.dtype, {}
        shift = jnp.where(response.exists, jnp.log(4 / model.tau), jnp.nan)
        if "band_power" in self.names:
            bands = self.bands.astype(dtype)
            found["band_power"] = jnp.log(band_gains(response, bands[:, 0], bands[:, 1])) + shift
        if "power" in self.names:
            found["power"] = response.log_gain(2 * jnp.pi * self.frequencies.astype(dtype)) + shift
        return found

    def residuals(self, model: Any, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        dtype = model.eta.dtype
        powers = self._log_powers(model)
        if self._fits_noise:
            log_D = (self.unknowns(model) if unknowns is None else unknowns)[0]
        else:
            log_D = jnp.zeros((), dtype) if self.intensity is None else jnp.log(self.intensity.astype(dtype))
        pieces = []
        for name in self.names:
            wanted, sigma = self.wanted[name].astype(dtype), self.sigma[name].astype(dtype)
            if name == "peak_frequency":
                pieces.append((peak_frequency(model, self._response(model))[None] - wanted) / sigma)
            else:
                pieces.append((powers[name] + log_D - jnp.log(wanted)) / sigma)
        return jnp.concatenate(pieces)
