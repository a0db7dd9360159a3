"""Run as a script: a sweep and a fit with functions of one's own and a store, as another process makes the same call.

`python stored_call.py FOLDER` prints the results in full precision.
"""

import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402

import nmmjax as nmm  # noqa: E402


def main(folder):
    time_above = nmm.Custom(
        lambda p: 0 * p.t, lambda s, p: s + jnp.where(p.y.r > 0.2, p.weight, 0.0), lambda s, d: s, name="time above 0.2, v1"
    )
    given = {"over": {"eta": [-6.0, -5.0, -4.0]}, "y0": {"r": 0.1, "v": -2.0}, "t1": 2.0, "observe": {"above": time_above}}
    data = nmm.sweep(nmm.MPR(), store=folder / "sweep.zarr", chunk=1, progress=False, **given)
    fitted = nmm.fit(
        nmm.MPR(eta=-4.0), free=("eta",), target=lambda model: (model.eta + 5.0) ** 2, starts=1, store=folder / "fit.npz",
        name="(η + 5)²", progress=False,
    )  # fmt: skip
    print([float(each).hex() for each in (*data["above"].values, fitted.best.eta)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
