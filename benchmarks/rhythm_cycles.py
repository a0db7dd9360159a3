"""Cycle branches, phase responses and period doublings against AUTO, JaxCont and SciPy.

Section `cycles`: the branches of ING over Δ and of PING over the input of e (`validation.py` draws them over AUTO's), with
their first call, a second one, and AUTO's branch of fixed points and cycles together, from its process's own clock.

Section `phase_response`: ING at η = 4, J = −21, τ_s = 0.5. A tool gets a cycle near Δ (ours: interpolated on its branch, the
others': one percent of Δ away), solves for the cycle at Δ and gives Z; many values of Δ from 0.15 to 0.44 in one vmap.
JaxCont's are `differentiable_root` on `periodic_orbit_problem` and `prc_curve`, the parts of its documentation that can be
batched. The error of a lane is the largest |Z − Z_ref| over the largest |Z_ref|, at phases from the tool's own first point
on; reference: shooting and the adjoint with DOP853 at rtol 1e-12. Every tool runs at the fewest intervals whose largest
error meets the limit. SciPy's own row is that reference at a larger rtol, value by value.

Section `doubling`: the first period doubling of Rössler's system, b = 0.2, c = 2.832445, over a; at a = 0.2 by the
literature.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import nmmjax as nmm
from benchmarks import validation
from benchmarks.record import arguments, write
from nmmjax._optional import optional
from nmmjax.branches.collocation import orbit_at

GOAL = 5.0
DELTAS = np.linspace(0.15, 0.44, 20)
SEED = 1.01  # how far the cycles are from which JaxCont and SciPy start
ETA, J, TAU_S = 4.0, -21.0, 0.5


def seconds(call: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """The shortest of several runs, since other programs only ever add to it, and the result."""
    taken, found = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        found = jax.block_until_ready(call())
        taken.append(time.perf_counter() - start)
    return min(taken), found


def cycles(quick: bool) -> list[dict[str, Any]]:
    rows = []
    for name in ("ing",) if quick else ("ing", "ping"):
        circuit = validation.RHYTHMS[name]
        intervals = {"ing": 48, "ping": 32}[name]
        first, (again, branch) = seconds(circuit.branch)[0], seconds(circuit.branch)
        (_, points), auto = min((circuit.auto(intervals) for _ in range(3)), key=lambda each: each[1])
        row: dict[str, Any] = {"section": "cycles", "circuit": name, "intervals": intervals, "points": int(branch.count)}
        row |= {"ours_first_seconds": first, "ours_again_seconds": again, "auto_seconds": auto, "auto_points": len(points)}
        row |= {"ours_over_auto": again / auto, "largest_differences": validation.rhythm(name, branch)["largest"]}
        rows.append(row)
    return rows


def field(y: Any, Delta: Any, _: Any = None) -> Any:
    """The equations once more, as JaxCont wants them."""
    r, v, s = y
    return jnp.stack([Delta / jnp.pi + 2 * r * v, v**2 + ETA + J * s - (jnp.pi * r) ** 2, (r - s) / TAU_S])


def scipys(start: np.ndarray, period: float, Delta: float, rtol: float, phases: np.ndarray) -> tuple[float, np.ndarray]:
    """Period and Z at `phases` from the cycle's point next to `start`, by shooting and the adjoint backwards."""

    def flow(y: np.ndarray) -> np.ndarray:
        r, v, s = y
        return np.array([Delta / np.pi + 2 * r * v, v**2 + ETA + J * s - (np.pi * r) ** 2, (r - s) / TAU_S])

    def jacobian(y: np.ndarray) -> np.ndarray:
        r, v, _ = y
        return np.array([[2 * v, 2 * r, 0], [-2 * np.pi**2 * r, 2 * v, J], [1 / TAU_S, 0, -1 / TAU_S]])

    def both(_: float, w: np.ndarray) -> np.ndarray:
        return np.concatenate([flow(w[:3]), (jacobian(w[:3]) @ w[3:].reshape(3, 3)).ravel()])

    settings = {"method": "DOP853", "rtol": rtol, "atol": rtol / 10}
    y, along = start.copy(), flow(start)
    for _ in range(8):
        run = solve_ivp(both, (0, period), np.concatenate([y, np.eye(3).ravel()]), dense_output=True, **settings)
        end, M = run.y[:3, -1], run.y[3:, -1].reshape(3, 3)
        matrix = np.block([[M - np.eye(3), flow(end)[:, None]], [along[None], np.zeros((1, 1))]])
        step = np.linalg.solve(matrix, np.append(end - y, along @ (y - start)))
        y, period = y - step[:3], period - step[3]
        if np.abs(step).max() < max(10 * rtol, 1e-11):
            break
    border = np.block([[M.T - np.eye(3), flow(y)[:, None]], [flow(y)[None], np.zeros((1, 1))]])
    Z = np.linalg.solve(border, [0, 0, 0, 1])[:3]
    back = solve_ivp(
        lambda t, z: -jacobian(run.sol(t)[:3]).T @ z,
        (period, 0),
        Z,
        t_eval=np.append(1.0, phases[::-1]) * period,
        **settings,
    )
    return period, back.y.T[:0:-1]


def branch(intervals: int) -> Any:
    ing = nmm.MPR(eta=ETA, J=J, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=TAU_S))
    hopf = nmm.find_hopf(ing, "Delta", {"r": 0.18, "v": -0.41, "s": 0.18})
    return nmm.continue_cycle(hopf, (0.12, 0.9), intervals=intervals, max_step=0.2)


def ours(intervals: int) -> Callable[[Any], Any]:
    """Δ to (period, first point, Z at equal phases) of many cycles, compiled; the branch isn't timed."""
    cycles, phases = branch(intervals), jnp.arange(32) / 32

    def one(Delta: Any) -> Any:
        found = nmm.phase_response(cycles, at=Delta)
        start = jnp.stack([getattr(found.state, name)[0] for name in "rvs"])
        Z = found.at(phases)
        return found.period, start, jnp.stack([getattr(Z, name) for name in "rvs"], axis=-1)

    return jax.jit(jax.vmap(one))


def jaxconts(intervals: int, seeds: Any, degree: int = 4) -> Callable[[Any], Any]:
    """The same by JaxCont, on `seeds`: (values, mesh, period) of a cycle near each Δ."""
    optional("jaxcont", "bench")
    from jaxcont.core.collocation import Collocation, gauss_legendre_01
    from jaxcont.problems.periodic import periodic_orbit_problem
    from jaxcont.solvers.implicit import differentiable_root
    from jaxcont.stability.prc import prc_curve

    mesh, k = Collocation(intervals, degree), jnp.arange(intervals)
    gauss = jnp.asarray(gauss_legendre_01(degree)[0])
    times = jnp.concatenate([k / intervals, ((k[:, None] + gauss) / intervals).ravel()])
    values, period = seeds[0][0], float(seeds[2][0])
    fine = jnp.linspace(0, 1, 2001)
    orbit = orbit_at(values, seeds[1][0], fine)
    problem = periodic_orbit_problem(field, orbit, fine * period, period, float(DELTAS[0] * SEED), mesh)

    def one(Delta: Any, values: Any, nodes: Any, period: Any) -> Any:
        near = orbit_at(values, nodes, times)
        points = near[intervals:].reshape(intervals, degree, 3)
        slopes = jax.vmap(jax.vmap(lambda u: field(u, Delta)))(points)
        args = points, slopes, field, mesh
        U = differentiable_root(lambda U, p: problem.f(U, p, args), jnp.append(near.ravel(), period), Delta, tol=1e-9)
        return U[-1], U[:3], prc_curve(field, mesh, U, Delta) * U[-1] / (2 * jnp.pi)  # theirs is per radian

    compiled = jax.jit(jax.vmap(one))
    return lambda Deltas: compiled(Deltas, *(each[: Deltas.size] for each in seeds))


def error(found: Any, Deltas: np.ndarray) -> float:
    """The largest error of Z over lanes, relative to its largest value."""
    worst = []
    for Delta, period, start, Z in zip(Deltas, *map(np.asarray, found), strict=True):
        _, exact = scipys(start, float(period), float(Delta), 1e-12, np.arange(len(Z)) / len(Z))
        worst.append(np.abs(Z - exact).max() / np.abs(exact).max())
    return float(np.where(np.isfinite(worst), worst, np.inf).max())


def phase_response(quick: bool) -> list[dict[str, Any]]:
    """The fewest intervals that meet the limit, then times per cycle."""
    seeds_of = branch(40)
    near = jax.lax.map(lambda at: nmm.phase_response(seeds_of, at=at), jnp.asarray(DELTAS * SEED))
    values = jnp.stack([getattr(near.state, name)[:, :-1] for name in "rvs"], axis=-1)
    seeds = values, near.phase[:, :: near.degree], near.period
    some = jnp.asarray(DELTAS[:: len(DELTAS) // 5])
    few = tuple(each[:: len(DELTAS) // 5] for each in seeds)
    limit, best, scans = 1e-4, {}, {}
    for name, sizes in {"ours": (16, 20, 24, 32), "jaxcont": (32, 48, 64, 80)}.items():
        scans[name] = []
        for intervals in sizes:
            call = ours(intervals) if name == "ours" else jaxconts(intervals, few)
            wrong = error(call(some), np.asarray(some))
            scans[name].append({"intervals": intervals, "error": wrong})
            print(name, intervals, f"{wrong:.2e}", flush=True)
            if wrong <= limit:
                best[name] = {"intervals": intervals, "error": wrong}
                break
    lanes, Deltas = {"ours": 40 if quick else 1000, "jaxcont": 8 if quick else 20}, jnp.asarray(DELTAS)
    row: dict[str, Any] = {"section": "phase_response", "limit": limit, "scans": scans}
    calls = {"ours": ours(best["ours"]["intervals"]), "jaxcont": jaxconts(best["jaxcont"]["intervals"], seeds)}
    for name, call in calls.items():
        inputs = jnp.linspace(DELTAS[0], DELTAS[-1], lanes[name]) if name == "ours" else Deltas[: lanes[name]]
        first = seconds(lambda call=call, inputs=inputs: call(inputs))[0]
        again = seconds(lambda call=call, inputs=inputs: call(inputs), 2)[0]
        row |= {f"{name}_{key}": value for key, value in best[name].items()}
        row |= {
            f"{name}_lanes": lanes[name],
            f"{name}_first_seconds": first,
            f"{name}_seconds_per_cycle": again / lanes[name],
        }
    start, period = np.asarray(values[0, 0]), float(near.period[0])
    for rtol in (1e-5, 1e-6, 1e-7, 1e-8):
        one = lambda rtol=rtol: scipys(start, period, float(DELTAS[0]), rtol, np.arange(32) / 32)[1]
        exact = scipys(start, period, float(DELTAS[0]), 1e-12, np.arange(32) / 32)[1]
        wrong = np.abs(one() - exact).max() / np.abs(exact).max()
        if wrong <= limit:
            row |= {"scipy_rtol": rtol, "scipy_error": float(wrong), "scipy_seconds_per_cycle": seconds(one, 3)[0]}
            break
    for name in ("jaxcont", "scipy"):
        row[f"{name}_over_ours"] = row[f"{name}_seconds_per_cycle"] / row["ours_seconds_per_cycle"]
    row["what"] = f"cycles with phase responses, 1000 at once, at error {limit:g}: times faster than JaxCont, per cycle"
    row |= {"measured": f"{row['jaxcont_over_ours']:.3g}", "must": f"≥ {GOAL:g}", "met": row["jaxcont_over_ours"] >= GOAL}
    return [row]


def rossler(y: Any, p: Any) -> Any:
    return jnp.stack([-y[1] - y[2], y[0] + p["a"] * y[1], 0.2 + y[2] * (y[0] - 2.832445)])


def doubling(quick: bool) -> list[dict[str, Any]]:
    """Where a doubles the period, by both; the literature's c has six decimals."""
    jaxcont = optional("jaxcont", "bench")
    from jaxcont.core.collocation import Collocation
    from jaxcont.problems.periodic import periodic_orbit_problem

    z = (2.832445 - np.sqrt(2.832445**2 - 4 * 0.02 * 0.2)) / (2 * 0.02)
    hopf = nmm.find_hopf(rossler, "a", [0.02 * z, -z, z], {"a": 0.02})
    run = lambda: nmm.continue_cycle(hopf, (-0.05, 0.25), max_step=0.2)
    (first, _), (again, cycles) = seconds(run), seconds(run)
    point = cycles.doublings[0]
    near = nmm.phase_response(cycles, at=0.17)
    fine = jnp.linspace(0, 1, 2001)
    orbit = orbit_at(near.state[:-1], near.phase[:: near.degree], fine)
    row: dict[str, Any] = {"section": "doubling", "ours": float(point.parameter), "ours_first_seconds": first}
    row |= {"ours_again_seconds": again, "ours_points": int(cycles.count), "literature": 0.2}
    for intervals in (20,) if quick else (20, 40):
        mesh = Collocation(intervals, 4)
        plain = lambda u, p, _: rossler(u, {"a": p})
        problem = periodic_orbit_problem(plain, orbit, fine * near.period, float(near.period), 0.17, mesh)
        settings = jaxcont.ContinuationPar(ds=0.01, ds_max=0.5, max_steps=40, newton_tol=1e-8)
        event = jaxcont.PeriodDoubling(raw_f=plain, mesh=mesh)
        start = time.perf_counter()
        found = jaxcont.continuation(problem, p_span=(0.17, 0.22), settings=settings, events=[event])
        row[f"jaxcont_{intervals}_seconds"] = time.perf_counter() - start
        places = [each.p for each in found.events if each.kind == "period_doubling"]
        row[f"jaxcont_{intervals}"] = places[0] if places else None
        row[f"difference_{intervals}"] = abs(places[0] - row["ours"]) if places else None
    return [row]


SECTIONS = {"cycles": cycles, "phase_response": phase_response, "doubling": doubling}


def main() -> None:
    options = arguments((__doc__ or "").splitlines()[0], list(SECTIONS))
    jax.config.update("jax_enable_x64", True)
    for name in options.only:
        write(f"rhythm_{name}", options, SECTIONS[name](options.quick), note="other programs ran beside: read ratios")


if __name__ == "__main__":
    main()
