"""Rhythms: Lyapunov spectra of many lanes against lyapax at equal error.

Section `lyapunov`: inhibitory populations with a synapse (ING), η = 4, J = −21, τ_s = 0.5, over Δ from 0.1 to 0.45, all on
cycles, all three exponents; from the same state, after the same transient. The reference is `lyapunov_exponents` with Dopri8
at rtol 1e-11 over T = 4000, whose spread is written beside. The error of a lane is the largest |λ − λ_ref| of its exponents;
each tool runs at its fastest setting whose median error meets the limit, found by scanning: time and steps for ours, time,
step and renormalisation for lyapax (`sweep_lyapunov_spectrum` with RK4, compiled as a whole). Times are of equal numbers of
lanes, taken in turns, without compilation. What decides is the average over time: on a cycle a plain mean converges as 1/T.
"""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from record import arguments, write

import nmmjax as nmm
from nmmjax._optional import optional

Y0 = {"r": 0.4, "v": 0.3}
TRANSIENT = 50.0
GOAL = 10.0


@dataclasses.dataclass(frozen=True)
class Size:
    lanes: int
    scanned: int
    repeats: int
    limits: tuple[float, ...]


def ing(Delta: Any = 0.3) -> nmm.MPR:
    return nmm.MPR(eta=4.0, J=-21.0, Delta=Delta, synapse=nmm.ExponentialSynapse(tau=0.5))


def ours(Deltas: np.ndarray, T: float, name: str, solver: Any, steps: Any) -> nmm.results.LyapunovExponents:
    del name
    options = {"over": {"Delta": Deltas}, "y0": Y0, "t0": TRANSIENT, "t1": TRANSIENT + T}
    return nmm.lyapunov_exponents(ing(), solver=solver, **options, **steps)


def rival(lyapax: Any, Deltas: np.ndarray, T: float, dt: float, every: int) -> Callable[[], np.ndarray]:
    """lyapax on the same equations, as its documentation writes a sweep, compiled as a whole."""
    from lyapax.integrators import rk4_step

    def step(state, params) -> Any:
        def rhs(state) -> Any:
            r, v, s = state
            dr = params["Delta"] / jnp.pi + 2 * r * v
            return jnp.stack([dr, v**2 + 4.0 - 21.0 * s - (jnp.pi * r) ** 2, (r - s) / 0.5])

        return rk4_step(rhs, dt)(state)

    steps = every * round(T / dt / every)
    state0 = jnp.array([Y0["r"], Y0["v"], Y0["r"]])

    def call(Delta) -> Any:
        found = lyapax.sweep.sweep_lyapunov_spectrum(
            step, state0, {"Delta": Delta}, dt=dt, n_steps=steps, renorm_every=every, t_transient=TRANSIENT
        )
        return found.exponents

    compiled = jax.jit(call)
    values = jnp.asarray(Deltas)
    return lambda: np.asarray(compiled(values))


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def error(found: Any, reference: np.ndarray) -> float:
    worst = np.abs(np.asarray(found) - reference).max(axis=1)
    return float(np.median(np.where(np.isfinite(worst), worst, np.inf)))


def said(setting: tuple[Any, ...]) -> str:
    """A setting in words: the time, and how it is stepped."""
    if isinstance(setting[1], str):
        return f"T = {setting[0]:g}, {setting[1]}, {', '.join(f'{name} {value:g}' for name, value in setting[3].items())}"
    return f"T = {setting[0]:g}, RK4, dt {setting[1]:g}, QR every {setting[2]} steps"


def fastest(settings: list[tuple[Any, ...]], call: Callable[..., Callable[[], Any]], reference: np.ndarray) -> list[dict]:
    """Median error and time of every setting."""
    rows = []
    for setting in settings:
        run = call(*setting)
        wrong = error(run(), reference)
        rows.append({"setting": setting, "error": wrong, "seconds": min(seconds(run) for _ in range(6))})
    return rows


def lyapunov(size: Size) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the section, and all scanned settings."""
    lyapax = optional("lyapax", "bench")
    optional("lyapax.sweep", "bench")
    Deltas = np.linspace(0.1, 0.45, size.lanes)
    some = Deltas[:: size.lanes // size.scanned]
    exact = ours(some, 4000.0, "Dopri8", diffrax.Dopri8(), {"rtol": 1e-11})
    reference = np.asarray(exact.exponents)
    drift = float(np.median(np.abs(np.asarray(exact.sum_error))))
    tsit5, mobius = diffrax.Tsit5(), nmm.MobiusSplitting(4)
    steps = [("Tsit5", tsit5, {"dt0": 0.1}), ("Möbius", mobius, {"dt0": 0.1})]
    mine = [(T, *step) for T in (15.0, 20.0, 25.0, 50.0) for step in steps]
    theirs = list(itertools.product((200.0, 400.0, 1600.0, 3200.0), (0.1, 0.05), (16,)))
    if size.lanes < 4096:
        mine, theirs = mine[1::4], theirs[::2]
    scans = {
        "ours": fastest(mine, lambda *setting: lambda: ours(some, *setting).exponents, reference),
        "lyapax": fastest(theirs, lambda *setting: rival(lyapax, some, *setting), reference),
    }
    rows = []
    for limit in size.limits:
        best = {}
        for name, scan in scans.items():
            good = [row for row in scan if row["error"] <= limit]
            best[name] = min(good, key=lambda row: row["seconds"]) if good else None
        if None in best.values():
            missed = [name for name, row in best.items() if row is None]
            rows.append({"section": "lyapunov", "limit": limit, "not_met_by": ", ".join(missed)})
            continue
        runs = {
            "ours": lambda setting=best["ours"]["setting"]: np.asarray(ours(Deltas, *setting).exponents),
            "lyapax": rival(lyapax, Deltas, *best["lyapax"]["setting"]),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            run()
        for _ in range(size.repeats):
            for name, run in runs.items():
                taken[name].append(seconds(run))
        row: dict[str, Any] = {"section": "lyapunov", "lanes": size.lanes, "limit": limit, "repeats": size.repeats}
        for name in runs:
            row |= {f"{name}_seconds_median": statistics.median(taken[name]), f"{name}_seconds_min": min(taken[name])}
            row |= {f"{name}_setting": said(best[name]["setting"]), f"{name}_error": best[name]["error"]}
        row["ratio"] = row["lyapax_seconds_median"] / row["ours_seconds_median"]
        row["ratio_min"] = row["lyapax_seconds_min"] / row["ours_seconds_min"]
        row |= {"what": f"Lyapunov spectra of {size.lanes} lanes at error {limit:g}: times faster than lyapax"}
        row |= {
            "measured": f"{row['ratio']:.3g} ({row['ratio_min']:.3g})",
            "must": f"≥ {GOAL:g}",
            "met": row["ratio"] >= GOAL,
        }
        rows.append(row)
    facts = {
        "lyapunov_scans": {name: [row | {"setting": said(row["setting"])} for row in scan] for name, scan in scans.items()},
        "lyapunov_reference": {"sum_error_median": drift, "spread_median": float(np.median(np.asarray(exact.spread)))},
    }
    return rows, facts


SECTIONS = {"lyapunov": lyapunov}


def draw(facts: dict[str, Any], path: Any) -> None:
    """Error over time of all scanned settings."""
    pyplot = optional("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(figsize=(6.4, 4.4), layout="constrained")
    for name, scan in facts["lyapunov_scans"].items():
        axes.loglog([row["seconds"] for row in scan], [row["error"] for row in scan], "o", markersize=4, label=name)
    axes.set(xlabel="seconds for the scanned lanes", ylabel="median error of the exponents (1/time)")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    options = arguments(__doc__.splitlines()[0], list(SECTIONS))
    jax.config.update("jax_enable_x64", True)
    size = Size(64, 16, 2, (1e-2,)) if options.quick else Size(4096, 256, 2, (1e-2, 1e-3))
    rows, facts = [], {}
    for name in options.only:
        found, more = SECTIONS[name](size)
        rows += found
        facts |= more
    path = write("rhythms", options, rows, y0=Y0, transient=TRANSIENT, **facts)
    if "lyapunov" in options.only:
        draw(facts, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
