"""Claim (s): what delays do to a state of rest, from the roots of one equation, against runs with delays."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._labelled import xarray
from .._optional import optional
from ..branches.characteristic import characteristic_roots
from ..branches.patterns import master_stability
from ..branches.points import find_hopf
from ..models.mpr import MPR
from ..models.network import Network
from ..solvers.simulation import simulate
from .claim import Evidence, at_most, close_to

_NODE: dict[str, Any] = {"eta": 1.0, "J": 0.0}
_GOLDEN = (  # Δ, D, J, ω
    (0.1, 3.0, -2.3920482, 0.95846589),
    (0.1, 2.0, -1.53916343, 1.34155113),
    (0.1, 1.5, 1.01961794, 2.48543319),
    (0.0, 3.0, -2.11608727, np.pi / 3),
)
_NEAR = {"r": 0.24, "v": -0.05}
_SMALL = 1e-6  # deviations of r, relative
_BLUE, _ORANGE = "#1f5fa8", "#d1651a"


def _population(J: Any, Delta: Any = 0.1, D: Any = 3.0) -> Network:
    """A population whose coupling to itself takes the time D."""
    return Network(MPR(**_NODE, Delta=Delta), np.ones((1, 1)), J, delay=D)


def delays(quick: bool) -> Evidence:
    """(s) Rhythms and patterns that delays make follow from the characteristic roots of the state of rest."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    rows = []
    for Delta, D, J, omega in _GOLDEN:
        found = find_hopf(_population(1.02 * J, Delta, D), "gain", {"r": 0.24 if J < 0 else 0.37, "v": -0.05 * (Delta > 0)})
        rows.append(close_to(f"Hopf point at Δ = {Delta:g}, D = {D:g}: J", found.parameter, J, 1e-7))
        rows.append(close_to(f"Hopf point at Δ = {Delta:g}, D = {D:g}: ω", found.omega, omega, 1e-7))
    figure, axes = pyplot.subplots(1, 3, figsize=(14.0, 4.2), layout="constrained")
    late, J_H, omega_H = _curve(np.linspace(1.7, 3.6, 12 if quick else 39))
    axes[0].plot(late, J_H, color=_BLUE, label="coupling J")
    axes[0].plot(late, omega_H, color=_ORANGE, label="angular frequency ω (1/time)")
    axes[0].plot([each[1] for each in _GOLDEN[:2]], [each[2] for each in _GOLDEN[:2]], "o", color="black", label="golden")
    axes[0].set(xlabel="delay D (unit of τ)", ylabel="J (dimensionless), ω (1/time)", title="a late inhibition oscillates")

    J, theory, measured = _around_hopf(np.linspace(-2.8, -2.1, 4 if quick else 12))
    rows.append(
        at_most("growth and frequency beside the Hopf point, run less root", np.max(np.abs(measured - theory)), 1e-6)
    )
    axes[1].plot(J, theory.real, color=_BLUE, label="growth rate Re λ")
    axes[1].plot(J, theory.imag / 10, color=_ORANGE, label="Im λ/10")
    axes[1].plot(J, measured.real, "o", color=_BLUE, label="of runs")
    axes[1].plot(J, measured.imag / 10, "o", color=_ORANGE)
    axes[1].axhline(0, color="black", linewidth=0.7)
    axes[1].set(xlabel="coupling J (dimensionless)", ylabel="rate (1/time)", title="beside the Hopf point, D = 3")

    Lambda, modes, seen, line, curve = _patterns()
    rows.append(at_most("growth and frequency of 9 patterns of a ring, run less root", np.max(np.abs(seen - modes)), 1e-6))
    rows.append(
        at_most("those that grow in the run, less those predicted", np.sum(seen.real > 0) - np.sum(modes.real > 0), 0.0)
    )
    axes[2].plot(line, curve, color=_BLUE, label="largest root")
    axes[2].plot(Lambda, seen.real, "o", color=_ORANGE, label="patterns of a run")
    axes[2].axhline(0, color="black", linewidth=0.7)
    axes[2].set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
    axes[2].set(xlabel="eigenvalue Λ of the weights (dimensionless)", ylabel="growth rate Re λ (1/time)",
                title="16 populations in a ring, D = 3")  # fmt: skip
    amplitude, frequency = _cycle()
    rows.append(at_most("amplitude of the cycle born there, run over prediction, less 1", amplitude - 1, 0.02))
    rows.append(at_most("its frequency over ω, less 1", frequency - 1, 1e-3))
    for each in axes:
        each.legend(frameon=False, fontsize=8)
    data = xr.Dataset(
        {
            "J_hopf": ("delay", J_H, {"units": "1"}),
            "omega_hopf": ("delay", omega_H, {"units": "1/time"}),
            "growth": ("J", theory.real, {"units": "1/time"}),
            "growth_of_runs": ("J", measured.real, {"units": "1/time"}),
            "omega": ("J", theory.imag, {"units": "1/time"}),
            "omega_of_runs": ("J", measured.imag, {"units": "1/time"}),
            "pattern_growth": ("Lambda", modes.real, {"units": "1/time"}),
            "pattern_growth_of_run": ("Lambda", seen.real, {"units": "1/time"}),
        },
        coords={"delay": late, "J": J, "Lambda": Lambda},
    )
    return Evidence(rows, data, figure)


def _curve(D: np.ndarray) -> tuple[Any, Any, Any]:
    """J and ω of the Hopf point over the delay, each from the one before; from D = 3 both ways."""
    found: dict[float, tuple[float, float]] = {}
    for part in (np.flatnonzero(D >= 3), np.flatnonzero(D < 3)[::-1]):
        J, y = _GOLDEN[0][2], _NEAR
        for k in part:
            point = find_hopf(_population(jnp.asarray(J), D=jnp.asarray(D[k])), "gain", y)
            J, y = float(point.parameter), point.state
            found[float(D[k])] = (J, float(point.omega))
    values = np.array([found[float(each)] for each in D])
    return D, values[:, 0], values[:, 1]


def _around_hopf(J: np.ndarray) -> tuple[Any, Any, Any]:
    """The rightmost root at every J, and the same of runs."""
    theory, measured = [], []
    for each in J:
        network = _population(jnp.asarray(each))
        found = characteristic_roots(network, _NEAR)
        theory.append(complex(found.rightmost))
        measured.append(_rate(_deviation(network, found.state, np.ones(1))[:, 0]))
    return J, np.array(theory), np.array(measured)


def _patterns() -> tuple[Any, Any, Any, Any, Any]:
    """Λ, roots and measured rates of the patterns of a ring, and the dispersion relation between."""
    n = 16
    ring = (np.roll(np.eye(n), 1, axis=1) + np.roll(np.eye(n), -1, axis=1)) / 2
    network = Network(MPR(**_NODE, Delta=0.1), ring, -2.3, delay=3.0)
    Lambda, line = np.cos(2 * np.pi * np.arange(n // 2 + 1) / n), np.linspace(-1.0, 1.0, 101)
    roots = master_stability(network, guess=_NEAR, Lambda=np.concatenate([Lambda, line]))
    first: Any = np.asarray(roots.exponents)[:, 0]
    uniform = network.state({name: float(value) for name, value in roots.state.variables.items()})
    course = np.fft.rfft(_deviation(network, uniform, np.eye(n)[0]), axis=1).real
    return Lambda, first[: Lambda.size], np.array([_rate(each) for each in course.T]), line, first[Lambda.size :].real


def _deviation(network: Network, y: Any, shape: np.ndarray) -> np.ndarray:
    """Half the difference of two runs from opposite small deviations of r, from time 20 on, every ½: without the square of
    the deviations and the error of the state of rest."""
    ts = np.linspace(0.0, 60.0, 121)
    away = lambda sign: {"r": np.asarray(y.r) * (1 + sign * _SMALL * shape), "v": y.v}
    runs = [np.asarray(simulate(network, away(sign), ts, dt0=0.05).ys.r) for sign in (1, -1)]
    return (runs[0] - runs[1])[40:] / (2 * _SMALL)


def _rate(x: np.ndarray, h: float = 0.5, order: int = 6) -> complex:
    """λ of the largest of the exponentials Re c e^(λt) that x (k,) is a sum of, by Prony's method: x obeys a linear
    recursion, whose characteristic roots are e^(λh)."""
    past = np.stack([x[order - 1 - k : x.size - 1 - k] for k in range(order)], axis=1)
    steps: Any = np.roots([1.0, *-np.linalg.lstsq(past, x[order:], rcond=None)[0]]).astype(complex)
    share = np.linalg.lstsq(steps[None] ** np.arange(x.size)[:, None], x.astype(complex), rcond=None)[0]
    rates: Any = np.log(steps) / h
    return complex(rates[np.argmax(np.where(rates.imag >= 0, np.abs(share) * np.abs(steps) ** (x.size // 2), 0))])


def _cycle() -> tuple[float, float]:
    """Amplitude of r on the cycle beyond the Hopf point over that which l₁ predicts, and its frequency over that there, both
    as J → J_H by two distances."""
    point = find_hopf(_population(-2.39), "gain", _NEAR)
    J_H, omega, l = float(point.parameter), float(point.omega), float(point.lyapunov)
    r, v = float(point.state.r[0]), float(point.state.v[0])
    share = 1 / (1 + abs((1j * omega - 2 * v) / (2 * r)) ** 2)  # |q_r|² of the eigenvector of size 1
    ratios, frequencies = [], []
    for distance in (0.02, 0.04):
        network = _population(jnp.asarray(J_H - distance))
        growth = complex(characteristic_roots(network, _NEAR).rightmost).real
        predicted = 2 * np.sqrt(-growth / (l * omega) * share)
        start = {"r": r + predicted, "v": v}
        run = simulate(network, start, np.linspace(0.0, 2000.0, 20_001), dt0=0.05)
        x = np.asarray(run.ys.r)[16_000:, 0]
        ratios.append((x.max() - x.min()) / 2 / predicted)
        up = np.flatnonzero((x[:-1] < x.mean()) & (x[1:] >= x.mean()))
        crossing = up + (x.mean() - x[up]) / (x[up + 1] - x[up])
        frequencies.append(2 * np.pi / (0.1 * np.diff(crossing).mean()) / omega)
    amplitude, frequency = (2 * each[0] - each[1] for each in (ratios, frequencies))
    return amplitude, frequency
