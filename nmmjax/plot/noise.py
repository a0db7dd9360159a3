"""Pictures of noise: stationary densities, potentials from samples, passages, driven runs, landscapes compared."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import require
from ..ising.bridge import LandscapeComparison
from ..models.base import require_one
from ..models.mpr import MPR
from ..stochastic.boltzmann_law import Boltzmann
from ..stochastic.inference import StationaryFit
from ..stochastic.passage import FirstPassage
from ..stochastic.samples import MeasuredPotential
from ..stochastic.thermodynamics import Crooks, DrivenRuns, crooks
from .common import BLUE, GREEN, GREY, ORANGE, finish, new_axes, plain_numbers


def density(law: Boltzmann, r: Any = None, axes: Any = None) -> Any:
    """The exact stationary density of ln r, and a histogram of a recording's rates.

    - `law`: of `boltzmann`
    - `r`: rates (n,), per unit of time; None by default
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    require("law", type(law).__name__, "be the result of `boltzmann`", isinstance(law, Boltzmann))
    axes = new_axes(axes, 1, (6.4, 4.0))
    ends = np.asarray(law.quantile(jnp.asarray([2e-4, 1 - 2e-4], law.x.dtype)))
    if r is not None:
        values = np.asarray(r, float)
        values = np.log(values[np.isfinite(values) & (values > 0)])
        counts, edges = np.histogram(values, bins=60, density=True)
        axes.stairs(counts, np.exp(edges), fill=True, color=GREY, alpha=0.45, label=f"recording, {values.size} samples")
        ends = np.array([min(ends[0], np.exp(values.min())), max(ends[1], np.exp(values.max()))])
    grid = np.geomspace(ends[0], ends[1], 601)
    at = jnp.asarray(grid, law.x.dtype)
    label = f"Boltzmann's law, T = {float(law.temperature):.3g}"
    axes.plot(grid, grid * np.asarray(law.pdf(at)), color=BLUE, linewidth=1.8, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("firing rate r (1/time)")
    axes.set_ylabel("density of ln r (dimensionless)")
    axes.legend(frameon=False, fontsize=8)
    return finish(axes)


def potential(measured: MeasuredPotential, *models: MPR | StationaryFit, labels: Any = None, axes: Any = None) -> Any:
    """The potential that a recording shows, with its errors, beside V(r) of populations or fits.

    - `measured`: of `potential_from_samples`
    - `*models`: populations, or fits of `fit_stationary`; each V is shifted by the constant that fits best
    - `labels`: a name per model for the legend; "V(r) of the population" or "V(r) of the fit" by default
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    require(
        "measured",
        type(measured).__name__,
        "be the result of `potential_from_samples`",
        isinstance(measured, MeasuredPotential),
    )
    axes = new_axes(axes, 1, (6.4, 4.0))
    r, V, error = (np.asarray(each) for each in (measured.r, measured.potential, measured.error))
    axes.errorbar(r, V, error, fmt="o", ms=3.5, color="black", elinewidth=0.9, label="−T ln(r^(3/2) P), from the recording")
    for k, model in enumerate(models):
        population = model.population if isinstance(model, StationaryFit) else model
        require_one(population, "models", offer="riccati")
        found = measured.compare(population)
        grid = jnp.asarray(np.geomspace(r.min(), r.max(), 401), measured.r.dtype)
        shifted = MeasuredPotential(grid, jnp.zeros_like(grid), jnp.ones_like(grid), measured.temperature).compare(
            population
        )
        curve = -np.asarray(shifted["difference"]) - float(shifted["offset"]) + float(found["offset"])
        name = labels[k] if labels else "V(r) of the fit" if isinstance(model, StationaryFit) else "V(r) of the population"
        style = {"color": (BLUE, ORANGE, GREEN)[k % 3], "linestyle": ("-", "--", ":")[k % 3]}
        axes.plot(grid, curve, linewidth=1.6, label=f"{name}, χ²/ν = {float(found['chi_square']):.2g}", **style)
    axes.set_xscale("log")
    axes.set_xlabel("firing rate r (1/time)")
    axes.set_ylabel("potential V (dimensionless)")
    axes.legend(frameon=False, fontsize=8)
    return finish(axes)


def survival(passage: FirstPassage, *rates: Any, labels: Any = None, axes: Any = None) -> Any:
    """The share of lanes that have not passed yet, with the exponential fit and further rates.

    - `passage`: of `first_passage`
    - `*rates`: numbers per unit of time, or results that `float` takes, such as of `escape_rate`
    - `labels`: a name per rate for the legend; "formula" by default
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    require("passage", type(passage).__name__, "be the result of `first_passage`", isinstance(passage, FirstPassage))
    axes = new_axes(axes, 1, (6.4, 4.0))
    t, S = (np.asarray(each) for each in passage.survival)
    axes.step(
        t, S, where="post", color=BLUE, linewidth=1.4, label=f"{int(np.sum(passage.passed))} of {passage.times.size} passed"
    )
    begin, rate, error = float(passage.transient), float(passage.rate), float(passage.standard_error)
    level = float(np.interp(begin, t, S))
    grid = np.linspace(begin, float(t.max()), 201)
    axes.plot(grid, level * np.exp(-rate * (grid - begin)), "--", color=ORANGE, label=f"fit, rate {rate:.4g} ± {error:.1g}")
    for k, each in enumerate(rates):
        name = labels[k] if labels else "formula"
        axes.plot(
            grid, level * np.exp(-float(each) * (grid - begin)), ":", color=GREEN, label=f"{name}, rate {float(each):.4g}"
        )
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_ylim(max(float(S[S > 0].min(initial=1.0)) * 0.8, 1e-4), 1.1)
    axes.set_xlabel("time t (unit of τ)")
    axes.set_ylabel("share not passed yet (dimensionless)")
    axes.legend(frameon=False, fontsize=8)
    return finish(axes)


def work(forward: DrivenRuns, backward: DrivenRuns | None = None, axes: Any = None) -> Any:
    """Densities of the work, forward and reversed (they cross at ΔF), and, with both, Crooks's line.

    - `forward`: of `run_protocol`; `backward`: of `run_protocol(..., reverse=True)`, None by default
    - `axes`: matplotlib axes, two with `backward`; new ones by default

    Returns the axes.
    """
    require("forward", type(forward).__name__, "be the result of `drive`", isinstance(forward, DrivenRuns))
    axes = np.ravel(new_axes(axes, 1 if backward is None else 2, (6.4, 3.6 if backward is None else 6.2), sharex=False))
    W = np.asarray(forward.work)
    every = W if backward is None else np.concatenate([W, -np.asarray(backward.work)])
    edges = np.linspace(float(np.quantile(every, 5e-4)), float(np.quantile(every, 1 - 5e-4)), 51)
    P_F, _ = np.histogram(W, edges, density=True)
    axes[0].stairs(P_F, edges, color=BLUE, label="forward: P(W)")
    exact = float(forward.free_energy)
    axes[0].axvline(exact, color="black", linewidth=0.9, label=f"ΔF = {exact:.4g}, exact")
    if backward is not None:
        both: Crooks = crooks(forward, backward)
        P_B, _ = np.histogram(-np.asarray(backward.work), edges, density=True)
        axes[0].stairs(P_B, edges, color=ORANGE, label="reversed: P(−W)")
        middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
        n_F, n_B = P_F * width * W.size, P_B * width * backward.work.size
        kept = (n_F >= 10) & (n_B >= 10)
        ratio, error = np.log(P_F[kept] / P_B[kept]), np.sqrt(1 / n_F[kept] + 1 / n_B[kept])
        axes[1].errorbar(middle[kept], ratio, error, fmt="o", ms=3.5, color="black", elinewidth=0.9, label="runs")
        T = float(forward.temperature)
        axes[1].plot(middle[kept], (middle[kept] - exact) / T, color=BLUE, label="(W − ΔF)/T")
        axes[1].set_ylabel("ln P(W)/P(−W)\n(dimensionless)")
        axes[1].set_xlabel("work W (dimensionless)")
        title = f"ΔF from both ways {both.free_energy}"
        axes[1].legend(frameon=False, fontsize=8, loc="upper left", title=title, title_fontsize=8)
    axes[0].set_xlabel("work W (dimensionless)")
    axes[0].set_ylabel("density of the work\n(dimensionless)")
    axes[0].legend(frameon=False, fontsize=8)
    finish(axes)
    return axes


def compared_landscapes(found: LandscapeComparison, axes: Any = None) -> Any:
    """Couplings and fields of the recording over those predicted, and its couplings over those of Ψ.

    - `found`: of `compare_landscapes`
    - `axes`: three matplotlib axes; new ones by default

    Returns the three axes.
    """
    require("found", type(found).__name__, "be the result of `compare_landscapes`", isinstance(found, LandscapeComparison))
    if axes is None:
        from .common import pyplot

        axes = pyplot().subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")[1]
    axes = np.ravel(axes)
    upper = np.triu_indices(found.ising.size, 1)
    pairs = (np.asarray(found.predicted.J)[upper], np.asarray(found.ising.J)[upper])
    fields = (np.asarray(found.predicted.h), np.asarray(found.ising.h))
    for ax, (x, y), name, color in ((axes[0], pairs, "J_ij", BLUE), (axes[1], fields, "h_i", GREEN)):
        ax.plot(x, y, "o", color=color, ms=5)
        ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
        pad = 0.08 * max(np.ptp(ends), 1e-6)
        ends = np.array([ends[0] - pad, ends[1] + pad])
        ax.plot(ends, ends, color=GREY, linewidth=0.9)
        ax.locator_params(axis="x", nbins=5)
        ax.set_xlabel(f"{name} predicted from the network (dimensionless)")
        ax.set_ylabel(f"{name} of the recording (dimensionless)")
    axes[2].plot(found.coupling, found.J, "o", color=BLUE, ms=5)
    span = np.array([found.coupling.min(), found.coupling.max()])
    axes[2].plot(span, span / found.psi_temperature, color="black", label=f"slope 1/T_Ψ, T_Ψ = {found.psi_temperature:.3g}")
    axes[2].plot(
        span, span / found.expected_temperature, "--", color=ORANGE, label=f"T R⁻R⁺ = {found.expected_temperature:.3g}"
    )
    axes[2].set_xlabel("coupling of Ψ, W_ij ΔR_i ΔR_j/4 (dimensionless)")
    axes[2].set_ylabel("J_ij of the recording (dimensionless)")
    axes[2].legend(frameon=False, fontsize=8)
    finish(axes)
    return axes
