"""A brain's functional connectivity over a grid of its parameters, scored beside a recording's."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._files import beside
from .._labelled import attributes_of, software, xarray
from .._progress import Progress
from .._types import Values
from ..ensemble.observables import Mean
from ..fitting.parametrization import parametrize
from ..landscape.landscapes import stable_state
from ..monitors.connectivity import FunctionalConnectivity
from ..numerics.compiling import jitted
from ..stochastic.linear import linear_response
from ..sweeps.sweeping import plan_of, run_plan, summarize
from .brain_job import Job
from .objects import build_start

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Found:
    """Results over the grid (`data`), the best point, its connectivity, and what is to be said."""

    data: Any
    best: dict[str, float]
    correlation: float
    difference: float
    fc: np.ndarray
    verdict: str
    points: list[tuple[dict[str, float], float, float]]

    @property
    def summary(self) -> str:
        point = ", ".join(f"{name} = {value:.6g}" for name, value in self.best.items())
        return (
            f"Best: {point}; correlation {self.correlation:.4f} with the recording's connectivity, difference "
            f"{self.difference:.3g}. {self.verdict}"
        )


def by_linear_response(job: Job) -> Found:
    """Over all parameters but noise, on whose intensity correlations do not depend; noise says how linear it is."""
    names = [name for name in job.over if name != "noise"]
    shape = tuple(job.over[name].size for name in names)
    parameters = parametrize(job.network, tuple(names))
    target = job.target

    @jitted
    def one(x: Values) -> Any:
        network = parameters.apply(job.network, x)
        response = linear_response(network)
        return target.connectivity(network), response.state.r, jnp.max(response.relative)

    points = np.stack([each.ravel() for each in np.meshgrid(*(job.over[name] for name in names), indexing="ij")], axis=1)
    found = []
    with Progress(len(points), label="brain", unit="points") as bar:
        for x in points:
            found.append(jax.tree.map(np.asarray, one(jnp.asarray(x, parameters.scale.dtype))))
            bar.finish(1)
    fc, rates, relative = (np.stack(each) for each in zip(*found, strict=True))
    data, best, scores = _scored(job, names, shape, fc)
    data["rate"] = (names, rates.mean(axis=1).reshape(shape), {"units": "1/time", "long_name": "mean rate at rest"})
    intensity = job.over.get("noise", np.ones(1))
    spread = relative.reshape(*shape, 1) * np.sqrt(intensity)
    dims = [*names, "noise"] if "noise" in job.over else names
    about = {"units": "1", "long_name": "largest standard deviation of a rate over its mean"}
    data["relative"] = (dims, spread if "noise" in job.over else spread[..., 0], about)
    if "noise" in job.over:
        data = data.assign_coords(
            noise=("noise", job.over["noise"], {"units": "1", "long_name": "intensity D of the noise"})
        )
    weakest = 0.05 / relative[best]
    verdict = (
        f"It holds there to a few percent for noise up to D = {weakest**2:.3g}, where rates vary by 5 % (σ_r/r = 0.05)."
    )
    return _result(job, data, names, points, fc, best, scores, verdict)


def by_runs(job: Job, out: pathlib.Path) -> Found:
    """Runs over the whole grid, BOLD and its connectivity folded."""
    document, values = job.document, job.document.values
    assert job.monitor is not None
    t0, t1 = (document.number((name,), values.get(name, 0.0)) for name in ("t0", "t1"))
    settings = {"dt0": document.number(("dt0",), values["dt0"])} if "dt0" in values else {}
    y0 = build_start(document, job.network) if "y0" in values else stable_state(job.network, None, highest=False)[0]
    key = jax.random.key(document.integer(("seed",), values["seed"], 0))
    observe = {"fc": FunctionalConnectivity(job.monitor), "rate": Mean("r")}
    over = dict(job.over)
    with document.at(()):
        plan = plan_of(job.network, over=over, y0=y0, t0=t0, t1=t1, observe=observe, noise=0.0, key=key, **settings)
    store = beside(out, document.text(("store",), values["store"]), "store") if "store" in values else None
    chunk = document.integer(("chunk",), values["chunk"], 1) if "chunk" in values else None
    swept = run_plan(plan, store=store, chunk=chunk)
    names = list(over)
    shape = tuple(each.size for each in over.values())
    fc = np.asarray(swept["fc"].values).reshape(-1, job.network.size, job.network.size)
    data, best, scores = _scored(job, names, shape, fc)
    data["rate"], data["status"] = swept["rate"], swept["status"]
    points = np.stack([each.ravel() for each in np.meshgrid(*over.values(), indexing="ij")], axis=1)
    verdict = summarize(swept["status"], plan.meanings) or "All runs were successful."
    return _result(job, data, names, points, fc, best, scores, verdict)


def _scored(job: Job, names: list[str], shape: tuple[int, ...], fc: np.ndarray) -> tuple[Any, int, np.ndarray]:
    """The dataset of how well every point's `fc` matches, the best point's number, and (correlation, difference) of all."""
    pairs = np.triu_indices(job.network.size, 1)
    wanted = job.target.measured(job.network)[pairs]
    seen = np.isfinite(wanted)
    scores = np.full((len(fc), 2), np.nan)
    for k, each in enumerate(fc):
        x = each[pairs][seen]
        if np.isfinite(x).all() and np.ptp(x) > 0:
            scores[k] = np.corrcoef(x, wanted[seen])[0, 1], np.sqrt(np.mean((x - wanted[seen]) ** 2))
    if np.isnan(scores).all():
        raise ValueError(
            "No point of [over] has a functional connectivity: there is no stable state of rest, or all runs failed."
        )
    labels = [str(each) for each in job.network.labels]
    coords = {name: (name, job.over[name]) for name in names} | {"node": labels, "other_node": labels}
    about = ("correlation with the recording's functional connectivity", "root mean squared difference from it")
    data = {
        name: (names, scores[:, k].reshape(shape), {"units": "1", "long_name": text})
        for k, (name, text) in enumerate(zip(("correlation", "difference"), about, strict=True))
    }
    attrs = {**attributes_of(job.network, "model"), "method": job.method, "recording": job.source}
    best = int(np.nanargmax(scores[:, 0]) if job.score == "correlation" else np.nanargmin(scores[:, 1]))
    return xarray().Dataset(data, coords=coords, attrs=attrs | software()), best, scores


def _result(
    job: Job, data: Any, names: list[str], points: np.ndarray, fc: np.ndarray, best: int, scores: np.ndarray, verdict: str
) -> Found:
    square = ("node", "other_node")
    data["fc"] = (square, fc[best], {"units": "1", "long_name": "functional connectivity at the best point"})
    data["recorded"] = (square, job.target.measured(job.network), {"units": "1", "long_name": "that of the recording"})
    rank = -scores[:, 0] if job.score == "correlation" else scores[:, 1]
    order = [int(k) for k in np.argsort(rank)[:_SHOWN] if np.isfinite(rank[k])]  # NaN come last
    row = lambda k: (dict(zip(names, points[k].tolist(), strict=True)), float(scores[k, 0]), float(scores[k, 1]))
    point, correlation, difference = row(best)
    return Found(data, point, correlation, difference, fc[best], verdict, [row(k) for k in order])
