"""A fit in words."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import gammaincc

from .target import TargetSum
from .uncertainty import degrees_of_freedom, estimated_variance, identifiability

_LISTED = 12  # numbers listed one by one
_UNLIKELY = 1e-3  # probability of so large a χ² below which the target counts as missed
_PART = 0.5  # of the data's own variation: residuals as large as that miss the target if the noise isn't known
_AT_BOUND = 1e-4  # share of the interval, or of the size, within which a parameter counts as being at its bound


def describe_fit(fitted: Any) -> str:
    """The result of a fit in words: starts, values with errors, noise, what isn't known, what went wrong."""
    lines = [*_starts(fitted), *_values(fitted), *_level(fitted), *_remarks(fitted), *_known(fitted)]
    missing = missing_samples(fitted.target)
    if missing:
        lines.append(f"{missing} missing or masked {_plural(missing, 'sample')} of the data didn't count.")
    return "\n".join(lines)


def missing_samples(target: Any) -> int:
    """Samples that a target or its parts leave out."""
    parts = [part for _, part in target.parts] if isinstance(target, TargetSum) else [target]
    return int(sum(getattr(part, "missing", 0) for part in parts))


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _starts(fitted: Any) -> list[str]:
    count = fitted.loss.size
    ends = [f"{int(np.sum(fitted.status == code))} {text}" for code, text in fitted.meanings.items()]
    ends = [each for each in ends if not each.startswith("0 ")]
    lines = []
    if fitted.interrupted:
        lines.append("The fit was interrupted; this is the best it had found by then.")
    lines.append(f"{count} {_plural(count, 'start')} in {fitted.seconds:.3g} s: {'; '.join(ends)}.")
    if np.any(np.isfinite(fitted.loss)):
        found = int(fitted.found_best.sum())
        extra = ""
        if count > 1 and found == 1:
            extra = "; no other agrees with it, so use more starts before you trust it"
        lines.append(f"{found} of {count} found the best fit{extra}.")
    return lines


def _values(fitted: Any) -> list[str]:
    if not np.any(np.isfinite(fitted.loss)):
        return ["No start has a finite loss: check the model's values, the data and `check_gradient`."]
    best = fitted.values[fitted.best_index]
    error, interval = fitted.standard_error, fitted.interval()
    width = max(len(name) for name in fitted.labels)
    lines = ["Best values, with standard errors and 95 % intervals:"]
    for k, name in enumerate(fitted.labels[:_LISTED]):
        deviation, edge = error[name], _edge(fitted, k)
        if edge:
            rest = f"at its {edge}, where ± errors mean little: `profile` says how far the data let it go"
        elif math.isnan(deviation):
            rest = "no error known"
        elif math.isinf(deviation):
            rest = "not determined by these data"
        else:
            low, high = interval[name]
            rest = f"± {deviation:.2g}   [{low:.6g}, {high:.6g}]"
        lines.append(f"  {name:{width}} = {best[k]:.8g}  {rest}")
    if len(fitted.labels) > _LISTED:
        lines.append(f"  … ({len(fitted.labels)} numbers in all)")
    names = fitted.target.unknown_names(fitted.model)
    if names:
        own = fitted.unknowns[fitted.best_index]
        shown = ", ".join(f"{name} = {x:.6g}" for name, x in list(zip(names, own, strict=True))[:6])
        more = "" if len(names) <= 6 else f", … ({len(names)} in all)"
        lines.append(f"  fitted beside them: {shown}{more}")
    return lines


def _edge(fitted: Any, k: int) -> str:
    """The bound at which a number sits, in words; empty if it doesn't."""
    x, (low, high) = float(fitted.values[fitted.best_index, k]), (float(each[k]) for each in fitted.parameters.edges)
    size = high - low if math.isfinite(high - low) else float(fitted.parameters.scale[k])
    for edge, name in ((low, "lower"), (high, "upper")):
        if abs(x - edge) <= _AT_BOUND * size:
            return f"{name} bound {edge:g}"
    return ""


def _level(fitted: Any) -> list[str]:
    """Loss against noise, and whether the target was reached."""
    if not np.any(np.isfinite(fitted.loss)):
        return []
    loss, free = float(fitted.loss[fitted.best_index]), degrees_of_freedom(fitted)
    target, count = fitted.target, fitted.residual_count
    best_ended = bool(fitted.converged[fitted.best_index])
    reached: bool | None = None
    if not target.has_residuals:
        lines = [f"Loss {loss:.6g}."]
    elif free <= 0:
        numbers = count - free
        reached = 2 * loss <= 1e-12 * max(count, 1)
        lines = [f"Loss {loss:.4g} of {count} residuals with {numbers} fitted numbers: nothing is left to judge noise by."]
    elif target.noise_known:
        share = 2 * loss / free
        odds = float(gammaincc(free / 2, loss))
        reached = odds >= _UNLIKELY
        word = "as the noise explains" if reached else "more than the noise explains"
        if 2 * loss < free - 5 * math.sqrt(2 * free):
            word = "less than the given noise would leave: it may be smaller than said"
        lines = [
            f"Loss {loss:.6g}: reduced χ² = {share:.4g} with {free} degrees of freedom, {word} (probability {odds:.2g})."
        ]
    else:
        spread = math.sqrt(estimated_variance(fitted))
        reached = spread <= _PART * target.variation
        lines = [f"Loss {loss:.4g}: the noise is estimated from it, {spread:.4g} in the unit of the residuals."]
    if reached is False or not best_ended:
        lines.append(_missed(fitted, loss, reached))
    elif reached:
        lines.append("The target was reached.")
    return lines


def _missed(fitted: Any, loss: float, reached: bool | None) -> str:
    slope = fitted.gradient
    best = fitted.values[fitted.best_index]
    shown = ", ".join(f"∂loss/∂{name} = {g:.3g}" for name, g in list(zip(fitted.labels, slope, strict=True))[:6])
    # What a step to where the gradient vanishes would gain, number by number; a bound holds the gradient up.
    held = [k for k in range(best.size) if _edge(fitted, k)]
    error = np.asarray(list(fitted.standard_error.values()))
    variance = estimated_variance(fitted) if fitted.target.has_residuals else 1.0
    with np.errstate(all="ignore"):
        gain = slope**2 * error**2 / variance / 2
    sizes = np.maximum(np.abs(best), np.asarray(fitted.parameters.scale, float))
    small = (gain <= 1e-6 * abs(loss)) | (np.abs(slope) * sizes <= 1e-4 * abs(loss))
    small[held] = True
    best_of_all = f"best loss {loss:.6g}, where {shown}"
    if reached is not False:
        return f"The best start hadn't settled: {best_of_all}."
    if not small.all():
        why = "the gradient isn't zero: more steps may come closer"
    elif held:
        why = f"{', '.join(fitted.labels[k] for k in held)} can't go beyond the bound: wider bounds may come closer"
    else:
        why = "the gradient is as good as zero: other starts, other free parameters or another model may come closer"
    return f"The target was not reached: {best_of_all}; {why}."


def _remarks(fitted: Any) -> list[str]:
    """What the target says of the best fit."""
    if not np.any(np.isfinite(fitted.loss)):
        return []
    unknowns = jnp.asarray(fitted.unknowns[fitted.best_index], fitted.parameters.scale.dtype)
    return list(fitted.target.remarks(fitted.best, unknowns))


def _known(fitted: Any) -> list[str]:
    """The sloppy direction and numbers that aren't determined."""
    if not np.any(np.isfinite(fitted.loss)) or not fitted.target.has_residuals:
        return []
    found = identifiability(fitted)
    lines = []
    if found.flat:
        lines.append(f"The data say nothing about {', '.join(found.flat)}: keep {_it(found.flat)} fixed, or give a prior.")
    unknown = [name for name in found.undetermined if name not in found.flat]
    if unknown:
        lines.append(f"Errors are larger than the values themselves: {', '.join(unknown)}.")
    if len(fitted.labels) > 1 and not found.flat:
        smallest = float(found.eigenvalues[-1])
        error = f"{1 / math.sqrt(smallest):.2g} of its size" if smallest > 0 else "unbounded"
        lines.append(f"Known least: {found.sloppy} (standard error {error}; condition number {found.condition_number:.3g}).")
    return lines


def _it(names: tuple[str, ...]) -> str:
    return "it" if len(names) == 1 else "them"
