"""Claim (k): parameters are recovered from energies, and from the amplitudes of the spikes in a burst."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._labelled import xarray
from .._optional import optional
from ..bursting.bursts import find_bursts
from ..fitting.bursts import BurstAmplitudeTarget
from ..fitting.energies import EnergyTarget
from ..fitting.fits import fit
from ..mechanics.energy import potential_energy
from ..models.adaptation import SynapticDepression
from ..models.mpr import MPR
from ..models.state import State
from ..solvers.simulation import simulate
from .claim import Evidence, Row, at_most

_SYMBOLS = {"Delta": "Δ", "J": "J", "adaptation.alpha": "α"}
_COLOURS = {"energies": "#1d5433", "prediction": "#d1651a", "simulation": "#1f5fa8"}


def _energies(model: MPR) -> tuple[dict[float, float], dict[float, float]]:
    """(levels, barriers) of the two wells by rate. Rates at rest are the roots of π²r⁴ − Jr³ − ηr² − Δ²/4π² in r > 0."""
    eta, J, Delta = (float(each) for each in (model.eta, model.J, model.Delta))
    roots = np.roots([np.pi**2, -J, -eta, 0.0, -(Delta**2) / (4 * np.pi**2)])
    rates = np.sort(roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)])
    V = np.asarray(potential_energy(model, State(r=jnp.asarray(rates), v=jnp.zeros(3))))
    wells = (0, 2)
    return {float(rates[k]): float(V[k]) for k in wells}, {float(rates[k]): float(V[1] - V[k]) for k in wells}


def recovery(quick: bool) -> Evidence:
    """(k) Δ and J from the energies of both wells and their barriers; Δ and α from the peaks of a burst's spikes."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    starts = 4 if quick else 16
    bistable = MPR(eta=-5.0, J=15.0, Delta=1.0)
    burster = MPR(eta=-5.5, J=15 * 2**0.5, Delta=2.0, adaptation=SynapticDepression(alpha=0.05, tau=10.0))
    level, barrier = _energies(bistable)
    first = fit(
        MPR(eta=-5.0, J=13.5, Delta=0.7),
        free=("Delta", "J"),
        target=EnergyTarget(level, barrier=barrier),
        starts=starts,
        bounds={"Delta": (0.3, 1.5), "J": (13.0, 18.0)},
        progress=False,
    )
    run = simulate(burster, {"r": 0.2, "v": -1.0}, jnp.linspace(0.0, 200.0, 20_001), rtol=1e-9, atol=1e-11)
    bursts = find_bursts(run)
    last = int(np.flatnonzero(np.isfinite(bursts["period"].values))[-1])  # transients have died out
    peaks = np.asarray(bursts["peak"].values)[last]
    peaks = peaks[np.isfinite(peaks)]
    period = float(bursts["period"].values[last])
    guess = MPR(eta=-5.5, J=15 * 2**0.5, Delta=1.9, adaptation=SynapticDepression(alpha=0.045, tau=10.0))
    free, fits = ("Delta", "adaptation.alpha"), {"energies": (first, bistable)}
    for method, count in (("prediction", starts), ("simulation", 1)):
        target = BurstAmplitudeTarget(peaks, period=period, method=method)
        found = fit(guess, free=free, target=target, starts=count, spread=0.1, progress=False)
        fits[method] = (found, burster)
        guess = found.best
    rows = []
    for name, limit in (("energies", 1e-6), ("prediction", 0.05), ("simulation", 1e-3)):
        found, truth = fits[name]
        source = "both wells' energies and barriers" if name == "energies" else f"a burst's peaks and period, by {name}"
        for label, x, true in zip(found.labels, found.values[found.best_index], _true(found, truth), strict=True):
            rows.append(at_most(f"relative error of {_SYMBOLS[label]} from {source}", x / true - 1, limit))
        share = float(found.converged.mean())
        rows.append(Row(f"share of starts that converged, from {source}", "> 0", share, share > 0))
    return Evidence(rows, _data(xr, fits, level, barrier, peaks, period), _figure(pyplot, fits, level, peaks))


def _true(found: Any, truth: Any) -> np.ndarray:
    return np.asarray(found.parameters.read(truth), float)


def _figure(pyplot: Any, fits: Any, level: dict[float, float], peaks: np.ndarray) -> Any:
    """Landscape and burst as they were wanted and as the fits have them; below how the starts ended, and the errors."""
    figure, axes = pyplot.subplots(2, 2, figsize=(11.0, 7.6), layout="constrained")
    axes = axes.ravel()
    r = np.geomspace(0.05, 2.0, 300)
    rates = State(r=jnp.asarray(r), v=jnp.zeros(r.size))
    found = fits["energies"][0]
    start = found.parameters.apply(found.model, jnp.asarray(found.initial[0]))
    for model, style, label in ((start, ":", "first start"), (found.best, "-", "best fit")):
        axes[0].plot(r, potential_energy(model, rates), style, color="#1f5fa8", label=label)
    wells = np.asarray(list(level.values()))
    axes[0].plot(list(level), wells, "o", color="black", label="wanted energies of the wells")
    span = max(np.ptp(wells), 4.0)
    axes[0].set(xscale="log", ylim=(wells.min() - span, wells.max() + 2 * span))
    axes[0].set(xlabel="firing rate r (1/time)", ylabel="potential V(r) (dimensionless)")
    number = np.arange(1, peaks.size + 1)
    axes[1].plot(number, peaks, "o", color="black", label="wanted peaks, of a run")
    for name, marker in (("prediction", "x"), ("simulation", "+")):
        each, _ = fits[name]
        own = np.asarray(each.target.burst(each.best).peak)[: peaks.size]
        axes[1].plot(number[: own.size], own, marker, ms=9, color=_COLOURS[name], label=f"best fit by {name}")
    axes[1].set(xlabel="spike in the burst (number)", ylabel="firing rate at the peak (1/time)")
    labels: list[str] = []
    for name, (each, truth) in fits.items():
        loss = np.sort(np.where(np.isfinite(each.loss), each.loss, np.nan))
        axes[2].semilogy(np.arange(1, loss.size + 1), np.maximum(loss, 1e-32), "o", color=_COLOURS[name], label=name)
        error = np.abs(each.values[each.best_index] / _true(each, truth) - 1)
        place = len(labels) + np.arange(error.size)
        axes[3].semilogy(place, np.maximum(error, 1e-17), "o", color=_COLOURS[name], label=name)
        labels += [_SYMBOLS[label] for label in each.labels]
    axes[2].set(xlabel="starts, sorted by loss (those without a burst have none)", ylabel="loss (dimensionless)")
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    axes[3].set(xlabel="parameter", ylabel="relative error (dimensionless)")
    axes[3].set_xticks(range(len(labels)), labels)
    titles = ("from energies", "from a burst's peaks and period", "how the starts ended", "recovered")
    for each, title in zip(axes, titles, strict=True):
        each.set_title(title, fontsize=10)
        each.legend(frameon=False, fontsize=8)
    return figure


def _data(xr: Any, fits: Any, level: Any, barrier: Any, peaks: np.ndarray, period: float) -> Any:
    data: dict[str, Any] = {
        "level": ("well", list(level.values()), {"units": "1", "long_name": "wanted energies of the wells"}),
        "barrier": ("well", list(barrier.values()), {"units": "1", "long_name": "wanted barriers"}),
        "peak": ("spike", peaks, {"units": "1/time", "long_name": "wanted rates at the peaks"}),
        "period": ((), period, {"units": "time", "long_name": "wanted period of the bursts"}),
    }
    for name, (found, truth) in fits.items():
        about = {"long_name": f"found by {name}", "parameters": ", ".join(found.labels)}
        data[f"found_{name}"] = ("parameter", found.values[found.best_index], about)
        data[f"true_{name}"] = ("parameter", _true(found, truth), {"long_name": "true values"})
        data[f"loss_{name}"] = (f"start_{name}", found.loss, {"units": "1", "long_name": "loss of every start"})
    return xr.Dataset(data, coords={"well": list(level), "spike": np.arange(1, peaks.size + 1)})
