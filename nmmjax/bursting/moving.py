"""The mechanics of a population while slow variables move its landscape.

In the position q = √(2/R) (R = τ r, time t/τ) and with slow variables s,

    q̈ = −Γ(q) q̇ + F(q, s),      F = −∂U/∂q − I q,      ṡ = g(q, s)

F vanishes at fixed points; −∂F/∂q there is the squared frequency of the undamped oscillation. Source: docs/theory.md §4.
A spike is a small q, quiescence a large one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Scalar, Values
from ..equilibria.brackets import cusp_rate
from ..models.mpr import MPR
from ..models.state import State
from ..numerics.roots import newton, ratio

Slow = dict[str, Values]


class Moving(eqx.Module):
    """Force, damping and slow rates of a population with slow terms, at constant input; all elementwise.

    Closed forms of `MPR.potential` without gap junctions and conductances, which the predictions refuse.
    """

    model: MPR
    current: Scalar

    def drives(self, s: Slow) -> tuple[Values, Values]:
        """η_eff + I and J_eff, which slow variables `s` leave."""
        eta, J = self.model.eta + self.current, self.model.J
        state = self._state(self.model.tau, s)
        for term in self.model.slow_terms:
            eta, J = term.effective(eta, J, state)
        return eta, J

    def potential(self, q: Values, s: Slow) -> Values:
        """U(q) + ½ I q² in the landscape of `s`."""
        eta, J = self.drives(s)
        R = 2 / q**2
        return eta / R + np.pi**2 * R - J * jnp.log(R) + self.model.Delta**2 / (12 * np.pi**2 * R**3)

    def force(self, q: Values, s: Slow) -> Values:
        """F = −∂U/∂q − I q."""
        eta, J = self.drives(s)
        R = 2 / q**2
        return -q * (eta + R * (J - np.pi**2 * R) + self._wall * q**4)

    def stiffness(self, q: Values, s: Slow) -> Values:
        """−∂F/∂q."""
        eta, J = self.drives(s)
        R = 2 / q**2
        return eta + R * (3 * np.pi**2 * R - J) + 5 * self._wall * q**4

    def pull(self, R: Values, s: Slow) -> Values:
        """−∂/∂R of U + ½ I q², the force along R."""
        eta, J = self.drives(s)
        w = 1 / R
        return w * (w * (eta + 4 * self._wall * w**2) + J) - np.pi**2

    def damping(self, q: Values) -> Values:
        """Γ(q)."""
        return self.model.damping(q)

    def rates(self, q: Values, s: Slow) -> Slow:
        """ds/d(t/τ)."""
        return self.rates_at(2 / q**2, s)

    def rates_at(self, R: Values, s: Slow) -> Slow:
        """ds/d(t/τ) at R."""
        state = self._state(R / self.model.tau, s)
        return {name: self.model.tau * rate for name, rate in self.model.slow_rates(state).items()}

    @property
    def _wall(self) -> Values:
        """Factor of the term of heterogeneity in U, Δ²/(12π²R³)."""
        return self.model.Delta**2 / (16 * np.pi**2)

    def _state(self, r: Values, s: Slow) -> State:
        """The state at rate r with slow variables `s` (its voltage is not used)."""
        return State(r=r, v=r, **s)

    def drift(self, q: Values, s: Slow) -> Values:
        """Σ (∂F/∂s) ṡ: how the moving slow variables change the force."""
        return jax.jvp(lambda s: self.force(q, s), (s,), (self.rates(q, s),))[1]

    def well(self, q: Values, s: Slow, steps: int = 3) -> Values:
        """The fixed point near q by Newton's method."""
        return newton(lambda q: ratio(-self.force(q, s), self.stiffness(q, s)), q, steps, unrolled=True)

    def oscillation(self, q: Values, s: Slow) -> tuple[Values, Values]:
        """Damping rate and angular frequency of small oscillations around the well at q."""
        rate = self.damping(q) / 2
        return rate, jnp.sqrt(jnp.maximum(self.stiffness(q, s) - rate**2, 1e-6))

    def cusp(self) -> Values:
        """q at the cusp rate, which lies between the folds of the fast equations at every η and J."""
        return jnp.sqrt(2 / (self.model.tau * cusp_rate(self.model)))

    def high_well(self, s: Slow) -> Values:
        """A first guess of q at the stable state of high rate: π² R² = J R + η + I, without heterogeneity."""
        eta, J = self.drives(s)
        square = J**2 + 4 * np.pi**2 * eta
        R = (J + jnp.sqrt(jnp.maximum(square, 0.04 * J**2))) / (2 * np.pi**2)
        return jnp.sqrt(2 / jnp.maximum(R, 1.05 * 2 / self.cusp() ** 2))
