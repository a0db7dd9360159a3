"""Networks of spiking neurons: the share of a plain C loop, memory, and Brian2 at equal error of the rate.

Section `step`: nanoseconds per neuron and step of `simulate` (the slope between two numbers of steps, so that setting up is
left out), for 10³ to 10⁶ neurons of one population, and of the same step as a loop in C (`neurons.c`, -O3 -march=native
without errno and traps, one core), in turns. Section `memory`: the peak memory of a process that runs 10⁶ neurons. Section
`brian`: N neurons with the same currents and voltages in Brian2 (Cython, Euler, threshold and reset ±100, refractory for the
time that a neuron spends beyond, coupled by a network operation), as its users write them. The error is the root mean square
of the spikes counted in bins of 0.1, per neuron and time, less the mean field's rate, over t ≤ 10; ours runs at the largest
step that is at least as exact. Compilation is left out on both sides.
"""

import ctypes
import functools
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brian import in_brian
from record import arguments, write

import nmmjax as nmm
from nmmjax._optional import optional
from nmmjax.models.qif_network import cauchy
from nmmjax.solvers.qif_step import propagator

MODEL = {"eta": -5.0, "J": 15.0, "Delta": 1.0}
START = {"r": 0.6, "v": 0.0}
T, BIN = 10.0, 0.1
GOALS = {"step": 0.4, "brian": 100.0, "memory": 1.0}


def seconds(call: Any) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def c_loop(real: str) -> Any:
    """The loop of `neurons.c` in `float` or `double`, compiled here."""
    folder = tempfile.mkdtemp()
    library = pathlib.Path(folder) / f"neurons_{real}.so"
    source = pathlib.Path(__file__).parent / "neurons.c"
    flags = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", f"-DREAL={real}"]
    subprocess.run(["cc", *flags, str(source), "-o", str(library)], check=True)
    kind = ctypes.c_float if real == "float" else ctypes.c_double
    run = ctypes.CDLL(str(library)).run
    array = ctypes.POINTER(kind)
    run.argtypes = [array, array, array, ctypes.c_long, ctypes.c_long, kind, kind]
    run.restype = ctypes.c_long
    pointer = lambda each: each.ctypes.data_as(array)
    return lambda V, a, eta, steps, gain, n0: run(pointer(V), pointer(a), pointer(eta), V.size, steps, gain, n0)


def step_row(N: int, double: bool, quick: bool) -> dict[str, Any]:
    """The step's cost at one size and precision, ours and the loop's in turns."""
    dtype = np.float64 if double else np.float32
    loop, h = c_loop("double" if double else "float"), 1 / 512
    network = nmm.QIFNetwork(nmm.MPR(**MODEL), N, watched=0)
    few = max(20, 20_000_000 // N // (20 if quick else 1))
    eta = (MODEL["eta"] + network.standard_currents()).astype(dtype)
    a = np.asarray(propagator(jnp.asarray(eta), jnp.asarray(h, eta.dtype)).a).astype(dtype)
    V = (np.pi * START["r"] * cauchy(network.places(0))).astype(dtype)
    given = (float(dtype(MODEL["J"] / N)), float(dtype(START["r"] * N * h)))
    ours = lambda k: nmm.simulate(network, START, np.array([0.0, k * few * h]), dt0=h)
    rival = lambda k: loop(V.copy(), a, eta, k * few, *given)
    taken: dict[str, list[float]] = {"ours": [], "c": []}
    for call in (ours, rival):
        call(1), call(5)
    for _ in range(3 if quick else 7):
        for name, call in (("ours", ours), ("c", rival)):
            short, long = (seconds(functools.partial(call, k)) for k in (1, 5))
            taken[name].append((long - short) / (4 * few * N) * 1e9)
    row: dict[str, Any] = {"section": "step", "neurons": N, "dtype": np.dtype(dtype).name, "repeats": len(taken["c"])}
    for name, each in taken.items():
        row |= {f"{name}_ns_median": statistics.median(each), f"{name}_ns_min": min(each)}
    row["share_of_c"] = row["c_ns_median"] / row["ours_ns_median"]
    row["what"] = f"ns per neuron-step, {N} neurons, {row['dtype']}"
    row["measured"] = f"{row['ours_ns_median']:.3g} (C loop on one core {row['c_ns_median']:.3g})"
    if N == 100_000 and not double:
        row |= {"must": f"≤ {GOALS['step']:g}", "met": row["ours_ns_median"] <= GOALS["step"]}
    print(row["what"], row["measured"], flush=True)
    return row


def step(quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the step's cost."""
    rows = []
    for double in (False, True):
        with jax.enable_x64(double):
            rows += [step_row(N, double, quick) for N in ((1000, 100_000) if quick else (1000, 10_000, 100_000, 1_000_000))]
    return rows, {}


def memory(quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Peak memory of a process with 10⁶ neurons."""
    N = 10_000 if quick else 1_000_000
    code = (
        "import numpy as np, nmmjax as nmm\n"
        f"nmm.simulate(nmm.QIFNetwork(nmm.MPR(), {N}), {START}, np.linspace(0.0, 0.5, 11))\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peak = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout) / 2**20
    row = {"section": "memory", "neurons": N, "peak_GiB": peak, "what": f"peak memory of a process with {N} neurons, GiB"}
    return [row | {"measured": f"{peak:.3g}", "must": "≤ 1", "met": peak <= GOALS["memory"]}], {}


def mean_rates() -> np.ndarray:
    """The mean field's rate, averaged over every bin."""
    ts = np.linspace(0.0, T, round(T / BIN) * 50 + 1)
    r = np.asarray(nmm.simulate(nmm.MPR(**MODEL), START, ts).ys.r)
    return ((r[1:] + r[:-1]) / 2).reshape(-1, 50).mean(axis=1)


def brian(quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows at every step of Brian2."""
    brian2 = optional("brian2", "bench")
    brian2.prefs.codegen.target = "cython"
    rms = lambda x: float(np.sqrt(np.mean(x**2)))
    N = 2000 if quick else 100_000
    rows, scans = [], {"ours": [], "brian2": []}
    with jax.enable_x64(False):
        exact = mean_rates()
        network, ts = nmm.QIFNetwork(nmm.MPR(**MODEL), N, watched=0), np.linspace(0.0, T, round(T / BIN) + 1)
        for steps in (1, 2, 3, 4, 6, 12, 24):
            run = lambda h=BIN / steps: nmm.simulate(network, START, ts, dt0=h)
            found = np.asarray(run().neurons.counts) / (N * BIN)
            times = [seconds(run) for _ in range(2 if quick else 7)]
            scans["ours"].append(
                {"dt": BIN / steps, "error": rms(found - exact), "median": statistics.median(times), "min": min(times)}
            )
        currents = MODEL["eta"] + MODEL["Delta"] * network.standard_currents()
        given = (brian2, currents, np.pi * START["r"] * cauchy(network.places(0)), MODEL["J"])
        for dt in (1e-3,) if quick else (1e-3, 1e-4):
            results = [in_brian(*given, dt, T, BIN) for _ in range(1 if quick or dt < 1e-3 else 3)]
            times = [each[1] for each in results]
            scans["brian2"].append(
                {"dt": dt, "error": rms(results[0][0] - exact), "median": statistics.median(times), "min": min(times)}
            )
            print(scans["brian2"][-1], flush=True)
    for each in scans["brian2"]:
        good = [one for one in scans["ours"] if one["error"] <= each["error"]]
        best = min(good, key=lambda one: one["median"]) if good else None
        row = {"section": "brian", "neurons": N, "brian2": each, "ours": best}
        setting = f"at dt {each['dt']:g}, error of r {each['error']:.2g}"
        row["what"] = f"{N} neurons, t ≤ {T:g}: times faster than Brian2 {setting}"
        if best is None:
            rows.append(row | {"measured": "not as exact"})
            continue
        ratio = each["median"] / best["median"]
        row |= {"ratio": ratio, "ratio_min": each["min"] / best["min"]}
        row |= {"measured": f"{ratio:.3g} (our error {best['error']:.2g})"}
        rows.append(row | {"must": f"≥ {GOALS['brian']:g}", "met": ratio >= GOALS["brian"]})
        print(row["what"], row["measured"], flush=True)
    return rows, {"brian_scans": scans}


SECTIONS = {"brian": brian, "step": step, "memory": memory}


def main() -> None:
    options = arguments(__doc__.splitlines()[0], list(SECTIONS))
    rows, facts = [], {}
    for name in options.only:
        found, more = SECTIONS[name](options.quick)
        rows += found
        facts |= more
    write("neurons", options, rows, model=MODEL, y0=START, **facts)


if __name__ == "__main__":
    main()
