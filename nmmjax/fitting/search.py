"""The search of a fit: all starts through the stages of its target, on the ensemble engine.

A stage is run by the optimiser, if any, and polished; starts that have ended leave the batch. If the last stage is
missed, it is reached by a detour; then the steps of the solver are refined until the best fit no longer changes.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import ndtri

from .._types import Values
from ..ensemble import engine
from ..models.base import AbstractModel
from ..numerics.compiling import jitted
from ..numerics.linear import covariance
from ..numerics.quadrature import even_points
from ..numerics.threads import cores, pool_of
from .descent import CONVERGED, NON_FINITE, RUNNING, STOPPED, Gradient, LevenbergMarquardt, Problem, Structure
from .memory import Memory
from .parametrization import Parametrization
from .target import AbstractTarget

_LM_CALL, _GRADIENT_CALL = 6, 50  # iterations between looks at which starts go on
_EARLY, _FINAL = (1e-3, 1e-4), (1e-10, 1e-13)  # tolerances of steps and gains: of stages that only prepare, and of the last
_DAMPING = (1e-2, 1e-4, 1e-10)  # λ at first: of the first stage, of those that follow, of refinements
_EARLY_ITERATIONS = 60  # of early stages, at most
_STRAGGLERS, _PATIENCE = 0.1, 24  # the share of starts that isn't waited for; in the last stage, only for so many iterations
_FEW = 4  # starts of which one isn't waited for either
_REFINEMENTS = (4, 16, 64)
_GAIN = 4.0**5  # by which the error falls at least from one refinement to the next
_MET, _SAME = 1e-2, 1e-6  # differences below which starts go on as one: between stages, and at the end
_SCATTER = 3.0  # standard errors of the first stage, by which starts are spread if a detour misses too
_MISSED = 1.5  # the last stage's loss per datum over the first one's, beyond which it has missed
_EXACT = 1e-8  # loss per datum below which it hasn't, whatever the first one's
_LARGEST_SEGMENTED = 64  # free numbers up to which there are early stages


@dataclasses.dataclass(frozen=True)
class Method:
    """How a fit descends; see `fit`."""

    optimizer: Any
    steps: int
    patience: int
    polish: str | None
    max_steps: int

    @property
    def is_gauss_newton(self) -> bool:
        return self.polish == "levenberg-marquardt"


class Search:
    """The descents of one fit, of all starts together: where they are (`z`, `unknowns`), how good that is (`loss`), how they
    ended (`code`), with the normal equations there, and the losses on the way."""

    def __init__(
        self,
        model: AbstractModel,
        parameters: Parametrization,
        prior: Any,
        z: np.ndarray,
        method: Method,
        memory: Memory,
    ):
        self.model, self.parameters, self.prior, self.method, self.memory = model, parameters, prior, method, memory
        self.z, self.unknowns, self.normal = z, np.zeros((z.shape[0], 0), z.dtype), None
        self.code, self.loss = np.full(z.shape[0], RUNNING), np.full(z.shape[0], np.inf)
        self.history: list[np.ndarray] = []
        self.stage: list[int] = []
        self.refine, self.interrupted = 1, False
        self.leader = np.arange(z.shape[0])  # of every start, the one it goes on as: itself, or one that it has met
        self.report: Callable[[int], None] = lambda starts: None  # told after every stage
        self._live: Any = None  # (target, state, name of the points in it) of the descent under way

    def run(self, goal: AbstractTarget) -> None:
        """Descend to `goal`; after Ctrl-C, what was reached until then is kept."""
        stages = self.stages(goal)
        self._threads, self._wide = 1 if goal.alone(self.model) else _threads(), goal.wide(self.model)
        with pool_of(self._threads) as self._pool:
            ahead = self._compile_ahead(stages)
            try:
                parts = stages[0]
                first = self._descend(parts, 0)
                prepared = self.z, self.unknowns, self.normal, self.loss.copy()
                for k, stage in enumerate(stages[1:], 1):
                    self._follow(stages[k - 1], stage)
                    self._descend(stage, k)
                way = goal.detour(self.model) if len(stages) > 1 and self.method.is_gauss_newton else ()
                if way and self._missed(goal, first):
                    self.z, self.unknowns = prepared[:2]
                    for k, stage in enumerate((*way, goal)):
                        self._follow((parts, *way)[k], stage)
                        self._descend(stage, len(stages) + k)
                    if self._missed(goal, first) and self.z.shape[0] > 1:
                        reached = self.z.copy(), self.unknowns.copy(), self.loss.copy(), self.code.copy(), self.normal
                        self._scatter(prepared, first)
                        self._follow(parts, goal)
                        self._descend(goal, len(stages) + len(way) + 1)
                        self._keep_better(reached)
                if goal.refinable and self.method.is_gauss_newton:
                    self._refine(goal, len(stages))
            except KeyboardInterrupt:
                self.interrupted = True
                self._rescue(goal)
            finally:
                ahead.shutdown(wait=False, cancel_futures=True)
                self._rejoin()

    def stages(self, goal: AbstractTarget) -> tuple[AbstractTarget, ...]:
        """Stages on the way to `goal`, if it isn't missed."""
        return goal.stages(self.model) if self.parameters.size <= _LARGEST_SEGMENTED else (goal,)

    def reports(self, goal: AbstractTarget) -> int:
        """How often all starts will be reported, at least."""
        return len(self.stages(goal)) + int(goal.refinable and self.method.is_gauss_newton)

    def _descend(self, target: AbstractTarget, stage: int) -> float:
        """One stage; the least loss per datum that it reached."""
        method, last = self.method, not target.blockwise
        problem = Problem(self.model, target, self.parameters, self.prior)
        if stage == 0:
            self.unknowns = self._unknowns(target)
        if method.optimizer is not None and (stage == 0 or method.polish is None):
            self._by_gradient(problem, stage, method.optimizer, method.steps, "optimizer")
        if method.is_gauss_newton:
            settled, most = (_FINAL, method.max_steps) if last else (_EARLY, _EARLY_ITERATIONS)
            if target.blockwise and stage == 0:  # first with the states that the data suggest
                self._by_gauss_newton(problem, stage, settled, most, hold=True)
                self._merge(_MET)
            self._by_gauss_newton(problem, stage, settled, most)
            if target.blockwise:
                self._merge(_MET)
        elif method.polish == "bfgs":
            self._by_gradient(problem, stage, optax.lbfgs(), method.max_steps, "bfgs")
        self.report(self.z.shape[0])
        return self._least_per_datum(target)

    @property
    def _rounding(self) -> float:
        """Relative differences that mean nothing in this precision."""
        return 20 * float(np.finfo(self.z.dtype).eps)

    @property
    def _active(self) -> np.ndarray:
        """The starts that go on as themselves."""
        return np.flatnonzero(self.leader == np.arange(self.leader.size))

    def _merge(self, tolerance: float) -> None:
        """Starts that have converged to the same point, within `tolerance` of the parameters' size, go on as one."""
        some = self._active
        some = some[(self.code[some] == CONVERGED) & np.isfinite(self.loss[some])]
        points = np.concatenate([self.z, self.unknowns], axis=1)
        leaders: list[int] = []
        for k in some[np.argsort(self.loss[some], kind="stable")]:
            near = [
                each
                for each in leaders
                if np.all(np.abs(points[k] - points[each]) <= tolerance * (1 + np.abs(points[each])))
                and self.loss[k] <= self.loss[each] * (1 + 10 * tolerance) + 1e-12
            ]
            if near:
                self.leader[self.leader == k] = near[0]
            else:
                leaders.append(int(k))

    def _scatter(self, prepared: Any, loss_per_datum: float) -> None:
        """All starts around the first stage's best result, by a few of its standard errors: evenly, not at random."""
        z, unknowns, normal, loss = prepared
        known = np.isfinite(loss) & np.any(normal != 0, axis=(1, 2))  # starts that went on as themselves
        best = int(np.argmin(np.where(known, loss, np.inf)))
        count, p = z.shape
        variance = np.nan_to_num(np.diagonal(covariance(normal[best]))[:p], posinf=0.0) * 2 * loss_per_datum
        offset = ndtri(np.clip(even_points(count, p), 1e-3, 1 - 1e-3))
        self.z = (z[best] + _SCATTER * np.sqrt(variance) * offset).astype(z.dtype)
        self.unknowns = np.repeat(unknowns[best : best + 1], count, axis=0)
        self.leader, self.code = np.arange(count), np.full(count, RUNNING)

    def _keep_better(self, reached: Any) -> None:
        """The first start as it was before, if none became better than it."""
        z, unknowns, loss, code, normal = reached
        best = int(np.argmin(np.where(np.isfinite(loss), loss, np.inf)))
        if not np.min(np.where(np.isfinite(self.loss), self.loss, np.inf)) <= loss[best]:
            self.z[0], self.unknowns[0], self.loss[0], self.code[0] = z[best], unknowns[best], loss[best], code[best]
            assert self.normal is not None  # as the method has them
            self.normal[0] = normal[best]

    def _rejoin(self) -> None:
        """All starts where the ones are that they go on as."""
        for name in ("z", "unknowns", "code", "loss", "normal"):
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values[self.leader])

    def _shape(self) -> engine.Shape:
        """Blocks of starts: their runs fill vectors, and no start waits for too many others."""
        devices = tuple(jax.local_devices())
        largest = 1 if self._wide else 8 if devices[0].platform == "cpu" else 256
        block = int(np.clip(-(-self.z.shape[0] // self._threads), 1, largest))
        return engine.Shape(block, 1, self._threads, devices[:1] if self._threads == 1 else devices)

    def _least_per_datum(self, target: AbstractTarget) -> float:
        """The least loss, for every datum that the unknowns leave over."""
        loss = self.loss[self._active]
        left = int(target.count(self.model)) - self.unknowns.shape[1]
        return float(np.min(loss, initial=np.inf, where=np.isfinite(loss))) / max(left, 1)

    def _missed(self, goal: AbstractTarget, first: float) -> bool:
        """Whether the whole is fitted much worse than its parts were."""
        return self._least_per_datum(goal) > max(_MISSED * first, _EXACT)

    def _compile_ahead(self, stages: Any) -> concurrent.futures.ThreadPoolExecutor:
        """Compile the stages side by side, by starts that have ended: they compute nothing."""
        ahead = pool_of(self._threads)

        def compile_one(target: AbstractTarget) -> None:
            problem = Problem(self.model, target, self.parameters, self.prior)
            base, structure = Structure.of(problem)
            shape = self._shape()
            width = self.z.shape[1] + len(target.unknown_names(self.model))
            state = LevenbergMarquardt.begin(np.zeros((shape.block, width), self.z.dtype), problem)
            state["code"][:] = CONVERGED
            task, none = LevenbergMarquardt(structure, _LM_CALL, self._wide), np.zeros(shape.block)
            engine.run(task, shape, self._pool, base, state, np.ones(shape.block, np.int32), none)

        if self.method.is_gauss_newton and len(stages) > 1:
            for target in stages:
                ahead.submit(compile_one, target)
        return ahead

    def _unknowns(self, target: AbstractTarget) -> np.ndarray:
        if not target.unknown_names(self.model):
            return np.zeros((self.z.shape[0], 0), self.z.dtype)
        return np.asarray(_unknowns_of(self.model, target, self.parameters, jnp.asarray(self.z)))

    def _follow(self, target: AbstractTarget, after: AbstractTarget) -> None:
        """The unknowns with which the next stage starts."""
        if target.following(self.model, jnp.asarray(self.unknowns[0]), after) is None:
            self.unknowns = self._unknowns(after)
        else:
            arrays = jnp.asarray(self.z), jnp.asarray(self.unknowns)
            self.unknowns = np.asarray(_following_of(self.model, target, after, self.parameters, *arrays))

    def _run(
        self, task: Any, base: object, values: dict[str, np.ndarray], running: np.ndarray, refine: int, stage: int
    ) -> None:
        """One call of the engine for the starts that are `running`; `values` take the results."""
        steps = np.full(running.size, refine, np.int32)
        some = {name: each[running] for name, each in values.items()}
        found, _ = engine.run(task, self._shape(), self._pool, base, some, steps, np.zeros(running.size))
        losses = found.pop("history")
        for name, each in found.items():
            values[name][running] = each
        history = np.full((self.z.shape[0], losses.shape[1]), np.nan)
        history[running] = np.where(np.isfinite(losses), losses, np.nan)
        self.history.append(history)
        self.stage += [stage] * losses.shape[1]

    def _by_gauss_newton(
        self,
        problem: Problem,
        stage: int,
        settled: tuple[float, float],
        most: int,
        refine: int = 1,
        only: np.ndarray | None = None,
        hold: bool = False,
    ) -> None:
        """Levenberg–Marquardt; `only` the chosen starts move, and with `hold` only the parameters."""
        base, structure = Structure.of(problem)
        task = LevenbergMarquardt(structure, _LM_CALL, self._wide)
        chosen = self._active if only is None else only
        state = LevenbergMarquardt.begin(np.concatenate([self.z, self.unknowns], axis=1), problem, hold)
        state["damping"][:] = _DAMPING[0] if stage == 0 else _DAMPING[1] if refine == 1 else _DAMPING[2]
        state["xtol"][:], state["ftol"][:] = (
            max(each, self._rounding, problem.target.rounding(self.model)) for each in settled
        )
        phase = f"{stage}:gauss-newton:{refine}:{hold}"
        state, taken = self.memory.restore(phase, state)
        self._live = problem.target, state, "z"
        running = chosen[state["code"][chosen] == RUNNING]
        late = 0  # iterations for which nearly all starts have ended
        while running.size and taken < most:
            self._run(task, base, state, running, refine, stage)
            taken += _LM_CALL
            running = chosen[state["code"][chosen] == RUNNING]
            if np.isin(self.leader, running).sum() <= max(_STRAGGLERS * self.leader.size, self.leader.size >= _FEW):
                late += _LM_CALL if settled is _FINAL else most
            if late >= _PATIENCE:
                running, taken = running[:0], most
            self.memory.save(phase, state, taken)
        self._take(state["z"], state, chosen)
        A = state["A"]
        if self.normal is None or only is None:
            self.normal = A
        else:
            self.normal[only] = A[only]

    def _by_gradient(self, problem: Problem, stage: int, optimizer: Any, steps: int, name: str) -> None:
        """An optax optimiser."""
        base, structure = Structure.of(problem)
        optimizer = optax.with_extra_args_support(optimizer)
        z = np.concatenate([self.z, self.unknowns], axis=1)
        # The state of one start says how a state is laid out; the arrays of all have the starts as their first axis.
        _, layout = Structure.of(optimizer.init(jnp.asarray(z[0])))
        arrays, _ = Structure.of(jax.vmap(optimizer.init)(jnp.asarray(z)))
        call = min(_GRADIENT_CALL, steps)
        task = Gradient(structure, call, optimizer, layout, self.method.patience, self._wide)
        state = Gradient.begin(z, arrays)
        phase = f"{stage}:{name}"
        state, taken = self.memory.restore(phase, state)
        self._live = problem.target, state, "best"
        running = self._active[state["code"][self._active] == RUNNING]
        while running.size and taken < steps:
            self._run(task, base, state, running, 1, stage)
            taken += call
            running = self._active[state["code"][self._active] == RUNNING]
            self.memory.save(phase, state, taken)
        self._take(state["best"], state, np.arange(z.shape[0]))
        self.normal = None

    def _take(self, z: np.ndarray, state: dict[str, np.ndarray], chosen: np.ndarray) -> None:
        """Points, losses and codes of a descent that has ended."""
        p = self.parameters.size
        self.z, self.unknowns = z[:, :p].copy(), z[:, p:].copy()
        code = state["code"][chosen]
        self.code[chosen] = np.where(code == RUNNING, STOPPED, code)
        self.loss[chosen] = state["loss"][chosen]
        self._live = None

    def _rescue(self, goal: AbstractTarget) -> None:
        """The state that the descent under way has reached at Ctrl-C."""
        target, state, name = self._live if self._live is not None else (None, {}, "")
        if target is not None:
            p = self.parameters.size
            self.z = state[name][:, :p].copy()
            self.unknowns = state[name][:, p:].copy() if target is goal else self._unknowns(goal)
            self.normal = state.get("A") if target is goal else None
        problem = Problem(self.model, goal, self.parameters, self.prior)
        self.loss = np.array(_losses_of(problem, jnp.asarray(np.concatenate([self.z, self.unknowns], axis=1))))
        done = state["code"] if target is goal else np.full(self.code.shape, STOPPED)
        self.code = np.where(done == RUNNING, STOPPED, done)

    def _refine(self, goal: AbstractTarget, stage: int) -> None:
        """The starts near the best fit once more, with finer steps until that no longer changes them."""
        p = self.parameters.size
        problem = Problem(self.model, goal, self.parameters, self.prior)
        for finer in _REFINEMENTS:
            self._merge(max(_SAME, self._rounding))
            near = self._active
            least = np.min(self.loss[near], initial=np.inf, where=np.isfinite(self.loss[near]))
            near = near[np.isfinite(self.loss[near]) & (self.code[near] != NON_FINITE) & (self.loss[near] <= 1.5 * least)]
            if not near.size:
                break
            before = self.z
            self._by_gauss_newton(problem, stage, _FINAL, self.method.max_steps, finer, near)
            self.refine = finer
            best = int(near[np.argmin(self.loss[near])])
            change = np.abs(self.z[best] - before[best])
            error = self._deviation(goal, best)[:p]
            if np.all(change / _GAIN <= np.maximum(max(1e-9, self._rounding), 1e-3 * error)):
                break
        self.report(self.z.shape[0])

    def _deviation(self, goal: AbstractTarget, start: Any) -> np.ndarray:
        """Standard errors of a start's z; 0 if they aren't known."""
        assert self.normal is not None  # as Gauss–Newton has them
        variance = np.diagonal(covariance(self.normal[start])) * self.variance(goal, start)
        return np.sqrt(np.where(np.isfinite(variance) & (variance > 0), variance, 0.0))

    def variance(self, goal: AbstractTarget, start: Any) -> float:
        """Variance of the residuals: 1 if the noise is known, else estimated from the loss."""
        free = int(goal.count(self.model)) - self.parameters.size - self.unknowns.shape[1]
        return 1.0 if goal.noise_known else 2 * float(self.loss[start]) / free if free > 0 else float(np.inf)

    def covariance(self, goal: AbstractTarget) -> np.ndarray:
        """Covariance of the parameters, (starts, p, p)."""
        count, p = self.z.shape
        width = p + self.unknowns.shape[1]
        found = np.full((count, p, p), np.nan)
        if self.normal is None or self.normal.shape[1] != width:
            return found
        slopes = np.asarray(slopes_of(self.parameters, jnp.asarray(self.z)))
        for k in range(count):
            own, variance = covariance(self.normal[k])[:p, :p], self.variance(goal, k)
            if np.isfinite(variance):
                # At a bound the slope is 0; a variance that is infinite stays so.
                scaled = np.where(np.isfinite(own), own, 0) * variance * np.outer(slopes[k], slopes[k])
                found[k] = np.where(np.isfinite(own), scaled, own)
        return found


@jitted
def _unknowns_of(model: AbstractModel, target: AbstractTarget, parameters: Parametrization, z: Values) -> Values:
    return jax.vmap(lambda z: target.unknowns(parameters.model(model, z)))(z)


@jitted
def _following_of(
    model: AbstractModel, target: Any, after: Any, parameters: Parametrization, z: Values, unknowns: Values
) -> Values:
    return jax.vmap(lambda z, own: target.following(parameters.model(model, z), own, after))(z, unknowns)


@jitted
def _losses_of(problem: Problem, z: Values) -> Values:
    return jax.vmap(problem.loss)(z)


@jitted
def values_of(parameters: Parametrization, z: Values) -> Values:
    """Parameters of all starts."""
    return jax.vmap(parameters.values)(z)


@jitted
def inverses_of(parameters: Parametrization, x: Values) -> Values:
    """z of all starts."""
    return jax.vmap(parameters.inverse)(x)


@jitted
def slopes_of(parameters: Parametrization, z: Values) -> Values:
    """dx/dz of all starts."""
    return jax.vmap(parameters.slope)(z)


def _threads() -> int:
    return max(len(jax.local_devices()), cores())
