"""Whether a recording can be in a model's units: times in the unit of τ, rates per that, v dimensionless."""

from typing import Any

import numpy as np

# Of r τ and |v|, beyond which units must be wrong; and of the step, in τ.
_LARGEST_RATE, _SMALLEST_RATE, _LARGEST_VOLTAGE = 100.0, 1e-4, 30.0
_LONGEST_STEP = 10.0


def unit_mistake(ts: np.ndarray, r: Any, v: Any, shortest: float, longest: float, certain: bool = False) -> tuple[str, str]:
    """(column, what is wrong) of a recording that no model with τ from `shortest` to `longest` can match in its units; empty
    if one can. Missing samples are NaN, a variable that wasn't recorded None. Short and silent ones aren't `certain`."""
    step, length = float(np.median(np.diff(ts))), float(ts[-1] - ts[0])
    tau = f"τ = {shortest:g}" if shortest == longest else f"τ from {shortest:g} to {longest:g}"
    if step > _LONGEST_STEP * longest:
        return "t", f"samples are {step:g} apart, longer than {_LONGEST_STEP:g} times the model's {tau}"
    if length < shortest and not certain:
        return "t", f"the recording lasts {length:g}, less than the model's {tau}"
    if r is not None:
        top = float(np.nanmax(r))
        if top * shortest > _LARGEST_RATE:
            return "r", f"r τ is up to {top * shortest:g}, beyond {_LARGEST_RATE:g} with the model's {tau}"
        if top * longest < _SMALLEST_RATE and not certain:
            return "r", f"r τ is at most {top * longest:g}, for the model's {tau} next to nothing"
    if v is not None:
        middle = float(np.nanmedian(np.abs(v)))
        if middle > _LARGEST_VOLTAGE:
            return "v", f"|v| is typically {middle:g}, beyond {_LARGEST_VOLTAGE:g}"
    return "", ""


def time_constants(model: Any, free: Any, bounds: Any) -> tuple[float, float]:
    """The shortest and the longest membrane time constant that the model can have in a fit of the `free` parameters."""
    name = "tau" if model.size is None else "node.tau"
    if name in free:
        low, high = (None, None) if bounds is None else bounds.get(name, (None, None))
        return 0.0 if low is None else float(low), float("inf") if high is None else float(high)
    if "potential" not in model.offers:
        return 0.0, float("inf")
    tau = np.asarray(model.time_constant)
    return float(tau.min()), float(tau.max())
