"""Models as simulators for simulation-based inference: parameters in, what is observed out, arrays of NumPy.

Nothing here needs the packages of inference; adapters import them where they are asked for.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from .._checks import as_array, as_count, as_key, refuse_unknown, require
from .._optional import optional
from .._parameter import describe, parameter_table
from .._results import Shown
from .._types import Key, Real
from ..ensemble.plan import path_of, sweepable
from ..landscape.landscapes import stable_state
from ..mechanics.channels import Problem
from ..models.base import AbstractModel, as_model
from ..models.state import StateLike
from ..models.stimulus import as_stimulus
from ..monitors.base import AbstractMonitor, AbstractStatistic
from .sweeping import plan_of, run_plan

_PERIODS = 300  # of the slowest monitor, how long is simulated by default
_ENDS = ("status", "failure_time", "error", "steps")  # of a sweep's results, what says how a lane ended
_PACKAGES = ("numpy", "sbi", "bayesflow", "sbijax")


class UniformPrior(Shown):
    """Independent parameters, each uniform between its bounds; made by `Simulator.prior`.

    - `names` (p,): of the parameters; `low`, `high` (p,): their bounds

    `sample(n)` draws anew with every call, the same in every process for the same `seed`.
    """

    def __init__(self, names: tuple[str, ...], low: np.ndarray, high: np.ndarray, seed: Any = 0):
        self.names, self.low, self.high = names, low, high
        self._random = np.random.default_rng(seed)

    def sample(self, n: int) -> np.ndarray:
        """`n` draws, (n, p)."""
        n = as_count("n", n)
        return self._random.uniform(self.low, self.high, (n, self.low.size)).astype(self.low.dtype)

    def log_prob(self, theta: Any) -> np.ndarray:
        """ln of the density at `theta` (…, p), −∞ outside the bounds, (…,)."""
        x = np.asarray(theta)
        inside = np.all((x >= self.low) & (x <= self.high), axis=-1)
        return np.where(inside, -np.sum(np.log(self.high - self.low)), -np.inf)

    def __repr__(self) -> str:
        shown = (f"{name} in [{a:g}, {b:g}]" for name, a, b in zip(self.names, self.low, self.high, strict=True))
        return f"UniformPrior({', '.join(shown)})"


class Simulator(Shown):
    """A model as a function θ (batch, p) → x (batch, q); made by `as_simulator`, whose arguments say what is simulated.

    - `names` (p,): of the parameters in θ; `outputs` (q,): of what is in x, such as `rate[V1]` or `fc[V1,V2]`
    - `model`: the model whose other parameters are held

    Calls draw new noise every time, in an order that begins anew with every `Simulator` of the same key; a call with a `key`
    of its own repeats.
    """

    def __init__(self, model: AbstractModel, over: Mapping[str, Any], call: dict[str, Any], key: Key, progress: bool):
        self.model, self.names, self._over = model, tuple(over), dict(over)
        self._call, self._key, self._calls, self._progress = call, key, 0, progress
        self._noisy = call.get("noise") is not None
        plan = self._plan(self._middle()[None], key)
        self._declared = sweepable(plan.base)
        for name, pair in self._over.items():
            rule = f"keep `{name}` {self._declared[name].rule}"
            require("over", pair, rule, pair is None or self._declared[name].allows(np.asarray(pair)))
        self._variables = {name: each for name, each in plan.variables.items() if name not in _ENDS}
        coords = {name: np.asarray(values) for name, (_, values, _) in plan.coords.items()}
        self._parts = {name: _places(each) for name, each in self._variables.items()}
        self.outputs = tuple(
            label for name, each in self._variables.items() for label in _labels(name, each, self._parts[name], coords)
        )
        self.dtype = np.dtype(plan.dtype)

    def __call__(self, theta: Any, key: Key | None = None) -> np.ndarray:
        """x (batch, q) at `theta` (batch, p), or (q,) at one (p,); rows of failed lanes are NaN. `key`: of the noise; by
        default another one with every call."""
        return self.run(theta, key)[0]

    def run(self, theta: Any, key: Key | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(x, valid): what a call with `theta` and `key` returns, and which rows are to be trusted, (batch,): the lane ended
        well, and all outputs are finite."""
        values = np.asarray(as_array(theta))
        p = len(self.names)
        rule = f"be numbers (batch, {p}), the parameters {', '.join(self.names)}"
        fits = values.dtype.kind == "f" and values.ndim in (1, 2) and values.shape[-1] == p and values.size > 0
        require("theta", theta, rule, fits)
        if key is None:
            key, self._calls = jax.random.fold_in(self._key, self._calls), self._calls + 1
        data = run_plan(self._plan(values.reshape(-1, p), as_key(key)), progress=self._progress)
        columns = [data[name].values.reshape(len(data["status"]), -1)[:, self._parts[name]] for name in self._variables]
        x = np.concatenate(columns, axis=1).astype(self.dtype)
        valid = (data["status"].values == 0) & np.all(np.isfinite(x), axis=1)
        return (x[0], np.asarray(valid[0])) if values.ndim == 1 else (x, valid)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the parameters, (p,) each: those given to `as_simulator`, else the declared ones. Raises
        `ValueError` if one of them is infinite."""
        pairs = []
        for name in self.names:
            declared = self._declared[name]
            low, high = (declared.lower, declared.upper) if self._over[name] is None else self._over[name]
            rule = f"give bounds for `{name}`, as in over={{{name!r}: (low, high)}}: it is declared {declared.rule}"
            require("over", self.names, rule, np.isfinite(low) and np.isfinite(high))
            pairs.append((low, high))
        low, high = np.asarray(pairs, self.dtype).T
        return low, high

    def prior(self, package: str = "numpy") -> Any:
        """The uniform prior within `bounds` for a `package`: a `UniformPrior` for "numpy" (the default), `BoxUniform` for
        "sbi", a function of the batch's shape that returns {name: (batch, 1)} for "bayesflow", a `JointDistributionNamed`
        for "sbijax"."""
        require("package", package, f"be one of {', '.join(_PACKAGES)}", package in _PACKAGES)
        low, high = self.bounds
        if package == "sbi":
            torch, utils = optional("torch", "sbi"), optional("sbi.utils", "sbi")
            ends = (torch.as_tensor(each, dtype=torch.float32) for each in (low, high))
            return utils.BoxUniform(*ends)
        if package == "sbijax":
            laws = optional("tensorflow_probability.substrates.jax", "sbi").distributions
            uniform = {name: laws.Uniform(*ends) for name, *ends in zip(self.names, low, high, strict=True)}
            return laws.JointDistributionNamed(uniform, batch_ndims=0)
        prior = UniformPrior(self.names, low, high, np.asarray(jax.random.key_data(self._key)))
        if package == "numpy":
            return prior
        return lambda batch_shape: self._named(prior.sample(int(np.prod(batch_shape))), batch_shape)

    def simulator(self, package: str = "numpy") -> Callable[..., Any]:
        """This simulator as a `package` calls it. "numpy" (the default): itself. "sbi": tensor θ (batch, p) → tensor x
        (batch, q) of single precision, for `simulate_for_sbi`. "bayesflow": `sample(batch_shape, **parameters)` → {name:
        (batch, …)} of parameters, drawn from the prior if not given, and observables, for `LambdaSimulator(…,
        is_batched=True)`. "sbijax": `simulator_fn(seed, theta)`, theta {name: (batch,)}."""
        require("package", package, f"be one of {', '.join(_PACKAGES)}", package in _PACKAGES)
        if package == "numpy":
            return self
        if package == "sbi":
            return lambda theta: theta.new_tensor(self(theta.detach().cpu().numpy()).astype(np.float32))
        if package == "sbijax":

            def simulator_fn(seed: Any, theta: Any) -> np.ndarray:
                columns = [np.asarray(theta[name]).reshape(-1) for name in self.names]
                return self(np.stack(columns, axis=1), seed)

            return simulator_fn
        draw = None if any(each is None for each in self._over.values()) else self.prior("bayesflow")

        def sample(batch_shape: Any, **parameters: Any) -> dict[str, np.ndarray]:
            given = {name: np.asarray(parameters[name]) for name in self.names if name in parameters}
            if len(given) < len(self.names):
                given = (self.prior("bayesflow") if draw is None else draw)(batch_shape) | given
            shape = tuple(int(each) for each in np.ravel(batch_shape))
            theta = np.stack([np.broadcast_to(given[name].reshape(*shape, -1)[..., 0], shape) for name in self.names], -1)
            x = self(theta.reshape(-1, len(self.names)))
            parts = np.split(x, np.cumsum([each.size for each in self._parts.values()])[:-1], axis=1)
            found = {name: part.reshape(*shape, -1) for name, part in zip(self._parts, parts, strict=True)}
            return self._named(theta.reshape(-1, len(self.names)), shape) | found

        return sample

    def _named(self, theta: np.ndarray, batch_shape: Any) -> dict[str, np.ndarray]:
        shape = tuple(int(each) for each in np.ravel(batch_shape))
        return {name: theta[:, k].reshape(*shape, 1) for k, name in enumerate(self.names)}

    def _middle(self) -> np.ndarray:
        """One set of parameters: in the middle of given bounds, else what they are."""
        y0, noise = self._call["y0"], self._call["noise"]
        base = Problem(self.model, y0, as_stimulus(self._call.get("stimulus"), self.model), noise)
        known = {**sweepable(base), **({} if noise is None else {"noise": None, "noise.size": None})}
        refuse_unknown(self.names, known, "parameters of a simulator,")
        table, found = parameter_table(self.model), []
        for name in self.names:
            pair = self._over[name]
            if pair is not None or name == "noise":
                found.append(0.0 if pair is None else sum(pair) / 2)
            else:
                held = table[name][1] if name in table else operator.attrgetter(path_of(base, name))(base)
                found.append(float(np.ravel(held)[0]))
        return np.asarray(found)

    def _plan(self, theta: np.ndarray, key: Key) -> Any:
        over = {name: ("draw", theta[:, k]) for k, name in enumerate(self.names)}
        return plan_of(self.model, over=over, key=key if self._noisy else None, **self._call)

    def __repr__(self) -> str:
        shown = ", ".join(self.outputs[:4]) + (f", … ({len(self.outputs)} in all)" if len(self.outputs) > 4 else "")
        bounds = ("" if each is None else f" in [{each[0]:g}, {each[1]:g}]" for each in self._over.values())
        parameters = ", ".join(f"{name}{each}" for name, each in zip(self.names, bounds, strict=True))
        return f"Simulator of {describe(self.model)}\n  parameters {parameters}\n  outputs    {shown}"


def as_simulator(
    model: AbstractModel,
    *,
    over: Any,
    observe: Mapping[str, Any],
    y0: StateLike | None = None,
    t1: Real | None = None,
    noise: Any = None,
    key: Key | None = None,
    progress: bool = False,
    **options: Any,
) -> Simulator:
    """A model as a simulator for simulation-based inference: parameters in, observables out, by the engine of `sweep`.

        x = simulator(θ),   θ (batch, p),   x (batch, q)

    Use it with sbi, BayesFlow or sbijax, where a likelihood is out of reach: functional connectivity of noisy brains with
    BOLD, statistics of bursts; `fit` and `sample_posterior` need no simulations where there is a target.

    - `model`: any model or network
    - `over`: the parameters in θ: names as in `sweep`, "noise" among them, or a mapping of names to (low, high), the bounds
      of the prior; None for the declared bounds, which must be finite when the prior is asked for
    - `observe`: names with observables, monitors or their statistics, as in `sweep`; of a matrix over pairs, the part above
      the diagonal is taken
    - `y0`: state at time 0; by default the stable state of lowest rate, of a network that which is reached from its nodes'
      lowest ones
    - `t1`: last time; by default 300 periods of the slowest monitor
    - `noise`: its intensity, as in `sweep`, where it is not among the parameters
    - `key`: random key from which every call draws one of its own; `jax.random.key(0)` by default
    - `progress`: whether calls show lanes done and time left
    - `**options`: `t0`, `stimulus`, `solver`, `rtol`, `atol`, `dt0`, `estimate` of `sweep`

    Returns a `Simulator`: call it, `.run(θ)` with a mask of the valid rows, `.prior("sbi")` and `.simulator("sbi")` for
    packages. Failed lanes are NaN and do not affect the others. Raises `ValueError` in one sentence for what `sweep`
    refuses, and for bounds that aren't any. Source: Cranmer, Brehmer & Louppe, PNAS 117:30055 (2020), for the method.
    """
    model = as_model(model)
    own: Any = jax.random.key(0) if key is None else as_key(key)
    bounds = _bounds(over)
    if noise is None and "noise" in bounds:
        noise = 0.0
    if y0 is None:
        y0 = stable_state(model, None, highest=False)[0]
    refuse_unknown(options, ("t0", "stimulus", "solver", "rtol", "atol", "dt0", "estimate"), "options of `sweep`")
    require("observe", observe, "be a mapping from names to observables", isinstance(observe, Mapping))
    if t1 is None:
        periods = [period for each in observe.values() if (period := _period(each)) is not None]
        require("t1", t1, "be given, unless monitors are observed", periods)
        t1 = float(options.get("t0") or 0.0) + _PERIODS * max(periods)
    require("progress", progress, "be True or False", isinstance(progress, bool))
    call = {"y0": model.state(y0), "t1": t1, "observe": observe, "noise": noise, **options}
    return Simulator(model, bounds, call, own, progress)


def _bounds(over: Any) -> dict[str, tuple[float, float] | None]:
    """Names of the parameters, with bounds if given."""
    names = (over,) if isinstance(over, str) else over
    listed = isinstance(names, Sequence | Mapping) and len(names) > 0 and all(isinstance(each, str) for each in names)
    require("over", over, "be names of parameters, or a mapping of names to (low, high)", listed)
    require("over", names, "name each parameter once", len(set(names)) == len(names))
    if not isinstance(names, Mapping):
        return dict.fromkeys(names)
    found: dict[str, tuple[float, float] | None] = {}
    for name, pair in names.items():
        rule = f"give (low, high) for `{name}`, two numbers with low < high, or None"
        ends = np.zeros(0) if pair is None else np.ravel(as_array(pair)).astype(float)
        require("over", pair, rule, pair is None or (ends.size == 2 and bool(-np.inf < ends[0] < ends[1] < np.inf)))
        found[name] = None if pair is None else (float(ends[0]), float(ends[1]))
    return found


def _period(observable: Any) -> float | None:
    """The period of a monitor, or of a statistic's; None for other observables."""
    monitor = observable.monitor if isinstance(observable, AbstractStatistic) else observable
    return monitor.period if isinstance(monitor, AbstractMonitor) else None


def _places(variable: Any) -> np.ndarray:
    """Which entries of a flat variable are outputs: all, or of axes `node` and `other_node` those above the diagonal."""
    index = np.arange(int(np.prod(variable.shape))).reshape(variable.shape)
    for k, dim in enumerate(variable.dims):
        if f"other_{dim}" in variable.dims:
            other = variable.dims.index(f"other_{dim}")
            above = np.triu_indices(variable.shape[k], 1)
            return np.moveaxis(index, (k, other), (-2, -1))[..., above[0], above[1]].ravel()
    return index.ravel()


def _labels(name: str, variable: Any, places: np.ndarray, coords: Mapping[str, np.ndarray]) -> list[str]:
    """`name[V1,V2]` for the entries of a variable at `places`."""
    if not variable.shape:
        return [name]
    axes = [coords.get(dim, np.arange(size)) for dim, size in zip(variable.dims, variable.shape, strict=True)]
    at = np.stack(np.unravel_index(places, variable.shape), axis=1)
    word = lambda value: f"{value:g}" if isinstance(value, np.floating) else str(value)
    return [f"{name}[{','.join(word(axis[k]) for axis, k in zip(axes, row, strict=True))}]" for row in at]
