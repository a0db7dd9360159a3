"""Stationary covariances of networks with delays, as integrals over frequencies.

    X = X₀ + (1/π) ∫₀^∞ Re [S(ω) − S₀(ω)] dω,    S = T P Tᴴ,  T = (iω − A_i)⁻¹ b_i · (1 − (M∘e^(−iωD)) diag h)⁻¹

X₀ and S₀ are those of the nodes without coupling, X₀ by its Lyapunov equation, so that what is integrated falls as ω⁻⁴ or
faster. With ω = c sinh x the trapezoidal rule converges as fast as the slowest decay allows; steps are halved until
nothing changes. The turns of det T on the way count the roots with a positive real part (`numerics/delayed.py`), which
tells whether there is a stationary state.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import ComplexValues, Scalar, Values
from ..numerics.delayed import Delayed
from ..numerics.linear import solve_lyapunov
from ..numerics.loops import scan_while

_HIGHEST = 1e3  # the last frequency, over the fastest rate of the nodes
_FIRST, _MOST = 128, 2**14  # frequencies
_LAGGED = 2048
_AT_ONCE, _CHUNK = 16, 8  # frequencies whose matrices are inverted at once, and such parts between looks at the end


class Fluctuating(eqx.Module):
    """A network's small deviations under noise: their equations, the intensities of the noise P (n, n) per time, the rate
    1/τ_c at which coloured noise forgets, 0 for white noise, and a stable system (A₀, B₀) without coupling beside it."""

    linear: Delayed
    P: Values
    rate: Scalar
    shift: Scalar
    coloured: bool = eqx.field(static=True)

    def beside(self) -> tuple[Values, Values]:
        """A₀ and B₀, of the state and, with coloured noise, its currents."""
        n, m = self.linear.b.shape
        eye = jnp.eye(n, dtype=self.P.dtype)
        A = self.linear.present() - self.shift * jnp.eye(n * m, dtype=self.P.dtype)
        B = (self.linear.b.T[:, :, None] * eye[None]).reshape(n * m, n)
        if not self.coloured:
            return A, B
        below = jnp.zeros((n, n * m), A.dtype)
        return jnp.block([[A, B], [below, -self.rate * eye]]), jnp.concatenate([jnp.zeros_like(B), self.rate * eye])

    def excess(self, omega: Values) -> tuple[ComplexValues, Values]:
        """S − S₀, (k, k), and the slope of the phase of det T, at one frequency."""
        linear, (n, m) = self.linear, self.linear.b.shape
        dtype = np.result_type(linear.A.dtype, np.complex64)
        i_omega = jax.lax.complex(jnp.zeros_like(omega), omega)
        eye, one = jnp.eye(m, dtype=dtype), jnp.eye(n, dtype=dtype)
        A, b, s, P = (each.astype(dtype) for each in (linear.A, linear.b, linear.s, self.P))
        inner = i_omega * eye[None] - A
        g = jnp.linalg.solve(inner, b[..., None])[..., 0]
        h, slope = jnp.sum(s * g, axis=1), -jnp.sum(s * jnp.linalg.solve(inner, g[..., None])[..., 0], axis=1)
        late = linear.M.astype(dtype) * jnp.exp(-i_omega * linear.D.astype(dtype))
        C = jnp.linalg.inv(one - late * h[None])
        change = late * (linear.D.astype(dtype) * h[None] - slope[None])
        turn = jnp.real(jnp.sum(C * change.T))
        alone = jnp.linalg.solve(inner + self.shift.astype(dtype) * eye[None], b[..., None])[..., 0]
        if not self.coloured:
            return _outer(g, g, _between(C, self.P)) - _outer(alone, alone, P), turn
        # The currents themselves are one variable more, which sees no coupling.
        P = P / (1 + (omega / self.rate) ** 2).astype(dtype)
        unit, reached = jnp.ones((n, 1), dtype), C @ P
        own, across = _outer(g, g, reached @ jnp.conj(C.T)) - _outer(alone, alone, P), _outer(g, unit, reached)
        across = across - _outer(alone, unit, P)
        return jnp.block([[own, across], [jnp.conj(across.T), jnp.zeros((n, n), dtype)]]), turn

    def unstable_alone(self) -> Any:
        """How many eigenvalues of the nodes without coupling have a positive real part."""
        return jnp.sum(jnp.real(jnp.linalg.eigvals(self.linear.A)) > 0)

    def mesh(self) -> tuple[Scalar, Scalar]:
        """(c, x): the scale of the frequencies, and the last x."""
        speeds = jnp.abs(jnp.linalg.eigvals(jax.lax.stop_gradient(self.linear.A)))
        most = jnp.max(speeds)
        c = jnp.maximum(jnp.min(speeds), 1e-3 * most)
        return c, jnp.arcsinh(_HIGHEST * most / c)


def _between(C: ComplexValues, P: Values) -> ComplexValues:
    """C P Cᴴ for a real symmetric P, by real products, which are three times faster than complex ones."""
    real, imag = jnp.real(C), jnp.imag(C)
    left = real @ P, imag @ P
    return jax.lax.complex(left[0] @ real.T + left[1] @ imag.T, left[1] @ real.T - left[0] @ imag.T)


def _outer(a: ComplexValues, b: ComplexValues, Q: ComplexValues) -> ComplexValues:
    """a_i Q_ij b*_j of all variables of the nodes, a (n, m) and b (n, l), as (m n, l n)."""
    n = Q.shape[0]
    found = a.T[:, :, None, None] * Q[None, :, None, :] * jnp.conj(b.T)[None, None]
    return found.reshape(a.shape[1] * n, b.shape[1] * n)


def fluctuating(linear: Delayed, P: Values, correlation_time: Scalar | None) -> Fluctuating:
    """The system of `linear` under noise of intensities `P` (n, n), white or correlated over `correlation_time`."""
    real = jax.lax.stop_gradient(jnp.real(jnp.linalg.eigvals(jax.lax.stop_gradient(linear.A))))
    fastest = jnp.max(jnp.abs(real))
    shift = jnp.where(jnp.max(real) < -1e-3 * fastest, 0, jnp.max(real) + 0.1 * fastest)
    rate = jnp.zeros_like(shift) if correlation_time is None else 1 / correlation_time
    return Fluctuating(linear, P, rate, shift, correlation_time is not None)


def covariance(system: Fluctuating) -> tuple[Values, Scalar, Any]:
    """(X, error, n): the stationary covariance, (k, k), the last change of X as frequencies were doubled, relative to
    √(X_ii X_jj), and the number of frequencies; X is NaN unless all deviations decay."""
    A, B = system.beside()
    beside = solve_lyapunov(A, B @ system.P @ B.T)
    size = jax.lax.stop_gradient(jnp.diagonal(beside))
    rest, turns, error, count = _integral(system.coloured, size, *_arrays(system))
    still = jax.lax.stop_gradient(system)
    unstable = still.unstable_alone().astype(turns.dtype) - turns / jnp.pi
    X = beside + rest / jnp.pi
    return jnp.where(jnp.abs(unstable) < 0.1, (X + X.T) / 2, jnp.nan), error, count


@eqx.filter_jit
def lagged(system: Fluctuating, rows: Values, lags: Values, count: Any) -> Values:
    """⟨y(t + s) yᵀ(t)⟩ of y = `rows` x, (l, n, n), at `lags` s, from `count` frequencies, or 2048."""
    A, B = system.beside()
    beside, after = solve_lyapunov(A, B @ system.P @ B.T), jnp.abs(lags)
    own = jax.lax.map(lambda s: rows @ (jax.scipy.linalg.expm(A * s) @ (beside @ rows.T)), after)
    c, last = system.mesh()
    number = jnp.maximum(count, _LAGGED)
    step = last / number.astype(c.dtype)

    @jax.checkpoint
    def part(x: Scalar) -> Values:
        omega, share = c * jnp.sinh(x), jnp.where(x == 0, step / 2, step) * c * jnp.cosh(x)
        S, left = system.excess(omega)[0], rows.astype(np.result_type(rows.dtype, np.complex64))
        S, phase = left @ S @ left.T, (omega * after)[:, None, None]
        return share * (jnp.cos(phase) * jnp.real(S)[None] - jnp.sin(phase) * jnp.imag(S)[None])

    def advance(carry: Any, _: None) -> Any:
        k, sum = carry
        return (k + 1, sum + part(step * k.astype(c.dtype))), None

    start = jnp.zeros((), jnp.int32), jnp.zeros_like(own)
    sums = scan_while(lambda carry: carry[0] < number, advance, start, _MOST, _LAGGED)[0][1]
    found = own + sums / jnp.pi
    return jnp.where((lags < 0)[:, None, None], found.mT, found)


def _arrays(system: Fluctuating) -> tuple[Any, ...]:
    linear = system.linear
    return linear.A, linear.b, linear.s, linear.M, linear.D, system.P, system.rate, system.shift


def _system(coloured: bool, arrays: Any) -> Fluctuating:
    A, b, s, M, D, P, rate, shift = arrays
    return Fluctuating(Delayed(A, b, s, M, D), P, rate, shift, coloured)


def _part(coloured: bool, arrays: Any, x: Values, c: Scalar, weight: Scalar) -> tuple[Values, Values]:
    """Weighted sums over the points x (k,)."""
    system = _system(coloured, arrays)

    def one(x: Scalar) -> tuple[Values, Values]:
        share = jnp.where(x == 0, weight / 2, weight) * c * jnp.cosh(x)
        found, turn = system.excess(c * jnp.sinh(x))
        return share * jnp.real(found), share * turn

    return jax.tree.map(lambda each: jnp.sum(each, axis=0), jax.vmap(one)(x))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _integral(coloured: bool, size: Values, *arrays: Any) -> tuple[Values, Values, Values, Any]:
    """(∫ Re (S − S₀) dω, ∫ slope of the phase dω, last relative change, number of frequencies)."""
    system = _system(coloured, arrays)
    c, last = system.mesh()
    dtype = c.dtype
    small = 1e-6 if jnp.finfo(dtype).bits == 64 else 1e-4

    def sums(count: Any, odd: Any) -> tuple[Values, Values]:
        """Sums over `count` points: multiples of the step, or odd multiples of half of it."""
        step = last / count.astype(dtype)

        def body(k: Any, total: Any) -> Any:
            x = step * (_AT_ONCE * k + jnp.arange(_AT_ONCE, dtype=jnp.int32)).astype(dtype) + jnp.where(odd, step / 2, 0)
            return jax.tree.map(jnp.add, total, _part(coloured, arrays, x, c, step))

        shapes = jax.eval_shape(lambda: _part(coloured, arrays, jnp.zeros(_AT_ONCE, dtype), c, c))
        nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
        return jax.lax.fori_loop(jnp.zeros((), jnp.int32), count // _AT_ONCE, body, nothing)

    def more(carry: Any) -> Any:
        _, _, change, count = carry
        return (change > small) & (count < _MOST)

    def refine(carry: Any) -> Any:
        found, turns, _, count = carry
        new, more_turns = sums(count, jnp.array(True))
        both, all_turns = (found + new) / 2, (turns + more_turns) / 2
        whole = jnp.abs(size + jnp.diagonal(both) / jnp.pi)
        scale = jnp.sqrt(jnp.maximum(whole[:, None] * whole[None], jnp.finfo(dtype).tiny))
        change = jnp.maximum(jnp.max(jnp.abs(both - found) / scale) / jnp.pi, 1e-4 * jnp.abs(all_turns - turns))
        return both, all_turns, change, 2 * count

    start = jnp.asarray(_FIRST, jnp.int32)
    found, turns = sums(start, jnp.array(False))
    infinite = jnp.asarray(jnp.inf, dtype)
    return jax.lax.while_loop(more, refine, (found, turns, infinite, start))


@_integral.defjvp
def _(coloured: bool, arrays: Any, tangents: Any) -> Any:
    found, turns, change, count = _integral(coloured, *arrays)
    arrays, tangents = arrays[1:], tangents[1:]
    c, last = _system(coloured, jax.lax.stop_gradient(arrays)).mesh()
    step = last / count.astype(c.dtype)

    def total(*arrays: Any) -> Values:
        part = jax.checkpoint(lambda x: _part(coloured, arrays, x, c, step)[0])

        def advance(carry: Any, _: None) -> Any:
            k, sum = carry
            x = step * (_AT_ONCE * k + jnp.arange(_AT_ONCE, dtype=jnp.int32)).astype(c.dtype)
            return (k + 1, sum + part(x)), None

        going = lambda carry: carry[0] * _AT_ONCE < count
        start = jnp.zeros((), jnp.int32), jnp.zeros_like(found)
        return scan_while(going, advance, start, _MOST // _AT_ONCE, _CHUNK)[0][1]

    slope = jax.jvp(total, arrays, tangents)[1]
    none = jnp.zeros_like
    return (found, turns, change, count), (slope, none(turns), none(change), np.zeros((), jax.dtypes.float0))
