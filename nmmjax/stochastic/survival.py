"""Rates from times of events, some of which had not happened when the observation ended."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaincinv

from .._checks import require
from .._nan import nan_is_absent
from .._results import Shown
from .._types import Scalar, Values, float_dtype


class ExponentialFit(eqx.Module, Shown):
    """The rate of events that come at random, from times with censoring: events/exposure, the maximum of likelihood.

    - `rate`, `standard_error` = rate/√events; `interval` (2,): exact, of 95 % (Garwood 1936), also for no events
    - `events`; `exposure`: the whole time at risk
    - `p_value`: of the rate being the same before and after the median event, two-sided; small if times are not
      exponential. NaN below 8 events, or if all are at one time
    """

    rate: Scalar
    standard_error: Scalar
    interval: Values
    events: int = eqx.field(static=True)
    exposure: Scalar
    p_value: Scalar

    def __repr__(self) -> str:
        low, high = (float(each) for each in self.interval)
        return (
            f"rate {float(self.rate):.5g} ± {float(self.standard_error):.2g}, 95 % [{low:.5g}, {high:.5g}], "
            f"{self.events} events in {float(self.exposure):.6g}, p = {float(self.p_value):.2g} for one constant rate"
        )


@nan_is_absent
def exponential_fit(times: Any, happened: Any, since: Any = 0.0) -> ExponentialFit:
    """The constant rate of what happened at `times` (n,), or was watched until then in vain if `happened` (n,) is False.

    Only what is later than `since` counts, so that a transient can be left out. Returns an `ExponentialFit`. Raises
    `ValueError` for shapes that differ and negative times.
    """
    t, seen, begin = np.asarray(times, float), np.asarray(happened, bool), float(since)
    require("happened", seen, f"have the shape of `times`, {t.shape}", seen.shape == t.shape and t.ndim == 1)
    require("times", t, "be ≥ 0, without NaN", bool(np.all(t >= 0)))
    late = t > begin
    events, exposure = int(np.sum(seen & late)), float(np.sum(t[late] - begin))
    rate = events / exposure if exposure > 0 else math.nan
    interval = np.array([gammaincinv(events, 0.025) if events else 0.0, gammaincinv(events + 1, 0.975)])
    number = lambda value: jnp.asarray(value, float_dtype())
    return ExponentialFit(
        rate=number(rate),
        standard_error=number(rate / math.sqrt(events) if events else math.inf),
        interval=number(interval / exposure if exposure > 0 else [math.nan, math.nan]),
        events=events,
        exposure=number(exposure),
        p_value=number(_constancy(t[late] - begin, seen[late])),
    )


@nan_is_absent
def kaplan_meier(times: Any, happened: Any) -> tuple[np.ndarray, np.ndarray]:
    """(t, S): the times of events, from 0, and the share not yet passed just after each, with censoring.

    Source: Kaplan & Meier, J. Am. Stat. Assoc. 53:457 (1958).
    """
    t, seen = np.asarray(times, float), np.asarray(happened, bool)
    order = np.lexsort([~seen, t])  # at equal times events come first
    t, seen = t[order], seen[order]
    at_risk = np.arange(t.size, 0, -1)
    share = np.cumprod(1 - seen / np.maximum(at_risk, 1))
    return np.concatenate([[0.0], t[seen]]), np.concatenate([[1.0], share[seen]])


def _constancy(t: np.ndarray, seen: np.ndarray) -> float:
    """Given all events, those before the median event are binomial with the share of the exposure: normal by its size."""
    if np.sum(seen) < 8:
        return math.nan
    middle = np.median(t[seen])
    early = int(np.sum(seen & (t <= middle)))
    late = int(np.sum(seen)) - early
    before = float(np.sum(np.minimum(t, middle)))
    after = float(np.sum(t)) - before
    if min(early, late) == 0 or min(before, after) <= 0:
        return math.nan
    z = (math.log(early / before) - math.log(late / after)) / math.sqrt(1 / early + 1 / late)
    return math.erfc(abs(z) / math.sqrt(2))
