"""Lyapunov exponents of runs, one or many: how fast small perturbations grow or die out."""

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._blas import with_one_thread
from .._checks import as_count, require
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import as_plain_number, describe
from .._progress import Progress
from .._results import RESULTS, Shown
from .._types import Real, Values
from ..ensemble.observables import Final
from ..ensemble.plan import path_of, sweepable
from ..ensemble.planning import plan_sweep
from ..ensemble.tangents import compute_growth
from ..mechanics.channels import Problem
from ..models.base import AbstractModel, refuse_spikes, takes_model
from ..models.state import StateLike
from ..models.stimulus import AbstractStimulus

_BLOCKS = 10  # of time, whose differences tell how far the exponents are known
_MOST = 8  # exponents, if not asked for more
_SETTLED = 0.02  # largest spread over the largest exponent
_SIGMAS = 3.0  # spreads within which an exponent is zero
_ROUNDING = 1e-4  # the same, over the largest exponent: what steps of the default tolerance leave


class LyapunovExponents(eqx.Module, Shown):
    """Lyapunov exponents, the largest first, in 1/time; `…` are the swept dimensions, none for one run.

    - `exponents` (…, k): mean rates at which perturbations grow along k orthonormal directions; positive ones are chaos, one
      that vanishes is the shift along a cycle
    - `spread` (…, k): how far each is known: the standard error of the mean of 10 blocks of time, or half the difference of
      the two halves of the run if that is larger
    - `blocks` (…, 10, k): the exponents of every block; `ends` (10,): where the blocks end
    - `sum_exact` (…): the mean divergence of the flow, from its own formula along the same run: the sum of all exponents
    - `result` (…): a `RESULTS` code: `exponents_unsettled` if the spread is more than 2 % of the largest |exponent|
    - `steps` (…): steps taken; `t0`: where the average begins
    - `model`, `stimulus`: what was run; `over`: the swept dimensions and values by name

    Print it for a summary, `to_xarray()` for labelled data, `nmm.plot.lyapunov(result)` for a picture.
    """

    model: AbstractModel
    stimulus: AbstractStimulus | None
    exponents: Values
    spread: Values
    blocks: Values
    ends: Values
    sum_exact: Values
    result: RESULTS
    steps: Any
    t0: Values
    over: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]

    @property
    def sum_error(self) -> Values:
        """Σ exponents − `sum_exact`: what the steps leave of an identity; NaN if not all exponents were asked for."""
        directions = len(self.model.variables) * int(np.prod(self.model.shape))
        whole = self.exponents.shape[-1] == directions
        return jnp.sum(self.exponents, axis=-1) - self.sum_exact + (0.0 if whole else jnp.nan)

    @property
    def zero(self) -> np.ndarray:
        """Which exponents can't be told from 0 (…, k): within 3 times their `spread`, or 1e-4 of the largest."""
        values, spread = np.asarray(self.exponents, float), np.asarray(self.spread, float)
        return np.abs(values) <= np.maximum(_SIGMAS * spread, _ROUNDING * np.abs(values).max(axis=-1, keepdims=True))

    @property
    def kinds(self) -> np.ndarray:
        """What the signs say, in words (…): rest, cycle, torus, chaos, or conservative if all exponents vanish; under a
        stimulus, whose time is no direction of its own, follows the input for rest and torus for cycle. See `zero` for what
        vanishes."""
        values = np.asarray(self.exponents, float)
        up, none = ((values > 0) & ~self.zero).sum(axis=-1), self.zero.sum(axis=-1)
        alone = self.stimulus is None
        calm = np.where(none == 0, "rest" if alone else "follows the input", "cycle" if alone else "torus")
        words = np.where(none == values.shape[-1], "conservative", np.where(none > 1, "torus", calm))
        words = np.where((none == 1) & (values.shape[-1] == 1), "cycle or torus", words)
        return np.where(np.isfinite(values).all(axis=-1), np.where(up > 0, "chaos", words), "undecided")

    @property
    def dimension(self) -> np.ndarray:
        """Kaplan and Yorke's dimension of the attractor (…): the number of exponents whose sum is ≥ 0, and the share of the
        next; NaN if the exponents asked for don't suffice."""
        values = np.where(self.zero, 0.0, np.asarray(self.exponents, float))
        sums = np.cumsum(values, axis=-1)
        whole = (np.cumprod(sums >= 0, axis=-1)).sum(axis=-1)
        padded = np.concatenate([np.zeros((*sums.shape[:-1], 1)), sums], axis=-1)
        before = np.take_along_axis(padded, whole[..., None], axis=-1)[..., 0]
        following = np.concatenate([values, np.full((*values.shape[:-1], 1), np.nan)], axis=-1)
        return np.asarray(whole + before / np.abs(np.take_along_axis(following, whole[..., None], axis=-1)[..., 0]))

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over the swept dimensions, `exponent` and `block` (extra `data`)."""
        dims = tuple(dict.fromkeys(dim for names, _, _ in self.over.values() for dim in names))
        rate = {"units": "1/time (that of tau)"}
        data = {
            "exponents": ((*dims, "exponent"), self.exponents, rate | {"long_name": "Lyapunov exponent", "symbol": "λ"}),
            "spread": ((*dims, "exponent"), self.spread, rate | {"long_name": "spread of the exponent"}),
            "blocks": ((*dims, "block", "exponent"), self.blocks, rate | {"long_name": "exponent of a block of time"}),
            "sum_exact": (dims, self.sum_exact, rate | {"long_name": "mean divergence"}),
            "kind": (dims, self.kinds, {"long_name": "what the exponents say"}),
            "steps": (dims, self.steps, {"units": "1", "long_name": "steps taken"}),
            "settled": (
                dims,
                np.asarray(self.result == RESULTS.successful),
                {"long_name": "whether the run was successful"},
            ),
        }
        coords: dict[str, Any] = dict(self.over)
        coords["exponent"] = (
            "exponent",
            np.arange(1, self.exponents.shape[-1] + 1),
            {"long_name": "number of the exponent"},
        )
        coords["block"] = ("block", np.asarray(self.ends), {"units": "time (that of tau)", "long_name": "end of the block"})
        data = {name: (over, np.asarray(values), attrs) for name, (over, values, attrs) in data.items()}
        attrs = {**attributes_of(self.model, "model"), "t0": float(self.t0), **software()}
        if self.stimulus is not None:
            attrs |= attributes_of(self.stimulus, "stimulus", "stimulus.")
        return xarray().Dataset(data, coords=coords, attrs=attrs)

    def __str__(self) -> str:
        under = "" if self.stimulus is None else f" under {describe(self.stimulus)}"
        head = f"Lyapunov exponents of {describe(self.model)}{under}"
        if self.exponents.ndim > 1:
            counts = zip(*np.unique(self.kinds, return_counts=True), strict=True)
            good = int(np.sum(np.asarray(self.result == RESULTS.successful)))
            swept = ", ".join(f"{name} ({values.size})" for name, (_, values, _) in self.over.items())
            kinds = ", ".join(f"{kind} {count}" for kind, count in counts)
            return f"{head}\n  over {swept}: {kinds}\n  {good} of {self.kinds.size} lanes settled"
        numbers = zip(np.asarray(self.exponents, float), np.asarray(self.spread, float), strict=True)
        rows = [f"  λ{k} {value: .6g} ± {spread:.1g}" for k, (value, spread) in enumerate(numbers, 1)]
        known = np.isfinite(self.sum_error)
        sums = f", sum of exponents less that {float(self.sum_error):.1g}" if known else ""
        rows += [f"  mean divergence {float(self.sum_exact):.7g}{sums}", f"  {self.kinds}, dimension {self.dimension:.4g}"]
        message = RESULTS[self.result]
        return "\n".join([f"{head}, t = {float(self.t0):g} … {float(self.ends[-1]):g}", *rows, *([message] * bool(message))])

    def __repr__(self) -> str:
        return str(self)


@nan_is_absent
@with_one_thread
@takes_model
def lyapunov_exponents(
    model: AbstractModel,
    *,
    y0: StateLike,
    t1: Real,
    t0: Real | None = None,
    count: int | None = None,
    over: Mapping[str, Any] | None = None,
    stimulus: AbstractStimulus | None = None,
    solver: Any = None,
    rtol: Real | None = None,
    atol: Real | None = None,
    dt0: Real | None = None,
    progress: bool = False,
) -> LyapunovExponents:
    """Mean rates at which small perturbations of a run grow: λ_k = lim (1/t) ln |u_k(t)|, u̇ = (∂f/∂y) u, u_k orthonormal.

    Use it to tell rest (all < 0), cycles (one vanishes), tori (two) and chaos (one > 0) apart, and to see how fast a rhythm
    recovers. Beside the run move `count` tangent vectors, made orthonormal after every step; the average over time weights
    its middle, by which exponents of fixed points, cycles and tori converge faster than any power of 1/t. Over many
    parameters all runs are computed together, as in `sweep`.

    - `model`: any model or network
    - `y0`, `stimulus`: state at time 0, and input I(t) in units of η
    - `t1`: last time, in the unit of τ; `t0`: where the average begins, by default t1/10; before it the run settles and the
      vectors turn to their directions
    - `count`: number of exponents, the largest first; by default all, at most 8
    - `over`: parameter names with a 1-D array each (a grid), or with `("sample", values)`, as in `sweep`; None for one run
    - `solver`: `diffrax.Tsit5()` by default; any explicit Runge–Kutta solver of diffrax, or `MobiusSplitting(4)`
    - `rtol`, `atol`, `dt0`: as in `sweep`; `rtol` (1e-6 by default) bounds the error of a step, in the state and in every
      vector
    - `progress`: whether to show lanes done and time left

    Returns `LyapunovExponents`, with a spread of every exponent and, as a check, the mean divergence, which is the sum of
    all: for `MPR` without terms ⟨4v⟩/τ (docs/theory.md §D6). Raises `ValueError` in one sentence for wrong arguments; runs
    that fail have NaN and a code in `result`. Source: Benettin, Galgani, Giorgilli & Strelcyn, Meccanica 15:9 (1980); the
    average: Das, Saiki, Sander & Yorke, Nonlinearity 30:4111 (2017).
    """
    end = as_plain_number("t1", t1, "(0, inf)")
    begin = end / 10 if t0 is None else as_plain_number("t0", t0, "[0, inf)")
    require("progress", progress, "be True or False", isinstance(progress, bool))
    # With tangent vectors its steps cost less than those of a splitting, at which a sweep of states alone is faster.
    solver = diffrax.Tsit5() if solver is None else solver
    options = {"solver": solver, "rtol": rtol, "atol": atol, "dt0": dt0}
    options = {name: value for name, value in options.items() if value is not None}
    swept = _one(model, y0, stimulus) if over is None else over
    refuse_spikes(model)
    plan = plan_sweep(model, over=swept, y0=y0, t0=begin, t1=end, stimulus=stimulus, observe={"end": Final()}, **options)
    directions = sum(int(np.size(each)) for each in jax.tree.leaves(plan.base.y0))
    number = min(directions, _MOST) if count is None else as_count("count", count)
    require("count", number, f"be at most {directions}, the number of variables", number <= directions)
    ends = np.linspace(begin, end, _BLOCKS + 1)[1:]
    plan = dataclasses.replace(plan, times=dataclasses.replace(plan.times, cuts=tuple(ends[:-1].tolist())))
    with Progress(plan.lanes, 0, progress, "exponents") as bar:
        found = compute_growth(plan, number, bar.report)
    dims = () if over is None else tuple(plan.dims.values())
    return _result(plan, found, dims, ends, {} if over is None else dict(plan.coords))


def _one(model: AbstractModel, y0: StateLike, stimulus: AbstractStimulus | None) -> dict[str, Any]:
    """A sweep of one lane: over a number that stays what it is."""
    base = Problem(model, model.state(y0), stimulus)
    names = [name for name in sweepable(base) if not base.nodes or name not in base.y0.names]
    require("model", model, "have a parameter that all nodes share, such as the gain of a `Network`", names)
    held = operator.attrgetter(path_of(base, names[-1]))(base)
    return {names[-1]: ("run", np.asarray(held)[None])}


def _result(
    plan: Any, found: Mapping[str, np.ndarray], dims: tuple[int, ...], ends: np.ndarray, over: dict[str, Any]
) -> LyapunovExponents:
    """Results of the lanes, largest exponent first, in the shape of the sweep."""
    order = np.argsort(-found["exponents"], axis=-1, kind="stable")
    exponents = np.take_along_axis(found["exponents"], order, axis=-1)
    blocks = np.take_along_axis(found["blocks"], order[:, None], axis=-1)
    half = _BLOCKS // 2
    drift = np.abs(blocks[:, :half].mean(axis=1) - blocks[:, half:].mean(axis=1)) / 2
    spread = np.maximum(blocks.std(axis=1, ddof=1) / np.sqrt(_BLOCKS), drift)
    with np.errstate(invalid="ignore"):
        settled = spread.max(axis=-1) <= _SETTLED * np.abs(exponents).max(axis=-1)
    asarray = lambda each: jnp.asarray(each.reshape(dims + each.shape[1:]), plan.dtype)
    code = np.where(found["status"] > 0, found["status"], np.where(settled, 0, 4)).reshape(dims)
    return LyapunovExponents(
        model=plan.base.model,
        stimulus=plan.base.stimulus,
        exponents=asarray(exponents),
        spread=asarray(spread),
        blocks=asarray(blocks),
        ends=jnp.asarray(ends, plan.dtype),
        sum_exact=asarray(found["divergence"]),
        result=_coded(jnp.asarray(code)),
        steps=found["steps"].reshape(dims),
        t0=jnp.asarray(plan.times.t0, plan.dtype),
        over=over,
    )


def _coded(code: Any) -> RESULTS:
    """Result codes of the lanes' numbers."""
    if code.ndim:
        flat = jax.vmap(_coded)(code.ravel())
        return jax.tree.map(lambda each: each.reshape(code.shape), flat)
    meanings = (
        RESULTS.max_steps_reached,
        RESULTS.non_finite,
        RESULTS.rate_not_positive,
        RESULTS.exponents_unsettled,
    )
    result = RESULTS.successful
    for number, meaning in enumerate(meanings, 1):
        result = RESULTS.where(code == number, meaning, result)  # pyright: ignore[reportArgumentType]
    return result  # pyright: ignore[reportReturnType]
