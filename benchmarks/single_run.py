"""One population at fixed steps: `simulate` with `MobiusSplitting` in our own loop, and the same steps in diffrax's.

10⁵ steps, 100 saved times, with and without input; error against order 8 at 1e-13, differences between both loops, and time
per step without compilation, both in turn. An option that only diffrax has, here `max_steps`, chooses its loop.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from record import arguments, timed, write

import nmmjax as nmm

jax.config.update("jax_enable_x64", True)
MODEL = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
Y0 = {"r": 0.08, "v": -1.96}
INPUTS = {"none": None, "pulse": nmm.Pulse(3.0, 5.0, 20.0), "sinusoid": nmm.Sinusoid(1.0, 0.3)}


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    steps, repeats = (10_000, 3) if options.quick else (100_000, 7)
    h, ts = 0.01, jnp.linspace(0.0, 0.01 * steps, 101)
    rows = []
    for name, stimulus in INPUTS.items():
        reference = nmm.simulate(
            MODEL, Y0, ts, stimulus=stimulus, solver=nmm.MobiusExtrapolation(8), rtol=1e-13, atol=1e-14
        ).ys.r
        for order in (2, 4):
            solver = nmm.MobiusSplitting(order)

            def run(solver=solver, stimulus=stimulus, **more) -> jax.Array:
                return nmm.simulate(MODEL, Y0, ts, stimulus=stimulus, solver=solver, dt0=h, **more).ys.r

            kinds = {"own": run, "diffrax": functools.partial(run, max_steps=2 * steps)}
            found = {kind: np.asarray(each()) for kind, each in kinds.items()}
            times = {kind: [] for kind in kinds}
            for _ in range(repeats):
                for kind, each in kinds.items():
                    times[kind].append(timed(each, 1)["seconds_min"])
            first = found["own"]
            for kind in kinds:
                rows.append(
                    {
                        "input": name,
                        "order": order,
                        "loop": kind,
                        "error": float(np.max(np.abs(found[kind] - reference))),
                        "from_ours": float(np.max(np.abs(found[kind] - first))),
                        "steps": steps,
                        "microseconds_per_step": 1e6 * float(np.median(times[kind])) / steps,
                        "microseconds_per_step_min": 1e6 * min(times[kind]) / steps,
                        "repeats": repeats,
                    }
                )
    write("single_run", options, rows, dtype="float64", model=str(MODEL), y0=Y0, dt0=h)


if __name__ == "__main__":
    main()
