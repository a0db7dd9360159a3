"""Entrainment: how many cycles a model makes per cycle of a sinusoidal input; Arnold tongues."""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import as_plain_number, describe
from .._results import Shown
from .._types import Real, Scalar
from ..ensemble.planning import labels
from ..ensemble.rotation import Rotation
from ..models.base import AbstractModel, refuse_spikes, takes_model
from ..models.network import is_network
from ..models.state import StateLike
from ..models.stimulus import Sinusoid
from .sweeping import sweep

_SLIPS = 0.5  # cycles by which a locked phase may drift over the time observed


class Entrainment(eqx.Module, Shown):
    """Rotation numbers over amplitude (a,) and angular frequency (w,) of a sinusoidal input.

    - `amplitudes` (a,), in units of η; `omegas` (w,), in rad per unit of τ
    - `rotation` (a, w): cycles of the model per cycle of the input; 0 if it makes none, NaN if the run failed or is too
      short
    - `p`, `q` (a, w): the ratio p : q at which the model is taken to be locked, 0 : 0 if at none. This is measured, not
      proved: the rotation number lies within `tolerance` of p/q, and over the `cycles` observed the phase slips by less than
      half a cycle. A drift slower than that looks locked
    - `slip` (a, w): by how many cycles the phase drifted from p/q over the time observed; NaN if at no ratio
    - `status` (a, w): how the runs ended, as of `sweep`
    - `model`, `channel`, `node`: what was run, the channel whose peaks are its cycles, where the input acts (None:
      everywhere)

    Print it for a summary, `to_xarray()` for labelled data, `nmm.plot.arnold_tongues(result)` for a picture.
    """

    model: AbstractModel
    amplitudes: np.ndarray
    omegas: np.ndarray
    rotation: np.ndarray
    p: np.ndarray
    q: np.ndarray
    slip: np.ndarray
    status: np.ndarray
    tolerance: Scalar
    cycles: Scalar
    channel: str = eqx.field(static=True)
    node: Any = eqx.field(static=True)

    @property
    def locked(self) -> np.ndarray:
        """Where the model is taken to be locked, (a, w)."""
        return self.q > 0

    @property
    def ratios(self) -> tuple[tuple[int, int], ...]:
        """The ratios (p, q) that occur, the most frequent first."""
        pairs, counts = np.unique(np.stack([self.p, self.q], axis=-1)[self.locked], axis=0, return_counts=True)
        return tuple((int(p), int(q)) for p, q in pairs[np.argsort(-counts, kind="stable")])

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `amplitude` and `omega` (extra `data`)."""
        dims = ("amplitude", "omega")
        data = {
            "rotation": (dims, self.rotation, {"units": "1", "long_name": "rotation number", "symbol": "ρ"}),
            "p": (dims, self.p, {"long_name": "cycles of the model in one period of the locked state"}),
            "q": (dims, self.q, {"long_name": "cycles of the input in one period of the locked state"}),
            "slip": (dims, self.slip, {"units": "1", "long_name": "drift of the phase over the run, in cycles"}),
            "status": (dims, self.status, {"long_name": "how the run ended"}),
        }
        about = {"units": "1", "long_name": "amplitude of the input", "symbol": "A"}
        coords = {
            "amplitude": ("amplitude", self.amplitudes, about),
            "omega": ("omega", self.omegas, {"units": "rad/time", "long_name": "frequency of the input", "symbol": "ω"}),
        }
        attrs = {"channel": self.channel, "tolerance": float(self.tolerance), "cycles": float(self.cycles)}
        return xarray().Dataset(data, coords=coords, attrs={**attributes_of(self.model, "model"), **attrs, **software()})

    def __repr__(self) -> str:
        size = self.rotation.size
        share = ", ".join(f"{p}:{q} {100 * np.mean((self.p == p) & (self.q == q)):.3g} %" for p, q in self.ratios[:6])
        bad = f"; {np.sum(self.status != 0)} runs failed" if np.any(self.status != 0) else ""
        return (
            f"Entrainment of {describe(self.model)} at {self.amplitudes.size} amplitudes × {self.omegas.size} frequencies: "
            f"locked, as measured, {100 * np.mean(self.locked):.3g} % of {size}" + (f" ({share})" if share else "") + bad
        )


@nan_is_absent
@takes_model
def entrainment(
    model: AbstractModel,
    *,
    amplitudes: Any,
    omegas: Any,
    y0: StateLike,
    cycles: int = 100,
    transient: int = 50,
    channel: str = "r",
    node: Any = None,
    prominence: float = 0.1,
    max_q: int = 5,
    tolerance: Real = 3e-4,
    rtol: Real | None = None,
    progress: bool = False,
) -> Entrainment:
    """Rotation numbers of a rhythm under I(t) = A sin(ω t), over amplitudes and frequencies: Arnold tongues as one sweep.

    The rotation number ρ is the number of the model's cycles per cycle of the input. Cycles are counted by peaks, and the
    mean interval between them weights the middle of the run, by which it converges fast where the motion is locked or
    quasi-periodic. Where ρ stays at a ratio p/q over a range of ω, the input entrains the rhythm. For weak input the 1 : 1
    tongue is that of the phase response: |ω − ω₀| < ω₀ A |c₁|, c₁ the first Fourier coefficient of Z_v/τ (Adler's equation).

    - `model`: any model or network
    - `amplitudes` (a,), in units of η, ≥ 0; `omegas` (w,), in rad per unit of τ, > 0
    - `y0`: state at time 0
    - `cycles`, `transient`: how many cycles of the slowest input are observed, and left out before; faster ones see more
    - `channel`: whose peaks are counted: a variable, of a network "r[0]" for one node, the mean of all by default
    - `node`: where the input acts in a network: a number or name, several, a mask; None for everywhere
    - `prominence`: the least rise and fall of a peak in ln r, so that ripples don't count; absolute for variables that may
      be ≤ 0
    - `max_q`: largest q of the ratios p : q that are looked for; `tolerance`: of ρ from p/q
    - `rtol`: tolerance of the steps, 1e-6 by default
    - `progress`: whether to show lanes done and time left

    Returns an `Entrainment`. Raises `ValueError` in one sentence for wrong arguments. Source: Pikovsky, Rosenblum & Kurths,
    Synchronization (2001), §7.
    """
    strengths, frequencies = labels(amplitudes), labels(omegas)
    fine = lambda values: values.ndim == 1 and values.size > 0 and bool(np.all(np.isfinite(values)))
    require("amplitudes", amplitudes, "be numbers ≥ 0 with one axis", fine(strengths) and bool(np.all(strengths >= 0)))
    require("omegas", omegas, "be numbers > 0 with one axis", fine(frequencies) and bool(np.all(frequencies > 0)))
    observed, left_out = as_count("cycles", cycles, 10), as_count("transient", transient, 0)
    most = as_count("max_q", max_q)
    allowed = as_plain_number("tolerance", tolerance, "(0, 0.1)")
    stimulus: Any = Sinusoid(amplitude=1.0, omega=1.0)
    if node is not None:
        require("node", node, "be None for one population", is_network(model))
        assert is_network(model)
        stimulus = model.target(stimulus, node)
    longest = 2 * np.pi / float(frequencies.min())
    start, stop = left_out * longest, (left_out + observed) * longest
    refuse_spikes(model)
    data = sweep(
        model,
        over={"stimulus.amplitude": strengths, "stimulus.omega": frequencies},
        y0=y0,
        t0=start,
        t1=stop,
        stimulus=stimulus,
        observe={"turn": Rotation(channel, start, stop, prominence)},
        solver=diffrax.Tsit5(),
        rtol=rtol,
        progress=progress,
    )
    periods = 2 * np.pi / frequencies
    rotation = np.asarray(data.turn_rate, float) * periods
    turns, span = np.asarray(data.turn_count, float) - 1, np.asarray(data.turn_span, float)
    driven = np.broadcast_to((strengths > 0)[:, None], rotation.shape)
    p, q, slip = _locked(np.where(driven, rotation, np.nan), turns, span / periods, most, allowed)
    return Entrainment(
        model=model,
        amplitudes=strengths,
        omegas=frequencies,
        rotation=rotation,
        p=p,
        q=q,
        slip=slip,
        status=np.asarray(data.status),
        tolerance=jnp.asarray(allowed),
        cycles=jnp.asarray(float(observed)),
        channel=channel,
        node=node if node is None or isinstance(node, (int, str)) else tuple(np.ravel(np.asarray(node)).tolist()),
    )


def _locked(
    rotation: np.ndarray, turns: np.ndarray, cycles: np.ndarray, most: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p and q of the simplest ratio within the tolerance at which the phase doesn't slip, 0 without, and the slip."""
    p, q = np.zeros(rotation.shape, int), np.zeros(rotation.shape, int)
    slip = np.full(rotation.shape, np.nan)
    for denominator in range(1, most + 1):
        with np.errstate(invalid="ignore"):
            near = np.round(np.nan_to_num(rotation) * denominator)
            drift = turns - near / denominator * cycles
            # Peaks of one period need not be equally far apart: by up to a cycle of the input the count is off at the ends.
            slips = np.abs(rotation - near / denominator) * cycles
            good = (q == 0) & (near > 0) & (np.abs(rotation - near / denominator) <= tolerance)
            good &= (slips < _SLIPS) & (np.abs(drift) < 1 + _SLIPS)
        p, q = np.where(good, near, p).astype(int), np.where(good, denominator, q)
        slip = np.where(good, slips, slip)
    return p, q, slip
