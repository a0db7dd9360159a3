"""The posterior of a fit by NUTS (extra `bayes`): what data and priors say about the parameters."""

import dataclasses
import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_key, require
from .._labelled import about_parameter, attributes_of, software, xarray
from .._nan import nan_is_absent
from .._optional import optional
from .._progress import Progress
from .._results import Shown
from .._types import Key, Scalar, Values
from .descent import Problem
from .parametrization import Parametrization
from .result import FitResult
from .uncertainty import curvature, estimated_variance, identifiability

_WIDEST = 3.0  # standard deviation in z that directions without information start with
_DENSE = 24  # numbers up to which the mass matrix has off-diagonal entries
_CHUNK = 50  # draws between looks at the clock
_PROBES, _SAME = 16, 0.02  # points at which losses with coarser steps are compared, and how far they may be apart
_MIXED, _ENOUGH = 1.01, 400  # R̂ below which, and effective draws above which, chains count as mixed


@dataclasses.dataclass(frozen=True, repr=False)
class Posterior(Shown):
    """Draws from the posterior of a fit, labelled.

    - `posterior`: an `xarray.Dataset` over `chain` and `draw`, one variable per free number, and per unknown of the target,
      in their own units
    - `sample_stats`: the same of the sampler: `lp` (log density in the sampler's coordinates), `diverging`, `energy`,
      `acceptance_rate`, `n_steps`, `tree_depth`
    - `interrupted`: whether Ctrl-C ended the sampling
    - `r_hat`, `ess_bulk`, `ess_tail`: of every variable, rank-normalised (Vehtari et al. 2021); R̂ is NaN for one chain

    `plot.posterior` draws it; ArviZ takes it by `to_arviz()`, or `az.convert_to_dataset(found.posterior)`.
    """

    posterior: Any
    sample_stats: Any
    r_hat: dict[str, float]
    ess_bulk: dict[str, float]
    ess_tail: dict[str, float]
    interrupted: bool = False

    @property
    def divergences(self) -> int:
        """Draws whose trajectory diverged: if there are many, the posterior has a corner that wasn't entered."""
        return int(self.sample_stats["diverging"].sum())

    @property
    def mixed(self) -> bool:
        """Whether all chains agree (R̂ ≤ 1.01), with 400 effective draws or more, and none diverged."""
        agree = all(not value > _MIXED for value in self.r_hat.values())
        return agree and min(self.ess_bulk.values()) >= _ENOUGH and self.divergences == 0

    def interval(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Credible intervals with equal tails that hold the share `level` of the draws, by name."""
        require("level", level, "lie between 0 and 1", 0 < level < 1)
        ends = ((1 - level) / 2, (1 + level) / 2)
        return {
            str(name): (float(np.quantile(x.values, ends[0])), float(np.quantile(x.values, ends[1])))
            for name, x in self.posterior.data_vars.items()
        }

    def to_arviz(self) -> Any:
        """ArviZ's own container with the groups `posterior` and `sample_stats`: an `InferenceData`, or from ArviZ 1 on an
        `xarray.DataTree`."""
        try:
            arviz = importlib.import_module("arviz")
        except ModuleNotFoundError as error:
            hint = "`arviz` is not installed; get it with `pip install arviz`, or use `to_datatree()`."
            raise ModuleNotFoundError(hint, name=error.name) from None
        groups = {"posterior": self.posterior, "sample_stats": self.sample_stats}
        if hasattr(arviz, "InferenceData"):
            return arviz.InferenceData(**groups)
        return self.to_datatree()

    def to_datatree(self) -> Any:
        """An `xarray.DataTree` with the groups `posterior` and `sample_stats`, which files keep by `to_netcdf`."""
        xr = xarray()
        return xr.DataTree.from_dict({"/posterior": self.posterior, "/sample_stats": self.sample_stats})

    def __repr__(self) -> str:
        names = [str(name) for name in self.posterior.data_vars]
        width = max(len(name) for name in names)
        sizes = self.posterior.sizes
        note = " (interrupted)" if self.interrupted else ""
        lines = [f"Posterior: {sizes['chain']} chains of {sizes['draw']} draws{note}, {self.divergences} divergent"]
        lines.append(f"  {'':{width}}  {'mean':>11}  {'deviation':>9}  {'95 % interval':>24}  {'R̂':>6}  {'effective':>9}")
        interval = self.interval()
        for name in names[:24]:
            x = self.posterior[name].values
            low, high = interval[name]
            lines.append(
                f"  {name:{width}}  {np.mean(x):11.5g}  {np.std(x):9.3g}  {f'[{low:.5g}, {high:.5g}]':>24}  "
                f"{self.r_hat[name]:6.4g}  {self.ess_bulk[name]:9.0f}"
            )
        if not self.mixed:
            lines.append("  The chains haven't mixed well: draw more, warm up longer, or give priors.")
        return "\n".join(lines)


@nan_is_absent
def sample_posterior(
    fitted: FitResult,
    *,
    key: Key,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    target_acceptance: float = 0.9,
    max_depth: int = 8,
    progress: bool = True,
) -> Posterior:
    """Draws from the posterior of a fit's parameters and its target's unknowns, by the No-U-Turn sampler.

        log density(z) = −loss(x(z)) + Σ log |dx/dz|

    with the fit's target, priors and bounds: flat in x within the bounds without a prior, flat in the unknowns. A
    noise that isn't known is integrated out with the density 1/σ, and −(m/2) log loss takes the place of −loss. A plain loss
    counts as minus the log likelihood.

    - `fitted`: the result of `fit`; `key`: a random key
    - `chains`, `warmup`, `draws`: chains, adaptation steps and draws of each. Chains start around the best fit, scattered by
      its covariance, which also scales the coordinates; step size and mass matrix adapt to `target_acceptance`
    - `max_depth`: of the trajectory tree, which has at most 2^max_depth steps; `progress`: whether to show draws made

    Every step costs one gradient of the target, with the coarsest of the fit's solver steps that give the same loss. Ctrl-C
    returns the draws made so far. Raises `ValueError` for a fit without a finite loss, and if the data, bounds and priors
    leave a parameter open so that there is no posterior; `ModuleNotFoundError` without blackjax. Sources: Hoffman & Gelman,
    J. Mach. Learn. Res. 15:1593 (2014); Vehtari et al., Bayesian Anal. 16:667 (2021). Use it if errors are large or
    curved; near a quadratic minimum `fitted.interval()` says the same at once.
    """
    require("fitted", type(fitted).__name__, "be the result of `fit`", isinstance(fitted, FitResult))
    chains, warmup, draws = as_count("chains", chains), as_count("warmup", warmup, 20), as_count("draws", draws, 4)
    max_depth, key = as_count("max_depth", max_depth), as_key(key)
    require("target_acceptance", target_acceptance, "lie between 0 and 1", 0 < target_acceptance < 1)
    finite = bool(np.isfinite(fitted.loss[fitted.best_index]))
    require("fitted", fitted.loss, "have a start with a finite loss", finite)
    blackjax = optional("blackjax", "bayes")
    xarray()
    _require_proper(fitted)
    density = _Density(fitted)
    d = density.z.size
    # blackjax relies on JAX's ordinary promotion of types and ranks.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        kernel = blackjax.nuts.build_kernel()
        adaptation = blackjax.window_adaptation(
            blackjax.nuts,
            density.log_density,
            is_mass_matrix_diagonal=d > _DENSE,
            initial_step_size=0.5,
            target_acceptance_rate=target_acceptance,
            adaptation_info_fn=lambda *_: None,
            max_num_doublings=max_depth,
        )

        def adapt(key, position: Values) -> tuple[Any, Any, Any]:
            (state, settings), _ = adaptation.run(key, position, num_steps=warmup)
            return state, settings["step_size"], settings["inverse_mass_matrix"]

        def advance(key, state, step, mass) -> tuple[Any, Any]:
            def one(state, key) -> tuple[Any, Any]:
                state, info = kernel(key, state, density.log_density, step, mass, max_depth)
                depth, steps = info.num_trajectory_expansions, info.num_integration_steps
                return state, (
                    state.position,
                    state.logdensity,
                    info.is_divergent,
                    info.energy,
                    info.acceptance_rate,
                    steps,
                    depth,
                )

            return jax.lax.scan(one, state, jax.random.split(key, _CHUNK))

        adapted, advanced = jax.jit(jax.vmap(adapt)), jax.jit(jax.vmap(advance))
        scatter, warm, key = jax.random.split(key, 3)
        positions = density.scattered(scatter, chains)
        found: list[Any] = []
        step = np.zeros(chains)
        interrupted = False
        with Progress(chains * (warmup + draws), 0, progress, "posterior", "draws") as bar:
            try:
                state, step, mass = jax.block_until_ready(adapted(jax.random.split(warm, chains), positions))
                bar.finish(chains * warmup)
                while len(found) * _CHUNK < draws:
                    key, now = jax.random.split(key)
                    state, each = advanced(jax.random.split(now, chains), state, step, mass)
                    found.append(jax.tree.map(np.asarray, each))
                    bar.finish(chains * min(_CHUNK, draws - (len(found) - 1) * _CHUNK))
            except KeyboardInterrupt:
                if not found:
                    raise
                interrupted = True
        columns = [np.concatenate(each, axis=1)[:, :draws] for each in zip(*found, strict=True)]
        return _labelled(fitted, density, columns, np.asarray(step), blackjax, interrupted)


def _require_proper(fitted: FitResult) -> None:
    """Refuse fits whose data, bounds and priors leave a number open."""
    deviation = np.asarray(fitted.prior[1])
    flat = identifiability(fitted).flat
    for k, (name, kind) in enumerate(zip(fitted.labels, fitted.parameters.kinds, strict=True)):
        proper = kind == "between" or bool(np.isfinite(deviation[k])) or name not in flat
        rule = "leave no number open: this one needs a prior or two bounds, or isn't to be free"
        require("fitted", name, rule, proper)


class _Density:
    """The log density over u, z = best + L u, in which the posterior is about a standard normal."""

    def __init__(self, fitted: FitResult):
        self.problem = fitted.problem
        self.z, self.known = fitted.z, fitted.target.noise_known
        self.count, self.parameters = fitted.residual_count, fitted.parameters
        variance = estimated_variance(fitted)
        A = curvature(self.problem, self.z, fitted.refine)
        A = A / variance if np.isfinite(variance) and variance > 0 else 0 * A
        values, vectors = np.linalg.eigh(np.where(np.isfinite(A), A, 0.0) + np.eye(self.z.size) / _WIDEST**2)
        self.L = jnp.asarray(vectors / np.sqrt(np.maximum(values, _WIDEST**-2)), self.z.dtype)
        mean, deviation = fitted.prior
        self.refine = self._coarsest(fitted)
        # Without the prior the target's own loss is what the noise scales.
        self.bare = Problem(fitted.model, fitted.target, fitted.parameters, (mean, jnp.full_like(deviation, jnp.inf)))
        # A rule of its own, so that targets that only forward mode goes through have a gradient too.
        log_density = jax.custom_vjp(lambda u: self.both(u)[0])
        log_density.defvjp(self.both, lambda slope, cotangent: (cotangent * slope,))
        self.log_density = log_density

    def _coarsest(self, fitted: FitResult) -> int:
        """The coarsest solver steps with which the loss varies over the posterior as with the fit's own."""
        finest = fitted.refine
        if finest == 1 or not fitted.target.refinable:
            return finest
        u = jax.random.normal(jax.random.key(0), (_PROBES, self.z.size), self.z.dtype)
        loss = jax.jit(jax.vmap(self.problem.loss, in_axes=(0, None)))
        points = self.z[None] + u @ self.L.T
        wanted = np.asarray(loss(points, jnp.asarray(finest, jnp.int32)))
        unit = 1.0 if self.known else max(2 * float(np.nanmin(wanted)) / max(self.count, 1), 1e-300)
        for refine in (k for k in (1, 2, 4, 8, 16, 32) if k < finest):
            off = np.asarray(loss(points, jnp.asarray(refine, jnp.int32))) - wanted
            if np.nanmax(off) - np.nanmin(off) <= _SAME * unit:
                return refine
        return finest

    def both(self, u: Values) -> tuple[Scalar, Values]:
        """Log density and its gradient; −∞ and 0 if the loss isn't finite."""
        z = self.z + self.L @ u
        p = self.parameters.size
        if self.known:
            loss, slope = self.problem.gradient(z, self.refine)
        else:
            bare, slope = self.bare.gradient(z, self.refine)
            # ∫ σ^(−m−1) exp(−loss/σ²) dσ ∝ loss^(−m/2)
            loss, slope = self.count / 2 * jnp.log(bare), self.count / 2 * slope / bare
            prior = lambda z: jnp.sum(self.problem.prior_residuals(z[:p]) ** 2) / 2
            more, steeper = jax.value_and_grad(prior)(z)
            loss, slope = loss + more, slope + steeper
        volume, swelling = jax.value_and_grad(lambda z: log_volume(self.parameters, z[:p]))(z)
        value, gradient = volume - loss, self.L.T @ (swelling - slope)
        fine = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
        return jnp.where(fine, value, -jnp.inf), jnp.where(fine, gradient, jnp.zeros_like(gradient))

    def scattered(self, key: Key, chains: int) -> Values:
        """Starts of chains; the best fit itself if a scattered one has no density."""
        u = jax.random.normal(key, (chains, self.z.size), self.z.dtype)
        values = jax.jit(lambda u: jax.lax.map(lambda each: self.both(each)[0], u))(u)
        return jnp.where(jnp.isfinite(values)[:, None], u, 0)

    def natural(self, u: np.ndarray) -> np.ndarray:
        """Parameters and unknowns of draws (chains, draws, d)."""
        z = self.z[None, None] + jnp.asarray(u) @ self.L.T
        p = self.parameters.size
        x = jax.vmap(jax.vmap(self.parameters.values))(z[..., :p])
        return np.asarray(jnp.concatenate([x, z[..., p:]], axis=-1))


def log_volume(parameters: Parametrization, z: Values) -> Scalar:
    """Σ log |dx/dz|, exact also if dx/dz underflows."""
    between = np.array([kind == "between" for kind in parameters.kinds])
    free = np.array([kind == "free" for kind in parameters.kinds])
    width = jnp.where(between, parameters.upper - parameters.lower, jnp.abs(parameters.scale))
    bend = jnp.where(free, 0, jax.nn.log_sigmoid(z)) + jnp.where(between, jax.nn.log_sigmoid(-z), 0)
    return jnp.sum(jnp.log(width) + bend)


def _labelled(
    fitted: FitResult, density: _Density, columns: list[np.ndarray], step: np.ndarray, blackjax: Any, interrupted: bool
) -> Posterior:
    xr = xarray()
    u, lp, diverging, energy, acceptance, steps, depth = columns
    values = density.natural(u)
    names = (*fitted.labels, *fitted.target.unknown_names(fitted.model))
    dims = ("chain", "draw")
    several = u.shape[0] > 1
    measures = [blackjax.ess_bulk, blackjax.ess_tail, *([blackjax.rhat] if several else [])]
    by_name = jnp.moveaxis(jnp.asarray(values), -1, 0)
    found = [np.asarray(each, float) for each in jax.jit(lambda x: [jax.vmap(f)(x) for f in measures])(by_name)]
    bulk, tail, r_hat = (
        dict(zip(names, np.ravel(each).tolist(), strict=True)) for each in (*found, np.full(len(names), np.nan))[:3]
    )
    data = {}
    for k, name in enumerate(names):
        about = about_parameter(fitted.best, name.split("[")[0]) or {"long_name": "fitted beside the parameters"}
        data[name] = (dims, values[..., k], about)
    coords = {"chain": np.arange(u.shape[0]), "draw": np.arange(u.shape[1])}
    notes = {
        **attributes_of(fitted.best, "model"),
        "target": type(fitted.target).__name__,
        **software(),
        "inference_library": "blackjax",
        "inference_library_version": blackjax.__version__,
    }
    stats = {
        "lp": (dims, lp, {"long_name": "log density in the sampler's coordinates, up to a constant"}),
        "diverging": (dims, diverging, {"long_name": "whether the trajectory diverged"}),
        "energy": (dims, energy, {"long_name": "Hamiltonian of the draw"}),
        "acceptance_rate": (dims, acceptance, {"long_name": "mean acceptance over the trajectory"}),
        "n_steps": (dims, steps, {"long_name": "steps of the trajectory"}),
        "tree_depth": (dims, depth, {"long_name": "doublings of the trajectory"}),
        "step_size": ("chain", step, {"long_name": "step size"}),
    }
    posterior = xr.Dataset(data, coords=coords, attrs=notes)
    return Posterior(posterior, xr.Dataset(stats, coords=coords, attrs=notes), r_hat, bulk, tail, interrupted)
