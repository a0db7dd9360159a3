"""Fits to recorded firing rates and voltages.

The model runs on a grid of all recorded times and jumps of its input, each interval in equal steps of the integrator that
sweeps use, with n and 2n steps, extrapolated. If spikes follow each other, the loss of a whole run has a valley for every
spike that fits; so fits begin with short segments, which start from the data, then find their own starts, and end with the
whole run (if it is missed, by way of longer segments).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, as_samples, require
from .._types import Values, Whole
from ..ensemble.network_splitting import network_map, network_stretch
from ..ensemble.runge_kutta import RKStretch
from ..ensemble.splitting import offers_splitting, splitting_map, splitting_stretch
from ..ensemble.synapse_splitting import synapse_stretch
from ..mechanics.channels import Problem
from ..models.base import AbstractModel
from ..models.state import State, StateLike
from ..models.stimulus import AbstractStimulus, check_range
from ..solvers.clock import clock_of
from .samples import (
    deviations_of,
    kinds_of_intervals,
    observation,
    sample_times,
    segment_length,
    smooth,
    steps_per_interval,
    time_grid,
)
from .target import AbstractTarget
from .units import unit_mistake

_NOISE_MODELS = ("gaussian", "lognormal", "student")
_STUDENT = 4.0  # degrees of freedom of the robust noise model
_FEWEST = 4  # segments in a run that is cut into segments, at least
_WIDEST = 8  # nodes of a network up to which runs are cut: every segment has the state of all nodes as unknowns
_PAUSE = 10.0  # median steps beyond which a step is a pause
_LONGER = 4  # from one stage of a detour to the next


class TrajectoryTarget(AbstractTarget):
    """A recorded run: the model's variables at `ts` are to be the recorded ones.

        residuals = (r(tᵢ) − rᵢ)/σ_r,  (v(tᵢ) − vᵢ)/σ_v, …

    - `ts`: times of the samples, strictly increasing, equally spaced or not
    - `r`, `v`: recorded rate and voltage, (times,), or (times, nodes) of a network; one of them may be missing. NaN where
      there is no sample; `mask` (True where a sample counts) leaves out more
    - `columns`: recordings of other variables of the model, each by its name, such as `s=` or `A=`
    - `y0`: the state at `ts[0]`, or None to fit it too (then the first sample is compared as well)
    - `stimulus`: the input during the recording
    - `noise`: standard deviation of the samples, a number, or a mapping of the recorded variables to numbers or arrays like
      the data; None if unknown: then each counts by its own variation, and the noise is estimated from the best fit
    - `noise_model`: "gaussian"; "lognormal" for relative errors of r (residuals of ln r); "student" for outliers (4 degrees
      of freedom)
    - `segments`: whether to fit short segments first, which reaches the best fit from almost anywhere; False for the whole
      run from the beginning. `segment`: intervals in a segment, or None for about two spikes
    - `truncate`: derivatives forget the state after so many intervals, for chaotic or very long runs; None for exact ones
    - `substeps`: solver steps per interval of the grid, or None to choose by the fastest recorded rate; `fit` refines them
      until the result no longer changes

    Recordings add up, each with an initial state of its own: `TrajectoryTarget(...) + TrajectoryTarget(...)`; a recording
    with pauses, in which nobody knows what the model did, is such a sum (`TrajectoryTarget.with_pauses`).

    Raises `ValueError` for data that don't match in shape, times that don't increase, a recording without samples.
    Use it for recordings of r, v or any variable of a model, or runs of other simulators.
    """

    ts: Any
    grid: Values  # counted from the first time
    kinds: Any  # of every interval of the grid: intervals of a kind have one length and one input
    examples: Any  # an interval of every kind
    data: tuple[Any, ...]  # per observed variable, on the grid, 0 if absent
    weights: tuple[Any, ...]  # 1/σ on the grid, 0 without data
    starts: Any  # a smooth version of the data on the grid, and its slope, for starts of segments
    y0: Any
    stimulus: Any
    moved: Any  # the stimulus with time counted from the first
    observed: tuple[str, ...] = eqx.field(static=True)
    noise_model: str = eqx.field(static=True)
    known: bool = eqx.field(static=True)
    segments: bool = eqx.field(static=True)
    segment: int = eqx.field(static=True)
    truncate: int | None = eqx.field(static=True)
    substeps: int = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    missing: int = eqx.field(static=True)

    def __init__(
        self,
        ts: Any,
        r: Any = None,
        v: Any = None,
        *,
        y0: StateLike | None = None,
        stimulus: AbstractStimulus | None = None,
        noise: Any = None,
        mask: Any = None,
        noise_model: str = "gaussian",
        segments: bool = True,
        segment: int | None = None,
        truncate: int | None = None,
        substeps: int | None = None,
        **columns: Any,
    ):
        times = sample_times(ts)
        known = stimulus is None or isinstance(stimulus, AbstractStimulus)
        require("stimulus", stimulus, "be None or a stimulus such as `Pulse(...)`", known)
        check_range(stimulus, times[0], times[-1], "ts")
        require("noise_model", noise_model, f"be one of {_NOISE_MODELS}", noise_model in _NOISE_MODELS)
        given = {name: observation(name, value) for name, value in {"r": r, "v": v, **columns}.items()}
        given = {name: value for name, value in given.items() if value is not None}
        require("r", r, "be given, or `v`, or another variable of the model", given)
        shape = next(iter(given.values())).shape
        for name, value in given.items():
            require(name, value, f"have one sample for each of the {times.size} times `ts`", value.shape[0] == times.size)
            require(name, value, f"have the shape of the other recording, {shape}", value.shape == shape)
            require(name, value, "be finite, or NaN where a sample is missing", not np.any(np.isinf(value)))
        shown = np.ones(shape, bool) if mask is None else np.asarray(mask)
        fitting = shown.dtype == bool and shown.shape in (shape, shape[:1])
        require("mask", mask, f"be None or an array of booleans of the shape {shape}", fitting)
        shown = np.broadcast_to(shown.reshape(shown.shape + (1,) * (len(shape) - shown.ndim)), shape)
        present = {name: shown & np.isfinite(value) for name, value in given.items()}
        if noise_model == "lognormal" and "r" in given:
            present["r"] &= given["r"] > 0
        self.samples = int(sum(each.sum() for each in present.values()))
        self.missing = sum(each.size for each in present.values()) - self.samples
        require("mask", self.samples, "leave at least one sample", self.samples > 0)

        def count_or_none(name: str, value, least: int) -> int | None:
            return None if value is None else as_count(name, value, least, f"be None or an integer ≥ {least}")

        segment, truncate = count_or_none("segment", segment, 2), count_or_none("truncate", truncate, 1)
        substeps = count_or_none("substeps", substeps, 1)
        deviations = deviations_of(noise, given, present, noise_model)

        dtype = as_array(0.0).dtype
        clock = clock_of(times, dtype)
        moved = stimulus if stimulus is None or clock.start is None else stimulus.since(clock.start)
        self.ts, times = clock.ts, times - times[0]
        grid = time_grid(times, moved)
        at = np.searchsorted(grid, times)

        def on_grid(values: np.ndarray) -> Any:
            spread = np.zeros((grid.size, *values.shape[1:]))
            spread[at] = values
            return jnp.asarray(spread, dtype)

        self.grid = jnp.asarray(grid, dtype)
        self.kinds, self.examples = (jnp.asarray(each) for each in kinds_of_intervals(grid, moved))
        self.observed, self.noise_model, self.known = tuple(given), noise_model, noise is not None
        self.data = tuple(on_grid(np.where(present[name], given[name], 0.0)) for name in given)
        self.weights = tuple(on_grid(np.where(present[name], 1 / deviations[name], 0.0)) for name in given)
        self.starts = {name: smooth(times, given[name], present[name], grid, noise is None, dtype) for name in given}
        if "r" in given:
            positive = given["r"][present["r"] & (given["r"] > 0)]
            least = float(np.quantile(positive, 0.01)) / 2 if positive.size else 0.1
            self.starts["r"] = (jnp.maximum(self.starts["r"][0], least), self.starts["r"][1])
        self.y0 = None if y0 is None else {name: as_array(value) for name, value in _variables(y0).items()}
        self.stimulus, self.moved = stimulus, moved
        self.segments, self.truncate = segments, truncate
        self.segment = segment_length(given, present, grid) if segment is None else segment
        self.substeps = steps_per_interval(given, present, grid) if substeps is None else substeps

    @staticmethod
    def with_pauses(ts: Any, r: Any = None, v: Any = None, *, pauses: Any = None, **options: Any) -> AbstractTarget:
        """One recording with pauses as a sum of targets, one for each stretch, which begins in a state of its own.

        - `ts`, `r`, `v` and `options`: as of `TrajectoryTarget`; arrays with an entry per time are cut as the times are
        - `pauses`: times within the pauses, at each of which the recording is cut; None to cut where the time to the next
          sample is more than ten times the median

        Without a known `noise` each stretch counts by its own variation. Raises `ValueError` for a stretch of fewer than two
        samples, and for `y0`, which only the first stretch could have.
        """
        times = sample_times(ts)
        require(
            "y0", options.get("y0"), "be None with pauses: every stretch begins in a state of its own", "y0" not in options
        )
        if pauses is None:
            steps = np.diff(times)
            cuts = np.flatnonzero(steps > _PAUSE * np.median(steps)) + 1
        else:
            given = np.sort(np.ravel(np.asarray(as_samples(pauses), float)))
            inside = bool(np.all((given > times[0]) & (given < times[-1])))
            require("pauses", given, f"lie between {times[0]:g} and {times[-1]:g}", inside)
            cuts = np.unique(np.searchsorted(times, given))
        ends = [0, *cuts.tolist(), times.size]
        lengths = np.diff(ends)
        require("pauses", lengths, "leave at least 2 samples in every stretch", bool(np.all(lengths >= 2)))

        def part(value, own: slice) -> Any:
            if isinstance(value, dict):
                return {name: part(each, own) for name, each in value.items()}
            array = as_samples(value)
            return array[own] if np.ndim(array) and len(array) == times.size else value

        targets = []
        for first, last in pairwise(ends):
            own = slice(first, last)
            given = {name: part(each, own) for name, each in options.items()}
            targets.append(TrajectoryTarget(times[own], part(r, own), part(v, own), **given))
        return targets[0] if len(targets) == 1 else sum(targets[1:], start=targets[0])

    @property
    def nodes(self) -> tuple[int, ...]:
        """() or (n,)."""
        return self.data[0].shape[1:]

    @property
    def noise_known(self) -> bool:
        return self.known

    @property
    def refinable(self) -> bool:
        return True

    def check(self, model: AbstractModel) -> None:
        for name in self.observed:
            require(
                name, name, f"be one of the variables {', '.join(model.variables)} of the model", name in model.variables
            )
        nodes = model.shape
        fits = self.nodes == nodes
        wanted = f"have one column per node, (times, {nodes[0]})" if nodes else "have the shape (times,) for one population"
        require(self.observed[0], self.data[0], wanted, fits)
        if self.y0 is not None:
            model.state(self.y0)

    def check_units(self, shortest: float, longest: float) -> None:
        shown = {
            name: np.where(np.asarray(weights) > 0, np.asarray(data), np.nan)
            for name, data, weights in zip(self.observed, self.data, self.weights, strict=True)
        }
        shown = {name: values for name, values in shown.items() if np.any(np.isfinite(values))}
        column, mistake = unit_mistake(np.asarray(self.ts), shown.get("r"), shown.get("v"), shortest, longest, True)
        rule = "be in the units of the model's τ (rates in 1/ms, not Hz, with τ and times in ms; v dimensionless)"
        if column:
            raise ValueError(f"Argument `{'ts' if column == 't' else column}` must {rule}, but got data in which {mistake}.")

    def first(self, model: AbstractModel) -> State:
        """A state of `model` from which the run may start: the given one, or by the data."""
        return model.state(self.y0) if self.y0 is not None else self.guess(model, 0)

    def guess(self, model: Any, index: Any) -> State:
        """The state of `model` at point number `index` of the grid as the data suggest it. An unrecorded voltage of a
        population follows from the equation of r, and an unrecorded rate is R = τ r = 0.3; other unrecorded variables
        are at rest, if they declare one, else 0, or 0.3 if positive.
        """
        recorded = self._recorded(model, index)
        if "riccati" not in model.offers:
            zero = jnp.zeros(self.nodes, self.grid.dtype)
            unknown = {
                name: zero + (0.3 if each.positive else 0.0) for name, each in model.variables.items() if each.rest is None
            }
            return model.state(unknown | recorded)
        tau = jnp.broadcast_to(jnp.asarray(model.time_constant, self.grid.dtype), self.nodes)
        r, slope = [each[index] for each in self.starts["r"]] if "r" in self.starts else [0.3 / tau, jnp.zeros_like(tau)]
        if "v" in self.starts:
            v = self.starts["v"][0][index]
        else:  # dr/dt is linear in v
            still = model.state(recorded | {"r": r, "v": jnp.zeros_like(r)})
            v = (slope - model.vector_field(self.grid[0], still, jnp.zeros_like(self.grid[0])).r) * tau / (2 * r)
        return model.state(recorded | {"r": r, "v": v})

    def _recorded(self, model: AbstractModel, index: object) -> dict[str, Values]:
        """The smoothed data at a point of the grid; those of positive variables above 0."""
        least = {
            name: jnp.maximum(1e-3 * jnp.max(self.starts[name][0]), 1e-6) for name in self.starts if name in model.positive
        }
        values = {name: each[0][index] for name, each in self.starts.items()}
        return values | {name: jnp.maximum(values[name], low) for name, low in least.items()}

    def unknown_names(self, model: AbstractModel) -> tuple[str, ...]:
        if self.y0 is not None:
            return ()
        nodes = [f"[{k}]" for k in range(self.nodes[0])] if self.nodes else [""]
        log = lambda name: f"ln {name}" if name in model.positive else name
        return tuple(f"{log(name)}(0){node}" for name in self.guess(model, 0).names for node in nodes)

    def unknowns(self, model: AbstractModel) -> Values:
        return jnp.zeros(0, self.grid.dtype) if self.y0 is not None else pack(model, self.guess(model, 0))

    def count(self, model: AbstractModel) -> int:
        return self.samples

    def residuals(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        start = self.first(model)
        start = start if unknowns is None or self.y0 is not None else unpack(model, unknowns, start)
        ys = self.run(model, start, 0, self.grid.shape[0] - 1, refine)
        ys = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, ys)
        skip = 0 if self.y0 is None else 1  # a given first state says nothing about the model
        pieces = [
            self.compare(name, getattr(ys, name), data, weight)[skip:].reshape(-1)
            for name, data, weight in zip(self.observed, self.data, self.weights, strict=True)
        ]
        return jnp.concatenate(pieces)

    def compare(self, name: str, predicted: Values, data: Values, weight: Values) -> Values:
        """Residuals of the recorded variable `name`: `predicted` against `data`, with `weight` 1/σ, all of one shape."""
        if name == "r" and self.noise_model == "lognormal":
            shown = weight > 0
            return weight * (jnp.log(predicted) - jnp.log(jnp.where(shown, data, jnp.ones_like(data))))
        x = weight * (predicted - data)
        if self.noise_model == "student":  # ½ residual² is −ln of Student's density
            small = jnp.abs(x) < 1e-6
            inner = jnp.where(small, jnp.ones_like(x), x)
            x = jnp.where(small, x * float(np.sqrt((_STUDENT + 1) / _STUDENT)), _robust(inner))
        return x

    def run(
        self, model: AbstractModel, start: State, first: Any, length: int, refine: Whole = 1, maps: object = None
    ) -> State:
        """States of `model` at `length` points of the grid after point `first`, from `start` there, extrapolated from n and
        2n steps per interval, n multiplied by `refine`. `maps`, if known, are those of `maps(model, refine)`.
        """
        stretch, _, order = _integrator(model)
        base = self.substeps * refine
        maps = self.maps(model, refine) if maps is None else maps
        grid = jax.lax.dynamic_slice_in_dim(self.grid, first, length + 1)
        kinds = jax.lax.dynamic_slice_in_dim(self.kinds, first, length)

        def advance(y: State, a: Values, b: Values, shared, steps) -> State:
            number = jnp.asarray(steps, a.dtype)
            one = stretch(Problem(model, y, self.moved), a, b, number, None, shared)
            body = lambda i, z: one.advance(jnp.asarray(i, a.dtype), z)
            return one.leave(number, jax.lax.fori_loop(0, steps, body, one.enter(y)))

        def both(coarse: State, fine: State, a: Values, b: Values, kind) -> tuple[State, State]:
            pair = jax.tree.map(lambda each: each[:, kind], maps)
            if isinstance(base, int):  # known counts, as reverse mode needs them
                shared = [jax.tree.map(lambda each, k=k: each[k], pair) for k in range(2)]
                return again(coarse, a, b, shared[0], base), again(fine, a, b, shared[1], 2 * base)
            # One loop for both, so that it is compiled once.
            together = jax.tree.map(lambda x, y: jnp.stack([x, y]), coarse, fine)
            steps = jnp.stack([base, 2 * base])
            ends = jax.lax.map(lambda each: advance(each[0], a, b, each[1], each[2]), (together, pair, steps))
            return tuple(jax.tree.map(lambda x, k=k: x[k], ends) for k in range(2))

        again = jax.checkpoint(advance, static_argnums=(4,))

        def interval(carry, now) -> Any:
            coarse, fine = carry
            a, b, kind, index = now
            if self.truncate is not None:
                cut = index % self.truncate == 0
                forget = lambda y: jax.tree.map(lambda x: jnp.where(cut, jax.lax.stop_gradient(x), x), y)
                coarse, fine = forget(coarse), forget(fine)
            coarse, fine = both(coarse, fine, a, b, kind)
            return (coarse, fine), (coarse, fine)

        _, (coarse, fine) = jax.lax.scan(interval, (start, start), (grid[:-1], grid[1:], kinds, jnp.arange(length)))
        ratio = 2.0**order
        limit = lambda fine, coarse: (ratio * fine - coarse) / (ratio - 1)
        # Of positive variables in their logarithm, so that they stay positive.
        rates = {
            name: jnp.exp(limit(jnp.log(getattr(fine, name)), jnp.log(getattr(coarse, name)))) for name in model.positive
        }
        return jax.tree.map(limit, fine, coarse).replace(**rates)

    def maps(self, model: AbstractModel, refine: Whole = 1) -> Any:
        """The integrator's coefficients of `model` for every kind of interval, with n and with 2n steps, n multiplied by
        `refine`: few kinds, many intervals.
        """
        _, shared, _ = _integrator(model)
        if shared is None:
            return None
        y = State(r=jnp.ones(self.nodes, self.grid.dtype), v=jnp.zeros(self.nodes, self.grid.dtype))
        steps = jnp.asarray(self.substeps * refine, self.grid.dtype) * jnp.asarray([1.0, 2.0], self.grid.dtype)
        each = lambda k, n: shared(Problem(model, y, self.moved), self.grid[k], self.grid[k + 1], n)
        return jax.vmap(lambda n: jax.vmap(lambda k: each(k, n))(self.examples))(steps)

    def stages(self, model: AbstractModel) -> tuple[AbstractTarget, ...]:
        narrow = int(np.prod(self.nodes)) <= _WIDEST
        cut = self.segments and narrow and not model.slow_names and self.grid.shape[0] - 1 >= _FEWEST * self.segment
        return (SegmentTarget(self, self.segment), self) if cut else (self,)

    def detour(self, model: AbstractModel) -> tuple[AbstractTarget, ...]:
        first, intervals = self.stages(model)[0], self.grid.shape[0] - 1
        found: list[AbstractTarget] = []
        while isinstance(first, SegmentTarget) and _LONGER * first.length <= intervals // 2:
            first = SegmentTarget(self, _LONGER * first.length, first.begins)
            found.append(first)
        return tuple(found)


class SegmentTarget(AbstractTarget):
    """The same data cut into segments of `length` intervals, each of which starts from a state of its own: as the data
    suggest it, and then fitted as well. A stage of a `TrajectoryTarget`."""

    whole: TrajectoryTarget
    length: int = eqx.field(static=True)
    begins: Any  # points of the grid at which segments start

    def __init__(self, whole: TrajectoryTarget, length: int, begins: Any = None):
        self.whole, self.length = whole, length
        last = whole.grid.shape[0] - 1 - length
        if begins is not None:  # some of those of shorter segments
            possible = np.asarray(begins)[np.asarray(begins) <= last]
            self.begins = jnp.asarray(np.unique(np.append(possible[::_LONGER], possible[-1])))
            return
        begins = np.append(np.arange(0, last, length), last)
        if "r" in whole.starts and whole.nodes == ():
            # Noise hides low rates, on which the energy depends most: every segment starts where the rate is highest.
            rate = np.asarray(whole.starts["r"][0])
            peaks = [begin + np.argmax(rate[begin : min(begin + length, last + 1)]) for begin in begins]
            begins = np.unique(np.append(0, peaks))
        self.begins = jnp.asarray(begins)

    @property
    def number(self) -> int:
        """The number of segments."""
        return self.begins.shape[0]

    @property
    def noise_known(self) -> bool:
        return self.whole.known

    @property
    def blockwise(self) -> bool:
        return True

    def count(self, model: AbstractModel) -> int:
        return self.whole.samples

    def unknown_names(self, model: AbstractModel) -> tuple[str, ...]:
        width = len(self.whole.guess(model, 0).names) * int(np.prod(self.whole.nodes))
        return tuple(f"start {k}, {j}" for k in range(self.number) for j in range(width))

    def unknowns(self, model: AbstractModel) -> Values:
        return jax.vmap(lambda k: pack(model, self.whole.guess(model, k)))(self.begins).reshape(-1)

    def following(self, model: AbstractModel, unknowns: Values, next_one: AbstractTarget) -> Values | None:
        if not isinstance(next_one, (SegmentTarget, TrajectoryTarget)):
            return None
        if isinstance(next_one, SegmentTarget):
            place = jnp.searchsorted(self.begins, next_one.begins)
            return unknowns.reshape(self.number, -1)[place].reshape(-1)
        return None if self.whole.y0 is not None else unknowns.reshape(self.number, -1)[0]

    def segment(self, model: AbstractModel, begin: Any, start: State, refine: Whole, maps: object) -> Values:
        """Residuals of one segment."""
        whole, length = self.whole, self.length
        cut = lambda array, first, size: jax.lax.dynamic_slice_in_dim(array, first, size)
        ys = whole.run(model, start, begin, length, refine, maps)
        ys = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, ys)
        pieces = []
        for name, data, weight in zip(whole.observed, whole.data, whole.weights, strict=True):
            data, weight = (cut(each, begin, length + 1) for each in (data, weight))
            pieces.append(whole.compare(name, getattr(ys, name), data, weight).reshape(-1))
        return jnp.concatenate(pieces)

    def residuals(self, model: AbstractModel, unknowns: Values | None = None, refine: Whole = 1) -> Values:
        begins, maps = self.begins, self.whole.maps(model, refine)
        known = self.unknowns(model) if unknowns is None else unknowns
        run = lambda begin, x: self.segment(model, begin, unpack(model, x, self.whole.guess(model, 0)), refine, maps)
        return jax.vmap(run)(begins, known.reshape(self.number, -1)).reshape(-1)

    def blocks(self, make: Callable[[Values], Any], z: Values, unknowns: Values, refine: Whole = 1) -> tuple[Values, ...]:
        """(residuals, ∂/∂z, ∂/∂ own unknowns) of every segment: (K, m), (K, m, p), (K, m, q). `make(z)` is the model."""
        template = self.whole.guess(make(z), 0)
        width = unknowns.shape[0] // self.number

        def together(p: Values, own: Values) -> Values:
            model = make(p)
            maps = self.whole.maps(model, refine)
            run = lambda begin, x: self.segment(model, begin, unpack(model, x, template), refine, maps)
            return jax.vmap(run)(self.begins, own)

        own = unknowns.reshape(self.number, width)
        size = z.shape[0]

        # One direction per free number, and one per entry of the unknowns, for all segments at once.
        def along(direction: Values) -> tuple[Values, Values]:
            return jax.jvp(together, (z, own), (direction[:size], jnp.broadcast_to(direction[size:], own.shape)))

        residuals, slope = jax.vmap(along, out_axes=(None, -1))(jnp.eye(size + width, dtype=z.dtype))
        return residuals, slope[..., :size], slope[..., size:]


def pack(model: AbstractModel, state: State) -> Values:
    """A state as one vector, positive variables by their logarithm."""
    values = [jnp.log(value) if name in model.positive else value for name, value in state.variables.items()]
    return jnp.concatenate([jnp.ravel(each) for each in values])


def unpack(model: AbstractModel, vector: Values, like: State) -> State:
    """Its inverse, for a state like `like`."""
    pieces = zip(like.names, jnp.split(vector, len(like.names)), like.values, strict=True)
    values = {name: piece.reshape(shape.shape) for name, piece, shape in pieces}
    return State(**values | {name: jnp.exp(values[name]) for name in model.positive})


def _integrator(model: AbstractModel) -> tuple[Any, Any, int]:
    """Integrator of a model: its stretches of steps, the coefficients that these share, or None, and its order."""
    if offers_splitting(model) and model.slow_names:
        return synapse_stretch, splitting_map, 4
    if offers_splitting(model):
        return (network_stretch, network_map, 4) if model.size is not None else (splitting_stretch, splitting_map, 4)
    inner = RKStretch(diffrax.Tsit5())
    return lambda problem, start, stop, steps, first, shared: inner(problem, start, stop, steps, first), None, 5


def _robust(x: Values) -> Values:
    return jnp.sign(x) * jnp.sqrt((_STUDENT + 1) * jnp.log1p(x**2 / _STUDENT))


def _variables(y0: object) -> Any:
    variables = y0.variables if isinstance(y0, State) else y0
    require("y0", y0, "be a state or a mapping of variables to numbers", hasattr(variables, "keys"))
    return variables
