"""Explicit Runge–Kutta for any model, from diffrax's own tableaus, stages unrolled, one loop per block of lanes.

Steps equal those of `diffrax.diffeqsolve` to rounding (fixed steps), and the adaptive controller is diffrax's
`PIDController` with its defaults (integral control). Only the layout of the loop differs: the stages
are unrolled into one kernel over a block, every lane has its own time and step, and a block ends when its own
slowest lane does.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Values
from ..mechanics.channels import Problem, just_inside
from ..models.state import State
from .folding import AbstractMethod, Progress, Watch
from .gradient import CHECKPOINTS
from .point import Point
from .splitting import Stretch

_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0


def _combine(y: Any, h: Values, ks: list[Any], weights: object) -> Any:
    """y + h Σ w k, leaving out zero weights."""
    used = [(float(w), k) for w, k in zip(np.asarray(weights), ks, strict=False) if w != 0]
    total = jax.tree.map(lambda *each: sum(w * k for (w, _), k in zip(used, each, strict=True)), *(k for _, k in used))
    return jax.tree.map(lambda y, k: y + h * k, y, total)


def rk_step(
    solver: Any, problem: Any, t: Values, h: Values, y: Any, k0: Any, inside: Callable[[Values], Values] = lambda t: t
) -> tuple[Any, Any, Any]:
    """(state at t + h, error estimate, last stage's slope) from the state at t and its slope there.

    `inside` keeps times before the next jump of the input.
    """
    tableau = solver.tableau
    ks = [k0]
    at = y
    for row, c in zip(tableau.a_lower, tableau.c, strict=True):
        at = _combine(y, h, ks, row)
        ks.append(problem.flow(inside(t + float(c) * h), at))
    after = at if tableau.ssal else _combine(y, h, ks, tableau.b_sol)
    zero = jax.tree.map(jnp.zeros_like, y)
    return after, _combine(zero, h, ks, tableau.b_error), ks[-1]


@dataclasses.dataclass(frozen=True)
class RKStretch:
    """Equal steps of `solver`, for `Uniform`."""

    solver: Any

    def __call__(self, problem: Problem, start: Values, stop: Values, steps: Values, first: object) -> Stretch:
        h = (stop - start) / steps

        def inside(t: Values) -> Values:
            return just_inside(t, start, stop)

        def slope(t: Values, y) -> Any:
            return problem.flow(inside(t), y)

        def advance(i: Values, z) -> Any:
            y, k = z
            t = start + i * h
            after, _, last = rk_step(self.solver, problem, t, h, y, k, inside)
            return after, last if self.solver.tableau.fsal else slope(t + h, after)

        return Stretch(lambda y: (y, slope(start, y)), advance, lambda i, z: z[0])


@dataclasses.dataclass(frozen=True)
class RKFlow:
    """One step of `solver` as the flow over short times."""

    solver: Any

    def __call__(self, problem: Problem) -> Callable[[Values, Any, Values], Any]:
        def flow(t: Values, y, delta: Values) -> Any:
            k0 = problem.flow(t, y)
            return rk_step(self.solver, problem, t, delta, y, k0)[0]

        return flow


def norm(error: Any, y0: object, y1: Any, rtol: float, atol: float) -> Values:
    """Root mean square of the error over its tolerance, as diffrax has it."""

    def share(e: Values, a: Values, b: Values) -> Values:
        b = jnp.where(jnp.isnan(b), a, b)
        return (e / (atol + rtol * jnp.maximum(jnp.abs(a), jnp.abs(b)))) ** 2

    parts = [_mean(each) for each in jax.tree.leaves(jax.tree.map(share, error, y0, y1))]
    return jnp.sqrt(sum(parts[1:], parts[0]) / len(parts))


def _mean(x: Values) -> Values:
    """Mean over the nodes of a network; a population's number is left alone, without an operation."""
    return jnp.mean(x) if x.ndim else x


def is_positive(model: Any, y: State) -> Any:
    """Whether the variables of a state are positive that must be, at all nodes."""
    signs = (getattr(y, name) > 0 for name in model.positive)
    return functools.reduce(operator.and_, (jnp.all(each) if each.ndim else each for each in signs), jnp.array(True))


class Judgement(NamedTuple):
    """Judgement of one step: whether it counts, the next step over this one, and the code (or 0) of a lane that no step
    helps."""

    keep: Any
    factor: Values
    code: Any


def judge(size: Values, positive: Any, t: Values, step: Values, order: int) -> Judgement:
    """The step-size controller, diffrax's `PIDController` with its defaults, of a step from `t`.

    `size` is the error over its tolerance. A step to a state that isn't `positive` where it must be is refused too.
    """
    finite = jnp.isfinite(size)
    keep = finite & positive & (size < 1)
    safe = jnp.where(finite & (size > 0), size, jnp.ones_like(size))
    least, most = jnp.where(keep, 1.0, _SHRINK), jnp.where(keep, _GROW, _SAFETY)
    factor = jnp.clip(_SAFETY * safe ** (-1 / order), least, most).astype(step.dtype)
    factor = jnp.where(finite & positive, jnp.where(size > 0, factor, _GROW), _SHRINK).astype(step.dtype)
    stuck = ~keep & (step <= 4 * jnp.finfo(t.dtype).eps * (jnp.abs(t) + step))
    return Judgement(keep, factor, jnp.where(stuck, jnp.where(finite, jnp.where(positive, 1, 3), 2), 0))


class Adaptive(AbstractMethod):
    """Adaptive Runge–Kutta: every lane its own steps; status 1 at `max_steps`, 2 or 3 if no step size helps."""

    solver: Any = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    reverse: bool = eqx.field(static=True, default=False)
    long: ClassVar[bool] = True

    def flow(self, problem: Problem) -> Callable[[Values, Any, Values], Any]:
        return RKFlow(self.solver)(problem)

    def _first_step(self, problem: Any, t: Values, y: Any, k: Any, order: int) -> Values:
        """Hairer's choice, as diffrax makes it."""
        zero = jax.tree.map(jnp.zeros_like, y)
        d0 = norm(y, y, y, self.rtol, self.atol)
        d1 = norm(k, y, y, self.rtol, self.atol)
        tiny = (d0 < 1e-5) | (d1 < 1e-5)
        h0 = jnp.where(tiny, 1e-6, 0.01 * d0 / jnp.where(tiny, jnp.ones_like(d1), d1)).astype(d0.dtype)
        ahead = problem.flow(t + h0, jax.tree.map(lambda y, k: y + h0 * k, y, k))
        change = jax.tree.map(lambda a, b, z: a - b + z, ahead, k, zero)
        largest = jnp.maximum(d1, norm(change, y, y, self.rtol, self.atol) / h0)
        flat = largest <= 1e-15
        h1 = jnp.where(flat, jnp.maximum(1e-6, h0 * 1e-3), (0.01 / jnp.where(flat, 1.0, largest)) ** (1 / order))
        return jnp.minimum(100 * h0, h1).astype(d0.dtype)

    def _count(self, before: Progress, h: Values, judged: Judgement, t: Values, step: Values, done: Any) -> Progress:
        """Progress after a step that leaves the lane at `t`; one that is `done` with its last permitted step is well."""
        count = before.steps + 1
        code = jnp.where(judged.code > 0, judged.code, jnp.where(count >= self.max_steps, 1, 0))
        status = jnp.where((code == 1) & done, 0, code).astype(jnp.int32)
        failure_time = jnp.where(status > 0, t, before.failure_time)
        longest = jnp.where(judged.keep, jnp.maximum(before.longest, step), before.longest)
        return Progress(count, h, status, failure_time, longest)

    def run(
        self, problem: Problem, y: State, start: Values, stop: Values, steps: Any, observe: Watch, progress: Progress
    ) -> tuple[Any, Any, Progress]:
        del steps

        def inside(t: Values) -> Values:
            return just_inside(t, start, stop)

        def size(error, y, after) -> Values:
            return norm(error, y, after, self.rtol, self.atol)

        def see(states, t: Values, step: Values, y, t_after: Values, after, slope) -> Any:
            if not observe.observables:
                return after, slope, states
            begin = Point(problem, t, y, step, step / 2, -1, jnp.zeros_like(step), True)
            end = Point(problem, inside(t_after), after, step, step / 2, 1, step, True)
            return after, slope, observe.update(observe.update(states, begin), end)

        positive = lambda y: is_positive(problem.model, y)
        return self.follow(problem, y, start, stop, observe.states, progress, size, positive, see)

    def follow(
        self,
        problem: Any,
        y: Any,
        start: Values,
        stop: Values,
        seen: Any,
        progress: Progress,
        size: Callable[..., Values],
        positive: Callable[..., Any],
        see: Callable[..., Any],
    ) -> tuple[Any, Any, Progress]:
        """What moves by `problem.flow`, any pytree `y`, from `start` to `stop`: it there, what was seen, and progress.

        `size(error, y, after)` is the error of a step over its tolerance, `positive(y)` whether a state may be, and
        `see(seen, t, step, y, t_after, after, slope)` what is made of an accepted step: the state and its slope to go on
        with, and what was seen.
        """
        order = self.solver.order(None)
        k = problem.flow(start, y)
        first = jax.lax.stop_gradient(self._first_step(problem, start, y, k, order))
        h = jnp.where(progress.h > 0, progress.h, first)

        def inside(t: Values) -> Values:
            return just_inside(t, start, stop)

        def unfinished(carry) -> Any:
            t, _, _, _, p = carry
            return (t < stop) & (p.status == 0)

        def body(carry) -> Any:
            t, h, (y, k), states, p = carry
            left = stop - t
            last = h * (1 + 1e-9) >= left
            step = jnp.where(last, left, h)
            after, error, slope = rk_step(self.solver, problem, t, step, y, k, inside)
            if not self.solver.tableau.fsal:
                slope = problem.flow(inside(t + step), after)
            # As in diffrax, derivatives take the steps as given: at zero error the norm has none.
            judged = judge(jax.lax.stop_gradient(size(error, y, after)), positive(after), t, step, order)
            t_after = jnp.where(last, stop, t + step)
            *state, seen = see(states, t, step, y, t_after, after, slope)
            new, old = (t_after, tuple(state), seen), (t, (y, k), states)
            t, state, seen = jax.tree.map(lambda new, old: jnp.where(judged.keep, new, old), new, old)
            # The step that only fills the rest of the stretch says nothing about the next one's size.
            h = jnp.where(last & judged.keep, jnp.maximum(h, step * judged.factor), step * judged.factor)
            return t, h, state, seen, self._count(p, h, judged, t, step, t >= stop)

        carry = (start, h, (y, k), seen, progress)
        if self.reverse:
            loop = eqxi.while_loop(unfinished, body, carry, kind="checkpointed", checkpoints=CHECKPOINTS)
        else:
            loop = jax.lax.while_loop(unfinished, body, carry)
        _, h, state, seen, p = loop
        return state[0], seen, eqx.tree_at(lambda p: p.h, p, h)


def is_explicit(solver: object) -> bool:
    """Whether `solver` is a diffrax solver whose tableau can be unrolled here."""
    return isinstance(solver, diffrax.AbstractERK) and hasattr(type(solver), "tableau")
