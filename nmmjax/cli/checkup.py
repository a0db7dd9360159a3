"""`nmmjax doctor`: devices, precision, versions, and a self-check against closed forms."""

import platform
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from .._optional import optional, versions
from ..landscape.orbits import orbit
from ..mechanics.energy import hamiltonian
from ..models.mpr import MPR
from ..solvers.mobius import MobiusSplitting
from ..solvers.simulation import simulate


def self_check() -> list[tuple[str, float, float]]:
    """(what, error, largest error allowed) against closed forms, in the precision that is set."""
    double = jnp.zeros(()).dtype == jnp.float64
    rounding = 1e-12 if double else 2e-5
    # J = 0: every orbit is an ellipse of period π/√η, H = (v² + η)/r + π² r.
    eta, H = 2.0, 12.0
    value, gradient = jax.jvp(lambda eta: orbit(MPR(eta=eta, J=0.0, Delta=0.0), H).period, (eta,), (1.0,))
    period = np.pi / np.sqrt(eta)
    peak = (H + np.sqrt(H**2 - 4 * np.pi**2 * eta)) / (2 * np.pi**2)
    geometric = MobiusSplitting(4)
    closed = simulate(MPR(eta=eta, J=0.0, Delta=0.0), {"r": peak, "v": 0.0}, [0.0, period], solver=geometric, dt0=period)
    run = simulate(MPR(eta=eta, J=5.0, Delta=0.0), {"r": 3.0, "v": 0.2}, [0.0, 20.0], solver=geometric, dt0=0.02)
    energy = hamiltonian(run.model, run.ys)
    return [
        ("period of an exact ellipse, π/√η", float(value / period - 1), 10 * rounding),
        ("its gradient, −π/(2η^1.5)", float(gradient / (-period / (2 * eta)) - 1), 100 * rounding),
        ("one Möbius step of a whole period closes the orbit", float(closed.ys.r[-1] / peak - 1), 10 * rounding),
        ("energy after 1000 steps of order 4", float(energy[-1] / energy[0] - 1), 2e-6 if double else 1e-4),
    ]


def doctor() -> None:
    """Devices, precision, versions, and a self-check of a few seconds against closed forms."""
    console = optional("rich.console", "cli").Console()
    table = optional("rich.table", "cli").Table(show_header=False)
    table.add_row("python", platform.python_version())
    for name, version in versions().items():
        table.add_row(name, version)
    for extra, module in (("plot", "matplotlib"), ("data", "xarray"), ("cluster", "distributed")):
        try:
            table.add_row(f"extra {extra}", f"{module} {optional(module, extra).__version__}")
        except ModuleNotFoundError as missing:
            table.add_row(f"extra {extra}", str(missing).replace("[", "\\["))
    for device in jax.devices():
        table.add_row("device", f"{device.platform}: {device.device_kind}")
    table.add_row("default precision", f"{jnp.zeros(()).dtype} (JAX_ENABLE_X64=1 gives float64)")
    console.print(table)
    began = time.perf_counter()
    checks = self_check()
    console.print(f"Self-check against closed forms in {jnp.zeros(()).dtype} ({time.perf_counter() - began:.1f} s)")
    for what, error, allowed in checks:
        verdict = "ok  " if abs(error) <= allowed else "FAIL"
        console.print(f"  {verdict} {what}: error {abs(error):.1e}, allowed {allowed:.0e}", highlight=False)
    if any(not abs(error) <= allowed for _, error, allowed in checks):
        sys.exit(1)
