"""Linearised response of populations and networks to the shot noise of their own spikes (docs/theory.md §B1).

A population of N neurons fires R = r + ξ. What the neurons receive is R, what moves is r: ẏ = f(y) + b ξ to first order.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._checks import require
from .._types import ComplexValues, Scalar, Values
from ..equilibria.stability import jacobian
from ..models.base import AbstractModel, require_offer
from ..models.state import State
from ..numerics.compiling import jitted
from ..numerics.linear import resolvent
from .bare import Drives


def require_spikes(model: Any) -> None:
    """Refuse models whose neurons' spikes are not known to be all that fluctuates."""
    if not (isinstance(model, AbstractModel) and "resting" in model.offers):
        require_offer(model, "riccati")
    node: Any = getattr(model, "node", model)
    plain = node.riccati().modes is None or node.riccati().k is None
    require("model", model, "be without conductances if its excitabilities are not Lorentzian", plain)
    rule = "be without gap junctions and heterogeneous couplings, whose finite-size fluctuations have no closed form here"
    require("model", model, rule, node.riccati().g is None)


def drives_at(model: Any, y: State, Gamma: Scalar | None) -> Drives:
    """The neurons' total drives at the state `y`, with arrays (n, k) for a network of n nodes: what is left of V̇ = V² − G V
    + c after the shift of V by G/2."""
    fast = model.frozen(y)
    parts, R = fast.riccati(), fast.tau * y.r
    loss, current = jnp.zeros_like(R), fast.eta + fast.drive(R)
    if parts.k is not None:
        loss, current = loss + parts.k * R, current + parts.k * R * parts.E_s
    if parts.leak is not None:
        loss, current = loss + parts.leak[0], current + parts.leak[0] * parts.leak[1]
    dtype = np.result_type(R.dtype, np.complex64)
    z, c = jnp.asarray([-1j], dtype), jnp.asarray([1.0], dtype)
    if (modes := parts.modes) is not None:
        z, c = jax.lax.complex(modes.centre, -modes.width), jax.lax.complex(modes.real, modes.imag)
    center, width = (
        jnp.broadcast_to(each, R.shape).astype(dtype)[..., None] for each in (current - loss**2 / 4, fast.Delta)
    )
    poles = center + width * jnp.broadcast_to(z, (*R.shape, z.size))
    Gamma = None if Gamma is None else jnp.broadcast_to(Gamma, R.shape)
    return Drives(poles, jnp.broadcast_to(c, poles.shape), Gamma)


def linearized(model: Any, y: State) -> tuple[Values, Values]:
    """A (m, m) and b (m, n): derivatives of the vector field by the flat state, and by the ξ of all n populations."""
    network = model.size is not None
    nodes = model.nodes() if network else model
    own = nodes.frozen(y) if nodes.slow_names else nodes
    tau, R = own.tau, own.tau * y.r

    def pushed(xi: Values) -> Values:
        parts = own.riccati()
        push = jax.jvp(own.drive, (R,), (tau * xi,))[1]
        loss = jnp.zeros_like(R)
        if parts.k is not None:
            push, loss = push + parts.k * tau * xi * (parts.E_s - y.v), parts.k * R * tau * xi
        if network:
            push = push + model.apply(jax.jvp(lambda r: model.sent(y.replace(r=r)), (y.r,), (xi,))[1])
        slow = jax.jvp(lambda r: nodes.slow_rates(y.replace(r=r)), (y.r,), (xi,))[1] if nodes.slow_names else {}
        # What is received moves the voltages of all modes alike.
        modes = {name: jnp.zeros_like(push) if name.startswith("r") else push / tau for name in own.mode_names}
        return ravel_pytree(State(r=-loss / tau**2, v=push / tau, **(modes | slow)))[0]

    b = jax.vmap(pushed)(jnp.eye(y.r.size, dtype=y.r.dtype).reshape(-1, *y.r.shape))
    return jacobian(model, y), b.T


class Loop(eqx.Module):
    """Shot noise and what the coupling makes of it around a fixed point.

    - `drives`: of n populations, arrays (n, k); `tau`, `size` (n,): their time constants and numbers of neurons
    - `A` (m, m), `b` (m, n): the linearised equations; `rows`: places of the rates in the flat state
    """

    drives: Drives
    A: Values
    b: Values
    rows: Any
    tau: Values
    size: Values

    def bare(self, f: Values) -> Values:
        """Spectra of the uncoupled populations at the same drives, (m, n), at frequencies `f` (m,)."""
        one = lambda drives, tau, size: drives.spectrum(f * tau) / (tau * size)
        return jax.vmap(one, out_axes=1)(self.drives, self.tau, self.size)

    def transfer(self, f: Values) -> ComplexValues:
        """T (m, n, n), R̂ = T ξ̂ with T = 1 + c (iω − A)⁻¹ b."""
        response = resolvent(self.A, self.b, f)[:, self.rows]
        return jnp.eye(self.b.shape[1], dtype=response.dtype)[None] + response

    @jitted
    def spectra(self, f: Values) -> tuple[Values, Values]:
        """(coupled, bare), (m, n) each: S_i = Σ_j |T_ij|² S_j, since populations fire independently but for the coupling."""
        bare, T = self.bare(f), self.transfer(f)
        return jnp.sum((T.real**2 + T.imag**2) * bare[:, None, :], axis=-1), bare


def loop_at(model: Any, spread: Any, y: State, Gamma: Scalar | None, size: Values) -> Loop:
    """Shot noise of populations of `size` neurons around the fixed point `y` of `spread`, the model with its neurons'
    noise `Gamma` in the heterogeneity."""
    n = y.r.size
    drives = jax.tree.map(lambda each: each.reshape(n, *each.shape[y.r.ndim :]), drives_at(model, y, Gamma))
    rows = y.names.index("r") * n + np.arange(n)
    tau, size = (jnp.broadcast_to(each, y.r.shape).astype(y.r.dtype).reshape(n) for each in (model.tau, size))
    return Loop(drives, *linearized(spread, y), rows, tau, size)
