"""How long every statement takes when it is met first: those of the README and of further sessions.

Each block runs in a fresh process, statement by statement, three times: without anything kept, with an empty
`use_compilation_cache`, and in a next process that finds it filled. Imports are a statement like any other.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap
import time

if not __package__:  # by its path
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from benchmarks.record import arguments, write

IMPORT = """
import jax
import jax.numpy as jnp
import nmmjax as nmm
"""
POPULATION = """
population = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
pulse = nmm.Pulse(amplitude=3.0, start=10.0, stop=20.0)
run = nmm.simulate(population, y0={"r": 0.08, "v": -1.96}, ts=jnp.linspace(0.0, 60.0, 3001), stimulus=pulse)
"""
# What sessions begin with, by name; what comes before in each is made ready without being counted.
SESSIONS = {
    "energies": """
        H = nmm.hamiltonian(population, run.ys)
        E = nmm.total_energy(population, run.ys)
        balance = nmm.energy_balance(run)
        orbit = nmm.orbit(nmm.MPR(eta=2.0, J=5.0, Delta=0.0), energy=12.0)
        peaks = nmm.predict_peaks(nmm.MPR(eta=2.0, J=5.0, Delta=0.05), r0=6.0, count=8)
        jax.grad(lambda Delta: nmm.predict_peaks(nmm.MPR(eta=2.0, J=5.0, Delta=Delta), r0=6.0, count=8)[-1])(0.05)
    """,
    "landscapes": """
        landscape = nmm.energy_landscape(population)
        nmm.plot.landscape(landscape, run)
        pair = nmm.mutual_inhibition(eta=5.0, J_self=0.0, J_cross=-15.0, Delta=1.0)
        states = nmm.energy_landscape(pair)
        switch = nmm.minimal_pulse(pair, start=states.minima[0], end=states.minima[1], duration=5.0, node=1)
        branch = nmm.continue_branch(population, "eta", (-8.0, 0.0))
        weights = jnp.abs(jax.random.normal(jax.random.key(0), (20, 20))) / 20
        brain = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), weights=0.56 * (weights + weights.T) / 2)
        states_of_brain = nmm.energy_landscape(brain).minima
    """,
    "bursts": """
        burster = nmm.MPR(eta=-5.5, J=15 * 2**0.5, Delta=2.0, adaptation=nmm.SynapticDepression(alpha=0.05, tau=10.0))
        course = nmm.simulate(burster, y0={"r": 0.2, "v": -1.0}, ts=jnp.linspace(0.0, 400.0, 40_001))
        bursts = nmm.find_bursts(course)
        predicted = nmm.predict_burst(burster, bursts)
        nmm.plot.bursts(course, predicted)
    """,
    "fits": """
        import optax
        ts, step = jnp.linspace(0.0, 100.0, 1001), nmm.Pulse(amplitude=3.0, start=30.0, stop=60.0)
        data = nmm.simulate(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7), y0={"r": 0.1, "v": -2.0}, ts=ts, stimulus=step).ys
        target = nmm.TrajectoryTarget(ts, r=data.r, v=data.v, stimulus=step)
        guess, free = nmm.MPR(eta=-4.0, J=12.0, Delta=0.5), ("eta", "J", "Delta")
        how = {"starts": 256, "optimizer": optax.adam(1e-2), "polish": "levenberg-marquardt"}
        fitted = nmm.fit(guess, free=free, target=target, **how)
        nmm.plot.fit(fitted)
    """,
    "noise": """
        times, key = jnp.linspace(0.0, 500.0, 5001), jax.random.key(0)
        noisy = nmm.simulate(population, y0={"r": 1.0, "v": 0.0}, ts=times, noise=0.1, key=key)
        density = nmm.boltzmann(population, noise=0.1)
        inferred = nmm.fit_stationary(noisy.ys.r[500:])
        landscape = nmm.energy_landscape(population)
        rate = nmm.escape_rate(population, noise=0.1, start=landscape.minima[1])
        recording = nmm.example_recording()
        ising = nmm.fit_ising(nmm.binarize(recording))
        tree = ising.landscape()
        nmm.plot.disconnectivity(tree)
    """,
    "circuits": """
        ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
        course = nmm.simulate(ing, y0={"r": 0.4, "v": 0.3}, ts=jnp.linspace(0.0, 100.0, 10_001))
        balance = nmm.energy_balance(course)
        branch = nmm.continue_branch(ing, "Delta", (0.1, 1.0))
        cycles = nmm.continue_cycle(branch.hopfs[0], (0.1, 0.6))
        response = nmm.phase_response(cycles, at=0.3)
        exponents = nmm.lyapunov_exponents(ing, y0=course.y_end, t1=500.0)
        ping = nmm.ping()
        nmm.plot.circulation(nmm.simulate(ping, y0={"r": 0.02, "v": -1.0}, ts=jnp.linspace(0.0, 300.0, 30_001)))
    """,
    "neurons": """
        neurons = nmm.QIFNetwork(population, size=10_000)
        ts = jnp.linspace(0.0, 60.0, 3001)
        spikes = nmm.simulate(neurons, y0={"r": 0.08, "v": -1.96}, ts=ts, stimulus=pulse)
        nmm.plot.raster(spikes, mean_field=run)
        nmm.compare_with_neurons(population, size=10_000, y0={"r": 0.08, "v": -1.96}, ts=ts, stimulus=pulse)
        light = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0, heterogeneity=nmm.GaussianLike(4))
        spectrum = nmm.power_spectrum(population, size=10_000)
    """,
    "explorer": "page = nmm.explore(population)",
}
SLOW = {  # whose own work is long: brains for a minute of simulated time
    "brains": """
        connectome = nmm.random_connectome(76, key=jax.random.key(0))
        brain = nmm.Network(nmm.MPR(eta=-4.6, J=14.5, Delta=0.7, tau=10.0), connectome, gain=0.5, speed=3.0)
        start, ts = {"r": 0.01, "v": -2.0}, jnp.linspace(0.0, 2000.0, 21)
        noisy = {"noise": 0.01, "key": jax.random.key(0), "monitors": {"mean": nmm.TemporalAverage(100.0)}}
        course = nmm.simulate(brain, y0=start, ts=ts, **noisy)
        linear = nmm.linear_response(brain)
        target = nmm.FunctionalConnectivityTarget(linear.fc())
        fitted = nmm.fit(brain, free=("gain", "speed"), target=target, starts=4)
    """,
}
SHELL = {
    "nmmjax doctor": ["-m", "nmmjax", "doctor"],
    "nmmjax models": ["-m", "nmmjax", "models"],
}
WORKER = """
import ast, json, os, sys, time
before, counted, cache = json.loads(sys.stdin.read())
names = {"__name__": "session"}
if cache:
    exec("import nmmjax; nmmjax.use_compilation_cache(folder)", {"folder": cache})
exec(before, names)
for each in ast.parse(counted).body:
    began = time.perf_counter()
    exec(compile(ast.Module([each], []), "session", "exec"), names)
    if "jax" in sys.modules:
        for array in sys.modules["jax"].live_arrays():
            array.block_until_ready()
    print(json.dumps([ast.unparse(each), time.perf_counter() - began]), file=sys.stderr, flush=True)
"""


def readme() -> dict[str, tuple[str, str]]:
    """The README's blocks, (what is run before, what is counted): each after those before it, as it is read."""
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    return {"README": ("", "\n".join(blocks))}


def sessions(more: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {name: (IMPORT + POPULATION, textwrap.dedent(code)) for name, code in more.items()}


def statements(before: str, counted: str, cache: str | None) -> list[tuple[str, float]]:
    """Seconds of every statement of a session in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}
        asked = json.dumps([before, counted, cache])
        done = subprocess.run(
            [sys.executable, "-c", WORKER], input=asked, env=environment, cwd=folder, text=True, capture_output=True
        )
    found = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('["')]
    if done.returncode:
        raise RuntimeError(f"After {len(found)} statements: {done.stderr[-2000:]}")
    return [(text, seconds) for text, seconds in found]


def shell(options: list[str], folder: str | None) -> float:
    """Seconds of a command in a fresh process; `folder` is its folder of caches (on Linux)."""
    environment = os.environ | {"MPLBACKEND": "Agg"} | ({"XDG_CACHE_HOME": folder} if folder else {})
    began = time.perf_counter()
    subprocess.run([sys.executable, *options], check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measured(blocks: dict[str, tuple[str, str]]) -> list[dict]:
    """Every statement of these blocks: cold, and in a process that finds what an earlier one compiled."""
    rows = []
    for name, (before, counted) in blocks.items():
        with tempfile.TemporaryDirectory() as kept:
            cold = statements(before, counted, None)
            filling = statements(before, counted, kept)
            warm = statements(before, counted, kept)
        for (text, a), (_, b), (_, c) in zip(cold, filling, warm, strict=True):
            rows.append({"block": name, "statement": text, "cold": a, "filling_the_cache": b, "next_process": c})
    return rows


def table(some: list[dict]) -> list[dict]:
    """The sum of these statements and the worst of them."""
    found = []
    for key, what in (("cold", "cold"), ("next_process", "in a next process with the cache")):
        worst = max(some, key=lambda row: row[key])
        found.append({"what": f"{len(some)} statements, {what}", "seconds": sum(row[key] for row in some)})
        found.append({"what": f"the worst, {what}: {worst['statement'].splitlines()[0]}", "seconds": worst[key]})
    return found


def main(options: argparse.Namespace) -> None:
    named = {"readme": readme(), "sessions": sessions(SESSIONS), "brains": sessions(SLOW)}
    rows: list[dict] = []
    for part in options.only:
        blocks = named.get(part, {})
        if options.quick:
            blocks = dict(list(blocks.items())[:1])
        rows += measured(blocks)
    commands = []
    if "shell" in options.only:
        for name, command in SHELL.items():
            with tempfile.TemporaryDirectory() as kept:
                seconds = [shell([*command, "--no-cache"], None), shell(command, kept), shell(command, kept)]
            commands.append(
                {"command": name, **dict(zip(("cold", "filling_the_cache", "next_process"), seconds, strict=True))}
            )
    for row in sorted(rows, key=lambda row: -row["cold"]):
        if row["cold"] >= 0.5:
            text = " ".join(row["statement"].split())
            print(f"{row['cold']:6.2f} {row['next_process']:6.2f}  {row['block']}: {text[:100]}")
    summary = table(rows) if rows else []
    write("first_calls", options, summary, dtype="float32", statements=rows, commands=commands)


if __name__ == "__main__":
    main(arguments(__doc__.splitlines()[0], rows=("readme", "sessions", "brains", "shell")))
