"""Spectra of fluctuations: of finite populations, and of what noise does to a state."""

from typing import Any

import numpy as np

from ..finite_size.power import PowerSpectrum
from ..stochastic.linear import LinearResponse
from .common import BLUE, GREEN, GREY, ORANGE, finish, new_axes, node_label, pyplot, unit_in_words

_SHOWN = 4  # nodes
_NAMED = 12  # nodes, up to which each is named
_LAGS = 121
_COLOURS = (BLUE, ORANGE, GREEN, "#7a4b94")


def power_spectrum(result: PowerSpectrum, axes: Any = None, *, nodes: Any = None) -> Any:
    """The spectrum of a finite population's rate over the frequency, with that of its neurons without coupling (dashed) and
    the flat one of Poisson trains of the same rate (dotted).

    - `result`: a `PowerSpectrum`
    - `axes`: matplotlib axes to draw on; new ones by default
    - `nodes`: of a network, the numbers of those to draw; by default the first four

    Returns the axes.
    """
    axes = new_axes(axes, 1, (5.5, 3.4))
    f = np.asarray(result.frequencies)
    coupled, bare = (np.asarray(each).reshape(f.size, -1) for each in (result.spectrum, result.bare))
    flat = np.ravel(result.poisson)
    chosen = np.arange(min(flat.size, _SHOWN)) if nodes is None else np.atleast_1d(nodes)
    for k, node in enumerate(chosen):
        colour = BLUE if flat.size == 1 else _COLOURS[k % len(_COLOURS)]
        axes.plot(f, coupled[:, node], color=colour, label="rate of the population" if flat.size == 1 else None)
        axes.plot(f, bare[:, node], color=GREY if flat.size == 1 else colour, linestyle="--", linewidth=1.0)
        axes.axhline(flat[node], color=GREY if flat.size == 1 else colour, linestyle=":", linewidth=1.0)
        if flat.size > 1:
            axes.lines[-3].set_label(node_label(result.model.labels, int(node)))
    axes.plot([], [], color=GREY, linestyle="--", linewidth=1.0, label="its neurons without coupling")
    axes.plot([], [], color=GREY, linestyle=":", linewidth=1.0, label="Poisson trains, r/N")
    shown = np.concatenate([coupled[f > 0], bare[f > 0], flat[None]])
    top = float(np.nanmax(shown)) if np.any(np.isfinite(shown)) else 1.0
    axes.set(
        xlabel="frequency (cycles/time)", ylabel="power spectrum of the rate\n(1/time)", yscale="log", xlim=(0.0, f[-1]),
        ylim=(max(float(np.nanmin(np.where(shown > 0, shown, np.nan))), 1e-4 * top) / 1.5, 2 * top),
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=8)
    return finish(axes)


def linear_response(
    result: LinearResponse, axes: Any = None, *, channel: str = "r", frequencies: Any = None, nodes: Any = None
) -> Any:
    """Functional connectivity of a network, or the autocorrelation of a population, and beside it the power spectrum.

    - `result`: a `LinearResponse`
    - `axes`: two matplotlib axes to draw on; new ones by default
    - `channel`: the variable or channel that is correlated
    - `frequencies` (f,): of the spectrum, in cycles per time; those of the result by default
    - `nodes`: of a network, the numbers of those whose spectra are coloured; by default the first four. All others are grey

    Correlations of a node with itself, 1, are left white. Returns the axes.
    """
    if axes is None:
        _, axes = pyplot().subplots(1, 2, figsize=(9.6, 3.9), layout="constrained")
    left, right = np.ravel(axes)
    if result.model.size is None:
        _autocorrelation(result, channel, left)
    else:
        _correlations(result, channel, left)
    f = np.asarray(result.frequencies if frequencies is None else frequencies)
    power = np.asarray(result.spectrum(f, channel)).reshape(f.size, -1)
    count = power.shape[1]
    chosen = np.arange(min(count, _SHOWN)) if nodes is None else np.atleast_1d(nodes)
    right.plot(f, np.delete(power, chosen, axis=1), color=GREY, linewidth=0.6, alpha=0.6)
    for k, node in enumerate(chosen):
        label = None if count == 1 else node_label(result.model.labels, int(node))
        right.plot(f, power[:, node], color=_COLOURS[k % len(_COLOURS)], label=label)
    unit = _unit(result, channel)
    per = "" if unit == "1/time" else "time" if unit == "1" else f"({unit})²·time"
    right.set(
        xlabel="frequency (cycles/time)",
        ylabel=f"power spectrum of {channel}\n({per or '1/time'})",
        yscale="log",
        xlim=(f[0], f[-1]),
    )
    if count > 1:
        right.legend(frameon=False, fontsize=8)
    finish(right)
    return axes


def _unit(result: LinearResponse, channel: str) -> str:
    if channel in result.variables:
        return unit_in_words(result.model.variables[channel].unit).replace("dimensionless", "1")
    return result.model.channels(result.state, result.current)[channel][1]


def _correlations(result: LinearResponse, channel: str, axes: Any) -> None:
    fc = np.array(result.fc(channel))
    np.fill_diagonal(fc, np.nan)
    top = np.nanmax(np.abs(fc)) if fc.shape[0] > 1 and np.any(np.isfinite(fc)) else 1.0
    image = axes.imshow(fc, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label=f"correlation of {channel}", shrink=0.85)
    if fc.shape[0] <= _NAMED:
        names = [str(each) for each in result.model.labels]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="node", ylabel="node")


def _autocorrelation(result: LinearResponse, channel: str, axes: Any) -> None:
    slow = float(np.min(np.abs(np.real(result.eigenvalues))))
    lags = np.linspace(0.0, 6 / slow if np.isfinite(slow) and slow > 0 else 1.0, _LAGS)
    axes.plot(lags, np.asarray(result.lagged(lags, channel)) / np.asarray(result.cov(channel)), color=BLUE)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(xlabel="lag (unit of τ)", ylabel=f"autocorrelation of {channel}", xlim=(0.0, lags[-1]))
    finish(axes)
