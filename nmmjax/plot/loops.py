"""Loops of two nodes in the plane of their rates."""

from typing import Any

import numpy as np

from ..solvers.curl_work import Circulation
from ..solvers.curl_work import circulation as follow
from ..solvers.trajectory import Trajectory
from .common import BLUE, GREEN, GREY, ORANGE, finish, new_axes


def circulation(run: Trajectory | Circulation, *, nodes: tuple[Any, Any] = (0, 1), axes: Any = None) -> Any:
    """The loop of two nodes in the plane of their rates, its area, and the work that the weights do on it.

    The last loop from peak to peak is filled, the rest of the run grey. If synapses filter the rates, two more loops show
    each node against what the other sends; the mean of their areas is that which does the work.

    - `run`: a single `Trajectory` of a network, or the `Circulation` of one
    - `nodes`: two numbers or names, (0, 1) by default; of no use with a `Circulation`, which has its own
    - `axes`: matplotlib axes to draw on; new ones by default

    Returns the axes. Raises `ValueError` as `circulation` does.
    """
    found = run if isinstance(run, Circulation) else follow(run, nodes=nodes)
    axes = new_axes(axes, 1, (5.4, 4.6))
    a, b = found.labels
    R, S = found.R, found.S
    axes.plot(R[:, 0], R[:, 1], color=GREY, linewidth=0.6, alpha=0.6, zorder=1)
    axes.set(xlabel=f"rate τ r of {a} (dimensionless)", ylabel=f"rate τ r of {b} (dimensionless)")
    if found.area.size == 0:
        axes.set_title(f"no loop: {a} has fewer than two peaks", fontsize=9, loc="left")
        return finish(axes)
    last = (found.ts >= found.time[-2]) & (found.ts <= found.time[-1])
    x, y, s_x, s_y = R[last, 0], R[last, 1], S[last, 0], S[last, 1]
    axes.fill(x, y, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(x, y, color=BLUE, linewidth=1.6, label="rates")
    filtered = not np.allclose(S, R, rtol=1e-6)
    if filtered:
        axes.plot(s_x, y, "--", color=ORANGE, linewidth=1.1, label=f"what {a} sends, rate of {b}")
        axes.plot(x, s_y, ":", color=GREEN, linewidth=1.4, label=f"rate of {a}, what {b} sends")
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    k = int(np.argmax(np.hypot(np.gradient(x) / np.ptp(x), np.gradient(y) / np.ptp(y))))
    tip, tail = (x[min(k + 1, len(x) - 1)], y[min(k + 1, len(x) - 1)]), (x[max(k - 1, 0)], y[max(k - 1, 0)])
    axes.annotate("", tip, tail, arrowprops={"arrowstyle": "-|>", "color": BLUE, "mutation_scale": 16})
    plane = np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2
    shares = f"area {found.area[-1]:.4g}" if not filtered else f"area {found.area[-1]:.4g} (loop of the rates {plane:.4g})"
    difference = f"W$_{{{b}{a}}}$ − W$_{{{a}{b}}}$ = {float(found.curl):.4g}"
    text = f"{shares},  {difference}\nwork per cycle = {found.work[-1]:.5g}"
    axes.set_title(text, fontsize=9, loc="left")
    return finish(axes)
