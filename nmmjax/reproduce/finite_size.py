"""Claim (r): what a finite number of neurons does to the rate, in closed form."""

import itertools
from typing import Any

import jax
import numpy as np
from scipy.signal import welch

from .. import plot
from .._labelled import xarray
from .._optional import optional
from ..finite_size.power import PowerSpectrum, power_spectrum
from ..finite_size.shot_noise import ShotNoise
from ..landscape.landscapes import energy_landscape
from ..models.mpr import MPR
from ..models.noise import CauchyNoise
from ..models.qif_network import QIFNetwork
from ..solvers.simulation import simulate
from ..stochastic.passage import first_passage
from ..stochastic.survival import exponential_fit
from .claim import Evidence, at_most, close_to

_EDGES = np.array([0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0])
_STEP, _SAMPLED, _SETTLED = 0.01, 0.05, 200.0
_WINDOWS = (0.5, 2.0, 10.0)
_FLAT, _SHARP = (1.0, 2.0, 0.3), (-5.0, 15.0, 1.0)
_ESCAPES = {75: 30.9, 100: 62.7, 150: 191.0}  # of an earlier program, ± 16 %


def spectra(quick: bool) -> Evidence:
    """(r) The spectrum of the rate of N neurons, Fano factors and counts follow from the mean field in closed form."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    duration = 2000.0 if quick else 16_000.0
    few, many = (1000, 2000) if quick else (1000, 10_000)
    slack = 4.0 if quick else 1.0
    figure, axes = pyplot.subplots(1, 3, figsize=(15.0, 4.2), layout="constrained")
    rows, data = [], {}
    for k, (name, values, sizes) in enumerate((("flat", _FLAT, (few, many)), ("sharp", _SHARP, (few, many)))):
        for N in sizes:
            predicted = power_spectrum(MPR(*values), N)
            rates = _counted(MPR(*values), N, None, predicted, duration)
            f, measured = _welch(rates, predicted)
            ratio = _bands(f, measured) / _bands(f, np.asarray(predicted.at(f)[0]))
            limit = slack * (0.03 if name == "flat" else 0.07)
            about = f"(η, J, Δ) = {values}, N = {N}"
            rows.append(
                at_most(f"{about}: rms deviation of the spectrum over bands", np.sqrt(np.mean((ratio - 1) ** 2)), limit)
            )
            data |= {f"ratio_{name}_{N}": ("band", ratio, {"units": "1"})}
            if sizes[0] == N:
                shown = f <= float(predicted.frequencies[-1])
                axes[k].plot(f[shown], measured[shown], color="#d1651a", linewidth=0.6, label=f"{N} neurons")
                plot.power_spectrum(predicted, axes=axes[k])
                axes[k].set_title(f"η = {values[0]:g}, J = {values[1]:g}, Δ = {values[2]:g}", fontsize=10, loc="left")
                if name == "flat":
                    rows += _in_windows(about, rates, predicted, slack)
    noise = CauchyNoise(0.3)
    predicted = power_spectrum(MPR(1.0, 2.0, 0.0), few, noise=noise)
    rates = _counted(MPR(1.0, 2.0, 0.0), few, noise, predicted, duration / 2)
    f, measured = _welch(rates, predicted)
    ratio = _bands(f, measured) / _bands(f, np.asarray(predicted.at(f)[0]))
    rows.append(
        at_most(
            f"(η, J) = (1, 2), Cauchy noise 0.3, N = {few}: rms deviation over bands",
            np.sqrt(np.mean((ratio - 1) ** 2)),
            0.05 * slack,
        )
    )
    for x, Gamma in ((1.0, 0.3), (-1.0, 0.5), (0.0, 1.0)):
        found, error, expected = _fano(x, Gamma, 400.0 if quick else 2000.0)
        rows.append(close_to(f"Fano factor at (x, Γ) = ({x:g}, {Gamma:g}), windows of 20", found, expected, 3 * error))
    sizes = (75,) if quick else tuple(_ESCAPES)
    times, errors = np.array([_escape(N, 12 if quick else 64) for N in sizes]).T
    for N, time, error in zip(sizes, times, errors, strict=True):
        within = 0.2 + 2 * error / time
        rows.append(close_to(f"neurons with Cauchy noise: ln of the mean escape time from the focus, N = {N}",
                             np.log(time), np.log(_ESCAPES[N]), within))  # fmt: skip
    if not quick:
        slope = np.polyfit(sizes, np.log(times), 1)[0]
        rows.append(close_to("the same: d ln τ/dN (Arrhenius in N)", slope, 0.0257, 0.006))
    node = _from_the_node(100, 128 if quick else 512)
    rows.append(close_to("shot noise: ln of the mean escape time from the node of η = −3.3, N = 100, neurons 21.9 ± 3.5",
                         np.log(node), np.log(21.9), 0.35))  # fmt: skip
    axes[2].errorbar(sizes, times, errors, fmt="o", color="#d1651a", label="neurons")
    axes[2].plot(list(_ESCAPES), list(_ESCAPES.values()), "--", color="#8a8a8a", label="another program")
    axes[2].set(xlabel="number N of neurons", ylabel="mean time to escape (unit of τ)", yscale="log",
                title="η = −5, J = 15, Cauchy noise 1: Arrhenius in N")  # fmt: skip
    axes[2].legend(frameon=False, fontsize=8)
    columns = {
        **data,
        "escape_time": ("size", times, {"units": "time"}),
        "escape_error": ("size", errors, {"units": "time"}),
    }
    dataset = xr.Dataset(columns, coords={"band": (_EDGES[1:] + _EDGES[:-1]) / 2, "size": list(sizes)})
    return Evidence(rows, dataset, figure)


def _counted(model: MPR, N: int, noise: Any, predicted: PowerSpectrum, duration: float) -> np.ndarray:
    """Rates of a network at rest, counted between times `_SAMPLED` apart, after it has settled. Voltages that are spread
    evenly fluctuate less than those of neurons that know nothing of each other: some noise mixes their phases first."""
    network, mixing = QIFNetwork(model, N), CauchyNoise(0.1)
    mixed = simulate(network, predicted.state, [0.0, _SETTLED], dt0=_STEP, noise=mixing, key=jax.random.key(N))
    ts = np.arange(0.0, duration + _SETTLED, _SAMPLED)
    given = {} if noise is None else {"noise": noise, "key": jax.random.key(N + 1)}
    run = simulate(network, mixed, ts, dt0=_STEP, **given)
    assert run.neurons is not None
    return np.asarray(run.neurons.counts)[int(_SETTLED / _SAMPLED) :] / (N * _SAMPLED)


def _welch(rates: np.ndarray, predicted: PowerSpectrum) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies > 0 and the two-sided spectrum. Counting takes sinc² of what differs from the flat level, and folds as
    much of the flat level back."""
    f, power = welch(rates, 1 / _SAMPLED, nperseg=int(50 / _SAMPLED), return_onesided=False, detrend="constant")
    some = f > 0
    flat = float(predicted.poisson)
    return f[some], flat + (power[some] - flat) / np.sinc(f[some] * _SAMPLED) ** 2


def _bands(f: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    return np.array([spectrum[(f >= low) & (f < high)].mean() for low, high in itertools.pairwise(_EDGES)])


def _in_windows(about: str, rates: np.ndarray, predicted: PowerSpectrum, slack: float) -> list[Any]:
    found = []
    for T in _WINDOWS:
        size = round(T / _SAMPLED)
        means = rates[: rates.size // size * size].reshape(-1, size).mean(axis=1)
        ratio = np.std(means) / float(predicted.window_deviation(T))
        found.append(
            close_to(f"{about}: sd of rates counted in windows of {T:g} over the predicted one", ratio, 1.0, 0.05 * slack)
        )
    return found


def _fano(x: float, Gamma: float, duration: float) -> tuple[float, float, float]:
    """Fano factor of single neurons in windows of 20, its standard error over neurons, and the predicted one."""
    noise, W = CauchyNoise(Gamma), 20.0
    predicted = power_spectrum(MPR(x, 0.0, 0.0), 1, noise=noise)
    ts = np.arange(0.0, duration + _SETTLED, W)
    network = QIFNetwork(MPR(x, 0.0, 0.0), 400, watched=400)
    run = simulate(network, predicted.state, ts, dt0=_STEP, noise=noise, key=jax.random.key(1))
    assert run.neurons is not None
    counts = np.asarray(run.neurons.raster)[int(_SETTLED / W) :]
    each = counts.var(axis=0, ddof=1) / counts.mean()
    expected = float(predicted.window_deviation(W)) ** 2 * W / float(predicted.poisson)
    return float(each.mean()), float(each.std() / np.sqrt(each.size)), expected


def _escape(N: int, lanes: int) -> tuple[float, float]:
    """Mean time after which neurons with Cauchy noise leave the focus of (−5, 15, Γ = 1), and its error: when their rate in
    windows of 2 is below that of the saddle, halved."""
    horizon, noise, every = 2.5 * _ESCAPES[N], CauchyNoise(1.0), 0.5
    network, ts = QIFNetwork(MPR(-5.0, 15.0, 0.0), N), np.arange(0.0, horizon, every)

    def one(key: Any) -> Any:
        return simulate(network, {"r": 1.0305968, "v": -0.15443}, ts, dt0=_STEP, noise=noise, key=key).neurons.counts

    counts = np.asarray(jax.lax.map(one, jax.random.split(jax.random.key(N), lanes)))
    width = 4
    sums = np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1)
    low = (sums[:, width:] - sums[:, :-width]) / (N * width * every) < 0.24
    passed = low.any(axis=1)
    times = np.where(passed, low.argmax(axis=1) * every + every, horizon)
    fit = exponential_fit(times, passed)
    return 1 / float(fit.rate), float(fit.standard_error / fit.rate**2)


def _from_the_node(N: int, lanes: int) -> float:
    """The mean time after which `ShotNoise` takes the mean field out of the node of (−3.3, 15, Γ = 1)."""
    low = energy_landscape(MPR(-3.3, 15.0, 1.0)).minima[0]
    noise, model = ShotNoise(N, CauchyNoise(1.0)), MPR(-3.3, 15.0, 0.0)
    passage = first_passage(model, noise, low, jax.random.key(N), lanes=lanes, end=0.5, transient=0.0)
    return 1 / float(passage.rate)
