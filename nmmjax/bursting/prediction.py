"""Spike peaks, whole bursts and burst cycles from energy and slow variables, without solving the fast equations.

(i) `predict_next_peak`: from a trough, or from the onset of a burst; (ii) `predict_spikes`: all peaks of a burst
from its first one; (iii) `burst_cycle`: the whole cycle, from the parameters alone. `predict_burst` sets all three
beside bursts found in a run. Nothing in (i) and (ii) is small in the loss per cycle: they converge to the exact half cycle.
(iii) is asymptotic between bursts: the population must follow slow variables that are slow.
"""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._labelled import attributes_of, xarray
from .._nan import nan_is_absent, nan_unless
from .._parameter import as_number
from .._results import RESULTS, Shown
from .._types import Real, Scalar, Values, is_concrete
from ..equilibria.brackets import cusp_rate
from ..mechanics.spike import PROMINENCE
from ..models.base import as_states, takes_model
from ..models.mpr import MPR
from ..models.state import State, StateLike
from ..numerics.compiling import jitted
from ..numerics.loops import choose
from ..numerics.roots import newton, ratio
from .cycle import burst_map, first_onset
from .first_spike import first_peak
from .frozen import require_burster
from .moving import Moving, Slow
from .swings import CAREFUL, SMALL, Turn, follow_turns, half_cycle, small_swing

# Time constants shorter than this many periods of the fast oscillation are not slow.
_SLOW_ENOUGH = 3.0


class PredictedSpikes(eqx.Module, Shown):
    """Predicted spike peaks in order; arrays `(count,)`, NaN after the last.

    - `time`: since the start of the prediction; `peak`: firing rate; `trough`, `trough_time`: the minimum before it
    - `slow`: slow variables at the peak, by name
    - `loss_fraction`: energy dissipated since the last peak, over the energy that one had above the well
    - `error`: estimated relative error of the peak, the last correction of its path
    """

    time: Values
    peak: Values
    trough_time: Values
    trough: Values
    slow: Slow
    loss_fraction: Values
    error: Values

    @property
    def prominence(self) -> Values:
        """Rise of ln r to each peak from the trough before it; infinite for the first."""
        return jnp.where(jnp.isnan(self.trough) & ~jnp.isnan(self.peak), jnp.inf, jnp.log(self.peak / self.trough))

    @property
    def count(self) -> Any:
        """Number of spikes: peaks that rise by more than 1e-3 in ln r."""
        return jnp.sum(self.prominence > PROMINENCE, axis=-1)


class BurstCycle(eqx.Module, Shown):
    """A predicted burst cycle; if there is none, NaN with the result `no_burst`.

    - `period`: onset to onset; `duration`: first to last spike peak; both in the unit of τ; `n_spikes`: spikes per burst
    - `spikes`: see `PredictedSpikes`, times since the onset (the rate's upward crossing of `r_onset`)
    - `onset`: slow variables there; `r_onset`: (3/4)^¼ √Δ/(πτ); `r_min`: the lowest rate between bursts
    - `shift`: relative change of `onset` in the last iteration of the cycle map, an error estimate
    - `slowness`: shortest slow time constant at burst activity over the period of the fast oscillation at onset; below 3
      the prediction is not valid
    - `result`: a `RESULTS` code, with an empty message if successful
    """

    period: Scalar
    duration: Scalar
    n_spikes: Any
    spikes: PredictedSpikes
    onset: Slow
    r_onset: Scalar
    r_min: Scalar
    shift: Scalar
    slowness: Scalar
    result: RESULTS

    def __repr__(self) -> str:
        if not isinstance(self.period, (jax.Array, np.ndarray)) or not is_concrete(self.period) or self.period.ndim:
            return f"Burst cycles of shape {getattr(self.period, 'shape', None)}"
        if bool(jnp.isnan(self.period)):
            return f"BurstCycle: {RESULTS[self.result]}"
        peaks = " ".join(f"{peak:.4g}" for peak in np.asarray(self.spikes.peak)[: int(self.n_spikes)])
        return (
            f"BurstCycle of period {self.period:.6g}: {int(self.n_spikes)} spikes in {self.duration:.6g}, peaks {peaks}, "
            f"rate between bursts down to {self.r_min:.4g}"
        )


@nan_is_absent
@takes_model
def burst_cycle(model: MPR, *, I: Real = 0.0, max_spikes: int = 32) -> BurstCycle:
    """The burst cycle of a population with slow terms from its parameters alone: no run, no fast solve.

    A map leads from the onset of a burst to the next: energy along each half cycle of the ringing, then the flow along
    the slow variables past both folds. It contracts so strongly that two passes do, the first one without spikes. The
    period is within 0.5 % and peaks within 0.3 % on the published sets of depression and adaptation, with the exact
    number of spikes (those that rise by 0.1 %; a burst's last one may be at that edge). If rest and bursting coexist,
    the burst cycle is found. Past the upper end of the range of η that bursts, a cycle may still be found (published
    depression: 2 % of the range).

    - `model`: an MPR population with slow terms, Δ > 0, without gap junctions and conductances
    - `I`: constant input, in units of η; 0 by default
    - `max_spikes`: most spikes that are followed

    Returns a `BurstCycle`, differentiable (the number of spikes is piecewise constant; the period hardly jumps there)
    and made for `jax.vmap`. It is not valid if slow variables are not slow; a warning names the ratio. Raises
    `ValueError` for gap junctions and conductances, models without slow terms, and Δ = 0. Source: docs/theory.md §5.
    """
    _require_burster(model)
    max_spikes = as_count("max_spikes", max_spikes, 2)
    found = _cycle(model, _current(model, I), max_spikes)
    if is_concrete(found.slowness):
        _warn_if_fast(found.slowness)
    return found


@nan_is_absent
@takes_model
def predict_next_peak(model: MPR, y: StateLike, *, I: Real = 0.0) -> PredictedSpikes:
    """The next spike peak after a trough of the rate or the onset of a burst.

    At a trough (dr/dt ≈ 0) the half cycle's energy gives the peak; on the rise (dr/dt > 0) the kinetic energy counts
    too.

    - `model`: an MPR population with a slow term, Δ > 0, without gap junctions and conductances
    - `y`: one state with r, v and the slow variables
    - `I`: constant input, in units of η; 0 by default

    Returns `PredictedSpikes` with arrays `(1,)`, differentiable. Limits are those of `burst_cycle`. Raises `ValueError` as
    `burst_cycle` does. Source: docs/theory.md §5.
    """
    _require_burster(model)
    return _peak(model, _checked(model, y), _current(model, I))


@nan_is_absent
@takes_model
def predict_spikes(model: MPR, y: StateLike, count: int, *, I: Real = 0.0) -> PredictedSpikes:
    """Successive spike peaks of a burst from the first one: `predict_peaks` with slow terms.

    Every half cycle loses energy by damping and gains the work of the slow variables as they move the landscape.

    - `model`: an MPR population with a slow term, Δ > 0, without gap junctions and conductances
    - `y`: one state with r at the first peak, and slow variables
    - `count`: number of peaks, ≥ 1, the first included
    - `I`: constant input, in units of η; 0 by default

    Returns `PredictedSpikes` with arrays `(count,)`, differentiable; NaN after the last spike, when the drift of the well
    has outrun the ringing. Limits are those of `burst_cycle`. Raises `ValueError` as `burst_cycle` does. Source:
    docs/theory.md §5.
    """
    _require_burster(model)
    count = as_count("count", count, 2)
    return _spikes(model, _checked(model, y), _current(model, I), count)


@nan_is_absent
@takes_model
def predict_burst(model: MPR, bursts: Any, *, I: Real = 0.0) -> Any:
    """Predicted peaks beside those of `find_bursts(run)`, as an `xarray.Dataset` with the same burst and spike numbers.

    - `model`: an MPR population with slow terms, Δ > 0, without gap junctions and conductances
    - `bursts`: a dataset of `find_bursts`
    - `I`: constant input, in units of η; 0 by default. Only the spikes within a pulse are predicted

    Returns the variables

    - `peak`: as found; `peak_from_trough` (i): from energy and slow variables at the trough before each spike, for the
      first spike at the burst's onset; `peak_from_first` (ii): all from the burst's first peak; `peak_from_cycle` (iii):
      from the parameters alone; `peak_undamped`: the naive estimate, the level set of the energy at the trough
    - `time_from_first`, `loss_fraction`, `error_estimate` of (ii); `error_…`: relative errors against `peak`
    - `period`, `duration`, `n_spikes` as found and, with the ending `_from_cycle`, predicted

    It is empty if `bursts` is. Limits are those of `burst_cycle`. Needs the extra `data`. Raises `ValueError` as
    `burst_cycle` does, and for what is no result of `find_bursts`. Source: docs/theory.md §5.
    """
    _require_burster(model)
    is_found = all(name in getattr(bursts, "data_vars", ()) for name in ("peak", "trough", "onset_time"))
    require("bursts", type(bursts).__name__, "be the result of `find_bursts`", is_found)
    current = _current(model, I)
    cycle = burst_cycle(model, I=current, max_spikes=max(32, 2 * bursts.sizes["spike"]))
    attributes = attributes_of(model, "model") | {"I": float(current)}
    if bursts.sizes["burst"] == 0 or bursts.sizes["spike"] == 0:
        return _dataset(bursts, {}, cycle, attributes)

    def column(name: str) -> Values:
        return jnp.asarray(bursts[name].values, model.eta.dtype)

    names = model.slow_names
    at_peak = State(r=column("peak"), v=0 * column("peak"), **{name: column(f"{name}_peak") for name in names})
    trough = State(r=column("trough"), v=0 * column("peak"), **{name: column(f"{name}_trough") for name in names})
    v = column("onset_v")
    onset = State(r=0 * v + cusp_rate(model), v=v, **{name: column(f"onset_{name}") for name in names})
    return _dataset(bursts, _beside(model, current, at_peak, trough, onset), cycle, attributes)


def _dataset(bursts: Any, columns: dict[str, Any], cycle: BurstCycle, attributes: dict[str, Any]) -> Any:
    """Predicted spike peaks beside found ones over `burst` and `spike`, with relative errors; see `predict_burst`."""
    dims, about = ("burst", "spike"), {"units": "1/time"}
    names = {
        "peak_from_trough": "peak from energy and slow variables at the trough before (first spike: at the onset)",
        "peak_from_first": "peak from the burst's first peak",
        "peak_from_cycle": "peak from the parameters alone",
        "peak_undamped": "peak of the undamped level set",
    }
    found = np.asarray(bursts["peak"].values)
    size = found.shape[1]
    alone = np.full(size, np.nan)
    spikes = np.asarray(cycle.spikes.peak)[: int(cycle.n_spikes)][:size]
    alone[: spikes.size] = spikes
    values = {name: np.asarray(each) for name, each in columns.items()}
    values |= {name: np.full(found.shape, np.nan) for name in names if name not in values}
    values["peak_from_cycle"] = np.where(np.isnan(found), np.nan, np.broadcast_to(alone, found.shape))
    data: dict[str, Any] = {"peak": (dims, found, bursts["peak"].attrs)}
    for name, meaning in names.items():
        data[name] = (dims, values[name], about | {"long_name": meaning})
        error = {"units": "1", "long_name": f"relative error of the {meaning}"}
        data[name.replace("peak_", "error_")] = (dims, values[name] / found - 1, error)
    for name, unit, meaning in (
        ("time_from_first", "time (that of tau)", "predicted time since the first peak"),
        ("loss_fraction", "1", "energy dissipated since the last peak over its energy above the well"),
        ("error_estimate", "1", "estimated relative error of the peak from the first one"),
    ):
        each = values.get(name, np.full(found.shape, np.nan))
        data[name] = (dims, each, {"units": unit, "long_name": meaning})
    for name in ("spike_time", "complete"):
        data[name] = bursts[name]
    for name in ("period", "duration", "n_spikes"):
        data[name] = bursts[name]
        one = np.asarray(getattr(cycle, name))
        data[f"{name}_from_cycle"] = ((), one, bursts[name].attrs | {"long_name": f"{name}, from the parameters alone"})
    notes = {"slowness": float(cycle.slowness), "result": RESULTS[cycle.result] or "successful"}
    return xarray().Dataset(data, coords=bursts.coords, attrs={**attributes, **notes})


@jitted
def _beside(model: MPR, current: Scalar, peak: State, trough: State, onset: State) -> dict[str, Values]:
    """Predictions (i) and (ii) for all bursts; arrays (bursts, spikes)."""
    land, count = Moving(model, current), peak.r.shape[1]

    def slow(y: State) -> Slow:
        return {name: getattr(y, name) for name in model.slow_names}

    def from_trough(y: State) -> tuple[Values, Values]:
        turn = _rise(land, _position(model, y), slow(y))
        return rate(turn), _undamped(land, _position(model, y), jnp.zeros_like(y.r), slow(y))

    def from_onset(y: State) -> tuple[Values, Values]:
        q, speed, s = _position(model, y), _speed(model, y), slow(y)
        return rate(first_peak(land, q, speed, s)), _undamped(land, q, speed, s)

    def rate(turn: Turn) -> Values:
        return nan_unless(turn.exists, 2 / (model.tau * turn.q**2))

    single, naive = jax.vmap(jax.vmap(from_trough))(trough)
    first_single, first_naive = jax.vmap(from_onset)(onset)
    single, naive = single.at[:, 0].set(first_single), naive.at[:, 0].set(first_naive)
    first = jax.tree.map(lambda each: each[:, 0], peak)
    sequence = jax.vmap(lambda y: _spikes(model, y, current, max(count, 2)))(first)
    found = {"peak_from_trough": single, "peak_undamped": naive, "peak_from_first": sequence.peak}
    found |= {"time_from_first": sequence.time, "loss_fraction": sequence.loss_fraction, "error_estimate": sequence.error}
    return {name: jnp.where(jnp.isnan(peak.r), jnp.nan, each[:, :count]) for name, each in found.items()}


def _require_burster(model: MPR) -> None:
    require_burster(model)
    require("model", model, "be without gap junctions and conductances to predict its bursts", model.riccati().plain)
    if is_concrete(model.Delta) and model.Delta.ndim == 0:
        require("Delta", model.Delta, "be > 0 for bursts, whose ringing must die out", float(model.Delta) > 0)


def _current(model: MPR, I: Real) -> Scalar:
    return as_number("I", I).astype(model.eta.dtype)


def _checked(model: MPR, y: StateLike) -> State:
    """`y` as a state with all slow variables, in the model's precision."""
    y = as_states(y, model)
    return jax.tree.map(lambda each: each.astype(model.eta.dtype), y)


def _warn_if_fast(slowness: Scalar) -> None:
    if np.any(np.asarray(slowness) < _SLOW_ENOUGH):
        ratio = float(np.nanmin(np.asarray(slowness)))
        warnings.warn(
            f"The shortest slow time constant is {ratio:.3g} periods of the fast oscillation; the prediction of burst "
            f"cycles needs at least {_SLOW_ENOUGH:g} and may be wrong, even in whether there are bursts.",
            stacklevel=3,
        )


def _position(model: MPR, y: State) -> Values:
    return jnp.sqrt(2 / (model.tau * y.r))


def _speed(model: MPR, y: State) -> Values:
    """q̇ = −q (Δ/(πR) + 2v)/2 of a population without gap junctions and conductances, from the vector field."""
    q = _position(model, y)
    rate = model.tau**2 * model.vector_field(jnp.zeros_like(y.r), y).r
    return -(q**3) / 4 * rate


def _rise(land: Moving, q: Values, s: Slow) -> Turn:
    """Swing from a trough to the next peak."""
    up, well = jnp.ones_like(q), land.well(land.high_well(s), s)
    large = half_cycle(land, q, s, up, well, *CAREFUL[0])
    small = small_swing(land, q, s, up, well, *CAREFUL[1])
    return choose(large.exists & (jnp.abs(q - well) > SMALL * well), large, small)


def _undamped(land: Moving, q0: Values, speed: Values, s: Slow) -> Values:
    """The peak that the energy at (q0, speed) would reach without damping in the landscape of `s`."""
    well = land.well(land.high_well(s), s)
    energy = land.potential(q0, s) + speed**2 / 2
    q = jnp.minimum(well - jnp.abs(q0 - well) / 2, 0.95 * well)
    move = lambda q: ratio(land.potential(q, s) - energy, -land.force(q, s))
    keep = lambda new, q: jnp.clip(new, 0.7 * q, jnp.minimum(1.3 * q, 0.999 * well))  # from leaping over the convex wall
    q = newton(move, q, 24, keep)
    return 2 / (land.model.tau * q**2)


def _spikes_of(land: Moving, turns: Turn) -> PredictedSpikes:
    """Turning points, peak first and last, as spikes in physical units."""
    tau, s = land.model.tau, turns.s
    well = jax.vmap(lambda s: land.well(land.high_well(s), s))(s)
    height = jax.vmap(land.potential)(turns.q, s) - jax.vmap(land.potential)(well, s)
    missing = jnp.asarray([jnp.nan], turns.q.dtype)

    def known(values: Values) -> Values:
        return nan_unless(turns.exists, values)

    def before(values: Values) -> Values:
        return jnp.concatenate([missing, values])

    rate, time = known(2 / (tau * turns.q**2)), known(tau * turns.time)
    lost = known(turns.heat)
    cycle_loss = lost[1::2] + lost[2::2]
    return PredictedSpikes(
        time=time[::2],
        peak=rate[::2],
        trough_time=jnp.where(jnp.isnan(rate[::2]), jnp.nan, before(time[1::2])),
        trough=jnp.where(jnp.isnan(rate[::2]), jnp.nan, before(rate[1::2])),
        slow={name: known(each)[::2] for name, each in s.items()},
        loss_fraction=before(cycle_loss / height[:-2:2]),
        error=known(2 * turns.change / turns.q)[::2],
    )


@jitted
def _peak(model: MPR, y: State, current: Scalar) -> PredictedSpikes:
    land = Moving(model, current)
    s = {name: getattr(y, name) for name in model.slow_names}
    q, speed = _position(model, y), _speed(model, y)
    slowly = jnp.abs(speed) < 1e-3 * q
    turn = choose(slowly, _rise(land, q, s), first_peak(land, q, speed, s))
    one = jax.tree.map(lambda each: each[None], turn)
    found = _spikes_of(land, one)
    return eqx.tree_at(lambda each: (each.trough,), found, (nan_unless(slowly, y.r)[None],))


@jitted
def _spikes(model: MPR, y: State, current: Scalar, count: int) -> PredictedSpikes:
    land = Moving(model, current)
    q, zero = _position(model, y), jnp.zeros_like(y.r)
    s = {name: getattr(y, name) for name in model.slow_names}
    first = Turn(q, s, zero, zero, zero, jnp.isfinite(q))
    return _spikes_of(land, follow_turns(land, first, count, CAREFUL))


@jitted
def _cycle(model: MPR, current: Scalar, most: int) -> BurstCycle:
    land, tau = Moving(model, current), model.tau

    def shortest(r: Values) -> Values:
        return jnp.min(jnp.concatenate([term.time_constants(r) for term in model.slow_terms])) / tau

    fast = shortest(jnp.zeros_like(tau))
    start = first_onset(land, _resting_guess(land), fast)
    found = burst_map(land, start, fast, most)
    spikes = _spikes_of(land, found.turns)
    exists = start.exists & found.next_onset.exists & found.turns.exists[0]
    s = choose(exists, found.onset.s, model.slow_rest())
    well = land.well(land.high_well(s), s)
    _, omega = land.oscillation(well, s)

    def known(value: Values) -> Values:
        return nan_unless(exists, value)

    count = jnp.where(exists, spikes.count, 0)
    last = spikes.time[jnp.maximum(count - 1, 0)]
    return BurstCycle(
        period=known(tau * found.next_onset.time),
        duration=known(last - spikes.time[0]),
        n_spikes=count,
        spikes=jax.tree.map(known, spikes),
        onset={name: known(value) for name, value in found.onset.s.items()},
        r_onset=cusp_rate(model),
        r_min=known(2 / (tau * found.next_onset.deepest**2)),
        shift=known(found.shift),
        slowness=shortest(2 / (tau * well**2)) * omega / (2 * jnp.pi),
        result=RESULTS.where(exists, RESULTS.successful, RESULTS.no_burst),  # pyright: ignore[reportArgumentType]
    )


def _resting_guess(land: Moving) -> Slow:
    """Slow variables at the equilibrium of highest rate of the whole system: close to where a burst ends."""
    model = land.model
    grid = jnp.asarray(np.geomspace(0.05, 20.0, 256), model.eta.dtype)  # q

    def net(q: Values) -> Values:
        return land.force(q, model.slow_steady(2 / (model.tau * q**2)))

    values = net(grid)  # with derivatives: two passes of the map leave 1e-4 of the guess's own
    turns = (values[:-1] > 0) & (values[1:] <= 0)  # stable with frozen slow variables or not: the force falls through zero
    at = jnp.argmax(turns)
    share = values[at] / (values[at] - values[at + 1])
    q = grid[at] + share * (grid[at + 1] - grid[at])
    return model.slow_steady(2 / (model.tau * q**2))
