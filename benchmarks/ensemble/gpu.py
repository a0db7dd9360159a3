"""Sweeps on a GPU."""

from typing import Any

import numpy as np

from .plots import work_precision
from .reference import ensemble, reference, relative_error
from .session import OURS, Scan, Session, Tool, half_decades, millions, ratios, take_turns


def measure(session: Session) -> None:
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

    def error(value: Any) -> np.ndarray:
        return relative_error([each[:checked] for each in value], exact)

    scan = Scan(session, problem, error, problem.work)
    scan.try_all(tools.values())
    chosen = {name: row for name, tool in tools.items() if (row := scan.cheapest(tool, limit)) is not None}
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
    path = session.write("gpu", scan.rows, lanes=problem.lanes, t1=problem.t1)
    work_precision(path, scan.rows, f"{problem.lanes} populations on {jax.devices()[0].device_kind}, float64")
