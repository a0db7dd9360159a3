"""Profile likelihoods: how far one parameter can go while all others are fitted again."""

import dataclasses
import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._parameter import parameter_table
from .._results import Shown
from .._types import Values, Whole
from ..models.base import AbstractModel
from ..numerics.linear import scaled_inverse
from .descent import LevenbergMarquardt, Normal, Problem, Structure
from .uncertainty import curvature, degrees_of_freedom, estimated_variance, quantile

_ITERATIONS = 60  # of Levenberg–Marquardt at one point of a profile
_PER_SIDE, _SECANTS = 40, 4  # points of a profile on each side, and steps that place the end of its interval
_STEPS = 4  # points from the best fit to the end of the interval, about


@functools.lru_cache(maxsize=8)
def _program(task: LevenbergMarquardt) -> Any:
    """Descents side by side, compiled once for fits that are alike."""
    return jax.jit(jax.vmap(task.lane, in_axes=(None, 0, None)))


@dataclasses.dataclass(frozen=True, repr=False)
class Profile(Shown):
    """The profile likelihood of one parameter: the smallest loss at each of its values, all else fitted again.

    - `name`: the parameter's; `level`: of the interval, such as 0.95; `closed`: whether its (lower, upper) end was found
    - `values` (n,): the parameter, rising; `loss` (n,): the smallest loss there; `others` (n, width): everything in the
      fit's coordinates there, NaN if the refit failed
    - `best`, `best_loss`: the fit's own; `threshold`: by how much the loss may rise within the interval
    - `label`: meaning, symbol and unit of the parameter, for axes
    - `interval`: (lower, upper), where 2 Δloss is the χ² quantile with one degree of freedom (times F/χ² and the estimated
      variance if the noise is unknown); an end that wasn't found is the bound, or infinite
    """

    name: str
    level: float
    values: np.ndarray
    loss: np.ndarray
    others: np.ndarray
    best: float
    best_loss: float
    threshold: float
    interval: tuple[float, float]
    closed: tuple[bool, bool]
    label: str = ""

    @property
    def rise(self) -> np.ndarray:
        """Δloss at every value."""
        return self.loss - self.best_loss

    @property
    def improved(self) -> bool:
        """Whether a refit found a lower loss than the fit, clearly: then the fit wasn't at the minimum."""
        return bool(np.nanmin(self.rise, initial=0.0) < -1e-2 * self.threshold)

    def __repr__(self) -> str:
        low, high = self.interval
        ends = [side for side, closed in zip(("below", "above"), self.closed, strict=True) if not closed]
        note = f"; not bounded from {' or '.join(ends)} by the data" if ends else ""
        if self.improved:
            better = self.values[np.nanargmin(self.loss)]
            note += f"; a lower loss was found at {self.name} = {better:.6g}, so fit again from there"
        return (
            f"Profile({self.name} = {self.best:.6g}, {100 * self.level:g} % interval [{low:.6g}, {high:.6g}], "
            f"{self.values.size} points{note})"
        )


class _Held(eqx.Module):
    """A problem of which one number stays as it is."""

    problem: Problem
    index: Any

    @property
    def parameters(self) -> Any:
        return self.problem.parameters

    @property
    def target(self) -> Any:
        return self.problem.target

    def normal(self, z: Values, refine: Whole = 1) -> Normal:
        normal = self.problem.normal(z, refine)
        held = jnp.arange(normal.b.shape[0]) == self.index
        either = held[:, None] | held[None]
        return normal._replace(
            b=jnp.where(held, 0, normal.b),
            A=jnp.where(either, jnp.eye(held.size, dtype=normal.A.dtype), normal.A),
            mixed=jnp.where(held[None, :, None], 0, normal.mixed),
        )


class _Walk:
    """Refits at given values of one number, on both sides of the best fit at once by one compiled program."""

    def __init__(self, fitted: Any, index: int):
        self.fitted, self.index = fitted, index
        self.held = _Held(fitted.problem, jnp.asarray(index))
        base, structure = Structure.of(self.held)
        task = LevenbergMarquardt(structure, _ITERATIONS)
        self.base, self.run = base, _program(task)
        self.z = np.asarray(fitted.z)
        A = curvature(fitted.problem, fitted.z, fitted.refine)
        rest = np.arange(self.z.size) != index
        # How the others follow: the first step goes along the valley's floor.
        self.along = np.zeros(self.z.size)
        self.along[index] = 1.0
        self.along[rest] = -scaled_inverse(A[np.ix_(rest, rest)], 1e-12) @ A[rest, index]
        self.stiffness = float(A[index, index] + A[index, rest] @ self.along[rest])

    def x(self, z: np.ndarray) -> np.ndarray:
        """The profiled parameter, of points (n, width)."""
        p = self.fitted.parameters.size
        return np.asarray(jax.vmap(self.fitted.parameters.values)(jnp.asarray(z[:, :p])), float)[:, self.index]

    def coordinate(self, x: float) -> float:
        """z of the profiled parameter."""
        full = jnp.asarray(self.fitted.values[self.fitted.best_index], self.z.dtype).at[self.index].set(x)
        return float(self.fitted.parameters.inverse(full)[self.index])

    def refit(self, guesses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(points, losses) of the refits from guesses (2, width); losses are NaN if it fails."""
        state = LevenbergMarquardt.begin(np.asarray(guesses, self.z.dtype), self.fitted.problem)
        state["xtol"][:], state["ftol"][:] = 1e-7, 1e-9
        found = self.run(self.base, state, jnp.asarray(self.fitted.refine, jnp.int32))
        loss = np.asarray(found["loss"], float)
        return np.asarray(found["z"]), np.where(np.isfinite(loss), loss, np.nan)


def profile_likelihood(fitted: Any, name: str, values: Any = None, level: float = 0.95) -> Profile:
    """The smallest loss at each value of one parameter, all other parameters and the target's unknowns being fitted again.

        Δloss(x) = min over the others of loss(x, others) − best loss;  the interval is where 2 Δloss ≤ χ²₁(level)

    If the noise is estimated, F with (1, m − p) degrees of freedom times its variance takes the place of χ².

    - `name`: one of `fitted.labels`; `values`: at which to look, in the parameter's unit, or None to walk outwards from the
      best fit until the interval's ends are found; `level`: of the interval

    Every point starts from its neighbour, outwards from the best fit. It costs about fifteen short fits by one start each,
    and asks for no quadratic loss, as the covariance's intervals do: use it if errors are large or a parameter is near a
    bound. Raises `ValueError` for other names, values outside the bounds, a target without residuals. Source: Raue et al.,
    Bioinformatics 25:1923 (2009).
    """
    require("name", name, f"be one of the free numbers {fitted.labels}", name in fitted.labels)
    require("level", level, "lie between 0 and 1", 0 < level < 1)
    require("fitted", fitted, "have a target with residuals, not a plain loss", fitted.target.has_residuals)
    index = fitted.labels.index(name)
    low, high = (float(each[index]) for each in fitted.parameters.edges)
    if values is not None:
        values = np.sort(np.asarray(values, float).reshape(-1))
        require("values", values, "be at least one finite number", values.size > 0 and bool(np.all(np.isfinite(values))))
        inside = bool(np.all((values >= low) & (values <= high)))
        require("values", values, f"lie within the bounds [{low:g}, {high:g}] of `{name}`", inside)
    walk = _Walk(fitted, index)
    best, best_loss = float(fitted.values[fitted.best_index, index]), float(fitted.loss[fitted.best_index])
    width = quantile((1 + level) / 2, None if fitted.target.noise_known else degrees_of_freedom(fitted))
    threshold = width**2 * estimated_variance(fitted) / 2
    sides = _given(walk, values, best) if values is not None else _outwards(walk, threshold, best_loss)
    z, loss = (np.concatenate([side[k] for side in sides]) for k in range(2))
    z = np.concatenate([walk.z[None], z])
    x, loss = np.array(walk.x(z)), np.concatenate([[best_loss], loss])
    x[0] = best
    z = np.where(np.isfinite(loss)[:, None], z, np.nan)
    ends, closed = _ends(x, loss - best_loss, best, threshold, (low, high))
    order = np.argsort(x, kind="stable")
    return Profile(
        name, level, x[order], loss[order], z[order], best, best_loss, threshold, ends, closed, _label(fitted.model, name)
    )


def _label(model: AbstractModel, name: str) -> str:
    """Meaning, symbol and unit of a free number, as axes say them; its name where it is not declared."""
    known = parameter_table(model).get(name)
    if known is None:
        return name
    declared = known[0]
    return f"{declared.doc.split(';')[0]} {declared.symbol} ({'dimensionless' if declared.unit == '1' else declared.unit})"


class _Trail:
    """Points passed on one side, the best fit first; the next guess is on the line through the last two."""

    def __init__(self, walk: _Walk):
        self.walk, self.z, self.loss = walk, [walk.z], []

    def guess(self, coordinate: float) -> np.ndarray:
        last, k = self.z[-1], self.walk.index
        along = self.walk.along
        if len(self.z) > 1 and abs(last[k] - self.z[-2][k]) > 1e-12:
            along = (last - self.z[-2]) / (last[k] - self.z[-2][k])
        step = coordinate - last[k]
        change = along * step
        rest = np.max(np.abs(np.delete(change, k)), initial=0.0)
        change = change * min(1.0, 1.0 / rest) if rest > 1 else change
        new = last + change
        new[k] = coordinate
        return new

    def add(self, z: np.ndarray, loss: float) -> None:
        self.loss.append((z, loss))
        if math.isfinite(loss):
            self.z.append(z)

    @property
    def found(self) -> tuple[np.ndarray, np.ndarray]:
        width = self.walk.z.size
        points = np.array([z for z, _ in self.loss]).reshape(-1, width)
        return points, np.array([loss for _, loss in self.loss], float)


def _given(walk: _Walk, values: np.ndarray, best: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Refits at given values, outwards from the best fit."""
    plans = [values[values < best][::-1], values[values >= best]]
    trails = [_Trail(walk), _Trail(walk)]
    for k in range(max(plan.size for plan in plans)):
        guesses = [
            trail.guess(walk.coordinate(plan[k])) if k < plan.size else trail.z[-1]
            for trail, plan in zip(trails, plans, strict=True)
        ]
        z, loss = walk.refit(np.array(guesses))
        for side, (trail, plan) in enumerate(zip(trails, plans, strict=True)):
            if k < plan.size:
                trail.add(z[side], float(loss[side]))
    return [trail.found for trail in trails]


class _Side:
    """The walk on one side: steps that raise the root of 2 Δloss by a quarter of its threshold, then secants to its end."""

    def __init__(self, walk: _Walk, sign: int, threshold: float, best_loss: float):
        self.trail, self.sign, self.best_loss, self.index = _Trail(walk), sign, best_loss, walk.index
        self.limit = math.sqrt(2 * threshold) if math.isfinite(threshold) else math.inf
        self.origin = float(walk.z[walk.index])
        error = 1 / math.sqrt(walk.stiffness) if walk.stiffness > 0 else math.inf
        self.step = float(np.clip(error * self.limit / _STEPS, 1e-9, 0.5))
        self.inside, self.outside = (self.origin, 0.0), None
        self.left, self.secants, self.tried = _PER_SIDE, _SECANTS, 0.0

    @property
    def going(self) -> bool:
        return self.left > 0 and (self.outside is None or self.secants > 0)

    def next(self) -> np.ndarray:
        if self.outside is None:
            self.tried = self.inside[0] + self.sign * self.step
            return self.trail.guess(self.tried)
        (a, fa), (b, fb) = self.inside, self.outside
        share = (self.limit - fa) / (fb - fa) if math.isfinite(fb) else 0.5
        self.tried = a + (b - a) * float(np.clip(share, 0.05, 0.95))
        return self._nearest(self.tried)

    def _nearest(self, coordinate: float) -> np.ndarray:
        """A guess between known points."""
        k = self.index
        known = sorted((z for z in self.trail.z), key=lambda z: z[k])
        stacked = np.array(known)
        new = np.array([np.interp(coordinate, stacked[:, k], stacked[:, j]) for j in range(stacked.shape[1])])
        new[k] = coordinate
        return new

    def add(self, z: np.ndarray, loss: float) -> None:
        self.left -= 1
        self.trail.add(z, loss)
        root = math.sqrt(max(2 * (loss - self.best_loss), 0.0)) if math.isfinite(loss) else math.inf
        if self.outside is None:
            if root >= self.limit:
                self.outside = (self.tried, root)
                return
            rise = root - self.inside[1]
            wanted = self.limit / _STEPS
            grow = wanted / rise if rise > 0 and math.isfinite(wanted) else 2.0
            self.inside = (self.tried, root)
            self.step = float(np.clip(self.step * np.clip(grow, 0.5, 2.0), 1e-9, 2.0))
            if abs(self.tried) > 40:  # at a bound, to rounding, or as good as infinite
                self.left = 0
            return
        self.secants -= 1
        if abs(root - self.limit) <= 1e-5 * self.limit:
            self.secants = 0
        if root < self.limit:
            self.inside = (self.tried, root)
        else:
            self.outside = (self.tried, root)


def _outwards(walk: _Walk, threshold: float, best_loss: float) -> list[tuple[np.ndarray, np.ndarray]]:
    sides = [_Side(walk, sign, threshold, best_loss) for sign in (-1, 1)]
    while any(side.going for side in sides):
        busy = [side.going for side in sides]
        guesses = [side.next() if going else walk.z for side, going in zip(sides, busy, strict=True)]
        z, loss = walk.refit(np.array(guesses))
        for k, side in enumerate(sides):
            if busy[k]:
                side.add(z[k], float(loss[k]))
    return [side.trail.found for side in sides]


def _ends(
    x: np.ndarray, rise: np.ndarray, best: float, threshold: float, bounds: tuple[float, float]
) -> tuple[tuple[float, float], tuple[bool, bool]]:
    """Ends at which the rise crosses the threshold on either side, by the line between the points around it, in the root of
    the rise, which is nearly straight; the bound if it doesn't cross."""
    ends, closed = [], []
    for sign, bound in zip((-1, 1), bounds, strict=True):
        side = (np.sign(x - best) == sign) & np.isfinite(rise)
        order = np.argsort(sign * x[side])
        xs = np.concatenate([[best], x[side][order]])
        roots = np.sqrt(np.maximum(np.concatenate([[0.0], rise[side][order]]), 0))
        limit = math.sqrt(threshold)
        beyond = np.flatnonzero(roots >= limit)
        if not beyond.size or not math.isfinite(limit):
            ends.append(bound)
            closed.append(False)
            continue
        k = beyond[0]
        share = (limit - roots[k - 1]) / (roots[k] - roots[k - 1]) if roots[k] > roots[k - 1] else 0.0
        ends.append(float(xs[k - 1] + share * (xs[k] - xs[k - 1])))
        closed.append(True)
    return (ends[0], ends[1]), (closed[0], closed[1])
