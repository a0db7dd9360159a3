"""Lanes of networks of spiking neurons: exact steps of all neurons, observed through the mean-field state that they show."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .._types import Values
from ..mechanics.channels import Problem
from ..models.noise import CauchyNoise, GaussianNoise, WhiteNoise
from ..solvers.qif_step import Moving
from ..solvers.spiking import made_for, random_kick, started, state
from .folding import AbstractMethod, Progress, Watch
from .point import Point

_LAWS = {
    "Cauchy": CauchyNoise,
    "Gaussian": GaussianNoise,
    "white": WhiteNoise,
    "shared white": lambda intensity: WhiteNoise(intensity, shared=True),
}


def law_of(noise: Any) -> str:
    """The law of a noise of neurons: "Cauchy" and "Gaussian" of each neuron, "white" noise common to those of a population,
    "shared white" noise common to all."""
    if isinstance(noise, WhiteNoise):
        return "shared white" if noise.shared else "white"
    return "Cauchy" if isinstance(noise, CauchyNoise) else "Gaussian"


class Spiking(AbstractMethod):
    """Equal exact steps of the neurons `problem.neurons`; between stretches the network itself is carried on, voltages and
    all. Its shown state jumps with single spikes, so observables are not refined between steps. Under Gaussian noise of each
    neuron the order parameter's rate is biased, and r is the rate of the spikes counted in the last step."""

    law: str = eqx.field(static=True, default="white")
    reverse: bool = eqx.field(static=True, default=False)
    fusible: ClassVar[bool] = False

    def begin(self, problem: Problem) -> Moving:
        return started(problem.model, problem.neurons, problem.y0)[1]

    def shown(self, problem: Problem, y: Any) -> Any:
        return self._seen(started(problem.model, problem.neurons, problem.y0)[0], y)

    def _seen(self, neurons: Any, y: Any) -> Any:
        shown = state(neurons, y)
        return shown.replace(r=y.rates[0]) if self.law == "Gaussian" else shown

    def flow(self, problem: Problem) -> None:
        return None

    def run(
        self, problem: Problem, y: Any, start: Values, stop: Values, steps: Any, observe: Watch, progress: Progress
    ) -> tuple[Any, Any, Progress]:
        dt = (stop - start) / jnp.maximum(steps, 1).astype(start.dtype)
        neurons, _ = started(problem.model, problem.neurons, problem.y0)
        made = made_for(neurons, dt)
        tau = jnp.broadcast_to(problem.model.tau, problem.nodes)[..., None]
        current = lambda t: problem.current(t, problem.y0)
        key = None if problem.noise is None or problem.key is None else jax.random.wrap_key_data(problem.key)
        noise = None if problem.noise is None else _LAWS[self.law](problem.noise)

        def seen(states: Any, t: Values, y: Any, weight: Values, since: Values) -> Any:
            if not observe.observables:
                return states
            return observe.update(states, Point(problem, t, self._seen(neurons, y), dt, weight, 0, since))

        def step(i, carry) -> Any:
            y, states = carry
            t = start + i.astype(dt.dtype) * dt
            kick = None if key is None else random_kick(noise, jax.random.fold_in(key, progress.steps + i), dt / tau, y.V)
            y, _, _ = neurons.advance(neurons, made, t, dt, y, current, kick)
            return y, seen(states, t + dt, y, jnp.where(i == steps - 1, dt / 2, dt), dt)

        states = seen(observe.states, start, y, dt / 2, jnp.zeros_like(dt))
        y, states = jax.lax.fori_loop(0, steps, step, (y, states))
        longest = jnp.where(steps > 0, jnp.maximum(progress.longest, dt), progress.longest)
        return y, states, eqx.tree_at(lambda p: (p.steps, p.longest), progress, (progress.steps + steps, longest))
