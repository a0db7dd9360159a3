"""The escape rate of one population without an approximation: the Klein–Kramers equation, solved.

The generator of (q, p = q̇) with the stationary law e^(−E/T), in Hermite functions of p/√T and symmetrised by e^(−U/2T), is

    (−L g)_n = n Γ g_n − √(T n) A g_{n−1} + √(T (n+1)) A* g_{n+1},      A = ∂_q + U′/2T

With even orders n at the nodes of a grid and odd ones between them, orders above 0 are eliminated from the top down,

    S_n = n Γ + T (n + 1) A* S_{n+1}⁻¹ A

(a matrix continued fraction of symmetric positive matrices), and order 0 is left with −L₀ = T A* S₁⁻¹ A, whose inverse is a
pair of sums. Its slowest mode is the exchange between the wells; no sum mixes signs, so tiny rates keep their digits. At
strong damping S₁ = Γ and this is the Pontryagin double integral. Source: Risken, The Fokker–Planck Equation (1989) §10.3;
docs/theory.md §7 for the law.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values
from ..models.mpr import MPR

_WALLS = 14.0  # the grid reaches to where U is this many T above the pass
_COARSE = 0.15  # density of points in the bottom of a well much deeper than the other one, where the mode is constant


class _Grid(eqx.Module):
    """Nodes and the places between them, their cells' lengths, and (U − U_pass)/2T there."""

    nodes: Values
    between: Values
    cells: Values
    gaps: Values
    at_nodes: Values
    at_between: Values


def exchange_rates(
    model: MPR, q_low: Scalar, q_pass: Scalar, q_high: Scalar, T: Scalar, points: int, orders: int
) -> tuple[Scalar, Scalar]:
    """(rate out of the well at `q_low`, out of that at `q_high`), per t/τ: of the slowest mode of the exact equation.

    `q_low` > `q_pass` > `q_high` are the minima and the pass. Differentiable.
    """
    top = model.potential(q_pass)
    bottoms = jnp.stack([model.potential(q_low), model.potential(q_high)])
    shallow, shallow_is_low = jnp.max(bottoms), bottoms[0] > bottoms[1]
    grid = _grid(model, q_low, q_pass, q_high, top, shallow, T, points)
    resistance = _resistance(model, grid, T, orders)

    # Weights relative to the shallower well; of the other, no more than is needed to hold everything.
    logs = jnp.log(grid.cells) - 2 * grid.at_nodes + (shallow - top) / T
    weights = jnp.exp(jnp.minimum(logs, 60))
    side = jnp.where(shallow_is_low, 1, -1).astype(logs.dtype)
    curvature = -jax.grad(jax.grad(model.potential))(q_pass)
    width = jnp.sqrt(2 * T / curvature)
    away = jnp.sqrt(jnp.asarray(2, logs.dtype)) * side * (grid.nodes - q_pass) / width
    log_start, log_rest = jax.scipy.special.log_ndtr(away), jax.scipy.special.log_ndtr(-away)
    start, rest = jnp.exp(log_start), jnp.exp(log_rest)  # the two sides, as the diffusion across the top shares them
    lift = jnp.exp(grid.at_between) * jnp.sqrt(grid.gaps)
    left_of_pass = grid.nodes < q_pass

    def apart(mode: Values) -> Values:
        return mode - jnp.sum(mode * weights) / jnp.sum(weights)

    def inverse(mode: Values) -> Values:
        """L₀⁻¹ of a mode of mean 0, of mean 0; the flux is summed from the nearer wall."""
        source = mode * weights
        left, right = jnp.cumsum(source), jnp.cumsum(source[::-1])[::-1]
        flux = jnp.where(left_of_pass, left, source - right)[:-1]
        rise = -lift * (resistance @ (lift * flux)) / T
        found = jnp.concatenate([jnp.zeros_like(rise[:1]), jnp.cumsum(rise)])
        # Zero in the deeper well, where most of the weight is: nothing cancels when the mean is taken off.
        return apart(found - jnp.where(shallow_is_low, found[0], found[-1]))

    mode = apart(start)
    for _ in range(2):
        found = inverse(mode)
        mode = found / jnp.max(jnp.abs(found))
    found = inverse(mode)
    total = jnp.sum(mode**2 * weights) / jnp.sum(mode * found * weights) * jnp.exp((shallow - top) / T)
    inside = jnp.sum(found * start * weights) / jnp.sum(start * weights)
    outside = jnp.sum(found * rest * weights) / jnp.sum(rest * weights)
    out = total * inside / (inside - outside)
    # The way back by detailed balance, in logarithms: it may be smaller than any number.
    back = out * jnp.exp(jax.nn.logsumexp(logs + log_start) - jax.nn.logsumexp(logs + log_rest))
    return jnp.where(shallow_is_low, out, back), jnp.where(shallow_is_low, back, out)


def _grid(
    model: MPR,
    q_low: Scalar,
    q_pass: Scalar,
    q_high: Scalar,
    top: Scalar,
    shallow: Scalar,
    T: Scalar,
    points: int,
) -> _Grid:
    """Points between the walls, denser where something happens; the result hardly depends on them, so no gradient."""
    wide = jnp.asarray(np.exp(np.linspace(np.log(1e-3), np.log(1e3), 8193)), q_low.dtype)
    high = model.potential(wide) > top + _WALLS * T
    right = jnp.min(jnp.where(high & (wide > q_low), wide, jnp.inf))
    left = jnp.max(jnp.where(high & (wide < q_high), wide, 0))
    fine = left + (right - left) * jnp.linspace(0, 1, 4097, dtype=left.dtype)
    above = (model.potential(fine) - shallow) / T
    density = _COARSE + jax.nn.sigmoid((above + 10) / 3)
    filled = jnp.concatenate([jnp.zeros_like(density[:1]), jnp.cumsum((density[1:] + density[:-1]) / 2)])
    places = filled[-1] * (jnp.arange(2 * points - 1, dtype=left.dtype) + 1) / (2 * points)
    every = jax.lax.stop_gradient(jnp.interp(places, filled, fine))
    left, right = jax.lax.stop_gradient((left, right))
    nodes, between = every[::2], every[1::2]
    edges = jnp.concatenate([left[None], between, right[None]])
    reduced = lambda q: (model.potential(q) - top) / (2 * T)
    return _Grid(nodes, between, jnp.diff(edges), jnp.diff(nodes), reduced(nodes), reduced(between))


def _resistance(model: MPR, grid: _Grid, T: Scalar, orders: int) -> Values:
    """S₁, (points − 1, points − 1), from `orders` Hermite functions."""
    a, b = grid.at_nodes, grid.at_between
    lower, upper = jnp.sqrt(grid.gaps * grid.cells[:-1]), jnp.sqrt(grid.gaps * grid.cells[1:])
    up = _bidiagonal(-jnp.exp(a[:-1] - b) / lower, jnp.exp(a[1:] - b) / upper)  # from the nodes to between them
    down = _bidiagonal(jnp.exp(b - a[:-1]) / lower, -jnp.exp(b - a[1:]) / upper).T
    loss_nodes, loss_between = model.damping(grid.nodes), model.damping(grid.between)

    def eliminated(above: Values, A: Values, loss: Values, n: Values) -> Values:
        S = jnp.diag(n * loss) + T * (n + 1) * A.T @ jax.scipy.linalg.solve(above, A, assume_a="pos")
        return (S + S.T) / 2

    def pair(above: Values, n: Values) -> tuple[Values, None]:
        """S of the odd order n − 1 from that of n + 1."""
        return eliminated(eliminated(above, up, loss_nodes, n), down, loss_between, n - 1), None

    count = orders // 2
    highest = jnp.diag((2 * count + 1) * loss_between)
    levels = 2 * jnp.arange(count, 0, -1).astype(T.dtype)
    return jax.lax.scan(pair, highest, levels)[0]


def _bidiagonal(diagonal: Values, above: Values) -> Values:
    """(m, m + 1) with the given entries at (i, i) and (i, i + 1)."""
    m = diagonal.shape[0]
    return (
        jnp.zeros((m, m + 1), diagonal.dtype)
        .at[jnp.arange(m), jnp.arange(m)]
        .set(diagonal)
        .at[jnp.arange(m), jnp.arange(m) + 1]
        .set(above)
    )
