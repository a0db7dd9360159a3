"""The networks that all tools run, and their solution by NumPy and SciPy alone."""

import dataclasses

import numpy as np
from scipy.integrate import solve_ivp

SPACING = 1.0  # between the times at which runs are compared, in the unit of τ
CHECKED = 20.0  # errors are measured up to this time
SPEED = 20.0  # mm per unit of τ


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network of MPR populations: dr/dt = Δ/π + 2rv, dv/dt = v² + η + Jr + G Σ W_ij r_j(t − D_ij) − π²r², t in units of τ.

    W (n, n); delays (n, n) or None; r, v (n,) the state at t = 0 and, constant, before; D the intensity of white noise on
    v; `tau` is the unit of time of the tool that runs it: rates, delays and steps are divided or multiplied by it there.
    """

    W: np.ndarray
    delays: np.ndarray | None
    gain: float
    r: np.ndarray
    v: np.ndarray
    D: float = 0.0
    seed: int = 0
    eta: float = -4.6
    J: float = 14.5
    Delta: float = 0.7
    tau: float = 1.0

    @property
    def size(self) -> int:
        return self.r.size


def problem(
    n: int, delayed: bool = False, gain: float = 0.5, rates: tuple[float, float] = (0.1, 0.6), **others: float
) -> Problem:
    """The network of `n` regions."""
    import jax

    import nmmjax as nmm

    connectome = nmm.random_connectome(n, key=jax.random.key(0), density=1.0)
    r = np.random.default_rng(0).uniform(*rates, n)
    delays = np.asarray(connectome.lengths, float) / SPEED if delayed else None
    made = Problem(np.asarray(connectome.weights, float), delays, gain, r, np.zeros(n), **others)
    return dataclasses.replace(made, v=-made.Delta / (2 * np.pi * r))


def slope(p: Problem, r: np.ndarray, v: np.ndarray, coupling: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return p.Delta / np.pi + 2 * r * v, v * v + p.eta + p.J * r + coupling - (np.pi * r) ** 2


def without_delays(p: Problem, T: float = CHECKED, spacing: float = SPACING) -> np.ndarray:
    """States (samples, 2, n) at spacing, 2 spacing, … T, by DOP853 at rtol 1e-12."""
    ts = np.arange(1, round(T / spacing) + 1) * spacing

    def field(t: float, y: np.ndarray) -> np.ndarray:
        r, v = y.reshape(2, -1)
        return np.concatenate(slope(p, r, v, p.gain * (p.W @ r)))

    found = solve_ivp(field, (0, ts[-1]), np.concatenate([p.r, p.v]), "DOP853", ts, rtol=1e-12, atol=1e-13)
    return found.y.T.reshape(ts.size, 2, -1)


def with_delays(p: Problem, steps: int, T: float = CHECKED, spacing: float = SPACING) -> np.ndarray:
    """The same with delays: RK4 with `steps` per spacing, rates between steps by cubic Hermite interpolation."""
    h, total, n = spacing / steps, round(T / spacing) * steps, p.size
    W = p.gain * p.W
    delays = np.where(W != 0, p.delays, np.max(p.delays))  # where nothing is sent, any will do
    assert delays.min() >= h, "a step would read what is not computed yet"
    before = int(np.ceil(delays.max() / h)) + 2
    rate, rising = np.empty((before + total + 1, n)), np.zeros((before + total + 1, n))
    rate[: before + 1] = p.r
    sender = np.arange(n)[None, :]
    reads = {}
    for stage in (0.0, 0.5, 1.0):
        back = np.floor(delays / h - stage).astype(int) + 1
        t = back - (delays / h - stage)  # place in the step that begins `back` steps ago
        basis = (2 * t**3 - 3 * t**2 + 1, h * (t**3 - 2 * t**2 + t), 3 * t**2 - 2 * t**3, h * (t**3 - t**2))
        reads[stage] = (back, *(W * each for each in basis))

    def coupling(k: int, stage: float) -> np.ndarray:
        back, a, b, c, d = reads[stage]
        j = before + k - back
        return (a * rate[j, sender] + b * rising[j, sender] + c * rate[j + 1, sender] + d * rising[j + 1, sender]).sum(
            axis=1
        )

    r, v, last = p.r, p.v, coupling(0, 0.0)
    found = np.empty((round(T / spacing), 2, n))
    for k in range(total):
        first, middle, last = last, coupling(k, 0.5), coupling(k, 1.0)
        k1 = slope(p, r, v, first)
        k2 = slope(p, r + h / 2 * k1[0], v + h / 2 * k1[1], middle)
        k3 = slope(p, r + h / 2 * k2[0], v + h / 2 * k2[1], middle)
        k4 = slope(p, r + h * k3[0], v + h * k3[1], last)
        r = r + h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        v = v + h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
        at = before + k + 1
        rate[at], rising[at] = r, slope(p, r, v, last)[0]
        if (k + 1) % steps == 0:
            found[(k + 1) // steps - 1] = r, v
    return found


def exact(p: Problem, finest: int = 512) -> tuple[np.ndarray, float]:
    """The solution at the times of comparison, and how far halving its steps has moved it last."""
    if p.delays is None:
        return without_delays(p), 1e-11
    coarse, fine = with_delays(p, finest // 2), with_delays(p, finest)
    return fine + (fine - coarse) / 15, error(coarse, fine) / 15


def error(found: np.ndarray, reference: np.ndarray, tau: float = 1.0) -> float:
    """Root mean square of W − W_ref, relative to that of W_ref; infinite where a run failed. `found` has rates per time."""
    scale = np.array([np.pi, 1.0])[:, None]
    found = found[: reference.shape[0]] * np.array([tau, 1.0])[:, None]
    if found.shape != reference.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.sqrt(np.mean((scale * (found - reference)) ** 2) / np.mean((scale * reference) ** 2)))
