"""Layer 6: `fit`, parameters from data: many starts at once, with progress, checkpoints, and the best so far at Ctrl-C."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ._parameter import require
from .ensemble import engine
from .fitting.descent import (
    CONVERGED,
    NON_FINITE,
    RUNNING,
    STOPPED,
    Gradient,
    LevenbergMarquardt,
    Problem,
    Structure,
)
from .fitting.parametrization import Parametrization, attribute, parametrize
from .fitting.result import Fitted
from .fitting.target import AbstractTarget, as_target
from .models.base import AbstractModel
from .progress import Progress

_LM_CALL, _GRADIENT_CALL = 6, 50  # iterations between looks at which starts go on
_EARLY, _FINAL = (1e-3, 1e-4), (1e-10, 1e-13)  # tolerances of steps and gains: of stages that only prepare, and of the last
_EARLY_ITERATIONS, _STRAGGLERS = 60, 0.1  # of early stages: iterations at most; the share of starts that isn't waited for
_LARGEST_JACOBIAN = 512  # free numbers of a fit by Levenberg–Marquardt
_REFINEMENTS = (4, 16, 64)
_GAIN = 4.0**5  # by which the error falls at least from one refinement to the next
_POLISHES = ("levenberg-marquardt", "bfgs", None)


def fit(
    model: AbstractModel,
    *,
    free: Any,
    target: Any,
    starts: Any = 16,
    optimizer: Any = None,
    steps: int = 200,
    polish: str | None = "levenberg-marquardt",
    max_steps: int = 200,
    patience: int = 50,
    bounds: Mapping[str, Any] | None = None,
    prior: Mapping[str, Any] | None = None,
    spread: float = 0.5,
    key: Any = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Fitted:
    """The parameters of `model` that make `target` smallest, from many starts at once.

        minimise  ½ Σ residuals(model)²  (+ ½ ((x − mean)/deviation)² with a prior)  or any loss(model)

    - `free`: names of the parameters to fit (`eta`, `gap.g`, `adaptation.alpha`; of a network `population.eta`, `weights`), or a
      mapping of names to True or a mask of the entries that are free
    - `target`: a target such as `TrajectoryTarget(...)`, a weighted sum of targets, or a function loss(model)
    - `starts`: how many: the first is the model itself, the others a Sobol sequence in the bounds, the prior, or around the
      model by `spread` of each parameter's size; or a mapping of the free names to arrays of starts
    - `optimizer`: an optax optimiser for `steps` updates (schedules and clipping as optax has them), stopped early after
      `patience` updates without progress; None for none
    - `polish`: "levenberg-marquardt" for up to `max_steps` iterations, "bfgs" (optax's L-BFGS; what a plain loss gets), None
    - `bounds`: names with (lower, upper), within the declared ones, which always hold; `prior`: names with (mean, deviation)
    - `key`: a random key that scrambles the Sobol sequence
    - `store`: a file that keeps the state; the same call resumes from it after a crash

    All starts run side by side on all cores and devices; one that fails costs no other and says how it ended. Fits to runs
    begin with short segments, where the loss has fewer valleys. Ctrl-C returns the best so far. Raises `ValueError` in one
    sentence for wrong arguments. Source of the method: Marquardt (1963); Baldy et al., Neural Comput. 36:2030 (2024), pose the
    problem that it is measured by.
    """
    began = time.perf_counter()
    require("model", model, "be a model such as `MPR(...)`", isinstance(model, AbstractModel))
    goal = as_target(target)
    goal.check(model)
    parameters = parametrize(model, free, bounds)
    priors = _priors(parameters, prior)
    for name, value in (("steps", steps), ("max_steps", max_steps), ("patience", patience)):
        require(name, value, "be an integer ≥ 1", isinstance(value, int) and not isinstance(value, bool) and value >= 1)
    known = optimizer is None or isinstance(optimizer, optax.GradientTransformation)
    require("optimizer", optimizer, "be None or an optax optimiser such as `optax.adam(1e-2)`", known)
    require("polish", polish, f"be one of {_POLISHES}", polish in _POLISHES)
    require("polish", polish, "be given, or an `optimizer`", polish is not None or optimizer is not None)
    if polish == "levenberg-marquardt" and not goal.has_residuals:
        polish = "bfgs"
    if polish == "levenberg-marquardt":
        rule = f'be "bfgs" or None for more than {_LARGEST_JACOBIAN} free numbers ({parameters.size})'
        require("polish", polish, rule, parameters.size <= _LARGEST_JACOBIAN)
    x = _start_values(model, parameters, starts, priors, spread, key)
    z = np.asarray(jax.vmap(parameters.inverse)(jnp.asarray(x, parameters.scale.dtype)))
    run = _Run(model, parameters, priors, z, steps, max_steps, patience, optimizer, polish, store, progress)
    return run.fit(goal, x, began)


def _priors(parameters: Parametrization, prior: Any) -> tuple[Any, Any]:
    """(mean, deviation) of every free number; deviation ∞ without a prior."""
    mean, deviation = np.zeros(parameters.size), np.full(parameters.size, np.inf)
    for name, pair in dict(prior or {}).items():
        index = [k for k, label in enumerate(parameters.labels) if label == name or label.startswith(f"{name}[")]
        require("prior", name, "name free parameters", index)
        fits = isinstance(pair, (tuple, list)) and len(pair) == 2
        require("prior", pair, f"give (mean, deviation) for `{name}`", fits)
        require("prior", pair, f"give a deviation > 0 for `{name}`", float(pair[1]) > 0)
        mean[index], deviation[index] = float(pair[0]), float(pair[1])
    dtype = parameters.scale.dtype
    return jnp.asarray(mean, dtype), jnp.asarray(deviation, dtype)


def _start_values(model: Any, parameters: Parametrization, starts: Any, priors: Any, spread: Any, key: Any) -> np.ndarray:
    """Parameters at every start, (starts, p)."""
    own = np.asarray(parameters.read(model), float)
    if isinstance(starts, Mapping):
        require(
            "starts", tuple(starts), f"name the free parameters {parameters.names}", set(starts) == set(parameters.names)
        )
        columns = [np.asarray(starts[name], float) for name in parameters.names]
        count = columns[0].shape[0] if columns[0].ndim else 0
        require("starts", count, "have arrays of one length ≥ 1", count >= 1)
        flat = []
        for name, column, mask in zip(parameters.names, columns, parameters.masks, strict=True):
            shape = attribute(model, name).shape
            rule = f"have the shape (starts, …) of `{name}`, {(count, *shape)}"
            require("starts", column.shape, rule, column.shape == (count, *shape))
            column = column.reshape(count, -1)
            flat.append(column if mask is None else column[:, np.asarray(mask)])
        x = np.concatenate(flat, axis=1)
        low, high = _edges(parameters)
        inside = bool(np.all((x >= low) & (x <= high)))
        require("starts", x, "lie within the bounds", inside)
        return x
    counts = isinstance(starts, int) and not isinstance(starts, bool) and starts >= 1
    require("starts", starts, "be an integer ≥ 1, or a mapping of the free names to arrays", counts)
    require("spread", spread, "be a number > 0", float(spread) > 0)
    if starts == 1:
        return own[None]
    share = _sobol(starts - 1, parameters.size, key)
    normal = np.asarray(jax.scipy.special.ndtri(jnp.asarray(share)))
    size, mean, deviation = (np.asarray(each) for each in (parameters.scale, *priors))
    low, high = np.asarray(parameters.lower), np.asarray(parameters.upper)
    kind = np.asarray(parameters.kinds)
    x = own + float(spread) * size * normal
    x = np.where(kind == "above", low + np.maximum(own - low, 1e-3 * size) * np.exp(float(spread) * normal), x)
    x = np.where(kind == "below", high - np.maximum(high - own, 1e-3 * size) * np.exp(float(spread) * normal), x)
    x = np.where(kind == "between", low + (high - low) * share, x)
    x = np.where(np.isfinite(deviation), mean + np.where(np.isfinite(deviation), deviation, 0) * normal, x)
    low, high = _edges(parameters)
    margin = 1e-6 * np.where(np.isfinite(high - low), high - low, size)
    return np.concatenate([own[None], np.clip(x, low + margin, high - margin)])


def _edges(parameters: Parametrization) -> tuple[np.ndarray, np.ndarray]:
    kind = np.asarray(parameters.kinds)
    low = np.where((kind == "above") | (kind == "between"), np.asarray(parameters.lower), -np.inf)
    high = np.where((kind == "below") | (kind == "between"), np.asarray(parameters.upper), np.inf)
    return low, high


def _sobol(count: int, size: int, key: Any) -> np.ndarray:
    """Points of a Sobol sequence in (0, 1)^size, or random ones beyond its dimensions."""
    from scipy.stats import qmc

    seed = 0 if key is None else int(jax.random.bits(key, dtype=jnp.uint32))
    if size > qmc.Sobol.MAXDIM:
        return np.random.default_rng(seed).uniform(1e-6, 1 - 1e-6, (count, size))
    points = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(seed)).random_base2(
        int(np.ceil(np.log2(max(count, 2))))
    )
    return np.clip(points[:count], 1e-6, 1 - 1e-6)


class _Run:
    """One call of `fit`: what is shared by its stages."""

    def __init__(
        self,
        model: Any,
        parameters: Parametrization,
        priors: Any,
        z: np.ndarray,
        steps: int,
        max_steps: int,
        patience: int,
        optimizer: Any,
        polish: str | None,
        store: Any,
        progress: bool,
    ):
        self.model, self.parameters, self.priors, self.z = model, parameters, priors, z
        self.steps, self.max_steps, self.patience = steps, max_steps, patience
        self.optimizer, self.polish = optimizer, polish
        self.memory = _Memory(store, (jax.tree.leaves((model, parameters, priors)), z, steps, max_steps, patience, polish))
        self.shown = progress
        self.history: list[np.ndarray] = []
        self.stage: list[int] = []
        self.code = np.full(z.shape[0], RUNNING)
        self.loss = np.full(z.shape[0], np.inf)

    def fit(self, goal: AbstractTarget, x: np.ndarray, began: float) -> Fitted:
        stages = goal.stages(self.model) if self.polish == "levenberg-marquardt" or self.optimizer is not None else (goal,)
        if self.parameters.size > 64:  # segments need Jacobians
            stages = (goal,)
        count, p = self.z.shape
        refine, interrupted = 1, False
        unknowns, normal = np.zeros((count, 0)), None
        jobs = len(stages) + (1 if goal.refinable and self.polish == "levenberg-marquardt" else 0)
        with (
            concurrent.futures.ThreadPoolExecutor(_threads()) as pool,
            Progress(count * jobs, 0, self.shown, "fit", "starts") as bar,
        ):
            self.pool, self.bar = pool, bar
            ahead = self._compile_ahead(stages)
            try:
                unknowns, normal = self._stages(stages, None)
                if self._missed and self.polish == "levenberg-marquardt":
                    self.z, passed, _ = self._prepared
                    way = (stages[0], *goal.detour(self.model), goal)
                    if len(way) > 2:
                        unknowns, normal = self._stages(way, passed)
                if goal.refinable and self.polish == "levenberg-marquardt":
                    unknowns, normal, refine = self._refine(goal, unknowns, normal, len(stages) - 1)
                    bar.finish(count)
            except KeyboardInterrupt:
                interrupted = True
                if unknowns.shape[1] != len(goal.unknown_names(self.model)):
                    unknowns = self._unknowns(goal)
            finally:
                ahead.shutdown(wait=False, cancel_futures=True)
        return self._result(goal, x, unknowns, normal, refine, interrupted, began)

    def _stages(self, stages: Any, passed: np.ndarray | None) -> tuple[np.ndarray, Any]:
        """(unknowns, JᵀJ) of the last stage; with `passed`, the unknowns that the first one found, only the others."""
        p, normal = self.parameters.size, None
        done = passed is not None
        unknowns = np.zeros((self.z.shape[0], 0)) if passed is None else passed
        for k, stage in enumerate(stages):
            problem = Problem(self.model, stage, self.parameters, self.priors)
            last = k == len(stages) - 1
            if not (done and k == 0):
                unknowns = self._unknowns(stage) if passed is None else passed
                z = np.concatenate([self.z, unknowns], axis=1)
                label = k if not done else k + 10
                if self.optimizer is not None and (k == 0 or self.polish is None):
                    z = self._descend_by_gradient(problem, z, label, self.optimizer, self.steps, "optimizer")
                if self.polish == "levenberg-marquardt":
                    settled, most = (_FINAL, self.max_steps) if last else (_EARLY, _EARLY_ITERATIONS)
                    if stage.blockwise and not done:  # first with the states that the data suggest
                        z, _ = self._descend(problem, z, label, settled, most, hold=True)
                    z, normal = self._descend(problem, z, label, settled, most)
                elif self.polish == "bfgs":
                    z = self._descend_by_gradient(problem, z, label, optax.lbfgs(), self.max_steps, "bfgs")
                self.z, unknowns = z[:, :p], z[:, p:]
                self.bar.finish(self.z.shape[0])
            if k == 0 and not done:
                self._prepared = self.z.copy(), unknowns.copy(), self._least() / stage.count(self.model)
            passed = None if last else self._following(stage, unknowns, stages[k + 1])
        self._missed = self._least() / max(stages[-1].count(self.model), 1) > 3 * self._prepared[2]
        return unknowns, normal

    def _least(self) -> float:
        return float(np.min(self.loss, initial=np.inf, where=np.isfinite(self.loss)))

    def _compile_ahead(self, stages: Any) -> concurrent.futures.ThreadPoolExecutor:
        """Compile the later stages while the first one compiles and runs: starts that have ended compute nothing."""
        ahead = concurrent.futures.ThreadPoolExecutor(_threads())
        if self.polish != "levenberg-marquardt":
            return ahead

        def compile_one(stage: AbstractTarget) -> None:
            problem = Problem(self.model, stage, self.parameters, self.priors)
            base, structure = Structure.of(problem)
            width = self.z.shape[1] + len(stage.unknown_names(self.model))
            state = LevenbergMarquardt.begin(np.zeros((self.z.shape[0], width), self.z.dtype), problem)
            state["code"][:] = CONVERGED
            task = LevenbergMarquardt(structure, _LM_CALL)
            with concurrent.futures.ThreadPoolExecutor(1) as one:
                shape = dataclasses.replace(_shape(self.z.shape[0], width), devices=tuple(jax.local_devices()))
                some = {name: each[: shape.block] for name, each in state.items()}
                engine.run(task, shape, one, base, some, np.ones(some["code"].size, np.int32), np.zeros(some["code"].size))

        for stage in stages:
            ahead.submit(compile_one, stage)
        return ahead

    def _models(self, function: Callable[..., Any], *others: Any) -> np.ndarray:
        """`function(model, …)` for all starts."""
        arrays = jax.vmap(lambda z, *each: function(self.parameters.model(self.model, z), *each))
        return np.asarray(eqx.filter_jit(arrays)(jnp.asarray(self.z), *map(jnp.asarray, others)))

    def _unknowns(self, stage: AbstractTarget) -> np.ndarray:
        if not stage.unknown_names(self.model):
            return np.zeros((self.z.shape[0], 0), self.z.dtype)
        return self._models(stage.unknowns)

    def _following(self, stage: AbstractTarget, unknowns: np.ndarray, next_one: AbstractTarget) -> np.ndarray | None:
        if stage.following(self.model, jnp.asarray(unknowns[0]), next_one) is None:
            return None
        return self._models(lambda model, each: stage.following(model, each, next_one), unknowns)

    def _engine(self, task: Any, base: Any, values: dict[str, np.ndarray], refine: int) -> dict[str, np.ndarray]:
        count = values["z"].shape[0]
        shape = _shape(self.z.shape[0], values["z"].shape[1])
        steps = np.full(count, refine, np.int32)
        return engine.run(task, shape, self.pool, base, values, steps, np.zeros(count))[0]

    def _descend(
        self,
        problem: Problem,
        z: np.ndarray,
        stage: int,
        settled: tuple[float, float],
        most: int,
        refine: int = 1,
        only: np.ndarray | None = None,
        hold: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(z, JᵀJ) of all starts after Levenberg–Marquardt; `only` the chosen starts move."""
        base, structure = Structure.of(problem)
        task = LevenbergMarquardt(structure, _LM_CALL)
        state = LevenbergMarquardt.begin(z, problem, hold)
        state["xtol"][:], state["ftol"][:] = settled
        running = np.arange(z.shape[0]) if only is None else only
        phase = f"{stage}:lm:{refine}:{hold}"
        state, taken = self.memory.restore(phase, state)
        if taken:
            running = running[state["code"][running] == RUNNING]
        while running.size and taken < most:
            found = self._engine(task, base, {name: each[running] for name, each in state.items()}, refine)
            self._record(stage, running, found.pop("history"))
            for name, each in found.items():
                state[name][running] = each
            running = running[state["code"][running] == RUNNING]
            taken += _LM_CALL
            if settled is _EARLY and running.size <= _STRAGGLERS * z.shape[0]:
                running = running[:0]
            self.memory.save(phase, state, taken, self)
        moved = np.arange(z.shape[0]) if only is None else only
        self.code[moved] = np.where(state["code"][moved] == RUNNING, STOPPED, state["code"][moved])
        self.loss[moved] = state["loss"][moved]
        return state["z"], state["A"]

    def _descend_by_gradient(
        self, problem: Problem, z: np.ndarray, stage: int, optimizer: Any, steps: int, phase: str
    ) -> np.ndarray:
        """z of all starts after an optax optimiser."""
        base, structure = Structure.of(problem)
        optimizer = optax.with_extra_args_support(optimizer)
        count = z.shape[0]
        states = jax.vmap(optimizer.init)(jnp.asarray(z))
        # The state of one start says how a state is laid out; the arrays of all have the starts as their first axis.
        _, layout = Structure.of(optimizer.init(jnp.asarray(z[0])))
        arrays, _ = Structure.of(states)
        call = min(_GRADIENT_CALL, steps)
        task = Gradient(structure, call, optimizer, layout, self.patience)
        integer = np.int64 if jax.config.jax_enable_x64 else np.int32
        state: dict[str, np.ndarray] = {f"state{k}": np.array(each) for k, each in enumerate(arrays)}
        state |= {
            "z": np.array(z),
            "best": np.array(z),
            "loss": np.full(count, np.inf, z.dtype),
            "waited": np.zeros(count, integer),
            "code": np.full(count, RUNNING, integer),
        }
        running = np.arange(count)
        name_of_phase = f"{stage}:{phase}"
        state, taken = self.memory.restore(name_of_phase, state)
        if taken:
            running = running[state["code"] == RUNNING]
        while running.size and taken < steps:
            found = self._engine(task, base, {name: each[running] for name, each in state.items()}, 1)
            self._record(stage, running, found.pop("history"))
            for name, each in found.items():
                state[name][running] = each
            running = running[state["code"][running] == RUNNING]
            taken += call
            self.memory.save(name_of_phase, state, taken, self)
        self.code = np.where(state["code"] == RUNNING, STOPPED, state["code"]).astype(int)
        self.loss = state["loss"].copy()
        return state["best"]

    def _refine(self, goal: AbstractTarget, unknowns: np.ndarray, normal: Any, stage: int) -> tuple[Any, Any, int]:
        """The starts near the best fit once more, with finer steps until that no longer changes them."""
        p, refine = self.parameters.size, 1
        problem = Problem(self.model, goal, self.parameters, self.priors)
        for finer in _REFINEMENTS:
            least = np.min(self.loss, initial=np.inf, where=np.isfinite(self.loss))
            near = np.flatnonzero(np.isfinite(self.loss) & (self.code != NON_FINITE) & (self.loss <= 1.5 * least))
            if not near.size:
                break
            z = np.concatenate([self.z, unknowns], axis=1)
            new, found = self._descend(problem, z, stage, _FINAL, self.max_steps, finer, near)
            normal, refine = np.where(np.isin(np.arange(z.shape[0]), near)[:, None, None], found, normal), finer
            best = near[np.argmin(self.loss[near])]
            change = np.abs(new[best] - z[best])[:p]
            self.z, unknowns = new[:, :p], new[:, p:]
            error = _deviation(normal[best], self.loss[best], goal, self.model)[:p]
            if np.all(change / _GAIN <= np.maximum(1e-9, 1e-3 * error)):
                break
        return unknowns, normal, refine

    def _record(self, stage: int, running: np.ndarray, history: np.ndarray) -> None:
        whole = np.full((self.z.shape[0], history.shape[1]), np.nan)
        whole[running] = np.where(np.isfinite(history), history, np.nan)
        self.history.append(whole)
        self.stage += [stage] * history.shape[1]

    def _result(
        self, goal: Any, x: np.ndarray, unknowns: np.ndarray, normal: Any, refine: int, interrupted: bool, began: float
    ) -> Fitted:
        z, p = jnp.asarray(self.z), self.parameters.size
        values = np.asarray(jax.vmap(self.parameters.values)(z))
        covariance = np.full((z.shape[0], p, p), np.nan)
        residuals = goal.count(self.model)
        if normal is not None and goal.has_residuals and normal.shape[1] == p + unknowns.shape[1]:
            slopes = np.asarray(jax.vmap(self.parameters.slope)(z))
            free = residuals - normal.shape[1]
            for k in range(z.shape[0]):
                factor = 1.0 if goal.noise_known else 2 * self.loss[k] / free if free > 0 else np.inf
                covariance[k] = _inverse(normal[k])[:p, :p] * factor * np.outer(slopes[k], slopes[k])
        history = np.concatenate(self.history, axis=1) if self.history else np.zeros((z.shape[0], 0))
        code = np.where(self.code == RUNNING, STOPPED, self.code)
        return Fitted(
            model=self.model,
            target=goal,
            parameters=self.parameters,
            values=values,
            initial=x,
            unknowns=unknowns,
            loss=self.loss,
            status=code,
            history=history,
            stage=np.asarray(self.stage, int),
            covariance=covariance,
            residual_count=int(residuals),
            refine=refine,
            seconds=time.perf_counter() - began,
            prior=self.priors,
            interrupted=interrupted,
        )


def _inverse(A: np.ndarray) -> np.ndarray:
    """A⁻¹ of a symmetric matrix by its scaled eigenvectors; infinite variances along directions without information."""
    if not np.all(np.isfinite(A)):
        return np.full_like(A, np.nan)
    scale = 1 / np.sqrt(np.maximum(np.diagonal(A), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(A * np.outer(scale, scale))
    flat = values <= 1e-14 * max(values[-1], 0)
    inverse = (vectors / np.where(flat, np.inf, values)) @ vectors.T
    # What a direction without information touches has no variance that the data bound.
    lost = np.any(np.abs(vectors[:, flat]) > 1e-6, axis=1)
    np.fill_diagonal(inverse, np.where(lost, np.inf, np.diagonal(inverse)))
    return inverse * np.outer(scale, scale)


def _deviation(A: np.ndarray, loss: Any, goal: AbstractTarget, model: Any) -> np.ndarray:
    free = goal.count(model) - A.shape[0]
    factor = 1.0 if goal.noise_known else 2 * float(loss) / free if free > 0 else 0.0
    variance = np.diagonal(_inverse(A)) * factor
    return np.sqrt(np.where(np.isfinite(variance) & (variance > 0), variance, 0.0))


def _threads() -> int:
    return max(len(jax.local_devices()), engine._cores())


def _shape(count: int, width: int) -> engine.Shape:
    """Blocks of starts: their runs fill vectors, and no start waits for too many others."""
    devices = tuple(jax.local_devices())
    threads = _threads()
    largest = 16 if devices[0].platform == "cpu" else 256
    return engine.Shape(int(np.clip(-(-count // threads), 1, largest)), 1, threads, devices)


class _Memory:
    """A file with the state of a fit, written after every call; None keeps nothing."""

    def __init__(self, store: Any, identity: Any):
        self.path = None if store is None else pathlib.Path(store)
        self.kept: dict[str, Any] = {}
        if self.path is None:
            return
        self.fingerprint = _fingerprint(identity)
        if self.path.exists():
            try:
                with np.load(self.path) as file:
                    self.kept = {name: file[name] for name in file.files}
                stored = str(self.kept.pop("fingerprint"))
            except (OSError, ValueError, KeyError) as error:
                raise ValueError(
                    f"Argument `store` must be a file of `fit`, but {str(self.path)!r} can't be read."
                ) from error
            same = stored == self.fingerprint
            require("store", str(self.path), "belong to this call (same model, starts and settings)", same)

    def restore(self, phase: str, state: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
        """The state of a phase as it was saved last, and its iterations; as given, and 0, where it wasn't."""
        state = {name: np.array(each) for name, each in state.items()}
        prefix = f"{phase}/"
        saved = {name.removeprefix(prefix): each for name, each in self.kept.items() if name.startswith(prefix)}
        if "taken" not in saved:
            return state, 0
        taken = int(saved.pop("taken"))
        return saved, taken

    def save(self, phase: str, state: dict[str, np.ndarray], taken: int, run: Any) -> None:
        if self.path is None:
            return
        self.kept |= {f"{phase}/{name}": each.copy() for name, each in state.items()} | {f"{phase}/taken": np.asarray(taken)}
        partial = self.path.with_name(self.path.name + ".partial")
        with open(partial, "wb") as file:
            np.savez(file, fingerprint=np.asarray(self.fingerprint), **self.kept)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path)


def _fingerprint(identity: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(identity):
        if eqx.is_array(leaf):
            digest.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
        else:
            digest.update(json.dumps(str(leaf)).encode())
    return digest.hexdigest()
