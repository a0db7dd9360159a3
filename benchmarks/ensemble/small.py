"""Small sweeps as users call them, and what of their time is not steps."""

import dataclasses

from .reference import ensemble, quantiles, reference, relative_error
from .session import OURS, Session, Tool, ratios, take_turns, without_value

_RTOL, _RIVAL_RTOL = 1e-5, 1e-7
_SHORT = 0.02  # time of a run of a few steps


def measure(session: Session) -> None:
    """Whole calls of 64 to 4096 lanes, with p95 of their errors; the same with hardly any steps; diffrax Tsit5."""
    ours = Tool(OURS, "ours", "whole", "rtol", ())
    rival = Tool("diffrax Tsit5", "diffrax", "diffrax", "rtol", (), {"solver": "Tsit5"})
    rows = []
    for lanes in (64, 256) if session.quick else (64, 256, 1024, 4096):
        problem = ensemble(lanes)
        exact, short = reference(problem), dataclasses.replace(problem, t1=_SHORT)
        runs = {
            OURS: lambda problem=problem: session.ask(ours, _RTOL, problem),
            "hardly any steps": lambda problem=short: session.ask(ours, _RTOL, problem),
            rival.name: lambda problem=problem: session.ask(rival, _RIVAL_RTOL, problem),
        }
        turns = take_turns(session, runs)
        for name, each in turns.items():
            errors = {} if name == "hardly any steps" else quantiles(relative_error(each["value"], exact))
            rows.append({"tool": name, "lanes": lanes, **without_value(each), **errors})
        if {OURS, rival.name, "hardly any steps"} <= set(turns):
            mine, fixed = turns[OURS], turns["hardly any steps"]
            by_median, by_minimum = ratios(turns[rival.name], mine)
            gain = f"{by_median:.3g}× [{by_minimum:.3g}×]"
            p95 = [quantiles(relative_error(turns[name]["value"], exact))["error_p95"] for name in (OURS, rival.name)]
            took, rest = (f"{1e3 * each['seconds_median']:.3g} ms" for each in (mine, fixed))
            session.say(
                f"a call of {lanes} lanes, default, rtol {_RTOL:g}, against {rival.name} (rtol {_RIVAL_RTOL:g})",
                f"{took} (p95 {p95[0]:.1e}), of which {rest} are not steps; {gain} (p95 {p95[1]:.1e})",
                "fixed cost ≤ 2.5 ms" if lanes == 256 else "",
                fixed["seconds_median"] <= 2.5e-3 if lanes == 256 else None,
                ratio_of_medians=by_median,
            )
    session.write("small", rows)
