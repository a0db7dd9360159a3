"""How long a recorded or simulated run stays in each of its states."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._nan import nan_is_absent
from .._parameter import as_plain_number
from .._results import Shown
from .._types import Values, float_dtype
from ..landscape.population import population_landscape
from ..models.base import AbstractModel
from ..solvers.trajectory import rates_of
from .survival import ExponentialFit, exponential_fit


class ResidenceTimes(eqx.Module, Shown):
    """Visits of a run to its states, m of them, in the order of time.

    - `begins`, `ends` (visits,): times; `states` (visits,): which state, for one population 0 low and 1 high, for a network
      the node that fires most
    - `names`: of the m states
    - `durations`: per state, the times of complete visits; the first and last of the run are cut off and not among them
    - `mean`, `standard_error`, `count` (m,): of those; `occupancy` (m,): share of the time in each state
    - `fits`: per state, the rate of leaving it with errors; it uses the cut visits too, as time in which nothing happened
    """

    begins: Values
    ends: Values
    states: Any
    fits: tuple[ExponentialFit, ...]
    names: tuple[str, ...] = eqx.field(static=True)

    @property
    def durations(self) -> tuple[np.ndarray, ...]:
        """Complete visits, per state."""
        inner = np.arange(self.states.size)
        inner = (inner > 0) & (inner < self.states.size - 1)
        lengths, states = np.asarray(self.ends - self.begins), np.asarray(self.states)
        return tuple(lengths[inner & (states == k)] for k in range(len(self.names)))

    @property
    def count(self) -> np.ndarray:
        """Complete visits of each state."""
        return np.array([each.size for each in self.durations])

    @property
    def mean(self) -> np.ndarray:
        """Mean duration of complete visits; NaN without any."""
        return np.array([each.mean() if each.size else np.nan for each in self.durations])

    @property
    def standard_error(self) -> np.ndarray:
        """Standard errors of the means; NaN below two visits."""
        return np.array([each.std(ddof=1) / np.sqrt(each.size) if each.size > 1 else np.nan for each in self.durations])

    @property
    def rate(self) -> np.ndarray:
        """Rate of leaving each state, per unit of time."""
        return np.array([float(each.rate) for each in self.fits])

    @property
    def switches(self) -> int:
        """How often the state changes."""
        return max(self.states.size - 1, 0)

    @property
    def occupancy(self) -> np.ndarray:
        """Share of the time in each state."""
        lengths, states = np.asarray(self.ends - self.begins), np.asarray(self.states)
        return np.array([lengths[states == k].sum() for k in range(len(self.names))]) / max(lengths.sum(), 1e-300)

    def __repr__(self) -> str:
        lines = [f"ResidenceTimes: {self.switches} switches"]
        for k, name in enumerate(self.names):
            lines.append(
                f"  {name:<7} {self.count[k]} visits of {self.mean[k]:.5g} ± {self.standard_error[k]:.2g}, "
                f"{100 * self.occupancy[k]:.3g} % of the time; {self.fits[k]!r}"
            )
        return "\n".join(lines)


@nan_is_absent
def residence_times(run: Any, low: Any = None, high: Any = None, *, ts: Any = None, ratio: Any = 2.0) -> ResidenceTimes:
    """How long `run` stays in each state, with hysteresis: noise about one threshold makes no visits.

    - `run`: a `Trajectory` (`simulate(..., noise=D, key=key)`), or rates (n,) or (n, nodes) together with times `ts`
    - one population: up when the rate reaches `high`, down when it reaches `low`; by default the rates of the two minima
      of the run's model
    - a network: the state is the node that fires most; another one takes over when its rate exceeds all others' by
      `ratio` ≥ 1

    Time before the first clear state is dropped. Sample often enough: what happens between two times is not seen. Returns
    `ResidenceTimes`. Raises `ValueError` for batches, fewer than two times, `low` ≥ `high`, models with one minimum without
    thresholds. Use it for rates from one long recording; `first_passage` gives them from many lanes, also if escapes are
    rare.
    """
    model: Any = getattr(run, "model", None)
    if model is not None:
        run.require_single("find its residence times")
        times, rates = np.asarray(run.ts, float), np.asarray(rates_of(run), float)
    else:
        require("ts", ts, "be given together with rates", ts is not None)
        times, rates = (np.asarray(as_array(each), float) for each in (ts, run))
    fits = times.ndim == 1 and times.size >= 2 and rates.ndim in (1, 2) and rates.shape[0] == times.size
    require("run", rates, "have at least 2 times and one row of rates for each", fits)
    require("run", rates, "be finite, without NaN", bool(np.all(np.isfinite(rates))))
    if rates.ndim == 2 and rates.shape[1] > 1:
        labels, names = _winners(rates, as_plain_number("ratio", ratio, "[1, inf)")), _nodes(rates.shape[1])
    else:
        bounds = _thresholds(model, low, high)
        labels, names = _levels(rates.reshape(-1), *bounds), ("low", "high")
    return _visits(times, labels, names)


def _nodes(n: int) -> tuple[str, ...]:
    return tuple(f"node {k}" for k in range(n))


def _thresholds(model: Any, low: object, high: object) -> tuple[float, float]:
    if low is None or high is None:
        rule = "be given if the run has no population with two minima to take it from"
        name = "low" if low is None else "high"
        known = isinstance(model, AbstractModel) and model.size is None and "riccati" in model.offers
        require(name, None, rule, known and not model.slow_names)
        population: Any = model
        minima = np.asarray(population_landscape(population).minima.r)
        require(name, None, rule, len(minima) == 2)
        low, high = (minima[0] if low is None else low), (minima[1] if high is None else high)
    below, above = as_plain_number("low", low), as_plain_number("high", high)
    require("low", below, f"be below `high`, {above:g}", below < above)
    return below, above


def _levels(rates: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.where(rates >= high, 1, np.where(rates <= low, 0, -1))


def _winners(rates: np.ndarray, ratio: float) -> np.ndarray:
    ordered = np.sort(rates, axis=1)
    return np.where(ordered[:, -1] >= ratio * ordered[:, -2], np.argmax(rates, axis=1), -1)


def _visits(times: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> ResidenceTimes:
    """Visits from labels per time, in which −1 means as before."""
    clear = np.flatnonzero(labels >= 0)
    require("run", labels, "reach at least one of its states", clear.size > 0)
    first = clear[0]
    last_clear = np.maximum.accumulate(np.where(labels >= 0, np.arange(labels.size), first))
    filled = labels[last_clear][first:]
    changes = np.flatnonzero(np.diff(filled)) + 1
    states = filled[np.concatenate([[0], changes])]
    moments = times[first:][changes]
    begins, ends = np.concatenate([times[first : first + 1], moments]), np.concatenate([moments, times[-1:]])
    complete = np.arange(states.size) < states.size - 1
    fits = tuple(exponential_fit((ends - begins)[states == k], complete[states == k]) for k in range(len(names)))
    number = lambda value: jnp.asarray(value, float_dtype())
    return ResidenceTimes(number(begins), number(ends), jnp.asarray(states), fits, names)
