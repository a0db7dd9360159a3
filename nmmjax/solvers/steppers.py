"""One step of a network at a known input from the past: how each kind of equations is stepped.

A stepper moves its own variables z. `enter` makes them of a state, `leave` shows the state; between them lie steps of one
length. The input from the past is c(t), (n,), in units of η; `Now` has it at a time, with its slope.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp

from .._checks import require
from .._types import Values
from ..mechanics.channels import Problem, just_inside
from ..models.network import Network
from ..models.noise import OrnsteinUhlenbeck, WhiteNoise
from ..models.state import State
from ..models.stimulus import input_at
from ..numerics.loops import runge_kutta
from ..numerics.roots import with_slope
from .mobius import MobiusSplitting
from .noisy import Kicks, kicks_from, middle_kicks, noisy_step
from .operators import apply_map, force_gradient, real_map


class Now(NamedTuple):
    """The input from the past at one time, (n,), and its slope per unit of time; zeros without delays."""

    past: Values
    slope: Values


class Stretch(NamedTuple):
    """Times between which steps are of one length: `start`, `stop`, the step `dt`."""

    start: Values
    stop: Values
    dt: Values


class AbstractStepper(eqx.Module):
    """How a network is stepped: in `words`; `middle`: whether it asks for the past at midpoints, `between`: whether those of
    the cubic through four steps will do; `kicks`: how noise is put into a step."""

    words: ClassVar[str]
    middle: ClassVar[bool] = False
    between: ClassVar[bool] = False
    kicks: ClassVar[Any] = staticmethod(kicks_from)

    def make(self, problem: Problem, stretch: Stretch) -> Any:
        """What all steps of a stretch share."""
        return ()

    @abc.abstractmethod
    def enter(self, problem: Problem, made: Any, stretch: Stretch, t: Values, y: State, now: Now) -> Any:
        """The stepper's variables at the state `y`."""

    @abc.abstractmethod
    def advance(
        self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, past: tuple[Any, Any, Any], kicks: Any
    ) -> Any:
        """The variables one step later; `past` at its start, middle and end, `kicks` of noise or None."""

    @abc.abstractmethod
    def leave(self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, now: Now) -> State:
        """The state that the variables stand for."""


def instantaneous(model: Network) -> Network:
    """The network of the connections without delay alone."""
    delays = model.coupling.delays()
    if delays is None:
        return model
    dense = model.weights.todense() if model.is_sparse else model.weights
    return eqx.tree_at(lambda each: each.coupling.weights, model.undelayed(), jnp.where(delays == 0, dense, 0))


def _middle(problem: Problem, stretch: Stretch) -> Values:
    return input_at(problem.stimulus, (stretch.start + stretch.stop) / 2)


def _rest(problem: Problem, stretch: Stretch, t: Values) -> Any:
    """The input beyond that of the stretch's middle, which the flow has."""
    if problem.stimulus is None:
        return jnp.zeros_like(t)
    return input_at(problem.stimulus, just_inside(t, stretch.start, stretch.stop)) - _middle(problem, stretch)


def _state(problem: Problem, x: Values, v: Values) -> State:
    return problem.y0.replace(r=x / (jnp.pi * problem.model.tau), v=v)


class Processed(AbstractStepper):
    """Order 4 with one Möbius map and one kick per step (`ensemble.splitting`): populations that meet others through the
    past alone, so that c(t) is an input to each."""

    words: ClassVar[str] = "processed Möbius splitting, order 4"

    def make(self, problem: Problem, stretch: Stretch) -> Any:
        nodes = problem.model.nodes()
        h, riccati = stretch.dt / nodes.tau, nodes.riccati()
        return real_map(riccati.eta + _middle(problem, stretch), riccati.Delta, h), h, nodes.J / jnp.pi

    def _input(self, problem: Problem, stretch: Stretch, t: Values, now: Now) -> tuple[Values, Values]:
        """(c, dc/d(t/τ)) with the stimulus."""
        tau = problem.model.tau
        if problem.stimulus is None:
            return now.past, now.slope * tau
        value, slope = with_slope(lambda t: input_at(problem.stimulus, t), just_inside(t, stretch.start, stretch.stop))
        return now.past + value - _middle(problem, stretch), (now.slope + slope) * tau

    def _kick(self, made: Any, x: Values, v: Values, c: Values, share: float) -> Values:
        _, h, k = made
        return v + share * (x * (h * k + h**3 / 12 * k**2 * x) + h * c - h**3 / 12 * c**2)

    def _process(self, problem: Problem, made: Any, x: Values, v: Values, c: Any, slope: Any, sign: int) -> Any:
        _, h, k = made
        s = sign * h**2 / 12
        Delta = problem.model.nodes().riccati().Delta
        return x * (1 - c * s) / (1 + c * s + 2 * k * s * x), (v * (1 - c * s) + s * (k * Delta + slope)) / (1 + c * s)

    def enter(self, problem: Problem, made: Any, stretch: Stretch, t: Values, y: State, now: Now) -> Any:
        c, slope = self._input(problem, stretch, t, now)
        x, v = self._process(problem, made, jnp.pi * problem.model.tau * y.r, y.v, c, slope, 1)
        return x, self._kick(made, x, v, c, -0.5)

    def advance(
        self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, past: tuple[Any, Any, Any], kicks: Any
    ) -> Any:
        x, v = z
        return apply_map(made[0], x, self._kick(made, x, v, past[0] + _rest(problem, stretch, t), 1.0))

    def leave(self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, now: Now) -> State:
        x, v = z
        c, slope = self._input(problem, stretch, t, now)
        return _state(problem, *self._process(problem, made, x, self._kick(made, x, v, c, 0.5), c, slope, -1))


class AbstractKicked(AbstractStepper):
    """Exact flows of all nodes between kicks by the coupling, with variables x = π τ r, v and the force f. `share`: of the
    step, of one flow; `present`: whether some connections are without delay."""

    share: ClassVar[float] = 1.0
    present: eqx.AbstractVar[bool]

    def own(self, problem: Problem) -> Any:
        """The model whose `drive` is the kick."""
        return instantaneous(problem.model) if self.present else problem.model.nodes()

    def make(self, problem: Problem, stretch: Stretch) -> Any:
        riccati = problem.model.nodes().riccati()
        h = stretch.dt / problem.model.tau
        return real_map(riccati.eta + _middle(problem, stretch), riccati.Delta, self.share * h), h

    def _force(self, problem: Problem, stretch: Stretch, t: Values, x: Values, past: Values) -> Values:
        return self.own(problem).drive(x / jnp.pi) + past + _rest(problem, stretch, t)

    def enter(self, problem: Problem, made: Any, stretch: Stretch, t: Values, y: State, now: Now) -> Any:
        x = jnp.pi * problem.model.tau * y.r
        return x, y.v, self._force(problem, stretch, t, x, now.past)

    def leave(self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, now: Now) -> State:
        return _state(problem, z[0], z[1])


class AbstractForceGradient(AbstractKicked):
    """Order 4 with two flows and three products with the weights per step."""

    share: ClassVar[float] = 0.5

    def advance(
        self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, past: tuple[Any, Any, Any], kicks: Any
    ) -> Any:
        (half, h), drive, (x, v, f) = made, self.own(problem).drive, z
        middle = lambda x: self._force(problem, stretch, t + stretch.dt / 2, x, past[1])
        end = lambda x: self._force(problem, stretch, t + stretch.dt, x, past[2])
        turn = lambda x, push: drive(x * h * push / jnp.pi)
        flow = lambda x, v: apply_map(half, x, v)
        if kicks is None:
            return force_gradient(z, h, flow, middle, end, turn)
        x, v, f = force_gradient((x, v + kicks.before, f), h, flow, middle, end, turn, random=kicks.middle)
        return x, v + kicks.after, f


class ForceGradient(AbstractForceGradient):
    """Order 4 for instantaneous coupling."""

    words: ClassVar[str] = "force-gradient Möbius splitting, order 4"
    middle: ClassVar[bool] = True
    present: bool = eqx.field(static=True, default=True)


class NoisyForceGradient(AbstractForceGradient):
    """The same with noise in all three kicks: of weak order 2, with a far smaller error of moments than `Strang`."""

    words: ClassVar[str] = "force-gradient Möbius splitting with noise in its kicks"
    between: ClassVar[bool] = True
    kicks: ClassVar[Any] = staticmethod(middle_kicks)
    present: bool = eqx.field(static=True, default=True)


class Strang(AbstractKicked):
    """Order 2, weak order 2 with noise: half the kick and half the noise before the exact flow, half behind it. One product
    with the weights per step."""

    words: ClassVar[str] = "Möbius splitting, order 2"
    present: bool = eqx.field(static=True, default=True)

    def advance(
        self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, past: tuple[Any, Any, Any], kicks: Any
    ) -> Any:
        (flow, h), (x, v, f) = made, z
        v = v + h / 2 * f
        x, v = apply_map(flow, x, v if kicks is None else v + kicks.before)
        f = self._force(problem, stretch, t + stretch.dt, x, past[2])
        v = v + h / 2 * f
        return x, v if kicks is None else v + kicks.after, f


class Nodewise(AbstractStepper):
    """Order 2, weak order 2 with noise, for nodes with synapses and slow terms: each node's own splitting under the input of
    the step's midpoint."""

    words: ClassVar[str] = "splitting of every node, order 2"
    middle: ClassVar[bool] = True

    def enter(self, problem: Problem, made: Any, stretch: Stretch, t: Values, y: State, now: Now) -> Any:
        return y

    def advance(
        self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, past: tuple[Any, Any, Any], kicks: Any
    ) -> Any:
        model = instantaneous(problem.model)
        if kicks is None:
            still = jnp.zeros_like(z.v)
            kicks = Kicks(still, still, still)
        return noisy_step(model.tilted(past[1]), problem.stimulus, t, stretch.dt, z, kicks)

    def leave(self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, now: Now) -> State:
        return z


class RungeKutta(AbstractStepper):
    """Order 4 for nodes with any equations: the Runge–Kutta method."""

    words: ClassVar[str] = "Runge–Kutta method, order 4"
    middle: ClassVar[bool] = True

    def enter(self, problem: Problem, made: Any, stretch: Stretch, t: Values, y: State, now: Now) -> Any:
        return y

    def advance(
        self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, past: tuple[Any, Any, Any], kicks: Any
    ) -> Any:
        model, present = problem.model, instantaneous(problem.model)
        dt, begin, end = stretch.dt, stretch.start, stretch.stop

        def field(t: Values, y: State, past: Values) -> State:
            received = past + present.apply(model.sent(y))
            return model.vector_field(t, y, problem.current(just_inside(t, begin, end), y), past=received)

        at = {0.0: (t, past[0]), 0.5: (t + dt / 2, past[1]), 1.0: (t + dt, past[2])}
        return runge_kutta(lambda share, y: field(at[share][0], y, at[share][1]), z, dt)

    def leave(self, problem: Problem, made: Any, stretch: Stretch, t: Values, z: Any, now: Now) -> State:
        return z


def is_plain(model: Any) -> bool:
    """Whether the nodes are stepped by a Möbius map and kicks alone."""
    node: Any = model if model.size is None else model.node
    riccati = node.riccati() if "riccati" in node.offers else None
    return riccati is not None and riccati.plain and not node.slow_names


def check_splitting(model: Any, noise: Any, solver: Any) -> int:
    """The order of the splitting that is asked for; by default 4, but with noise 2 for single populations, for nodes with
    slow terms, and for other noise than white and Ornstein–Uhlenbeck noise."""
    both = noise is None or (isinstance(noise, WhiteNoise | OrnsteinUhlenbeck) and is_plain(model))
    kind = "a `MobiusSplitting` of order 2 or 4" if both else "`MobiusSplitting(2)`"
    fits = solver is None or (isinstance(solver, MobiusSplitting) and solver.mobius_order in ((2, 4) if both else (2,)))
    require("solver", solver, f"be None or {kind} {'here' if noise is None else 'with noise'}", fits)
    if solver is not None:
        return solver.mobius_order
    return 4 if noise is None or (both and model.size is not None) else 2


def stepper_for(model: Network, noisy: bool, present: bool, order: int = 4, alone: bool = False) -> AbstractStepper:
    """The stepper of a network: `present` if some connections are without delay, `noisy` if there is noise; `order` 2 for
    the splitting of order 2, which nodes with slow terms always have under noise; `alone` for one population."""
    plain = is_plain(model)
    if alone and plain and not noisy:
        return Strang(False) if order == 2 else ForceGradient(False)
    if noisy and plain and order == 4:
        return NoisyForceGradient(present)
    if noisy or order == 2:
        return Strang(present) if plain else Nodewise()
    if plain:
        return ForceGradient() if present else Processed()
    return RungeKutta()
