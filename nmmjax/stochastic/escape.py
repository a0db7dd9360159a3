"""How often noise carries a population or a network out of a stable state."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._nan import nan_is_absent, nan_unless
from .._parameter import as_number, dtype_of, with_dtype
from .._results import Shown
from .._types import Real, Scalar, Values, is_concrete
from ..landscape.network import NetworkLandscape
from ..landscape.population import population_landscape
from ..models.base import require_offer, takes_model
from ..models.mpr import MPR
from ..models.network import is_network
from ..models.noise import NoiseLike, white_intensity
from ..models.state import State
from ..numerics.compiling import jitted
from .hierarchy import exchange_rates
from .kramers import kramers_rate, loss_at_pass, turnover_factor
from .network_rates import NetworkEscape, network_escape

METHODS = ("exact", "turnover", "kramers")
_STAND_IN = (0.08113444195011973, 0.47298034068468414, 1.030596798837572)  # rates of (η, J, Δ) = (−5, 15, 1)


class EscapeRate(eqx.Module, Shown):
    """The rate at which white noise carries a population out of a well; `float(rate)` is `rate.rate`.

    - `rate`: per unit of time, by `method`; 1/`rate` is the mean time between escapes
    - `kramers`: Kramers' formula at the damping of the pass; `turnover`: the same times Melnikov's factor for weak damping
    - `barrier`: ΔU/T, the exponent; `loss`: δ = ∮Γ q̇ dq/T at the pass's energy, over the well of the start;
      `temperature`: T = πD/Δ
    """

    rate: Scalar
    kramers: Scalar
    turnover: Scalar
    barrier: Scalar
    loss: Scalar
    temperature: Scalar
    method: str = eqx.field(static=True)

    def __float__(self) -> float:
        return float(self.rate)

    @property
    def time(self) -> Values:
        """1/rate, the mean time to escape."""
        return 1 / self.rate

    def __repr__(self) -> str:
        if not is_concrete(self.rate) or self.rate.ndim:
            return f"EscapeRate ({self.method}) of shape {self.rate.shape}"
        return (
            f"EscapeRate {self.rate:.6g} ({self.method}), mean time {self.time:.6g}: barrier {self.barrier:.4g} T, "
            f"T = {self.temperature:.4g}; Kramers {self.kramers:.4g}, with turnover {self.turnover:.4g}"
        )


@nan_is_absent
@takes_model
def escape_rate(
    model: Any,
    noise: Any,
    start: Any,
    I: Any = 0.0,
    *,
    method: str = "exact",
    points: int = 192,
    orders: int = 48,
    landscape: NetworkLandscape | None = None,
) -> EscapeRate | NetworkEscape:
    """The rate at which common white noise carries a population or a network out of `start`, per unit of time.

    One population, T the temperature:

        k ≈ [√(Γ_b²/4 + ω_b²) − Γ_b/2]/ω_b · ω₀/2π · e^(−ΔU/T) · Υ(δ₁) Υ(δ₂)/Υ(δ₁ + δ₂),      T = πD/Δ

    - `model`: a bistable MPR population, Δ > 0, or a network of them, without gap junctions, conductances and slow terms
    - `noise`: D > 0 or `WhiteNoise(D)`; `start`: a state, `landscape.minima[1]` or a mapping; its side of the pass counts
    - `I`: constant input, in units of η
    - `method`: "exact" solves the Klein–Kramers equation for its slowest mode, at any barrier and damping: the two rates
      add up to the rate at which a difference between the wells decays. "kramers" is the formula without the Υ, right for
      strong damping at the pass and ΔU ≫ T; "turnover" is all of it, for weak damping too. Both take microseconds under
      `jit`; the exact one costs `orders` factorisations of `points` × `points` matrices
    - `points`, `orders`: of the exact solution: grid and Hermite functions. Weak damping needs more orders (48 are
      enough to 0.2 % down to δ₁ = 1); double both to see what they cost

    A network with symmetric weights, of at most 8 nodes, gives a `NetworkEscape`: Ψ is not its quasi-potential (coupled
    forces have no potential in q, so no Boltzmann law holds), and the exponent is found as the least action min ∫Σ I_i²
    d(t/τ_i)/4D_i of all inputs that lead to a pass. This is exact for weak noise, and ΔU/T if nodes are not coupled.
    The prefactor is Langer's, with the quasi-potential's curvatures from Lyapunov equations and the WKB factor along the
    path; a leading order, right to 1 + O(1/action), and uncertain if `regular` is False. `landscape`: the network's,
    if it is at hand; `method`, `points` and `orders` are not used.

    Returns an `EscapeRate` or a `NetworkEscape`. Below ΔU ≈ 2T states are left so fast that no single rate describes it (see
    `first_passage`). Works under `jax.jit`, `jax.vmap` and `jax.grad`, in η, J, Δ, τ, D and the input. Raises `ValueError`
    for one well (NaN inside transformations), Δ = 0, D ≤ 0, noise that is not white, gap junctions, conductances and slow
    terms. Sources: Kramers, Physica 7:284 (1940); Melnikov & Meshkov, J. Chem. Phys. 85:1018 (1986); Risken (1989) §10;
    docs/theory.md §7.
    """
    require_offer(model, "riccati")
    if is_network(model):
        return network_escape(model, noise, model.state(start), I, landscape)
    start = with_dtype(model.state(start), dtype_of(model))
    return population_escape(model, noise, start, I, method, points, orders)


def population_escape(
    model: MPR, noise: NoiseLike, start: State, I: Real, method: str, points: int, orders: int
) -> EscapeRate:
    """See `escape_rate`; for one population."""
    D = white_intensity(noise)
    rule = "be without gap junctions, conductances and slow terms, for which no exact law is known"
    require("model", model, rule, model.riccati().plain and not model.slow_names)
    if is_concrete(model.Delta):
        require("Delta", model.Delta, "be > 0: without heterogeneity there is no damping", bool(model.Delta > 0))
    require("method", method, f"be one of {', '.join(map(repr, METHODS))}", method in METHODS)
    points, orders = as_count("points", points, 32), as_count("orders", orders, 2)
    current = as_number("I", I).astype(model.eta.dtype)
    found = _escape(model, D.astype(model.eta.dtype), start.r, current, method, points, orders)
    if is_concrete(found.rate):
        rule = "lie in one of two wells; this landscape has a single one, which nothing leaves"
        require("start", start.r, rule, bool(np.isfinite(np.asarray(found.barrier))))
    return found


@jitted
def _escape(model: MPR, D: Scalar, r: Scalar, current: Scalar, method: str, points: int, orders: int) -> EscapeRate:
    landscape = population_landscape(model, current)
    tilted = model.tilted(current)
    R = model.tau * landscape.state.r
    bistable = jnp.isfinite(R[1])
    # Placeholders keep what follows finite if there is one well: a stand-in with two is solved, its rate discarded.
    R = jnp.where(bistable, R, jnp.asarray(_STAND_IN, R.dtype))
    parts = lambda each: (each.eta, each.J, each.Delta)
    values = tuple(
        jnp.where(bistable, own, jnp.asarray(other, R.dtype)) for own, other in zip(parts(tilted), (-5, 15, 1), strict=True)
    )
    solved = eqx.tree_at(parts, tilted, values)
    T = jnp.pi * D / solved.Delta
    q = jnp.sqrt(2 / R)
    is_low = model.tau * r < R[1]
    own, other = jnp.where(is_low, q[0], q[2]), jnp.where(is_low, q[2], q[0])
    barrier = (solved.potential(q[1]) - solved.potential(own)) / T
    losses = [loss_at_pass(solved, each, q[1]) / T for each in (own, other)]
    kramers = kramers_rate(solved, own, q[1], T)
    turnover = kramers * turnover_factor(losses[0], losses[1])
    if method == "exact":
        low, high = exchange_rates(solved, q[0], q[1], q[2], T, points, orders)
        rate = jnp.where(is_low, low, high)
    else:
        rate = {"kramers": kramers, "turnover": turnover}[method]
    shown = lambda value: nan_unless(bistable, value)
    return EscapeRate(
        rate=shown(rate) / model.tau,
        kramers=shown(kramers) / model.tau,
        turnover=shown(turnover) / model.tau,
        barrier=shown(barrier),
        loss=shown(losses[0]),
        temperature=jnp.pi * D / model.Delta,
        method=method,
    )
