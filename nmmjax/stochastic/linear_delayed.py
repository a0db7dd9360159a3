"""Stationary covariances of networks with delays, as integrals over frequencies.

    X = X₀ + (1/π) ∫₀^∞ Re [S(ω) − S₀(ω)] dω,    S = T P Tᴴ,  T = g C,  g_i = (iω − A_i)⁻¹ b_i,  C = (1 − L)⁻¹
    L = (M∘e^(−iωD)) diag h,  h_i = s_i·g_i;    dC = C dL C,  d(C P Cᴴ) = C dL (C P Cᴴ) + its adjoint

X₀ and S₀ are those of the nodes without coupling, X₀ by its Lyapunov equation, so that what is integrated falls as ω⁻⁴ or
faster. With ω = c sinh x the trapezoidal rule converges as fast as the slowest decay and the longest delay allow; steps are
halved until nothing changes, or are as many as told. The turns of det (1 − L) on the way count the roots with a positive
real part (`numerics/delayed.py`), which tells whether there is a stationary state. Derivatives take two matrix products per
frequency and direction, and no other inverse.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from .._types import ComplexValues, Scalar, Values
from ..numerics.compiling import jitted
from ..numerics.delayed import Delayed
from ..numerics.linear import characteristic, solve_lyapunov
from ..numerics.loops import scan_while
from ..numerics.special import cos_and_sin

_HIGHEST, _HIGH = 1e3, 1e2  # the last frequency, over the fastest rate of the nodes: in general, and where few will do
_LEAST, _FEW, _MOST = 64, 48, 2**14  # frequencies: at first, the least, at most
_TURNED = 40.0  # by how much the longest delay turns the phase of the fastest rate so that these are enough, to about 1e-6
_LAGGED = 2048
_AT_ONCE, _CHUNK = 16, 4  # frequencies whose matrices are inverted at once, and such parts between looks at the end


Split = tuple[Values, Values]  # real and imaginary parts: products of real matrices are several times faster than complex


class Local(eqx.Module):
    """(λ − A_i)⁻¹ b_i of nodes without each other, as quotients of polynomials in λ/`unit`: coefficients of the numerators
    (m, n, m) and of the denominators (m + 1, n), highest power first."""

    unit: Scalar
    above: Values
    below: Values

    @staticmethod
    def of(linear: Delayed) -> "Local":
        unit = jax.lax.stop_gradient(jnp.max(jnp.abs(linear.A)))
        c, M = jax.vmap(characteristic)(linear.A / unit)
        above = jnp.stack([jnp.sum(each * linear.b[:, None], axis=2) for each in M]) / unit
        return Local(unit, above, jnp.stack([jnp.broadcast_to(each, linear.b.shape[:1]) for each in c]))

    def at(self, rate: Any) -> ComplexValues:
        """(n, m) at the complex number `rate`."""
        z = rate / self.unit.astype(rate.dtype)
        return _horner(self.above, z) / _horner(self.below, z)[:, None]

    def slope(self, rate: Any) -> ComplexValues:
        """The derivative by λ there, (n, m)."""
        z = rate / self.unit.astype(rate.dtype)
        above, below = _horner(self.above, z), _horner(self.below, z)[:, None]
        above_slope, below_slope = _horner(_slopes(self.above), z), _horner(_slopes(self.below), z)[:, None]
        return (above_slope * below - above * below_slope) / (below**2 * self.unit.astype(rate.dtype))


def _horner(coefficients: Values, z: Any) -> Any:
    found = jnp.zeros(coefficients.shape[1:], z.dtype)
    for each in coefficients:
        found = found * z + each.astype(z.dtype)
    return found


def _slopes(coefficients: Values) -> Values:
    """Coefficients of the derivative."""
    top = coefficients.shape[0] - 1
    powers = jnp.asarray(np.arange(top, 0, -1.0), coefficients.dtype)
    return coefficients[:-1] * powers.reshape((-1,) + (1,) * (coefficients.ndim - 1))


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

    def together(self, local: Local, omega: Values) -> tuple[Split, Values]:
        """S (v, v, n, n), its blocks of v variables, and the slope of the phase of det (1 − L), at one frequency."""
        linear = self.linear
        i_omega = jax.lax.complex(jnp.zeros_like(omega), omega)
        s, g = linear.s.astype(i_omega.dtype), local.at(i_omega)
        h, slope = _split(jnp.sum(s * g, axis=1)), _split(jnp.sum(s * local.slope(i_omega), axis=1))
        cos, sin = cos_and_sin(omega * linear.D)
        late = linear.M * cos, -linear.M * sin
        C, between = _closed(_columns(late, h), self.P)
        change = [linear.D * a - b for a, b in zip(_columns(late, h), _columns(late, slope), strict=True)]
        turn = jax.lax.stop_gradient(jnp.sum(C[0] * change[0].T) - jnp.sum(C[1] * change[1].T))
        g = _split(g)
        if not self.coloured:
            return _outer(g, g, between), turn
        # The currents themselves are one variable more, which sees no coupling.
        share, one = 1 / (1 + (omega / self.rate) ** 2), jnp.ones((self.P.shape[0], 1), omega.dtype)
        P, unit = share * self.P, (one, jnp.zeros_like(one))
        own = _outer(g, g, (share * between[0], share * between[1]))
        across = _outer(g, unit, (C[0] @ P, C[1] @ P))
        real = _bordered(own[0], across[0], across[0].transpose(1, 0, 3, 2), P[None, None])
        return (real, _bordered(own[1], across[1], -across[1].transpose(1, 0, 3, 2), jnp.zeros_like(P)[None, None])), turn

    def apart(self, local: Local, omega: Values) -> Split:
        """a (n, v) at one frequency, with S₀ = a P aᴴ, node by node."""
        a = _split(local.at(jax.lax.complex(self.shift, omega)))
        if not self.coloured:
            return a
        share = jax.lax.rsqrt(1 + (omega / self.rate) ** 2)
        one = jnp.ones((self.P.shape[0], 1), omega.dtype)
        return share * jnp.concatenate([a[0], one], axis=1), share * jnp.concatenate([a[1], 0 * one], axis=1)

    def excess(self, local: Local, omega: Values) -> Split:
        """S − S₀ (k, k) at one frequency."""
        S, a = self.together(local, omega)[0], self.apart(local, omega)
        real, imag = jax.tree.map(jnp.subtract, S, _outer(a, a, (self.P, jnp.zeros_like(self.P))))
        return _flat(real), _flat(imag)

    def unstable_alone(self) -> Any:
        """How many eigenvalues of the nodes without coupling have a positive real part."""
        return jnp.sum(jnp.real(jnp.linalg.eigvals(self.linear.A)) > 0)

    def mesh(self, highest: float = _HIGHEST) -> tuple[Scalar, Scalar, Scalar]:
        """(c, x, ω): the scale of the frequencies, the last x, and the fastest rate."""
        speeds = jnp.abs(jnp.linalg.eigvals(jax.lax.stop_gradient(self.linear.A)))
        most = jnp.max(speeds)
        c = jnp.maximum(jnp.min(speeds), 1e-3 * most)
        return c, jnp.arcsinh(highest * most / c), most

    def longer(self) -> Any:
        """How many times the usual frequencies resolve the delays, for a beginning: 1, 2, 4 or 8, which seldom changes."""
        linear, most = self.linear, self.mesh()[2]
        turned = most * jax.lax.stop_gradient(jnp.max(jnp.where(linear.M != 0, linear.D, 0)))
        return 2 ** jnp.clip(jnp.ceil(jnp.log2(jnp.maximum(turned, 1) / _TURNED)), 0, 3).astype(jnp.int32)


@jax.custom_jvp
def _closed(L: Split, P: Values) -> tuple[Split, Split]:
    """C = (1 − L)⁻¹ and C P Cᴴ for a real symmetric P."""
    C = _split(jnp.linalg.inv(jax.lax.complex(jnp.eye(P.shape[0], dtype=P.dtype) - L[0], -L[1])))
    return C, _between(C, P)


def _closed_jvp(primals: Any, tangents: Any) -> Any:
    (L, P), (dL, dP) = primals, tangents
    C, Q = _closed(L, P)
    dC = dQ = jax.tree.map(jnp.zeros_like, C)
    if not all(isinstance(each, SymbolicZero) for each in dL):
        real, imag = (each if isinstance(each, jax.Array) else jnp.zeros_like(P) for each in dL)
        response = _times(C, (real, imag))
        half = _times(response, Q)
        dC, dQ = _times(response, C), (half[0] + half[0].T, half[1] - half[1].T)
    if not isinstance(dP, SymbolicZero):
        dQ = jax.tree.map(jnp.add, dQ, _between(C, dP))
    return (C, Q), (dC, dQ)


_closed.defjvp(_closed_jvp, symbolic_zeros=True)


def _split(z: ComplexValues) -> Split:
    return jnp.real(z), jnp.imag(z)


def _times(a: Split, b: Split) -> Split:
    return a[0] @ b[0] - a[1] @ b[1], a[0] @ b[1] + a[1] @ b[0]


def _between(C: Split, P: Values) -> Split:
    left = C[0] @ P, C[1] @ P
    return left[0] @ C[0].T + left[1] @ C[1].T, left[1] @ C[0].T - left[0] @ C[1].T


def _columns(a: Split, h: Split) -> Split:
    """a diag h."""
    return a[0] * h[0][None] - a[1] * h[1][None], a[0] * h[1][None] + a[1] * h[0][None]


def _outer(a: Split, b: Split, Q: Split) -> Split:
    """a_i Q_ij b*_j of all variables of the nodes, a (n, v) and b (n, w), as (v, w, n, n): real and imaginary part, of which
    one may not be needed."""
    left = [each.T[:, :, None] for each in a]
    x = (left[0] * Q[0][None] - left[1] * Q[1][None])[:, None]
    y = (left[0] * Q[1][None] + left[1] * Q[0][None])[:, None]
    u, v = (each.T[None, :, None] for each in b)
    return x * u + y * v, y * u - x * v


def _bordered(own: Values, across: Values, below: Values, last: Values) -> Values:
    """Blocks with those of one more variable."""
    return jnp.concatenate([jnp.concatenate([own, across], 1), jnp.concatenate([below, last], 1)])


def _flat(blocks: Values) -> Values:
    """(v n, v n) of blocks (v, v, n, n)."""
    v, n = blocks.shape[1:3]
    return jnp.swapaxes(blocks, 1, 2).reshape(v * n, v * n)


def fluctuating(linear: Delayed, P: Values, correlation_time: Scalar | None) -> Fluctuating:
    """The system of `linear` under noise of intensities `P` (n, n), white or correlated over `correlation_time`."""
    real = jax.lax.stop_gradient(jnp.real(jnp.linalg.eigvals(jax.lax.stop_gradient(linear.A))))
    fastest = jnp.max(jnp.abs(real))
    shift = jnp.where(jnp.max(real) < -1e-3 * fastest, 0, jnp.max(real) + 0.1 * fastest)
    rate = jnp.zeros_like(shift) if correlation_time is None else 1 / correlation_time
    return Fluctuating(linear, P, rate, shift, correlation_time is not None)


def covariance(system: Fluctuating, refine: Any = None) -> tuple[Values, Scalar, Any]:
    """(X, error, n): the stationary covariance, (k, k), the last change of X as frequencies were doubled, relative to
    √(X_ii X_jj), and the number of frequencies: as many as it takes, or `refine` times the least that will do. X is NaN
    unless all deviations decay."""
    A, B = system.beside()
    beside = solve_lyapunov(A, B @ system.P @ B.T)
    size = jax.lax.stop_gradient(jnp.diagonal(beside))
    still = jax.lax.stop_gradient(system)
    if refine is None:
        rest, turns, error, count = _integral(size, system)
        settled = 0.1
    else:
        count = jnp.minimum(_FEW * system.longer() * refine, _MOST)
        c, last, _ = still.mesh(_HIGH)
        half, whole = _summed(lambda x, weight: _part(system, x, c, weight), last, count)
        rest, turns = whole
        error, settled = _change(size, half, whole), 0.5  # the nearest whole number is 0
    unstable = still.unstable_alone().astype(turns.dtype) - turns / jnp.pi
    X = beside + _flat(rest) / jnp.pi
    return jnp.where(jnp.abs(unstable) < settled, (X + X.T) / 2, jnp.nan), error, count


@jitted
def lagged(system: Fluctuating, rows: Values, lags: Values, count: Any) -> Values:
    """⟨y(t + s) yᵀ(t)⟩ of y = `rows` x, (l, n, n), at `lags` s, from `count` frequencies, or 2048."""
    A, B = system.beside()
    beside, after = solve_lyapunov(A, B @ system.P @ B.T), jnp.abs(lags)
    own = jax.lax.map(lambda s: rows @ (jax.scipy.linalg.expm(A * s) @ (beside @ rows.T)), after)
    c, last, _ = system.mesh()
    local = Local.of(system.linear)
    number = jnp.maximum(count, _LAGGED)
    step = last / number.astype(c.dtype)

    @jax.checkpoint
    def part(x: Scalar) -> Values:
        omega, share = c * jnp.sinh(x), jnp.where(x == 0, step / 2, step) * c * jnp.cosh(x)
        real, imag = (rows @ each @ rows.T for each in system.excess(local, omega))
        phase = (omega * after)[:, None, None]
        return share * (jnp.cos(phase) * real[None] - jnp.sin(phase) * imag[None])

    def advance(carry: Any, _: None) -> Any:
        k, sum = carry
        return (k + 1, sum + part(step * k.astype(c.dtype))), None

    start = jnp.zeros((), jnp.int32), jnp.zeros_like(own)
    sums = scan_while(lambda carry: carry[0] < number, advance, start, _MOST, _LAGGED)[0][1]
    found = own + sums / jnp.pi
    return jnp.where((lags < 0)[:, None, None], found.mT, found)


def _part(system: Fluctuating, x: Values, c: Scalar, weight: Scalar) -> Any:
    """Weighted sums of Re (S − S₀) and of the slope of the phase over the points x (k,), k even: over every other point with
    twice the weight, and over all of them."""
    local = Local.of(system.linear)

    def one(x: Scalar) -> Any:
        share, omega = jnp.where(x == 0, weight / 2, weight) * c * jnp.cosh(x), c * jnp.sinh(x)
        found, turn = system.together(local, omega)
        return share * found[0], share * turn, share, system.apart(local, omega)

    found, turn, share, alone = jax.vmap(one)(x)
    n, v = alone[0].shape[1:]

    def summed(k: int) -> tuple[Values, Values]:
        a = jnp.concatenate([jnp.swapaxes(each[k::2], 1, 2).reshape(x.size // 2, -1) for each in alone])
        squares = ((jnp.tile(share[k::2], 2)[:, None] * a).T @ a).reshape(v, n, v, n)
        return jnp.sum(found[k::2], axis=0) - system.P[None, None] * jnp.swapaxes(squares, 1, 2), jnp.sum(turn[k::2])

    even, odd = summed(0), summed(1)
    return jax.tree.map(lambda even: 2 * even, even), jax.tree.map(jnp.add, even, odd)


def _change(size: Values, before: Any, after: Any) -> Scalar:
    """The largest change of the covariance, relative to what it is then, or, if larger, 1e-4 of that of the phase."""
    new = _flat(after[0])
    whole = jnp.abs(size + jnp.diagonal(new) / jnp.pi)
    scale = jnp.sqrt(jnp.maximum(whole[:, None] * whole[None], jnp.finfo(size.dtype).tiny))
    change = jnp.max(jnp.abs(new - _flat(before[0])) / scale) / jnp.pi
    return jax.lax.stop_gradient(jnp.maximum(change, 1e-4 * jnp.abs(after[1] - before[1])))


def _summed(part: Callable[[Values, Scalar], Any], last: Scalar, count: Any) -> Any:
    """Sums of `part(x, weight)` over `count` points, a multiple of 16, from 0 on, either mode of differentiation going
    through."""
    step = last / count.astype(last.dtype)
    some = jax.checkpoint(
        lambda k: part(step * (_AT_ONCE * k + jnp.arange(_AT_ONCE, dtype=jnp.int32)).astype(last.dtype), step)
    )

    def advance(carry: Any, _: None) -> Any:
        k, sum = carry
        return (k + 1, jax.tree.map(jnp.add, sum, some(k))), None

    start = jnp.zeros((), jnp.int32)
    nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), jax.eval_shape(some, start))
    going = lambda carry: carry[0] * _AT_ONCE < count
    return scan_while(going, advance, (start, nothing), _MOST // _AT_ONCE, _CHUNK)[0][1]


@jax.custom_jvp
def _integral(size: Values, system: Fluctuating) -> tuple[Values, Values, Values, Any]:
    """(∫ Re (S − S₀) dω, ∫ slope of the phase dω, last relative change, number of frequencies)."""
    c, last, _ = system.mesh()
    dtype = c.dtype
    small = 1e-6 if jnp.finfo(dtype).bits == 64 else 1e-4

    def sums(count: Any, shift: Any) -> tuple[Any, Any]:
        """Sums over `count` points: multiples of the step, from a `shift` on."""
        step = last / count.astype(dtype)

        def body(k: Any, total: Any) -> Any:
            x = step * ((_AT_ONCE * k + jnp.arange(_AT_ONCE, dtype=jnp.int32)).astype(dtype) + shift)
            return jax.tree.map(jnp.add, total, _part(system, x, c, step))

        return jax.lax.fori_loop(jnp.zeros((), jnp.int32), count // _AT_ONCE, body, (nothing, nothing))

    def more(carry: Any) -> Any:
        _, change, count = carry
        return (change > small) & (count < _MOST)

    def refine(carry: Any) -> Any:
        found, change, count = carry
        begun = jnp.isinf(change)
        half, new = sums(count, jnp.where(begun, 0, 0.5).astype(dtype))
        before = jax.tree.map(lambda half, found: jnp.where(begun, half, found), half, found)
        after = jax.tree.map(lambda new, found: jnp.where(begun, new, (found + new) / 2), new, found)
        return after, _change(size, before, after), jnp.where(begun, count, 2 * count)

    shapes = jax.eval_shape(lambda: _part(system, jnp.zeros(_AT_ONCE, dtype), c, c)[1])
    nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
    start = nothing, jnp.asarray(jnp.inf, dtype), _LEAST * system.longer()
    (found, turns), change, count = jax.lax.while_loop(more, refine, start)
    return found, turns, change, count


def _integral_jvp(primals: Any, tangents: Any) -> Any:
    """The integral of the derivative, over the same frequencies."""
    found, turns, change, count = _integral(*primals)
    (_, system), (_, along) = primals, tangents
    c, last, _ = system.mesh()
    leaves, tree = jax.tree.flatten(system)
    slopes = jax.tree.leaves(along, is_leaf=lambda each: isinstance(each, SymbolicZero))
    moved = [k for k, each in enumerate(slopes) if not isinstance(each, SymbolicZero)]

    def part(x: Values, weight: Scalar) -> Values:
        def value(*some: Any) -> Values:
            every = list(leaves)
            for k, each in zip(moved, some, strict=True):
                every[k] = each
            return _part(jax.tree.unflatten(tree, every), x, c, weight)[1][0]

        return jax.jvp(value, [leaves[k] for k in moved], [slopes[k] for k in moved])[1]

    slope = _summed(part, last, count) if moved else jnp.zeros_like(found)
    none = jnp.zeros_like
    return (found, turns, change, count), (slope, none(turns), none(change), np.zeros((), jax.dtypes.float0))


_integral.defjvp(_integral_jvp, symbolic_zeros=True)
