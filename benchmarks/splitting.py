"""Work–precision of one run: the Möbius solvers against diffrax's Tsit5, Dopri8 and Kvaerno5 through `simulate`.

(η, J, Δ) = (1, 10, 0.01), spiking, T = 20, with and without a pulse; error of the final state relative to its size,
against order 8 at 1e-13. Fixed steps for MobiusSplitting, in our own loop, adaptive ones for the rest, in diffrax's, whose
overhead per step their seconds include; time without compilation, steps beside it.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from record import arguments, timed, write

import nmmjax as nmm
from nmmjax._optional import optional

MODEL = {"eta": 1.0, "J": 10.0, "Delta": 0.01}
Y0 = {"r": 0.5, "v": -0.3}
TS = (0.0, 20.0)


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    jax.config.update("jax_enable_x64", True)
    model, ts = nmm.MPR(**MODEL), jnp.asarray(TS)
    tolerances = [1e-4, 1e-8] if options.quick else [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12]
    steps = [0.02, 0.005] if options.quick else [0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001]
    adaptive = [
        diffrax.Tsit5(),
        diffrax.Dopri8(),
        diffrax.Kvaerno5(),
        nmm.MobiusExtrapolation(6),
        nmm.MobiusExtrapolation(8),
    ]
    fixed = [nmm.MobiusSplitting(2), nmm.MobiusSplitting(4)]
    rows = []
    for name, stimulus in {"none": None, "pulse": nmm.Pulse(amplitude=3.0, start=5.0, stop=9.0)}.items():
        reference = nmm.simulate(model, Y0, ts, stimulus=stimulus, solver=nmm.MobiusExtrapolation(8), rtol=1e-13, atol=1e-14)
        end = np.array([float(reference.y_end.r) * np.pi, float(reference.y_end.v)])
        cases = [(solver, {"rtol": tol, "atol": tol / 100}) for solver in adaptive for tol in tolerances]
        cases += [(solver, {"dt0": h}) for solver in fixed for h in steps]
        for solver, setting in cases:
            if isinstance(solver, diffrax.Kvaerno5) and setting["rtol"] < 1e-8:
                continue

            def run(solver=solver, setting=setting, stimulus=stimulus):
                return nmm.simulate(model, Y0, ts, stimulus=stimulus, solver=solver, **setting)

            found = run()
            state = np.array([float(found.y_end.r) * np.pi, float(found.y_end.v)])
            rows.append(
                {
                    "stimulus": name,
                    "solver": str(solver) if "dt0" in setting else found.method.split(",")[0],
                    "setting": next(iter(setting.values())),
                    "error": float(np.linalg.norm(state - end) / np.linalg.norm(end)),
                    "steps": int(found.stats["num_steps"]),
                    **timed(lambda run=run: run().ys, 3 if options.quick else 5),
                }
            )
    path = write("splitting", options, rows, dtype="float64", model=MODEL, y0=Y0, ts=TS)
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    for solver in dict.fromkeys(row["solver"] for row in rows):
        mine = [row for row in rows if row["solver"] == solver and row["stimulus"] == "none"]
        style = "o-" if solver.startswith("Mobius") else "s--"
        axes[0].loglog([row["steps"] for row in mine], [row["error"] for row in mine], style, label=solver, markersize=4)
        axes[1].loglog([row["seconds_median"] for row in mine], [row["error"] for row in mine], style, markersize=4)
    axes[0].set(xlabel="steps", ylabel="relative error at T = 20", title="(η, J, Δ) = (1, 10, 0.01), float64")
    axes[1].set(xlabel="seconds (median)", title="the same against time")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
