"""An excitatory and an inhibitory population with a synapse for each of their four connections: eight variables."""

from typing import Any

import jax.numpy as jnp

import nmmjax as nmm


class EIPair(nmm.extend.AbstractModel):
    """r_a′ = Δ/π + 2 r_a v_a,  v_a′ = v_a² + η_a − (π r_a)² + s_ae − s_ai,  τ s_ab′ = J_ab r_b − s_ab;  I drives e.

    Dumont & Gutkin, PLoS Comput. Biol. 15:e1007019 (2019), in units of the membrane time constant.
    """

    eta_e: Any = nmm.extend.parameter(1.0, symbol="η_e", doc="excitability of e")
    eta_i: Any = nmm.extend.parameter(-5.0, symbol="η_i", doc="excitability of i")
    Delta: Any = nmm.extend.parameter(1.0, symbol="Δ", bounds="(0, inf)", doc="half-width of the excitabilities")
    J: Any = nmm.extend.parameter(15.0, symbol="J", bounds="[0, inf)", doc="coupling between e and i")
    J_self: Any = nmm.extend.parameter(0.0, symbol="J_s", bounds="[0, inf)", doc="coupling within e and within i")
    tau: Any = nmm.extend.parameter(0.1, symbol="τ_s", unit="time", bounds="(0, inf)", doc="synaptic time constant")

    equations = "r_a' = Δ/π + 2 r_a v_a;  v_a' = v_a² + η_a + I_a(t) − (π r_a)² + s_ae − s_ai;  τ_s s_ab' = J_ab r_b − s_ab"
    source = "Dumont & Gutkin, PLoS Comput. Biol. 15:e1007019 (2019)"
    variables = {f"r_{a}": nmm.extend.Variable(f"firing rate of {a}", "1/time", positive=True) for a in "ei"}
    variables |= {f"v_{a}": nmm.extend.Variable(f"mean voltage of {a}") for a in "ei"}
    variables |= {f"s_{a}{b}": nmm.extend.Variable(f"synapse from {b} to {a}", rest=0.0) for a in "ei" for b in "ei"}

    def vector_field(self, t, y, I):
        def half(r, v, eta, s):
            return self.Delta / jnp.pi + 2 * r * v, v**2 + eta - (jnp.pi * r) ** 2 + s

        r_e, v_e = half(y.r_e, y.v_e, self.eta_e + I, y.s_ee - y.s_ei)
        r_i, v_i = half(y.r_i, y.v_i, self.eta_i, y.s_ie - y.s_ii)
        s = {"s_ee": (self.J_self, y.r_e, y.s_ee), "s_ei": (self.J, y.r_i, y.s_ei)}
        s |= {"s_ie": (self.J, y.r_e, y.s_ie), "s_ii": (self.J_self, y.r_i, y.s_ii)}
        rates = {name: (J * r - now) / self.tau for name, (J, r, now) in s.items()}
        return nmm.State(r_e=r_e, v_e=v_e, r_i=r_i, v_i=v_i, **rates)

    def sent(self, y):
        return y.r_e
