"""Closed orbits of the energy, and what they predict: periods, spike peaks, limit cycles, without an ODE solve.

On the frozen level set V(x) = E, x = ln R, between the turning points x₋ < x₊ (trough and peak of R = τ r):

    period T = ∮ dt = ∫ e^(−x/2) dx/√(E − V)      action A = ∮ q̇ dq = 2 ∫ e^(−x/2) √(E − V) dx
    loss per cycle D = ∮ Γ q̇ dq = 2 ∫ Γ e^(−x/2) √(E − V) dx

With x = c − h cos θ the square-root ends disappear and the midpoint rule in θ converges spectrally. Everything is
differentiable in the parameters (implicitly at the turning points). Source: docs/theory.md §5.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._blas import with_one_thread
from .._checks import as_array, as_count, require
from .._nan import nan_is_absent, nan_unless
from .._parameter import as_number
from .._results import RESULTS, Shown
from .._types import Real, Scalar, Values, is_concrete
from ..mechanics.coordinates import from_qqdot
from ..mechanics.energy import potential_energy
from ..models.base import require_one, takes_model
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.compiling import jitted
from ..numerics.quadrature import midpoints
from ..numerics.roots import bisect, solve_near, with_slope

# The grid on which wells and turning points are bracketed: ln R of R = 1e-6 … 1e6; orbits that leave it count as open.
_GRID = np.linspace(-np.log(1e6), np.log(1e6), 4097)


class Ellipse(eqx.Module):
    """The ellipse closest to a level set in the plane (πτr, v), by algebraic least squares.

    - `center`: (πτr, v); `semi_axes`: longer first; `angle`: of the longer one against the πτr axis, in radians
    - `residual`, `residual_max`: root mean square and largest relative distance ρ − 1 of the level set from the ellipse,
      with ρ the radius from its centre in units of the ellipse's own radius in that direction; 0 for an exact ellipse
    """

    center: Values
    semi_axes: Values
    angle: Scalar
    residual: Scalar
    residual_max: Scalar


class Orbit(eqx.Module, Shown):
    """A closed orbit of the frozen energy; if there is none, NaN with the result `no_closed_orbit`.

    - `energy`: E, dimensionless; `r_trough`, `r_peak`: turning points, at which dr/dt = 0 exactly; `r_well`: the stable
      state inside; rates per unit of time
    - `period`: in the unit of τ; `action`: ∮ q̇ dq, the phase-space area; `loss`: energy dissipated in one cycle, ∮ Γ q̇
      dq
    - `mean_interval`: ⟨1/(τ r)⟩ over a cycle; `level_set`: states along the orbit; `ellipse`: the one closest to it
    - `result`: a `RESULTS` code, with an empty message if successful
    """

    energy: Scalar
    r_trough: Scalar
    r_peak: Scalar
    r_well: Scalar
    period: Scalar
    action: Scalar
    loss: Scalar
    mean_interval: Scalar
    level_set: State
    ellipse: Ellipse
    result: RESULTS

    def __repr__(self) -> str:
        if not isinstance(self.period, (jax.Array, np.ndarray)) or not is_concrete(self.period) or self.period.ndim:
            return f"Orbits of shape {getattr(self.period, 'shape', None)}"
        if bool(jnp.isnan(self.period)):
            return f"Orbit: {RESULTS[self.result]}"
        return (
            f"Orbit at E = {self.energy:.6g}: r from {self.r_trough:.6g} to {self.r_peak:.6g} around {self.r_well:.6g}, "
            f"period {self.period:.6g}, action {self.action:.6g}, loss per cycle {self.loss:.3g}, "
            f"{100 * self.ellipse.residual:.2g} % off an ellipse"
        )


@nan_is_absent
@takes_model
def orbit(model: MPR, energy: Real, *, near: Real | None = None, I: Real = 0.0) -> Orbit:
    """The closed orbit of total energy `energy` around the stable state closest to rate `near`.

    Accurate to 1e-13 in float64, less close to the bottom, where E − V is lost in rounding: 1e-7 at (E − E_min)/|E| =
    1e-8. Rates outside 1e-6 … 1e6 per τ are not searched. Use it for periods, amplitudes and shapes at weak damping.

    - `model`: an MPR population without slow terms
    - `energy`: E, dimensionless, a number (`total_energy`; it equals H if Δ = g = k = 0)
    - `near`: a rate, per unit of time, that picks the stable state; None, the default, takes the one of highest rate
    - `I`: constant input, in units of η; 0 by default

    Returns an `Orbit`, differentiable in the model and in `energy`. Raises `ValueError` for slow terms, networks, and if
    the energy is below the well's bottom or no closed orbit has it; inside a transformation the result code says so.
    Source: docs/theory.md §5.
    """
    _require_fast(model)
    E, current = as_number("energy", energy), as_number("I", I)
    found = _orbit(model, E, _as_near(near), current)
    if is_concrete(found.period) and bool(jnp.isnan(found.period)):
        bottom = float(potential_energy(model, State(r=found.r_well, v=jnp.zeros_like(found.r_well)), current))
        rule = f"be above the well's bottom {bottom:.10g} and below the barrier beside it"
        raise ValueError(f"Argument `energy` must {rule}, but got {float(E):.10g}.")
    return found


@nan_is_absent
@takes_model
def loss_per_cycle(model: MPR, energy: Real, *, near: Real | None = None, I: Real = 0.0) -> Scalar:
    """Energy lost in one cycle at energy E, D(E) = ∮ Γ q̇ dq; negative if gap junctions pump in more than is lost.

    A synapse that is fast compared with the cycle is a damping as well, 2 J R T with its mean delay T = Σ τ_k/τ: in the
    limit of short delays, inhibition pumps.

    - `model`: an MPR population without slow terms other than a synapse without conductance
    - `energy`: E, dimensionless, a number
    - `near`: a rate, per unit of time, that picks the stable state; None, the default, takes the one of highest rate
    - `I`: constant input, in units of η; 0 by default

    Returns D, dimensionless, a number; NaN if no closed orbit has this energy, so that it can be scanned and mapped
    (`orbit` raises there). Raises `ValueError` for slow terms and networks. Source: docs/theory.md §5.
    """
    require_one(model, offer="riccati")
    model, delay = _in_step(model)
    return _loss_at(model, delay, as_number("energy", energy), _as_near(near), as_number("I", I))


@nan_is_absent
@takes_model
def predict_peaks(model: MPR, r0: Real, count: int, *, I: Real = 0.0) -> Values:
    """Firing rates at successive spike peaks from energy alone, E_{k+1} = E_k − D.

    Half a cycle's loss D/2 is taken at the middle energy of each half cycle; the peak is the turning point V(r) =
    E_{k+1}. The error per spike is of third order in the loss per cycle: below 0.1 % while a cycle loses less than a
    third of the energy above the well, tens of percent if it loses nearly all.

    - `model`: an MPR population without slow terms
    - `r0`: rate at the first peak, per unit of time, above the stable state around which the population rings
    - `count`: number of peaks, ≥ 1, the first included
    - `I`: constant input, in units of η; 0 by default

    Returns rates (count,), per unit of time, differentiable; NaN after the last peak, when the state is captured by
    another well or rings no more. Raises `ValueError` for `count` < 1, an `r0` that is no peak, slow terms and networks.
    Source: docs/theory.md §5.
    """
    _require_fast(model)
    count = as_count("count", count)
    start = as_number("r0", r0, "(0, inf)")
    peaks, bottom = _peaks(model, start, count, as_number("I", I))
    if is_concrete(start) and is_concrete(bottom):
        rule = f"be a peak, above the stable state's rate {float(bottom):g}"
        require("r0", start, rule, float(start) > float(bottom))
    return peaks


@nan_is_absent
@with_one_thread
@takes_model
def limit_cycle(model: MPR, *, I: Real = 0.0) -> Orbit:
    """The sustained oscillation that the energy balance D(E*) = 0 predicts: amplitude and period.

    It needs gap junctions, or inhibition through a synapse, which is taken as the damping 2 J R T of its mean delay T = Σ
    τ_k/τ (ING near the Hamiltonian limit: Δ and T small; far from it cycles are missed). It is the smallest orbit around the
    highest focus, stable or unstable, at which pumping and loss (Δ/π) q² q̇² cancel over a cycle, pumping inside and losing
    outside, so it is stable. The prediction is of first order in the damping: 0.3 % in the peak rate if the loss per cycle
    is small.

    - `model`: an MPR population with gap junctions or an inhibitory synapse without conductance, without other slow terms
    - `I`: constant input, in units of η; 0 by default

    Returns an `Orbit`, differentiable; if there is none, NaN with the result `RESULTS.no_closed_orbit`. Raises
    `ValueError` for other slow terms and networks. Source: docs/theory.md §5, §C4.
    """
    require_one(model, offer="riccati")
    model, delay = _in_step(model)
    return _limit_cycle(model, delay, as_number("I", I))


def _require_fast(model: MPR) -> None:
    rule = "be without slow terms, whose landscape moves; use `model.frozen(y)` or `predict_burst`"
    require_one(model, offer="riccati")
    require("model", model, rule, not model.slow_names)


def _in_step(model: MPR) -> tuple[MPR, Values]:
    """The population with an instantaneous synapse, and the mean delay Σ τ_k/τ of its own; without one itself, and 0.
    Refuses other slow terms."""
    synapse, one = model.filters, jnp.ones_like(model.eta)
    if synapse is None or synapse.conductance(model.tau, State(r=one, **dict.fromkeys(synapse.names, one))) is not None:
        _require_fast(model)
        return model, jnp.zeros_like(model.eta)
    delay = sum(synapse.stages.values(), start=jnp.zeros_like(model.eta)) / model.tau
    return eqx.tree_at(lambda each: each.synapse, model, None), delay


class _Level(eqx.Module):
    """The potential of a model at constant input as a function of x = ln R, and its damping with that of a short `delay` of
    the coupling, 2 J R × delay."""

    model: MPR
    current: Scalar
    delay: Scalar | None = None

    def value(self, x: Values) -> Values:
        return self.model.potential(jnp.sqrt(2.0) * jnp.exp(-x / 2)) + self.current * jnp.exp(-x)

    def slope(self, x: Values) -> Values:
        return with_slope(self.value, x)[1]

    def damping(self, x: Values) -> Values:
        damping = self.model.damping(jnp.sqrt(2.0) * jnp.exp(-x / 2))
        return damping if self.delay is None else damping + 2 * self.model.J * jnp.exp(x) * self.delay


def _as_near(near: Real | None) -> Scalar:
    """The rate that a well must be close to; infinity stands for the highest."""
    return as_array(np.inf) if near is None else as_number("near", near, "(0, inf)")


def _well(level: _Level, near: Scalar) -> Scalar:
    """x = ln R of the minimum of the potential closest to the rate `near`; NaN if there is none."""
    grid = jnp.asarray(_GRID, level.current.dtype)
    values = jax.lax.stop_gradient(level.value(grid))
    minimum = (values[1:-1] < values[:-2]) & (values[1:-1] <= values[2:])
    target = jnp.log(jax.lax.stop_gradient(level.model.tau * near))
    target = jnp.where(jnp.isfinite(target), target, grid[-1])
    distance = jnp.where(minimum, jnp.abs(grid[1:-1] - target), jnp.inf)
    x = solve_near(_Level.slope, level, grid[jnp.argmin(distance) + 1])
    return nan_unless(jnp.any(minimum), x)


def _turning_points(level: _Level, well: Scalar, energy: Scalar) -> tuple[Scalar, Scalar]:
    """(x₋, x₊): the first crossings of V = E on either side of the well; NaN if absent."""
    grid = jnp.asarray(_GRID, energy.dtype)
    above, inside = jax.lax.stop_gradient((level.value(grid) > energy, grid <= well))
    right, left = above & ~inside, above & inside
    exists = jnp.any(right) & jnp.any(left) & jax.lax.stop_gradient(level.value(well) < energy)
    # Newton from the outer ends of the grid's cells, where V > E: in a well (convex) it converges from that side. Orbits
    # smaller than a cell or two start from the parabola at the bottom.
    starts = jnp.stack([grid[grid.shape[0] - 1 - jnp.argmax(left[::-1])], grid[jnp.argmax(right)]])
    bottom, top = jax.lax.stop_gradient((well, energy))
    _, curvature = with_slope(jax.lax.stop_gradient(level).slope, bottom)
    width = jnp.sqrt(2 * jnp.maximum(top - jax.lax.stop_gradient(level.value(bottom)), 0) / curvature)
    starts = jnp.where(width < 2 * (grid[1] - grid[0]), bottom + jnp.stack([-width, width]), starts)
    starts = jnp.where(exists, starts, bottom + jnp.asarray([-1.0, 1.0], energy.dtype))

    excess = lambda args, x: args[0].value(x) - args[1]
    ends = nan_unless(exists, solve_near(excess, (level, energy), starts))
    return ends[0], ends[1]


class _Cycle(eqx.Module):
    """Nodes of the midpoint rule in θ on one level set: x, √G with E − V = G (x − x₋)(x₊ − x), and (h sin θ)²."""

    x: Values
    root: Values
    ends: Values
    step: float = eqx.field(static=True)

    def time_integral(self, f: Values) -> Scalar:
        """∮ f dt, in units of τ."""
        return jnp.sum(f * jnp.exp(-self.x / 2) / self.root) * self.step

    def path_integral(self, f: Values) -> Scalar:
        """∮ f q̇ dq."""
        return 2 * jnp.sum(f * jnp.exp(-self.x / 2) * self.root * self.ends) * self.step


def _cycle(level: _Level, energy: Scalar, lower: Scalar, upper: Scalar) -> _Cycle:
    # Fewer nodes in float32, where E − V next to the turning points is lost in rounding.
    n = 128 if jnp.finfo(energy.dtype).bits == 64 else 40
    theta = jnp.asarray(midpoints(n), energy.dtype)
    half = (upper - lower) / 2
    x = (upper + lower) / 2 - half * jnp.cos(theta)
    ends = (half * jnp.sin(theta)) ** 2
    return _Cycle(x, jnp.sqrt((energy - level.value(x)) / ends), ends, np.pi / n)


@jitted
def _loss_at(model: MPR, delay: Scalar, energy: Scalar, near: Scalar, current: Scalar) -> Scalar:
    level = _Level(model, current, delay)
    return _loss(level, _well(level, near), energy)


def _loss(level: _Level, well: Scalar, energy: Scalar) -> Scalar:
    cycle = _cycle(level, energy, *_turning_points(level, well, energy))
    return cycle.path_integral(level.damping(cycle.x))


@jitted
def _peaks(model: MPR, r0: Scalar, count: int, current: Scalar) -> tuple[Values, Scalar]:
    """The predicted peaks, and the rate of the stable state below them."""
    level = _Level(model, current)
    well = _well(level, jnp.asarray(jnp.inf, r0.dtype))
    x0 = jnp.log(model.tau * r0)

    bottom = level.value(well)

    def excess(args: tuple[_Level, Scalar, Scalar], half: Scalar) -> Scalar:
        """half − ½D at the middle energy of the half cycle; grows with `half`."""
        level, well, energy = args
        return half - _loss(level, well, energy - half / 2) / 2

    def half_cycle(energy: Scalar, _: None) -> tuple[Scalar, Scalar]:
        """The energy half a cycle later; NaN if half a cycle loses all the energy above the bottom of the well."""
        args = (level, well, energy)
        frozen = jax.lax.stop_gradient(args)
        most = jax.lax.stop_gradient(energy - bottom)

        steps = 22 if jnp.finfo(most.dtype).bits == 64 else 10
        low, high = bisect(lambda half: ~(excess(frozen, half) > 0), jnp.zeros_like(most), most, steps)
        # One step with the chord's slope finishes the root and carries its derivative; its own slope would have to be
        # derived once more, which doubles the time of compilation.
        values = jax.vmap(lambda half: excess(frozen, half))(jnp.stack([low, high]))
        half = low - excess(args, low) * (high - low) / (values[1] - values[0])
        found = (half > 0) & (half < most) & (low > 0) & (high < most)
        after = nan_unless(jax.lax.stop_gradient(found), energy - half)
        return after, after

    energy = level.value(x0)
    _, energies = jax.lax.scan(half_cycle, energy, None, length=2 * (count - 1))
    peaks = jax.vmap(lambda energy: _turning_points(level, well, energy)[1])(energies[1::2])
    return jnp.exp(jnp.concatenate([x0[None], peaks])) / model.tau, jnp.exp(well) / model.tau


@jitted
def _orbit(model: MPR, energy: Scalar, near: Scalar, current: Scalar) -> Orbit:
    level = _Level(model, current)
    return _orbit_at(level, _well(level, near), energy)


def _orbit_at(level: _Level, well: Scalar, energy: Scalar) -> Orbit:
    tau = level.model.tau
    lower, upper = _turning_points(level, well, energy)
    cycle = _cycle(level, energy, lower, upper)
    period = cycle.time_integral(jnp.ones_like(cycle.x))
    states = _level_set(level, energy, lower, upper)
    bad = jnp.isnan(period)
    return Orbit(
        energy=energy,
        r_trough=jnp.exp(lower) / tau,
        r_peak=jnp.exp(upper) / tau,
        r_well=jnp.exp(well) / tau,
        period=period * tau,
        action=cycle.path_integral(jnp.ones_like(cycle.x)),
        loss=cycle.path_integral(level.damping(cycle.x)),
        mean_interval=cycle.time_integral(jnp.exp(-cycle.x)) / period,
        level_set=states,
        ellipse=fit_ellipse(jnp.pi * tau * states.r, states.v),
        result=RESULTS.where(bad, RESULTS.no_closed_orbit, RESULTS.successful),  # pyright: ignore[reportArgumentType]
    )


def _level_set(level: _Level, energy: Scalar, lower: Scalar, upper: Scalar) -> State:
    """States along the orbit, at equal angles in r (which is what spreads points evenly on an ellipse), peak to peak."""
    phi = jnp.asarray((np.arange(128) + 0.5) * 2 * np.pi / 128, energy.dtype)
    low, high = jnp.exp(lower), jnp.exp(upper)
    R = (high + low) / 2 + (high - low) / 2 * jnp.cos(phi)
    speed = jnp.sqrt(2 * jnp.maximum(energy - level.value(jnp.log(R)), jnp.finfo(energy.dtype).tiny))
    qdot = jnp.sign(jnp.sin(phi)) * speed
    return from_qqdot(level.model, jnp.sqrt(2 / R), qdot)


def fit_ellipse(x: Values, y: Values) -> Ellipse:
    """The ellipse through points (x, y), shape `(n,)`, by algebraic least squares in centred, scaled coordinates."""
    middle_x, middle_y = jnp.mean(x), jnp.mean(y)
    scale = jnp.sqrt(jnp.mean((x - middle_x) ** 2 + (y - middle_y) ** 2))
    u, w = (x - middle_x) / scale, (y - middle_y) / scale
    # u² + w² + a(u² − w²) + b u w + c u + d w + e = 0: the trace is fixed, so a circle is a = b = 0 and no ellipse is lost.
    matrix = jnp.stack([u**2 - w**2, u * w, u, w, jnp.ones_like(u)], axis=1)
    Q, upper = jnp.linalg.qr(matrix)
    a, b, c, d, e = jax.scipy.linalg.solve_triangular(upper, -(u**2 + w**2) @ Q)
    quadratic = jnp.stack([jnp.stack([1 + a, b / 2]), jnp.stack([b / 2, 1 - a])])
    det = 1 - a**2 - b**2 / 4
    center = jnp.stack([-(c * (1 - a) - d * b / 2), -(d * (1 + a) - c * b / 2)]) / (2 * det)
    size = center @ quadratic @ center - e
    spread = jnp.sqrt(a**2 + b**2 / 4)
    semi_axes = jnp.sqrt(size / jnp.stack([1 - spread, 1 + spread])) * scale
    # The long axis belongs to the smaller eigenvalue 1 − spread; a circle has no preferred angle.
    round_ = spread < 1e-12
    angle = jnp.arctan2(-b / 2, jnp.where(round_, jnp.ones_like(a), -a)) / 2
    points = jnp.stack([u, w], axis=1) - center[None, :]
    radius = jnp.sqrt(jnp.sum((points @ quadratic) * points, axis=1) / size)
    return Ellipse(
        center=jnp.stack([middle_x, middle_y]) + scale * center,
        semi_axes=semi_axes,
        angle=angle,
        residual=jnp.sqrt(jnp.mean((radius - 1) ** 2)),
        residual_max=jnp.max(jnp.abs(radius - 1)),
    )


@jitted
def _limit_cycle(model: MPR, delay: Scalar, current: Scalar) -> Orbit:
    level = _Level(model, current, delay)
    well = _well(level, jnp.asarray(jnp.inf, current.dtype))

    def net_loss(args: tuple[_Level, Scalar], x: Scalar) -> Scalar:
        level, well = args
        return _loss(level, well, level.value(x))

    frozen = jax.lax.stop_gradient((level, well))

    def zoom(_, bracket: tuple[Scalar, Scalar, Any]) -> tuple[Scalar, Scalar, Any]:
        """The first of 32 parts of the bracket in which pumping turns into losing."""
        amplitudes = jnp.exp(jnp.linspace(jnp.log(bracket[0]), jnp.log(bracket[1]), 33))
        losses = jax.vmap(lambda amplitude: net_loss(frozen, frozen[1] + amplitude))(amplitudes)
        turns = (losses[:-1] < 0) & (losses[1:] >= 0)
        index = jnp.argmax(turns)
        return amplitudes[index], amplitudes[index + 1], bracket[2] & jnp.any(turns)

    # Amplitudes x₊ − x_well from 1e-3 (invisible) to a factor 3000 in rate.
    widest = (jnp.asarray(1e-3, current.dtype), jnp.asarray(8.0, current.dtype), jnp.array(True))
    lower, upper, exists = jax.lax.fori_loop(0, 2, zoom, widest)
    x = solve_near(net_loss, (level, well), jnp.where(exists, well + (lower + upper) / 2, well + 1))
    return _orbit_at(level, well, nan_unless(exists, level.value(x)))
