"""FitzHugh and Nagumo's oscillator: a model with no rate, no potential and a cubic field."""

from typing import Any

import nmmjax as nmm


class FitzHughNagumo(nmm.extend.AbstractModel):
    """V′ = V − V³/3 − w + I₀ + I,  w′ = ε (V + a − b w). FitzHugh, Biophys. J. 1:445 (1961)."""

    a: Any = nmm.extend.parameter(0.7, symbol="a", doc="offset of recovery")
    b: Any = nmm.extend.parameter(0.8, symbol="b", doc="decay of recovery")
    epsilon: Any = nmm.extend.parameter(0.08, symbol="ε", bounds="(0, inf)", doc="slowness of recovery")
    current: Any = nmm.extend.parameter(0.0, symbol="I_0", doc="constant input")

    equations = "V' = V − V³/3 − w + I₀ + I(t);  w' = ε (V + a − b w)"
    source = "FitzHugh, Biophys. J. 1:445 (1961)"
    variables = {"V": nmm.extend.Variable("membrane potential"), "w": nmm.extend.Variable("recovery")}

    def vector_field(self, t, y, I):
        V = y.V - y.V**3 / 3 - y.w + self.current + I
        return nmm.State(V=V, w=self.epsilon * (y.V + self.a - self.b * y.w))

    def sent(self, y):
        return y.V
