"""Pictures of energy landscapes: the potential with a run rolling on it, Ψ of two populations, the tree of many."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._files import as_new_file
from ..equilibria.points import FixedPoints
from ..ising.landscape import IsingLandscape
from ..landscape.cycles import LimitCycles
from ..landscape.network import NetworkLandscape
from ..landscape.population import PopulationLandscape, population_landscape
from ..landscape.tree import Tree
from ..mechanics.energy import total_energy
from ..models.base import require_one
from ..plot.common import Axes
from ..solvers.trajectory import Trajectory
from .common import BLUE, GREEN, GREY, ORANGE, finish, population_of, pyplot
from .recordings import minima_labels


def landscape(
    found: PopulationLandscape | NetworkLandscape | IsingLandscape, run: Trajectory | None = None, axes: Axes | None = None
) -> Any:
    """The energy landscape, and a run on it.

    One population: V(r) with minima (filled), pass (open) and barriers; a run as its energy E over r, which never lies
    below the potential of the moment, with the potential under the run's strongest input dashed. Two populations:
    contours of Ψ over both rates, with the run's path and the limit cycles that were found. More, or an Ising model of a
    recording: the disconnectivity tree.

    - `found`: of `energy_landscape`, or of an Ising model's `landscape()`
    - `run`: a single `Trajectory` of the same model; None by default
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes.
    """
    if isinstance(found, PopulationLandscape):
        return _of_population(found, run, axes)
    if isinstance(found, IsingLandscape):
        return disconnectivity(found, axes=axes)
    rule = "be a `PopulationLandscape`, a `NetworkLandscape` or an `IsingLandscape`"
    require("found", type(found).__name__, rule, isinstance(found, NetworkLandscape))
    if found.network.size == 2 and found.reason is None:
        return _of_pair(found, run, axes)
    return disconnectivity(found, axes=axes)


def _new(axes: Any, size: tuple[float, float]) -> Any:
    return pyplot().subplots(figsize=size, layout="constrained")[1] if axes is None else axes


def _rates(found: PopulationLandscape, run: Trajectory | None) -> np.ndarray:
    """Rates that cover all fixed points and the run."""
    known = np.asarray(found.points.r)
    if run is not None:
        known = np.concatenate([known, np.asarray(run.ys.r)[np.isfinite(np.asarray(run.ys.r))]])
    require("found", repr(found), "have at least one fixed point to be drawn", known.size > 0)
    return np.exp(np.linspace(np.log(known.min()) - 0.25, np.log(known.max()) + 0.25, 601))


def _strongest(run: Trajectory) -> float:
    """The input of a run that is largest in size."""
    current = np.asarray(run.input)
    return float(current[np.argmax(np.abs(current))])


def _of_population(found: PopulationLandscape, run: Trajectory | None, axes: Any) -> Any:
    axes = _new(axes, (7.0, 4.6))
    r = _rates(found, run)
    V = np.asarray(found.potential(r))
    axes.plot(r, V, color=BLUE, linewidth=1.8, label="potential V(r)")
    levels = [np.asarray(found.points.energy)]
    if run is not None:
        population, y = population_of(run), run.ys
        E = np.asarray(total_energy(population, y, run.input))
        axes.plot(y.r, E, color=GREEN, linewidth=1, label="energy E of the run")
        axes.plot(y.r[0], E[0], ">", color=GREEN, ms=7, label="its start")
        levels.append(E[np.isfinite(E)])
        strongest = _strongest(run)
        if strongest != 0:
            tilted = np.asarray(found.tilted(strongest).potential(r))
            axes.plot(r, tilted, "--", color=ORANGE, linewidth=1.2, label=f"V under I = {strongest:g}")
            levels.append(np.asarray(found.tilted(strongest).points.energy))
    _mark(axes, found.points, found.points.r, found.points.energy)
    _barriers(axes, found)
    low, high = min(each.min() for each in levels), max(each.max() for each in levels)
    pad = 0.12 * (high - low) if high > low else 1.0
    axes.set_ylim(low - pad, high + 2 * pad)
    axes.set_xscale("log")
    axes.set_xlabel("firing rate r (1/time)")
    axes.set_ylabel("energy (dimensionless)")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return finish(axes)


def _mark(axes: Any, points: FixedPoints, x: object, y: object) -> None:
    """Minima filled, passes open."""
    index = np.asarray(points.index)
    for which, face, label in ((index == 0, "black", "minimum"), (index > 0, "white", "pass")):
        if which.any():
            axes.plot(np.asarray(x)[which], np.asarray(y)[which], "o", color="black", mfc=face, ms=6, label=label, zorder=5)


def _barriers(axes: Axes, found: PopulationLandscape) -> None:
    """An arrow from each minimum to the level of the pass."""
    for r, V, barrier in zip(found.minima.r, found.minima.energy, found.minima.barrier, strict=True):
        if np.isfinite(barrier):
            arrow = {"arrowstyle": "<->", "color": GREY, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (float(r), float(V)), (float(r), float(V + barrier)), arrowprops=arrow)
            offset = {"xytext": (4, -16), "textcoords": "offset points"}  # below the minimum, which no run goes under
            axes.annotate(f"ΔV = {float(barrier):.3g}", (float(r), float(V)), **offset, fontsize=8, color="0.35")


def _cycle(cycles: LimitCycles, k: int) -> tuple[float, np.ndarray]:
    """Period of a cycle, and its rates (times, n)."""
    return float(cycles.period[k]), np.asarray(cycles.course(k)[1].r)


def _of_pair(found: NetworkLandscape, run: Trajectory | None, axes: Any) -> Any:
    axes = _new(axes, (5.6, 4.8))
    known = np.concatenate([np.asarray(found.minima.r), np.asarray(found.saddles.r)])
    cycles = [] if found.cycles is None else [_cycle(found.cycles, k) for k in range(len(found.cycles))]
    known = np.concatenate([known, *(r for _, r in cycles)])
    if run is not None:
        known = np.concatenate([known, np.asarray(run.ys.r)])
    known = known[np.isfinite(known).all(axis=1)]
    low, high = known.min(axis=0) * 0.6, known.max(axis=0) * 1.5
    x, y = np.geomspace(low[0], high[0], 201), np.geomspace(low[1], high[1], 201)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    Psi = np.asarray(found.potential(jnp.asarray(grid)))
    top = np.asarray(found.saddles.energy).max() if len(found.saddles) else np.quantile(Psi, 0.5)
    bottom = np.asarray(found.minima.energy).min()
    levels = bottom + (top - bottom) * np.linspace(0.02, 3.0, 30)
    axes.contourf(x, y, Psi, levels=levels, cmap="Blues_r", extend="both", alpha=0.55)
    axes.contour(x, y, Psi, levels=levels, colors="white", linewidths=0.5)
    if len(found.saddles):
        axes.contour(x, y, Psi, levels=[top], colors=[ORANGE], linewidths=1.2)
    for period, r in cycles:
        label = f"limit cycle, period {period:.4g}"
        axes.plot(r[:, 0], r[:, 1], color="black", linewidth=1.6, label=label)
    if run is not None:
        axes.plot(run.ys.r[:, 0], run.ys.r[:, 1], color=GREEN, linewidth=1, label="run")
        axes.plot(run.ys.r[0, 0], run.ys.r[0, 1], ">", color=GREEN, ms=7)
    _mark(axes, found.minima, found.minima.r[:, 0], found.minima.r[:, 1])
    _mark(axes, found.saddles, found.saddles.r[:, 0], found.saddles.r[:, 1])
    _logarithmic(axes)
    axes.set_xlabel("firing rate of population 0, r₀ (1/time)")
    axes.set_ylabel("firing rate of population 1, r₁ (1/time)")
    note = {"transform": axes.transAxes, "fontsize": 8, "color": "0.35"}
    level = "; orange: level of the pass" if len(found.saddles) else ""
    axes.text(0.02, 0.02, f"Ψ(r₀, r₁), darker is deeper{level}", **note)
    axes.legend(frameon=True, framealpha=0.9, fontsize=8, loc="upper right")
    return axes


def _logarithmic(axes: Axes) -> None:
    """Both axes logarithmic, with ticks at 1, 2, 5 that are read as numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        each.set_minor_formatter(NullFormatter())


def disconnectivity(found: NetworkLandscape | Tree | Any, most: int = 60, axes: Any = None) -> Any:
    """The disconnectivity tree: a line ends at each minimum's energy, and two join at the lowest pass between them.

    - `found`: a `NetworkLandscape`, a `Tree` or anything with a `tree`
    - `most`: number of minima drawn, the lowest ones
    - `axes`: matplotlib axes to draw on; new ones by default

    Minima of an `IsingLandscape` are named by their patterns, and the size of a dot is the time that data spend there.
    Returns the axes.
    """
    rule = "be the landscape of a network or of an Ising model, or a `Tree`: one population has no tree"
    require("found", type(found).__name__, rule, isinstance(found, Tree) or hasattr(found, "tree"))
    tree = found if isinstance(found, Tree) else found.tree
    kept = np.sort(np.argsort(tree.energy, kind="stable")[:most])
    axes = _new(axes, (7.0, 4.6))
    order = [int(leaf) for leaf in tree.leaves() if leaf in set(kept.tolist())]
    place = {leaf: float(k) for k, leaf in enumerate(order)}
    share = getattr(found, "occupancy", None)
    for leaf in order:  # the line of a leaf, up to its first merge with another that is drawn
        size = 3.5 if share is None else 2.0 + 14.0 * float(np.sqrt(share[leaf]))
        axes.plot(place[leaf], tree.energy[leaf], "o", color="black", ms=size)
    at: dict[int, tuple[float, float]] = {leaf: (place[leaf], float(tree.energy[leaf])) for leaf in order}
    for m, (pair, height) in enumerate(zip(tree.children, tree.heights, strict=True)):
        sides = [at[int(child)] for child in pair if int(child) in at]
        if not sides:
            continue
        if len(sides) == 1:
            at[tree.energy.size + m] = sides[0]
            continue
        for x, y in sides:
            axes.plot([x, x], [y, height], color=BLUE, linewidth=1)
        axes.plot([sides[0][0], sides[1][0]], [height, height], color=BLUE, linewidth=1)
        at[tree.energy.size + m] = ((sides[0][0] + sides[1][0]) / 2, float(height))
    drawn = [tree.energy[order].min(initial=np.inf), *(y for _, y in at.values())]
    top = max((each for each in drawn if np.isfinite(each)), default=1.0)
    span = max(top - min(drawn), 1e-12)
    for root in tree.roots:
        if root in at:
            x, y = at[root]
            axes.plot([x, x], [y, top + 0.06 * span], color=BLUE, linewidth=1)
    what = "minima" if share is None else "minima (dot: time spent in the basin)"
    axes.set_xlabel(f"{what}, {len(order)} lowest of {tree.energy.size}" if len(order) < tree.energy.size else what)
    axes.set_ylabel("energy (dimensionless)")
    axes.set_xticks(range(len(order)) if len(order) <= 24 else [])
    if len(order) <= 24:
        names = minima_labels(found) if hasattr(found, "labels") else [str(leaf) for leaf in range(tree.energy.size)]
        slant = 90 if sum(len(names[leaf]) for leaf in order) > 60 else 0
        axes.set_xticklabels([names[leaf] for leaf in order], rotation=slant)
    axes.set_xlim(-0.7, len(order) - 0.3)
    finish(axes)
    axes.grid(visible=False, axis="x")
    return axes


def animate_landscape(run: Trajectory, path: str | Path, *, frames: int = 120, fps: int = 20) -> Path:
    """Write a film of the population rolling on its potential while the input tilts it.

    - `run`: a single `Trajectory` of one population
    - `path`: a file that ends in .gif, or in .mp4 if ffmpeg is installed
    - `frames`: number of pictures, equally spaced in time; `fps`: pictures per second

    Returns the path.
    """
    from matplotlib import animation

    population, y = population_of(run), run.ys
    require_one(population, "run", offer="riccati")
    rule = "be a run without slow terms, whose landscape stands still but for the input"
    require("run", population, rule, not population.slow_names)
    path, plt = as_new_file(path), pyplot()
    rule = "end in .gif or .mp4"
    require("path", str(path), rule, path.suffix in (".gif", ".mp4"))
    if path.suffix == ".mp4":
        rule = "end in .gif, since ffmpeg is not installed"
        require("path", str(path), rule, animation.writers.is_available("ffmpeg"))
    current, ts = np.asarray(run.input), np.asarray(run.ts)
    E = np.asarray(total_energy(population, y, run.input))
    still = population_landscape(population)
    r = _rates(still, run)
    inputs = {float(each) for each in current} | {0.0}
    potentials = {each: np.asarray(still.tilted(each).potential(r)) for each in inputs}
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    (line,) = axes.plot(r, potentials[0.0], color=BLUE)
    (trail,) = axes.plot([], [], color=GREEN, linewidth=0.8, alpha=0.6)
    (ball,) = axes.plot([], [], "o", color=ORANGE, ms=9)
    axes.set_xscale("log")
    levels = np.concatenate([E[np.isfinite(E)], np.asarray(still.points.energy)])
    pad = 0.15 * np.ptp(levels)
    axes.set_ylim(levels.min() - pad, levels.max() + pad)
    axes.set_xlabel("firing rate r (1/time)")
    axes.set_ylabel("energy (dimensionless)")
    finish(axes)
    chosen = np.linspace(0, ts.size - 1, frames).astype(int)

    def draw(k: int) -> Any:
        line.set_ydata(potentials[float(current[k])])
        back = slice(max(0, k - ts.size // 10), k + 1)
        trail.set_data(np.asarray(y.r)[back], E[back])
        ball.set_data([float(y.r[k])], [E[k]])
        axes.set_title(f"t = {ts[k]:.1f}, I = {float(current[k]):.3g}", fontsize=9, loc="left")
        return line, trail, ball

    film = animation.FuncAnimation(figure, draw, [int(k) for k in chosen], blit=False)
    film.save(path, writer=animation.PillowWriter(fps=fps) if path.suffix == ".gif" else "ffmpeg", dpi=90)
    plt.close(figure)
    return path
