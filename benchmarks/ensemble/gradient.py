"""Derivatives of sweeps: cost over the forward solve, and against reverse mode at equal accuracy."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .plots import work_precision
from .reference import ensemble, reference_gradient, relative_error_of_gradient
from .session import OURS, Scan, Session, Tool, half_decades, ratios, take_turns, without_value
from .workers import Answer


def measure(session: Session) -> None:
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

    def error(value: Any) -> np.ndarray:
        return relative_error_of_gradient(np.stack([np.asarray(each, np.float64) for each in value[1]]), exact)

    scan = Scan(session, problem, error, problem.work)
    scan.try_all(tools.values())
    chosen = {name: row for name, tool in tools.items() if (row := scan.cheapest(tool, limit)) is not None}
    runs: dict[str, Callable[[], Answer | None]] = {
        name: (lambda name=name, row=row: session.ask(tools[name], row["setting"], problem)) for name, row in chosen.items()
    }
    if OURS in chosen:
        runs[plain.name] = lambda: session.ask(plain, chosen[OURS]["setting"], problem)
    measured = take_turns(session, runs)
    turns = [{"tool": name, **without_value(each)} for name, each in measured.items()]
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
    path = session.write("gradient", scan.rows, turns=turns, lanes=problem.lanes, t1=problem.t1)
    work_precision(path, scan.rows, "gradients of the final rate in (η, J, Δ)")
