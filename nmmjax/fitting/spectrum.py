"""Fits to power spectra of the rate around a state of rest, by the linear response to white noise in closed form.

    S(f) = 2 |e_rᵀ (iω − A)⁻¹ e_v|² · 2D/τ, ω = 2π f        one-sided, ∫₀^∞ S df = variance of r

A is the Jacobian at rest, D the intensity of white noise in the voltage equation (dv = … + √(2D) dW in time t/τ). Networks
have a spectrum per node, by `linear_response`.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._parameter import as_number, as_plain_number, dtype_of
from .._types import Real, Scalar, Values, Whole
from ..equilibria.stability import is_stable, jacobian
from ..equilibria.steady import nearest, resting_rates, steady_state
from ..models.base import AbstractModel, require_offer
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.linear import characteristic
from ..numerics.quadrature import panels
from ..numerics.roots import solve_between, with_slope
from ..stochastic.linear import LinearResponse, linear_response
from .target import AbstractTarget, as_near, deviations, require_population

_PANELS, _ORDER = 8, 48  # of a band
_NETWORK_PANELS, _NETWORK_ORDER = 4, 16  # of a band of networks, where every frequency costs an inverse
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


class NetworkSpectra(eqx.Module):
    """One-sided spectra of a network's rates about a state of rest, at D = 1 in every node; NaN without a stable one."""

    response: LinearResponse

    def nodes(self, f: Values) -> Values:
        """S (f, n) at the frequencies f."""
        return 2 * self.response.spectrum(f)

    def log_power(self, f: Values, each: bool) -> Values:
        """ln S of the mean over the nodes, (f,), or of `each` node, flat."""
        S = self.nodes(f)
        return jnp.log(jnp.ravel(S) if each else jnp.mean(S, axis=1))

    def log_bands(self, low: Values, high: Values, each: bool) -> Values:
        """ln ∫ S df from `low` to `high` of the mean over the nodes, (bands,), or of `each` node, flat. f = f₀ + w sinh u
        at the highest resonance, as in `band_gains`."""
        f, top, exists = self._top()
        height, step = jax.lax.stop_gradient(self.log_power(f, False)), f[1] - f[0]
        bend = (height[top - 1] - 2 * height[top] + height[top + 1]) / step**2  # −2/w² of a Lorentzian
        width = jnp.where(exists, jnp.sqrt(2 / jnp.where(exists, -bend, 1)), f[-1] / 8)
        centre = jnp.where(exists, f[top], 0)
        grid = panels(np.linspace(-1, 1, _NETWORK_PANELS + 1), _NETWORK_ORDER)
        nodes, weights = (jnp.asarray(part.ravel(), low.dtype) for part in grid)
        a, b = (jnp.arcsinh((end - centre) / width)[:, None] for end in (low, high))
        u = (a + b) / 2 + (b - a) / 2 * nodes[None]
        S = self.nodes(jnp.ravel(centre + width * jnp.sinh(u))).reshape(*u.shape, -1)
        powers = jnp.sum(S * (weights[None] * width * jnp.cosh(u) * (b - a) / 2)[..., None], axis=1)
        return jnp.log(jnp.ravel(powers) if each else jnp.mean(powers, axis=1))

    def peak_frequency(self) -> Scalar:
        """f of the highest maximum at f > 0 of the mean over the nodes, NaN if it has none."""
        f, top, exists = self._top()

        def slope(spectra: NetworkSpectra, f: Values) -> Values:
            return with_slope(lambda f: spectra.log_power(f[None], False)[0], f)[1]

        return jnp.where(exists, solve_between(slope, self, f[top - 1], f[top + 1]), jnp.nan)

    def _top(self) -> tuple[Values, Any, Any]:
        """Equal steps of frequency, the place of the highest maximum among them, and whether there is one."""
        f = jax.lax.stop_gradient(self.response.frequencies)
        height = jax.lax.stop_gradient(self.log_power(f, False))
        tops = (height[1:-1] > height[:-2]) & (height[1:-1] >= height[2:])
        return f, jnp.argmax(jnp.where(tops, height[1:-1], -jnp.inf)) + 1, jnp.any(tops)


class SpectrumTarget(AbstractTarget):
    """A power spectrum of the rate that the model is to have when noise perturbs it about a state of rest.

        S(f) = 2 |e_rᵀ (iω − A)⁻¹ e_v|² 2D/τ,  ω = 2π f        one-sided, ∫ S df the variance of r
        residuals = (f_peak − wanted)/σ,  ln(∫ S df/wanted)/σ,  ln(S(f_k)/power_k)/σ

    - `peak_frequency`: where the spectrum is highest at f > 0, cycles per unit of time; of a network, the mean over nodes
    - `band_power`: a mapping {(f0, f1): power}: the variance of r in bands of frequency; of a network, its mean over the
      nodes, or an array (n,), one per node
    - `frequencies`, `power`: the density itself, arrays (k,), as `scipy.signal.welch` gives it; NaN leaves one out; of a
      network, the mean over the nodes, or with `power` (k, n) that of every node
    - `near`: the rate near which the population rests, such as the mean of the recording; None for its highest stable state.
      For a network a state near the one meant; None for that which is reached from the nodes' lowest ones
    - `noise`: the intensity D of the white noise (dv = … + √(2D) dW in time t/τ), independent in every node, or None to fit
      it too, as `ln D`
    - `error`: standard errors: of `peak_frequency` itself, relative ones of powers (1/√averages for Welch's estimate): a
      number for all, or a mapping of the names above to one or an array; None if unknown
    - `I`: constant input, in units of η, a number

    Linear, so valid for weak noise; slow variables and the coupling of a network are part of A. Residuals are NaN if the
    state isn't stable or the spectrum has no maximum. Raises `ValueError` for frequencies < 0, powers ≤ 0, bands that aren't
    any, nothing to compare. Use it for recordings of resting activity, of which only frequencies are known well. Source:
    Gardiner, Stochastic Methods, §4.4.6.
    """

    wanted: Any
    sigma: Any
    bands: Any
    frequencies: Any
    seen: Any  # places of the known powers among all, flat
    near: Any
    intensity: Any
    current: Scalar
    names: tuple[str, ...] = eqx.field(static=True)
    sizes: tuple[int | None, ...] = eqx.field(static=True)  # number of nodes for every name, None for the mean or one
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
        sizes: dict[str, int | None] = {}
        if peak_frequency is not None:
            wanted["peak_frequency"] = np.asarray([as_plain_number("peak_frequency", peak_frequency, "(0, inf)")])
        self.bands = self.frequencies = self.seen = None
        if band_power is not None:
            rule = "be a mapping of bands (f0, f1) with 0 ≤ f0 < f1 to powers > 0"
            require("band_power", band_power, rule, isinstance(band_power, Mapping) and len(band_power) > 0)
            bands = [np.asarray(band, float) for band in band_power]
            fits = all(each.shape == (2,) and bool(np.isfinite(each).all()) and 0 <= each[0] < each[1] for each in bands)
            require("band_power", list(band_power), rule, fits)
            powers = [np.asarray(as_array(each), float) for each in band_power.values()]
            alike = powers[0].ndim <= 1 and all(each.shape == powers[0].shape for each in powers)
            require("band_power", [each.shape for each in powers], "have a number, or numbers (n,), for every band", alike)
            positive = all(bool(np.all(np.isfinite(each) & (each > 0))) for each in powers)
            require("band_power", list(band_power.values()), rule, positive)
            self.bands = jnp.asarray(np.stack(bands))
            wanted["band_power"] = np.stack(powers)
        require("power", power, "be given with `frequencies`, or both be None", (power is None) == (frequencies is None))
        present = None
        if power is not None:
            at, density = np.asarray(as_array(frequencies), float), np.asarray(as_array(power), float)
            rule = f"have the shape of `frequencies`, {at.shape}, or of it and the nodes"
            require("power", power, rule, at.ndim == 1 and density.ndim in (1, 2) and density.shape[:1] == at.shape)
            least = bool(np.all(np.isfinite(at)) and np.all(at >= 0))
            require("frequencies", frequencies, "be numbers ≥ 0", least)
            present = ~np.isnan(density)
            fits = present.any() and bool(np.all(np.isfinite(density[present]) & (density[present] > 0)))
            require("power", power, "be numbers > 0, or NaN for those that are missing", fits)
            self.frequencies, self.seen, wanted["power"] = jnp.asarray(at), jnp.flatnonzero(jnp.asarray(present)), density
        require("peak_frequency", peak_frequency, "be given, or `band_power` or `power`", wanted)
        if hasattr(error, "keys"):
            require("error", sorted(error), f"name the data {sorted(wanted)}", set(error) == set(wanted))
        self.sigma = {}
        for name, value in wanted.items():
            each = error[name] if hasattr(error, "keys") else error
            # Powers are compared by their logarithms, whose errors are relative.
            size = value if name == "peak_frequency" else np.ones_like(value)
            sigma = deviations("error", each, size)
            sizes[name] = None if value.ndim == 1 else value.shape[1]
            known = present if name == "power" and present is not None else np.ones(value.shape, bool)
            wanted[name], self.sigma[name] = value[known], jnp.asarray(sigma[known])
        self.wanted = jax.tree.map(jnp.asarray, wanted)
        self.names, self.known = tuple(wanted), error is not None
        self.sizes = tuple(sizes[name] for name in wanted)
        state = isinstance(near, State | Mapping)
        self.near = (near if isinstance(near, State) else dict(near)) if state else as_near(near)
        self.intensity = None if noise is None else as_number("noise", noise, "(0, inf)")
        self.current = as_number("I", I)

    @property
    def noise_known(self) -> bool:
        return self.known

    @property
    def _fits_noise(self) -> bool:
        return self.intensity is None and self.names != ("peak_frequency",)

    def alone(self, model: AbstractModel) -> bool:
        return model.size is not None  # matrices are inverted

    def check(self, model: Any) -> None:
        state = isinstance(self.near, State | dict)
        if getattr(model, "size", None) is None:
            require_population(model, "SpectrumTarget")
            rule = "be one per frequency or band for a population"
            require("power", self.sizes, rule, all(each is None for each in self.sizes))
            require("near", self.near, "be a rate for a population", not state)
            return
        require_offer(model, "splitting", also=", for `SpectrumTarget`")
        for each in self.sizes:
            require("power", each, f"be of the {model.size} nodes of the network, or their mean", each in (None, model.size))
        rule = "be a state near the one meant, or None, for a network"
        require("near", self.near, rule, state or bool(self.near == as_near(None)))
        jax.eval_shape(lambda: self.residuals(model))  # what `linear_response` refuses

    def unknown_names(self, model: AbstractModel) -> tuple[str, ...]:
        return ("ln D",) if self._fits_noise else ()

    def unknowns(self, model: Any) -> Values:
        """The intensity at which the powers of `model` are the wanted ones on average."""
        dtype = dtype_of(model)
        if not self._fits_noise:
            return jnp.zeros(0, dtype)
        response = self._response(model)
        powers = [
            found - jnp.log(self.wanted[name].astype(dtype)) for name, found in self._log_powers(model, response).items()
        ]
        found = -jnp.mean(jnp.concatenate(powers))
        return jnp.where(jnp.isfinite(found), found, 0)[None]

    def _response(self, model: Any) -> Any:
        dtype = dtype_of(model)
        if model.size is None:
            return response_at_rest(model, self.near.astype(dtype), self.current.astype(dtype))
        guess = self.near if isinstance(self.near, State | dict) else None
        return NetworkSpectra(linear_response(model, guess=guess, I=self.current))

    def _log_powers(self, model: Any, response: Any) -> dict[str, Values]:
        """ln of the powers at D = 1."""
        dtype, found = dtype_of(model), {}
        shift = jnp.where(response.exists, jnp.log(4 / model.tau), jnp.nan) if model.size is None else 0
        each = {name: size is not None for name, size in zip(self.names, self.sizes, strict=True)}
        if self.bands is not None:
            low, high = self.bands[:, 0].astype(dtype), self.bands[:, 1].astype(dtype)
            if model.size is None:
                found["band_power"] = jnp.log(band_gains(response, low, high)) + shift
            else:
                found["band_power"] = response.log_bands(low, high, each["band_power"])
        if self.frequencies is not None:
            f = self.frequencies.astype(dtype)
            if model.size is None:
                found["power"] = response.log_gain(2 * jnp.pi * f[self.seen]) + shift
            else:
                found["power"] = response.log_power(f, each["power"])[self.seen]
        return found

    def residuals(self, model: Any, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        dtype, response = dtype_of(model), self._response(model)
        powers = self._log_powers(model, response)
        if self._fits_noise:
            log_D = (self.unknowns(model) if unknowns is None else unknowns)[0]
        else:
            log_D = jnp.zeros((), dtype) if self.intensity is None else jnp.log(self.intensity.astype(dtype))
        pieces = []
        for name in self.names:
            wanted, sigma = self.wanted[name].astype(dtype), self.sigma[name].astype(dtype)
            if name == "peak_frequency":
                peak = peak_frequency(model, response) if model.size is None else response.peak_frequency()
                pieces.append((peak[None] - wanted) / sigma)
            else:
                pieces.append((powers[name] + log_D - jnp.log(wanted)) / sigma)
        return jnp.concatenate(pieces)
