"""Claims (l) to (n): the exact Boltzmann law, barriers and switching rates, a network's landscape and its recordings'."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import plot
from .._labelled import xarray
from .._optional import optional
from .._types import Key
from ..ising.bridge import LandscapeComparison, compare_landscapes, saddle_rates
from ..ising.fitting import fit_ising
from ..landscape.landscapes import energy_landscape
from ..landscape.network import NetworkLandscape
from ..landscape.population import population_landscape
from ..models.mpr import MPR
from ..models.network import Network, mutual_inhibition, per_node
from ..models.state import State
from ..models.stimulus import Ramp
from ..recordings.recording import binarize
from ..solvers.simulation import simulate
from ..stochastic.boltzmann_law import Boltzmann, boltzmann
from ..stochastic.escape import EscapeRate, escape_rate
from ..stochastic.inference import StationaryFit, fit_stationary
from ..stochastic.network_rates import NetworkEscape
from ..stochastic.passage import FirstPassage, first_passage
from ..stochastic.samples import MeasuredPotential, effective_temperature, potential_from_samples
from ..stochastic.thermodynamics import DrivenRuns, crooks, run_protocol
from .claim import Evidence, Row, as_numpy, at_most, close_to

# (eta, J, Delta), of which each claim makes models in the precision of the moment.
NOISY = (-3.75, 15.0, 1.0)  # two states, about equally deep at D = 0.5
DRIVEN = (1.0, 3.0, 0.5)
BISTABLE = (-5.0, 15.0, 1.0)


def boltzmann_law(quick: bool) -> Evidence:
    """(l) Noise makes the landscape visible: P(r) ∝ r^(−3/2) exp(−V/T), T = πD/Δ, and back from a recording."""
    xr = xarray()
    population, D = MPR(*NOISY), 0.5
    law = boltzmann(population, D)
    lanes, duration = (64, 60.0) if quick else (512, 200.0)
    starts = law.sample(jax.random.key(0), (lanes,))
    ts, keys = jnp.arange(0.0, duration, 0.25), jax.random.split(jax.random.key(1), lanes)
    run = jax.vmap(lambda y0, key: simulate(population, y0, ts, noise=D, key=key))(starts, keys)
    r = as_numpy(run.ys.r)
    fitted = fit_stationary(r.ravel())
    measured = potential_from_samples(r.ravel(), temperature=law.temperature)
    rms = float(measured.compare(population)["rms"] / law.temperature)
    runs = 4096 if quick else 65536
    ways = [
        run_protocol(MPR(*DRIVEN), Ramp(0.5, 0.0, 1.0), 0.1, jax.random.key(k), t1=1.0, lanes=runs, reverse=bool(k))
        for k in (0, 1)
    ]
    rows = [
        *_moments(law, r, run.ys),
        *_intervals(fitted, dict(zip(("eta", "J", "Delta", "noise"), (*NOISY, D), strict=True))),
        at_most("V from the samples: distance from V in units of T, root mean square", rms, 0.5 if quick else 0.15),
        *_free_energies(ways, quick),
    ]
    data = xr.Dataset(
        {
            "r": (("lane", "t"), r, {"units": "1/time"}),
            "potential": ("bin", as_numpy(measured.potential)),
            "error": ("bin", as_numpy(measured.error)),
            "work": (("way", "run"), np.stack([as_numpy(each.work) for each in ways]), {"units": "1"}),
        },
        {"t": as_numpy(ts), "bin": as_numpy(measured.r)},
    )
    return Evidence(rows, data, _picture_of_the_law(law, r, measured, fitted, ways))


def _moments(law: Boltzmann, r: np.ndarray, ys: State) -> list[Row]:
    """Time averages and last rates of independent lanes, against the exact law."""
    rows, lanes = [], r.shape[0]
    cases = {"r": (r, law.moment(1.0)), "1/r": (1 / r, law.moment(-1.0)), "ln r": (np.log(r), law.mean(jnp.log))}
    for name, (values, exact) in cases.items():
        means = values.mean(axis=1)  # lanes are independent
        errors = abs(means.mean() - float(exact)) / (means.std(ddof=1) / np.sqrt(lanes))
        rows.append(at_most(f"⟨{name}⟩: distance from the exact mean, standard errors", errors, 4.0))
    found = effective_temperature(jax.tree.map(lambda each: jnp.concatenate(list(each)), ys), MPR(*NOISY))
    errors = abs(float(found.kinetic) - float(law.temperature)) / float(found.kinetic_error)
    rows.append(at_most("⟨q̇²⟩: distance from T = πD/Δ, standard errors", errors, 4.0))
    gap = np.abs(as_numpy(law.cdf(jnp.asarray(np.sort(r[:, -1])))) - (np.arange(lanes) + 0.5) / lanes).max()
    return [*rows, at_most("Kolmogorov–Smirnov distance × √n, last rates of all lanes", gap * np.sqrt(lanes), 1.95)]


def _intervals(fitted: StationaryFit, truth: dict[str, float]) -> list[Row]:
    rows = []
    for name, value in truth.items():
        low, high = fitted.interval(0.999)[name]
        holds = low <= value <= high
        rows.append(Row(f"{name} from the recording alone: 99.9 % interval holds {value:g}", "1", float(holds), bool(holds)))
    return rows


def _free_energies(ways: list[DrivenRuns], quick: bool) -> list[Row]:
    both = crooks(*ways)
    slope = both.slope
    met = bool(abs(slope.value - 1) < 4 * slope.standard_error)
    return [
        close_to("ΔF by Jarzynski, η 1 → 1.5", ways[0].jarzynski().value, 1.0135694, 0.02 if quick else 3e-3),
        close_to("ΔF by Crooks and Bennett, both ways", both.free_energy.value, 1.0135694, 0.01 if quick else 2e-3),
        Row("slope of ln P_F(W)/P_B(−W) over W/T", "1 ± 4 σ", float(slope.value), met),
    ]


def _picture_of_the_law(
    law: Boltzmann, r: np.ndarray, measured: MeasuredPotential, fitted: StationaryFit, ways: list[DrivenRuns]
) -> Any:
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(2, 2, figsize=(12.5, 8.6), layout="constrained")
    plot.density(law, r.ravel(), axes=axes[0, 0])
    axes[0, 0].set_title("stationary rates: no parameter was fitted", fontsize=10)
    plot.potential(measured, MPR(*NOISY), fitted, axes=axes[0, 1])
    axes[0, 1].set_title("the landscape in a recording", fontsize=10)
    plot.work(*ways, axes=axes[1])
    axes[1, 0].set_title("work of a ramp, η 1 → 1.5 within 1 τ", fontsize=10)
    axes[1, 1].set_title("Crooks's theorem", fontsize=10)
    return figure


def _population_rate(population: MPR, D: float, start: object) -> EscapeRate:
    found = escape_rate(population, D, start)
    assert isinstance(found, EscapeRate)
    return found


def barriers(quick: bool) -> Evidence:
    """(m) The barrier's height over the temperature sets how often noise switches the state."""
    xr = xarray()
    high = population_landscape(MPR(*BISTABLE)).minima[1]
    noises, pair_noises = ((0.1,), ()) if quick else ((0.1, 0.07, 0.05), (0.6, 0.4))  # least actions compile for a minute
    found = [_escapes(D, high, jax.random.key(k), 512 if quick else 2048) for k, D in enumerate(noises)]
    one = np.array([_rates(exact.barrier, simulated, exact) for exact, simulated in found])
    two = np.array([_pair_rates(D, jax.random.key(10 + k)) for k, D in enumerate(pair_noises)]).reshape(-1, 4)
    rows = []
    for D, (barrier, simulated, _, exact) in zip(noises, one, strict=True):
        name = f"D = {D:g}, ΔU/T = {barrier:.2f}: rate simulated over exact, less 1"
        rows.append(at_most(name, simulated / exact - 1, 0.25 if quick else 0.15))
    if not quick:
        slope = np.polyfit(one[:, 0], np.log(one[:, 1]), 1)[0]
        rows.append(close_to("slope of ln(rate) over ΔU/T (−1 but for the prefactor)", slope, -1.0, 0.12))
    for D, (action, simulated, _, predicted) in zip(pair_noises, two, strict=True):
        name = f"mutual inhibition, D = {D:g}, action {action:.2f}: rate simulated over predicted, less 1"
        rows.append(at_most(name, simulated / predicted - 1, 0.2))
    columns = ("simulated", "standard_error")
    data = xr.Dataset(
        {name: ("noise", one[:, k]) for k, name in enumerate(("barrier", *columns, "exact"))}
        | {"kramers": ("noise", [float(exact.kramers) for exact, _ in found])}
        | {f"network_{name}": ("network_noise", two[:, k]) for k, name in enumerate(("action", *columns, "predicted"))},
        {"noise": list(noises), "network_noise": list(pair_noises)},
    )
    return Evidence(rows, data, _picture_of_barriers(one, two, high, noises[0], *found[0]))


def _exact_rate(D: float, start: object) -> EscapeRate:
    found = escape_rate(MPR(*BISTABLE), D, start)
    assert isinstance(found, EscapeRate)
    return found


def _escapes(D: float, start: object, key: Key, lanes: int) -> tuple[EscapeRate, FirstPassage]:
    return _exact_rate(D, start), first_passage(MPR(*BISTABLE), D, start, key, lanes=lanes)


def _rates(barrier: Any, simulated: FirstPassage, predicted: Any) -> tuple[float, float, float, float]:
    return float(barrier), float(simulated.rate), float(simulated.standard_error), float(predicted)


def _pair_rates(D: float, key: Key) -> tuple[float, float, float, float]:
    """Escape of two populations that inhibit each other: least action, rate simulated with its error, rate predicted."""
    pair = mutual_inhibition()
    found = energy_landscape(pair)
    assert isinstance(found, NetworkLandscape)
    predicted = escape_rate(pair, D, found.minima[0], landscape=found)
    assert isinstance(predicted, NetworkEscape)
    simulated = first_passage(pair, D, found.minima[0], key, lanes=1024)
    return _rates(np.min(predicted.action), simulated, predicted)


def _picture_of_barriers(
    one: np.ndarray, two: np.ndarray, start: object, D: float, exact: EscapeRate, simulated: FirstPassage
) -> Any:
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(1, 3, figsize=(15.0, 4.4), layout="constrained")
    curve = [_exact_rate(float(each), start) for each in np.linspace(0.03, 0.14, 12)]
    x = [float(each.barrier) for each in curve]
    axes[0].plot(x, [float(each) for each in curve], color="#1f5fa8", label="exact (Klein–Kramers equation)")
    axes[0].plot(x, [float(each.kramers) for each in curve], "--", color="#8a8a8a", label="Kramers's formula")
    axes[0].errorbar(one[:, 0], one[:, 1], one[:, 2], fmt="o", color="black", ms=5, label="simulated")
    axes[0].set(yscale="log", xlabel="barrier over temperature, ΔU/T", ylabel="rate of leaving the high state (1/τ)")
    axes[0].set_title("one population", fontsize=10)
    if two.size:
        axes[1].errorbar(two[:, 0], two[:, 1], two[:, 2], fmt="o", color="black", ms=5, label="simulated")
        axes[1].plot(two[:, 0], two[:, 3], "s", mfc="none", color="#d1651a", ms=8, label="least action and prefactor")
        axes[1].set(yscale="log", xlabel="least action, min ∫ΣI² dt/4D", ylabel="rate of switching (1/τ)")
    else:
        axes[1].text(0.5, 0.5, "not at toy size", ha="center", va="center", transform=axes[1].transAxes)
    axes[1].set_title("mutual inhibition", fontsize=10)
    for each in axes[: 2 if two.size else 1]:
        each.legend(frameon=False, fontsize=8)
        each.grid(alpha=0.25, linewidth=0.6)
    plot.survival(simulated, exact, labels=["exact"], axes=axes[2])
    axes[2].set_title(f"lanes still in the high state, D = {D:g}", fontsize=10)
    return figure


def recordings(quick: bool) -> Evidence:
    """(n) The Ising landscape of a recording is that of the network: couplings over one temperature, fields by odds."""
    xr = xarray()
    noises = (0.35,) if quick else (0.25, 0.35, 0.5)
    found = _compared(noises, *((16, 800.0) if quick else (64, 2000.0)))
    rows = [row for D, each in zip(noises, found, strict=True) for row in _agreement(D, each, quick)]
    if not quick:
        T = np.array([each.psi_temperature for each in found])
        rows.append(at_most("T_Ψ is proportional to D: spread of T_Ψ/D", np.std(T / noises) / np.mean(T / noises), 0.15))
    data = xr.Dataset(
        {
            "J": (("noise", "pair"), np.stack([each.J for each in found])),
            "coupling": (("noise", "pair"), np.stack([each.coupling for each in found])),
            "h": (("noise", "node"), np.stack([as_numpy(each.ising.h) for each in found])),
            "h_predicted": (("noise", "node"), np.stack([as_numpy(each.predicted.h) for each in found])),
            "psi_temperature": ("noise", [each.psi_temperature for each in found]),
        },
        {"noise": list(noises)},
    )
    return Evidence(rows, data, _picture_of_recordings(noises, found))


def _compared(noises: tuple[float, ...], lanes: int, duration: float) -> list[LandscapeComparison]:
    """Four weakly coupled populations, recorded under each noise, seen as up or down, beside their landscape Ψ."""
    W = 0.1 * np.array([[0, 1, -1, 0.5], [1, 0, 0.5, 1], [-1, 0.5, 0, 0], [0.5, 1, 0, 0]])
    network = Network(per_node(MPR(*NOISY), eta=-3.75 - 0.66 * W.sum(axis=1)), W)
    ts, keys = jnp.arange(0.0, duration, 1.0), jax.random.split(jax.random.key(0), lanes)
    starts = jnp.where(jax.random.bernoulli(jax.random.key(1), 0.5, (lanes, 4)), 1.2, 0.1)

    def rates(D, r, key) -> Any:
        return simulate(network, {"r": r, "v": jnp.full(4, -0.5)}, ts, noise=D, key=key, dt0=0.01).ys.r

    simulated, found = jax.jit(jax.vmap(rates, (None, 0, 0))), []
    for D in noises:
        r = as_numpy(simulated(jnp.asarray(D), starts, keys))[:, 200:]
        recording = binarize(r.reshape(-1, 4), threshold=as_numpy(saddle_rates(network)))
        found.append(compare_landscapes(network, D, fit_ising(recording)))
    return found


def _agreement(D: float, each: LandscapeComparison, quick: bool) -> list[Row]:
    ratio, correlation = each.psi_temperature / each.expected_temperature, each.state_correlation
    least = 0.8 if quick else 0.95
    same = set(each.ising.landscape().labels) == set(each.predicted.landscape().labels)
    energies = f"D = {D:g}: correlation of all states' energies with those predicted"
    minima = f"D = {D:g}: minima of recorded and predicted Ising landscapes are the same"
    return [
        at_most(f"D = {D:g}: J recorded minus predicted, root mean square", each.J_error, 0.1 if quick else 0.04),
        at_most(f"D = {D:g}: T_Ψ of the couplings over T R⁻R⁺, less 1", ratio - 1, 0.6 if quick else 0.2),
        Row(energies, f"≥ {least:g}", correlation, correlation >= least),
        *([] if quick else [Row(minima, "yes (1)", float(same), same)]),  # a short recording doesn't tell them
    ]


def _picture_of_recordings(noises: tuple[float, ...], found: list[LandscapeComparison]) -> Any:
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(2, 3, figsize=(13.5, 7.6), layout="constrained")
    middle = found[len(found) // 2]
    plot.compared_landscapes(middle, axes=axes[0])
    plot.disconnectivity(middle.ising.landscape(), axes=axes[1, 0])
    axes[1, 0].set_title(f"Ising landscape of the recording, D = {noises[len(found) // 2]:g}", fontsize=10)
    plot.disconnectivity(middle.landscape, axes=axes[1, 1])
    axes[1, 1].set_title("landscape Ψ of the network", fontsize=10)
    D = np.asarray(noises)
    axes[1, 2].plot(D, [each.psi_temperature for each in found], "o", color="black", label="T_Ψ from the couplings")
    axes[1, 2].plot(D, [each.expected_temperature for each in found], "s--", mfc="none", color="#d1651a", label="T R⁻R⁺")
    axes[1, 2].set(xlabel="noise D", ylabel="temperature of Ψ", xlim=(0, None), ylim=(0, None))
    axes[1, 2].legend(frameon=False, fontsize=8)
    axes[1, 2].set_title("couplings are those of Ψ over T_Ψ ∝ D", fontsize=10)
    return figure
