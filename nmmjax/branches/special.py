"""Equations that hold at special points, for Newton's method: folds, Hopf points, branch points.

All have the unknowns x = (u, φ, κ, p): the state, a vector, a number, the free parameters. Those of folds and Hopf points
hold on curves as well, if two parameters are free. With A = ∂f/∂u:

    fold (LP)          f = 0, A φ = 0, φ·φ = 1, κ = 0
    Hopf point (HB)    f = 0, (A² + κ) φ = 0, φ·φ = 1, l·φ = 0, κ = ω²
    branch point (BP)  f + κ φ = 0, Aᵀ φ = 0, φ·∂f/∂p = 0, φ·φ = 1, which gives κ = 0

κ < 0 would be a neutral saddle, two real eigenvalues ±√−κ; κ = 0 is a Bogdanov–Takens point, through which these equations
stay regular. Source: Kuznetsov, Elements of Applied Bifurcation Theory, §10.2–10.3.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._nan import nan_unless
from .._types import ComplexValues, Scalar, Values
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

    l₁ = Re[⟨p, C(q,q,q̄)⟩ − 2⟨p, B(q, A⁻¹B(q,q̄))⟩ + ⟨p, B(q̄, (2iω − A)⁻¹B(q,q))⟩]/(2ω), with A q = iω q, Aᵀp = −iω p,
    |q| = 1 and ⟨p, q⟩ = 1. Its size depends on the scales of the state variables, its sign doesn't. Source: Kuznetsov, §5.4.
    """
    field = lambda u: system(u, p)
    A, unit = jax.jacfwd(field)(u), jax.lax.complex(jnp.zeros_like(omega), jnp.ones_like(omega))
    complex_A, identity = A.astype(unit.dtype), jnp.eye(u.size, dtype=unit.dtype)
    left, _, right = jnp.linalg.svd(complex_A - unit * omega.astype(unit.dtype) * identity)
    q, p_left = jnp.conj(right[-1]), left[:, -1]
    p_left = p_left / jnp.conj(jnp.vdot(p_left, q))  # ⟨p, q⟩ = p̄·q = 1

    def B(a: ComplexValues, b: ComplexValues) -> ComplexValues:
        ar, ai, br, bi = jnp.real(a), jnp.imag(a), jnp.real(b), jnp.imag(b)
        D = lambda a, b: second(field, u, a, b)
        return jax.lax.complex(D(ar, br) - D(ai, bi), D(ar, bi) + D(ai, br))

    a, b = jnp.real(q), jnp.imag(q)
    D = lambda *each: third(field, u, *each)
    cubic = jax.lax.complex(D(a, a, a) + D(a, b, b), D(a, a, b) + D(b, b, b))
    mean = jnp.linalg.solve(complex_A, B(q, jnp.conj(q)))
    double = jnp.linalg.solve(2 * unit * omega.astype(unit.dtype) * identity - complex_A, B(q, q))
    total = jnp.vdot(p_left, cubic) - 2 * jnp.vdot(p_left, B(q, mean)) + jnp.vdot(p_left, B(jnp.conj(q), double))
    return jnp.real(total) / (2 * omega)
