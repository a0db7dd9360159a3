"""Adaptive Runge–Kutta, the path for any model."""

from .plots import work_precision
from .reference import ensemble, quantiles, reference, relative_error
from .session import OURS, Session, Tool, ratios, show, take_turns, without_value


def measure(session: Session) -> None:
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
                    {"tool": pair[name].name, "rtol": tol, **errors, "time_units_per_second": speed, **without_value(each)}
                )
                show(rows[-1])
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
    path = session.write("adaptive", rows, lanes=problem.lanes, t1=problem.t1)
    work_precision(path, rows, "adaptive Runge–Kutta at rtol 1e-4, 1e-6, 1e-8")
