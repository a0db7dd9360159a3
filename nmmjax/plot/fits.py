"""Pictures of fits: data and fit, how every start ended, recovered parameters, profiles, posteriors."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._parameter import parameter_table
from ..fitting.parametrization import attribute
from ..fitting.profiles import Profile
from ..fitting.result import FitResult
from ..fitting.target import TargetSum
from ..fitting.trajectory import TrajectoryTarget, unpack
from ..models.base import AbstractModel
from ..plot.common import Axes
from ..solvers.simulation import simulate
from .common import BLUE, GREEN, GREY, ORANGE, finish, node_label, pyplot, shade_stimulus, variable_label

_ENDS = {0: BLUE, 1: ORANGE, 2: "#7b5ea7", 3: "#b03a3a"}  # colours of the codes
_WORDS = {0: "converged", 1: "stopped: largest number of steps", 2: "stalled", 3: "not finite"}
_MOST_NODES, _MOST_RESIDUALS = 6, 40


def fit(fitted: FitResult, axes: Any = None) -> Any:
    """Data and fit, the loss of every start, and the loss on the way.

    A recorded run is drawn over time, the fit with twice the noise as a band, the stimulus shaded and missing samples
    ticked at the bottom (of a network, the six nodes that fit worst). Other targets are drawn as residuals.

    - `fitted`: of `fit`
    - `axes`: matplotlib axes, as many as would be drawn: a row per recorded variable, one for residuals of other
      targets, and two; new ones by default

    Returns the axes, the last two for the losses.
    """
    require("fitted", type(fitted).__name__, "be the result of `fit`", isinstance(fitted, FitResult))
    recorded, others = _parts(fitted)
    others = others and fitted.target.has_residuals
    rows = [(target, unknowns, name) for target, unknowns in recorded for name in target.observed]
    count = len(rows) + bool(others)
    if axes is None:
        figure = pyplot().figure(figsize=(8.6, 2.1 * count + 2.6), layout="constrained")
        grid = figure.add_gridspec(count + 1, 2, height_ratios=[1.0] * count + [1.15])
        axes = [figure.add_subplot(grid[k, :]) for k in range(count)]
        for each in axes[1 : len(rows)]:
            if len(recorded) == 1:
                each.sharex(axes[0])
        axes += [figure.add_subplot(grid[count, k]) for k in (0, 1)]
    axes = np.ravel(axes)
    require("axes", axes.size, f"be {count + 2} axes", axes.size == count + 2)
    at = 0
    for target, unknowns in recorded:
        own = axes[at : at + len(target.observed)]
        _over_time(fitted, target, unknowns, own)
        at += len(own)
    if others:
        _residuals(fitted, axes[at])
    _losses(fitted, axes[-2])
    _history(fitted, axes[-1])
    return finish(axes)


def _parts(fitted: FitResult) -> tuple[list[tuple[TrajectoryTarget, Any]], bool]:
    """Runs among the targets with their unknowns at the best fit, and whether there are others."""
    target, unknowns = fitted.target, jnp.asarray(fitted.unknowns[fitted.best_index], fitted.parameters.scale.dtype)
    parts = [(target, unknowns)]
    if isinstance(target, TargetSum):
        parts = list(zip((part for _, part in target.parts), target._pieces(fitted.model, unknowns), strict=True))
    runs = [(part, own) for part, own in parts if isinstance(part, TrajectoryTarget)]
    return runs, len(runs) < len(parts)


def _over_time(fitted: FitResult, target: TrajectoryTarget, unknowns: Any, axes: Any) -> None:
    """Samples and the best fit of every recorded variable."""
    model = fitted.best
    start = target.first(model)
    if target.y0 is None and unknowns.size:
        start = unpack(model, unknowns, start)
    ts = np.asarray(target.ts)
    fine = np.unique(np.concatenate([ts, np.linspace(ts[0], ts[-1], 2001)]))
    run = simulate(model, start, fine, stimulus=target.stimulus, rtol=1e-6, atol=1e-8)
    grid = np.asarray(target.grid)
    samples = np.searchsorted((grid[1:] + grid[:-1]) / 2, np.asarray(run.clock.since_start(ts)))
    on = np.searchsorted(np.asarray(fine), ts)
    shared = 1.0
    if not target.known:  # the data count by their own variation, which the best fit scales to the noise
        free = fitted.residual_count - fitted.parameters.size - fitted.unknowns.shape[1]
        shared = np.sqrt(2 * fitted.loss[fitted.best_index] / free) if free > 0 else np.nan
    shades = pyplot().get_cmap("viridis")
    for each, name, data, weights in zip(axes, target.observed, target.data, target.weights, strict=True):
        data, weights = (np.asarray(x)[samples].reshape(ts.size, -1) for x in (data, weights))
        found = np.asarray(getattr(run.ys, name)).reshape(fine.size, -1)
        shown = weights > 0
        misfit = np.sqrt(np.sum((weights * (found[on] - data)) ** 2, axis=0) / np.maximum(shown.sum(axis=0), 1))
        nodes = np.sort(np.argsort(-np.nan_to_num(misfit, nan=np.inf))[:_MOST_NODES])
        for k, node in enumerate(nodes):
            alone = data.shape[1] == 1
            color = (
                (BLUE if name == target.observed[0] and name != "v" else ORANGE)
                if alone
                else shades(0.9 * k / max(len(nodes) - 1, 1))
            )
            part = shown[:, node]
            size = 3.5 if ts.size <= 400 else 2.0
            each.plot(ts[part], data[part, node], ".", color="0.35" if alone else color, ms=size, alpha=0.7,
                      label="data" if alone else None, zorder=2)  # fmt: skip
            each.plot(
                fine,
                found[:, node],
                color=color,
                linewidth=1.3,
                label="best fit" if alone else node_label(fitted.best.labels, node),
                zorder=3,
            )
            if alone and target.noise_model == "gaussian" and part.any():
                noise = 2 * shared / np.interp(np.asarray(fine), ts[part], weights[part, node])
                low, high = found[:, node] - noise, found[:, node] + noise
                each.fill_between(fine, low, high, color=color, alpha=0.18, linewidth=0, zorder=1)
        _frame(each, data[:, nodes], shown[:, nodes], found[:, nodes])
        gone = ts[~shown[:, nodes].all(axis=1)]
        if gone.size:
            place = {"transform": each.get_xaxis_transform(), "clip_on": False, "zorder": 4}
            each.plot(gone, np.full(gone.size, 0.015), "|", color="#b03a3a", ms=5, label=f"missing ({gone.size})", **place)
        each.set_ylabel(variable_label(fitted.best, name))
        columns = 3 if data.shape[1] == 1 else len(nodes) + 1
        each.legend(frameon=False, ncols=columns, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    if target.stimulus is not None:
        shade_stimulus(run, axes)
        axes[0].set_title("shaded: stimulus I(t) on", fontsize=9, color=GREY, loc="left")
    axes[-1].set_xlabel("time t (unit of τ)")
    for each in axes:
        each.set_xlim(ts[0], ts[-1])


def _frame(axes: Axes, data: np.ndarray, shown: np.ndarray, found: np.ndarray) -> None:
    """The range of the data, and of the fit as far as it isn't much wider."""
    known = data[shown]
    low, high = known.min(), known.max()
    span = max(high - low, 1e-9 * max(abs(high), 1.0))
    finite = found[np.isfinite(found)]
    if finite.size:
        low, high = max(min(low, finite.min()), low - span), min(max(high, finite.max()), high + span)
    axes.set_ylim(low - 0.08 * (high - low or span), high + 0.08 * (high - low or span))


def _residuals(fitted: FitResult, axes: Axes) -> None:
    """Residuals by number."""
    target = fitted.target
    unknowns = jnp.asarray(fitted.unknowns[fitted.best_index], fitted.parameters.scale.dtype)
    residuals = np.asarray(target.residuals(fitted.best, unknowns))
    number = np.arange(residuals.size)
    if residuals.size <= _MOST_RESIDUALS:
        axes.vlines(number, 0, residuals, color=BLUE, linewidth=1.5)
        axes.set_xticks(number if residuals.size <= 20 else number[:: max(1, residuals.size // 10)])
    axes.plot(number, residuals, "o", color=BLUE, ms=4 if residuals.size <= _MOST_RESIDUALS else 2)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.set_xlabel("residual (number)")
    axes.set_ylabel("residual\n(units of the noise)" if target.noise_known else "residual\n(dimensionless)")


def _losses(fitted: FitResult, axes: Any) -> None:
    """The loss of every start, the lowest first, by how it ended."""
    order = np.argsort(np.where(np.isfinite(fitted.loss), fitted.loss, np.inf), kind="stable")
    loss, status, best = fitted.loss[order], fitted.status[order], fitted.found_best[order]
    finite = np.isfinite(loss)
    positive = loss[finite & (loss > 0)]
    least = positive.min() / 10 if positive.size else 1e-16
    top = positive.max() * 10 if positive.size else 1.0
    height = np.where(finite, np.maximum(loss, least), top)
    rank = np.arange(1, loss.size + 1)
    size = 5 if loss.size <= 64 else 3
    for code in sorted(set(status.tolist())):
        which = status == code
        kept, others = which & finite & best, which & ~(finite & best)
        color = _ENDS.get(code, GREY)
        label = f"{_WORDS.get(code, fitted.meanings.get(code, str(code)))} ({int(which.sum())})"
        axes.plot(rank[kept], height[kept], "o", color=color, ms=size, label=label if kept.any() else None)
        axes.plot(rank[others], height[others], "x" if code == 3 else "o", color=color, mfc="none", ms=size,
                  label=None if kept.any() else label)  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(min(height, default=1.0) / 3, max(height, default=1.0) * 3)
    axes.set_xlabel("starts, sorted by loss")
    axes.set_ylabel("loss (dimensionless)")
    share = f"filled: found the best fit ({int(best.sum())} of {loss.size})"
    axes.set_title(share, fontsize=9, color=GREY, loc="left")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8, loc="best")


def _history(fitted: FitResult, axes: Axes) -> None:
    """The loss of every start over the iterations, stage by stage."""
    history, best = fitted.history, fitted.best_index
    number = np.arange(1, history.shape[1] + 1)
    changes = np.flatnonzero(np.diff(fitted.stage)) + 1
    positive = history[np.isfinite(history) & (history > 0)]
    least = positive.min() if positive.size else 1e-16
    faint = max(0.12, min(0.7, 12 / max(len(history), 1)))
    for k in [*(k for k in range(len(history)) if k != best), best][: len(history) if history.size else 0]:
        style = {"color": GREEN, "linewidth": 1.6} if k == best else {"color": GREY, "linewidth": 0.6, "alpha": faint}
        for part in np.split(number - 1, changes):  # a start that has ended keeps its loss within a stage
            known = part[np.isfinite(history[k, part])]
            if known.size:
                axes.plot(known + 1, np.maximum(history[k, known], least), marker="." if known.size == 1 else "", **style)
    if history.size:
        axes.plot([], [], color=GREEN, linewidth=1.6, label="best start")
        axes.legend(frameon=False, fontsize=8, loc="best")
    for change in changes:
        axes.axvline(change + 0.5, color="0.6", linestyle=":", linewidth=0.9)
    axes.set_yscale("log")
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss (dimensionless)")
    text = "dotted: a new stage, with a loss of its own" if changes.size else ""
    axes.set_title(text, fontsize=9, color=GREY, loc="left")


def _symbol(model: AbstractModel, label: str) -> str:
    """The symbol of a free number: `η`, `α [2]`."""
    name, _, entry = label.partition("[")
    declared = parameter_table(model).get(name)
    symbol = declared[0].symbol if declared else "W" if name.startswith("weights") else name
    return f"{symbol} [{entry}" if entry else symbol


def _unit(model: AbstractModel, label: str) -> str:
    declared = parameter_table(model).get(label.partition("[")[0])
    unit = declared[0].unit if declared else "1"
    return "dimensionless" if unit == "1" else unit


def _truths(fitted: FitResult, truth: Any) -> np.ndarray:
    """The true values of the free numbers, from a model or a mapping of names."""
    if isinstance(truth, Mapping):
        found = []
        for name, part in zip(fitted.parameters.names, fitted.parameters.parts, strict=True):
            labels = [label for label in fitted.labels if label == name or label.startswith(f"{name}[")]
            if all(label in truth for label in labels):
                found += [float(truth[label]) for label in labels]
                continue
            require("truth", tuple(truth), f"give `{name}`", name in truth)
            shape = part.shape(attribute(fitted.model, name))
            found += np.asarray(part.read(np.broadcast_to(np.asarray(truth[name], float), shape)), float).tolist()
        return np.asarray(found)
    rule = "be a model like the fitted one, or a mapping of names to true values"
    require("truth", type(truth).__name__, rule, isinstance(truth, type(fitted.model)))
    return np.asarray(fitted.parameters.read(truth), float)


def recovery(fitted: FitResult | Sequence[FitResult], truth: Any, level: float = 0.95, axes: Any = None) -> Any:
    """Parameters found against the true ones.

    - `fitted`: a fit, or a sequence of fits
    - `truth`: a model or a mapping of names to true values; as many of them for a sequence of fits
    - `level`: of the intervals, 0.95 by default
    - `axes`: matplotlib axes to draw on, as many as are returned; new ones by default

    Above, found minus true with intervals at `level` (several fits: found over true, with the diagonal); below, every
    relative error, with a bar at the half-width of its interval: a dot below its bar is covered. Returns the axes, one
    per free number and a last one for the errors.
    """
    fits = [fitted] if isinstance(fitted, FitResult) else list(fitted)
    truths = [truth] if isinstance(fitted, FitResult) else list(truth)
    require("fitted", len(fits), "be at least one fit", len(fits) >= 1)
    require("truth", len(truths), f"be as many as there are fits, {len(fits)}", len(truths) == len(fits))
    labels, model = fits[0].labels, fits[0].model
    alike = all(each.labels == labels for each in fits)
    require("fitted", [each.labels for each in fits], "have the same free numbers", alike)
    true = np.stack([_truths(each, one) for each, one in zip(fits, truths, strict=True)])
    found = np.stack([each.values[each.best_index] for each in fits])
    ends = np.stack([list(each.interval(level).values()) for each in fits])
    p = len(labels)
    if axes is None:
        figure = pyplot().figure(figsize=(max(2.5 * p, 6.0), 5.6), layout="constrained")
        grid = figure.add_gridspec(2, p, height_ratios=[1.2, 1])
        axes = [*(figure.add_subplot(grid[0, k]) for k in range(p)), figure.add_subplot(grid[1, :])]
    axes = np.ravel(axes)
    require("axes", axes.size, f"be {p + 1} axes", axes.size == p + 1)
    bars = np.abs(np.nan_to_num(ends - found[..., None], nan=0.0, posinf=0.0, neginf=0.0))
    for k, each in enumerate(axes[:-1]):
        symbol, unit = _symbol(model, labels[k]), _unit(model, labels[k])
        if len(fits) > 1:
            span = [min(true[:, k].min(), found[:, k].min()), max(true[:, k].max(), found[:, k].max())]
            each.plot(span, span, color=GREY, linewidth=0.8, label="found = true")
            each.errorbar(true[:, k], found[:, k], bars[:, k].T, fmt="o", color=BLUE, ms=4, capsize=2, elinewidth=1)
            each.locator_params(nbins=4)
            each.set_xlabel(f"true {symbol} ({unit})")
            each.set_ylabel(f"found {symbol} ({unit})")
        else:
            each.axhline(0, color=GREY, linewidth=0.8)
            each.errorbar([0], found[:, k] - true[:, k], bars[:, k].T, fmt="o", color=BLUE, ms=5, capsize=4)
            each.set(xticks=[0], xticklabels=[f"{symbol} = {true[0, k]:.4g}".replace("-", "−")], xlim=(-1, 1))
            each.set_ylabel(f"found − true {symbol} ({unit})")
            each.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    _errors(axes[-1], model, labels, true, found, bars, level)
    return finish(axes)


def _errors(
    axes: Axes, model: AbstractModel, labels: Any, true: np.ndarray, found: np.ndarray, bars: np.ndarray, level: float
) -> None:
    """Relative errors of all numbers and fits on one logarithmic axis."""
    size = np.where(true != 0, np.abs(true), 1.0)
    error = np.maximum(np.abs(found - true) / size, 1e-17)
    half = bars.max(axis=-1) / size
    count, p = true.shape
    shift = np.linspace(-0.3, 0.3, count) if count > 1 else np.zeros(1)
    place = np.arange(p) + shift[:, None]
    axes.plot(place.ravel(), error.ravel(), "o", color=BLUE, ms=4, label="|found − true|")
    wide = half > 0
    if wide.any():
        label = f"half-width of the {100 * level:g} % interval"
        axes.plot(place[wide], half[wide], "_", color=ORANGE, ms=9, markeredgewidth=1.6, label=label)
    axes.set_yscale("log")
    axes.set_xticks(range(p))
    axes.set_xticklabels([_symbol(model, label) for label in labels])
    axes.set_xlim(-0.6, p - 0.4)
    axes.set_xlabel("parameter")
    axes.set_ylabel("error, relative to the\ntrue value (dimensionless)")
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def profile(found: Profile, axes: Any = None) -> Any:
    """Smallest loss at each value of a parameter above the fit's, with the interval in which it is below its threshold.

    - `found`: of `fitted.profile(name)`
    - `axes`: matplotlib axes to draw on; new ones by default

    If the curve doesn't cross the threshold on a side, the data don't bound the parameter there. Returns the axes.
    """
    require("found", type(found).__name__, "be a `Profile`", isinstance(found, Profile))
    axes = pyplot().subplots(figsize=(5.6, 3.8), layout="constrained")[1] if axes is None else axes
    rise = np.where(found.rise > 4 * found.threshold, np.nan, found.rise)
    narrow = np.ptp(found.values) < 1e-4 * abs(found.best)  # then ticks would differ in late digits only
    zero = found.best if narrow else 0.0
    axes.plot(found.values - zero, rise, "o-", color=BLUE, ms=4, label="all else fitted again")
    axes.plot(found.best - zero, 0.0, "D", color=GREEN, ms=6, label=f"best fit, {found.best:.6g}", zorder=4)
    if np.isfinite(found.threshold):
        axes.axhline(found.threshold, color=ORANGE, linestyle="--", linewidth=1, label=f"{100 * found.level:g} % threshold")
    low, high = found.interval
    for end, closed in zip((low, high), found.closed, strict=True):
        if closed and np.isfinite(end):
            axes.axvline(end - zero, color=ORANGE, linewidth=0.8)
    if all(found.closed):
        axes.axvspan(low - zero, high - zero, color=ORANGE, alpha=0.12, linewidth=0)
    ends = [f"{low:.5g}" if found.closed[0] else "open", f"{high:.5g}" if found.closed[1] else "open"]
    ends = (
        [f"{found.best:.5g} − {found.best - low:.2g}", f"+ {high - found.best:.2g}"]
        if narrow and all(found.closed)
        else ends
    )
    axes.set_title(
        f"{100 * found.level:g} % interval: {ends[0]} to {ends[1]}".replace("-", "−"), fontsize=9, color=GREY, loc="left"
    )
    axes.set_xlabel(f"{found.label or found.name} − its best value" if narrow else found.label or found.name)
    axes.set_ylabel("loss above the best fit's (dimensionless)")
    axes.legend(frameon=False, fontsize=8, loc="center")  # inside of the parabola
    return finish(axes)


def posterior(samples: object, truth: Mapping[str, Any] | None = None, axes: Any = None) -> Any:
    """Marginals of all p parameters on the diagonal, and of all pairs below.

    - `samples`: an `xarray.Dataset` with the dimensions chain and draw (or ArviZ data with a group `posterior`), or a
      mapping of names to arrays
    - `truth`: true values by name, marked by lines; None by default
    - `axes`: matplotlib axes to draw on, as many as are returned; new ones by default

    Chains have lines of their own on the diagonal; shades hold 39 %, 86 % and 99 % of the draws (1, 2 and 3 standard
    deviations in two dimensions). Returns the axes (p, p).
    """
    columns, names = _columns(samples)
    p = len(columns)
    labels = list(columns)
    truth = {} if truth is None else dict(truth)
    for name in truth:
        require("truth", name, f"name parameters of the samples, {', '.join(labels)}", name in columns)
    if axes is None:
        size = max(2.1 * p, 4.2)
        _, axes = pyplot().subplots(p, p, figsize=(size, size), layout="constrained", squeeze=False)
    axes = np.asarray(axes).reshape(p, p)
    for row in range(p):
        for column in range(p):
            each = axes[row, column]
            if column > row:
                each.set_axis_off()
                continue
            x = columns[labels[column]]
            if row == column:
                _density(each, x)
                each.set_ylabel("density" if p == 1 else "")
                each.set_yticks([])
                each.set_title(f"{np.mean(x):.4g} ± {np.std(x):.2g}".replace("-", "−"), fontsize=9)
            else:
                _cloud(each, x.ravel(), columns[labels[row]].ravel())
            for name, draw in ((labels[column], each.axvline), (labels[row], each.axhline if row != column else None)):
                if name in truth and draw is not None:
                    draw(float(truth[name]), color=ORANGE, linewidth=1)
            each.locator_params(nbins=4)
            each.tick_params(labelsize=8, labelbottom=row == p - 1, labelleft=column == 0 and row > 0)
            if row == p - 1:
                each.set_xlabel(names[labels[column]])
            if column == 0 and row > 0:
                each.set_ylabel(names[labels[row]])
            each.spines[["top", "right"]].set_visible(False)
    for k in range(p):  # one range per column, and per row what its column has
        low, high = axes[k, k].get_xlim()
        for row in range(k + 1, p):
            axes[row, k].set_xlim(low, high)
        for column in range(k):
            axes[k, column].set_ylim(low, high)
    return axes


def _columns(samples: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(chains, draws) of every number, and how it is called."""
    group = getattr(samples, "posterior", None)
    samples = samples if group is None else group
    samples = samples.to_dataset() if hasattr(samples, "to_dataset") and not hasattr(samples, "data_vars") else samples
    of_xarray = hasattr(samples, "data_vars")
    rule = "be an xarray.Dataset with the dimensions chain and draw, or a mapping of names to arrays"
    require("samples", type(samples).__name__, rule, of_xarray or isinstance(samples, Mapping))
    columns: dict[str, np.ndarray] = {}
    names: dict[str, str] = {}
    for name, each in _arrays(samples, of_xarray):
        if of_xarray:
            require(
                "samples", each.dims, f"have the dimensions chain and draw in `{name}`", {"chain", "draw"} <= set(each.dims)
            )
            each = each.transpose("chain", "draw", ...)
        values = np.asarray(each, float)
        values = values[None] if values.ndim == 1 else values
        require("samples", values.shape, f"have the shape (draws,) or (chains, draws, …) in `{name}`", values.ndim >= 2)
        require("samples", str(name), "be finite numbers", bool(np.all(np.isfinite(values))))
        for place in np.ndindex(values.shape[2:]):
            label = f"{name}[{','.join(map(str, place))}]" if place else str(name)
            columns[label] = values[(slice(None), slice(None), *place)]
            about = each.attrs if of_xarray else {}
            unit = about.get("units")
            entry = label[len(str(name)) :]
            shown = f" ({'dimensionless' if unit == '1' else unit})" if unit else ""
            names[label] = f"{about.get('symbol', name)}{entry}{shown}"
    require("samples", samples, "have at least one parameter", columns)
    return columns, names


def _arrays(samples: Any, of_xarray: bool) -> list[tuple[Any, Any]]:
    return list((samples.data_vars if of_xarray else samples).items())


def _density(axes: Axes, x: np.ndarray) -> None:
    """A histogram of all draws, and an outline per chain if they are few."""
    low, high = np.quantile(x, [0.0005, 0.9995])
    pad = 0.08 * (high - low) or 1e-9 * max(abs(low), 1.0)
    edges = np.linspace(low - pad, high + pad, int(np.clip(np.sqrt(x.size) / 1.5, 10, 50)) + 1)
    axes.hist(x.ravel(), edges, density=True, color=BLUE, alpha=0.35)
    for chain in x if 1 < x.shape[0] <= 8 else ():
        axes.hist(chain, edges, density=True, histtype="step", color=BLUE, linewidth=0.7)
    axes.set_xlim(edges[0], edges[-1])


def _cloud(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Shades that hold 39, 86 and 99 % of the draws; dots if these are few."""
    if x.size < 500:
        axes.plot(x, y, ".", color=BLUE, ms=2, alpha=0.5)
        return
    count = int(np.clip(np.sqrt(x.size) / 2.5, 12, 48))
    edges = [np.linspace(np.quantile(each, 0.0005), np.quantile(each, 0.9995), count + 1) for each in (x, y)]
    if any(each[0] == each[-1] for each in edges):
        axes.plot(x, y, ".", color=BLUE, ms=2)
        return
    heights, *_ = np.histogram2d(x, y, edges)
    heights = _blurred(heights)
    ranked = np.sort(heights.ravel())[::-1]
    share = np.cumsum(ranked) / ranked.sum()
    levels = sorted({float(ranked[np.searchsorted(share, part)]) for part in (0.989, 0.865, 0.393)})
    levels = [level for level in levels if level < heights.max()]
    middles = [(each[1:] + each[:-1]) / 2 for each in edges]
    axes.plot(x[:: max(1, x.size // 1500)], y[:: max(1, x.size // 1500)], ".", color=BLUE, ms=1.2, alpha=0.25, zorder=0)
    axes.contourf(*middles, heights.T, levels=[*levels, heights.max()], cmap="Blues", alpha=0.8, zorder=1)


def _blurred(heights: np.ndarray) -> np.ndarray:
    """Neighbouring bins averaged (binomial weights), twice."""
    for _ in range(2):
        for axis in (0, 1):
            wide = np.pad(heights, [(1, 1) if k == axis else (0, 0) for k in (0, 1)], mode="edge")
            first, last = (np.take(wide, range(k, k + heights.shape[axis]), axis) for k in (0, 2))
            heights = heights / 2 + (first + last) / 4
    return heights
