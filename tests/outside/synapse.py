"""A first-order synapse as a term of a population: what arrives is s, which follows the rate, τ_s s′ = τ r − s."""

from typing import Any

import jax.numpy as jnp

import nmmjax as nmm


class FirstOrderSynapse(nmm.extend.AbstractTerm):
    """The coupling acts through s instead of the rate: J R → J s, in the population itself and in those that it sends to."""

    tau: Any = nmm.extend.parameter(symbol="τ_s", unit="time", bounds="(0, inf)", doc="synaptic time constant")
    variables = {"s": nmm.extend.Variable("synaptic activation", symbol="s", rest=0.0)}

    def rates(self, y):
        return {"s": (y.r - y.s) / self.tau}

    def steady(self, r):
        return {"s": r}

    def time_constants(self, r):
        return self.tau[None]

    def effective(self, eta, J, y):
        return eta + J * y.s, jnp.zeros_like(J)

    def sent(self, y, R):
        return y.s
