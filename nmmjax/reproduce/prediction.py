"""Claims (e) to (g): two wells and a switch between them, spike peaks and limit cycles predicted from energy."""

import jax.numpy as jnp
import numpy as np

from .. import plot
from .._labelled import xarray
from .._optional import optional
from ..landscape.orbits import limit_cycle, predict_peaks
from ..mechanics.energy import potential_energy
from ..models.mpr import MPR
from ..models.state import State
from ..models.stimulus import Pulse
from ..models.terms import GapJunction
from ..solvers.balance import energy_balance
from ..solvers.simulation import simulate
from .claim import Evidence, Row, as_numpy, at_most, close_to
from .simulated import find_peaks, peak_state, simulated_peaks


def bistability(quick: bool) -> Evidence:
    """(e) The bistable set has two wells; a pulse switches between them, with its energy accounted for."""
    model = MPR(eta=-5.0, J=15.0, Delta=1.0)
    pulse = Pulse(amplitude=3.0, start=10.0, stop=20.0)
    ts = jnp.linspace(0.0, 60.0, 1501 if quick else 6001)
    node = {"r": 0.0811344420, "v": -1.9616199886}
    run = simulate(model, node, ts, stimulus=pulse, rtol=1e-10, atol=1e-12)
    balance = energy_balance(run)

    # Fixed points are the critical points of V: the roots of π²r⁴ − Jr³ − ηr² − Δ²/4π² in r > 0.
    roots = np.roots([np.pi**2, -15.0, 5.0, 0.0, -1 / (4 * np.pi**2)])
    fixed = np.sort(roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)])
    depth = as_numpy(potential_energy(model, State(r=jnp.asarray(fixed), v=jnp.zeros(3))))
    grid = np.geomspace(0.05, 3.0, 2001)
    state = State(r=jnp.asarray(grid), v=jnp.zeros(grid.size))
    V, V_pulse = as_numpy(potential_energy(model, state)), as_numpy(potential_energy(model, state, 3.0))
    minima = np.flatnonzero((V[1:-1] < V[:-2]) & (V[1:-1] < V[2:])).size
    minima_pulse = np.flatnonzero((V_pulse[1:-1] < V_pulse[:-2]) & (V_pulse[1:-1] < V_pulse[2:])).size

    pyplot = optional("matplotlib.pyplot", "plot")
    figure = pyplot.figure(figsize=(14, 6.5), layout="constrained")
    left, middle, right = figure.subfigures(1, 3)
    axes = left.subplots(2, 1, sharex=True)
    axes[0].semilogx(grid, V, color="#1f5fa8", label="no input")
    axes[0].semilogx(grid, V_pulse, color="#d1651a", label="during the pulse, I = 3")
    axes[0].plot(fixed, depth, "o", color="black", markersize=4)
    axes[0].set(ylabel="potential V(r) (dimensionless)", title="two wells, one during the pulse", ylim=(-10, 35))
    axes[0].legend(frameon=False, fontsize=8)
    axes[1].semilogx(run.ys.r, ts, color="#1d5433", linewidth=0.9)
    axes[1].set(xlabel="firing rate r (1/time)", ylabel="time t (unit of τ)")
    axes[1].axhspan(10, 20, color="#8a8a8a", alpha=0.2)
    axes[1].invert_yaxis()
    plot.trajectory(run, axes=middle.subplots(3, 1, sharex=True))
    plot.energy(run, balance, axes=right.subplots(3, 1, sharex=True))

    golden = (0.0811344420, 0.4729803407, 1.0305967988)
    rows = [Row("minima of V without input", "2", float(minima), minima == 2)]
    rows += [Row("minima of V during the pulse (the low well has gone)", "1", float(minima_pulse), minima_pulse == 1)]
    rows += [
        close_to(f"rate of the {name}", value, expected, 1e-8)
        for name, value, expected in zip(("low state (node)", "saddle", "high state (focus)"), fixed, golden, strict=True)
    ]
    rows += [
        close_to("rate after the pulse: switched to the focus", run.ys.r[-1], golden[2], 1e-3),
        at_most("energy balance, residual relative", balance.relative, 1e-8),
    ]
    data = run.to_xarray().assign(
        work=("t", as_numpy(balance.work)), heat=("t", as_numpy(balance.heat)), residual=("t", as_numpy(balance.residual))
    )
    return Evidence(rows, data, figure)


def peaks(quick: bool) -> Evidence:
    """(f) Successive spike peaks follow from energy alone."""
    xr = xarray()
    count = 5 if quick else 8
    # (η, J, Δ), first peak, and the largest error allowed: it grows with the loss per cycle.
    sets = [((-5.0, 15.0, 0.1), 1.3, 1e-4), ((2.0, 5.0, 0.05), 6.0, 2e-3), ((10.0, -20.0, 0.2), 3.0, 1e-2)]
    predicted, simulated, rows = [], [], []
    for (eta, J, Delta), r0, limit in sets:
        model = MPR(eta=eta, J=J, Delta=Delta)
        predicted.append(as_numpy(predict_peaks(model, r0, count)))
        simulated.append(simulated_peaks(model, r0, count, 2.2 * count, 17_601))
        error = np.max(np.abs(predicted[-1] / simulated[-1] - 1))
        rows.append(
            at_most(f"largest error of {count - 1} predicted peaks, (η, J, Δ) = ({eta:g}, {J:g}, {Delta:g})", error, limit)
        )
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(2, 3, figsize=(13, 5.2), layout="constrained", sharex=True)
    for k, ((eta, J, Delta), _, _) in enumerate(sets):
        plot.peaks(predicted[k], simulated[k], axes=axes[:, k])
        axes[0, k].set_title(f"η = {eta:g}, J = {J:g}, Δ = {Delta:g}")
    names = [f"eta={e:g} J={J:g} Delta={D:g}" for (e, J, D), _, _ in sets]
    data = xr.Dataset(
        {
            "predicted": (("set", "spike"), np.stack(predicted), {"units": "1/time"}),
            "simulated": (("set", "spike"), np.stack(simulated), {"units": "1/time"}),
        },
        coords={"set": names, "spike": np.arange(1, count + 1)},
    )
    return Evidence(rows, data, figure)


def limit_cycles(quick: bool) -> Evidence:
    """(g) With gap junctions, amplitude and period of the limit cycle follow from the energy balance D(E) = 0."""
    xr = xarray()
    sets = [((0.2, 1.0, 0.0, 0.05), 1.8607), ((0.3, 1.0, -2.0, 0.1), 0.4708), ((0.5, 2.0, 5.0, 0.2), 4.691)]
    rows, cycles, runs = [], [], []
    for (g, eta, J, Delta), golden in sets:
        model = MPR(eta=eta, J=J, Delta=Delta, gap=GapJunction(g))
        cycle = limit_cycle(model)
        settle = 100.0 if quick else 300.0
        settled = simulate(model, peak_state(model, float(cycle.r_peak)), jnp.asarray([0.0, settle]), rtol=1e-10, atol=1e-12)
        window = jnp.linspace(0.0, 4 * float(cycle.period), 12_001)
        run = simulate(model, settled.y_end, window, rtol=1e-10, atol=1e-12)
        times, tops = find_peaks(window, run.ys.r)
        top, period = tops.mean(), np.diff(times).mean()
        label = f"(g, η, J, Δ) = ({g:g}, {eta:g}, {J:g}, {Delta:g})"
        rows += [
            close_to(f"predicted peak rate, {label}", cycle.r_peak, golden, 5e-4 * max(1.0, golden)),
            at_most(f"error of the predicted peak rate, {label}", float(cycle.r_peak) / top - 1, 0.01),
            at_most(f"error of the predicted period, {label}", float(cycle.period) / period - 1, 0.01),
        ]
        cycles.append(cycle)
        runs.append((model, run, top, period))
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4.3), layout="constrained")
    for each, cycle, (model, run, _, _), ((g, eta, J, Delta), _) in zip(axes, cycles, runs, sets, strict=True):
        plot.orbits(model, cycle, run, axes=each)
        each.set_title(f"g = {g:g}, η = {eta:g}, J = {J:g}, Δ = {Delta:g}")
    data = xr.Dataset(
        {
            "predicted_peak": (("set",), np.array([float(each.r_peak) for each in cycles]), {"units": "1/time"}),
            "simulated_peak": (("set",), np.array([top for _, _, top, _ in runs]), {"units": "1/time"}),
            "predicted_period": (("set",), np.array([float(each.period) for each in cycles]), {"units": "time"}),
            "simulated_period": (("set",), np.array([period for _, _, _, period in runs]), {"units": "time"}),
        },
        coords={"set": [f"g={g:g} eta={e:g} J={J:g} Delta={D:g}" for (g, e, J, D), _ in sets]},
    )
    return Evidence(rows, data, figure)
