"""Stochastic sweeps: steps per second, and cost at equal weak error."""

import dataclasses

import numpy as np

from .plots import weak_errors
from .reference import Noisy
from .session import OURS, Session, Tool, millions, ratios, show, take_turns, without_value


def measure(session: Session) -> None:
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
            row = {"tool": tool.name, "h": h, "error": bias, "standard_error": float(spread), "seconds": answer.seconds}
            rows.append(row | {"time_units_per_second": lanes * t1 / answer.seconds})
            show(rows[-1])
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
            turns.append({"tool": name, "lanes": size[0], "t1": size[1], **without_value(each)})
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
        turns.append({"tool": name, "h": h, "steps_per_second": total / each["seconds_median"], **without_value(each)})
        show(turns[-1])
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
    path = session.write(
        "noise", rows, turns=turns, exact_mean_rate=exact, lanes=lanes, t1=t1, **dataclasses.asdict(problem)
    )
    if rows:
        weak_errors(path, rows)
