"""One run of a network, with and without delays: steps per second, orders, and times at equal error."""

from typing import Any

import numpy as np

from .measure import OURS, Session, Tool, in_turns, order, said, scan, seconds_at
from .reference import CHECKED, SPACING, exact, problem
from .tools import DELAYED, PLAIN


def shortest(delays: np.ndarray) -> float:
    """The least delay between two nodes."""
    return float(delays[~np.eye(delays.shape[0], dtype=bool)].min())


def compare(session: Session, section: str, what: str, tools: list[Tool], delayed: bool, goals: dict[str, Any]) -> None:
    """Steps per second, error against cost, orders and ratios at equal error of one run."""
    n, T = (12, 40.0) if session.quick else (90, 640.0)
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
                goal = (
                    {"must": f"≥ {goals['times']:g}", "met": ratio >= goals["times"]}
                    if name == kind or kind not in others
                    else {}
                )
                session.say(section, f"{what}: steps/s over {name}", said(ratio), **goal, **facts)
    steps = [4, 8, 16, 32] if session.quick else [2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
    rows = scan(session.workers, tools, case, reference, steps, T, session.quick)
    session.facts[f"{section}_scan"] = rows
    session.facts[f"{section}_reference"] = {"moved_last": moved, "nodes": n, "timed_to": T, "checked_to": CHECKED}
    for tool in tools:
        slope = order(
            rows, tool.name, longest=np.inf if case.delays is None else shortest(case.delays)
        )  # ours takes no longer steps
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
        session.say(
            section, f"{what}: times faster than the best rival ({best}) at error {limit:g}", said(ratio), **goal, **facts
        )


def plain(session: Session) -> None:
    """One run without delays and noise."""
    compare(session, "plain", "one run, 90 nodes", PLAIN, False, {"speed": 25e6, "equal": 5.0})


def delays(session: Session) -> None:
    """One run with a delay of its own for every pair."""
    goals = {"rival": "tvboptim", "kind": "tvboptim Heun", "times": 5.0, "equal": 20.0}
    compare(session, "delays", "one run, 90 × 90 delays", DELAYED, True, goals)
