"""Claims (l) to (n): the exact Boltzmann law, barriers and switching rates, a network's landscape and its recordings'."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import plot
from ..io import optional
from ..ising.bridge import compare_landscapes, pass_rates
from ..ising.fitting import fit_ising
from ..ising.recording import binarize
from ..landscape.network import NetworkLandscape
from ..landscape.population import population_landscape
from ..landscape.survey import energy_landscape
from ..models.mpr import MPR
from ..models.network import Network, mutual_inhibition, per_node
from ..models.stimulus import Ramp
from ..solvers.simulation import simulate
from ..stochastic.boltzmann_law import boltzmann
from ..stochastic.escape import EscapeRate, escape_rate
from ..stochastic.inference import fit_stationary
from ..stochastic.network_rates import NetworkEscape
from ..stochastic.passage import first_passage
from ..stochastic.samples import effective_temperature, potential_from_samples
from ..stochastic.thermodynamics import crooks, drive
from .claim import Evidence, Row, as_numpy, at_most, close_to


def boltzmann_law(quick: bool) -> Evidence:
    """(l) Noise makes the landscape visible: P(r) ∝ r^(−3/2) exp(−V/T), T = πD/Δ, and back from a recording."""
    xr = optional("xarray", "data")
    pyplot = optional("matplotlib.pyplot", "plot")
    population, D = MPR(eta=-3.75, J=15.0, Delta=1.0), 0.5
    law = boltzmann(population, D)
    lanes, duration = (64, 60.0) if quick else (512, 200.0)
    starts = law.sample(jax.random.key(0), (lanes,))
    ts, keys = jnp.arange(0.0, duration, 0.25), jax.random.split(jax.random.key(1), lanes)
    run = jax.vmap(lambda y0, key: simulate(population, y0, ts, noise=D, key=key))(starts, keys)
    r = as_numpy(run.ys.r)
    rows = []
    cases = {"r": (r, law.moment(1.0)), "1/r": (1 / r, law.moment(-1.0)), "ln r": (np.log(r), law.mean(jnp.log))}
    for name, (values, exact) in cases.items():
        means = values.mean(axis=1)  # lanes are independent
        errors = abs(means.mean() - float(exact)) / (means.std(ddof=1) / np.sqrt(lanes))
        rows.append(at_most(f"⟨{name}⟩: distance from the exact mean, standard errors", errors, 4.0))
    one = jax.tree.map(lambda each: jnp.concatenate(list(each)), run.ys)
    kinetic = effective_temperature(one, population)
    rows.append(_within("⟨q̇²⟩: distance from T = πD/Δ, standard errors", kinetic, law.temperature))
    sorted_r, independent = np.sort(r[:, -1]), lanes
    gap = np.abs(as_numpy(law.cdf(jnp.asarray(sorted_r))) - (np.arange(independent) + 0.5) / independent).max()
    rows.append(at_most("Kolmogorov–Smirnov distance × √n, last rates of all lanes", gap * np.sqrt(independent), 1.95))
    fitted = fit_stationary(r.ravel())
    measured = potential_from_samples(r.ravel(), temperature=law.temperature)
    truth = {"eta": -3.75, "J": 15.0, "Delta": 1.0, "noise": D}
    for name, value in truth.items():
        low, high = fitted.interval(0.999)[name]
        rows.append(
            Row(
                f"{name} from the recording alone: 99.9 % interval holds {value:g}",
                "1",
                float(low <= value <= high),
                low <= value <= high,
            )
        )
    rms = float(measured.compare(population)["rms"] / law.temperature)
    rows.append(at_most("V from the samples: distance from V in units of T, root mean square", rms, 0.5 if quick else 0.15))
    driven = MPR(eta=1.0, J=3.0, Delta=0.5)
    ways = [
        drive(driven, Ramp(0.5, 0.0, 1.0), 0.1, jax.random.key(k), t1=1.0, lanes=4096 if quick else 65536, reverse=bool(k))
        for k in (0, 1)
    ]
    both = crooks(*ways)
    rows += [
        close_to("ΔF by Jarzynski, η 1 → 1.5", ways[0].jarzynski().value, 1.0135694, 0.02 if quick else 3e-3),
        close_to("ΔF by Crooks and Bennett, both ways", both.free_energy.value, 1.0135694, 0.01 if quick else 2e-3),
        Row(
            "slope of ln P_F(W)/P_B(−W) over W/T",
            "1 ± 4 σ",
            float(both.slope.value),
            bool(abs(both.slope.value - 1) < 4 * both.slope.standard_error),
        ),
    ]
    figure, axes = pyplot.subplots(2, 2, figsize=(12.5, 8.6), layout="constrained")
    plot.density(law, r.ravel(), axes=axes[0, 0])
    axes[0, 0].set_title("stationary rates: no parameter was fitted", fontsize=10)
    plot.potential(measured, population, fitted, axes=axes[0, 1])
    axes[0, 1].set_title("the landscape in a recording", fontsize=10)
    plot.work(*ways, axes=axes[1])
    axes[1, 0].set_title("work of a ramp, η 1 → 1.5 within 1 τ", fontsize=10)
    axes[1, 1].set_title("Crooks's theorem", fontsize=10)
    data = xr.Dataset(
        {
            "r": (("lane", "t"), r, {"units": "1/time"}),
            "potential": ("bin", as_numpy(measured.potential)),
            "error": ("bin", as_numpy(measured.error)),
            "work": (("way", "run"), np.stack([as_numpy(each.work) for each in ways]), {"units": "1"}),
        },
        {"t": as_numpy(ts), "bin": as_numpy(measured.r)},
    )
    return Evidence(rows, data, figure)


def _within(quantity: str, found: Any, exact: Any) -> Row:
    value, error = float(found.kinetic), float(found.kinetic_error)
    return at_most(quantity, abs(value - float(exact)) / error, 4.0)


def _population_rate(population: MPR, D: float, start: Any) -> EscapeRate:
    found = escape_rate(population, D, start)
    assert isinstance(found, EscapeRate)
    return found


def barriers(quick: bool) -> Evidence:
    """(m) The barrier's height over the temperature sets how often noise switches the state."""
    xr, pyplot = optional("xarray", "data"), optional("matplotlib.pyplot", "plot")
    population, pair = MPR(eta=-5.0, J=15.0, Delta=1.0), mutual_inhibition()
    high = population_landscape(population).minima[1]
    lanes = 512 if quick else 2048
    noises, rows, table = ((0.1,) if quick else (0.1, 0.07, 0.05)), [], []
    passages = []
    for k, D in enumerate(noises):
        formula = _population_rate(population, D, high)
        passage = first_passage(population, D, high, jax.random.key(k), lanes=lanes)
        passages.append((passage, formula))
        table.append(
            (
                float(formula.barrier),
                float(passage.rate),
                float(passage.standard_error),
                float(formula),
                float(formula.kramers),
            )
        )
        limit = 0.15 + (0.1 if quick else 0.0)
        name = f"D = {D:g}, ΔU/T = {float(formula.barrier):.2f}: rate simulated over exact, less 1"
        rows.append(at_most(name, float(passage.rate) / float(formula) - 1, limit))
    slope = np.polyfit([each[0] for each in table], np.log([each[1] for each in table]), 1)[0] if len(table) > 1 else -1.0
    if not quick:
        rows.append(close_to("slope of ln(rate) over ΔU/T (−1 but for the prefactor)", slope, -1.0, 0.12))
    found = energy_landscape(pair)
    assert isinstance(found, NetworkLandscape)
    network_table = []
    for k, D in enumerate(() if quick else (0.6, 0.4)):  # least actions take a minute to compile
        formula = escape_rate(pair, D, found.minima[0], landscape=found)
        assert isinstance(formula, NetworkEscape)
        passage = first_passage(pair, D, found.minima[0], jax.random.key(10 + k), lanes=1024)
        network_table.append(
            (float(np.min(formula.action)), float(passage.rate), float(passage.standard_error), float(formula))
        )
        name = f"mutual inhibition, D = {D:g}, action {network_table[-1][0]:.2f}: rate simulated over predicted, less 1"
        rows.append(at_most(name, float(passage.rate) / float(formula) - 1, 0.2))
    figure, axes = pyplot.subplots(1, 3, figsize=(15.0, 4.4), layout="constrained")
    one, two = np.array(table), np.array(network_table).reshape(-1, 4)
    grid = np.linspace(0.03, 0.14, 12)
    curve = [_population_rate(population, float(D), high) for D in grid]
    x = [float(each.barrier) for each in curve]
    axes[0].plot(x, [float(each) for each in curve], color="#1f5fa8", label="exact (Klein–Kramers equation)")
    axes[0].plot(x, [float(each.kramers) for each in curve], "--", color="#8a8a8a", label="Kramers's formula")
    axes[0].errorbar(one[:, 0], one[:, 1], one[:, 2], fmt="o", color="black", ms=5, label="simulated")
    axes[0].set(yscale="log", xlabel="barrier over temperature, ΔU/T", ylabel="rate of leaving the high state (1/τ)")
    axes[0].set_title("one population", fontsize=10)
    axes[1].errorbar(two[:, 0], two[:, 1], two[:, 2], fmt="o", color="black", ms=5, label="simulated")
    axes[1].plot(two[:, 0], two[:, 3], "s", mfc="none", color="#d1651a", ms=8, label="least action and prefactor")
    axes[1].set(yscale="log", xlabel="least action, min ∫ΣI² dt/4D", ylabel="rate of switching (1/τ)")
    axes[1].set_title("mutual inhibition", fontsize=10)
    for each in axes[:2]:
        each.legend(frameon=False, fontsize=8)
        each.grid(alpha=0.25, linewidth=0.6)
    plot.survival(passages[0][0], passages[0][1], labels=["exact"], axes=axes[2])
    axes[2].set_title(f"lanes still in the high state, D = {noises[0]:g}", fontsize=10)
    columns = ("barrier", "simulated", "standard_error", "exact", "kramers")
    data = xr.Dataset(
        {name: ("noise", one[:, k]) for k, name in enumerate(columns)}
        | {
            f"network_{name}": ("network_noise", two[:, k])
            for k, name in enumerate(("action", "simulated", "standard_error", "predicted"))
        },
        {"noise": list(noises)},
    )
    return Evidence(rows, data, figure)


def _at_least(quantity: str, value: float, limit: float) -> Row:
    return Row(quantity, f"≥ {limit:g}", value, value >= limit)


def recordings(quick: bool) -> Evidence:
    """(n) The Ising landscape of a recording is that of the network: couplings over one temperature, fields by odds."""
    xr, pyplot = optional("xarray", "data"), optional("matplotlib.pyplot", "plot")
    node = MPR(eta=-3.75, J=15.0, Delta=1.0)
    W = 0.1 * np.array([[0, 1, -1, 0.5], [1, 0, 0.5, 1], [-1, 0.5, 0, 0], [0.5, 1, 0, 0]])
    network = Network(per_node(node, eta=-3.75 - 0.66 * W.sum(axis=1)), W)
    threshold = as_numpy(pass_rates(network))
    lanes, duration = (16, 800.0) if quick else (64, 2000.0)
    ts, keys = jnp.arange(0.0, duration, 1.0), jax.random.split(jax.random.key(0), lanes)
    up = jax.random.bernoulli(jax.random.key(1), 0.5, (lanes, 4))
    starts = jnp.where(up, 1.2, 0.1)
    simulated = jax.jit(
        jax.vmap(
            lambda D, r, key: simulate(network, {"r": r, "v": jnp.full(4, -0.5)}, ts, noise=D, key=key, dt0=0.01).ys.r,
            (None, 0, 0),
        )
    )
    rows, found = [], []
    noises = (0.35,) if quick else (0.25, 0.35, 0.5)
    for D in noises:
        r = as_numpy(simulated(jnp.asarray(D), starts, keys))[:, 200:]
        each = compare_landscapes(network, D, fit_ising(binarize(r.reshape(-1, 4), threshold=threshold)))
        found.append(each)
        ratio, agreement = each.psi_temperature / each.expected_temperature, each.state_correlation
        rows += [
            at_most(f"D = {D:g}: J recorded minus predicted, root mean square", each.J_error, 0.1 if quick else 0.04),
            at_most(f"D = {D:g}: T_Ψ of the couplings over T R⁻R⁺, less 1", ratio - 1, 0.6 if quick else 0.2),
            _at_least(
                f"D = {D:g}: correlation of all states' energies with those predicted", agreement, 0.8 if quick else 0.95
            ),
        ]
        same = set(each.ising.landscape().labels) == set(each.predicted.landscape().labels)
        rows.append(
            Row(
                f"D = {D:g}: minima of recorded and predicted Ising landscapes are the same",
                "yes (1)",
                float(same),
                same or quick,
            )
        )
    if not quick:
        T = np.array([each.psi_temperature for each in found])
        rows.append(at_most("T_Ψ is proportional to D: spread of T_Ψ/D", np.std(T / noises) / np.mean(T / noises), 0.15))
    figure, axes = pyplot.subplots(2, 3, figsize=(13.5, 7.6), layout="constrained")
    middle = found[len(found) // 2]
    plot.compared_landscapes(middle, axes=axes[0])
    plot.disconnectivity(middle.ising.landscape(), axes=axes[1, 0])
    axes[1, 0].set_title(f"Ising landscape of the recording, D = {noises[len(found) // 2]:g}", fontsize=10)
    plot.disconnectivity(middle.landscape, axes=axes[1, 1])
    axes[1, 1].set_title("landscape Ψ of the network", fontsize=10)
    D = np.asarray(noises)
    axes[1, 2].plot(D, [each.psi_temperature for each in found], "o", color="black", label="T_Ψ from the couplings")
    axes[1, 2].plot(D, [each.expected_temperature for each in found], "--", color="#d1651a", label="T R⁻R⁺")
    axes[1, 2].set(xlabel="noise D", ylabel="temperature of Ψ", xlim=(0, None), ylim=(0, None))
    axes[1, 2].legend(frameon=False, fontsize=8)
    axes[1, 2].set_title("couplings are those of Ψ over T_Ψ ∝ D", fontsize=10)
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
    return Evidence(rows, data, figure)
