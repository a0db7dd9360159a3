"""Pictures of one run over time."""

from itertools import cycle
from typing import Any

import numpy as np

from ..mechanics.energy import total_energy
from ..solvers.trajectory import Trajectory
from .common import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    clock_label,
    finish,
    new_axes,
    node_label,
    population_of,
    pyplot,
    shade_stimulus,
    unit_in_words,
    variable_label,
)


def trajectory(run: Trajectory, axes: Any = None) -> Any:
    """A model's variables over time, its energy if it has one, and its slow variables, if any, the stimulus shaded.

    - `run`: a single `Trajectory`
    - `axes`: matplotlib axes to draw on, as many as are returned; new ones by default

    The energy is that of the instantaneous landscape, input included, so it steps with the input. A network has a line
    per node, and its energies refer to the landscape that the others' rates make. Returns the axes, one per row.
    """
    population = population_of(run)
    slow = list(population.slow_names)
    fast = [name for name in population.variables if name not in slow]
    energies = "potential" in population.offers
    rows = len(fast) + energies + bool(slow)
    axes = new_axes(axes, rows, (8.0, 2.2 * rows))
    flat, ts = np.ravel(axes), np.asarray(run.ts)
    for each, name, color in zip(flat, fast, cycle((BLUE, ORANGE)), strict=False):
        _lines(each, ts, getattr(run.ys, name), color, run.model.labels)
        each.set_ylabel(variable_label(population, name))
    if energies:
        _lines(flat[len(fast)], ts, total_energy(population, run.ys, run.input), GREEN, run.model.labels)
        flat[len(fast)].set_ylabel("energy E\n(dimensionless)")
    for name, color in zip(slow, cycle((GREY, BLUE, ORANGE, GREEN)), strict=False):
        values = np.asarray(getattr(run.ys, name)).reshape(ts.size, -1)
        lines = flat[-1].plot(ts, values, color=color, linewidth=1.5 if values.shape[1] == 1 else 0.8)
        lines[0].set_label(f"{population.variables[name].doc} {name}")
    if slow:
        units = sorted({unit_in_words(population.variables[name].unit) for name in slow})
        flat[-1].set_ylabel(f"slow variables\n({', '.join(units)})")
        flat[-1].legend(frameon=False, ncols=len(slow), fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    flat[-1].set_xlabel(clock_label(run))
    shade_stimulus(run, axes)
    if run.stimulus is not None:
        flat[0].set_title("shaded: stimulus I(t) on", fontsize=9, color=GREY, loc="left")
    return finish(axes)


def _lines(axes: Any, ts: np.ndarray, values: object, color: str, labels: object) -> None:
    """One line, or one per node of a network, named if they are few."""
    values = np.asarray(values)
    if values.ndim == 1:
        axes.plot(ts, values, color=color)
        return
    nodes = values.shape[1]
    shades = pyplot().get_cmap("viridis")(np.linspace(0.0, 0.85, nodes))
    for node in range(nodes):
        width = 1.2 if nodes <= 8 else 0.6
        axes.plot(ts, values[:, node], color=shades[node], linewidth=width, label=node_label(labels, node))
    if nodes <= 8 and axes.get_subplotspec().is_first_row():
        axes.legend(frameon=False, ncols=nodes, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))


def energy(run: Trajectory, balance: Any = None, axes: Any = None) -> Any:
    """Kinetic, potential and total energy over time; with an `EnergyBalance`, work, heat and residual below.

    - `run`: a single `Trajectory` of a model with a potential
    - `balance`: of `energy_balance(run)`; None by default
    - `axes`: matplotlib axes to draw on, as many as are returned; new ones by default

    Slow variables with a known store (`EnergyBalance.stored`) show what they pumped into the energy with it, below 0 what
    they dissipated. Returns the axes.
    """
    from ..mechanics.energy import kinetic_energy, potential_energy

    rows = 1 if balance is None else 3
    axes = np.atleast_1d(new_axes(axes, rows, (8.0, 2.6 * rows)))
    ts = np.asarray(run.ts)
    population, states = population_of(run), run.ys
    kinetic = kinetic_energy(population, states)
    potential = potential_energy(population, states, run.input)
    axes[0].plot(ts, kinetic, color=ORANGE, label="kinetic ½q̇²", linewidth=1)
    axes[0].plot(ts, potential, color=BLUE, label="potential V(r)", linewidth=1)
    axes[0].plot(ts, kinetic + potential, color=GREEN, label="total E")
    axes[0].set_ylabel("energy\n(dimensionless)")
    axes[0].legend(frameon=False, ncols=3, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    if balance is not None:
        axes[1].plot(ts, balance.work, color=BLUE, label="work by the stimulus")
        axes[1].plot(ts, balance.heat, color=ORANGE, label="heat")
        for name, work in balance.slow_work.items():
            axes[1].plot(ts, work, "--", color=GREY, label=f"work of {name}")
        pumps = {name: each for name, each in balance.pump.items() if not np.isnan(np.asarray(each)).all()}
        for name, pump in pumps.items():
            axes[1].plot(ts, pump, "-.", color="black", label=f"pumped by {name}")
        if balance.exchange is not None:
            axes[1].plot(ts, balance.exchange, ":", color=BLUE, label="work by other nodes")
        E = np.asarray(balance.energy)
        axes[1].plot(ts, E - E[0], color=GREEN, label="E − E(0)")
        axes[1].set_ylabel("since t = 0\n(dimensionless)")
        axes[1].legend(
            frameon=False,
            ncols=3 + len(balance.slow_work) + len(pumps),
            fontsize=8,
            loc="lower right",
            bbox_to_anchor=(1, 1),
        )
        residual = np.abs(balance.residual)
        axes[2].semilogy(ts, np.where(residual > 0, residual, np.nan), color=GREY)
        axes[2].set_ylabel("|residual|\n(dimensionless)")
    axes[-1].set_xlabel(clock_label(run))
    shade_stimulus(run, axes[: min(rows, 2)])
    return finish(axes)
