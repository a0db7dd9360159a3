"""Sweeps against the tools that people would use instead: the table of ratios, with the error beside every time.

The ensemble: populations with random (η, J, Δ), all from one state to t = 50; the error of a lane is relative to a reference
of 1e-13; throughput is in time units of all lanes together per second. Every tool runs in a process of its own, warmed up;
those that are compared take turns, and ratios are those of the medians (of the fastest runs in brackets).
"""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from record import arguments, machine, write
from reference import (
    Noisy,
    ensemble,
    quantiles,
    reference,
    reference_gradient,
    relative_error,
    relative_error_of_gradient,
)
from workers import Answer, UnavailableError, Worker

FOLDER = pathlib.Path(__file__).parent
ON_CPU = {"JAX_PLATFORMS": "cpu"}
OURS = "nmmjax"
ONE_RUN = "nmmjax, one run"  # at predicted steps, without the second run that estimates the error
_TURNS_SECONDS = 25.0  # about how long those compared take turns, at least three times each


@dataclasses.dataclass(frozen=True)
class Tool:
    """A function of ours.py or rivals.py to be asked for its settings; `worker` names the process it lives in."""

    name: str
    worker: str
    function: str
    setting: str
    settings: tuple[float, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


WORKERS: dict[str, dict[str, Any]] = {
    "ours": {"module": "ours", "environment": ON_CPU},
    "ours32": {"module": "ours", "environment": ON_CPU, "x64": False},
    "diffrax": {"module": "rivals", "environment": ON_CPU},
    "heyoka": {"module": "rivals", "environment": ON_CPU},
    "vbjax": {"module": "rivals", "environment": ON_CPU, "first": "vbjax"},
    "gradsolve": {"module": "rivals", "environment": ON_CPU},
    "c": {"module": "rivals", "environment": ON_CPU},
    "ours on the GPU": {"module": "ours"},
    "diffrax on the GPU": {"module": "rivals"},
}


def half_decades(first: float, last: float) -> tuple[float, ...]:
    """From 10^first down to 10^last."""
    return tuple(float(f"{10.0**e:.3g}") for e in np.arange(first, last - 0.25, -0.5))


class Session:
    """Options, the processes in use, and what the table says so far."""

    def __init__(self, options: Any):
        self.options, self.quick = options, options.quick
        self.table: list[dict[str, Any]] = []
        self.written = 0  # how many of the table's rows are in files already
        self._workers: dict[str, Worker] = {}
        self._unavailable: set[str] = set()

    def ask(self, tool: Tool, setting: float, *args: Any, **kwargs: Any) -> Answer | None:
        """One timed run; None, with one line said once, where the tool cannot run."""
        try:
            if tool.worker not in self._workers or not self._workers[tool.worker].alive:
                self._workers[tool.worker] = Worker(**WORKERS[tool.worker])
            patience = 60.0 if self.quick else 300.0
            return self._workers[tool.worker](patience, tool.function, *args, setting, **tool.options, **kwargs)
        except UnavailableError as reason:
            if tool.name not in self._unavailable:
                print(f"{tool.name}: {reason}", flush=True)
            self._unavailable.add(tool.name)
            return None
        except RuntimeError as failure:
            print(f"{tool.name} at {tool.setting} {setting:g} failed: {str(failure).strip().splitlines()[-1]}", flush=True)
            return None

    def release(self, *names: str) -> None:
        """End processes that are no longer needed (all, if none is named): their memory and threads go."""
        for name in names or tuple(self._workers):
            if name in self._workers:
                self._workers.pop(name).close()

    def say(self, what: str, measured: str, must: str, met: bool | None, **numbers: Any) -> None:
        """Add a row to the table."""
        self.table.append({"what": what, "measured": measured, "must": must, "met": met, **numbers})
        print(f"{what}: {measured}" + (f" (must reach {must}: {'met' if met else 'NOT met'})" if must else ""), flush=True)


def scan(
    session: Session, tools: Iterable[Tool], problem: Any, error: Callable[[Any], np.ndarray], work: float
) -> list[dict]:
    """Work–precision of every tool at every setting: seconds (the faster of two runs), throughput, errors."""
    rows = []
    for tool in tools:
        settings = tool.settings[:: max(1, len(tool.settings) // 3)] if session.quick else tool.settings
        for setting in settings:
            first = session.ask(tool, setting, problem)
            again = None if first is None else session.ask(tool, setting, problem)
            if first is None or again is None:
                break
            seconds = min(first.seconds, again.seconds)
            rows.append(
                {
                    "tool": tool.name,
                    tool.setting: setting,
                    "setting": setting,
                    "seconds": seconds,
                    "time_units_per_second": work / seconds,
                    **quantiles(error(first.value)),
                }
            )
            _show(rows[-1])
    return rows


def _show(row: dict[str, Any]) -> None:
    print(
        "  " + "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in row.items() if k != "setting"),
        flush=True,
    )


def cheapest(rows: Sequence[dict], tool: str, limit: float) -> dict | None:
    """The tool's fastest setting whose 95th percentile meets the limit."""
    good = [row for row in rows if row["tool"] == tool and row["error_p95"] <= limit]
    return min(good, key=lambda row: row["seconds"], default=None)


def take_turns(session: Session, runs: dict[str, Callable[[], Answer | None]]) -> dict[str, dict[str, Any]]:
    """Minimum and median seconds of each, run in turn several times; those that cannot run are left out."""
    first = {name: run() for name, run in runs.items()}
    answers: dict[str, list[Answer]] = {name: [each] for name, each in first.items() if each is not None}
    round_of_all = sum(found[0].seconds for found in answers.values())
    least, most = (1, 2) if session.quick else (3, 9)
    for _ in range(int(np.clip(_TURNS_SECONDS / max(round_of_all, 1e-9), least, most)) - 1):
        for name, found in answers.items():
            again = runs[name]()
            if again is not None:
                found.append(again)
    return {
        name: {
            "seconds_min": min(each.seconds for each in found),
            "seconds_median": statistics.median(each.seconds for each in found),
            "repeats": len(found),
            "value": found[-1].value,
            "steps": found[-1].steps,
        }
        for name, found in answers.items()
    }


def ratios(slow: dict[str, Any], fast: dict[str, Any]) -> tuple[float, float]:
    """How many times faster, by medians and by minima."""
    return slow["seconds_median"] / fast["seconds_median"], slow["seconds_min"] / fast["seconds_min"]


def millions(number: float) -> str:
    return f"{number / 1e6:.3g} M"


# The rows


def _sweep_tools() -> list[Tool]:
    return [
        Tool(OURS, "ours", "sweep", "rtol", tuple(float(f"{2 * each:.3g}") for each in half_decades(-2, -10.5))),
        Tool(ONE_RUN, "ours", "predicted", "rtol", tuple(float(f"{1.5 * each:.3g}") for each in half_decades(-3, -9))),
        Tool("diffrax Tsit5", "diffrax", "diffrax", "rtol", half_decades(-6, -8), {"solver": "Tsit5"}),
        Tool("diffrax Dopri8", "diffrax", "diffrax", "rtol", half_decades(-5.5, -10), {"solver": "Dopri8"}),
        Tool("heyoka", "heyoka", "heyoka", "tol", half_decades(-3, -12)),
        Tool(
            "vbjax RK4",
            "vbjax",
            "vbjax",
            "h",
            (0.014, 0.007, 0.005, 0.0025, 0.0012, 0.0006),
        ),
        Tool("gradsolve", "gradsolve", "gradsolve", "rtol", half_decades(-6, -8.5)),
    ]


def sweep(session: Session) -> None:
    """Work and precision of final states, and the ratios at p95 ≤ 1e-5 and ≤ 1e-9."""
    problem = ensemble(512 if session.quick else 4096)
    exact = reference(problem)
    tools = {tool.name: tool for tool in _sweep_tools()}
    rows = scan(session, tools.values(), problem, lambda value: relative_error(value, exact), problem.work)
    # A sweep is large, and its cost per lane falls until some 50 000; that of the rivals doesn't, and their time is long.
    large, own_names = ensemble(1024 if session.quick else 65536), (OURS, ONE_RUN)
    must = {(1e-5, "diffrax Tsit5"): 150.0, (1e-5, "heyoka"): 15.0, (1e-9, "heyoka"): 3.0}
    turns = []
    for limit in (1e-5, 1e-9):
        chosen = {name: cheapest(rows, name, limit) for name in tools}
        for name in [name for name, row in chosen.items() if row is None]:
            print(f"{name} reaches p95 ≤ {limit:g} at none of its settings here.")
        runs = {
            name: (
                lambda name=name, row=row: session.ask(tools[name], row["setting"], large if name in own_names else problem)
            )
            for name, row in chosen.items()
            if row is not None
        }
        measured = take_turns(session, runs)
        for name, each in measured.items():
            if name in own_names:  # as many seconds as for the rivals' number of lanes
                each |= {key: each[key] * problem.lanes / large.lanes for key in ("seconds_min", "seconds_median")}
            each |= {"error_p95": chosen[name]["error_p95"], "setting": chosen[name]["setting"]}
            each |= {
                "error_median": chosen[name]["error_median"],
                "time_units_per_second": problem.work / each["seconds_median"],
            }
            turns.append({"limit": limit, "tool": name, **_without_value(each)})
        pairs = [
            (own, name) for name in measured for own in (OURS, ONE_RUN) if own in measured and name not in (OURS, ONE_RUN)
        ]
        for own, name in pairs:
            ours, each = measured[own], measured[name]
            by_median, by_minimum = ratios(each, ours)
            least = must.get((limit, name))
            session.say(
                f"MPR sweep at p95 ≤ {limit:g}{own.removeprefix(OURS)}, against {_of(tools[name], each)}",
                f"{by_median:.3g}× [{by_minimum:.3g}×]: {millions(ours['time_units_per_second'])} time units/s at p95 "
                f"{ours['error_p95']:.1e} against {millions(each['time_units_per_second'])} at {each['error_p95']:.1e}",
                f"≥ {least:g}×" if least else "",
                by_median >= least if least else None,
                ratio_of_medians=by_median,
                ratio_of_minima=by_minimum,
            )
    path = _write(session, "sweep", rows, turns=turns, lanes=problem.lanes, our_lanes_in_turns=large.lanes, t1=problem.t1)
    _plot_work_precision(path, rows, f"{problem.lanes} populations, t = {problem.t1:g}, float64")


def _of(tool: Tool, each: dict[str, Any]) -> str:
    return f"{tool.name} ({tool.setting} {each['setting']:g})"


def _without_value(each: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in each.items() if name != "value"}


def adaptive(session: Session) -> None:
    """The path for any model, adaptive Runge–Kutta, against the vmapped solver of the same name at the same tolerance."""
    problem = ensemble(512 if session.quick else 4096)
    exact = reference(problem)
    rows, found = [], {}
    for solver in ("Tsit5", "Dopri8"):
        pair = {
            OURS: Tool(f"{OURS} {solver}", "ours", "adaptive", "rtol", (), {"solver": solver}),
            "diffrax": Tool(f"diffrax {solver}", "diffrax", "diffrax", "rtol", (), {"solver": solver}),
        }
        for tol in (1e-6,) if session.quick else (1e-4, 1e-6, 1e-8):
            measured = take_turns(
                session, {name: (lambda tool=tool, tol=tol: session.ask(tool, tol, problem)) for name, tool in pair.items()}
            )
            for name, each in measured.items():
                errors = quantiles(relative_error(each["value"], exact))
                speed = problem.work / each["seconds_median"]
                rows.append(
                    {"tool": pair[name].name, "rtol": tol, **errors, "time_units_per_second": speed, **_without_value(each)}
                )
                _show(rows[-1])
            if len(measured) == 2:
                found[solver, tol] = ratios(measured["diffrax"], measured[OURS])
    if found:
        (solver, tol), (by_median, by_minimum) = min(found.items(), key=lambda item: item[1][0])
        some = ", ".join(f"{name} {tol:g}: {ratio:.3g}×" for (name, tol), (ratio, _) in found.items())
        session.say(
            "any model (adaptive Runge–Kutta) at equal tolerance, against vmapped diffrax",
            f"{by_median:.3g}× [{by_minimum:.3g}×] at least ({solver}, rtol {tol:g}); {some}",
            "≥ 6×",
            by_median >= 6,
            ratio_of_medians=by_median,
            ratio_of_minima=by_minimum,
        )
    path = _write(session, "adaptive", rows, lanes=problem.lanes, t1=problem.t1)
    _plot_work_precision(path, rows, "adaptive Runge–Kutta at rtol 1e-4, 1e-6, 1e-8")


def share(session: Session) -> None:
    """Lane-steps per second of the splitting in equal steps, against the same scheme in C on all cores."""
    problem, h = ensemble(1024 if session.quick else 16384), 0.0125
    exact = reference(problem.part(slice(0, 512)))
    rows, fractions = [], {}
    for dtype, worker in (("float64", "ours"), ("float32", "ours32")):
        mine = Tool(OURS, worker, "fixed", "h", ())
        loop = Tool("C loop", "c", "c_loop", "steps", (), {"dtype": dtype})
        steps = round(problem.t1 / h)
        measured = take_turns(
            session,
            {
                OURS: lambda mine=mine: session.ask(mine, h, problem),
                "C loop": lambda loop=loop, steps=steps: session.ask(loop, steps, problem),
            },
        )
        for name, each in measured.items():
            errors = quantiles(relative_error([part[:512] for part in each["value"]], exact))
            each["rate"] = each["steps"] / each["seconds_median"]
            rows.append(
                {
                    "tool": name,
                    "dtype": dtype,
                    "lane_steps_per_second": each["rate"],
                    "largest": each["steps"] / each["seconds_min"],
                    **errors,
                    **_without_value(each),
                }
            )
            _show(rows[-1])
        if len(measured) == 2:
            fraction = measured[OURS]["rate"] / measured["C loop"]["rate"]
            fastest = rows[-2]["largest"] / rows[-1]["largest"]
            fractions[dtype] = fraction
            session.say(
                f"share of the hand-written C loop, {dtype}",
                f"{fraction:.0%} [{fastest:.0%}]: {millions(measured[OURS]['rate'])} lane-steps/s against "
                f"{millions(measured['C loop']['rate'])}, p95 {rows[-2]['error_p95']:.1e} and {rows[-1]['error_p95']:.1e}",
                "≥ 60 %",
                fraction >= 0.6,
                share_of_medians=fraction,
                share_of_minima=fastest,
            )
    session.release("ours32", "c")
    path = _write(session, "share", rows, dtype="float64 and float32", lanes=problem.lanes, h=h)
    _plot_bars(path, [(f"{row['tool']}\n{row['dtype']}", row["lane_steps_per_second"]) for row in rows], "lane-steps/s")


def noise(session: Session) -> None:
    """SDE steps per second, and time units per second at equal weak error: bias of ⟨r⟩ against the exact Boltzmann law."""
    problem = Noisy()
    exact = problem.mean_rate()
    limit = 2e-2 if session.quick else 5e-3
    lanes, t1, discard = (2048, 60.0, 10.0) if session.quick else (16384, 110.0, 10.0)
    steps = (0.4, 0.28, 0.2, 0.14, 0.1, 0.07, 0.05, 0.035, 0.025, 0.0175, 0.0125)
    mine, heun = Tool(OURS, "ours", "noise", "h", steps), Tool("vbjax Heun", "vbjax", "vbjax_noise", "h", steps)
    rows: list[dict] = []
    for tool in (mine, heun):
        for h in (0.2, 0.05) if session.quick else tool.settings:
            answer = session.ask(tool, h, problem, lanes, t1, discard=discard)
            if answer is None:
                break
            lane_means = np.asarray(answer.value, dtype=np.float64)
            with np.errstate(all="ignore"):
                bias, spread = abs(lane_means.mean() - exact) / exact, lane_means.std() / np.sqrt(lanes) / exact
            bias = float(bias) if np.isfinite(bias) else float("inf")
            rows.append(
                {"tool": tool.name, "h": h, "error": bias, "standard_error": float(spread), "seconds": answer.seconds}
            )
            rows[-1] |= {"time_units_per_second": lanes * t1 / answer.seconds, "error_p95": bias}
            _show(rows[-1])
    turns: list[dict] = []
    best = {}
    for tool in (mine, heun):
        good = [row for row in rows if row["tool"] == tool.name and row["error"] + 2 * row["standard_error"] <= limit]
        best[tool.name] = max((row["h"] for row in good), default=None)
    if all(best.values()):
        reused = Tool("vbjax Heun, noise not drawn", "vbjax", "vbjax_noise", "h", (), {"draw": False})
        size = lanes, 50.0
        runs = {
            OURS: lambda: session.ask(mine, best[OURS], problem, *size),
            heun.name: lambda: session.ask(heun, best[heun.name], problem, *size),
            reused.name: lambda: session.ask(reused, best[heun.name], problem, *size),
        }
        measured = take_turns(session, runs)
        bias = {
            name: next(row["error"] for row in rows if row["tool"] == name and row["h"] == h) for name, h in best.items()
        }
        for name, each in measured.items():
            turns.append({"tool": name, "lanes": size[0], "t1": size[1], **_without_value(each)})
        for name in (heun.name, reused.name):
            by_median, by_minimum = ratios(measured[name], measured[OURS])
            session.say(
                f"SDE at equal weak error (⟨r⟩ within {limit:g}), against {name}",
                f"{by_median:.3g}× [{by_minimum:.3g}×] at h = {best[OURS]:g} (bias {bias[OURS]:.1e}) against "
                f"h = {best[heun.name]:g} ({bias[heun.name]:.1e})",
                "≥ 3×" if name == heun.name else "",
                by_median >= 3 if name == heun.name else None,
                ratio_of_medians=by_median,
                ratio_of_minima=by_minimum,
            )
    h, size = 0.02, (512, 5.0) if session.quick else (4096, 10.0)
    tree = Tool("diffrax Heun", "diffrax", "diffrax_noise", "h", ())
    last = Tool(OURS, "ours", "noise", "h", (), {"final": True})
    measured = take_turns(
        session,
        {OURS: lambda: session.ask(last, h, problem, *size), tree.name: lambda: session.ask(tree, h, problem, *size)},
    )
    total = size[0] * size[1] / h
    for name, each in measured.items():
        turns.append({"tool": name, "h": h, "steps_per_second": total / each["seconds_median"], **_without_value(each)})
        _show(turns[-1])
    if len(measured) == 2:
        by_median, by_minimum = ratios(measured[tree.name], measured[OURS])
        session.say(
            "SDE steps, against diffrax Heun with a virtual Brownian tree",
            f"{by_median:.3g}× [{by_minimum:.3g}×]: {millions(total / measured[OURS]['seconds_median'])} steps/s against "
            f"{millions(total / measured[tree.name]['seconds_median'])}, h = {h}",
            "≥ 100×",
            by_median >= 100,
            ratio_of_medians=by_median,
            ratio_of_minima=by_minimum,
        )
    path = _write(
        session, "noise", rows, turns=turns, exact_mean_rate=exact, lanes=lanes, t1=t1, **dataclasses.asdict(problem)
    )
    _plot_work_precision(
        path, rows, "noisy populations: time units/s against the bias of ⟨r⟩", error="bias of ⟨r⟩ (relative)"
    )


def gradient(session: Session) -> None:
    """Final rate and its gradient in (η, J, Δ): against our forward solve, and against reverse mode at equal accuracy."""
    problem = ensemble(128 if session.quick else 1024)  # reverse mode through diffrax is slow
    exact, limit = reference_gradient(problem), 1e-4
    mine = Tool(OURS, "ours", "gradient", "rtol", half_decades(-3, -8))
    plain = Tool(f"{OURS} forward", "ours", "forward_of_gradient", "rtol", ())
    rivals = [
        Tool("diffrax Tsit5, reverse mode", "diffrax", "diffrax_gradient", "rtol", half_decades(-7, -8)),
        Tool(
            "diffrax Dopri8, reverse mode", "diffrax", "diffrax_gradient", "rtol", half_decades(-6, -7), {"solver": "Dopri8"}
        ),
        Tool("gradsolve, record and replay", "gradsolve", "gradsolve_gradient", "rtol", (1e-7, 7e-8, 5e-8, 3e-8)),
    ]
    tools = {tool.name: tool for tool in (mine, *rivals)}
    rows = scan(
        session,
        tools.values(),
        problem,
        lambda value: relative_error_of_gradient(np.stack([np.asarray(each, np.float64) for each in value[1]]), exact),
        problem.work,
    )
    chosen = {name: row for name in tools if (row := cheapest(rows, name, limit)) is not None}
    runs = {
        name: (lambda name=name, row=row: session.ask(tools[name], row["setting"], problem)) for name, row in chosen.items()
    }
    if OURS in chosen:
        runs[plain.name] = lambda: session.ask(plain, chosen[OURS]["setting"], problem)
    measured = take_turns(session, runs)
    turns = [{"tool": name, **_without_value(each)} for name, each in measured.items()]
    if {OURS, plain.name} <= set(measured):
        cost, least = ratios(measured[OURS], measured[plain.name])
        session.say(
            "value and gradient in 3 parameters, against our forward solve",
            f"{cost:.3g}× [{least:.3g}×] its time, gradients' p95 {chosen[OURS]['error_p95']:.1e}",
            "≤ 5×",
            cost <= 5,
            ratio_of_medians=cost,
            ratio_of_minima=least,
        )
        for tool in rivals:
            if tool.name not in measured:
                continue
            by_median, by_minimum = ratios(measured[tool.name], measured[OURS])
            must = tool.name == rivals[0].name
            session.say(
                f"value and gradient at p95 ≤ {limit:g}, against {tool.name}",
                f"{by_median:.3g}× [{by_minimum:.3g}×], p95 {chosen[OURS]['error_p95']:.1e} and "
                f"{chosen[tool.name]['error_p95']:.1e}",
                "≥ 20×" if must else "",
                by_median >= 20 if must else None,
                ratio_of_medians=by_median,
                ratio_of_minima=by_minimum,
            )
    path = _write(session, "gradient", rows, turns=turns, lanes=problem.lanes, t1=problem.t1)
    _plot_work_precision(path, rows, "gradients of the final rate in (η, J, Δ)")


def lanes(session: Session) -> None:
    """Peak memory and time from 10³ to 10⁶ lanes with four observables, each size in a fresh process."""
    sizes = (1_000, 4_000) if session.quick else (1_000, 10_000, 100_000, 1_000_000)
    session.release()
    rows = []
    paths = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | ON_CPU | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    for size in sizes:
        command = [sys.executable, str(FOLDER / "ours.py"), str(size)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{size} lanes: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
            break
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
        _show(rows[-1])
    if len(rows) == len(sizes):
        most, last, before = rows[-1]["peak_MiB_above_import"], rows[-1], rows[-2]
        session.say(
            f"{sizes[-1]:,} lanes, 4 observables: peak memory above import",
            f"{most:.0f} MiB",
            "≤ 1024 MiB",
            most <= 1024,
            MiB=most,
        )
        change = last["microseconds_per_lane"] / before["microseconds_per_lane"] - 1
        session.say(
            f"cost per lane at {sizes[-1]:,} lanes against {sizes[-2]:,}",
            f"{change:+.1%} ({last['microseconds_per_lane']:.3g} µs against {before['microseconds_per_lane']:.3g} µs)",
            "within 15 %",
            abs(change) <= 0.15,
            change=change,
        )
    path = _write(session, "lanes", rows)
    if rows:
        _plot_lanes(path, rows)


def gpu(session: Session) -> None:
    """On a GPU: final states at p95 ≤ 1e-5 against vmapped diffrax on the same GPU."""
    import jax

    if jax.default_backend() != "gpu":
        print("GPU: JAX sees none here (`pip install 'nmmjax[cuda]'` where there is one): skipped.")
        return
    limit, checked = 1e-5, 4096
    problem = ensemble(4096 if session.quick else 2**18)
    exact = reference(problem.part(slice(0, checked)))
    tools = {
        OURS: Tool(OURS, "ours on the GPU", "sweep", "rtol", half_decades(-2, -8)),
        "diffrax Tsit5": Tool("diffrax Tsit5", "diffrax on the GPU", "diffrax", "rtol", half_decades(-6, -8)),
    }
    rows = scan(
        session,
        tools.values(),
        problem,
        lambda value: relative_error([each[:checked] for each in value], exact),
        problem.work,
    )
    chosen = {name: row for name in tools if (row := cheapest(rows, name, limit)) is not None}
    measured = take_turns(
        session,
        {
            name: (lambda name=name, row=row: session.ask(tools[name], row["setting"], problem))
            for name, row in chosen.items()
        },
    )
    if len(measured) == 2:
        by_median, by_minimum = ratios(measured["diffrax Tsit5"], measured[OURS])
        speeds = {name: problem.work / each["seconds_median"] for name, each in measured.items()}
        session.say(
            f"GPU ({jax.devices()[0].device_kind}), {problem.lanes} lanes at p95 ≤ {limit:g}, against vmapped diffrax Tsit5",
            f"{by_median:.3g}× [{by_minimum:.3g}×]: {millions(speeds[OURS])} time units/s at p95 "
            f"{chosen[OURS]['error_p95']:.1e} against {millions(speeds['diffrax Tsit5'])} at "
            f"{chosen['diffrax Tsit5']['error_p95']:.1e}",
            "≥ 100×",
            by_median >= 100,
            ratio_of_medians=by_median,
            ratio_of_minima=by_minimum,
        )
    path = _write(session, "gpu", rows, lanes=problem.lanes, t1=problem.t1)
    _plot_work_precision(path, rows, f"{problem.lanes} populations on {jax.devices()[0].device_kind}, float64")


# Results


def _write(session: Session, topic: str, rows: list[dict], dtype: str = "float64", **facts: Any) -> pathlib.Path:
    """The topic's rows and its lines of the table, as JSON."""
    mine = session.table[session.written :]
    session.written = len(session.table)
    return write(f"ensemble_{topic}", session.options, rows, dtype=dtype, show=False, table=mine, **facts)


def _figure() -> tuple[Any, Any]:
    from nmmjax.io import optional

    pyplot = optional("matplotlib.pyplot", "plot")
    return pyplot.subplots(figsize=(6.4, 4.4), layout="constrained")


def _plot_work_precision(
    path: pathlib.Path, rows: Sequence[dict], title: str, error: str = "p95 of the relative error"
) -> None:
    if not rows:
        return
    figure, axes = _figure()
    for tool in dict.fromkeys(row["tool"] for row in rows):
        points = [(row["error_p95"], row["time_units_per_second"]) for row in rows if row["tool"] == tool]
        points = sorted((e, s) for e, s in points if np.isfinite(e) and e > 0)
        if points:
            axes.loglog(*zip(*points, strict=True), "o-" if tool.startswith(OURS) else "s--", label=tool, markersize=4)
    axes.invert_xaxis()
    axes.set(xlabel=error, ylabel="time units/s", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def _plot_bars(path: pathlib.Path, bars: Sequence[tuple[str, float]], label: str) -> None:
    if not bars:
        return
    figure, axes = _figure()
    names, values = zip(*bars, strict=True)
    axes.bar(names, values, color=["C0" if name.startswith(OURS) else "C7" for name in names])
    axes.set(ylabel=label)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def _plot_lanes(path: pathlib.Path, rows: Sequence[dict]) -> None:
    figure, axes = _figure()
    size = [row["lanes"] for row in rows]
    axes.loglog(size, [row["microseconds_per_lane"] for row in rows], "o-", label="µs per lane")
    axes.loglog(size, [row["peak_MiB_above_import"] for row in rows], "s--", label="peak MiB above import")
    axes.set(xlabel="lanes", title="four observables, t = 50, rtol 1e-5, float64")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def print_table(table: Sequence[dict]) -> None:
    print("\n| what | measured | must reach | met |\n|---|---|---|---|")
    for row in table:
        met = "" if row["met"] is None else "yes" if row["met"] else "no"
        print(f"| {row['what']} | {row['measured']} | {row['must']} | {met} |")
    about = machine()
    load = about["load_average"]
    print(f"\n{about['processor']}, {about['cores']} cores, load {load}, Python {about['python']}, float64 unless said")


ROWS: dict[str, Callable[[Session], None]] = {
    "sweep": sweep,
    "adaptive": adaptive,
    "share": share,
    "noise": noise,
    "gradient": gradient,
    "lanes": lanes,
    "gpu": gpu,
}


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rows=tuple(ROWS))
    # Several processes share a GPU, if there is one.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    session = Session(options)
    try:
        for name in ROWS:
            if name in options.only:
                print(f"{name}: {ROWS[name].__doc__.splitlines()[0]}", flush=True)
                ROWS[name](session)
    finally:
        session.release()
    print_table(session.table)


if __name__ == "__main__":
    main()
