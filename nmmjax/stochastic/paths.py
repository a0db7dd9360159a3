"""The most probable way over the pass: the way down, run backwards, and the input that drives it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._nan import nan_is_absent
from .._parameter import as_number, describe
from .._results import Shown
from .._types import Scalar, Values
from ..landscape.population import population_landscape
from ..mechanics.coordinates import from_qqdot, to_qqdot
from ..mechanics.energy import damping, total_energy
from ..models.base import require_one, takes_model
from ..models.mpr import MPR
from ..models.noise import NoiseLike, white_intensity
from ..models.state import State
from ..models.stimulus import Sampled
from ..solvers.simulation import simulate

_OFF_PASS = 1e-4  # where the way down starts, relative to q at the pass


class EscapePath(eqx.Module, Shown):
    """The most probable path from a stable state to the pass, for weak noise; without noise, the least input that does it.

    - `model`: the population
    - `ts` (n,), `ys`: times and states; `energy`: E along it, from the minimum up to the pass
    - `input`: I(t) that drives the population along it; `stimulus`: the same for `simulate`, which follows it from `ys` at
      0 (a little more input goes over the pass, a little less falls back)
    - `effort`: ∫I² d(t/τ) = (4Δ/π) `barrier`: the least that any input of any length needs to reach the pass
    - `barrier`: ΔU
    """

    model: MPR
    ts: Values
    ys: State
    energy: Values
    input: Values
    effort: Scalar
    barrier: Scalar

    @property
    def stimulus(self) -> Sampled:
        """The input as a stimulus, by cubic interpolation."""
        return Sampled(self.ts, self.input, interpolation="cubic")

    def action(self, noise: NoiseLike) -> Values:
        """The exponent of the escape rate, ∫I² d(t/τ)/4D = ΔU/T, for white noise `noise`, a number D or `WhiteNoise(D)`."""
        return self.effort / (4 * white_intensity(noise))

    def __repr__(self) -> str:
        r = self.ys.r
        return (
            f"EscapePath of {describe(self.model)}: r from {float(r[0]):.6g} to {float(r[-1]):.6g} in t = "
            f"{float(self.ts[-1]):.4g}, barrier {float(self.barrier):.6g}, ∫I² d(t/τ) = {float(self.effort):.6g}, "
            f"largest |I| = {float(jnp.max(jnp.abs(self.input))):.4g}"
        )


@nan_is_absent
@takes_model
def escape_path(model: MPR, start: Any, I: Any = 0.0, *, points: int = 2001, margin: Any = 1e-8) -> EscapePath:
    """The most probable path by which weak white noise carries a bistable population from the well of `start` to its pass.

        q̈ − Γ q̇ + U′(q) = 0,      I(t) = −2 Γ q̇/q,      ∫I² d(t/τ)/4D = ΔU/T

    The energy is the quasi-potential (noise and damping balance exactly), so the way up is the way down from the pass with
    q̇ reversed: the force −I q turns damping into its negative. It spirals out of a focus, in phase with its swings. The
    same I(t) is the stimulus of least ∫I² dt among all that reach the pass, however long (`optimal_stimulus` finds the one
    of a given length, whose energy is above τ × `effort`).

    - `model`: a bistable MPR population, Δ > 0, without gap junctions, conductances and slow terms
    - `start`: a state; its side of the pass counts. `I`: constant input, in units of η
    - `points`: number of times, equally spaced; `margin`: energy above the minimum at the first, relative to ΔU

    Returns an `EscapePath`. Raises `ValueError` for one well, Δ = 0, gap junctions, conductances and slow terms. Source:
    Freidlin & Wentzell (1984) §4; Onsager & Machlup, Phys. Rev. 91:1505 (1953); docs/theory.md §7.
    """
    require_one(model, offer="riccati")
    plain = model.riccati().plain and not model.slow_names and bool(model.Delta > 0)
    require("model", model, "have Δ > 0 and no gap junctions, conductances and slow terms", plain)
    points = as_count("points", points, 16)
    small = as_number("margin", margin, "(0, 1)")
    current = as_number("I", I).astype(model.eta.dtype)
    landscape = population_landscape(model, current)
    here = model.state(start)
    two = bool(jnp.isfinite(landscape.state.r[1]))
    require("start", here.r, "lie in one of two wells; this landscape has a single one", two)
    side = 0 if float(here.r) < float(landscape.state.r[1]) else 2
    tilted = model.tilted(current)

    # Down from the pass along its unstable direction, (1, λ₊) in (q, q̇).
    top = jax.tree.map(lambda leaf: leaf[1], landscape.state)
    q_pass, _ = to_qqdot(model, top)
    grows = float(jnp.real(landscape.eigenvalues[1, 0]))
    away = _OFF_PASS * q_pass * (1 if side == 0 else -1)
    first = from_qqdot(model, q_pass + away, away * grows * model.tau)
    slowest = -float(jnp.max(jnp.real(landscape.eigenvalues[side])))
    bottom, barrier = landscape.energy[side], landscape.barrier[side]
    length = (np.log(1 / _OFF_PASS) + 5) / grows + np.log(1 / float(small)) / slowest
    coarse = simulate(tilted, first, jnp.linspace(0, 1, 513, dtype=bottom.dtype) * length, throw=True)
    above = np.asarray(total_energy(tilted, coarse.ys) - bottom) > float(small * barrier)
    last = min(int(np.max(np.flatnonzero(above), initial=0)) + 1, 512)
    ts = jnp.linspace(0, 1, points, dtype=bottom.dtype) * coarse.ts[last]
    down = simulate(tilted, first, ts, throw=True)

    back = jax.tree.map(lambda leaf: leaf[::-1], down.ys)
    q, speed = to_qqdot(model, back)
    ys = from_qqdot(model, q, -speed)
    drive = 2 * damping(model, back) * speed / q
    effort = jax.scipy.integrate.trapezoid(drive**2, ts / model.tau)
    return EscapePath(model, ts, ys, total_energy(tilted, ys), drive, effort, barrier)
