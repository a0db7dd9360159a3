"""Estimates from a recording without a fit: the potential from a histogram of rates, temperatures from velocities."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, require
from .._nan import nan_is_absent
from .._parameter import as_number, as_plain_number
from .._results import Shown
from .._types import Real, Scalar, Values, float_dtype
from ..mechanics.coordinates import to_qqdot
from ..mechanics.energy import force, potential_energy
from ..models.base import require_one
from ..models.mpr import MPR
from ..models.state import State
from .boltzmann_law import check_lawful
from .density import autocorrelation_sum

_FEWEST = 20  # samples in a bin whose potential is shown


class MeasuredPotential(eqx.Module, Shown):
    """The potential that a histogram of rates shows, up to a constant; made by `potential_from_samples`.

    - `r`: rates (k,), the bins' geometric centres; `potential`: −T ln(P r^(3/2)), its minimum 0; `error`: standard errors
    - `temperature`: T, by which energies are measured (1: in units of T)
    """

    r: Values
    potential: Values
    error: Values
    temperature: Scalar

    def compare(self, population: MPR, I: Real = 0.0) -> dict[str, Scalar]:
        """Comparison with V of a `population` at the constant input `I`, the constant fitted: `offset`, `chi_square` per
        degree of freedom, `rms`, `difference`.

        `difference` (k,) is measured minus V minus offset. χ² is near 1 if the potential is that of the recording.
        """
        require_one(population, "population", offer="riccati")
        rule = "be without slow terms, whose landscape moves (use `population.frozen(y)`)"
        require("population", population, rule, not population.slow_names)
        current = as_number("I", I).astype(self.r.dtype)
        V = potential_energy(population, State(r=self.r, v=jnp.zeros_like(self.r)), current)
        weights = 1 / self.error**2
        offset = jnp.sum(weights * (self.potential - V)) / jnp.sum(weights)
        difference = self.potential - V - offset
        square = jnp.sum(weights * difference**2) / (self.r.size - 1)
        rms = jnp.sqrt(jnp.mean(difference**2))
        return {"offset": offset, "chi_square": square, "rms": rms, "difference": difference}

    def __repr__(self) -> str:
        low, high = float(self.r[0]), float(self.r[-1])
        return f"Measured potential at {self.r.size} rates from {low:.4g} to {high:.4g}, T = {float(self.temperature):.4g}"


@nan_is_absent
def potential_from_samples(r: Any, temperature: Real = 1.0, bins: int = 40) -> MeasuredPotential:
    """The energy landscape in a stationary recording of the rate: V(r) = −T ln(r^(3/2) P(r)) + const, without a model.

    - `r`: rates (n,) in order of time; NaN is left out
    - `temperature`: T = π D/Δ, as of `fit_stationary(r).temperature`; 1 gives V/T
    - `bins`: of equal width in ln r between the lowest and the highest rate; those with less than 20 samples are left out

    Returns a `MeasuredPotential`. The density in ln r is ∝ r^(−1/2) exp(−V/T), averaged over a bin. A bin's error is
    T/√(n_eff), its samples divided by the correlation time 1 + 2Σ of its own indicator. Raises `ValueError` for rates ≤ 0, T
    ≤ 0, less than 3 filled bins. Use it to see a landscape and to compare it with a model's; `fit_stationary` for the model.
    Source: docs/theory.md §7.
    """
    rates = as_array(r)
    is_array = isinstance(rates, (jax.Array, np.ndarray)) and rates.ndim == 1
    require("r", r, "be an array (n,) of rates in order of time", is_array)
    T = as_plain_number("temperature", temperature, "(0, inf)")
    bins = as_count("bins", bins, 3)
    values = np.asarray(rates, float)
    values = values[~np.isnan(values)]
    require("r", values, "be > 0 and finite, or NaN", bool(np.all(np.isfinite(values) & (values > 0))))
    require("r", values.size, "have at least 100 samples", values.size >= 100)
    x = np.log(values)
    edges = np.linspace(x.min(), x.max() + 1e-12 + 1e-12 * abs(x.max()), bins + 1)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, bins - 1)
    number = np.bincount(place, minlength=bins)
    kept = np.flatnonzero(number >= _FEWEST)
    require("r", kept.size, f"fill at least 3 bins with {_FEWEST} samples", kept.size >= 3)
    center = (edges[:-1] + edges[1:])[kept] / 2
    potential = -T * (np.log(number[kept] / values.size / (edges[1] - edges[0])) + center / 2)
    times = np.array([autocorrelation_sum((place == each).astype(float)) for each in kept])
    error = T * np.sqrt(times / number[kept] * (1 - number[kept] / values.size))
    dtype = float_dtype()
    array = lambda value: jnp.asarray(np.asarray(value, dtype))
    return MeasuredPotential(array(np.exp(center)), array(potential - potential.min()), array(error), array(T))


class Temperature(NamedTuple):
    """`kinetic` = ⟨q̇²⟩ and `configurational` = ⟨U′²⟩/⟨U″⟩ with their standard errors, correlations in time included."""

    kinetic: Scalar
    kinetic_error: Scalar
    configurational: Scalar
    configurational_error: Scalar


@nan_is_absent
def effective_temperature(run: Any, population: MPR | None = None, I: Real = 0.0) -> Temperature:
    """The temperature of a stationary run: ⟨q̇²⟩ (equipartition), and ⟨U′²⟩/⟨U″⟩, which asks for positions alone.

    - `run`: a `Trajectory` (its model is used), or a `State` (or mapping with `r` and `v`) of arrays (n,) in order of time,
      with `population`
    - `population`, `I`: the MPR and its constant input in units of η, for what isn't a `Trajectory`

    Returns a `Temperature`: both estimates with standard errors. Raises `ValueError` for what is neither, and for an input
    that varies.

    Both are T = π D/Δ if common white noise alone drives a population without gap junctions and conductances; where they
    differ, something else does. Cut off the time before the run is stationary. The error of the second takes ⟨U″⟩ as
    correlated with ⟨U′²⟩ (delta method). Source: docs/theory.md §7; Rugh, Phys. Rev. Lett. 78:772 (1997).
    """
    if hasattr(run, "ys") and hasattr(run, "model"):
        population, y = run.model, run.ys
        if run.stimulus is not None:
            current = np.asarray(run.input)
            require("run", current, "have a constant input", bool(np.all(current == current.flat[0])))
            I = current.flat[0]
    else:
        y = run if isinstance(run, State) else State(r=run["r"], v=run["v"])
    require("population", population, "be given with states", population is not None)
    assert population is not None
    check_lawful(population)
    require("run", y.r.shape, "hold times in one axis, at least 10", y.r.ndim == 1 and y.r.size >= 10)
    tilted = population.tilted(jnp.asarray(I, population.eta.dtype))
    q, qdot = to_qqdot(tilted, y)
    slope = -force(tilted, y)
    curvature = jax.vmap(jax.grad(jax.grad(tilted.potential)))(q)
    square, pull, bend = (np.asarray(each, float) for each in (qdot**2, slope**2, curvature))
    ratio = pull.mean() / bend.mean()
    dtype = float_dtype()
    numbers = square.mean(), _error(square), ratio, _error(pull - ratio * bend) / abs(bend.mean())
    return Temperature(*(jnp.asarray(np.asarray(each, dtype)) for each in numbers))


def _error(x: Any) -> float:
    return float(np.std(x) * np.sqrt(autocorrelation_sum(x) / x.size))
