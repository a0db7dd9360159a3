"""Claims (a) to (d): what is conserved, how orbits look, what heterogeneity does, what the energies depend on."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from .. import plot
from .._labelled import xarray
from .._optional import optional
from ..landscape.orbits import orbit
from ..mechanics.energy import conservative_field, hamiltonian, kinetic_energy, potential_energy, total_energy
from ..models.mpr import MPR
from ..models.state import State
from ..solvers.mobius import MobiusSplitting
from ..solvers.simulation import simulate
from ..solvers.term import PopulationTerm
from .claim import Evidence, as_numpy, at_most, close_to
from .simulated import peak_state, simulated_peaks


def energy_drift(model: MPR, y0: State, solver: Any, h: float, windows: int, stride: int) -> np.ndarray:
    """Largest |H − H₀|/|H₀| in each of `windows` successive windows of `stride` steps of length `h`; looks at every step."""
    term, step = PopulationTerm(model), jnp.asarray(h)
    start = jnp.zeros(())
    H0 = hamiltonian(model, y0)

    def one(_, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        y, worst = carry
        state = solver.init(term, start, step, y, None)
        y = solver.step(term, start, step, y, None, state, False)[0]
        return y, jnp.maximum(worst, jnp.abs(hamiltonian(model, y) - H0))

    def window(y, _: None) -> tuple[Any, Any]:
        return jax.lax.fori_loop(0, stride, one, (y, jnp.zeros_like(H0)))

    _, worst = jax.jit(lambda y: jax.lax.scan(window, y, None, length=windows))(y0)
    return as_numpy(worst / jnp.abs(H0))


def orbits(quick: bool) -> Evidence:
    """(a) H is conserved at Δ = 0, and its orbits are near-ellipsoidal."""
    xr = xarray()
    model = MPR(eta=2.0, J=5.0, Delta=0.0)
    y0 = State(r=jnp.asarray(3.0), v=jnp.asarray(0.2))
    period = float(orbit(model, hamiltonian(model, y0)).period)
    h, samples = 0.02, 400
    periods = 1_000 if quick else 100_000
    stride = int(np.ceil(periods * period / h / samples))
    drift = energy_drift(model, y0, MobiusSplitting(4), h, samples, stride)
    # A step of Tsit5 costs 2.8 to 3.5 times an order-4 Möbius step (benchmarks/conservation.py), so it is 3 times as long.
    rival = energy_drift(model, y0, diffrax.Tsit5(), 3 * h, samples, max(stride // 3, 1))
    t = h * stride * np.arange(1, samples + 1) / period
    slope = np.polyfit(t / t[-1], drift, 1)[0]

    couplings = np.array([0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0])
    heights = np.array([0.03, 0.3, 3.0])
    residual = np.empty((couplings.size, heights.size))
    for i, J in enumerate(couplings):
        each = MPR(eta=2.0, J=float(J), Delta=0.0)
        r_well = (J + np.sqrt(J**2 + 4 * np.pi**2 * 2.0)) / (2 * np.pi**2)
        bottom = float(potential_energy(each, {"r": r_well, "v": 0.0}))
        for k, height in enumerate(heights):
            residual[i, k] = orbit(each, bottom + height * max(J, 1.0)).ellipse.residual

    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    plot.orbits(model, [orbit(model, energy) for energy in (12.0, 14.0, 20.0, 30.0)], axes=axes[0])
    axes[0].set_title("orbits at Δ = 0, η = 2, J = 5")
    for k, height in enumerate(heights):
        axes[1].semilogy(couplings[1:], residual[1:, k], "o-", label=f"E − E_min = {height:g} max(J, 1)")
    axes[1].set(xlabel="coupling J (dimensionless)", ylabel="ellipse residual (relative)", title="distance from an ellipse")
    axes[1].legend(frameon=False, fontsize=8)
    axes[2].semilogy(t, drift, color="#1f5fa8", label=f"MobiusSplitting(4), h = {h:g}")
    axes[2].semilogy(t, rival, color="#d1651a", label=f"Tsit5, h = {3 * h:g} (about equal cost)")
    axes[2].set(xlabel="periods", ylabel="largest |H − H₀|/H₀ per window", title="drift of the energy", ylim=(1e-7, 1))
    axes[2].legend(frameon=False, fontsize=8)

    rows = [
        at_most(f"largest |δH/H| over {periods:g} periods, MobiusSplitting(4), h = 0.02", drift.max(), 2e-6),
        at_most("trend of the windows' largest |δH/H| over the whole run, same", slope, 2e-7),
        at_most("ellipse residual at J = 0 (exact ellipse)", residual[0].max(), 1e-12),
        at_most("largest ellipse residual over 0 < J ≤ 100 (near-ellipsoidal)", residual.max(), 0.05),
    ]
    data = xr.Dataset(
        {
            "drift_mobius": (("time",), drift, {"units": "1"}),
            "drift_tsit5": (("time",), rival, {"units": "1"}),
            "ellipse_residual": (("J", "height"), residual, {"units": "1"}),
        },
        coords={"time": ("time", t, {"units": "periods"}), "J": couplings, "height": heights},
        attrs={"eta": 2.0, "drift_J": 5.0, "largest_drift_tsit5": rival.max()},
    )
    return Evidence(rows, data, figure)


def damping(quick: bool) -> Evidence:
    """(b) Heterogeneity damps: dH/dt = (Δ/π) ∂H/∂r, the orbit spirals in, and E never rises."""
    del quick
    model = MPR(eta=2.0, J=5.0, Delta=0.1)
    ts = jnp.linspace(0.0, 150.0, 15_001)
    run = simulate(model, {"r": 3.0, "v": 0.0}, ts, rtol=1e-11, atol=1e-13)
    H, E = hamiltonian(model, run.ys), total_energy(model, run.ys)

    flow = jax.vmap(lambda y: model.vector_field(jnp.zeros(()), y))(run.ys)
    _, dH = jax.jvp(lambda y: hamiltonian(model, y), (run.ys,), (flow,))
    gradient = -conservative_field(model, run.ys).v / run.ys.r**2
    identity = jnp.max(jnp.abs(dH - model.Delta / jnp.pi * gradient)) / jnp.max(jnp.abs(dH))
    closed = -model.Delta / jnp.pi * (flow.v / run.ys.r**2)
    identity_v = jnp.max(jnp.abs(dH - closed)) / jnp.max(jnp.abs(dH))

    # Ring-down at the focus: the amplitude decays at |2v*| = Δ/(πr*), E − E_min at twice that.
    rest = float(orbit(model, E[-1] + 1e-3).r_well)
    late = np.asarray((ts > 75) & (ts < 150))
    excess = as_numpy(E - potential_energy(model, {"r": rest, "v": 0.0}))[late]
    rate = -np.polyfit(np.asarray(ts)[late], np.log(excess), 1)[0] / 2
    expected = float(model.Delta) / (np.pi * rest)

    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    plot.energy_contours(model, (0.05, 3.2), (-4.5, 4.5), axes=axes[0])
    axes[0].plot(run.ys.r, run.ys.v, color="#1f5fa8", linewidth=0.9)
    axes[0].set_title("spiral at Δ = 0.1, η = 2, J = 5, on the contours of E")
    early = np.asarray(ts) < 20
    axes[1].plot(np.asarray(ts)[early], as_numpy(H)[early], color="#d1651a", label="H (homogeneous limit)")
    axes[1].plot(np.asarray(ts)[early], as_numpy(E)[early], color="#1d5433", label="E (exact energy)")
    axes[1].set(xlabel="time t (unit of τ)", ylabel="energy (dimensionless)", title="E never rises, H wobbles")
    axes[1].legend(frameon=False)

    rows = [
        at_most("dH/dt − (Δ/π) ∂H/∂r along the run, relative", identity, 1e-12),
        at_most("dH/dt + (Δ/π) v̇/r² along the run, relative", identity_v, 1e-12),
        at_most("largest rise of E between saved times", jnp.maximum(jnp.max(jnp.diff(E)), 0.0), 1e-9),
        close_to("damping rate at the focus, against |2v*| = Δ/(πr*)", rate, expected, 0.01 * expected),
    ]
    data = run.to_xarray().assign(dH_dt=("t", as_numpy(dH), {"units": "1/time"}))
    return Evidence(rows, data, figure)


def scaling(quick: bool) -> Evidence:
    """(c) At strong coupling the drift of H per cycle vanishes like Δ/J²."""
    xr = xarray()
    couplings = np.geomspace(8.0, 512.0, 4 if quick else 9)
    widths = np.array([0.25, 1.0])
    eta_scaled, peak_scaled = 0.05, 0.2
    drift = np.empty((widths.size, couplings.size))
    for i, Delta in enumerate(widths):
        for k, J in enumerate(couplings):
            model = MPR(eta=eta_scaled * J**2, J=float(J), Delta=float(Delta))
            r0 = peak_scaled * J
            drift[i, k] = _drift_per_cycle(model, r0)
    scaled = widths[:, None] / couplings[None, :] ** 2
    slope, intercept = np.polyfit(np.log(scaled.ravel()), np.log(drift.ravel()), 1)
    order = np.argsort(scaled.ravel())
    tail = np.polyfit(np.log(scaled.ravel()[order[:6]]), np.log(drift.ravel()[order[:6]]), 1)[0]

    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(figsize=(6, 4.4), layout="constrained")
    for Delta, x, y in zip(widths, scaled, drift, strict=True):
        axes.loglog(x, y, "o", mfc="none", label=f"Δ = {Delta:g}, J = {couplings[0]:g} … {couplings[-1]:g}")
    x = np.geomspace(scaled.min(), scaled.max(), 50)
    axes.loglog(x, np.exp(intercept) * x**slope, color="#8a8a8a", linewidth=0.9, label=f"slope {slope:.3f}")
    axes.set(xlabel="Δ/J² (dimensionless)", ylabel="|ΔH|/J per cycle", title="drift of H per cycle at strong coupling")
    axes.legend(frameon=False)
    rows = [
        close_to("exponent of the drift per cycle in Δ/J², smallest six", tail, 1.0, 0.01),
        close_to("exponent over the whole range", slope, 1.0, 0.05),
        at_most("drift per cycle at the strongest coupling, |ΔH|/J", drift.min(), 1e-3),
    ]
    data = xr.Dataset(
        {"drift": (("Delta", "J"), drift, {"units": "1", "long_name": "|change of H per cycle|/J"})},
        coords={"Delta": widths, "J": couplings},
        attrs={"eta_over_J2": eta_scaled, "peak_rate_over_J": peak_scaled},
    )
    return Evidence(rows, data, figure)


def _drift_per_cycle(model: MPR, r0: float) -> float:
    """|H at the next peak − H at this one|/|J|, from a simulation."""
    period = float(orbit(model, total_energy(model, peak_state(model, r0))).period)
    r = simulated_peaks(model, r0, 2, 1.5 * period, 3_000)
    H = hamiltonian(model, peak_state(model, jnp.asarray(r)))
    return float(jnp.abs(H[1] - H[0]) / jnp.abs(model.J))


def energies(quick: bool) -> Evidence:
    """(d) How kinetic and potential energy depend on rate and voltage."""
    xr = xarray()
    n = 101 if quick else 401
    model = MPR(eta=2.0, J=5.0, Delta=0.0)
    v, r = np.linspace(-4, 4, n), np.geomspace(0.05, 5, n)
    rates, voltages = np.array([0.2, 0.5, 1.0, 2.0]), np.array([0.5, 1.0, 2.0, 4.0])
    K_v = np.stack([as_numpy(kinetic_energy(model, State(r=jnp.full(n, each), v=jnp.asarray(v)))) for each in rates])
    K_r = np.stack([as_numpy(kinetic_energy(model, State(r=jnp.asarray(r), v=jnp.full(n, each)))) for each in voltages])
    sets = {
        "η = 2, J = 0": (2.0, 0.0),
        "η = 2, J = 5": (2.0, 5.0),
        "η = 2, J = −10": (2.0, -10.0),
        "η = −5, J = 15": (-5.0, 15.0),
    }
    state = State(r=jnp.asarray(r), v=jnp.zeros(n))
    V = np.stack([as_numpy(potential_energy(MPR(eta=e, J=J, Delta=0.0), state)) for e, J in sets.values()])
    bottoms = np.array(
        [(J + np.sqrt(J**2 + 4 * np.pi**2 * e)) / (2 * np.pi**2) if e > 0 or J > 0 else np.nan for e, J in sets.values()]
    )
    found = orbit(model, 20.0)
    exchange = kinetic_energy(model, found.level_set) + potential_energy(model, found.level_set)

    right = v > 0.1
    power_v = np.polyfit(np.log(v[right]), np.log(K_v[2][right]), 1)[0]
    power_r = np.polyfit(np.log(r), np.log(K_r[1]), 1)[0]

    def slope(eta: float, J: float, r: float) -> float:
        potential = lambda r: potential_energy(MPR(eta=eta, J=J, Delta=0.0), State(r=r, v=jnp.zeros(())))
        return float(jax.grad(potential)(jnp.asarray(r)))

    slopes = [slope(e, J, bottom) for (e, J), bottom in zip(sets.values(), bottoms, strict=True)]

    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for each, K in zip(rates, K_v, strict=True):
        axes[0].plot(v, K, label=f"r = {each:g}")
    axes[0].set(
        xlabel="mean voltage v (dimensionless)",
        ylabel="kinetic energy v²/r",
        title="kinetic: quadratic in v, inverse in r",
        ylim=(0, 40),
    )
    axes[0].legend(frameon=False, fontsize=8)
    for (name, _), each, bottom in zip(sets.items(), V, bottoms, strict=True):
        line = axes[1].semilogx(r, each, label=name)[0]
        axes[1].plot(bottom, np.interp(bottom, r, each), "o", color=line.get_color(), markersize=4)
    axes[1].set(
        xlabel="firing rate r (1/time)",
        ylabel="potential energy η/r + π²r − J ln r",
        title="potential; dots: V′(r) = 0",
        ylim=(-40, 60),
    )
    axes[1].legend(frameon=False, fontsize=8)
    half = slice(64, 128)
    kinetic, potential = kinetic_energy(model, found.level_set), potential_energy(model, found.level_set)
    ring = as_numpy(found.level_set.r)[half]
    axes[2].plot(ring, as_numpy(kinetic)[half], label="kinetic", color="#d1651a")
    axes[2].plot(ring, as_numpy(potential)[half], label="potential", color="#1f5fa8")
    axes[2].plot(ring, as_numpy(exchange)[half], label="sum H", color="#1d5433")
    axes[2].set(xlabel="firing rate r (1/time)", ylabel="energy (dimensionless)", title="exchange along the orbit H = 20")
    axes[2].legend(frameon=False, fontsize=8)
    rows = [
        close_to("exponent of K in |v| at fixed r", power_v, 2.0, 1e-10),
        close_to("exponent of K in r at fixed v", power_r, -1.0, 1e-10),
        at_most("V′ at r* = (J + √(J² + 4π²η))/2π², all sets", np.max(np.abs(slopes)), 1e-10),
        at_most("K + V − H along an orbit, relative", jnp.max(jnp.abs(exchange / 20.0 - 1)), 1e-12),
    ]
    data = xr.Dataset(
        {
            "kinetic_over_v": (("rate", "v"), K_v),
            "kinetic_over_r": (("voltage", "r"), K_r),
            "potential": (("set", "r"), V),
        },
        coords={"rate": rates, "v": v, "voltage": voltages, "r": r, "set": list(sets)},
        attrs={"eta": 2.0, "J": 5.0},
    )
    return Evidence(rows, data, figure)
