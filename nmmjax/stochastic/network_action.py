"""The path of least action from a stable state of a network to a pass, and the prefactor along it.

In x = ln R every path x(t) is possible, at the cost of the inputs it needs,

    S = Σ_i ∫ I_i² d(t/τ_i)/4D_i,    I_i = τ_i v̇_i − (v_i² + η_i + Σ_j J_ij R_j − π²R_i²),    v_i = ½(τ_i ẋ_i − Δ_i/(πR_i))

so the action is a sum of squares of a path with fixed ends: the damped Gauss–Newton method finds its minimum. The prefactor
follows from the WKB solution p = K e^(−Φ) of the stationary Fokker–Planck equation along the path, with W = ∇∇Φ:

    Ẇ = −(W B + Bᵀ W + 2 W a W + Σ_k p_k ∇∇b_k),      d ln K/dt = −(∇·b + tr a W)

Source: Freidlin & Wentzell (1984); Maier & Stein, SIAM J. Appl. Math. 57:752 (1997); Bouchet & Reygner, Ann. Henri Poincaré
17:3499 (2016).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values
from ..models.network import Network
from ..models.state import State
from ..numerics.compiling import jitted
from ..solvers.simulation import simulate

_ITERATIONS = 200


def uphill(network: Network, pass_: State, start: State, slowest: float) -> tuple[np.ndarray, float] | None:
    """(x, h): ln R along the way down from the pass to `start`, run backwards, with both ends; None if none is."""
    y = jnp.concatenate([jnp.log(network.nodes().tau * pass_.r), pass_.v])
    values, vectors = np.linalg.eig(np.asarray(slopes_of_drift(network, y), float))
    first = int(np.argmax(np.real(values)))
    grows, direction = float(np.real(values[first])), np.real(vectors[:, first])
    length = np.log(1e4) / grows + np.log(1e6) / slowest
    fastest = float(np.max(np.abs(values)))
    target = np.log(np.asarray(start.r))
    for sign in (1, -1):
        z = y + jnp.asarray(sign * 1e-3 * direction / np.max(np.abs(direction)), y.dtype)
        R, v = jnp.exp(z[: network.size]), z[network.size :]
        ts = jnp.linspace(0, 1, 1025, dtype=y.dtype) * length
        run = simulate(network, State(r=R / network.nodes().tau, v=v), ts, throw=True)
        far = np.linalg.norm(np.log(np.asarray(run.ys.r)) - target, axis=1)
        if far[-1] < 1e-2 * far[0]:
            last = min(int(np.max(np.flatnonzero(far > 1e-4 * far[0]))) + 1, 1024)
            count = int(np.clip(float(ts[last]) * 8 * fastest, 200, 1600 / network.size))
            grid = np.linspace(0, float(ts[last]), count)
            down = np.log(np.asarray(network.nodes().tau)) + np.log(np.asarray(run.ys.r))
            x = np.stack([np.interp(grid, np.asarray(ts), each) for each in down.T], axis=1)
            ends = np.asarray(y[: network.size]), np.log(np.asarray(network.nodes().tau * start.r))
            return np.concatenate([[ends[0]], x, [ends[1]]])[::-1].copy(), float(grid[1])
    return None


def drift(network: Network, z: Values) -> Values:
    """b(z) of z = (ln R, v), per unit of time."""
    n, tau = network.size, network.nodes().tau
    R, v = jnp.exp(z[:n]), z[n:]
    flow = network.vector_field(jnp.zeros((), z.dtype), State(r=R / tau, v=v), jnp.zeros((), z.dtype))
    return jnp.concatenate([tau * flow.r / R, flow.v])


def slopes_of_drift(network: Network, z: Values) -> Values:
    """∂b/∂z."""
    return jax.jacfwd(lambda z: drift(network, z))(z)


def _slopes(x: Values, h: Scalar) -> tuple[Values, Values]:
    """(ẋ, ẍ) at all points, to fourth order, at rest beyond both ends."""
    ends = jnp.broadcast_to(x[:1], (2, x.shape[1])), jnp.broadcast_to(x[-1:], (2, x.shape[1]))
    padded = jnp.concatenate([ends[0], x, ends[1]])
    m = x.shape[0]
    a, b, c, d, e = (padded[k : k + m] for k in range(5))
    return (a - 8 * b + 8 * d - e) / (12 * h), (-a + 16 * b - 30 * c + 16 * d - e) / (12 * h**2)


def inputs_along(network: Network, x: Values, h: Scalar) -> tuple[Values, Values]:
    """(v, I) that carry the network along ln R = x (m, n), sampled every h."""
    first, second = _slopes(x, h)

    def node(x: Values, first: Values, second: Values) -> tuple[Values, Values]:
        nodes = network.nodes()
        R = jnp.exp(x)
        leak = nodes.Delta / (jnp.pi * R)
        v = (nodes.tau * first - leak) / 2
        slope = (nodes.tau * second + leak * first) / 2  # dv/dt
        return v, nodes.tau * slope - nodes.tau * drift(network, jnp.concatenate([x, v]))[network.size :]

    return jax.vmap(node)(x, first, second)


@jitted
def _gauss_newton(network: Network, D: Values, x: Values, h: Scalar, inner: Values, damping: Scalar) -> Any:
    """A damped step of the inner points: (new inner points, action before, action after)."""
    tau = network.nodes().tau
    scale = jnp.sqrt(h / (4 * D * tau))

    def residual(flat: Values) -> Values:
        path = jnp.concatenate([x[:1], flat.reshape(-1, x.shape[1]), x[-1:]])
        rest = lambda end: jnp.broadcast_to(end, (2, end.shape[1]))
        path = jnp.concatenate([rest(path[:1]), path, rest(path[-1:])])
        _, current = inputs_along(network, path, h)
        return jnp.ravel(current * scale[None])

    value = residual(inner)
    slopes = jax.jacfwd(residual)(inner)
    normal = slopes.T @ slopes
    normal = normal + damping * jnp.diag(jnp.diag(normal))
    step = jax.scipy.linalg.solve(normal, slopes.T @ value, assume_a="pos")
    after = residual(inner - step)
    return inner - step, jnp.sum(value**2), jnp.sum(after**2), jnp.max(jnp.abs(step))


def least_action(network: Network, D: Values, x: np.ndarray, h: float) -> tuple[Values, float]:
    """(path, action), from a first guess x with fixed ends, by the method of Levenberg and Marquardt."""
    path, step = jnp.asarray(x, D.dtype), jnp.asarray(h, D.dtype)
    inner, damping, action = jnp.ravel(path[1:-1]), 1e-4, np.inf
    for _ in range(_ITERATIONS):
        tried, before, after, moved = _gauss_newton(network, D, path, step, inner, jnp.asarray(damping, D.dtype))
        action = float(before)
        if np.isfinite(float(after)) and float(after) <= action:
            inner, damping = tried, damping / 5
            if action - float(after) < 1e-9 * action and float(moved) < 1e-2:
                action = float(after)
                break
            action = float(after)
        else:
            damping *= 10
            if damping > 1e8:
                break
    return jnp.concatenate([path[:1], inner.reshape(-1, path.shape[1]), path[-1:]]), action


def hessian_at(network: Network, a: Values, z: Values) -> Values:
    """∇∇Φ at a fixed point: the inverse of P in B P + P Bᵀ = −2a, at a pass with one negative eigenvalue."""
    B = slopes_of_drift(network, z)
    one = jnp.eye(B.shape[0], dtype=B.dtype)
    P = jnp.linalg.solve(jnp.kron(B, one) + jnp.kron(one, B), -2 * jnp.ravel(a)).reshape(B.shape)
    return jnp.linalg.inv((P + P.T) / 2)


@jitted
def log_prefactor(network: Network, D: Values, x: Values, h: Scalar) -> tuple[Scalar, Scalar]:
    """(ln of λ₊/2π √(det W₀/|det W_b|) K_b/K₀, ln K_b/K₀), per unit of time."""
    tau = network.nodes().tau
    v, current = inputs_along(network, x, h)
    push = current / (2 * D)[None]
    pushed, _ = _slopes(push, h)
    pull = -(tau[None] * pushed + 2 * v * push) / 2
    z, p = jnp.concatenate([x, v], axis=1), jnp.concatenate([pull, push], axis=1)
    a = jnp.diag(jnp.concatenate([jnp.zeros_like(D), D / tau]))
    rest = lambda x: jnp.concatenate([x, network.nodes().voltage_at_rate(jnp.exp(x))])
    ends = rest(x[0]), rest(x[-1])

    def slopes(z: Values, p: Values) -> tuple[Values, Values]:
        return slopes_of_drift(network, z), jax.hessian(lambda z: p @ drift(network, z))(z)

    B, bend = jax.vmap(slopes)(z, p)
    speed, turn = jax.vmap(lambda z, p: drift(network, z) + 2 * a @ p)(z, p), _slopes(p, h)[0]
    size = jnp.linalg.norm(speed, axis=1)
    place = jnp.arange(size.shape[0])
    large = size > 3e-3 * jnp.max(size)
    moves = (place >= jnp.min(jnp.where(large, place, place[-1]))) & (place <= jnp.max(jnp.where(large, place, 0)))

    def rates(W: Values, B: Values, bend: Values) -> tuple[Values, Scalar]:
        return -(W @ B + B.T @ W + 2 * W @ a @ W + bend), -(jnp.trace(B) + jnp.trace(a @ W))

    def step(carry, k) -> Any:
        W, log_K = carry
        stages = [rates(W, B[k], bend[k])]
        for share, place in ((h, k + 1), (h, k + 1), (2 * h, k + 2)):
            stages.append(rates(W + share * stages[-1][0], B[place], bend[place]))
        mean = [(s[0] + 2 * s[1] + 2 * s[2] + s[3]) / 6 for s in zip(*stages, strict=True)]
        W = jnp.where(moves[k], W + 2 * h * mean[0], W)
        # Along the path W is known, W ẋ = ṗ; errors of this part would grow next to the pass (the rest of W is stable).
        s = speed[k + 2] / jnp.maximum(jnp.linalg.norm(speed[k + 2]), 1e-300)
        missing = turn[k + 2] / jnp.maximum(jnp.linalg.norm(speed[k + 2]), 1e-300) - W @ s
        exact = W + jnp.outer(missing, s) + jnp.outer(s, missing) - (missing @ s) * jnp.outer(s, s)
        W = jnp.where(moves[k + 2], exact, W)
        return ((W + W.T) / 2, log_K + jnp.where(moves[k], 2 * h * mean[1], 0)), None

    start = (hessian_at(network, a, ends[0]), jnp.zeros((), x.dtype))
    (_, log_K), _ = jax.lax.scan(step, start, jnp.arange(0, x.shape[0] - 2, 2))
    signs = [jnp.linalg.slogdet(hessian_at(network, a, end))[1] for end in ends]
    grows = jnp.max(jnp.real(jnp.linalg.eigvals(slopes_of_drift(network, ends[1]))))
    return jnp.log(grows / (2 * jnp.pi)) + (signs[0] - signs[1]) / 2 + log_K, log_K
