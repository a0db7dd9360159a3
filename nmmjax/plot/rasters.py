"""Pictures of spiking neurons: the raster under its mean field, and how far both are apart."""

from typing import Any

import numpy as np

from .._checks import require
from ..finite_size.comparison import NeuronComparison
from ..models.noise import GaussianNoise
from ..solvers.trajectory import Trajectory
from .common import BLUE, GREY, ORANGE, clock_label, finish, new_axes, node_label, plain_numbers, pyplot, shade_stimulus

_SHOWN = 400  # neurons of all populations in one raster


def raster(run: Trajectory, mean_field: Trajectory | None = None, axes: Any = None) -> Any:
    """Spikes of the watched neurons over time, and below them the firing rate of all neurons, with the mean field over it.

    - `run`: a run of a `QIFNetwork`; its watched neurons stand in the order of their currents, populations above each other
    - `mean_field`: a run of its mean field, drawn over the rate; None by default
    - `axes`: two matplotlib axes to draw on; new ones by default

    A dot is an interval between saved times in which the neuron spiked: save as densely as you want to see. The rate in
    grey counts all spikes, 1/(N dt); that in blue is read from the order parameter, which is biased with Gaussian noise of
    every neuron, and then left out. Returns the axes.
    """
    run.require_single("draw it")
    require("run", run.model, "be a run of a `QIFNetwork`", run.neurons is not None)
    watched = len(run.neurons.watched)
    require("run", f"{watched} watched neurons", "have watched neurons (`QIFNetwork(…, watched=200)`)", watched > 0)
    axes = new_axes(axes, 2, (8.0, 5.0))
    above, below = np.ravel(axes)
    ts = np.asarray(run.ts)
    middle = (ts[1:] + ts[:-1]) / 2
    spiking = np.asarray(run.neurons.raster)
    spiking = spiking.reshape(ts.size - 1, -1, spiking.shape[-1])
    populations, each = spiking.shape[1:]
    every = max(1, -(-populations * each // _SHOWN))
    shades = [BLUE] if populations == 1 else pyplot().get_cmap("viridis")(np.linspace(0.0, 0.85, populations))
    rows = -(-each // every)
    for k in range(populations):
        when, who = np.nonzero(spiking[:, k, ::every] > 0)
        above.scatter(middle[when], who + k * rows, s=1.5, marker="|", linewidths=0.6, color=shades[k], rasterized=True)
    above.set_ylim(-0.5, populations * rows - 0.5)
    above.set_ylabel(
        f"{'neuron, by current' if populations == 1 else 'neuron, by population'}\n({rows * populations} shown)"
    )
    if populations > 1:
        above.set_yticks(
            [(k + 0.5) * rows for k in range(populations)], [node_label(run.model.labels, k) for k in range(populations)]
        )
    counts = np.asarray(run.neurons.counts).reshape(ts.size - 1, -1)
    rates = np.asarray(run.ys.r).reshape(ts.size, -1)
    is_read = not isinstance(run.noise, GaussianNoise)
    for k in range(populations):
        counted = counts[:, k] / (run.model.count * np.diff(ts))
        label = None if k else "spikes counted" if is_read else f"spikes of {run.model.count} neurons"
        below.stairs(counted, ts, color=GREY if is_read else shades[k], linewidth=0.8, alpha=0.6, label=label)
        if is_read:
            label = None if k else f"{run.model.count} neurons"
            below.plot(ts, rates[:, k], color=shades[k], linewidth=1.6, label=label)
    if mean_field is not None:
        mean_field.require_single("draw it")
        exact = np.asarray(mean_field.ys.r).reshape(len(mean_field.ts), -1)
        for k in range(exact.shape[1]):
            label = "mean field" if k == 0 else None
            below.plot(
                np.asarray(mean_field.ts), exact[:, k], color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)), label=label
            )
    below.set_ylabel("firing rate r\n(1/time)")
    below.set_ylim(bottom=0)
    below.set_xlabel(clock_label(run))
    below.legend(frameon=False, ncols=3, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    if run.stimulus is not None:
        shade_stimulus(run, axes)
        above.set_title("shaded: stimulus I(t) on", fontsize=9, color=GREY, loc="left")
    above.set_xlim(ts[0], ts[-1])
    finish(axes)
    above.grid(visible=False)
    return axes


def neurons(comparison: Any, axes: Any = None) -> Any:
    """Mean field and neurons over time, and their deviation over the number of neurons beside what is to be expected.

    - `comparison`: a `NeuronComparison`, best of several sizes
    - `axes`: two matplotlib axes to draw on; new ones by default

    Returns the axes: the rate over time (of a network, its first population), and the deviation on two logarithmic scales.
    """
    known = isinstance(comparison, NeuronComparison)
    require("comparison", type(comparison).__name__, "be a `NeuronComparison`, of `compare_with_neurons`", known)
    if axes is None:
        _, axes = pyplot().subplots(1, 2, figsize=(10.0, 3.6), layout="constrained")
    left, right = np.ravel(axes)
    run, sizes = comparison.mean_field, np.asarray(comparison.sizes)
    rate = lambda each: np.asarray(each.ys.r).reshape(len(each.ts), -1)[:, 0]
    shades = pyplot().get_cmap("Blues")(np.linspace(0.4, 0.95, sizes.size))
    for size, each, shade in zip(sizes, comparison.neurons, shades, strict=True):
        left.plot(np.asarray(each.ts), rate(each), color=shade, linewidth=1.2, label=f"{size} neurons")
    left.plot(np.asarray(run.ts), rate(run), color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)), label="mean field")
    left.set_xlabel(clock_label(run))
    left.set_ylabel("firing rate r (1/time)")
    left.legend(frameon=False, fontsize=8)
    right.loglog(sizes, np.asarray(comparison.deviation), "o-", color=BLUE, label="measured")
    right.loglog(sizes, np.asarray(comparison.expected), "--", color=GREY, label="neurons with random phases")
    right.set_xlabel("neurons N")
    right.set_ylabel("rms deviation of r (1/time)")
    if sizes.size > 1:
        right.set_title(f"deviation ∝ N^{float(comparison.exponent):.2f}", fontsize=9, color=GREY, loc="left")
    plain_numbers(right.xaxis)
    right.legend(frameon=False, fontsize=8)
    return finish(axes)
