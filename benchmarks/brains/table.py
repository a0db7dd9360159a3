"""The sections in their order, and what is written of them."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np

import benchmarks.brains as package

from ..record import arguments, write
from . import plots
from .measure import OURS, Tool, Workers, in_turns, order, said, scan, seconds_at
from .reference import CHECKED, SPACING, exact, problem


@dataclasses.dataclass
class Session:
    """Options, processes, and what was found so far."""

    options: Any
    workers: Workers
    rows: list[dict[str, Any]]
    facts: dict[str, Any]

    @property
    def quick(self) -> bool:
        return self.options.quick

    def say(self, section: str, what: str, measured: str, must: str = "", met: bool | None = None, **numbers: Any) -> None:
        """Add a row."""
        row: dict[str, Any] = {"section": section, "what": what, "measured": measured}
        row |= {"must": must, "met": met} if must else {}
        self.rows.append(row | numbers)
        print(f"{what}: {measured}" + (f" (must reach {must}: {'met' if met else 'NOT met'})" if must else ""), flush=True)


PLAIN = [
    Tool(OURS, "simulate", 4),
    Tool("tvboptim Heun, coupling once a step", "tvboptim", 1),
    Tool("tvboptim Heun", "tvboptim", 2, {"per_stage": True}),
    Tool("tvboptim RK4", "tvboptim", 4, {"method": "RungeKutta4", "per_stage": True}),
    Tool("vbjax Heun", "vbjax", 2),
    Tool("vbjax RK4", "vbjax", 4, {"method": "rk4"}),
    Tool("TVB numba", "tvb_numba", 1, most=128),
]
_LINEAR = {"buffer_strategy": "preallocated", "history_interpolation": "linear"}
DELAYED = [
    Tool(OURS, "simulate", 4),
    Tool("tvboptim Heun, rounded", "tvboptim", 1, {"buffer_strategy": "preallocated"}),
    Tool("tvboptim Heun", "tvboptim", 2, _LINEAR),
    Tool("tvboptim RK4", "tvboptim", 2, {"method": "RungeKutta4", **_LINEAR}),
    Tool("vbjax Heun, rounded", "vbjax", 1),
    Tool("TVB numba, rounded", "tvb_numba", 1, most=128),
]
NOISY = [
    Tool(OURS, "simulate", 2),
    Tool("tvboptim Heun, coupling once a step", "tvboptim", 1),
    Tool("tvboptim Heun", "tvboptim", 2, {"per_stage": True}),
    Tool("vbjax Heun", "vbjax", 2),
    Tool("TVB numba", "tvb_numba", 1, most=128),
]


def compare(session: Session, section: str, what: str, tools: list[Tool], delayed: bool, goals: dict[str, float]) -> None:
    """Steps per second, error against cost, orders and ratios at equal error of one run."""
    n, T = (12, 40.0) if session.quick else (90, 320.0)
    case = problem(n, delayed)
    reference, moved = exact(case, 128 if session.quick else 1024)
    speed_steps = 64
    found = in_turns(session.workers, [(tool, (case, speed_steps, T)) for tool in tools], session.quick)
    taken = {tool.name: one for tool, one in zip(tools, found, strict=True) if one is not None}
    count = n * speed_steps * round(T / SPACING)
    speeds = {name: count / one["seconds_median"] for name, one in taken.items()}
    fastest = {name: count / one["seconds_min"] for name, one in taken.items()}
    for name, speed in speeds.items():
        measured, facts = f"{speed / 1e6:.3g}", {"tool": name, "node_steps_per_second": speed, "at_best": fastest[name]}
        facts |= {"microseconds_per_step": 1e6 * n / speed, "repeats": taken[name]["repeats"]}
        if name == OURS and "speed" in goals:
            goal = goals["speed"]
            session.say(section, f"{what}: M node-steps/s, {name}", measured, f"≥ {goal / 1e6:g}", speed >= goal, **facts)
        else:
            session.say(section, f"{what}: M node-steps/s, {name}", measured, **facts)
    if OURS in speeds and "times" in goals:
        rival, kind = goals["rival"], goals["kind"]
        others = {name: speed for name, speed in speeds.items() if name.startswith(rival) and name != OURS}
        if others:
            best = max(others, key=lambda name: others[name])
            for name in dict.fromkeys((kind if kind in others else best, best)):
                ratio = speeds[OURS] / speeds[name]
                facts = {"ratio": ratio, "ratio_min": fastest[OURS] / fastest[name]}
                goal = {"must": f"≥ {goals['times']:g}", "met": ratio >= goals["times"]} if name == kind or kind not in others else {}
                session.say(section, f"{what}: steps/s over {name}", said(ratio), **goal, **facts)
    steps = [4, 8, 16, 32] if session.quick else [2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    rows = scan(session.workers, tools, case, reference, steps, T, session.quick)
    session.facts[f"{section}_scan"] = rows
    session.facts[f"{section}_reference"] = {"moved_last": moved, "nodes": n, "timed_to": T, "checked_to": CHECKED}
    for tool in tools:
        slope = order(rows, tool.name)
        if slope is not None:
            goal = {"must": "4", "met": slope > 3.7} if tool.name == OURS else {}
            session.say(section, f"{what}: order by regression, {tool.name}", said(slope), **goal, order=slope)
    for limit in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
        times = {tool.name: seconds_at(rows, tool.name, limit) for tool in tools}
        least = {tool.name: seconds_at(rows, tool.name, limit, "seconds_min") for tool in tools}
        others = {name: each for name, each in times.items() if name != OURS and each is not None}
        if times[OURS] is None or not others:
            continue
        best = min(others, key=lambda name: others[name])
        ratio = others[best] / times[OURS]
        facts = {"limit": limit, "rival": best, "ratio": ratio, "ratio_min": least[best] / least[OURS], "seconds": times}
        goal = {"must": f"≥ {goals['equal']:g}", "met": ratio >= goals["equal"]} if "equal" in goals else {}
        session.say(section, f"{what}: times faster than the best rival ({best}) at error {limit:g}", said(ratio), **goal, **facts)


def plain(session: Session) -> None:
    """One run without delays and noise."""
    compare(session, "plain", "one run, 90 nodes", PLAIN, False, {"speed": 25e6, "equal": 5.0})


def delays(session: Session) -> None:
    """One run with a delay of its own for every pair."""
    goals = {"rival": "tvboptim", "kind": "tvboptim Heun", "times": 5.0, "equal": 20.0}
    compare(session, "delays", "one run, 90 × 90 delays", DELAYED, True, goals)


def noise(session: Session) -> None:
    """White noise on v: steps per second, and the moments of r at coarse steps against fine ones."""
    n, T = (12, 40.0) if session.quick else (90, 320.0)
    start = {"rates": (0.95, 1.05), "D": NOISE}
    case = problem(n, **start)
    found = in_turns(session.workers, [(tool, (case, 32, T)) for tool in NOISY], session.quick)
    count = n * 32 * round(T / SPACING)
    taken = {tool.name: one for tool, one in zip(NOISY, found, strict=True) if one is not None}
    speeds = {name: count / one["seconds_median"] for name, one in taken.items()}
    fastest = {name: count / one["seconds_min"] for name, one in taken.items()}
    what = "one run with noise, 90 nodes"
    for name, speed in speeds.items():
        facts = {"tool": name, "node_steps_per_second": speed, "microseconds_per_step": 1e6 * n / speed}
        session.say("noise", f"{what}: M node-steps/s, {name}", said(speed / 1e6), **facts, at_best=fastest[name])
    others = [name for name in speeds if name != OURS]
    if OURS in speeds and others:
        best = max(others, key=lambda name: speeds[name])
        ratio = speeds[OURS] / speeds[best]
        facts = {"ratio": ratio, "ratio_min": fastest[OURS] / fastest[best]}
        session.say("noise", f"{what}: steps/s over {best}", said(ratio), "≥ 2", ratio >= 2, **facts)
    _weak(session, case, what)


def _weak(session: Session, case: Any, what: str) -> None:
    """Biases of the mean and the variance of r, relative to their values, by step, and the cost at equal bias."""
    T, after, seeds = (100.0, 50.0, 4) if session.quick else (550.0, 50.0, 40)
    fine = session.workers.ask(Tool("tvboptim Heun, fine", "moments", None), case, 128, T, seeds, after, "tvboptim", True)
    rows: list[dict[str, Any]] = []
    if fine is None:
        return
    centre, spread = _mean_and_error(fine.value)
    session.facts["weak_reference"] = {"mean": centre[0], "variance": centre[1], "standard_errors": list(spread)}
    for tool in NOISY:
        if tool.function == "tvb_numba":
            continue
        asked = dataclasses.replace(tool, function="moments", options={})
        more = () if tool.name == OURS else (tool.function, tool.options.get("per_stage", False))
        for steps in (4, 8) if session.quick else (2, 3, 4, 6, 8, 12, 16, 24):
            answer = session.workers.ask(asked, case, steps, T, seeds, after, *more)
            if answer is None:
                break
            value, own = _mean_and_error(answer.value)
            bias, wrong = value / centre - 1, np.hypot(own, spread) / centre
            row = {"tool": tool.name, "dt": SPACING / steps, "steps": steps, "seconds": answer.seconds}
            row |= {"mean": value[0], "variance": value[1], "bias_of_mean": bias[0], "bias_of_variance": bias[1]}
            row |= {"standard_error_of_mean": wrong[0], "standard_error_of_variance": wrong[1]}
            row |= {"error": float(np.max(np.abs(bias))) if np.isfinite(bias).all() else float("inf")}
            rows.append(row)
            measured = f"dt {row['dt']:.3g}: mean {bias[0]:+.3%} ± {wrong[0]:.3%}, variance {bias[1]:+.3%} ± {wrong[1]:.3%}"
            print(f"  {tool.name}, {measured}, {answer.seconds:.3g} s", flush=True)
    session.facts["weak_scan"] = rows
    for limit in (0.05, 0.02):
        costs = {name: seconds_at(rows, name, limit, "seconds") for name in dict.fromkeys(row["tool"] for row in rows)}
        others = {name: each for name, each in costs.items() if name != OURS and each is not None}
        if costs.get(OURS) is None or not others:
            continue
        best = min(others, key=lambda name: others[name])
        ratio = others[best] / costs[OURS]
        told = f"{what}: times faster than the best rival ({best}), mean and variance of r at most {limit:.0%} off"
        session.say("noise", told, said(ratio), "≥ 4", ratio >= 4, ratio=ratio, limit=limit, seconds=costs)


def _mean_and_error(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(found.shape[0])


NOISE = 0.005

SECTIONS: dict[str, Callable[[Session], None]] = {"plain": plain, "delays": delays, "noise": noise}


def main() -> None:
    options = arguments((package.__doc__ or "").splitlines()[0], rows=tuple(SECTIONS))
    import jax

    jax.config.update("jax_enable_x64", True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, section in SECTIONS.items():
        if name not in options.only:
            continue
        session = Session(options, Workers(options.quick), [], {})
        print(f"{name}: {(section.__doc__ or '').splitlines()[0]}", flush=True)
        try:
            section(session)
        finally:
            session.workers.close()
        facts = {"about": " ".join((package.__doc__ or "").split()), "not_measured": session.workers.failed}
        path = write(f"brains_{name}", options, session.rows, show=False, **facts, **session.facts)
        plots.draw(name, session.facts, path.with_suffix(".png"))
