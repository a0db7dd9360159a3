"""Layer 4: the mechanics of a population while slow variables move its landscape.

In the position q = √(2/R) (R = τ r, time t/τ) and with slow variables s,

    q̈ = −Γ(q) q̇ + F(q, s),      F = −∂U/∂q − I q,      ṡ = g(q, s)

F vanishes at fixed points; −∂F/∂q there is the squared frequency of the undamped oscillation. Source: nmmjax theory
notes §4. A spike is a small q, quiescence a large one.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np

from .._types import Mask, Scalar, Values
from ..models.base import State
from ..models.mpr import MPR
from .frozen import cusp_rate

Slow = dict[str, Values]


class Moving(eqx.Module):
    """Force, damping and slow rates of a population with slow terms, at constant input; all elementwise."""

    model: MPR
    current: Scalar

    def state(self, q: Values, s: Slow) -> State:
        """The state at q with slow variables `s` (its voltage is not used)."""
        return State(r=2 / (self.model.tau * q**2), v=jnp.zeros_like(q), **s)

    def potential(self, q: Values, s: Slow) -> Values:
        """U(q) + ½ I q² in the landscape of `s`."""
        return self.model.frozen(self.state(q, s)).potential(q) + self.current * q**2 / 2

    def force(self, q: Values, s: Slow) -> Values:
        """F = −∂U/∂q − I q."""
        return -jax.jvp(lambda q: self.potential(q, s), (q,), (jnp.ones_like(q),))[1]

    def stiffness(self, q: Values, s: Slow) -> Values:
        """−∂F/∂q."""
        return -jax.jvp(lambda q: self.force(q, s), (q,), (jnp.ones_like(q),))[1]

    def damping(self, q: Values) -> Values:
        """Γ(q)."""
        return self.model.damping(q)

    def rates(self, q: Values, s: Slow) -> Slow:
        """ds/d(t/τ)."""
        return {name: self.model.tau * rate for name, rate in self.model.slow_rates(self.state(q, s)).items()}

    def drift(self, q: Values, s: Slow) -> Values:
        """Σ (∂F/∂s) ṡ: how the moving slow variables change the force."""
        return jax.jvp(lambda s: self.force(q, s), (s,), (self.rates(q, s),))[1]

    def well(self, q: Values, s: Slow, steps: int = 3) -> Values:
        """The fixed point near q by Newton's method."""
        for _ in range(steps):
            q = q + self.force(q, s) / self.stiffness(q, s)
        return q

    def oscillation(self, q: Values, s: Slow) -> tuple[Values, Values]:
        """Damping rate and angular frequency of small oscillations around the well at q."""
        rate = self.damping(q) / 2
        return rate, jnp.sqrt(jnp.maximum(self.stiffness(q, s) - rate**2, 1e-6))

    def cusp(self) -> Values:
        """q at the cusp rate, which lies between the folds of the fast equations at every η and J."""
        return jnp.sqrt(2 / (self.model.tau * cusp_rate(self.model)))

    def high_well(self, s: Slow) -> Values:
        """A first guess of q at the stable state of high rate: π² R² = J R + η + I, without heterogeneity."""
        fast = self.model.frozen(self.state(self.cusp(), s))
        square = fast.J**2 + 4 * np.pi**2 * (fast.eta + self.current)
        R = (fast.J + jnp.sqrt(jnp.maximum(square, 0.04 * fast.J**2))) / (2 * np.pi**2)
        return jnp.sqrt(2 / jnp.maximum(R, 1.05 * 2 / self.cusp() ** 2))


def scan_while(
    going: Callable[[Any], Mask], step: Callable[[Any, None], tuple[Any, Any]], carry: Any, length: int, chunk: int
) -> tuple[Any, Any]:
    """`lax.scan` of `length` steps without inputs, those left out (outputs zero) once `going(carry)` holds in no lane.

    Unlike a while loop it can be differentiated backwards. `length` is rounded up to whole chunks.
    """

    def part(carry: Any, _: None) -> tuple[Any, Any]:
        _, shapes = jax.eval_shape(lambda carry: jax.lax.scan(step, carry, None, length=chunk), carry)
        nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
        run = lambda carry: jax.lax.scan(step, carry, None, length=chunk)  # noqa: E731
        return jax.lax.cond(eqxi.unvmap_any(going(carry)), run, lambda carry: (carry, nothing), carry)

    carry, outputs = jax.lax.scan(part, carry, None, length=-(-length // chunk))
    return carry, jax.tree.map(lambda each: each.reshape((-1, *each.shape[2:])), outputs)


def choose(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`, leaf by leaf."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
