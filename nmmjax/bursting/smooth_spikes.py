"""Spikes for fits: peaks differentiable through the time at which ṙ = 0, and a soft count of spikes."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx

from .._checks import as_array, as_count, require
from .._nan import nan_is_absent, nan_unless
from .._parameter import as_number
from .._types import Mask, Real, Scalar, Values, float_dtype, is_concrete
from ..mechanics.spike import PROMINENCE
from ..models.base import require_one, takes_model
from ..models.mpr import MPR
from ..models.state import State, StateLike
from ..models.stimulus import AbstractStimulus, check_range, input_at
from ..solvers.clock import clock_of
from ..solvers.simulation import simulate
from ..solvers.trajectory import Trajectory, rates_of
from .spikes import Slope


class SpikePeaks(eqx.Module):
    """The first spikes of a solution, and the trough before each; arrays of shape `(count,)`, NaN after the last spike.

    `time`, `state` at the peak; `trough_time`, `trough_state`, NaN for the first if the solution starts on the rise.
    """

    time: Values
    state: State
    trough_time: Values
    trough_state: State


class _Turned(eqx.Module):
    """Falls through zero just after a maximum of r if `sign` is 1, and just after a minimum if it is −1.

    The slope must exceed `margin`, so that a solution at rest doesn't turn by rounding.
    """

    slope: Slope
    sign: Scalar
    margin: Scalar

    def __call__(self, t: Any, y: State, args: object, **kwargs: Any) -> Values:
        value = self.sign * self.slope(y) + self.margin
        return value.astype(float_dtype())  # diffrax has it so


class _Search(eqx.Module):
    """Progress of a search: spikes found, the lowest point since, and the highest that rose far enough from it."""

    t: Scalar
    y: State
    sign: Scalar
    going: Mask
    found: Any
    peaks: Values
    troughs: Values
    base: tuple[Scalar, Scalar]
    top: tuple[Scalar, Scalar]


@nan_is_absent
@takes_model
def spike_peaks(
    model: MPR,
    y0: StateLike,
    t1: Real,
    count: int,
    *,
    stimulus: AbstractStimulus | None = None,
    t0: Real = 0.0,
    prominence: Real = PROMINENCE,
    rtol: Real | None = None,
    atol: Real | None = None,
    adjoint: Any = None,
) -> SpikePeaks:
    """The first `count` spikes of the solution from `y0`: times and states of peaks and troughs, with gradients.

    Events (ṙ = 0, in the right direction) locate the spikes; the equations are then solved to each trough and peak in
    turn, and one Newton step to ṙ = 0 carries the derivative of its time (implicit function theorem): dt_peak/dp =
    −(∂ṙ/∂p)/r̈, dr_peak/dp = ∂r/∂p at fixed time. Number and choice of spikes have no derivative.

    - `model`: an MPR population
    - `y0`: the state at `t0`; `t0`, `t1`: first and last time, in the unit of τ
    - `count`: number of spikes, ≥ 1
    - `stimulus`: input current I(t), in units of η; None, the default, for no input
    - `prominence`: of spikes, by the definition of `find_spikes`; a rise of ln r, 1e-3 by default
    - `rtol`, `atol`: tolerances of the solver, by default 1e-10 and 1e-12 in float64, 1e-5 and 1e-6 in float32
    - `adjoint`: a diffrax adjoint; `diffrax.ForwardMode()` for forward mode

    Returns `SpikePeaks`. Works under `jax.jit`, `jax.grad` and `jax.vmap`. Raises `ValueError` for wrong input. Use it
    in losses, and `find_spikes` for a run at hand.
    """
    require_one(model, offer="riccati")
    count = as_count("count", count)
    dtype = jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(model)))
    start = jax.tree.map(lambda leaf: leaf.astype(dtype), model.state(y0))
    begin, end = (as_number(name, value).astype(dtype) for name, value in (("t0", t0), ("t1", t1)))
    if is_concrete(begin) and is_concrete(end):
        require("t1", end, f"be later than `t0` ({float(begin):g})", bool(np.asarray(t1) > np.asarray(t0)))
    check_range(stimulus, begin, end, "t1")
    clock = None
    if is_concrete(begin) and is_concrete(end) and float(begin) != 0:  # times count from the start
        clock = clock_of(np.asarray([t0, t1], float), dtype)
        stimulus = None if stimulus is None else stimulus.since(clock.start)
        begin, end = clock.elapsed[0], clock.elapsed[1]
    least = as_number("prominence", prominence, "[0, inf)").astype(dtype)
    tight = jnp.finfo(dtype).bits == 64
    rtol = jnp.asarray((1e-10 if tight else 1e-5) if rtol is None else rtol, dtype)
    atol = jnp.asarray((1e-12 if tight else 1e-6) if atol is None else atol, dtype)
    options = {"rtol": rtol, "atol": atol, "solver": diffrax.Dopri8()}

    hold = lambda each: jax.tree.map(lambda leaf: jnp.asarray(jax.lax.stop_gradient(leaf)), each)
    problem = hold(model), hold(stimulus), hold(start), hold(begin), hold(end)
    troughs, peaks = _locate(*problem, count, least, options)
    slope = Slope(model)

    def to_turn(carry: tuple[Scalar, State], at: Scalar) -> tuple[Any, Any]:
        t, y = carry
        known = jnp.isfinite(at)
        at = jnp.where(known, at, jax.lax.stop_gradient(t))
        y = simulate(model, y, jnp.stack([t, at]), stimulus=stimulus, adjoint=adjoint, **options).y_end
        flow = model.vector_field(at, y, input_at(stimulus, at))
        value, rate = jax.jvp(slope, (y,), (flow,))
        shift = jnp.where(known, -value / jnp.where(known, rate, 1), 0)
        t, y = at + shift, jax.tree.map(lambda leaf, rate: leaf + shift * rate, y, flow)
        return (t, y), jax.tree.map(lambda leaf: nan_unless(known, leaf), (t, y))

    _, turns = jax.lax.scan(to_turn, (begin, start), jnp.stack([troughs, peaks], axis=1).ravel())
    if clock is not None:
        turns = clock.time_at(turns[0]), turns[1]
    lows, tops = (jax.tree.map(lambda leaf, k=k: leaf[k::2], turns) for k in (0, 1))
    return SpikePeaks(*tops, *lows)


def _locate(
    model: MPR,
    stimulus: AbstractStimulus | None,
    y0: State,
    t0: Scalar,
    t1: Scalar,
    count: int,
    prominence: Scalar,
    options: dict[str, Any],
) -> tuple[Values, Values]:
    """Times of the troughs and peaks of the first spikes, NaN after the last, by events one after another."""
    slope = Slope(model)
    nan, nothing = jnp.asarray(jnp.nan, t0.dtype), jnp.asarray(-jnp.inf, t0.dtype)
    margin = 10 * options["rtol"]
    finder = optx.Bisection(1e-9, 1e-9) if jnp.finfo(t0.dtype).bits == 64 else optx.Bisection(1e-5, 1e-5)

    def body(s: _Search) -> _Search:
        event = diffrax.Event(_Turned(slope, s.sign, margin), finder, direction=False)
        run = simulate(model, s.y, jnp.stack([s.t, t1]), stimulus=stimulus, event=event, **options)
        t, y, turned = run.t_end, run.y_end, run.event_mask
        height = jnp.log(y.r)
        low, none = s.sign < 0, s.top[1] == nothing  # the end of the run counts as a low point if r falls there
        spike = low & ~none & (s.top[1] - height > prominence)
        lowest = spike | (low & none & (height < s.base[1]))
        highest = ~low & turned & jnp.where(none, height - s.base[1] > prominence, height > s.top[1])
        pick = lambda which, new, old: jax.tree.map(lambda a, b: jnp.where(which, a, b), new, old)
        found = s.found + spike.astype(s.found.dtype)
        return _Search(
            t=t,
            y=y,
            sign=-s.sign,
            going=turned & (found < count) & (t < t1),
            found=found,
            peaks=jnp.where(spike, s.peaks.at[s.found].set(s.top[0]), s.peaks),
            troughs=jnp.where(spike, s.troughs.at[s.found].set(s.base[0]), s.troughs),
            base=pick(lowest, (t, height), s.base),
            top=pick(spike, (nan, nothing), pick(highest, (t, height), s.top)),
        )

    blank = jnp.full(count, jnp.nan, t0.dtype)
    one = jnp.ones_like(t0)
    sign = jnp.where(slope(y0) > 0, one, -one)
    start = _Search(t0, y0, sign, jnp.array(True), jnp.array(0), blank, blank, (nan, jnp.log(y0.r)), (nan, nothing))
    done = jax.lax.while_loop(lambda s: s.going, body, start)
    return done.troughs, done.peaks


@nan_is_absent
def soft_spike_count(rates: Any, threshold: Real, sharpness: Real = 20.0) -> Values:
    """Smooth count of spikes above a threshold: half the total variation of σ(sharpness · ln(r/threshold)) along a run.

    With growing sharpness it tends to half the number of crossings of the threshold: the number of spikes above it that
    begin and end in the run. Spikes whose peaks or troughs lie within a factor exp(±2/sharpness) of the threshold count
    in part, and there the gradient is. Peaks between samples are not seen. Rates that a run did not reach are left out.

    - `rates`: a run, or rates r > 0, per unit of time, (…, times)
    - `threshold`: a rate > 0, per unit of time
    - `sharpness`: > 0, 20 by default

    Returns the count of shape (…), differentiable. Raises `ValueError` for numbers ≤ 0 and what has no rates.
    """
    r = rates_of(rates, "rates") if isinstance(rates, Trajectory) else as_array(rates)
    has_times = isinstance(r, jax.Array) and r.ndim >= 1
    require("rates", rates, "be a run or an array of rates over time", has_times)
    level = as_number("threshold", threshold, "(0, inf)").astype(r.dtype)
    steep = as_number("sharpness", sharpness, "(0, inf)").astype(r.dtype)
    known = jnp.isfinite(r) & (r > 0)
    share = jax.nn.sigmoid(steep * jnp.log(jnp.where(known, r, level) / level))
    steps = jnp.where(known[..., 1:] & known[..., :-1], jnp.diff(share, axis=-1), 0)
    return jnp.sum(jnp.abs(steps), axis=-1) / 2
