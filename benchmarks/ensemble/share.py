"""How much of a hand-written C loop's speed is reached, in a sweep of middling size and in a large one."""

import dataclasses
from typing import Any

from .plots import shares
from .reference import Ensemble, ensemble, quantiles, reference, relative_error
from .session import OURS, Session, Tool, millions, show, take_turns, without_value

LOOP = "C loop"
_CHECKED = 512
_DTYPES = {"float64": "ours", "float32": "ours32"}


def measure(session: Session) -> None:
    """Lane-steps per second of the splitting in equal steps, against the same scheme in C on all cores."""
    # What is set up once per lane (coefficients, sorting, gathering) is a part of a sweep that shrinks with its steps.
    sizes = ((1024, 0.0125), (2048, 0.00625)) if session.quick else ((16384, 0.0125), (65536, 0.00625))
    rows = []
    for lanes, h in sizes:
        problem = ensemble(lanes)
        for dtype in _DTYPES:
            measured = _measured(session, problem, h, dtype)
            rows += measured.values()
            if len(measured) == 2:
                _say(session, *measured.values(), must=(lanes, h) == sizes[-1])
    session.release("c", *_DTYPES.values())
    facts = {"sizes": [{"lanes": lanes, "h": h} for lanes, h in sizes]}
    path = session.write("share", rows, dtype="float64 and float32", **facts)
    shares(path, rows)


def _measured(session: Session, problem: Ensemble, h: float, dtype: str) -> dict[str, dict[str, Any]]:
    """Rows of ours and of the C loop, each with the time of the same call with one step per lane."""
    mine = Tool(OURS, _DTYPES[dtype], "fixed", "h", ())
    loop = Tool(LOOP, "c", "c_loop", "steps", (), {"dtype": dtype})
    steps, short = round(problem.t1 / h), dataclasses.replace(problem, t1=h)
    whole = {
        OURS: lambda: session.ask(mine, h, problem),
        LOOP: lambda: session.ask(loop, steps, problem),
    }
    start = {OURS: lambda: session.ask(mine, h, short), LOOP: lambda: session.ask(loop, 1, short)}
    exact = reference(problem.part(slice(0, _CHECKED)))
    found, set_up = take_turns(session, whole), take_turns(session, start)
    rows = {}
    for name, each in found.items():
        rows[name] = {
            "tool": name,
            "dtype": dtype,
            "lanes": problem.lanes,
            "steps_per_lane": steps,
            "lane_steps_per_second": each["steps"] / each["seconds_median"],
            "largest": each["steps"] / each["seconds_min"],
            "one_step_microseconds_per_lane": set_up[name]["seconds_median"] / problem.lanes * 1e6,
            **quantiles(relative_error([part[:_CHECKED] for part in each["value"]], exact)),
            **without_value(each),
        }
        show(rows[name])
    return rows


def _say(session: Session, ours: dict[str, Any], loop: dict[str, Any], must: bool) -> None:
    fraction = ours["lane_steps_per_second"] / loop["lane_steps_per_second"]
    fastest = ours["largest"] / loop["largest"]
    start, start_of_loop = (each["one_step_microseconds_per_lane"] for each in (ours, loop))
    session.say(
        f"share of the hand-written C loop, {ours['dtype']}, {ours['lanes']} lanes × {ours['steps_per_lane']} steps",
        f"{fraction:.0%} [{fastest:.0%}]: {millions(ours['lane_steps_per_second'])} lane-steps/s against "
        f"{millions(loop['lane_steps_per_second'])}, p95 {ours['error_p95']:.1e} and {loop['error_p95']:.1e}; "
        f"set-up (the same call with one step) {start:.2g} µs per lane against {start_of_loop:.2g}",
        "≥ 60 %" if must else "",
        fraction >= 0.6 if must else None,
        share_of_medians=fraction,
        share_of_minima=fastest,
    )
