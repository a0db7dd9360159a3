"""BOLD by The Virtual Brain's kernel: a damped oscillator, folded as such."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._checks import as_array, require
from .._parameter import check_parameters, declared, parameter, with_dtype
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from .base import TRANSIENT, AbstractMonitor, as_channel, as_times
from .oscillator import course, oscillate


@declared
class BOLDKernel(AbstractMonitor):
    """BOLD by the first-order Volterra kernel of The Virtual Brain: linear in the neural input x = `scale` × channel.

        h(t) = ⅓ e^{−t/2τ_s} sin(ω t)/ω,  ω² = 1/τ_f − 1/(4 τ_s²),   y = k₁ V₀ (h ∗ x − 1)

    h is the response of z̈ + ż/τ_s + z/τ_f = x/3, folded exactly: no history is kept, and nothing is cut off. h ∗ x is
    the integral over time in seconds: x ≡ 1 gives −0.0970667, and silence −k₁V₀ = −0.112. **The Virtual Brain and tvboptim
    add up h x over means of 4 ms without the factor of .004 s:** `scale=250` gives their numbers (x ≡ 1: 3.6213). They cut h
    at 20 s, where e^{−t/2τ_s} is 4e-6, and the former's samples come 6 ms late. Correlations don't depend on `scale`. Use it
    to compare with them; `BOLD` has the nonlinear model.

    - `TR`: time between samples, in the model's unit of time; The Virtual Brain takes multiples of 500 ms
    - `tau_s`, `tau_f`, `k1`, `V0`: the constants; .8 s, .4 s, 5.6 and .02 by default
    - `scale`: neural input per unit of the channel; 1 by default
    - `channel`: "r" by default
    - `seconds`: the model's unit of time in seconds; 1e-3 by default, for τ in ms
    - `start`: "rest" (default), x = 0 before the run, as The Virtual Brain does; or "steady", the steady state of the first
      value
    - `window`: longest time over which the channel is averaged before a step; 10 ms by default

    Raises `ValueError` for constants that are not > 0 (k₁, V₀ may have any sign), and TR ≤ 0. Source: Friston, Mechelli,
    Turner & Price, NeuroImage 12:466 (2000); Sanz-Leon et al., NeuroImage 111:385 (2015); h of Polonsky et al., Nat.
    Neurosci. 3:1153 (2000) as there.
    """

    period: float = eqx.field(static=True)
    channel: str = eqx.field(static=True)
    seconds: float = eqx.field(static=True)
    start: str = eqx.field(static=True)
    longest: float = eqx.field(static=True)
    tau_s: Scalar = parameter(symbol="τ_s", unit="s", bounds="(0, inf)", doc="decay time of the signal")
    tau_f: Scalar = parameter(symbol="τ_f", unit="s", bounds="(0, inf)", doc="time constant of the feedback")
    k1: Scalar = parameter(symbol="k₁", doc="weight of the signal")
    V0: Scalar = parameter(symbol="V₀", doc="resting blood volume fraction")
    scale: Scalar = parameter(symbol="scale", doc="neural input per unit of the channel")

    def __init__(
        self,
        TR: float,
        *,
        tau_s: Any = 0.8,
        tau_f: Any = 0.4,
        k1: Any = 5.6,
        V0: Any = 0.02,
        scale: Any = 1.0,
        channel: str = "r",
        seconds: float = 1e-3,
        start: str = "rest",
        window: float | None = None,
    ):
        require("start", start, 'be "rest" or "steady"', start in ("rest", "steady"))
        self.tau_s, self.tau_f, self.k1, self.V0, self.scale = map(as_array, (tau_s, tau_f, k1, V0, scale))
        self.channel, self.start = as_channel(channel), start
        self.period, self.seconds, self.longest = as_times(TR, seconds, window)

    def __check_init__(self) -> None:
        check_parameters(self)

    @property
    def window(self) -> float:
        return self.longest

    @property
    def units(self) -> str:
        return "1"

    @property
    def time_unit(self) -> float:
        return self.seconds

    @property
    def transient(self) -> float:
        return TRANSIENT / self.seconds if self.start == "rest" else 0.0

    @property
    def long_name(self) -> str:
        return "BOLD signal"

    def begin(self, first: Values) -> Any:
        own = with_dtype(self, first.dtype)
        x = own.scale * first
        return (own.tau_f / 3 * x if self.start == "steady" else 0 * x), 0 * x, x

    def update(self, state: PyTree, mean: Values, last: Values, dt: Real) -> Any:
        z, speed, before = state
        own, h = with_dtype(self, before.dtype), jnp.asarray(dt, before.dtype) * self.seconds
        x = course(before / 3, own.scale * mean / 3, own.scale * last / 3)
        return *oscillate(z, speed, x, h, 1 / own.tau_s, 1 / own.tau_f), own.scale * last

    def sample(self, state: PyTree) -> Values:
        z, own = state[0], with_dtype(self, state[0].dtype)
        return own.k1 * own.V0 * (z - 1)

    def steady(self, x: Any) -> Values:
        """The signal to which a constant neural input `x` leads: k₁ V₀ (x τ_f/3 − 1)."""
        x = as_array(x)
        own = with_dtype(self, x.dtype)
        return own.k1 * own.V0 * (own.tau_f / 3 * x - 1)

    def transfer(self, frequencies: Any, at: Any = 0.0) -> ComplexValues:
        """ŷ/ĉ, the response of the signal to an oscillation of the channel, complex, (f,), or (f, n) for n means `at`,
        which change nothing, at `frequencies` (f,) in cycles per unit of the model's time: k₁ V₀ scale/3 over
        (iω)² + iω/τ_s + 1/τ_f."""
        f = as_array(frequencies)
        own, omega = with_dtype(self, f.dtype), 2 * jnp.pi * f / self.seconds
        below = jax.lax.complex(1 / own.tau_f - omega**2, omega / own.tau_s)
        found = jnp.asarray(own.k1 * own.V0 * own.scale / 3, below.dtype) / below
        return jnp.broadcast_to(found.reshape(f.shape + (1,) * jnp.ndim(at)), f.shape + jnp.shape(at))

    def __repr__(self) -> str:
        numbers = [getattr(self, name) for name in ("tau_s", "tau_f", "k1", "V0", "scale")]
        text = ", ".join(f"{each:g}" if is_concrete(each) else "…" for each in numbers)
        return f"BOLDKernel(TR={self.period:g}, channel={self.channel!r}, (τ_s, τ_f, k₁, V₀, scale) = ({text}))"
