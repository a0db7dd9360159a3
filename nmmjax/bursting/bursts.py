"""Bursts of a run: spikes grouped by the intervals between them, as labelled data."""

import dataclasses
from typing import Any

import jax
import numpy as np

from .._checks import as_float
from .._labelled import xarray
from .._nan import nan_is_absent
from .._types import Real
from ..equilibria.brackets import cusp_rate
from ..mechanics.spike import PROMINENCE, as_prominence
from ..models.mpr import MPR
from ..solvers.trajectory import Trajectory
from .spikes import Course, Crossings, Spikes, check_run, crossings, energy_at, follow, spikes_of

_FACTOR = 2.0  # the least ratio of a silence between bursts to the longest interval within one
_SLACK = 1e-3  # of the rise to a burst's last spike, by which the fall after it may be smaller


@dataclasses.dataclass(frozen=True)
class Bursts:
    """Bursts of a run, made by `find_bursts`: NumPy arrays by name, of shape `(burst,)` or `(burst, spike)`; `gap` is NaN if
    no silence stands out. `columns` gives values, unit and meaning."""

    columns: dict[str, tuple[Any, str, str]]
    pattern: str
    gap: float
    prominence: float
    cusp_rate: float


@nan_is_absent
def find_bursts(run: Trajectory, *, gap: Real | None = None, prominence: Real = PROMINENCE) -> Any:
    """Bursts of a run as an `xarray.Dataset` with dimensions `burst` and `spike`, both numbered from 1.

    - `run`: a single `Trajectory` of an `MPR` population
    - `gap`: spikes closer together than this time make a burst. By default it is the geometric middle of the widest gap
      among the sorted intervals between spikes and the silences before the first and after the last, if that is at least
      a factor of 2; if none stands out, all spikes form one group
    - `prominence`: of spikes, the exact maxima of `find_spikes`; a rise of ln r, 1e-3 by default

    Variables of `(burst, spike)`, NaN after a burst's last spike: `spike_time`, `interval` since the spike before,
    `peak`, `energy_peak`, `prominence`; `trough_time`, `trough`, `energy_trough` of the trough before it; `<name>_peak`
    and `<name>_trough` of every slow variable.

    Variables of `(burst,)`: `n_spikes`; `start` and `stop`, its first and last spike; `duration`; `frequency`, intervals
    per duration; `quiescence`, from its last spike to the next burst's first; `period`, from first spike to first spike
    (NaN for the last burst); `complete`; and the onset, the upward crossing of the cusp rate r_c = (3/4)^¼ √Δ/(π τ),
    which lies between the folds of the population with frozen slow variables for every J and η: `onset_time`, `onset_v`,
    `onset_energy`, `onset_<name>`, NaN if it wasn't seen or the population has other terms.

    `complete` is False if the run may have cut the burst, that is if less than `gap` of silence was seen before its
    first spike or after its last one; and if the silence is no quiescence, as in ringing down: r does not fall as deep
    as the trough before the last spike. It is False whenever the run doesn't burst. The attribute `pattern` tells:

    - "bursting": a complete burst of two spikes or more, or two groups of as many with a silence between them
    - "tonic": spiking goes on to the end (three spikes or more), at like intervals or after a silence
    - "transient": spikes from the run's start on that end in silence, or spikes that ring down to a steady rate
    - "single spikes": no more than isolated spikes
    - "rest": none; dimensions of size 0

    Returns such a dataset, never an error, also for a series without bursts, cut or too short. Raises `ValueError` for
    anything but a single run of an `MPR` population, gaps ≤ 0 and prominences < 0. The attributes are the model's as in
    `to_xarray`.
    """
    check_run(run, "find its bursts")
    threshold = None if gap is None else as_float("gap", gap, "be None or a number > 0", lambda value: value > 0)
    return _dataset(run, _bursts(follow(run), threshold, as_prominence(prominence)))


def _dataset(run: Trajectory, bursts: Bursts) -> Any:
    """Bursts of a run as an `xarray.Dataset` over `burst` and `spike`, with units, the run's attributes and the pattern."""
    dims = ("burst", "spike")
    data = {
        name: (dims[: values.ndim], values, {"units": unit, "long_name": meaning})
        for name, (values, unit, meaning) in bursts.columns.items()
    }
    shape = bursts.columns["spike_time"][0].shape
    coordinates = {
        name: (name, np.arange(1, size + 1), {"units": "1", "long_name": f"{name}, counted from 1"})
        for name, size in zip(dims, shape, strict=True)
    }
    found = {name: getattr(bursts, name) for name in ("pattern", "gap", "prominence", "cusp_rate")}
    return xarray().Dataset(data, coords=coordinates, attrs={**run.attributes, **found})


def _bursts(course: Course, gap: float | None, prominence: float) -> Bursts:
    found = spikes_of(course, prominence)
    declared = course.model.variables
    units, meanings = (
        {name: each.unit for name, each in declared.items()},
        {name: each.doc for name, each in declared.items()},
    )
    spikes = found
    time = spikes.time
    begin, end = course.span if time.size else (0.0, 0.0)
    edges = np.array([time[0] - begin, end - time[-1]]) if time.size else np.zeros(2)
    gap = _natural_gap(np.diff(time), edges) if gap is None else gap
    first = np.flatnonzero(np.append(np.inf, np.diff(time))[: time.size] >= (np.inf if np.isnan(gap) else gap))
    last = np.append(first[1:], time.size)[: first.size] - 1
    counts = last - first + 1
    # A group ends in quiescence if the rate falls as deep as its last trough, and not if it rings down.
    rest = course.y.r[course.t > time[-1]] if time.size else np.zeros(0)
    lowest = np.append(spikes.trough[first[1:]], rest.min(initial=np.inf))[: counts.size]
    falls = (counts < 2) | (np.log(spikes.peak[last] / lowest) >= (1 - _SLACK) * spikes.prominence[last])
    quiet = np.concatenate([edges[:1], time[first[1:]] - time[last[:-1]], edges[1:]])[: counts.size + 1] >= gap
    before, after = quiet[:-1], quiet[1:] & falls
    pattern = _pattern(time, counts, before & after, after, bool(quiet[-1]))

    starts, stops = time[first], time[last]
    following = np.append(starts[1:], np.nan)[: starts.size]
    frequency = np.divide(counts - 1, stops - starts, out=np.full_like(starts, np.nan), where=counts > 1)
    per_burst = {
        "n_spikes": (counts, "1", "number of spikes"),
        "start": (starts, "time", "time of the first spike"),
        "stop": (stops, "time", "time of the last spike"),
        "duration": (stops - starts, "time", "from the first spike to the last"),
        "frequency": (frequency, "1/time", "spikes per time within the burst"),
        "quiescence": (following - stops, "time", "from the last spike to the next burst"),
        "period": (following - starts, "time", "from the first spike to that of the next burst"),
        "complete": (before & after & (pattern == "bursting"), "1", "seen from beginning to end"),
    }
    cusp = _onset_rate(course.model)
    onsets = _onsets(course, time, first, cusp)
    onset_columns = {
        "onset_time": (onsets.t, "time", "time of the onset, the upward crossing of the cusp rate"),
        "onset_energy": (energy_at(course, onsets.t, onsets.y), "1", "total energy at the onset"),
        **{
            f"onset_{name}": (getattr(onsets.y, name), units[name], f"{meanings[name]} at the onset")
            for name in ("v", *course.model.slow_names)
        },
    }

    def table(values: np.ndarray) -> np.ndarray:
        full = np.full((counts.size, int(counts.max(initial=0))), np.nan, time.dtype)
        full[np.arange(full.shape[1])[None, :] < counts[:, None]] = values
        return full

    per_spike = {name: (table(values), unit, about) for name, (values, unit, about) in _per_spike(spikes, first).items()}
    for name in course.model.slow_names:
        for where, states in (("peak", spikes.state), ("trough", spikes.trough_state)):
            per_spike[f"{name}_{where}"] = (table(getattr(states, name)), units[name], f"{meanings[name]} at the {where}")
    columns = per_spike | per_burst | onset_columns
    for name in ("spike_time", "trough_time", "start", "stop", "onset_time"):
        columns[name] = (columns[name][0] + course.begin, *columns[name][1:])
    return Bursts(columns, pattern, gap, prominence, cusp)


def _per_spike(spikes: Spikes, first: np.ndarray) -> dict[str, tuple[Any, str, str]]:
    interval = np.append(np.nan, np.diff(spikes.time))[: spikes.time.size]
    interval[first] = np.nan
    return {
        "spike_time": (spikes.time, "time", "time of the spike's peak"),
        "interval": (interval, "time", "time since the spike before, in the same burst"),
        "peak": (spikes.peak, "1/time", "firing rate at the peak"),
        "prominence": (spikes.prominence, "1", "ln of the peak over the trough before it"),
        "energy_peak": (spikes.energy, "1", "total energy at the peak"),
        "trough_time": (spikes.trough_time, "time", "time of the trough before the spike"),
        "trough": (spikes.trough, "1/time", "firing rate at the trough before the spike"),
        "energy_trough": (spikes.trough_energy, "1", "total energy at the trough before the spike"),
    }


def _onset_rate(model: MPR) -> float:
    """The cusp rate; NaN with gap junctions or conductances, and for Δ = 0."""
    plain = model.riccati().plain and float(model.Delta) > 0
    return float(cusp_rate(model)) if plain else float("nan")


def _onsets(course: Course, time: np.ndarray, first: np.ndarray, cusp: float) -> Crossings:
    """The last upward crossing of the cusp rate before every burst's first spike, and after the spike before it, or NaN."""
    found = crossings(course, cusp if np.isfinite(cusp) else 1.0)
    up = np.flatnonzero(found.up & np.isfinite(cusp))
    before = np.searchsorted(found.t[up], time[first], side="right") - 1
    previous = np.append(-np.inf, time)[first]
    seen = before >= 0
    seen[seen] &= found.t[up[before[seen]]] > previous[seen]

    def at(leaf: np.ndarray) -> np.ndarray:
        values = np.full(first.shape, np.nan, leaf.dtype)
        values[seen] = leaf[up[before[seen]]]
        return values

    return Crossings(at(found.t), jax.tree.map(at, found.y), seen)


def _natural_gap(intervals: np.ndarray, edges: np.ndarray) -> float:
    """The middle of the widest gap among the sorted logarithms of intervals, at least a factor of 2 wide, else NaN.

    A silence at an end of the run counts as an interval of at least that length, if it is longer than all others; unless
    those alone show silences that recur or that have two spikes on either side.
    """
    if not intervals.size:
        return float("nan")
    middle, ratio = _widest(intervals)
    long = intervals > middle
    clear = ratio >= _FACTOR and (long.sum() > 1 or np.any(long[1:-1]))
    if not clear and edges.max() > intervals.max():
        with_edge, wider = _widest(np.append(intervals, edges.max()))
        middle, ratio = (with_edge, wider) if wider > ratio else (middle, ratio)
    return middle if ratio >= _FACTOR else float("nan")


def _widest(intervals: np.ndarray) -> tuple[float, float]:
    """The geometric middle of the largest ratio between successive sizes, and that ratio; (NaN, 1) for a single one."""
    sizes = np.sort(intervals)
    ratios = sizes[1:] / sizes[:-1]
    if not ratios.size:
        return float("nan"), 1.0
    k = int(np.argmax(ratios))
    return float(np.sqrt(sizes[k] * sizes[k + 1])), float(ratios[k])


def _pattern(time: np.ndarray, counts: np.ndarray, whole: np.ndarray, ended: np.ndarray, quiet_end: bool) -> str:
    """Name of the pattern of groups of so many spikes, given which were seen whole and which ended; see `find_bursts`."""
    several = counts >= 2
    if counts.size == 0:
        return "rest"
    if not np.any(several):
        intervals = np.diff(time)
        like = intervals.size >= 2 and intervals.max() < _FACTOR * intervals.min()
        return "tonic" if like else "single spikes"
    again = np.flatnonzero(several)[-1]
    if np.any(whole & several) or np.any((several & ended)[:again]):
        return "bursting"
    if not quiet_end and counts[-1] >= 3:
        return "tonic"
    return "transient" if quiet_end or counts.size > 1 else "single spikes"
