"""`nmmjax doctor`: devices, precision, versions, and a self-check against closed forms."""

import pathlib
import platform
import sys
import time

import jax
import numpy as np

from .._optional import installed, optional, versions
from .._types import float_dtype, uses_float64
from ..landscape.orbits import orbit
from ..mechanics.energy import hamiltonian
from ..models.mpr import MPR
from ..numerics.kept_programs import folder_in_use, size_of
from ..solvers.mobius import MobiusSplitting
from ..solvers.simulation import simulate
from .printing import console_for, print_json


def self_check() -> list[tuple[str, float, float]]:
    """(what, error, largest error allowed) against closed forms, in the precision that is set."""
    double = uses_float64()
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


def doctor(*, json: bool = False) -> None:
    """Devices, precision, versions, and a self-check of a few seconds against closed forms.

    Parameters
    ----------
    json
        Print one JSON object.
    """
    console = console_for(json)
    python, extras, precision = platform.python_version(), _extras(), str(float_dtype())
    devices = [f"{device.platform}: {device.device_kind}" for device in jax.devices()]
    kept = folder_in_use()
    table = optional("rich.table", "cli").Table(show_header=False)
    for name, version in {"python": python, **versions()}.items():
        table.add_row(name, version)
    for extra, found in extras.items():
        table.add_row(f"extra {extra}", found.replace("[", "\\["))
    for device in devices:
        table.add_row("device", device)
    table.add_row("default precision", f"{precision} (JAX_ENABLE_X64=1 gives float64)")
    table.add_row("compiled programs", _kept(kept))
    console.print(table)
    began = time.perf_counter()
    checks = [
        {"what": what, "error": abs(error), "allowed": allowed, "ok": abs(error) <= allowed}
        for what, error, allowed in self_check()
    ]
    seconds = time.perf_counter() - began
    console.print(f"Self-check against closed forms in {precision} ({seconds:.1f} s)")
    for each in checks:
        line = f"{each['what']}: error {each['error']:.1e}, allowed {each['allowed']:.0e}"
        console.print(f"  {'ok  ' if each['ok'] else 'FAIL'} {line}", highlight=False)
    if json:
        about = {"python": python, "versions": versions(), "extras": extras, "devices": devices, "precision": precision}
        about["compilation_cache"] = None if kept is None else {"folder": str(kept), "bytes": size_of(kept)}
        print_json({**about, "self_check": checks, "seconds": seconds})
    if not all(each["ok"] for each in checks):
        sys.exit(1)


def _kept(folder: pathlib.Path | None) -> str:
    """Where compiled programs are kept, and how many bytes of them."""
    return "are not kept" if folder is None else f"{size_of(folder) / 2**20:.3g} MiB in {folder}"


def _extras() -> dict[str, str]:
    """What is installed of each extra, or how to install it."""
    return {
        extra: installed(name, extra)
        for extra, name in (("plot", "matplotlib"), ("data", "xarray"), ("cluster", "distributed"))
    }
