"""Equations that hold at special points, for Newton's method: folds, Hopf points, branch points.

All have the unknowns x = (u, φ, κ, p): the state, a vector, a number, the free parameters. Those of folds and Hopf points
hold on curves as well, if two parameters are free. With A = ∂f/∂u:

    fold (LP)          f = 0, A φ = 0, φ·φ = 1, κ = 0
    Hopf point (HB)    f = 0, (A² + κ) φ = 0, φ·φ = 1, l·φ = 0, κ = ω²
    branch point (BP)  f + κ φ = 0, Aᵀ φ = 0, φ·∂f/∂p = 0, φ·φ = 1, which gives κ = 0

With delays, Hopf points have the unknowns (u, a, b, ω, p) and the equations f = 0, N(iω) (a + i b) = 0, l·(a + i b) = 1,
N the characteristic matrix (`numerics/delayed.py`).

κ < 0 would be a neutral saddle, two real eigenvalues ±√−κ; κ = 0 is a Bogdanov–Takens point, through which these equations
stay regular. Source: Kuznetsov, Elements of Applied Bifurcation Theory, §10.2–10.3.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .._nan import nan_unless
from .._types import ComplexValues, Scalar, Values
from ..equilibria.delays import leading_roots
from ..numerics.arclength import root
from .system import System


def parts(system: System, x: Values) -> tuple[Values, Values, Scalar, Values]:
    """(u, φ, κ, p)."""
    n = (x.size - 1 - len(system.names)) // 2
    return x[:n], x[n : 2 * n], x[2 * n], x[2 * n + 1 :]


def fold_equations(system: System, x: Values, _: Values) -> Values:
    """Zero at folds; see above."""
    u, phi, kappa, p = parts(system, x)
    f, slope = jax.jvp(lambda u: system(u, p), (u,), (phi,))
    return jnp.concatenate([f, slope, (phi @ phi - 1)[None], kappa[None]])


def hopf_equations(system: System, x: Values, phase: Values) -> Values:
    """Zero at Hopf points; `phase` is l."""
    u, phi, kappa, p = parts(system, x)
    f, slope = jax.jvp(lambda u: system(u, p), (u,), (phi,))
    twice = jax.jvp(lambda u: system(u, p), (u,), (slope,))[1]
    return jnp.concatenate([f, twice + kappa * phi, (phi @ phi - 1)[None], (phase @ phi)[None]])


def branch_point_equations(system: System, x: Values, _: Values) -> Values:
    """Zero at branch points."""
    u, phi, kappa, p = parts(system, x)
    f, pull = jax.vjp(system, u, p)
    left, slope = pull(phi)
    return jnp.concatenate([f + kappa * phi, left, slope, (phi @ phi - 1)[None]])


def fold_guess(matrix: Values) -> tuple[Values, Scalar, Values]:
    """φ, κ and the phase (none) from the Jacobian near a fold."""
    phi = jnp.linalg.svd(matrix)[2][-1]
    return phi, jnp.zeros((), phi.dtype), jnp.zeros_like(phi)


def hopf_guess(matrix: Values) -> tuple[Values, Scalar, Values]:
    """The eigenvectors of the complex pair of smallest real part span the plane of φ and the phase; NaN without one."""
    values, vectors = jnp.linalg.eig(matrix)
    oscillates = jnp.imag(values) > 0
    which = jnp.argmin(jnp.where(oscillates, jnp.abs(jnp.real(values)), jnp.inf))
    plane = jnp.linalg.qr(jnp.stack([jnp.real(vectors[:, which]), jnp.imag(vectors[:, which])], axis=1))[0]
    return plane[:, 0], jnp.where(oscillates[which], jnp.imag(values[which]) ** 2, jnp.nan), plane[:, 1]


def branch_point_guess(matrix: Values) -> tuple[Values, Scalar, Values]:
    """φ, κ and the phase (none) near a branch point."""
    return fold_guess(matrix.T)


KINDS: dict[str, tuple[Callable[..., Values], Callable[[Values], tuple[Values, Scalar, Values]]]] = {
    "LP": (fold_equations, fold_guess),
    "HB": (hopf_equations, hopf_guess),
    "BP": (branch_point_equations, branch_point_guess),
}


def solve_special(kind: str, system: System, u: Values, p: Values) -> tuple[Values, Values, Scalar]:
    """(u, p, κ) of the special point near (u, p), NaN if absent. Differentiable in everything that `system` depends on."""
    if kind == "HB" and system.delayed:
        return _solve_delayed_hopf(system, u, p)
    equations, guess = KINDS[kind]
    still, u, p = jax.lax.stop_gradient((system, u, p))
    phi, kappa, phase = guess(still.jacobian(u, p))
    x = jnp.concatenate([u, phi, kappa[None], p])
    known = jnp.all(jnp.isfinite(x))
    x, good = root(lambda x: equations(system, x, phase), jnp.where(known, x, jnp.ones_like(x)))
    good = good & known
    u, phi, kappa, p = parts(system, x)
    if kind == "HB":
        good &= kappa > 0
    if kind == "LP":  # at a fold the branch isn't crossed by another one
        fixed = jax.lax.stop_gradient((u, p))
        psi = jnp.linalg.svd(still.jacobian(*fixed))[0][:, -1]
        slope = jax.jacfwd(still, argnums=1)(*fixed)[:, 0]
        good &= jnp.abs(psi @ slope) > 1e-5 * jnp.linalg.norm(slope)
    return nan_unless(good, u), nan_unless(good, p), nan_unless(good, kappa)


def _solve_delayed_hopf(system: System, u: Values, p: Values) -> tuple[Values, Values, Scalar]:
    still, u, p = jax.lax.stop_gradient((system, u, p))
    linear, k = still.linear(u, p), u.size
    values = leading_roots(linear)
    oscillates = jnp.imag(values) > 1e-9 * (1 + jnp.max(jnp.abs(values)))
    which = jnp.argmin(jnp.where(oscillates, jnp.abs(jnp.real(values)), jnp.inf))
    omega = jnp.where(oscillates[which], jnp.imag(values[which]), jnp.nan)
    inside = linear.matrix(jax.lax.complex(jnp.zeros_like(omega), omega))[0]
    q = jnp.conj(jnp.linalg.svd(jnp.where(jnp.isfinite(inside), inside, 0))[2][-1])
    l_real, l_imag = jnp.real(q), jnp.imag(q)
    x = jnp.concatenate([u, l_real, l_imag, omega[None], p])
    known = jnp.all(jnp.isfinite(x))

    def equations(x: Values) -> Values:
        u, a, b, omega, p = x[:k], x[k : 2 * k], x[2 * k : 3 * k], x[3 * k], x[3 * k + 1 :]
        real, imag = system.linear(u, p).oscillating(omega, a, b)
        size = jnp.stack([l_real @ a + l_imag @ b - 1, l_real @ b - l_imag @ a])
        return jnp.concatenate([system(u, p), real, imag, size])

    x, good = root(equations, jnp.where(known, x, jnp.ones_like(x)))
    good = good & known & (x[3 * k] > 0)
    return nan_unless(good, x[:k]), nan_unless(good, x[3 * k + 1 :]), nan_unless(good, x[3 * k] ** 2)


def crossing_tangent(system: System, x: Values, tangent: Values, scale: Values) -> Values:
    """The unit direction, in units of scale, in which another branch crosses at a branch point x = (u, p).

    With the null plane of ∂f spanned by the branch's own direction t and by w ⟂ t, and ψ the left null vector, directions
    α t + β w obey α² ψ·B(t,t) + 2αβ ψ·B(t,w) + β² ψ·B(w,w) = 0, of which β = 0 is one root.
    """
    n = x.size - 1
    field = lambda z: system((z * scale)[:n], (z * scale)[n:])
    z = x / scale
    matrix = jax.jacfwd(field)(z)
    right = jnp.linalg.svd(matrix)[2][-2:]
    own = right.T @ (right @ tangent)
    own = own / jnp.linalg.norm(own)
    across = jnp.where(jnp.abs(right[0] @ own) < jnp.abs(right[1] @ own), right[0], right[1])
    across = across - (across @ own) * own
    across = across / jnp.linalg.norm(across)
    psi = jnp.linalg.svd(matrix[:, :n])[0][:, -1]
    mixed, square = psi @ second(field, z, own, across), psi @ second(field, z, across, across)
    direction = -square * own + 2 * mixed * across
    return direction / jnp.linalg.norm(direction)


def second(field: Callable[[Values], Values], u: Values, a: Values, b: Values) -> Values:
    """B(a, b): the second derivative of a vector field in two directions."""
    return jax.jvp(lambda u: jax.jvp(field, (u,), (a,))[1], (u,), (b,))[1]


def third(field: Callable[[Values], Values], u: Values, a: Values, b: Values, c: Values) -> Values:
    """C(a, b, c): the third derivative in three directions."""
    return jax.jvp(lambda u: second(field, u, a, b), (u,), (c,))[1]


def lyapunov_coefficient(system: System, u: Values, p: Values, omega: Scalar) -> Scalar:
    """The first Lyapunov coefficient l₁ of a Hopf point with frequency ω; negative if it is supercritical.

    l₁ = Re[⟨p, C(q,q,q̄)⟩ + 2⟨p, B(q, h₀)⟩ + ⟨p, B(q̄, h₂)⟩]/(2ω), h₀ = N(0)⁻¹ B(q,q̄), h₂ = N(2iω)⁻¹ B(q,q), with N(iω) q = 0,
    N(iω)ᴴ p = 0, |q| = 1 and ⟨p, N′(iω) q⟩ = 1; N(λ) = λ − A without delays. With them B and C take histories, q e^(iωθ), h₀
    and h₂ e^(2iωθ), at every pair's delay. The size depends on the scales of the state variables, the sign doesn't. Source:
    Kuznetsov, §5.4; Diekmann et al., Delay Equations (1995), §X.
    """
    unit = jax.lax.complex(jnp.zeros_like(omega), jnp.ones_like(omega))
    rate = unit * omega.astype(unit.dtype)
    field, z, matrix, spread = _histories(system, u, p) if system.delayed else _states(system, u, p)
    N, slope = matrix(rate)
    left, _, right = jnp.linalg.svd(N)
    q, p_left = jnp.conj(right[-1]), left[:, -1]
    p_left = p_left / jnp.conj(jnp.vdot(p_left, slope @ q))  # ⟨p, N′q⟩ = 1
    along = spread(rate, q)

    def B(a: ComplexValues, b: ComplexValues) -> ComplexValues:
        ar, ai, br, bi = jnp.real(a), jnp.imag(a), jnp.real(b), jnp.imag(b)
        D = lambda a, b: second(field, z, a, b)
        return jax.lax.complex(D(ar, br) - D(ai, bi), D(ar, bi) + D(ai, br))

    a, b = jnp.real(along), jnp.imag(along)
    D = lambda *each: third(field, z, *each)
    cubic = jax.lax.complex(D(a, a, a) + D(a, b, b), D(a, a, b) + D(b, b, b))
    mean = spread(0 * rate, jnp.linalg.solve(matrix(0 * rate)[0], B(along, jnp.conj(along))))
    double = spread(2 * rate, jnp.linalg.solve(matrix(2 * rate)[0], B(along, along)))
    total = jnp.vdot(p_left, cubic) + 2 * jnp.vdot(p_left, B(along, mean)) + jnp.vdot(p_left, B(jnp.conj(along), double))
    return jnp.real(total) / (2 * omega)


def _states(system: System, u: Values, p: Values) -> tuple[Any, Values, Any, Any]:
    """f, the state, λ ↦ (N, N′), and how a direction moves what f depends on, without delays: the state itself."""
    field = lambda u: system(u, p)
    A = jax.jacfwd(field)(u)

    def matrix(rate: Any) -> tuple[Any, Any]:
        one = jnp.eye(u.size, dtype=rate.dtype)
        return rate * one - A.astype(rate.dtype), one

    return field, u, matrix, lambda rate, q: q


def _histories(system: System, u: Values, p: Values) -> tuple[Any, Values, Any, Any]:
    """The same with delays: f depends on the state and on those that every node sees of all, (k + n k)."""
    network, linear, k = system.at(p), system.linear(u, p), u.size
    n, now = network.size, network.undelayed()

    def field(z: Values) -> Values:
        seen = jax.vmap(lambda x: now.sent(system.state(x)))(z[k:].reshape(n, k))
        past = jnp.sum(linear.M * seen, axis=1)
        return ravel_pytree(network.vector_field(jnp.zeros((), z.dtype), system.state(z[:k]), past=past))[0]

    def spread(rate: Any, q: ComplexValues) -> ComplexValues:
        late = q.reshape(1, -1, n) * jnp.exp(-rate * linear.D.astype(rate.dtype))[:, None, :]
        return jnp.concatenate([q, late.ravel()])

    return field, jnp.concatenate([u, jnp.tile(u, n)]), linear.matrix, spread
