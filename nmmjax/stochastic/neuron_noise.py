"""Stationary rates of neurons with Gaussian noise of their own: exact, though no closed mean field is."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._nan import nan_is_absent, nan_unless
from .._parameter import as_number
from .._results import Shown
from .._types import Mask, Scalar, Values, is_concrete
from ..models.base import require_one, takes_model
from ..models.modes import Modes
from ..models.mpr import MPR
from ..models.noise import GaussianNoise
from ..models.state import State
from ..numerics.airy import noisy_rate, noisy_root
from ..numerics.compiling import jitted
from ..numerics.roots import solve_on_grid, with_slope

_GRID = np.linspace(-16.0, 16.0, 2001)  # asinh of the current, in units of its spread: cells of 1.6 %
_MOST = 5


class StationaryRates(eqx.Module, Shown):
    """States in which a population of noisy neurons can rest, k of them, by the rate.

    - `r`, `v` (k,): firing rate, per unit of time, and mean voltage; inside transformations k is 5, NaN beyond those found
    - `current` (k,): all input of a neuron at the centre of the excitabilities, η + I + J τ r
    - `slope` (k,): 1 minus the gain of the loop; a state with a negative one is unstable (`saddle`). A positive one proves
      no stability: oscillations are not looked for
    - `intensity`: D
    """

    r: Values
    v: Values
    current: Values
    slope: Values
    intensity: Scalar

    @property
    def saddle(self) -> Mask:
        """Which states lie between two others, (k,)."""
        return self.slope < 0

    def __len__(self) -> int:
        return self.r.shape[0]

    def __repr__(self) -> str:
        if not is_concrete(self.r) or self.r.ndim != 1:
            return f"StationaryRates of shape {self.r.shape}"
        lines = [f"StationaryRates with Gaussian noise of each neuron, D = {float(self.intensity):g}: {len(self)}"]
        kinds = ["saddle" if each else "" for each in np.asarray(self.saddle)]
        lines += [f"  r = {r:.6g}, v = {v:.6g}  {kind}".rstrip() for r, v, kind in zip(self.r, self.v, kinds, strict=True)]
        return "\n".join(lines)


def neuron_rate(mu: Any, intensity: Any, Delta: Any = 0.0) -> Values:
    """Firing rate of a quadratic integrate-and-fire neuron with its own Gaussian noise, V̇ = V² + μ + √(2D) ξ.

        ν(μ, D) = [√π ∫ exp(−μ z² − D² z⁶/12) dz]⁻¹ = D^{1/3}/π² / (Ai²(x) + Bi²(x)),     x = −μ/D^{2/3}

    - `mu`: constant input μ, a number or an array
    - `intensity`: D ≥ 0 in dimensionless time t/τ, a number or an array of the same shape
    - `Delta`: the rate is the mean over a Lorentzian of this half-width around μ, a number or an array of the same shape:
      Re W(μ − iΔ, D)/π as in `stationary_rates`. It is not Re ν(μ − iΔ, D), since ν has poles in both half-planes

    It is √μ/π for D = Δ = 0, and right to its last digits where it is tiny. Returns rates per unit of t/τ; differentiable.
    Raises `ValueError` for D < 0, Δ < 0 and other values. Sources: Lindner, Longtin & Bulsara, Neural Comput. 15:1761
    (2003); docs/theory.md §G.
    """
    given = {"mu": mu, "intensity": intensity, "Delta": Delta}
    arrays = {name: as_array(value) for name, value in given.items()}
    for name, each in arrays.items():
        require(name, given[name], "be a number or an array", isinstance(each, jax.Array))
        if is_concrete(each):
            good = np.isfinite(np.asarray(each)) & (np.asarray(each) >= (-np.inf if name == "mu" else 0))
            require(name, each, "be finite" if name == "mu" else "be ≥ 0 and finite", bool(np.all(good)))
    current, width, D = jnp.broadcast_arrays(arrays["mu"], arrays["Delta"], arrays["intensity"])
    return _state(current, width, D)[0]


@nan_is_absent
@takes_model
def stationary_rates(model: MPR, noise: GaussianNoise, I: Any = 0.0) -> StationaryRates:
    """All stationary rates of a population whose neurons have Gaussian noise of their own, exactly.

        π τ r + i v = W(η + I + J τ r − iΔ, D),     W(I, D) = i e^{iπ/3} D^{1/3} Ai′(ζ)/Ai(ζ),     ζ = e^{iπ/3} I/D^{2/3}

    - `model`: an `MPR` population without gap junctions, conductances and a width of the couplings; slow variables settle
      at the mean rate
    - `noise`: `GaussianNoise(D)`, a number D ≥ 0; at D = 0 they are the fixed points of the mean field
    - `I`: constant input, in units of η

    Use it to see what individual noise changes, and to check `PseudoCumulants` and `CircularCumulants`, which are not exact.
    What happens away from rest has no closed equations: simulate a `QIFNetwork`. At most 5 states are found, one per 1.6 %
    of the current. Returns `StationaryRates`; differentiable, and `jax.vmap` gives those of many populations. Raises
    `ValueError` for networks, other models and other noise. Source: docs/theory.md §G.
    """
    require_one(model, offer="resting")
    fits = isinstance(noise, GaussianNoise)
    require("noise", repr(noise), "be `GaussianNoise(D)`; for common white noise see `boltzmann`", fits)
    require("noise", noise.intensity, "have one intensity for a population", noise.intensity.ndim == 0)
    held = _held(model, jnp.ones(()).astype(model.eta.dtype), jnp.zeros(()).astype(model.eta.dtype))
    rule = "be without gap junctions, conductances and a width of the couplings, for which no exact law is known here"
    require("model", model, rule, held.riccati().plain)
    found = _found(model, noise.intensity.astype(model.eta.dtype), as_number("I", I).astype(model.eta.dtype))
    if not is_concrete(found.r):
        return found
    exists = np.isfinite(np.asarray(found.r))
    parts = (found.r[exists], found.v[exists], found.current[exists], found.slope[exists])
    return StationaryRates(*parts, found.intensity)


@jitted
def _found(model: MPR, D: Scalar, current: Scalar) -> StationaryRates:
    tilted = model.tilted(current)
    spread = model.Delta + jnp.cbrt(D) ** 2 + jnp.where(model.Delta + D > 0, jnp.zeros_like(D), jnp.ones_like(D))
    args = (tilted, D, spread)
    u = solve_on_grid(_excess, args, jnp.asarray(_GRID, D.dtype), _MOST)
    exists = jnp.isfinite(u)
    u = jnp.where(exists, u, jnp.zeros_like(u))
    x = spread * jnp.sinh(u)
    R, v = _state(x, jnp.broadcast_to(model.Delta, x.shape), jnp.broadcast_to(D, x.shape), model.modes)
    slope = with_slope(lambda u: _excess(args, u), u)[1] / (spread * jnp.cosh(u))
    r, v, x, slope = (nan_unless(exists, each) for each in (R / model.tau, v, x, slope))
    return StationaryRates(r, v, x, slope, D)


def _excess(args: tuple[MPR, Scalar, Scalar], u: Values) -> Values:
    """Current less what the population's own rate at this current makes of it: zero at rest."""
    model, D, spread = args
    x = spread * jnp.sinh(u)
    R, v = _state(x, jnp.broadcast_to(model.Delta, x.shape), jnp.broadcast_to(D, x.shape), model.modes)
    fast = _held(model, R / model.tau, v)
    return x - (fast.eta + fast.J * R)


def _held(model: MPR, r: Values, v: Values) -> MPR:
    """The population with its slow variables where this rate and voltage hold them."""
    settled = {name: value for term in model.slow_terms for name, value in term.settled(r, v).items()}
    return model.frozen(State(r=r, v=v, **settled))


def _state(current: Values, Delta: Values, D: Values, modes: Modes | None = None) -> tuple[Values, Values]:
    """(τ r, v) of uncoupled neurons at the centre `current` of excitabilities of half-width `Delta`."""
    if modes is not None:
        centre, width = modes.currents(current, Delta)
        W = noisy_root(jax.lax.complex(centre, -width), jnp.broadcast_to(D, centre.shape))
        return modes.total(jnp.real(W) / jnp.pi, jnp.imag(W))
    W = noisy_root(jax.lax.complex(current, -Delta), D)
    return jnp.where(Delta > 0, jnp.real(W) / jnp.pi, noisy_rate(current, D)), jnp.imag(W)
