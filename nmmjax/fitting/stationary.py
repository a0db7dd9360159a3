"""Fits to the stationary density of the rate under common white noise, by the exact Boltzmann law.

    P(r) ∝ r^(−3/2) exp(−V(r)/T),   T = π D/Δ        dv = … + √(2D) dW in time t/τ, g = k = 0

Source: docs/theory.md §7.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, require
from .._parameter import as_number
from .._types import Real, Scalar, Values, Whole
from ..models.base import AbstractModel
from ..stochastic.density import autocorrelation_sum, boltzmann_probabilities
from .target import AbstractTarget, require_population

_INTENSITIES = np.geomspace(1e-4, 1e2, 61)  # among which the first guess of D is


class StationaryTarget(AbstractTarget):
    """A stationary density of the rate that the model is to have under common white noise.

        P(r) ∝ r^(−3/2) exp(−V(r)/T), T = π D/Δ       the exact law for g = k = 0 without slow terms
        residuals = 2 √N (√P_bin − √p_bin)

    in units of their sampling error: in large samples the sum of squares is Pearson's χ² (Freeman & Tukey's form stays
    finite for empty bins).

    - `r`: samples of the rate, any number > 0 of them in order of time; NaN is left out. They are sorted into `bins` bins of
      equal content; or
    - `density`: a pair (rates, density): with rates (k + 1,) the edges of k bins, or with rates (k,) equally spaced centres
    - `noise`: the intensity D (dv = … + √(2D) dW in time t/τ), or None to fit it too, as `ln D`
    - `samples`: how many independent samples N the data amount to; None: of `r`, their number over twice the integrated
      autocorrelation time; of a density, unknown, and the errors' size is estimated from the best fit
    - `I`: constant input, in units of η, a number

    r in the model's unit of rate. Energies and T scale alike, but r^(−3/2) and Δ don't: all of η, J, Δ, D can be told from a
    density, if the noise shows enough of the landscape. Raises `ValueError` for rates ≤ 0, edges that don't
    increase, neither or both of `r` and `density`. Use it for long recordings of one population; no run is needed. Source:
    docs/theory.md §7; Freeman & Tukey, Ann. Math. Stat. 21:607 (1950).
    """

    edges: Values
    shares: Values
    intensity: Any
    size: Any
    current: Scalar
    known: bool = eqx.field(static=True)

    def __init__(
        self,
        r: Any = None,
        *,
        density: Any = None,
        noise: Real | None = None,
        samples: Real | None = None,
        bins: int = 40,
        I: Real = 0.0,
    ):
        require("r", r if density is None else density, "be given, or else `density`", (r is None) != (density is None))
        bins = as_count("bins", bins, 2)
        self.size = None if samples is None else as_number("samples", samples, "(0, inf)")
        if r is not None:
            edges, shares, effective = _histogram(r, bins)
            self.size = jnp.asarray(effective) if self.size is None else self.size
        else:
            edges, shares = _density(density)
        self.known = self.size is not None
        self.size = jnp.ones(()) if self.size is None else self.size
        self.edges, self.shares = jnp.asarray(edges), jnp.asarray(shares)
        self.intensity = None if noise is None else as_number("noise", noise, "(0, inf)")
        self.current = as_number("I", I)

    @property
    def noise_known(self) -> bool:
        return self.known

    def count(self, model: AbstractModel) -> Any:
        # Shares add up to 1.
        return self.shares.shape[0] - 1

    def check(self, model: Any) -> None:
        require_population(model, "StationaryTarget", fast=True)
        fits = model.riccati().plain
        require("model", model, "be without gap junctions and conductances, which have no Boltzmann law", fits)

    def unknown_names(self, model: AbstractModel) -> tuple[str, ...]:
        return ("ln D",) if self.intensity is None else ()

    def unknowns(self, model: Any) -> Values:
        """The best of some intensities for `model`."""
        dtype = model.eta.dtype
        if self.intensity is not None:
            return jnp.zeros(0, dtype)
        guesses = jnp.log(jnp.asarray(_INTENSITIES, dtype))
        losses = jax.vmap(lambda guess: self.loss(model, guess[None]))(guesses)
        return guesses[jnp.argmin(jnp.where(jnp.isnan(losses), jnp.inf, losses))][None]

    def residuals(self, model: Any, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        dtype = model.eta.dtype
        if self.intensity is None:
            D = jnp.exp((self.unknowns(model) if unknowns is None else unknowns)[0])
        else:
            D = self.intensity.astype(dtype)
        P = boltzmann_probabilities(model, self.edges.astype(dtype), D, self.current.astype(dtype))
        root = jnp.where(P == 0, 0, jnp.sqrt(jnp.where(P == 0, 1, P)))  # √ has no derivative at 0
        return 2 * jnp.sqrt(self.size.astype(dtype)) * (root - jnp.sqrt(self.shares.astype(dtype)))


def _histogram(r: object, bins: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(edges, shares, independent samples) of bins of equal content, the outermost open."""
    array = as_array(r)
    is_array = isinstance(array, (jax.Array, np.ndarray)) and array.ndim == 1
    require("r", r, "be an array (samples,) of rates", is_array)
    values = np.asarray(array, float)
    values = values[~np.isnan(values)]
    require("r", values, "be > 0 and finite, or NaN", bool(np.all(np.isfinite(values) & (values > 0))))
    require("r", values.size, f"have at least 10 samples for each of the {bins} bins", values.size >= 10 * bins)
    inner = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    edges = np.concatenate([[0.0], inner, [np.inf]])
    counted = np.bincount(np.searchsorted(inner, values, side="right"), minlength=inner.size + 1)
    return edges, counted / values.size, values.size / autocorrelation_sum(np.log(values))


def _density(density: Any) -> tuple[np.ndarray, np.ndarray]:
    """(edges, shares) of a density on bins."""
    rule = "be a pair (rates, density), with rates the k + 1 edges or k equally spaced centres of its k bins"
    require("density", density, rule, isinstance(density, (tuple, list)) and len(density) == 2)
    at, heights = (np.asarray(as_array(each), float) for each in density)
    fits = at.ndim == heights.ndim == 1 and heights.size >= 2 and at.size in (heights.size, heights.size + 1)
    require("density", density, rule, fits)
    require("density", at, "have increasing rates", bool(np.all(np.diff(at) > 0)))
    require("density", heights, "be finite and ≥ 0", bool(np.all(np.isfinite(heights) & (heights >= 0))))
    if at.size == heights.size:
        step = np.diff(at)
        require("density", at, rule, bool(np.allclose(step, step[0], rtol=1e-6)))
        at = np.concatenate([at - step[0] / 2, at[-1:] + step[0] / 2])
    require("density", at, "have bins of rates ≥ 0", bool(at[0] >= -1e-9 * at[-1]))
    at = np.maximum(at, 0.0)
    shares = heights * np.diff(at)
    total = float(shares.sum())
    require("density", total, "have an integral ≤ 1 over its bins (within 1 %), and > 0", 0 < total <= 1.01)
    return at, shares
