"""Noise: moments of the Boltzmann law, free energies from work, escape rates, fits of stationary recordings.

Rows (`--only`): `moments`, `jarzynski`, `escape`, `stationary`. Rivals: Heun's method by diffrax for the moments, simulation
for the escape rates, SciPy's BFGS on the likelihood of binned rates for the fits.
"""

import time
from itertools import pairwise
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from record import arguments, timed, write
from scipy.optimize import minimize
from scipy.stats import kstest

import nmmjax as nmm

ROWS = ("moments", "jarzynski", "escape", "stationary")


def once(run: Any) -> tuple[Any, float]:
    """Result and seconds of one call, with compilation."""
    begin = time.perf_counter()
    result = jax.block_until_ready(run())
    return result, time.perf_counter() - begin


def random_sets(count: int, seed: int = 0) -> np.ndarray:
    """(4, count): η, J, Δ, D of populations with one state, in which long runs mix fast."""
    rng = np.random.default_rng(seed)
    lows, highs = (-1.0, 0.0, 0.5, 0.1), (2.0, 5.0, 1.5, 0.5)
    return np.stack([rng.uniform(low, high, count) for low, high in zip(lows, highs, strict=True)])


def moments(quick: bool) -> dict[str, Any]:
    """⟨r⟩, ⟨1/r⟩, ⟨ln r⟩, ⟨q̇²⟩ of ten random sets: distance from the exact law in standard errors, and those errors."""
    lanes, t1 = (256, 60.0) if quick else (16384, 220.0)
    sets = random_sets(10)
    inverse, logarithm = (
        nmm.Custom(lambda p: 0 * p.t, lambda s, p, f=f: s + p.weight * f(p.y.r), lambda s, duration: s / duration)
        for f in (lambda r: 1 / r, jnp.log)
    )
    observed = {"r": nmm.Mean("r"), "inverse": inverse, "log": logarithm, "kinetic": nmm.Mean("kinetic_energy")}
    over = {name: ("lane", np.repeat(row, lanes)) for name, row in zip(("eta", "J", "Delta", "noise"), sets, strict=True)}
    found, seconds = once(
        lambda: nmm.sweep(
            nmm.MPR(),
            over=over,
            y0={"r": 0.5, "v": 0.0},
            t0=20.0,
            t1=t1,
            dt0=0.01,
            key=jax.random.key(0),
            observe=observed | {"last": nmm.Final()},
            progress=False,
        )
    )
    rows = []
    for k, (eta, J, Delta, D) in enumerate(sets.T):
        law = nmm.boltzmann(nmm.MPR(eta=eta, J=J, Delta=Delta), D)
        exact = {
            "r": law.moment(1.0),
            "inverse": law.moment(-1.0),
            "log": law.mean(jnp.log),
            "kinetic": law.temperature / 2,
        }
        row: dict[str, Any] = {"eta": eta, "J": J, "Delta": Delta, "D": D}
        for name, value in exact.items():
            means = np.asarray(found[name])[k * lanes : (k + 1) * lanes]
            error = means.std(ddof=1) / np.sqrt(lanes)
            row[name] = {
                "exact": float(value),
                "measured": float(means.mean()),
                "standard_errors_off": float((means.mean() - float(value)) / error),
                "relative_standard_error": float(error / abs(float(value))),
            }
        last = np.asarray(found["last_r"])[k * lanes : (k + 1) * lanes]
        row["ks_p_value"] = float(kstest(last, lambda r, law=law: np.asarray(law.cdf(jnp.asarray(r)))).pvalue)
        rows.append(row)
    off = [abs(row[name]["standard_errors_off"]) for row in rows for name in observed]
    spread = [row[name]["relative_standard_error"] for row in rows for name in observed]
    return {
        "lanes": lanes,
        "time": t1 - 20.0,
        "seconds": seconds,
        "lane_steps_per_second": 10 * lanes * t1 / 0.01 / seconds,
        "largest_standard_errors_off": max(off),
        "largest_relative_standard_error": max(spread),
        "smallest_ks_p_value": min(row["ks_p_value"] for row in rows),
        "sets": rows,
        "heun": _heun(sets[:, 0], lanes if quick else 2048, t1 if quick else 70.0),
    }


def _heun(values: np.ndarray, lanes: int, t1: float) -> list[dict[str, Any]]:
    """Bias of ⟨r⟩ over step for our splitting and for Heun's method by diffrax, the same lanes and time."""
    eta, J, Delta, D = (float(each) for each in values)
    model = nmm.MPR(eta=eta, J=J, Delta=Delta)
    exact = float(nmm.boltzmann(model, D).mean_rate)
    ts = jnp.linspace(0.0, t1, int(2 * t1) + 1)
    keys = jax.random.split(jax.random.key(1), lanes)

    def rival(key: Any, dt: float) -> Any:
        path = diffrax.VirtualBrownianTree(0.0, t1, tol=dt / 2, shape=(), key=key)
        drift = diffrax.ODETerm(lambda t, y, args: _flow(model, y))
        noise = diffrax.ControlTerm(lambda t, y, args: jnp.array([0.0, np.sqrt(2 * D)]), path)
        y0 = jnp.array([0.5, 0.0])
        saved = diffrax.SaveAt(ts=ts)
        terms = diffrax.MultiTerm(drift, noise)
        return diffrax.diffeqsolve(terms, diffrax.Heun(), 0.0, t1, dt, y0, saveat=saved, max_steps=None, throw=False).ys[
            :, 0
        ]

    rows = []
    for dt in (0.1, 0.05, 0.025):
        ours = jax.jit(
            jax.vmap(lambda key, dt=dt: nmm.simulate(model, {"r": 0.5, "v": 0.0}, ts, noise=D, key=key, dt0=dt).ys.r)
        )
        theirs = jax.jit(jax.vmap(lambda key, dt=dt: rival(key, dt)))
        for name, run in (("nmmjax", ours), ("diffrax Heun", theirs)):
            values_now = np.asarray(run(keys))[:, 40:].mean(axis=1)
            cost = timed(lambda run=run: run(keys), 3)
            finite = np.isfinite(values_now)
            rows.append(
                {
                    "method": name,
                    "dt": dt,
                    "bias": float(values_now[finite].mean() / exact - 1),
                    "standard_error": float(values_now[finite].std() / np.sqrt(max(finite.sum(), 1)) / exact),
                    "lanes_lost": int((~finite).sum()),
                    **cost,
                }
            )
    return rows


def _flow(model: nmm.MPR, y: Any) -> Any:
    flow = model.vector_field(jnp.zeros(()), nmm.State(r=y[0], v=y[1]))
    return jnp.stack([flow.r, flow.v])


def jarzynski(quick: bool) -> dict[str, Any]:
    """ΔF of the ramps of docs/theory.md §7 from the work, one direction and both, against quadrature."""
    population = nmm.MPR(eta=1.0, J=3.0, Delta=0.5)
    lanes = 4096 if quick else 200_000
    rows = []
    for stop in (1.0, 3.0):
        ramp = nmm.Ramp(0.5, 0.0, stop)
        make = lambda reverse, ramp=ramp, stop=stop: nmm.stochastic.run_protocol(
            population, ramp, 0.1, jax.random.key(int(reverse)), t1=stop, lanes=lanes, reverse=reverse
        )
        (forward, first), (backward, second) = (once(lambda way=way, make=make: make(way)) for way in (False, True))
        both = nmm.stochastic.crooks(forward, backward)
        rows.append(
            {
                "ramp": stop,
                "lanes": lanes,
                "exact": float(forward.free_energy),
                "jarzynski_error": float(both.forward.value - forward.free_energy),
                "jarzynski_standard_error": float(both.forward.standard_error),
                "bennett_error": float(both.free_energy.value - forward.free_energy),
                "bennett_standard_error": float(both.free_energy.standard_error),
                "crooks_slope": [float(both.slope.value), float(both.slope.standard_error)],
                "seconds": first + second,
            }
        )
    return {"ramps": rows}


def escape(quick: bool) -> dict[str, Any]:
    """Escape rates: the Klein–Kramers equation, Kramers's formula, and simulation of many lanes, its rival in cost too."""
    population = nmm.MPR(eta=-5.0, J=15.0, Delta=1.0)
    high = nmm.energy_landscape(population).minima[1]
    rows = []
    for D in (0.1,) if quick else (0.2, 0.1, 0.07, 0.05, 0.04):
        formula = nmm.escape_rate(population, D, high)
        passage = nmm.first_passage(population, D, high, jax.random.key(0), lanes=256 if quick else 8192)
        cost = timed(lambda D=D: jax.block_until_ready(nmm.escape_rate(population, D, high).rate), 5)
        rows.append(
            {
                "D": D,
                "barrier_over_T": float(formula.barrier),
                "exact": float(formula.rate),
                "kramers": float(formula.kramers),
                "turnover": float(formula.turnover),
                "simulated": float(passage.rate),
                "standard_error": float(passage.standard_error),
                "exact_error": float(formula.rate / passage.rate - 1),
                "kramers_error": float(formula.kramers / passage.rate - 1),
                "simulation_seconds": passage.wall_time,
                "lane_steps_per_second": passage.lane_steps / passage.wall_time,
                **cost,
            }
        )
    return {"population": rows}


def stationary(quick: bool) -> dict[str, Any]:
    """(η, J, Δ, D) from 10⁵ rates: coverage of 95 % intervals, seconds; SciPy's BFGS on the same law from a start nearby."""
    sets, samples = random_sets(4 if quick else 20, seed=1), 2000 if quick else 100_000
    inside, seconds, theirs, gaps = [], [], [], []
    for k, (eta, J, Delta, D) in enumerate(sets.T):
        truth = {"eta": eta, "J": J, "Delta": Delta, "noise": D}
        r = np.asarray(nmm.boltzmann(nmm.MPR(eta=eta, J=J, Delta=Delta), D).sample(jax.random.key(k), (samples,)).r)
        nmm.fit_stationary(r)
        begin = time.perf_counter()
        fitted = nmm.fit_stationary(r)
        seconds.append(time.perf_counter() - begin)
        interval = fitted.interval(0.95)
        inside += [bool(interval[name][0] <= value <= interval[name][1]) for name, value in truth.items()]
        if k < 3:
            begin = time.perf_counter()
            loss = _binned(r)
            best = minimize(loss, [eta + 0.5, J + 0.5, np.log(1.2 * Delta), np.log(1.2 * D)], method="BFGS")
            theirs.append(time.perf_counter() - begin)
            found = [float(each) for each in (fitted.eta, fitted.J, fitted.Delta, fitted.intensity)]
            mine = np.array([*found[:2], *np.log(found[2:])])
            gaps.append(float(best.fun - loss(mine)))
    return {
        "samples": samples,
        "sets": sets.shape[1],
        "coverage": float(np.mean(inside)),
        "seconds_median": float(np.median(seconds)),
        "seconds_minimum": float(np.min(seconds)),
        "scipy_seconds": theirs,
        "scipy_loss_less_ours": gaps,
    }


def _binned(r: np.ndarray) -> Any:
    """−ln likelihood of binned rates as SciPy's user would write it: trapezoids on a grid."""
    edges = np.quantile(r, np.linspace(0, 1, 101))
    edges[0], edges[-1] = edges[0] * 0.5, edges[-1] * 2
    counts, _ = np.histogram(r, edges)
    grid = np.concatenate([np.geomspace(a, b, 21)[:-1] for a, b in pairwise(edges)] + [edges[-1:]])

    def loss(z: np.ndarray) -> float:
        eta, J, Delta, D = z[0], z[1], np.exp(z[2]), np.exp(z[3])
        V = eta / grid + np.pi**2 * grid - J * np.log(grid) + Delta**2 / (12 * np.pi**2 * grid**3)
        log_p = -1.5 * np.log(grid) - V * Delta / (np.pi * D)
        p = np.exp(log_p - log_p.max())
        mass = np.add.reduceat((p[1:] + p[:-1]) / 2 * np.diff(grid), np.arange(0, grid.size - 1, 20))
        return float(-np.sum(counts * np.log(np.maximum(mass / mass.sum(), 1e-300))))

    return loss


def main() -> None:
    options = arguments(__doc__.splitlines()[0], ROWS)
    jax.config.update("jax_enable_x64", True)
    makers = {"moments": moments, "jarzynski": jarzynski, "escape": escape, "stationary": stationary}
    rows = [{"row": name} | makers[name](options.quick) for name in ROWS if name in options.only]
    write("noise", options, rows)


if __name__ == "__main__":
    main()
