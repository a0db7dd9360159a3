"""`fit`, parameters from data: many starts at once, with progress, checkpoints, and the best so far at Ctrl-C."""

import os
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import ndtri

from .._blas import with_one_thread
from .._checks import as_count, as_key, require
from .._files import as_new_file
from .._identity import fresh, written
from .._nan import nan_is_absent
from .._parameter import dtype_of, with_dtype
from .._progress import Progress
from .._types import Key
from ..models.base import AbstractModel, as_model
from .memory import Memory
from .parametrization import Parametrization, attribute, parametrize
from .result import FitResult
from .search import Method, Search, inverses_of, values_of
from .target import as_target
from .units import time_constants

_LARGEST_JACOBIAN = 512  # free numbers of a fit by Levenberg–Marquardt
_POLISHES = ("levenberg-marquardt", "bfgs", None)


@nan_is_absent
@with_one_thread
def fit(
    model: AbstractModel,
    *,
    free: Any,
    target: Any,
    starts: Any = None,
    optimizer: Any = None,
    steps: int = 200,
    polish: str | None = "levenberg-marquardt",
    max_steps: int = 200,
    patience: int = 50,
    bounds: Mapping[str, Any] | None = None,
    prior: Mapping[str, Any] | None = None,
    spread: float = 0.5,
    key: Key | None = None,
    store: str | os.PathLike[str] | None = None,
    name: str = "",
    progress: bool = True,
) -> FitResult:
    """The parameters of `model` that make `target` smallest, from many starts at once.

        minimise  ½ Σ residuals(model)²  (+ ½ ((x − mean)/deviation)² with a prior)  or any loss(model)

    - `free`: names of the parameters to fit (`eta`, `gap.g`, `adaptation.alpha`; of a network `node.eta`, `weights`),
      or a mapping of names to True, a mask of the entries that are free, or a `RegionalMap`
    - `target`: a target such as `TrajectoryTarget(...)`, a weighted sum of targets, or a function loss(model)
    - `starts`: how many, by default 16, or 4 for connectivity: the first is the model itself, the others a Sobol sequence in
      the bounds, the prior, or around the model by `spread` of each parameter's size; or a mapping of the free names to
      arrays of starts
    - `optimizer`: an optax optimiser for `steps` updates (schedules and clipping as optax has them), stopped early after
      `patience` updates without progress; None for none
    - `polish`: "levenberg-marquardt" for up to `max_steps` iterations, "bfgs" (optax's L-BFGS; what a plain loss gets), None
    - `bounds`: names with (lower, upper), None for a side, within the declared ones, which always hold; `prior`: names with
      (mean, deviation)
    - `key`: a random key that scrambles the Sobol sequence
    - `model`: what is fitted; free parameters start from its values
    - `progress`: whether to show starts done, rate and time left
    - `store`: a file that keeps the state; the same call resumes from it after a crash
    - `name`: with `store`, a name for what can't be told apart by looking at it, functions in `target` and the `optimizer`,
      such as `name="penalty on η, adam(1e-2)"`: change it when they change, or anything they use. A class from outside
      nmmjax needs an attribute `version` likewise

    All starts run side by side on all cores and devices; one that fails does not affect the others and says how it ended.
    Fits to runs begin with short segments, whose loss has fewer valleys. Ctrl-C returns the best so far. Returns a
    `FitResult`. Raises `ValueError` in one sentence for wrong arguments. Sources: Marquardt, J. Soc. Ind. Appl. Math. 11:431
    (1963), for the polish; Baldy et al., Neural Comput. 36:2030 (2024), for the problem by which it is measured.
    """
    began = time.perf_counter()
    model = as_model(model)
    if store is not None:
        store = as_new_file(store, "store")
    require("name", name, "be a text", isinstance(name, str))
    goal = with_dtype(fresh(as_target(target)), dtype_of(model))
    goal.check(model)
    parameters = parametrize(model, free, bounds)
    goal.check_units(*time_constants(model, free, bounds))
    priors = _priors(parameters, prior)
    steps, max_steps, patience = as_count("steps", steps), as_count("max_steps", max_steps), as_count("patience", patience)
    key = None if key is None else as_key(key)
    known = optimizer is None or isinstance(optimizer, optax.GradientTransformation)
    require("optimizer", optimizer, "be None or an optax optimiser such as `optax.adam(1e-2)`", known)
    require("polish", polish, f"be one of {_POLISHES}", polish in _POLISHES)
    require("polish", polish, "be given, or an `optimizer`", polish is not None or optimizer is not None)
    if polish == "levenberg-marquardt" and not goal.has_residuals:
        polish = "bfgs"
    if polish == "levenberg-marquardt":
        rule = f'be "bfgs" or None for more than {_LARGEST_JACOBIAN} free numbers ({parameters.size})'
        require("polish", polish, rule, parameters.size <= _LARGEST_JACOBIAN)
    starts = goal.usual_starts if starts is None else starts
    x = _start_values(model, parameters, starts, priors, spread, key)
    z = np.asarray(inverses_of(parameters, jnp.asarray(x, parameters.scale.dtype)))
    method = Method(None if optimizer is None else fresh(optimizer), steps, patience, polish, max_steps)
    config = None
    if store is not None:
        rule = "be given with `store` for an optimiser, whose settings can't be told; change it with them"
        require("name", name, rule, optimizer is None or name)
        config = _config(model, goal, parameters, priors, z, method, name)
    memory = Memory(store, config)
    search = Search(model, parameters, priors, z, method, memory)
    try:
        with Progress(z.shape[0] * search.reports(goal), 0, progress, "fit", "starts") as bar:
            search.report = bar.finish
            search.run(goal)
    finally:
        memory.close()
    history = np.concatenate(search.history, axis=1) if search.history else np.zeros((z.shape[0], 0))
    return FitResult(
        model=model,
        target=goal,
        parameters=parameters,
        values=np.asarray(values_of(parameters, jnp.asarray(search.z))),
        initial=x,
        unknowns=search.unknowns,
        loss=search.loss,
        status=search.code,
        history=history,
        stage=np.asarray(search.stage, int),
        covariance=search.covariance(goal),
        residual_count=int(goal.count(model)),
        refine=search.refine,
        seconds=time.perf_counter() - began,
        prior=priors,
        interrupted=search.interrupted,
    )


def _config(
    model: AbstractModel, goal: Any, parameters: Parametrization, priors: object, z: np.ndarray, method: Method, name: str
) -> dict[str, Any]:
    """The call, as JSON: two fits with equal configurations have equal results."""
    names = ("steps", "patience", "polish", "max_steps")
    return {
        "name": name,
        "model": written(model, strict=True),
        "target": written(goal, strict=True, named=bool(name), owner="`fit`"),
        "starts": {"count": z.shape[0], "values": written(z)},
        "free": written(parameters, strict=True),
        "prior": written(priors),
        "optimizer": method.optimizer is not None,
        **{each: getattr(method, each) for each in names},
        "dtype": str(z.dtype),
    }


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


def _start_values(
    model: AbstractModel, parameters: Parametrization, starts: object, priors: Any, spread: Any, key: Any
) -> np.ndarray:
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
        for name, column, part in zip(parameters.names, columns, parameters.parts, strict=True):
            shape = part.shape(attribute(model, name))
            rule = f"have the shape (starts, …) of `{name}`, {(count, *shape)}"
            require("starts", column.shape, rule, column.shape == (count, *shape))
            flat.append(np.asarray(jax.vmap(part.read)(jnp.asarray(column))))
        x = np.concatenate(flat, axis=1)
        low, high = parameters.edges
        inside = bool(np.all((x >= low) & (x <= high)))
        require("starts", x, "lie within the bounds", inside)
        return x
    starts = as_count("starts", starts, rule="be an integer ≥ 1, or a mapping of the free names to arrays")
    require("spread", spread, "be a number > 0", float(spread) > 0)
    if starts == 1:
        return own[None]
    share = _sobol(starts - 1, parameters.size, key)
    normal = ndtri(share)
    size, mean, deviation = (np.asarray(each) for each in (parameters.scale, *priors))
    low, high = np.asarray(parameters.lower), np.asarray(parameters.upper)
    kind = np.asarray(parameters.kinds)
    x = own + float(spread) * size * normal
    x = np.where(kind == "above", low + np.maximum(own - low, 1e-3 * size) * np.exp(float(spread) * normal), x)
    x = np.where(kind == "below", high - np.maximum(high - own, 1e-3 * size) * np.exp(float(spread) * normal), x)
    x = np.where(kind == "between", low + (high - low) * share, x)
    x = np.where(np.isfinite(deviation), mean + np.where(np.isfinite(deviation), deviation, 0) * normal, x)
    low, high = parameters.edges
    margin = 1e-6 * np.where(np.isfinite(high - low), high - low, size)
    return np.concatenate([own[None], np.clip(x, low + margin, high - margin)])


def _sobol(count: int, size: int, key: Key | None) -> np.ndarray:
    """Points of a Sobol sequence in (0, 1)^size, or random ones beyond its dimensions."""
    from scipy.stats import qmc

    seed = 0 if key is None else int(jax.random.bits(key, dtype=jnp.uint32))
    if size > qmc.Sobol.MAXDIM:
        return np.random.default_rng(seed).uniform(1e-6, 1 - 1e-6, (count, size))
    points = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(seed)).random_base2(
        int(np.ceil(np.log2(max(count, 2))))
    )
    return np.clip(points[:count], 1e-6, 1 - 1e-6)
