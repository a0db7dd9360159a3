"""Our curves over those of AUTO, Brian2, SciPy and closed forms (`python -m benchmarks.validation [--only NAME,…]`).

A curve is one entry of CURVES. AUTO is XPPAUT's, as `xpplab` (extra `bench`, GPL) brings it: a program of its own that gets
a file of equations and answers with numbers. Every curve gives a JSON file and a picture; the site makes its page of them.
"""

import argparse
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import quad, solve_ivp
from scipy.interpolate import CubicSpline

import nmmjax as nmm
from nmmjax._optional import optional
from nmmjax.branches.collocation import orbit_at
from nmmjax.models.qif_network import cauchy

from .brian import PEAK, in_brian
from .record import RESULTS, machine

MPR_ODE = """
par eta={eta}, J={J}, D={Delta}, g={g}
init r={r}, v={v}
r' = D/pi + 2*r*v - g*r
v' = v^2 + eta + J*r - (pi*r)^2
@ total=50, dt=0.01
done
"""
FHN_ODE = """
par I=-0.5, a=0.7, b=0.8, e=0.08
init x=-1.3, w=-0.7
x' = x - x^3/3 - w + I
w' = e*(x + a - b*w)
@ total=50, dt=0.01
done
"""
ING_ODE = """
par D=0.9, eta=4, J=-21, ts=0.5
init r=0.25, v=-0.57, s=0.25
r' = D/pi + 2*r*v
v' = v^2 + eta + J*s - (pi*r)^2
s' = (r - s)/ts
@ total=50, dt=0.01
done
"""
PING_ODE = """
par I=6.5, eta=-5, D=1, tau=10, ts=1, Jei=-15, Jie=15
init re=0.0255, ve=-0.62, ri=0.015, vi=-1.06, se=0.0255, si=0.015
re' = (D/(pi*tau) + 2*re*ve)/tau
ve' = (ve^2 + eta + I - (pi*tau*re)^2 + Jei*tau*si)/tau
ri' = (D/(pi*tau) + 2*ri*vi)/tau
vi' = (vi^2 + eta - (pi*tau*ri)^2 + Jie*tau*se)/tau
se' = (re - se)/ts
si' = (ri - si)/ts
@ total=50, dt=0.01
done
"""
AUTO = """
import json, sys, time
import xpplab
task = json.load(sys.stdin)
auto = xpplab.Model.from_text(task["ode"]).auto
common = dict(ntst=120, nmax=4000, npr=100000, dsmin=1e-7, epsl=1e-11, epsu=1e-11, epss=1e-9, normmax=1e6)
start = time.perf_counter()
parts = [auto.equilibria(task["parameter"], **common | task["settings"])]
for kind, action, more in task["then"]:
    point = parts[0].first(kind)
    parts.append(auto.continue_from(point, action, **common | task["settings"] | more))
seconds = time.perf_counter() - start
keys = ("type", "value", "value2", "period", "stable", "u0")
found = [[{key: getattr(point, key) for key in keys} for point in part] for part in parts]
for point, each in zip(parts[-1], found[-1]):
    if task["orbit"] and point.label and point.type != "HB":
        orbit = auto.orbit(point)
        each["orbit"] = [orbit.t.tolist(), orbit[task["orbit"]].tolist()]
print("ANSWER" + json.dumps({"parts": found, "seconds": seconds}))
"""


class Curve(NamedTuple):
    """One curve: `compute` returns labels, (x, y) of ours and theirs, and all differences, absolute or relative."""

    name: str
    title: str
    rival: str
    about: str
    measure: str
    limit: float
    compute: Callable[[], dict[str, Any]]


def auto(ode: str, parameter: str, settings: dict, *then: Any, orbit: str = "") -> list[list[dict[str, Any]]]:
    """Points of AUTO's branch of fixed points, and of what is continued from its special points.

    `orbit`: the variable whose whole orbit is read at the points of the last part that AUTO labels, every `npr`-th.
    """
    return timed_auto(ode, parameter, settings, *then, orbit=orbit)[0]


def timed_auto(
    ode: str, parameter: str, settings: dict, *then: Any, orbit: str = ""
) -> tuple[list[list[dict[str, Any]]], float]:
    """The same, and AUTO's seconds, without starting its process and reading orbits."""
    task = {"ode": ode, "parameter": parameter, "settings": settings, "then": then, "orbit": orbit}
    done = subprocess.run([sys.executable, "-c", AUTO], input=json.dumps(task), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.partition("ANSWER")[2])
    return found["parts"], found["seconds"]


def column(points: list[dict[str, Any]], name: str) -> np.ndarray:
    values = [point["u0"][name.upper()] if name.upper() in point["u0"] else point[name] for point in points]
    return np.asarray(values, float)


def over(ours_x: Any, ours_y: Any, x: np.ndarray) -> np.ndarray:
    """Ours at `x`, by a cubic spline through our points, whose x increases or decreases; NaN beyond them."""
    ours_x, ours_y = np.asarray(ours_x, float), np.asarray(ours_y, float)
    order = np.argsort(ours_x)
    keep = np.concatenate([[True], np.diff(ours_x[order]) > 1e-12])
    return CubicSpline(ours_x[order][keep], ours_y[order][keep], extrapolate=False)(x)


def branch_points(branch: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Parameter and one variable along a single branch."""
    count = int(branch.count[0])
    return np.asarray(branch.parameter[0, :count]), np.asarray(getattr(branch.state, name)[0, :count])


def population_branch() -> dict[str, Any]:
    branch = nmm.continue_branch(nmm.MPR(J=15.0, Delta=1.0), "eta", (-8.0, 0.0), max_step=0.004, max_points=4000)
    eta, r = branch_points(branch, "r")
    ode = MPR_ODE.format(eta=-8, J=15, Delta=1, g=0, r=0.05, v=-2.5)
    (points,) = auto(ode, "eta", {"ds": 0.01, "dsmax": 0.05, "parmin": -8.5, "parmax": -0.05})
    x, y = column(points, "value"), column(points, "r")
    folds = np.sort([point["value"] for point in points if point["type"] == "LP"])
    found = np.sort(np.asarray(branch.folds.parameter)[np.isfinite(np.asarray(branch.folds.parameter))])
    return {
        "labels": ("centre of the excitabilities η (dimensionless)", "firing rate r (1/time)"),
        "ours": [(eta, r)],
        "theirs": [(x, y)],
        "differences": [*(over(r, eta, y) - x), *(folds - found)],
        "said": f"Folds: ours {found[0]:.9f}, {found[1]:.9f}; AUTO's {folds[0]:.9f}, {folds[1]:.9f}.",
    }


def fold_curve() -> dict[str, Any]:
    folds = nmm.continue_branch(nmm.MPR(J=15.0, Delta=1.0), "eta", (-8.0, 0.0)).folds
    curve = nmm.continue_fold(folds[0], "J", (-12.0, 0.0), (5.0, 20.0), max_step=0.004, max_points=4000)
    count = int(curve.count)
    eta, J = np.asarray(curve.parameters[:count]).T
    r = np.asarray(curve.state.r[:count])
    ode = MPR_ODE.format(eta=-8, J=15, Delta=1, g=0, r=0.05, v=-2.5)
    settings = {"ds": 0.01, "dsmax": 0.1, "parmin": -9.5, "parmax": -0.05, "nmax": 1500}
    both = [("LP", "two-parameter", {"parameter": "eta", "second": "J", "ds": ds}) for ds in (0.01, -0.01)]
    _, *parts = auto(ode, "eta", settings, *both)
    points = [point for part in parts for point in part if 5.5 < point["value2"] < 19.5]
    x, y, at = column(points, "value"), column(points, "value2"), column(points, "r")
    cusp = np.asarray(curve.special.parameter)
    return {
        "labels": ("centre of the excitabilities η (dimensionless)", "synaptic coupling J (dimensionless)"),
        "ours": [(eta, J)],
        "theirs": [(x, y)],
        "differences": [*(over(r, eta, at) - x), *(over(r, J, at) - y)],
        "said": f"The cusp, in closed form at η = −√3, J = 7.79621704: ours {np.ravel(cusp)[0]:.9f}.",
    }


def cycles() -> dict[str, Any]:
    model = nmm.MPR(eta=2.0, J=2.0, Delta=0.2, gap=nmm.GapJunction(0.5))
    branch = nmm.continue_branch(model, "eta", (-2.0, 2.0))
    found = nmm.continue_cycle(branch.hopfs[0], (-2.0, 2.0), max_step=0.01, max_points=600, intervals=60)
    count = int(found.count)
    eta, period = np.asarray(found.parameter[:count]), np.asarray(found.period[:count])
    ode = MPR_ODE.format(eta=-2, J=2, Delta=0.2, g=0.5, r=0.05, v=-1.0)
    settings = {"ds": 0.01, "dsmax": 0.05, "parmin": -2.5, "parmax": 1.9, "nmax": 400}
    fixed, points = auto(ode, "eta", settings, ("HB", "periodic", {}))
    hopf = next(point["value"] for point in fixed if point["type"] == "HB")
    x, y = column(points, "value"), column(points, "period")
    kept = x > hopf + 1e-3
    ours = float(np.asarray(branch.hopfs.parameter)[0])
    return {
        "labels": ("centre of the excitabilities η (dimensionless)", "period of the cycle (unit of τ)"),
        "ours": [(eta, period)],
        "theirs": [(x[kept], y[kept])],
        "differences": [*(over(eta, period, x[kept]) / y[kept] - 1), ours - hopf],
        "said": f"Hopf point: ours {ours:.9f}, AUTO's {hopf:.9f}.",
    }


def ends_of(t: Any, x: Any) -> tuple[float, float]:
    """Largest and smallest value of an orbit given at some times of one period, by a spline."""
    spline = CubicSpline(t, [*x[:-1], x[0]], bc_type="periodic")
    values = spline(spline.derivative().roots(extrapolate=False))
    return float(values.max()), float(values.min())


class Rhythm(NamedTuple):
    """A circuit's branch of cycles, and AUTO's: equations, names, settings, what our parameter exceeds AUTO's by."""

    branch: Callable[[], Any]
    ode: str
    parameter: str
    variable: str
    settings: dict[str, float]
    shift: float
    about: str

    def auto(self, intervals: int = 120, orbit: str = "") -> tuple[list[list[dict[str, Any]]], float]:
        more = {"npr": 4, "nmax": 160, "dsmax": 0.1, "ntst": intervals}
        return timed_auto(self.ode, self.parameter, self.settings, ("HB", "periodic", more), orbit=orbit)


def ing_branch() -> Any:
    ing = nmm.MPR(eta=4.0, J=-21.0, Delta=0.3, synapse=nmm.ExponentialSynapse(tau=0.5))
    hopf = nmm.find_hopf(ing, "Delta", {"r": 0.18, "v": -0.41, "s": 0.18})
    return nmm.continue_cycle(hopf, (0.1, 0.9), intervals=48, max_step=0.2)


def ping_branch() -> Any:
    start = {"r": [0.027, 0.015], "v": [-0.5, -1.0], "s": [0.027, 0.015]}
    hopf = nmm.find_hopf(nmm.dumont_gutkin(I_e=7.6), "node.eta[e]", start)
    return nmm.continue_cycle(hopf, (2.0, 6.2), intervals=32, max_step=0.2)


RHYTHMS = {
    "ing": Rhythm(ing_branch, ING_ODE, "D", "r", {"ds": -0.01, "dsmax": 0.02, "parmin": 0.14, "parmax": 1.0}, 0.0,
                  "half-width Δ (dimensionless)"),
    "ping": Rhythm(ping_branch, PING_ODE, "I", "re", {"ds": 0.05, "dsmax": 0.1, "parmin": 6.0, "parmax": 11.0}, -5.0,
                   "input to e, I (dimensionless)"),
}  # fmt: skip


def rhythm(name: str, cycles: Any = None) -> dict[str, Any]:
    """Periods and extremes of a circuit's cycles at the parameters of AUTO's labelled points, where ours are solved for."""
    circuit = RHYTHMS[name]
    cycles = circuit.branch() if cycles is None else cycles
    fixed, points = circuit.auto(orbit=circuit.variable)[0]
    hopf = next(point["value"] for point in fixed if point["type"] == "HB")
    kept = [point for point in points if "orbit" in point and abs(point["value"] - hopf) > 1e-3]
    x, period = column(kept, "value"), column(kept, "period")
    ends = np.array([ends_of(*point["orbit"]) for point in kept])
    found = jax.lax.map(lambda at: nmm.phase_response(cycles, at=at), jnp.asarray(x + circuit.shift))
    mesh, rate = found.phase[:, :: found.degree], found.state.r.reshape(*found.phase.shape, -1)[:, :-1, :1]
    fine = jnp.linspace(0.0, 1.0, 4001)
    ours = np.array([ends_of(fine, orbit_at(*each, fine)[:, 0]) for each in zip(rate, mesh, strict=True)])
    count = int(cycles.count)
    line = np.asarray(cycles.parameter[:count]) - circuit.shift
    high, low = (np.asarray(each.r[:count]).reshape(count, -1)[:, 0] for each in (cycles.maximum, cycles.minimum))
    both = {"period": (found.period, period), "maximum": (ours[:, 0], ends[:, 0]), "minimum": (ours[:, 1], ends[:, 1])}
    differences = {name: np.asarray(a) / b - 1 for name, (a, b) in both.items()} | {
        "Hopf point": np.atleast_1d(line[0] / hopf - 1)
    }
    largest = {name: float(np.abs(each).max()) for name, each in differences.items()}
    said = ", ".join(f"{name} {value:.1e}" for name, value in largest.items())
    return {
        "labels": (circuit.about, "period of the cycle"),
        "ours": [(line, cycles.period[:count])],
        "theirs": [(x, period)],
        "also": ("largest and smallest rate r", [(line, high), (line, low)], [(x, ends[:, 0]), (x, ends[:, 1])]),
        "differences": np.concatenate(list(differences.values())),
        "largest": largest,
        "said": f"Hopf point: ours {line[0]:.9f}, AUTO's {hopf:.9f}. Largest relative differences: {said}.",
    }


class FitzHughNagumo(nmm.extend.AbstractModel):
    """As in the README."""

    a: jax.Array = nmm.extend.parameter(0.7, symbol="a", doc="offset of the recovery")
    b: jax.Array = nmm.extend.parameter(0.8, symbol="b", doc="decay of the recovery")
    epsilon: jax.Array = nmm.extend.parameter(0.08, symbol="ε", bounds="(0, inf)", doc="slowness of the recovery")
    drive: jax.Array = nmm.extend.parameter(0.0, symbol="I", doc="input")
    variables = {"V": nmm.extend.Variable("membrane potential"), "w": nmm.extend.Variable("recovery")}  # noqa: RUF012

    def vector_field(self, t, y, I=0.0):
        dV = y.V - y.V**3 / 3 - y.w + self.drive + I
        return nmm.State(V=dV, w=self.epsilon * (y.V + self.a - self.b * y.w))


def own_model() -> dict[str, Any]:
    guess = {"V": -1.5, "w": -1.0}
    branch = nmm.continue_branch(FitzHughNagumo(), "drive", (-0.5, 2.0), guess=guess, max_step=0.004, max_points=4000)
    I, V = branch_points(branch, "V")
    (points,) = auto(FHN_ODE, "I", {"ds": 0.01, "dsmax": 0.02, "parmin": -0.6, "parmax": 1.9})
    x, y = column(points, "value"), column(points, "x")
    hopfs = np.sort([point["value"] for point in points if point["type"] == "HB"])
    found = np.sort(np.asarray(branch.hopfs.parameter)[np.isfinite(np.asarray(branch.hopfs.parameter))])
    return {
        "labels": ("input I (dimensionless)", "membrane potential V (dimensionless)"),
        "ours": [(I, V)],
        "theirs": [(x, y)],
        "differences": [*(over(I, V, x) - y), *(hopfs - found)],
        "said": f"Hopf points: ours {found[0]:.9f}, {found[1]:.9f}; AUTO's {hopfs[0]:.9f}, {hopfs[1]:.9f}.",
    }


def scipys_run(field: Callable, y0: Any, pieces: Any) -> tuple[np.ndarray, np.ndarray]:
    """Times and states of DOP853 at rtol 1e-13, piece after piece (times, input)."""
    times, states, y = [], [], np.asarray(y0, float)
    for ts, I in pieces:
        part = solve_ivp(field, (ts[0], ts[-1]), y, "DOP853", ts, args=(I,), rtol=1e-13, atol=1e-14)
        y = part.y[:, -1]
        times.append(part.t)
        states.append(part.y)
    return np.concatenate(times), np.concatenate(states, axis=1)


def run_with_pulse() -> dict[str, Any]:
    ends = ((0.0, 10.0, 0.0), (10.0, 20.0, 3.0), (20.0, 60.0, 0.0))
    pieces = [(np.linspace(a, b, int(50 * (b - a)) + 1), I) for a, b, I in ends]
    field = lambda t, y, I: [1 / np.pi + 2 * y[0] * y[1], y[1] ** 2 - 5 + I + 15 * y[0] - (np.pi * y[0]) ** 2]
    t, (r, _) = scipys_run(field, (0.08, -1.96), pieces)
    ts = np.unique(t)
    pulse = nmm.Pulse(amplitude=3.0, start=10.0, stop=20.0)
    run = nmm.simulate(nmm.MPR(), {"r": 0.08, "v": -1.96}, jnp.asarray(ts), stimulus=pulse, rtol=1e-11, atol=1e-13)
    ours = np.asarray(run.ys.r)[np.searchsorted(ts, t)]
    labels = ("time t (unit of τ)", "firing rate r (1/time)")
    return {"labels": labels, "ours": [(ts, run.ys.r)], "theirs": [(t[::10], r[::10])], "differences": ours / r - 1}


def burst() -> dict[str, Any]:
    J, tau, alpha = 15 * 2**0.5, 10.0, 0.05
    model = nmm.MPR(eta=-5.5, J=J, Delta=2.0, adaptation=nmm.SynapticDepression(alpha=alpha, tau=tau))
    ts = np.linspace(0.0, 80.0, 4001)

    def field(t, y, _):
        r, v, A, B = y
        return [
            2 / np.pi + 2 * r * v,
            v**2 - 5.5 + J * (1 - A) * r - (np.pi * r) ** 2,
            B / tau,
            alpha * r - A / tau - 2 * B / tau,
        ]

    run = nmm.simulate(model, {"r": 0.2, "v": -1.0}, jnp.asarray(ts), rtol=1e-11, atol=1e-13)
    start = [float(getattr(run.ys, name)[0]) for name in ("r", "v", "A", "B")]
    field_of_ours = model.vector_field(0.0, nmm.State(r=0.7, v=0.3, A=0.2, B=0.1), 0.0)
    scale = float(field_of_ours.B) / field(0, (0.7, 0.3, 0.2, 0.1), 0)[3]
    assert abs(scale - 1) < 1e-12, "the slow equations are written differently"
    t, (r, *_) = scipys_run(field, start, [(ts, 0.0)])
    labels = ("time t (unit of τ)", "firing rate r (1/time)")
    return {
        "labels": labels,
        "ours": [(ts, run.ys.r)],
        "theirs": [(t[::20], r[::20])],
        "differences": np.asarray(run.ys.r) / r - 1,
    }


def mean_rate() -> dict[str, Any]:
    J, Delta, D = 15.0, 1.0, 0.4
    T = np.pi * D / Delta

    def scipys(eta):
        V = lambda x: eta * np.exp(-x) + np.pi**2 * np.exp(x) - J * x + Delta**2 / (12 * np.pi**2) * np.exp(-3 * x)
        grid = np.linspace(-6, 3, 20_001)
        low = V(grid).min()
        weight = lambda x, power: np.exp(-(V(x) - low) / T + (power - 0.5) * x)
        parts = np.linspace(-5, 2.5, 31)
        whole = [sum(quad(weight, a, b, (power,), epsabs=0, epsrel=1e-13)[0] for a, b in pairwise(parts))
                 for power in (0, 1)]  # fmt: skip
        return whole[1] / whole[0]

    etas = np.linspace(-7.0, 0.0, 57)
    ours = jax.vmap(lambda eta: nmm.boltzmann(nmm.MPR(eta=eta, J=J, Delta=Delta), noise=D).mean_rate)(jnp.asarray(etas))
    theirs = np.array([scipys(eta) for eta in etas])
    labels = ("centre of the excitabilities η (dimensionless)", "mean rate ⟨r⟩ (1/time)")
    return {
        "labels": labels,
        "ours": [(etas, ours)],
        "theirs": [(etas, theirs)],
        "differences": np.asarray(ours) / theirs - 1,
    }


def periods() -> dict[str, Any]:
    etas = np.geomspace(0.1, 20.0, 60)
    energy = lambda eta: 2 * jnp.pi * jnp.sqrt(eta) * 1.5
    found = jax.vmap(lambda eta: nmm.orbit(nmm.MPR(eta=eta, J=0.0, Delta=0.0), energy(eta)).period)(jnp.asarray(etas))
    exact = np.pi / np.sqrt(etas)
    labels = ("centre of the excitabilities η (dimensionless)", "period of the orbit (unit of τ)")
    return {
        "labels": labels,
        "ours": [(etas, found)],
        "theirs": [(etas, exact)],
        "differences": np.asarray(found) / exact - 1,
    }


def neurons() -> dict[str, Any]:
    brian2 = optional("brian2", "bench")
    brian2.prefs.codegen.target = "cython"
    N, dt, T, width, y0 = 50_000, 2e-4, 10.0, 0.1, {"r": 0.6, "v": 0.0}
    network = nmm.QIFNetwork(nmm.MPR(), N)
    given = (-5.0 + network.standard_currents(), np.pi * y0["r"] * cauchy(network.places(0)), 15.0)
    theirs, _ = in_brian(brian2, *given, dt, T, width, late=1 / PEAK)
    fine = np.asarray(nmm.simulate(nmm.MPR(), y0, np.linspace(0.0, T, 5001)).ys.r)
    ours = ((fine[1:] + fine[:-1]) / 2).reshape(theirs.size, -1).mean(axis=1)
    t = width * (np.arange(theirs.size) + 0.5)
    spiking = nmm.simulate(network, y0, np.linspace(0.0, T, theirs.size + 1)).neurons.counts / (N * width)
    said = f"Our own {N} neurons differ from it by {np.abs(np.asarray(spiking) - ours).max():.2g} at most."
    labels = ("time t (unit of τ)", "spikes per neuron and time")
    return {"labels": labels, "ours": [(t, ours)], "theirs": [(t, theirs)], "differences": theirs - ours, "said": said}


CURVES = (
    Curve("population_branch", "Fixed points of a population over η", "AUTO",
          "`continue_branch` at J = 15, Δ = 1: an S with two folds. η at equal r is compared, and both folds.",
          "in η", 1e-6, population_branch),
    Curve("fold_curve", "Folds over η and J", "AUTO",
          "`continue_fold` from a fold of the S, through the cusp at which two folds meet. η and J at equal r are compared.",
          "in η or J", 1e-6, fold_curve),
    Curve("cycles", "Period of the cycles that gap junctions sustain", "AUTO",
          "`continue_cycle` from the Hopf point at J = 2, Δ = 0.2, g = 0.5, with collocation of degree 4 on both sides.",
          "relative; Hopf point in η", 1e-5, cycles),
    Curve("ing", "Period and extremes of an inhibitory population's rhythm (ING)", "AUTO",
          "`continue_cycle` from the Hopf point at η = 4, J = −21, τ_s = 0.5, over Δ, and at AUTO's values of Δ "
          "`phase_response`, which solves for the cycle; collocation of degree 4 on both sides, 48 intervals in ours, 120 "
          "in AUTO's.", "relative", 1e-5, lambda: rhythm("ing")),
    Curve("ping", "Period and extremes of the rhythm of excitation and inhibition (PING)", "AUTO",
          "`dumont_gutkin`, the circuit of `ping`, over the constant input of e from the Hopf point on, time in ms and "
          "rates in kHz; 32 intervals in ours, 120 in AUTO's.", "relative", 1e-5, lambda: rhythm("ping")),
    Curve("own_model", "Fixed points of a user's model", "AUTO",
          "`continue_branch` of FitzHugh and Nagumo's oscillator, the README's class. V at equal input and both Hopf points "
          "are compared.", "in V or I", 1e-6, own_model),
    Curve("run_with_pulse", "A run through a pulse", "SciPy, DOP853 at rtol 1e-13",
          "`simulate` with Tsit5 at rtol 1e-11: the README's first run, in float64.", "relative in r", 1e-9, run_with_pulse),
    Curve("burst", "A bursting run", "SciPy, DOP853 at rtol 1e-13",
          "`simulate` with Tsit5 at rtol 1e-11, synaptic depression, η = −5.5; the equations are written again in NumPy.",
          "relative in r", 1e-9, burst),
    Curve("neurons", "Firing rate of spiking neurons", "Brian2",
          "The mean field of `MPR(eta=-5, J=15, Delta=1)`, averaged over bins of 0.1, against 50 000 neurons in Brian2 "
          "(Euler, dt = 2e-4, threshold and reset ±100, spikes delivered when V would be infinite).", "1/time", 3e-2,
          neurons),
    Curve("mean_rate", "Mean rate under noise", "SciPy, quad at 1e-13",
          "`boltzmann` at J = 15, Δ = 1, D = 0.4, against quadrature of r^(−3/2) exp(−V/T).", "relative", 1e-12, mean_rate),
    Curve("periods", "Period of orbits without coupling", "π/√η",
          "`orbit` at J = Δ = 0 at 1.5 times the lowest energy, against its closed form.", "relative", 1e-11, periods),
)  # fmt: skip


def draw(curve: Curve, found: dict[str, Any], path: pathlib.Path) -> None:
    """Ours as lines, theirs as circles, and below the differences."""
    import matplotlib.pyplot as plt

    panels = [(found["labels"][1], found["ours"], found["theirs"]), *([found["also"]] if "also" in found else [])]
    ratios = [2.4 / len(panels) ** 0.5] * len(panels) + [1.0]
    size = (7.0, 2.2 + 3.4 * len(panels) ** 0.5)
    figure, axes = plt.subplots(len(ratios), 1, figsize=size, layout="constrained", height_ratios=ratios)
    for axis, (label, ours, theirs) in zip(axes, panels, strict=False):
        for k, (x, y) in enumerate(ours):
            axis.plot(x, y, color="#1f5fa8", linewidth=1.4, label=None if k else "nmmjax")
        for k, (x, y) in enumerate(theirs):
            every = max(len(x) // 60, 1)
            axis.plot(x[::every], y[::every], "o", mfc="none", ms=5, color="#d1651a", label=None if k else curve.rival)
        axis.set(xlabel=found["labels"][0], ylabel=label)
    axes[0].legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    size = np.abs(np.asarray(found["differences"], float))
    axes[-1].semilogy(np.where(size > 0, size, np.nan), ".", ms=3, color="#5b5b5b")
    axes[-1].axhline(curve.limit, color="#d1651a", linestyle="--", linewidth=1)
    axes[-1].set(xlabel="number of the point (dashed: limit)", ylabel=f"difference\n({curve.measure})")
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25, linewidth=0.6)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    names = [curve.name for curve in CURVES]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(names), help=f"some of {','.join(names)}, with commas")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS / "validation")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number, curve in enumerate(CURVES):
        if curve.name not in arguments.only.split(","):
            continue
        found = curve.compute()
        size = np.abs(np.asarray(found["differences"], float))
        size = size[np.isfinite(size)]
        largest = float(size.max())
        entry = {
            **{key: getattr(curve, key) for key in ("name", "title", "rival", "measure", "limit")},
            "about": " ".join([curve.about, found.get("said", "")]).strip(),
            "number": number,
            "points": int(size.size),
            "largest_difference": largest,
            "median_difference": float(np.median(size)),
            "met": largest <= curve.limit,
            "machine": machine(),
        }
        text = json.dumps(entry, indent=1, ensure_ascii=False)
        (arguments.out / f"curve_{curve.name}.json").write_text(text + "\n", encoding="utf8")
        draw(curve, found, arguments.out / f"{curve.name}.png")
        print(f"{curve.name}: {largest:.2e} {curve.measure}, {size.size} points, limit {curve.limit:g}", flush=True)


if __name__ == "__main__":
    main()
