"""How long a newcomer waits: import, the first plot, the energy block, `nmmjax reproduce`, each from a cold process.

The import is measured against importing jax, equinox, diffrax and optax alone, in alternating fresh processes.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from record import arguments, write

BASE = "import jax, equinox, diffrax, optax"
FIRST_PLOT = """
import jax
import jax.numpy as jnp
import nmmjax as nmm

population = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
pulse = nmm.Pulse(amplitude=3.0, start=10.0, stop=20.0)
run = nmm.simulate(population, y0={"r": 0.08, "v": -1.96}, ts=jnp.linspace(0.0, 60.0, 3001), stimulus=pulse)
print(run)
nmm.plot.trajectory(run)
run.to_xarray()
"""
ENERGY = """
H = nmm.hamiltonian(population, run.ys)
E = nmm.total_energy(population, run.ys)
balance = nmm.energy_balance(run)
orbit = nmm.orbit(nmm.MPR(eta=2.0, J=5.0, Delta=0.0), energy=12.0)
peaks = nmm.predict_peaks(nmm.MPR(eta=2.0, J=5.0, Delta=0.05), r0=6.0, count=8)
jax.grad(lambda Delta: nmm.predict_peaks(nmm.MPR(eta=2.0, J=5.0, Delta=Delta), r0=6.0, count=8)[-1])(0.05)
"""


def cold(*command: str) -> float:
    """Seconds of a fresh process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"MPLBACKEND": "Agg"})
    return time.perf_counter() - start


def python(code: str) -> float:
    return cold(sys.executable, "-c", code)


def row(what: str, seconds: list[float], limit: float) -> dict:
    return {
        "what": what,
        "seconds_min": min(seconds),
        "seconds_median": statistics.median(seconds),
        "runs": len(seconds),
        "limit": limit,
        "met": bool(statistics.median(seconds) <= limit),
    }


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    repeats = 2 if options.quick else 7
    python(BASE + ", nmmjax")  # byte code
    base, full = [], []
    for _ in range(repeats):
        base.append(python(BASE))
        full.append(python(BASE + ", nmmjax"))
    added = [b - a for a, b in zip(base, full, strict=True)]
    rows = [row("import nmmjax, added to jax, equinox, diffrax, optax", added, 0.3)]
    rows += [row("import jax, equinox, diffrax, optax (rival)", base, float("inf"))]
    first = [python(FIRST_PLOT) for _ in range(1 if options.quick else 3)]
    rows += [row("first plot, cold process", first, 15.0)]
    both = [python(FIRST_PLOT + ENERGY) for _ in range(1 if options.quick else 3)]
    rows += [row("energy block, after the first plot", [t - statistics.median(first) for t in both], 15.0)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nmmjax", "reproduce", "--out", str(pathlib.Path(folder) / "out")]
        rows += [row("nmmjax reproduce", [cold(*command, *(["--quick"] if options.quick else []))], 180.0)]
    write("startup", options, rows)


if __name__ == "__main__":
    main()
