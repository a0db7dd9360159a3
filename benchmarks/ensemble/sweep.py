"""Final states: work and precision of every tool, and the ratios at two accuracies."""

from typing import Any

from .plots import work_precision
from .reference import Ensemble, ensemble, quantiles, reference, relative_error
from .session import OURS, Scan, Session, Tool, half_decades, millions, ratios, take_turns, without_value

ONE_RUN = "nmmjax, one run"  # at predicted steps, without the second run that estimates the error
OWN = (ONE_RUN, OURS)
TOOLS = (
    Tool(OURS, "ours", "sweep", "rtol", half_decades(-2, -10.5)),
    Tool(ONE_RUN, "ours", "predicted", "rtol", half_decades(-3, -9.5)),
    Tool("diffrax Tsit5", "diffrax", "diffrax", "rtol", half_decades(-6, -8), {"solver": "Tsit5"}),
    Tool("diffrax Dopri8", "diffrax", "diffrax", "rtol", half_decades(-5.5, -10), {"solver": "Dopri8"}),
    Tool("heyoka", "heyoka", "heyoka", "tol", half_decades(-3, -12)),
    Tool("vbjax RK4", "vbjax", "vbjax", "h", (0.014, 0.007, 0.005, 0.0025, 0.0012, 0.0006)),
    Tool("gradsolve", "gradsolve", "gradsolve", "rtol", half_decades(-6, -8.5)),
)
# The goal at 1e-5 was set against a prototype that makes one run, at steps that it predicts and without an error estimate;
# at 1e-9 it is the default's, which extrapolates.
MUST = {(1e-5, ONE_RUN, "diffrax Tsit5"): 150.0, (1e-5, ONE_RUN, "heyoka"): 15.0, (1e-9, OURS, "heyoka"): 3.0}


def sweep(session: Session) -> None:
    """Work and precision of final states, and the ratios at p95 ≤ 1e-5 and ≤ 1e-9."""
    problem = ensemble(512 if session.quick else 4096)
    exact = reference(problem)
    scan = Scan(session, problem, lambda value: relative_error(value, exact), problem.work)
    scan.try_all(TOOLS)
    # A sweep is large, and its cost per lane falls until some 50 000; that of the rivals doesn't, and their time is long.
    large = _Large(ensemble(1024), 256) if session.quick else _Large(ensemble(65536), 8192)
    turns = []
    for limit in (1e-5, 1e-9):
        measured = _measured(session, scan, limit, large)
        turns += [{"limit": limit, "tool": name, **without_value(each)} for name, each in measured.items()]
        rivals = [tool for tool in TOOLS if tool.name in measured and tool.name not in OWN]
        for own, rival in [(own, rival) for rival in rivals for own in OWN if own in measured]:
            _compare(session, limit, measured[own], own, measured[rival.name], rival)
    facts = {"our_lanes_in_turns": large.problem.lanes, "our_lanes_checked": large.checked}
    path = session.write("sweep", scan.rows, turns=turns, lanes=problem.lanes, t1=problem.t1, **facts)
    timed = [{**row, "tool": f"{row['tool']}, {large.problem.lanes} lanes"} for row in turns if row["tool"] in OWN]
    work_precision(path, [*scan.rows, *timed], f"{problem.lanes} populations, t = {problem.t1:g}, float64")


class _Large:
    """The sweep that ours are timed in, and its first lanes' errors."""

    def __init__(self, problem: Ensemble, checked: int):
        self.problem, self.checked = problem, checked
        self.exact = reference(problem.part(slice(0, checked)))

    def errors(self, value: Any) -> dict[str, float]:
        return quantiles(relative_error([part[: self.checked] for part in value], self.exact))


def _measured(session: Session, scan: Scan, limit: float, large: _Large) -> dict[str, dict[str, Any]]:
    """Seconds of every tool in turns, at its cheapest setting that meets the limit (ours also in the large sweep)."""
    runs, chosen = {}, {}
    for tool in TOOLS:
        scan.refine(tool, limit, 0 if session.quick else 2)
        problem = large.problem if tool.name in OWN else scan.problem
        for row in scan.good(tool, limit):
            if tool.name in OWN:
                answer = session.ask(tool, row["setting"], problem)
                if answer is None or large.errors(answer.value)["error_p95"] > limit:
                    continue
            chosen[tool.name] = row
            runs[tool.name] = lambda tool=tool, row=row, problem=problem: session.ask(tool, row["setting"], problem)
            break
        else:
            print(f"{tool.name} reaches p95 ≤ {limit:g} at none of its settings here.")
    measured = take_turns(session, runs)
    for name, each in measured.items():
        each |= {key: chosen[name][key] for key in ("setting", "error_median", "error_p95")}
        if name in OWN:  # as many seconds as for the rivals' number of lanes
            share = scan.problem.lanes / large.problem.lanes
            each |= {key: each[key] * share for key in ("seconds_min", "seconds_median")} | large.errors(each["value"])
        each["time_units_per_second"] = scan.work / each["seconds_median"]
    return measured


def _compare(session: Session, limit: float, ours: dict[str, Any], own: str, each: dict[str, Any], rival: Tool) -> None:
    by_median, by_minimum = ratios(each, ours)
    least = MUST.get((limit, own, rival.name))
    how = "one run at predicted steps" if own == ONE_RUN else "default"
    session.say(
        f"MPR sweep at p95 ≤ {limit:g}, {how}, against {rival.name} ({rival.setting} {each['setting']:g})",
        f"{by_median:.3g}× [{by_minimum:.3g}×]: {millions(ours['time_units_per_second'])} time units/s at p95 "
        f"{ours['error_p95']:.1e} against {millions(each['time_units_per_second'])} at {each['error_p95']:.1e}",
        f"≥ {least:g}×" if least else "",
        by_median >= least if least else None,
        ratio_of_medians=by_median,
        ratio_of_minima=by_minimum,
    )
