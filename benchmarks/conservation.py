"""Drift of H over 10⁵ periods at Δ = 0: MobiusSplitting(4) against Tsit5 and Dopri8 of diffrax at equal cost.

Equal cost is measured in the same run: the rivals' fixed step is that of MobiusSplitting times the ratio of their measured
times per step. (η, J) = (2, 5), from r = 3, v = 0.2.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from record import arguments, timed, write

import nmmjax as nmm
from nmmjax._optional import optional
from nmmjax.reproduce.conservation import energy_drift

H = 0.02
WINDOWS = 100


def seconds_per_step(model: nmm.MPR, y0: nmm.State, solver: diffrax.AbstractSolver, steps: int) -> float:
    term, h, t0 = nmm.extend.PopulationTerm(model), jnp.asarray(H), jnp.zeros(())

    def step(_: int, y: nmm.State) -> nmm.State:
        return solver.step(term, t0, h, y, None, solver.init(term, t0, h, y, None), False)[0]

    loop = jax.jit(lambda y: jax.lax.fori_loop(0, steps, step, y))
    return timed(lambda: loop(y0), 7)["seconds_min"] / steps


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    jax.config.update("jax_enable_x64", True)
    model = nmm.MPR(eta=2.0, J=5.0, Delta=0.0)
    y0 = nmm.State(r=jnp.asarray(3.0), v=jnp.asarray(0.2))
    period = float(nmm.orbit(model, nmm.hamiltonian(model, y0)).period)
    periods = 1_000 if options.quick else 100_000
    solvers = {"MobiusSplitting(4)": nmm.MobiusSplitting(4), "Tsit5": diffrax.Tsit5(), "Dopri8": diffrax.Dopri8()}
    cost = {name: seconds_per_step(model, y0, solver, 50_000) for name, solver in solvers.items()}
    rows, curves = [], {}
    for name, solver in solvers.items():
        h = H * cost[name] / cost["MobiusSplitting(4)"]
        stride = int(np.ceil(periods * period / h / WINDOWS))
        drift = energy_drift(model, y0, solver, h, WINDOWS, stride)
        curves[name] = drift
        rows.append(
            {
                "solver": name,
                "step": h,
                "seconds_per_step": cost[name],
                "seconds_per_time_unit": cost[name] / h,
                "steps": stride * WINDOWS,
                "largest_drift": float(np.max(drift)),
                "last_over_first_window": float(drift[-1] / drift[0]),
            }
        )
    path = write(
        "conservation", options, rows, dtype="float64", periods=periods, limit=2e-6, met=rows[0]["largest_drift"] <= 2e-6
    )
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name, drift in curves.items():
        label = name if np.all(np.isfinite(drift)) else f"{name} (blows up)"
        axes.semilogy(np.linspace(0, periods, WINDOWS), drift, label=label)
    axes.set(xlabel="periods", ylabel="largest |H − H₀|/H₀ per window", title="energy drift at equal cost, Δ = 0")
    axes.legend(frameon=False)
    figure.savefig(path.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
