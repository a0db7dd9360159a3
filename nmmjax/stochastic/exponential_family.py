"""The stationary law as an exponential family, and its convex maximum likelihood, in NumPy's float64.

    ln P(R) = −(3/2) ln R + θ·s(R) − ln Z,    s = (1/R, R, ln R, R⁻³),    θ = (−η, −π², J, −Δ²/12π²)/T

In units of the geometric mean of R, x = ln R is centred; if it varies little, the four s are almost dependent, so that

    φ = (x, R + 1/R − 2, R − 1/R − 2x, R⁻³ − …) ≈ (x, x², x³/3, 3x⁴)

takes their place, θ = Aᵀψ. Constraints: θ₂ < 0 (T > 0) and θ₄ ≤ 0, and an integral that exists. Source: docs/theory.md §7.
"""

import dataclasses
from typing import Any

import numpy as np

from ..numerics.linear import solve_scaled
from ..numerics.quadrature import panels

MIXTURE = np.array([[0, 0, 1, 0], [1, 1, 0, 0], [-1, 1, -2, 0], [-18, 9, -24, 1]], float)  # A; s less constants
_PANELS = 240
_DEPTH = 45.0
_STEPS = 80
_BARRIERS = (1e-2, 1e-5, 1e-9)


def statistics(x: Any) -> Any:
    """φ(x), (…, 4)."""
    square, cube = 4 * np.sinh(x / 2) ** 2, 2 * (np.sinh(x) - x)
    return np.stack([x, square, cube, np.expm1(-3 * x) + 3 * x - 4.5 * square + 13.5 * cube], axis=-1)


@dataclasses.dataclass
class FittedFamily:
    """ψ at the maximum, the Fisher information there (4, 4), panels' ends (k + 1,) with their masses, and how it ended."""

    psi: Any
    information: Any
    edges: Any
    masses: Any
    converged: bool
    bounded: str


class _Quadrature:
    """ln Z, means and covariance of φ; panels are even in u, x = width sinh(u), fine where the data are."""

    def __init__(self, width: float):
        self.width = width
        reach = np.arcsinh(60 / width)
        self.grid = np.linspace(-reach, reach, 4001)
        self.coarse = width * np.sinh(self.grid)
        with np.errstate(over="ignore", invalid="ignore"):
            self.features = statistics(self.coarse)

    def panels(self, psi: object) -> Any:
        """Ends of panels in u, or None if ψ has no normalizable density."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = self.features @ psi - self.coarse / 2
            theta = MIXTURE.T @ psi
            # φ·ψ is a difference of infinities far out; there the leading term decides.
            far = np.abs(self.coarse) > 12
            x = self.coarse[far]
            values[far] = theta[0] * np.exp(-x) + theta[1] * np.exp(x) + (theta[2] - 0.5) * x + theta[3] * np.exp(-3 * x)
        values = np.where(np.isnan(values), -np.inf, values)
        if not np.isfinite(values.max()):
            return None
        inside = np.flatnonzero(values >= values.max() - _DEPTH)
        first, last = inside[0] - 1, inside[-1] + 1
        if first < 0 or last >= self.grid.size:
            return None
        return np.linspace(self.grid[first], self.grid[last], _PANELS + 1)

    def __call__(self, psi: object) -> Any:
        theta = MIXTURE.T @ psi
        if theta[1] >= 0 or theta[3] > 0 or (ends := self.panels(psi)) is None:
            return None
        u, weights = panels(ends)
        x = self.width * np.sinh(u)
        features = statistics(x)
        values = features @ psi - x / 2
        highest = values.max()
        mass = weights * self.width * np.cosh(u) * np.exp(values - highest)
        total = mass.sum()
        mass = mass / total
        flat, weight = features.reshape(-1, 4), mass.ravel()
        mean = weight @ flat
        centred = flat - mean
        return (
            highest + np.log(total),
            mean,
            (centred * weight[:, None]).T @ centred,
            self.width * np.sinh(ends),
            mass.sum(1),
        )


def quadrature_of(width: float) -> Any:
    """ψ ↦ (ln Z, means, covariance, panels' ends, masses), or None if ψ has no density; for data of that width in x."""
    return _Quadrature(width)


def maximize(mean: object, width: float, samples: float) -> FittedFamily:
    """The maximum of ψ·mean − ln Z by damped Newton steps behind logarithmic barriers at θ₂ = 0 and θ₄ = 0, then without.

    If a parameter comes to lie within a hundredth of its standard error (of `samples` independent ones) from its bound,
    θ₄ is held at 0, and θ₂, at which T = ∞, at one standard error.
    """
    quadrature = _Quadrature(width)
    walls = np.stack([MIXTURE[:, 1], MIXTURE[:, 3]])  # θ₂ and θ₄, both negative
    psi, free = np.array([0.5, -0.5 / width**2, 0.0, -0.005 / width**4]), np.ones(4, bool)
    bounded, state = "", None
    for barrier in _BARRIERS:
        psi, state, _ = _climb(quadrature, psi, mean, walls, barrier, free)
    assert state is not None
    inverse = solve_scaled(state[2], np.eye(4))
    if -psi[3] < 0.01 * np.sqrt(inverse[3, 3] / samples):
        held, free = psi * (np.arange(4) < 3), np.arange(4) < 3
        if quadrature(held) is not None:
            bounded, psi, walls = "Delta", held, walls[:1]
            for barrier in _BARRIERS[1:]:
                psi, state, _ = _climb(quadrature, psi, mean, walls, barrier, free)
    along = solve_scaled(state[2], walls[0])
    error = np.sqrt(along @ walls[0] / samples)
    if -walls[0] @ psi < 0.01 * error:
        new = psi + along * (-error - walls[0] @ psi) / (along @ walls[0])
        new[3] = min(new[3], 0.0)
        if (trial := quadrature(new)) is not None:
            psi, state = new, trial
        return FittedFamily(psi, state[2], state[3], state[4], True, "temperature")
    psi, state, converged = _climb(quadrature, psi, mean, walls, 0.0, free)
    return FittedFamily(psi, state[2], state[3], state[4], converged, bounded)


def _climb(quadrature: _Quadrature, psi: Any, mean: object, walls: Any, barrier: float, free: Any) -> Any:
    """(ψ, quadrature there, whether it converged) of Newton's method on the free ψ, kept within the walls."""

    def loss(psi, state) -> float:
        return state[0] - psi @ mean - barrier * np.sum(np.log(np.maximum(-(walls @ psi), 1e-300)))

    state = quadrature(psi)
    assert state is not None
    for _ in range(_STEPS):
        room = -(walls @ psi)
        gradient = state[1] - mean + barrier * (1 / room) @ walls
        curvature = state[2] + barrier * (walls.T / room**2) @ walls
        step = np.zeros(4)
        step[free] = -solve_scaled(curvature[np.ix_(free, free)], gradient[free])
        decrement = -gradient @ step
        if decrement < 1e-19:
            return psi, state, True
        towards = (walls @ step) / room
        size = min(1.0, 0.95 / max(towards.max(), 1e-300))
        before = loss(psi, state)
        for _ in range(50):
            trial = quadrature(psi + size * step)
            if trial is not None:
                after = loss(psi + size * step, trial)
                if after <= before - 1e-4 * size * decrement + 1e-14 * (1 + abs(before)):
                    break
            size /= 2
        else:
            return psi, state, decrement < 1e-10
        psi, state = psi + size * step, trial
    return psi, state, False
