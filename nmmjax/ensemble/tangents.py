"""Lanes with tangent vectors: growth rates of small perturbations, folded while integrating.

Beside the state y run k vectors u, u̇ = (∂f/∂y) u, made orthonormal after every step (Gram and Schmidt). The logarithms of
their lengths before that, averaged over time, are the Lyapunov exponents, the largest first; nothing is stored. All of it is
plain arithmetic over the lanes of a block, without a call of LAPACK.

An average gives the time between t0 and t1 the weight exp(−1/(s(1 − s))), s = (t − t0)/(t1 − t0). On fixed points, cycles
and tori it converges faster than any power of the time, a plain mean only as 1/T (Das, Saiki, Sander & Yorke, Nonlinearity
30:4111, 2017); on chaotic attractors its variance is 1.7 times that of a plain mean.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._types import Values
from ..mechanics.channels import Problem, just_inside
from ..models.state import State
from ..numerics.compiling import CPU_OPTIONS
from ..numerics.threads import pool_of
from .computation import Report
from .convergence import predicted_rates
from .engine import Shape, prepared, run
from .folding import AbstractMethod, Progress, Times, Uniform, bounds, each_lane
from .plan import Build, Plan
from .runge_kutta import Adaptive, is_positive, norm
from .steps import classes_of, steps_of


class Moving(eqx.Module):
    """A state with tangent vectors of its kind, and the divergence of the flow, integrated since the last step."""

    y: State
    vectors: tuple[Any, ...]
    spread: Values


@dataclasses.dataclass(frozen=True)
class Tangential:
    """The flow of a `Moving` of a problem, as `problem.flow` is that of a state."""

    problem: Problem

    def flow(self, t: Values, moving: Moving) -> Moving:
        rate, push = jax.linearize(lambda y: self.problem.flow(t, y), moving.y)
        return Moving(rate, tuple(push(each) for each in moving.vectors), divergence(self.problem, t, moving.y))


def divergence(problem: Problem, t: Values, y: State) -> Values:
    """Rate at which phase volume grows at time `t` and state `y`, of all nodes together."""
    return jnp.sum(problem.model.divergence(t, y, problem.current(t, y)))


def dot(a: Any, b: Any) -> Values:
    """Inner product of two pytrees."""
    first, *rest = (jnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    return sum(rest, first)


def orthonormal(
    vectors: tuple[Any, ...], along: tuple[Any, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Orthonormal vectors by Gram and Schmidt, in their order; `along` in the same linear combinations; ln of the lengths
    left of each."""
    found: list[tuple[Any, Any]] = []
    logs = []
    for pair in zip(vectors, along, strict=True):
        for done in found:
            share = dot(done[0], pair[0])
            pair = jax.tree.map(lambda x, u, share=share: x - share * u, pair, done)
        # Each vector is computed once, and not once more in the kernel of every later one.
        pair, length = jax.lax.optimization_barrier((pair, jnp.sqrt(dot(pair[0], pair[0]))))
        found.append(jax.tree.map(lambda x, length=length: x / length, pair))
        logs.append(jnp.log(length))
    return tuple(each for each, _ in found), tuple(each for _, each in found), tuple(logs)


class Average(eqx.Module):
    """Weighted sums over time from `start` to `stop`: of the logarithms of lengths, the divergence, and the weights."""

    start: Values
    stop: Values
    logs: tuple[Values, ...]
    spread: Values
    weight: Values

    @classmethod
    def begin(cls, start: Values, stop: Values, count: int) -> "Average":
        zero = jnp.zeros_like(start)
        return cls(start, stop, (zero,) * count, zero, zero)

    def add(self, t: Values, step: Values, logs: tuple[Values, ...], spread: Values) -> "Average":
        """With what a step of length `step` around `t` brings."""
        s = (t - self.start) / (self.stop - self.start)
        inside = (s > 0) & (s < 1)
        s = jnp.where(inside, s, 0.5)
        weight = jnp.where(inside, jnp.exp(4 - 1 / (s * (1 - s))), 0)
        sums = tuple(total + weight * each for total, each in zip(self.logs, logs, strict=True))
        return Average(self.start, self.stop, sums, self.spread + weight * spread, self.weight + weight * step)

    def rates(self) -> tuple[Values, Values]:
        """Mean growth of every vector (k,) and of the phase volume, per unit of time."""
        return jnp.stack(self.logs) / self.weight, self.spread / self.weight


def first_vectors(like: State, count: int) -> tuple[Any, ...]:
    """`count` tangent vectors to begin with: the same for every lane, and in no symmetry's way."""
    leaves, tree = jax.tree.flatten(like)
    draw = np.random.default_rng(7)
    kind = lambda leaf: jnp.asarray(draw.normal(size=jnp.shape(leaf)), leaf.dtype)
    some = tuple(jax.tree.unflatten(tree, [kind(leaf) for leaf in leaves]) for _ in range(count))
    return orthonormal(some, some)[0]


Averages = tuple[Average, ...]


def follow_adaptive(
    method: Adaptive, problem: Problem, moving: Moving, start: Values, stop: Values, seen: Averages, progress: Progress
) -> tuple[Moving, Averages, Progress]:
    """Adaptive steps, whose error counts in the state and in every vector."""

    def size(error: Moving, before: Moving, after: Moving) -> Values:
        found = norm(error.y, before.y, after.y, method.rtol, method.atol)
        for each in error.vectors:
            found = jnp.maximum(found, jnp.sqrt(dot(each, each)) / method.rtol)
        return found

    def see(seen, t: Values, step: Values, before, t_after, after: Moving, slope: Moving) -> Any:
        vectors, slopes, logs = orthonormal(after.vectors, slope.vectors)
        seen = tuple(each.add(t + step / 2, step, logs, after.spread) for each in seen)
        new = Moving(after.y, vectors, jnp.zeros_like(after.spread))
        return new, Moving(slope.y, slopes, slope.spread), seen

    positive = lambda moving: is_positive(problem.model, moving.y)
    return method.follow(Tangential(problem), moving, start, stop, seen, progress, size, positive, see)


def follow_uniform(
    method: Uniform,
    problem: Problem,
    moving: Moving,
    start: Values,
    stop: Values,
    steps: Any,
    seen: Averages,
    progress: Progress,
) -> tuple[Moving, Averages, Progress]:
    """Equal steps: the vectors move by the derivative of the numerical step, in the integrator's own variables."""
    count = jnp.maximum(steps, 1).astype(start.dtype)
    dt = (stop - start) / count
    stretch = method.stretch(problem, start, stop, count, progress.steps)

    def pushed(function: Callable[[Any], Any], at: Any, vectors: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        there, push = jax.linearize(function, at)
        return there, tuple(push(each) for each in vectors)

    def body(i, carry) -> Any:
        z, vectors, seen = carry
        k = i.astype(start.dtype)
        z, vectors = jax.lax.optimization_barrier(pushed(lambda z: stretch.advance(k, z), z, vectors))
        vectors, _, logs = orthonormal(vectors, vectors)
        t = start + (k + 1) * dt
        spread = divergence(problem, just_inside(t, start, stop), stretch.leave(k + 1, z))
        # The divergence is seen where a step ends, half a step later than the logarithms: no matter for smooth weights.
        return z, vectors, tuple(each.add(t - dt / 2, dt, logs, spread * dt) for each in seen)

    z, vectors = pushed(stretch.enter, moving.y, moving.vectors)
    z, vectors, seen = jax.lax.fori_loop(0 * steps, steps, body, (z, vectors, seen))
    y, vectors = pushed(lambda z: stretch.leave(count, z), z, vectors)
    longest = jnp.where(steps > 0, jnp.maximum(progress.longest, dt), progress.longest)
    progress = eqx.tree_at(lambda p: (p.steps, p.longest), progress, (progress.steps + steps, longest))
    return Moving(y, vectors, moving.spread), seen, progress


@dataclasses.dataclass(frozen=True)
class TangentTask:
    """As `Task`, with `count` tangent vectors instead of observables: mean growth rates from `times.t0` to `times.t1`, and
    in the blocks between the cuts."""

    build: Callable[[Any, Mapping[str, Any]], Problem]
    method: AbstractMethod
    times: Times
    count: int
    fusible: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = CPU_OPTIONS

    def block(self, base: PyTree, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """Growth rates of the lanes of a block."""
        return each_lane(self, base, values, steps)

    def lane(self, base: PyTree, values: Mapping[str, Any], steps: Any) -> dict[str, Any]:
        """Growth rates of one lane, with its final state and progress."""
        problem, times = self.build(base, values), self.times
        dtype = jax.tree.leaves(problem.y0)[0].dtype
        zero, none = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
        progress = Progress(none, zero, none, jnp.full((), jnp.nan, dtype), zero)
        moving = Moving(problem.y0, first_vectors(problem.y0, self.count), zero)
        transient, observed = steps
        asarray = lambda t: jnp.asarray(t, dtype)

        def interval(moving, a: Values, b: Values, steps, seen: Averages, progress: Progress) -> Any:
            ends = bounds(problem, a, b)
            if ends.shape[0] == 2:
                return self._stretch(problem, moving, a, b, None if steps is None else steps[0], seen, progress)

            def one(carry, now) -> Any:
                return self._stretch(problem, carry[0], now[0], now[1], now[2], *carry[1:]), None

            return jax.lax.scan(one, (moving, seen, progress), (ends[:-1], ends[1:], steps))[0]

        whole = Average.begin(asarray(times.t0), asarray(times.t1), self.count)
        ends = asarray(times.observed)
        if times.transient:  # a block like the others, which nobody asks for: one loop to compile
            ends = jnp.concatenate([asarray(times.start)[None], ends])
            observed = jnp.concatenate([transient[None], observed])

        def block(carry, now) -> Any:
            moving, whole, progress = carry
            a, b, steps = now
            seen = (whole, Average.begin(a, b, self.count))
            moving, (whole, own), progress = interval(moving, a, b, steps, seen, progress)
            return (moving, whole, progress), own.rates()

        carry, blocks = jax.lax.scan(block, (moving, whole, progress), (ends[:-1], ends[1:], observed))
        moving, whole, progress = carry
        exponents, spread = whole.rates()
        found = {"exponents": exponents, "divergence": spread, "blocks": blocks[0][-len(times.cuts) - 1 :]}
        return found | {".y": moving.y, ".progress": progress}

    def _stretch(self, problem, moving, start: Values, stop: Values, steps, seen: Averages, progress: Progress) -> Any:
        if isinstance(self.method, Adaptive):
            return follow_adaptive(self.method, problem, moving, start, stop, seen, progress)
        assert isinstance(self.method, Uniform)
        return follow_uniform(self.method, problem, moving, start, stop, steps, seen, progress)


def compute_growth(plan: Plan, count: int, report: Report = None) -> dict[str, np.ndarray]:
    """Growth rates of all lanes of a plan, whose observables are left out: `exponents` (lanes, count), `blocks` (lanes,
    blocks, count), `divergence`, `steps` and `status` (lanes,); the latter as of a sweep. `report(n)` hears of n lanes done.
    """
    values = plan.values(np.arange(plan.lanes))
    build, size = Build(tuple(values)), plan.lanes
    shape = Shape.choose(size, plan.dtype, count, int(np.prod(plan.base.nodes)))
    adaptive = isinstance(plan.method, Adaptive)
    given = plan.dt0 is not None and not adaptive
    resolve = adaptive if "riccati" in plan.base.model.offers and not given else None
    lengths, stiffness = jax.tree.map(np.asarray, prepared(build, plan.times, resolve)(plan.base, values))
    rates = stiffness.astype(float)
    if not adaptive:
        rates = np.full(size, 1 / plan.dt0) if plan.dt0 is not None else predicted_rates(rates, plan.rtol, False)
    steps = jax.tree.map(lambda each: steps_of(each, rates, 1), lengths)
    groups = classes_of(steps, size) if given else rates
    task = TangentTask(build, plan.method, plan.times, count)
    with pool_of(shape.threads) as pool:
        found, _ = run(task, shape, pool, plan.base, values, steps, groups, given, report)
    progress, y = found.pop(".progress"), found.pop(".y")
    everywhere = lambda holds: np.asarray(holds).reshape(size, -1).all(axis=1)
    finite = everywhere(np.isfinite(found["exponents"]))
    kept = np.ones(size, bool)
    for name in plan.base.model.positive:
        kept &= everywhere(getattr(y, name) > 0)
    code = np.where(progress.status > 0, progress.status, np.where(~finite, 2, np.where(~kept, 3, 0)))
    broken = code > 0
    lost = {name: np.where(broken.reshape((-1,) + (1,) * (each.ndim - 1)), np.nan, each) for name, each in found.items()}
    return lost | {"status": code, "steps": progress.steps}
