"""A user's mechanical model: a unit mass in a double well, q̈ + γ q̇ + q³ − a q = −I q."""

from typing import Any

import jax
import jax.numpy as jnp

import nmmjax as nmm


class DoubleWell(nmm.extend.AbstractMechanical):
    """q′ = p,  p′ = a q − q³ − γ p − I q, from U = q⁴/4 − a q²/2 and Γ = γ. Duffing (1918)."""

    a: Any = nmm.extend.parameter(1.0, symbol="a", doc="depth of the wells at ±√a, times 4")
    gamma: Any = nmm.extend.parameter(0.3, symbol="γ", bounds="[0, inf)", doc="friction")

    equations = "q' = p;  p' = a q − q³ − γ p − I(t) q"
    source = "Duffing (1918)"
    variables = {"q": nmm.extend.Variable("position"), "p": nmm.extend.Variable("velocity")}

    def potential(self, q):
        return q**4 / 4 - self.a * q**2 / 2

    def damping(self, q):
        return self.gamma * jnp.ones_like(q)

    def position(self, y):
        return y.q, y.p

    def at(self, q, qdot):
        return nmm.State(q=q, p=qdot)

    def frozen(self, y):
        return self

    def tilted(self, I):
        return DoubleWell(self.a - I, self.gamma)

    def vector_field(self, t, y, I):
        slope = jax.grad(lambda q: jnp.sum(self.potential(q)))(y.q)
        return nmm.State(q=y.p, p=-slope - self.damping(y.q) * y.p - I * y.q)
