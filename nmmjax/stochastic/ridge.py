"""Intervals of a stationary fit whose likelihood is a long ridge: profile likelihood over the temperature.

A recording that stays in one well shows little but its position, width and skewness: θ/|θ| is known far better than |θ|,
that is, T to a factor only, and the parameters along the ridge are anything but normal. So θ₂ = −π²/T is held at many
values, the other three are fitted again (their law given T is narrow, and normal), and a parameter's interval is the union
over T of

    value(T) ± s(T) √(χ²₁ − deviance(T)),       deviance(T) = 2 n (ℓ_max − ℓ(T))

with n the effective number of samples for θ₂. Source: Cox & Barndorff-Nielsen, Inference and Asymptotics (1994) §3.4.
"""

from typing import Any

import numpy as np

from ..numerics.linear import solve_scaled
from .exponential_family import MIXTURE, quadrature_of

_FACTOR = 1.6  # between neighbouring temperatures, at most
_FIRST, _GROWTH = 0.4, 1.2  # steps in ln T: the first in units of T's relative error, and how much each exceeds the last
_MOST = 1e5  # times the fitted temperature, or one over it: the interval has no end there
_BETWEEN = 16  # temperatures interpolated for each step
_STEPS = 60


def along_temperature(
    psi: Any, mean: Any, width: float, C: object, least: float, count: int, highest: float, error: float
) -> tuple[Any, Any, Any]:
    """(ψ (k, 4), deviance (k,), covariance of ψ given T (k, 4, 4)) at temperatures below and above that of `psi`.

    `least` is the smallest loss of samples to correlations to reckon with, `error` the relative error of T, which sets the
    steps. It goes to either side until the deviance exceeds `highest`, or T is `_MOST` times larger or smaller.
    """
    quadrature, wall = quadrature_of(width), MIXTURE[:, 1]
    base = quadrature(psi)
    gain = solve_scaled(base[2], wall)
    # Of θ₂'s variance by correlations; C alone is too rough for directions that the data hardly see.
    inflation = max(float(gain @ C @ gain) / float(gain @ wall), least)
    top = psi @ mean - base[0]
    # Directions that leave θ₂ as it is, and of those the ones that leave θ₄ too; in units of each ψ's own error.
    scale = 1 / np.sqrt(np.diag(base[2]))
    basis, flat = (_across(rows, scale) for rows in (MIXTURE[:, [1]], MIXTURE[:, [1, 3]]))
    found = [(psi, 0.0, _given(base[2], basis, inflation / count))]
    for direction in (1, -1):
        now, step, total = psi, _FIRST * max(error, 0.01), 0.0
        while total < np.log(_MOST):
            step = min(step, np.log(_FACTOR))
            ratio, total, step = np.exp(direction * step), total + step, step * _GROWTH
            moved = _refit(quadrature, now * ratio, now, mean, (basis, flat), (wall @ now) * ratio)
            if moved is None:
                break
            now, state = moved
            deviance = 2 * count / inflation * max(top - (now @ mean - state[0]), 0.0)
            found.append((now, deviance, _given(state[2], basis, inflation / count)))
            if deviance > highest:
                break
    psis, deviances, covariances = (np.array(each) for each in zip(*found, strict=True))
    return psis, deviances, covariances


def _across(rows: Any, scale: Any) -> Any:
    """A basis (4, k) of the directions across `rows` (4, 4 − k)."""
    return scale[:, None] * np.linalg.svd((rows * scale[:, None]).T)[2][rows.shape[1] :].T


def _given(information: Any, basis: Any, variance: float) -> Any:
    """The covariance of ψ at given θ₂."""
    return variance * basis @ solve_scaled(basis.T @ information @ basis, np.eye(3)) @ basis.T


def _refit(quadrature: Any, guess: Any, last: object, mean: object, bases: Any, target: float) -> Any:
    """ψ at the given θ₂ and the state there, by damped Newton steps from two starts; None if absent."""
    found = [_descend(quadrature, start, mean, bases, target) for start in (guess, last)]
    fine = [each for each in found if each is not None]
    return min(fine, key=lambda each: each[1][0] - each[0] @ mean) if fine else None


def _descend(quadrature: Any, start: Any, mean: object, bases: Any, target: float) -> Any:
    wall, floor = MIXTURE[:, 1], MIXTURE[:, 3]
    psi = start + 0.0
    psi[3] = min(psi[3], 0.0)
    psi = psi + (target - wall @ psi) / (wall[:3] @ wall[:3]) * np.append(wall[:3], 0.0)
    state = quadrature(psi)
    if not _is_fine(state):
        return None
    basis, flat = bases
    for _ in range(_STEPS):
        gradient = state[1] - mean
        if np.any(np.diag(basis.T @ state[2] @ basis) <= 0):  # lost in rounding: too far out
            return None
        held = floor @ psi > -1e-10
        ways = flat if held and _newton(basis, state[2], gradient) @ floor > 0 else basis
        step = _newton(ways, state[2], gradient)
        decrement = -gradient @ step
        if decrement < 1e-12:
            break
        before = state[0] - psi @ mean
        room = 1.0 if floor @ (psi + step) <= 0 else -(floor @ psi) / (floor @ step)
        size = min(1.0, room)
        for _ in range(40):
            trial = quadrature(psi + size * step)
            if _is_fine(trial) and trial[0] - (psi + size * step) @ mean <= before - 1e-4 * size * decrement + 1e-13:
                break
            size /= 2
        else:
            break
        psi, state = psi + size * step, trial
        psi[3] = min(psi[3], 0.0)
    return psi, state


def _newton(ways: Any, information: Any, gradient: Any) -> Any:
    return -ways @ solve_scaled(ways.T @ information @ ways, ways.T @ gradient)


def _is_fine(state: Any) -> bool:
    """Whether there is a density, and its information is not lost in rounding."""
    return state is not None and bool(np.all(np.isfinite(state[2])) and np.all(np.diag(state[2]) > 0))


def _interpolated(theta: Any, deviance: Any, covariance: Any) -> Any:
    """The same at `_BETWEEN` temperatures more per step: θ/θ₂, ln T, ± √deviance and the covariance over θ₂² are smooth."""
    number = np.arange(deviance.size)
    at = np.linspace(0, number[-1], number[-1] * _BETWEEN + 1)
    between = lambda values: np.stack(
        [np.interp(at, number, each) for each in values.reshape(number.size, -1).T], axis=1
    ).reshape(at.size, *values.shape[1:])
    wall = theta[:, 1]
    sign = np.where(number < np.argmin(deviance), -1.0, 1.0)
    fine = -np.exp(between(np.log(-wall)))
    ratios, spread = between(theta / wall[:, None]), between(covariance / wall[:, None, None] ** 2)
    return ratios * fine[:, None], between(sign * np.sqrt(deviance)) ** 2, spread * fine[:, None, None] ** 2


def intervals(theta: Any, deviance: Any, covariance: Any, quantile: float) -> dict[str, tuple[float, float]]:
    """Intervals of η, J, Δ, D, T: unions over temperatures; 0 or ∞ at an end at which the ridge was not left.

    `theta` (k, 4), `covariance` (k, 4, 4) given T, `quantile` χ²₁ of the level.
    """
    order = np.argsort(theta[:, 1])  # T rises
    theta, deviance, covariance = _interpolated(theta[order], deviance[order], covariance[order])
    kept = deviance <= quantile
    z = np.sqrt(np.maximum(quantile - deviance, 0))[kept]
    T = -(np.pi**2) / theta[kept, 1]
    spread = np.sqrt(np.maximum(np.diagonal(covariance[kept], axis1=1, axis2=2), 0)) * z[:, None]
    low, high = theta[kept] - spread, np.minimum(theta[kept] + spread, [np.inf, np.inf, np.inf, 0.0])
    Delta = np.sqrt(np.maximum(-12 * np.pi**2 * T * np.stack([high[:, 3], low[:, 3]]), 0))
    ends = {
        "eta": (-high[:, 0] * T, -low[:, 0] * T),
        "J": (low[:, 2] * T, high[:, 2] * T),
        "Delta": (Delta[0], Delta[1]),
        "noise": (T * Delta[0] / np.pi, T * Delta[1] / np.pi),
        "temperature": (T, T),
    }
    found = {name: [float(np.min(below)), float(np.max(above))] for name, (below, above) in ends.items()}
    if kept[-1] and kept.size > 1:  # the ridge goes on to higher temperatures
        for name, (below, above) in ends.items():
            if above[-1] >= found[name][1]:
                found[name][1] = np.inf
            if below[-1] <= found[name][0] and name in ("eta", "J"):
                found[name][0] = -np.inf
    if kept[0] and kept.size > 1:
        found |= {name: [0.0, found[name][1]] for name in ("Delta", "noise", "temperature")}
    return {name: (low, high) for name, (low, high) in found.items()}
