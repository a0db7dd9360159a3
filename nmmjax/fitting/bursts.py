"""Fits to bursts: peaks and troughs of their spikes, their times and the period, by prediction or by simulation.

Both ways give the same things, from which the same residuals follow. The prediction takes them from energy and slow
variables (`burst_cycle`). The simulation follows the map from one onset of a burst, the rate's upward crossing of the cusp
rate, to the next, until it has settled; extrema and crossings are then solved for by Newton's method within their steps,
whose last step carries the derivative of their times (implicit function theorem).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import as_array, require
from .._parameter import as_number, as_plain_number
from .._types import Real, Scalar, Values, Whole, is_concrete
from ..bursting.prediction import burst_cycle
from ..bursting.spikes import Slope
from ..equilibria.brackets import cusp_rate
from ..mechanics.spike import PROMINENCE
from ..models.mpr import MPR
from ..models.state import State, StateLike
from ..numerics.roots import newton, ratio
from .target import AbstractTarget, deviations, require_population

_METHODS = ("prediction", "simulation")
_PHASE = 0.25  # of the fast rotation per step
_CYCLES = 30  # that a simulation may take to settle
_SETTLED = 1e-11  # change of the state at onset from one cycle to the next; derivatives settle one cycle later
_LONGEST = 50.0  # slow time constants after which there is no further burst


def _tableau() -> np.ndarray:
    """Tableau of the Dormand–Prince method of order 8: a row for every stage, then the weights."""
    tableau = diffrax.Dopri8.tableau
    rows = np.zeros((tableau.b_sol.size + 1, tableau.b_sol.size))
    for k, row in enumerate(tableau.a_lower):
        rows[k + 1, : row.size] = row
    rows[-1] = tableau.b_sol
    return rows


_STAGES = _tableau()


class Burst(NamedTuple):
    """One burst of a population that bursts for ever: arrays (count,), NaN after its last spike.

    `time` of the peaks since the burst's onset; `peak` and `trough`: rates, the trough being that before the peak; `period`
    from onset to onset; `spikes`: their number, 0 without a burst cycle.
    """

    time: Values
    peak: Values
    trough: Values
    period: Scalar
    spikes: Any


class BurstAmplitudeTarget(AbstractTarget):
    """A burst that the model is to have, at rest from transients.

        residuals = (r_k − peak_k)/σ, (t_k − t_1 − time_k)/σ_t, (trough_k − …)/σ, (period − …)/σ_T

    - `peaks`: rates at the spikes' peaks in order, (spikes,); or (bursts, spikes) of several bursts, as `find_bursts` gives
      them. NaN if a burst has no further spike, or none was seen
    - `troughs`: the envelope's lower side, rates at the minimum before each spike, like `peaks`; what comes before a burst's
      first spike is left out
    - `times`: of the peaks since the first one of their burst, like `peaks`
    - `period`: from burst to burst
    - `method`: "prediction", from energy and slow variables without a run: fast, with errors below 0.5 % where slow
      variables are slow; or "simulation"
    - `noise`: standard deviation: a number for all, or a mapping of the names above to a number or an array like the data;
      None if unknown: then all count by their relative errors
    - `I`: constant input, in units of η, a number; `y0`: the state at which simulations start, or None for the onset of a
      burst with slow variables at rest; `longest`: time after which a simulation gives up waiting for the next onset, or
      None for 50 slow time constants

    If the model's burst has fewer spikes, those that lack continue the last two geometrically, so that a fit can reach
    them; NaN if it doesn't burst with two spikes or more. Further spikes than the wanted ones are not compared. An onset
    is the upward crossing of `cusp_rate`: a population whose rate falls below it between the spikes of a burst bursts with
    every spike. Simulations step by a quarter of the fast rotation, which `fit` refines. Reverse mode doesn't go through.

    Raises `ValueError` for data that aren't rates or don't match, an unknown method, models without slow terms. Use it to
    fit adaptation and depression to bursts; begin with "prediction", finish with "simulation".
    """

    wanted: Any
    sigma: Any
    current: Scalar
    y0: Any
    longest: Any
    names: tuple[str, ...] = eqx.field(static=True)
    method: str = eqx.field(static=True)
    known: bool = eqx.field(static=True)
    kept: Any = eqx.field(static=True)
    longest_burst: int = eqx.field(static=True)

    def __init__(
        self,
        peaks: Any = None,
        *,
        troughs: Any = None,
        times: Any = None,
        period: Real | None = None,
        method: str = "prediction",
        noise: Any = None,
        I: Real = 0.0,
        y0: Any = None,
        longest: Real | None = None,
    ):
        require("method", method, f"be one of {_METHODS}", method in _METHODS)
        given = {"peaks": peaks, "troughs": troughs, "times": times}
        data = {name: _spikes(name, value) for name, value in given.items() if value is not None}
        if period is not None:
            data["period"] = np.asarray([[as_plain_number("period", period, "(0, inf)")]])
        require("peaks", peaks, "be given, or `troughs`, `times` or `period`", data)
        shapes = {name: value.shape for name, value in data.items() if name != "period"}
        for name, shape in shapes.items():
            first = next(iter(shapes.values()))
            require(name, data[name], f"have the shape of the other data, {first}", shape == first)
        if "times" in data:
            times_ = data["times"]
            starts = bool(np.all(np.isnan(times_[:, 0]) | (times_[:, 0] == 0)))
            require("times", times_, "count from the first spike of every burst, which has time 0", starts)
            data["times"] = np.where(np.arange(times_.shape[1]) == 0, np.nan, times_)
        if "troughs" in data:
            data["troughs"] = np.where(np.arange(data["troughs"].shape[1]) == 0, np.nan, data["troughs"])
        if hasattr(noise, "keys"):
            require("noise", sorted(noise), f"name the data {sorted(data)}", set(noise) == set(data))
        self.names, self.method, self.known = tuple(data), method, noise is not None
        self.kept, wanted, sigma = [], {}, {}
        for name, value in data.items():
            present = np.isfinite(value)
            require(name, value, "have at least one number", present.any())
            each = noise[name] if hasattr(noise, "keys") else noise
            each = each if each is None or np.ndim(each) == 0 else np.reshape(np.asarray(each, float), value.shape)[present]
            wanted[name], sigma[name] = value[present], deviations("noise", each, value[present])
            self.kept.append(tuple(int(k) for k in np.nonzero(present)[1]))
        self.kept = tuple(self.kept)
        self.wanted, self.sigma = jax.tree.map(jnp.asarray, (wanted, sigma))
        self.longest_burst = max(2, *(value.shape[1] for value in data.values()))
        self.current = as_number("I", I)
        variables = y0.variables if isinstance(y0, State) else y0
        known = y0 is None or hasattr(variables, "keys")
        require("y0", y0, "be None, a state or a mapping with the keys `r` and `v`", known)
        self.y0 = None if y0 is None else {name: as_array(value) for name, value in variables.items()}
        self.longest = None if longest is None else as_number("longest", longest, "(0, inf)")

    @property
    def noise_known(self) -> bool:
        return self.known

    @property
    def refinable(self) -> bool:
        return self.method == "simulation"

    @property
    def reversible(self) -> bool:
        return False

    def check(self, model: Any) -> None:
        require_population(model, "BurstAmplitudeTarget")
        require("model", model, "have slow terms for `BurstAmplitudeTarget`", bool(model.slow_terms))
        if self.method == "prediction":
            fits = model.riccati().plain
            rule = 'be without gap junctions and conductances for the prediction of bursts; use method="simulation"'
            require("model", model, rule, fits)
            if is_concrete(model.Delta):
                require("Delta", model.Delta, "be > 0 for bursts, whose ringing must die out", bool(model.Delta > 0))
        if self.y0 is not None:
            model.state(self.y0)

    def residuals(self, model: Any, unknowns: Values | None = None, refine: Any = 1) -> Values:
        burst = self.burst(model, refine)
        shown = {
            "peaks": _continued(burst.peak, burst.spikes),
            "troughs": _continued(burst.trough, burst.spikes),
            "times": _continued_times(burst.time, burst.spikes),
            "period": burst.period[None],
        }
        pieces = [
            (shown[name][np.asarray(kept)] - self.wanted[name].astype(burst.peak.dtype))
            / self.sigma[name].astype(burst.peak.dtype)
            for name, kept in zip(self.names, self.kept, strict=True)
        ]
        return jnp.concatenate(pieces)

    def burst(self, model: MPR, refine: Whole = 1) -> Burst:
        """The burst of `model` by the target's method; `refine` multiplies the solver's steps."""
        current = self.current.astype(model.eta.dtype)
        if self.method == "simulation":
            return simulated_burst(
                model, self.longest_burst, current=current, y0=self.y0, longest=self.longest, refine=refine
            )
        cycle = burst_cycle(model, I=current, max_spikes=max(32, 2 * self.longest_burst))
        spikes = cycle.spikes
        first = lambda each: each[: self.longest_burst]
        return Burst(first(spikes.time), first(spikes.peak), first(spikes.trough), cycle.period, cycle.n_spikes)


def _spikes(argument: str, value: object) -> np.ndarray:
    """Data of spikes as (bursts, spikes)."""
    array = as_array(getattr(value, "values", value))
    is_array = isinstance(array, (jax.Array, np.ndarray)) and array.ndim in (1, 2)
    require(argument, value, "be an array (spikes,), or (bursts, spikes)", is_array)
    found = np.atleast_2d(np.asarray(array, float))
    shown = found[np.isfinite(found)]
    least = bool(np.all(shown >= 0)) if argument == "times" else bool(np.all(shown > 0))
    rule = f"be {'≥' if argument == 'times' else '>'} 0, or NaN if absent"
    require(argument, value, rule, least and not np.any(np.isinf(found)))
    return found


def _continued(values: Values, spikes: Any) -> Values:
    """Values (count,) of the spikes, continued by the ratio of the last two if there are fewer; NaN for less than two."""
    k = jnp.arange(values.shape[0])
    last = jnp.maximum(jnp.minimum(spikes, k.size) - 1, 1)
    known = jnp.where(jnp.isnan(values), 1, values)
    # Troughs begin with the second spike.
    before = jnp.where(jnp.isnan(values[last - 1]), known[last], known[last - 1])
    ahead = known[last] * (known[last] / before) ** (k - last).astype(values.dtype)
    return jnp.where(spikes < 2, jnp.nan, jnp.where(k <= last, values, ahead))


def _continued_times(times: Values, spikes: Any) -> Values:
    """Times since the first spike, continued by the last interval."""
    k = jnp.arange(times.shape[0])
    last = jnp.maximum(jnp.minimum(spikes, k.size) - 1, 1)
    known = jnp.where(jnp.isnan(times), 0, times)
    ahead = known[last] + (known[last] - known[last - 1]) * (k - last).astype(times.dtype)
    return jnp.where(spikes < 2, jnp.nan, jnp.where(k <= last, known, ahead) - known[0])


class _Step(NamedTuple):
    """A step in which something happens: from (t, y), of length h; `share` of it is the first guess when."""

    t: Values
    y: State
    h: Values
    share: Values


class _Course(NamedTuple):
    """Progress of a cycle: time, state; whether the rate has been below the level; spikes; ln r at the last minimum; the
    step of the last minimum; steps of the troughs and peaks found; the step of the onset; and whether it came."""

    t: Scalar
    y: State
    armed: Any
    spikes: Any
    low: Scalar
    trough: _Step
    troughs: _Step
    peaks: _Step
    onset: _Step
    done: Any


def simulated_burst(
    model: MPR, count: int, *, current: Any, y0: StateLike | None = None, longest: Any = None, refine: Whole = 1
) -> Burst:
    """The first `count` spikes of the burst to which a population settles, and the period, by simulation. By forward mode
    differentiable; steps are `refine` times shorter than a quarter of the fast rotation's radian."""
    dtype = model.eta.dtype
    level = cusp_rate(model)
    start = {"r": level, "v": jnp.zeros_like(level)} if y0 is None else y0
    start = jax.tree.map(lambda leaf: leaf.astype(dtype), model.state(start))
    slowest = jnp.max(jnp.concatenate([term.time_constants(level) for term in model.slow_terms]))
    limit = _LONGEST * slowest + 50 * model.tau if longest is None else longest.astype(dtype)
    limit = jax.lax.stop_gradient(limit)
    flow = _Flow(model, current.astype(dtype), level, refine)

    def going(carry) -> Any:
        number, change, course, _, _ = carry
        return (number < _CYCLES) & (change > tolerance) & course.done

    def cycle(carry) -> Any:
        number, _, _, before, _ = carry
        course = flow.cycle(before, count, limit)
        y, period = flow.at(flow.height, course.onset)
        pairs = zip(jax.tree.leaves(y), jax.tree.leaves(before), strict=True)
        change = jnp.max(jnp.stack([jnp.abs(a - b) / (1 + jnp.abs(a)) for a, b in pairs]))
        return number + 1, jax.lax.stop_gradient(change), course, y, period

    tolerance = max(_SETTLED, 100 * float(jnp.finfo(dtype).eps))
    infinite = jnp.asarray(jnp.inf, dtype)
    blank = eqx.tree_at(lambda c: c.done, flow.begin(start, count), jnp.array(True))
    _, change, course, _, period = jax.lax.while_loop(going, cycle, (0, infinite, blank, start, infinite))
    settled = course.done & (change <= tolerance)
    extrema = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), course.peaks, course.troughs)
    states, times = jax.vmap(lambda step: flow.at(flow.slope, step))(extrema)
    (peak, trough), time = states.r.reshape(2, count), times[:count]
    shown = jnp.arange(count) < course.spikes
    known = lambda each: jnp.where(settled & shown, each, jnp.nan)
    seen = jnp.isfinite(course.troughs.t)
    return Burst(
        known(time),
        known(peak),
        jnp.where(seen, known(trough), jnp.nan),
        jnp.where(settled, period, jnp.nan),
        jnp.where(settled, course.spikes, 0),
    )


class _Flow(eqx.Module):
    """Steps of a population at constant input, a fraction of the fast rotation each."""

    model: MPR
    current: Scalar
    level: Scalar
    refine: Any

    def field(self, y: State) -> State:
        return self.model.vector_field(jnp.zeros_like(y.r), y, self.current)

    def slope(self, y: State) -> Values:
        """τ r′/r, which vanishes at peaks and troughs."""
        return Slope(self.model)(y)

    def height(self, y: State) -> Values:
        """ln r above the level, which vanishes at onsets."""
        return jnp.log(y.r / self.level)

    def length(self, y: State) -> Values:
        turn = jnp.sqrt((jnp.pi * self.model.tau * y.r) ** 2 + y.v**2 + 1)
        return jax.lax.stop_gradient(_PHASE * self.model.tau / turn) / jnp.asarray(self.refine, y.r.dtype)

    def step(self, y: State, h: Values) -> State:
        """One step of order 8. Its stages are a loop: unrolled, they would take a minute to compile with derivatives."""
        flat, unravel = ravel_pytree(y)
        rows = jnp.asarray(_STAGES, flat.dtype)

        def stage(i, slopes: Values) -> Values:
            here = flat + h * jnp.sum(slopes * rows[i][None], axis=1)
            return slopes.at[:, i].set(ravel_pytree(self.field(unravel(here)))[0])

        slopes = jax.lax.fori_loop(0, rows.shape[1], stage, jnp.zeros((flat.size, rows.shape[1]), flat.dtype))
        return unravel(flat + h * jnp.sum(slopes * rows[-1][None], axis=1))

    def at(self, event: Callable[[State], Values], step: _Step) -> tuple[State, Values]:
        """State and time within the step where `event` vanishes."""
        still, frozen, start = jax.lax.stop_gradient((self, step.y, step.share * step.h))

        def move(delta: Values) -> Values:
            y = still.step(frozen, delta)
            return ratio(*jax.jvp(event, (y,), (still.field(y),)))

        delta = jax.lax.stop_gradient(newton(move, start, 6, keep=lambda new, _: jnp.clip(new, 0, step.h)))
        y = self.step(step.y, delta)
        flow = self.field(y)
        shift = -ratio(*jax.jvp(event, (y,), (flow,)))
        return jax.tree.map(lambda y, rate: y + shift * rate, y, flow), step.t + delta + shift

    def cycle(self, y: State, count: int, limit: Scalar) -> _Course:
        """Course from `y` to the next upward crossing of the level after the rate was below it."""
        going = lambda c: ~c.done & (c.t < limit) & jnp.isfinite(c.y.v)
        return jax.lax.while_loop(going, lambda c: self._advance(c), self.begin(y, count))

    def begin(self, y: State, count: int) -> _Course:
        """A cycle that has just begun at `y`."""
        zero = jnp.zeros_like(self.level)
        none = _Step(jnp.asarray(jnp.nan, zero.dtype), y, zero, zero)
        many = jax.tree.map(lambda each: jnp.broadcast_to(each, (count,)), none)
        return _Course(zero, y, jnp.array(False), jnp.array(0), jnp.log(y.r), none, many, many, none, jnp.array(False))

    def _advance(self, c: _Course) -> _Course:
        y, h = c.y, self.length(c.y)
        after = self.step(y, h)
        x0, x1, s0, s1 = jnp.log(y.r), jnp.log(after.r), self.slope(y), self.slope(after)
        share = jnp.clip(s0 / jnp.where(s0 == s1, 1, s0 - s1), 0, 1)
        step = _Step(c.t, y, h, share)
        pick = lambda which, new, old: jax.tree.map(lambda a, b: jnp.where(which, a, b), new, old)
        bottom = (s0 < 0) & (s1 >= 0)
        top = (s0 > 0) & (s1 <= 0)
        spike = top & (jnp.maximum(x0, x1) - c.low > PROMINENCE)
        place = spike & (jnp.arange(c.peaks.t.shape[0]) == c.spikes)
        put = lambda new, old: jax.tree.map(lambda a, b: jnp.where(place, a, b), new, old)
        level = self.level
        crosses = c.armed & (y.r < level) & (after.r >= level)
        across = jnp.clip((jnp.log(level) - x0) / jnp.where(x1 == x0, 1, x1 - x0), 0, 1)
        return _Course(
            t=c.t + h,
            y=after,
            armed=c.armed | (after.r < level),
            spikes=c.spikes + spike.astype(c.spikes.dtype),
            low=jnp.where(spike, jnp.maximum(x0, x1), jnp.minimum(c.low, jnp.minimum(x0, x1))),
            trough=pick(spike, _Step(c.trough.t * jnp.nan, *c.trough[1:]), pick(bottom, step, c.trough)),
            troughs=put(c.trough, c.troughs),
            peaks=put(step, c.peaks),
            onset=pick(crosses, _Step(c.t, y, h, across), c.onset),
            done=crosses,
        )
