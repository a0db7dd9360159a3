"""The loop that two nodes of a network run through, its area, and the work that the weights do on it."""

from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._labelled import attributes_of, software, xarray
from .._results import Shown
from .._types import Values, is_concrete
from ..mechanics.spike import PROMINENCE
from ..models.base import require_network
from ..models.stimulus import input_at
from ..numerics.compiling import jitted
from .trajectory import Trajectory


class Circulation(eqx.Module, Shown):
    """Loops of two nodes a and b of a network, from one peak of a's rate to the next; made by `circulation`.

    - `model`, `nodes`: the network, and the numbers of a and b; `labels`: their names
    - `curl`: W_ba − W_ab with the gain, receiver first, dimensionless: positive if a excites b and b inhibits a
    - `time` (k + 1,): of a's peaks, between which the k loops lie
    - `area` (k,): ½ ∮ (S_a dR_b − S_b dR_a), counter-clockwise in the plane (R_a, R_b); S is what is sent: the rate R = τ r
      itself, or what a synapse makes of it. Without synapses it is the area that the loop encloses
    - `work` (k,): curl × area, which the weights bring into the energy of the network in each loop
    - `gap` (k,): distance between the ends of each loop, in the plane, as a share of its size: 0 on a cycle
    - `ts`, `R`, `S`: the run's times, and both nodes' rates and sent signals at them, (n, 2), dimensionless
    """

    model: Any
    nodes: tuple[int, int] = eqx.field(static=True)
    labels: tuple[str, str] = eqx.field(static=True)
    curl: Any
    time: np.ndarray
    area: np.ndarray
    work: np.ndarray
    gap: np.ndarray
    ts: np.ndarray
    R: np.ndarray
    S: np.ndarray

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` (extra `data`): both nodes' `rate` and `sent` signal over `t`; `area`, `work`, `gap` of every
        `loop`, with its `begin` and `end`."""
        one = lambda about: {"units": "1", "long_name": about}
        time = lambda about: {"units": "time (that of tau)", "long_name": about}
        data = {
            "rate": (("t", "node"), self.R, one("rate τ r")),
            "sent": (("t", "node"), self.S, one("what is sent")),
            "area": ("loop", self.area, one("area of the loop")),
            "work": ("loop", self.work, one("work of the weights")),
            "gap": ("loop", self.gap, one("distance between the ends, as a share of the size")),
            "begin": ("loop", self.time[:-1], time("peak at which the loop begins")),
            "end": ("loop", self.time[1:], time("peak at which it ends")),
        }
        coordinates = {"t": ("t", self.ts, time("time")), "node": ("node", list(self.labels))}
        about = attributes_of(self.model, "model") | {"curl": float(self.curl)} | software()
        return xarray().Dataset(data, coords=coordinates, attrs=about)

    def __repr__(self) -> str:
        a, b = self.labels
        head = f"Circulation of {a} and {b}, W_{b}{a} − W_{a}{b} = {float(self.curl):.6g}"
        if self.area.size == 0:
            return f"{head}: no loop, {a} has fewer than two peaks"
        return (
            f"{head}: {self.area.size} loops from t = {self.time[0]:.6g} to {self.time[-1]:.6g}\n"
            f"  last: {self.time[-1] - self.time[-2]:.6g} long, area {self.area[-1]:.6g}, work {self.work[-1]:.6g}, "
            f"{100 * self.gap[-1]:.2g} % open"
        )


def circulation(run: Trajectory, *, nodes: tuple[Any, Any] = (0, 1)) -> Circulation:
    """Area of the loops of two nodes in the plane of their rates, and the work that the weights do in each.

        work = ∮ (A_ab S_b dR_a + A_ba S_a dR_b) = (W_ba − W_ab) × area,        A = (W − Wᵀ)/2

    This is the line `circulation` of `energy_balance(run).network`, loop by loop. The coupling of excitation and inhibition
    is a curl force, no slope of a potential: this is how it keeps a rhythm going. On a cycle of two nodes the work equals
    friction − parametric, less what synapses and input bring. Use it to see why a circuit oscillates.

    - `run`: a `Trajectory` of a network of MPR populations, saved densely enough to draw it
    - `nodes`: a and b, numbers or names; (0, 1) by default, which is (e, i) in `ping`

    Returns a `Circulation`, arrays of size 0 if a's rate has fewer than two peaks. Its integrals are of order 4 in the
    distance of saved times. Raises `ValueError` for batches, single populations, and nodes that are not two. Source:
    docs/theory.md §D5.
    """
    require("run", type(run).__name__, "be a run of a network", isinstance(run, Trajectory))
    run.require_single("follow its loops")
    require_network(run.model, "run")
    network = run.model
    require("run", str(run), "be computed to follow its loops", all(is_concrete(each) for each in jax.tree.leaves(run.ys)))
    pair = isinstance(nodes, (tuple, list)) and len(nodes) == 2
    require("nodes", nodes, "be two nodes of the network", pair)
    a, b = (network.index(each, "nodes") for each in nodes)
    require("nodes", nodes, "be two different nodes", a != b)
    count = int(run.reached)
    ts, ys = np.asarray(run.elapsed, float)[:count], jax.tree.map(lambda each: each[:count], run.ys)
    course = _course(network, run.stimulus_since_start, jnp.asarray(run.elapsed)[:count], ys)
    R, rate, bend, S, slope = (np.asarray(each, float)[:, [a, b]] for each in course)
    # ½ (S_a dR_b − S_b dR_a)/dt, its derivative, and its integral, by the trapezoidal rule with the ends' slopes.
    turn = (S[:, 0] * rate[:, 1] - S[:, 1] * rate[:, 0]) / 2
    turned = (slope[:, 0] * rate[:, 1] + S[:, 0] * bend[:, 1] - slope[:, 1] * rate[:, 0] - S[:, 1] * bend[:, 0]) / 2
    h = np.diff(ts)
    parts = h / 2 * (turn[1:] + turn[:-1]) - h**2 / 12 * np.diff(turned)
    swept = np.concatenate([[0.0], np.cumsum(parts)])
    peaks = _peaks(ts, R[:, 0], rate[:, 0], bend[:, 0])
    matrix = np.asarray(network.coupling.dense(), float)
    curl = matrix[b, a] - matrix[a, b]
    area = np.diff(_between(ts, swept, turn, peaks))
    ends = np.stack([_between(ts, R[:, k], rate[:, k], peaks) for k in (0, 1)], axis=1)
    gap = [np.linalg.norm(each) for each in np.diff(ends, axis=0)]
    spans = [np.ptp(R[max(i - 1, 0) : j + 1], axis=0) for i, j in pairwise(np.searchsorted(ts, peaks))]
    tiny = float(np.finfo(R.dtype).tiny)
    open_ = np.array([each / max(float(np.linalg.norm(span)), tiny) for each, span in zip(gap, spans, strict=True)])
    labels = tuple(str(network.labels[k]) for k in (a, b))
    first = float(np.asarray(run.ts)[0]) - ts[0] if count else 0.0
    return Circulation(
        network, (a, b), (labels[0], labels[1]), curl, peaks + first, area, curl * area, open_, ts + first, R, S
    )


@jitted
def _course(network: Any, stimulus: Any, ts: Values, ys: Any) -> Any:
    """R, dR/dt, d²R/dt², what is sent and its derivative at every saved time, (n, nodes)."""

    def at(t: Values, y: Any) -> Any:
        current = input_at(stimulus, t)
        flow = network.vector_field(t, y, current)
        rate, bend = jax.jvp(lambda y: network.tau * network.vector_field(t, y, current).r, (y,), (flow,))
        sent, slope = jax.jvp(network.sent, (y,), (flow,))
        return network.tau * y.r, rate, bend, sent, slope

    return jax.vmap(at)(ts, ys)


def _peaks(ts: np.ndarray, R: np.ndarray, rate: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Times of maxima of R to which it rises, and from which it falls, by more than the library's prominence of ln R."""
    (turns,) = np.nonzero((rate[:-1] > 0) != (rate[1:] > 0))
    times = np.array([_zero(ts[k : k + 2], rate[k : k + 2], bend[k : k + 2]) for k in turns])
    heights = np.log(_between(ts, R, rate, times)) if times.size else times
    found, low, high, at = [], np.log(R[0]) if R.size else 0.0, -np.inf, 0.0
    for t, height in zip([*times, *ts[-1:]], [*heights, *np.log(R[-1:])], strict=True):
        if height > max(high, low + PROMINENCE):
            high, at = height, t
        elif height < high - PROMINENCE:
            found.append(at)
            low, high = height, -np.inf
        elif high == -np.inf:
            low = min(low, height)
    return np.array(found, float)


def _zero(t: np.ndarray, value: np.ndarray, slope: np.ndarray) -> float:
    """The zero of the cubic through two values of different signs and their slopes."""
    low, high = t
    for _ in range(60):
        middle = (low + high) / 2
        same = (_between(t, value, slope, np.array([middle]))[0] > 0) == (value[0] > 0)
        low, high = (middle, high) if same else (low, middle)
    return (low + high) / 2


def _between(ts: np.ndarray, values: np.ndarray, slopes: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Values at times `t` by the cubics through saved values and slopes."""
    if t.size == 0:
        return np.zeros(0)
    k = np.clip(np.searchsorted(ts, t, side="right") - 1, 0, len(ts) - 2)
    h = ts[k + 1] - ts[k]
    s = (t - ts[k]) / h
    first, second = h * slopes[k], h * slopes[k + 1]
    rise = values[k + 1] - values[k]
    return values[k] + s * (first + s * (3 * rise - 2 * first - second + s * (first + second - 2 * rise)))
