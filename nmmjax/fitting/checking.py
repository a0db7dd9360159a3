"""`check_gradient`: derivatives of a loss against differences, number by number, with reasons if they fail."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._nan import nan_is_absent
from .._parameter import dtype_of, with_dtype
from .._results import Shown
from .._types import Values
from ..models.base import AbstractModel, as_model
from ..numerics.compiling import jitted
from .modes import REFUSALS
from .parametrization import Parametrization, parametrize
from .target import AbstractTarget, TargetSum, as_target

_LARGEST_STEP, _FACTOR, _COUNT, _COLUMNS = 0.03, 4.0, 10, 4  # steps in units of a number's size, and orders extrapolated
_BATCH = 16  # losses evaluated at once
_LAST = 3  # steps, the smallest, over which a slope that differences converge to holds
_FLAT = 1e-10  # share of itself by which a loss changes, below which it hardly depends on a number
_RUGGED = 30.0  # how often the slope exceeds the change that the largest step makes, beyond which it says little


@dataclasses.dataclass(frozen=True, repr=False)
class GradientCheck(Shown):
    """Derivatives of a loss by autodiff and by differences. Arrays have one entry per number of `labels`.

    - `loss`: at the model; `forward`, `reverse` (n,): derivatives by either mode, None if the mode doesn't go through
    - `difference` (n,): by differences, extrapolated to step 0; `error` (n,): their estimated error; `step` (n,): the step
      with which they were best, in the numbers' own units
    - `notes`: what else is to be said, in sentences
    - `status`: of every number "fine", "flat", "exploding", "NaN" or "disagrees"; `reasons`: why, "" if it is fine
    """

    labels: tuple[str, ...]
    loss: float
    forward: np.ndarray | None
    reverse: np.ndarray | None
    difference: np.ndarray
    error: np.ndarray
    step: np.ndarray
    status: tuple[str, ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every number is fine."""
        return all(each == "fine" for each in self.status)

    @property
    def gradient(self) -> np.ndarray:
        """∂loss/∂number by autodiff: forward mode, reverse if that doesn't go through, NaN if neither does."""
        return _chosen(self.forward, self.reverse, len(self.labels))

    @property
    def relative_error(self) -> np.ndarray:
        """|autodiff − difference| over the larger of both; 0 if both vanish."""
        larger = np.maximum(np.abs(self.gradient), np.abs(self.difference))
        return np.abs(self.gradient - self.difference) / np.where(larger > 0, larger, 1.0)

    def __repr__(self) -> str:
        width = max(6, *(len(name) for name in self.labels))
        counts = {each: self.status.count(each) for each in dict.fromkeys(self.status)}
        head = ", ".join(f"{count} {each}" for each, count in counts.items())
        lines = [f"GradientCheck: loss {self.loss:.6g}; {head}"]
        lines.append(f"  {'':{width}}  {'autodiff':>12}  {'difference':>12}  {'rel. error':>10}  status")
        rows = zip(self.labels, self.gradient, self.difference, self.relative_error, self.status, self.reasons, strict=True)
        for name, slope, difference, error, status, reason in rows:
            text = f"{status}: {reason}" if reason else status
            lines.append(f"  {name:{width}}  {slope:12.5g}  {difference:12.5g}  {error:10.1e}  {text}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


@nan_is_absent
def check_gradient(
    loss: Any,
    model: AbstractModel,
    *,
    free: Any,
    bounds: Mapping[str, Any] | None = None,
    unknowns: Any = None,
    rtol: float | None = None,
    refine: int = 1,
) -> GradientCheck:
    """Compare a loss's derivatives by autodiff with differences, and say what is wrong if they differ.

        ∂loss/∂x  against  (loss(x + h) − loss(x − h))/2h, extrapolated from ten steps h = 3 % … 1e-7 of x's size to h = 0

    Differences are one-sided if x is at a bound.

    - `loss`: a function loss(model), or a target such as `TrajectoryTarget(...)`, or a weighted sum of targets
    - `model`: where to differentiate; `free`, `bounds`: names of parameters, and their bounds, as `fit` takes them
    - `unknowns`: of the target's, such as an initial state, (k,); None for its own start values. They are checked as well
    - `rtol`: the relative difference that counts as agreement; None for 1e-6 in double precision, 1e-2 in single
    - `refine`: multiplies the solver's steps, for targets that have one

    Returns a `GradientCheck`, which tells of every number whether it is fine, flat (the loss doesn't depend on it),
    exploding (its derivative is much larger than any change of the loss, as after long or chaotic runs), NaN, or disagrees.
    Costs 20 losses per number. Raises `ValueError` for names that don't exist and a loss that isn't one number. Use it
    before a fit that doesn't move. Source of the extrapolation: Ridders, Adv. Eng. Softw. 4:75 (1982).
    """
    model = as_model(model)
    target = with_dtype(as_target(loss), dtype_of(model))
    target.check(model)
    parameters = parametrize(model, free, bounds)
    x = parameters.read(model)
    rtol = (1e-6 if x.dtype == jnp.float64 else 1e-2) if rtol is None else rtol
    require("rtol", rtol, "be a number > 0", rtol > 0)
    refine = as_count("refine", refine)
    names = target.unknown_names(model)
    own = target.unknowns(model) if unknowns is None else jnp.asarray(unknowns, x.dtype)
    require("unknowns", own, f"have one number for each of {names}", own.shape == (len(names),))
    p = parameters.size
    start = jnp.concatenate([x, own.astype(x.dtype)])

    def value(point: Values) -> Values:
        return target.loss(parameters.apply(model, point[:p]), point[p:], refine)

    forward, forward_failed = _differentiate(value, start, jax.jacfwd)
    # Reverse mode stores what it passes: if it isn't meant, it isn't tried.
    reverse, reverse_failed = _differentiate(value, start, jax.grad) if target.reversible else (None, "the target has none")
    size = np.concatenate([np.maximum(np.abs(np.asarray(x)), np.asarray(parameters.scale)), np.maximum(np.abs(own), 1.0)])
    room = [_room(parameters, k, float(x[k])) for k in range(p)] + [(np.inf, np.inf)] * len(names)
    table = _Differences(value, np.asarray(start), size.astype(float), room)
    labels = (*parameters.labels, *names)
    autodiff = _chosen(forward, reverse, len(labels))
    judged = [_judge(table, k, autodiff, forward, reverse, rtol, _cut(target)) for k in range(len(labels))]
    if forward is None and reverse is None:
        judged = [("disagrees", "autodiff doesn't go through the loss")] * len(labels)
    notes = [
        f"{mode} mode doesn't go through: {why}"
        for mode, why in (("forward", forward_failed), ("reverse", reverse_failed))
        if why is not None
    ]
    return GradientCheck(
        labels,
        table.loss,
        forward,
        reverse,
        table.slope,
        table.error,
        table.step,
        tuple(status for status, _ in judged),
        tuple(reason for _, reason in judged),
        tuple(notes),
    )


def _differentiate(value: Any, start: Values, mode: Any) -> tuple[np.ndarray | None, str | None]:
    """The gradient by one mode, or why there is none."""
    try:
        return np.asarray(jitted(mode(value))(start), float), None
    except REFUSALS as error:
        # Whether the loss itself can be computed is not a question of modes: then its own error is the one to see.
        jax.eval_shape(value, start)
        text = str(error).strip().splitlines()
        return None, f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


def _chosen(forward: np.ndarray | None, reverse: np.ndarray | None, count: int) -> np.ndarray:
    either = reverse if forward is None else forward
    return np.full(count, np.nan) if either is None else either


def _room(parameters: Parametrization, index: int, x: float) -> tuple[float, float]:
    """How far one number may go down and up."""
    kind = parameters.kinds[index]
    down = x - float(parameters.lower[index]) if kind in ("above", "between") else np.inf
    up = float(parameters.upper[index]) - x if kind in ("below", "between") else np.inf
    return down, up


def _cut(target: AbstractTarget) -> bool:
    """Whether derivatives are cut short on purpose."""
    parts = [part for _, part in target.parts] if isinstance(target, TargetSum) else [target]
    return any(getattr(part, "truncate", None) is not None for part in parts)


class _Differences:
    """Losses around a point, and the slopes extrapolated from them."""

    def __init__(self, value: object, start: np.ndarray, size: np.ndarray, room: list[tuple[float, float]]):
        n = start.size
        powers = _FACTOR ** -np.arange(_COUNT)
        single = start.dtype == np.float32
        if single:  # half as many digits: steps that small are rounding
            powers = np.sqrt(powers)
        self.first = np.empty(n)
        self.sided = np.zeros(n, int)  # −1, 1: only below, above; 0: both
        for k, (down, up) in enumerate(room):
            largest = _LARGEST_STEP * size[k]
            if min(down, up) >= 1e-3 * largest:
                self.first[k] = min(largest, 0.9 * min(down, up))
            else:
                self.sided[k] = 1 if up >= down else -1
                self.first[k] = min(largest, 0.45 * max(down, up))
        h = self.first[:, None] * powers
        a = np.where(self.sided == 0, -1.0, self.sided)[:, None] * h
        b = np.where(self.sided == 0, 1.0, 2.0 * self.sided)[:, None] * h
        unit = np.eye(n)
        points = [start[None, None] + each[..., None] * unit[:, None] for each in (a, b)]
        points = np.concatenate([start[None], *(each.reshape(-1, n) for each in points)]).astype(start.dtype)
        losses = jax.jit(lambda points: jax.lax.map(value, points, batch_size=_BATCH))(jnp.asarray(points))
        losses = np.asarray(losses, float)
        self.loss = float(losses[0])
        self.at_a, self.at_b = losses[1:].reshape(2, n, _COUNT)
        # Steps as they were taken, after rounding.
        taken = points[1:].astype(float).reshape(2, n, _COUNT, n) - start.astype(float)
        self.a, self.b = (np.einsum("kjk->kj", each) for each in taken)
        self.h = np.abs(self.a)
        self.epsilon = float(np.finfo(start.dtype).eps)
        found = [self._extrapolate(k, powers[0] / powers[1]) for k in range(n)]
        self.slope, self.error, self.step, self.steady = (np.array(each) for each in zip(*found, strict=True))

    def _extrapolate(self, k: int, ratio: float) -> tuple[float, float, float, bool]:
        """(slope, its error, the step, whether it holds at the smallest steps) by Neville's scheme; the entry with the
        smallest error is taken."""
        a, b, fa, fb, f0 = self.a[k], self.b[k], self.at_a[k], self.at_b[k], self.loss
        with np.errstate(all="ignore"):
            parabola = ((fa - f0) * b / a - (fb - f0) * a / b) / (b - a)  # through three points
            raw = (fb - fa) / (b - a) if self.sided[k] == 0 else parabola
            rounding = 4 * self.epsilon * (np.abs(fa) + np.abs(fb) + abs(f0)) / np.abs(b - a)
        orders = 2 * np.arange(1, _COLUMNS + 1) if self.sided[k] == 0 else np.arange(2, _COLUMNS + 2)
        best = (np.nan, np.inf, np.nan)
        previous: list[float] = []
        for j in range(_COUNT):
            row = [float(raw[j])]
            for column, order in enumerate(orders[: len(previous)]):
                factor = ratio ** float(order)
                row.append((factor * row[column] - previous[column]) / (factor - 1))
                error = max(abs(row[-1] - row[-2]), abs(row[-1] - previous[column]), float(rounding[j]))
                if error < best[1]:
                    best = (row[-1], error, float(self.h[k, j]))
            previous = row
        # Entries of a table may agree by chance, or over steps too large to see what the loss does.
        off = np.abs(raw[-_LAST:] - best[0])
        steady = bool(np.all(off <= 10 * (rounding[-_LAST:] + best[1]) + 1e-2 * abs(best[0])))
        return *best, steady

    def variation(self, k: int, step: int = 0) -> float:
        """Change of the loss over a step, by default the largest one."""
        return float(np.nanmax(np.abs(np.array([self.at_a[k, step], self.at_b[k, step]]) - self.loss), initial=0.0))

    @property
    def noise(self) -> float:
        """Rounding of the loss."""
        return 4 * self.epsilon * abs(self.loss)


def _judge(
    table: _Differences,
    k: int,
    autodiff: np.ndarray,
    forward: np.ndarray | None,
    reverse: np.ndarray | None,
    rtol: float,
    cut: bool,
) -> tuple[str, str]:
    """(status, reason) of one number."""
    slope, difference, error = float(autodiff[k]), float(table.slope[k]), float(table.error[k])
    h = float(table.h[k, 0])
    around = np.concatenate([table.at_a[k], table.at_b[k]])
    if not np.isfinite(table.loss):
        return "NaN", f"the loss is {table.loss:g} there"
    if np.isinf(slope):
        return (
            "exploding",
            "the derivative is infinite: √ or a power at 0, or a run so long that it needs `truncate` or segments",
        )
    if np.isnan(slope):
        why = "0 · ∞ on the way, such as √0, log 0, or a branch of `where` that isn't taken"
        return "NaN", f"the derivative is NaN though the loss is finite: {why}"
    moved = max(table.variation(k, j) for j in range(_COUNT)) if np.any(np.isfinite(around)) else 0.0
    promised = abs(slope) * h
    if np.all(np.isfinite(around)) and max(moved, promised) <= _FLAT * abs(table.loss):
        # The loss's rounding, or less than its rounding would hide over the whole range of a fit.
        silent = max(moved, promised) <= 8 * table.noise
        share = f"hardly depends on it: {h:.2g} more changes it by {max(moved, promised) / abs(table.loss):.1g} of itself"
        return "flat", f"the loss {'does not depend on it' if silent else share}"
    if slope == 0 and moved == 0:
        return "flat", "the loss does not depend on it"
    if forward is not None and reverse is not None:
        larger = max(abs(float(forward[k])), abs(float(reverse[k])))
        apart = abs(float(forward[k]) - float(reverse[k]))
        # Both modes round, relative to the terms that cancel in them, of which the loss's change is a measure.
        if np.isfinite(reverse[k]) and apart > rtol * larger + 1e3 * table.epsilon * (moved / h):
            return "disagrees", f"forward mode gives {forward[k]:.6g}, reverse mode {reverse[k]:.6g}"
        if not np.isfinite(reverse[k]):
            return "NaN", f"reverse mode gives {reverse[k]:g}, though forward mode is finite"
    agrees = np.isfinite(difference) and abs(slope - difference) <= max(rtol * max(abs(slope), abs(difference)), 3 * error)
    small = error <= 1e-2 * max(abs(slope), abs(difference)) or error * h <= 1e-6 * max(moved, table.noise)
    converged = np.isfinite(difference) and small and bool(table.steady[k])
    rugged = promised > _RUGGED * max(table.variation(k), table.noise)
    if rugged and (agrees or not converged):
        most = f"the slope promises {promised:.2g} where the loss changes by {table.variation(k):.2g}"
        return "exploding", f"{most}: derivatives grow with the length of a chaotic run; use `truncate` or segments"
    if not np.all(np.isfinite(around)):
        near = table.h[k][~(np.isfinite(table.at_a[k]) & np.isfinite(table.at_b[k]))].min()
        where = f"the loss is NaN or infinite {near:.2g} away"
        return ("fine", f"but {where}") if agrees and converged else ("NaN", where)
    if agrees and converged:
        return "fine", ""
    if cut and converged:
        return "disagrees", "`truncate` cuts derivatives short, so that they aren't those of the loss"
    if not converged:
        return "disagrees", "differences don't converge: the loss jumps there or is noisy"
    if slope == 0:
        return "disagrees", "autodiff gives 0 though the loss changes: `stop_gradient`, rounding or integers on the way"
    return (
        "disagrees",
        "the derivative is wrong, though differences converge: look at rules of your own (`custom_jvp`)",
    )
