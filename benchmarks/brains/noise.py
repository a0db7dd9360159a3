"""Runs with white noise: steps per second, and how far moments are off at coarse steps."""

import dataclasses
from typing import Any

import numpy as np

from .measure import OURS, Session, Tool, in_turns, said, seconds_at
from .reference import SPACING, problem
from .tools import NOISY

NOISE = 0.005


def noise(session: Session) -> None:
    """White noise on v: steps per second, and the moments of r at coarse steps against fine ones."""
    n, T = (12, 40.0) if session.quick else (90, 640.0)
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
    others = [name for name in speeds if not name.startswith(OURS)]
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
        ours = tool.name.startswith(OURS)
        asked = dataclasses.replace(tool, function="moments", options=tool.options if ours else {})
        more = () if ours else (tool.function, tool.options.get("per_stage", False))
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
        others = {name: each for name, each in costs.items() if not name.startswith(OURS) and each is not None}
        if costs.get(OURS) is None or not others:
            continue
        best = min(others, key=lambda name: others[name])
        ratio = others[best] / costs[OURS]
        told = f"{what}: times faster than the best rival ({best}), mean and variance of r at most {limit:.0%} off"
        session.say("noise", told, said(ratio), "≥ 4", ratio >= 4, ratio=ratio, limit=limit, seconds=costs)


def _mean_and_error(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(found.shape[0])
