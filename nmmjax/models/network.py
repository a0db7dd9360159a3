"""Networks of populations that excite and inhibit each other through their firing rates."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, as_node, as_nodes, require, require_each
from .._parameter import as_number, check, check_parameters, declared, parameter, parameter_table, with_arrays
from .._types import Scalar, Values, is_concrete
from .base import AbstractModel, refuse_delays, refuse_spikes, takes_model
from .connectome import Connectome
from .coupling import Coupling
from .mechanical import AbstractMechanical, AbstractRiccati, Riccati
from .mpr import MPR
from .state import State, Variable
from .stimulus import AbstractStimulus
from .terms import AbstractTerm


def _as_names(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


@takes_model
def per_node(node: Any, **values: Any) -> Any:
    """The model with parameters of shape (n,), one value per node, for `Network(per_node(MPR(...), eta=etas), weights)`.

    - `node`: a model of one population
    - `**values`: arrays (n,) by the parameter's name as in `parameter_table`: `eta=…`, or
      `**{"adaptation.alpha": …}` for a term's; in the parameter's unit

    Returns the model with these parameters. Raises `ValueError` for unknown names, values outside a parameter's bounds
    and axes other than one.
    """
    refuse_spikes(node, "node")
    table = parameter_table(node)
    for name, value in values.items():
        require(name, name, f"be one of the parameters {', '.join(f'`{each}`' for each in table)}", name in table)
        declaration, array = table[name][0], as_array(value)
        require(name, value, "be an array of numbers with 1 axis, one per node", getattr(array, "ndim", None) == 1)
        jax.vmap(lambda each, declaration=declaration: check(declaration, each))(array)
        if is_concrete(array):
            require_each(name, array, f"be {declaration.rule}, without NaN", declaration.within(np.asarray(array)))
        node = eqx.tree_at(lambda each, name=name: _attribute(each, name), node, array)
    return node


def _attribute(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


@declared
class Targeted(AbstractStimulus):
    """An input with a strength of its own at every node of a network: I_i(t) = gains_i I(t).

    - `stimulus`: I(t), the same for all nodes, in units of η
    - `gains` (n,): strength at every node, dimensionless

    `Network.target(stimulus, node)` makes it. Add several with `+`. Called at one time, it gives an array `(n,)`; at an
    array of times, one of shape `(…, n)`. Raises `ValueError` for a stimulus that is made for nodes already.
    """

    stimulus: AbstractStimulus
    gains: Values = parameter(symbol="w", ndim=1, doc="strength at every node")

    def __check_init__(self) -> None:
        check_parameters(self)
        known = isinstance(self.stimulus, AbstractStimulus)
        require("stimulus", self.stimulus, "be a stimulus such as `Pulse(...)`", known)
        rule = "be the same at all nodes to be targeted (give `Sampled` zeros at the others)"
        require("stimulus", self.stimulus, rule, self.stimulus.nodes is None)

    @property
    def nodes(self) -> int | None:
        return self.gains.shape[0]

    def since(self, start: Values) -> "Targeted":
        return eqx.tree_at(lambda each: each.stimulus, self, self.stimulus.since(start))

    def __call__(self, t: Values) -> Values:
        return jnp.multiply.outer(self.stimulus(t), self.gains)

    def jumps(self) -> Values:
        return self.stimulus.jumps()

    def span(self) -> tuple[Any, Any] | None:
        return self.stimulus.span()


@declared
class Network(AbstractModel):
    """n nodes, each with the equations of `node`, that receive I_i(t) + G Σ_j W_ij sent_j(t − D_ij).

    With the populations of `MPR` as nodes:

        τ_i dr_i/dt = Δ_i/(πτ_i) + 2 r_i v_i
        τ_i dv_i/dt = v_i² + η_i + I_i(t) + J_i R_i + G Σ_j W_ij R_j − π² R_i²,        R_i = τ_i r_i

    - `node`: a model that sends (`AbstractModel.sent`), whose parameters are shared, or differ from node to node
      (`per_node(MPR(...), eta=etas)`). Optional terms belong to every node. The `J` of an `MPR` is its coupling to itself;
      `W_ii` adds to it
    - `weights`: W of shape (n, n), dense or a `jax.experimental.sparse.BCOO`, a `Coupling`, or a `Connectome`, whose labels
      become the names; row i receives, column j sends. A sender's synaptic depression or plasticity scales its whole column
    - `gain`: the global gain G
    - `reversal`: reversal potentials E_j of what the nodes send, a number or (n,), in units of v: the weights are then
      conductances, see `Coupling`, and the network has no energies of its own. None (the default) for currents
    - `speed`: conduction speed along the lengths of a `Connectome`, in mm per unit of time: D_ij = lengths_ij/speed. Or
      `delay`: D, a number for all pairs or (n, n), ≥ 0, in the unit of τ. None (the default) of both for no delays
    - `names`: names of the nodes, distinct strings such as the regions of a connectome; outputs keep them, and they stand
      for the nodes' numbers in every argument
    - `note`: a line for the print-out, such as units and source

    States have arrays of shape (n,). R_j is the sender's rate per membrane time constant, so that symmetric weights have an
    energy landscape also if the τ differ; for the convention τ_i r_j (Taher et al. 2020) give W_ij τ_i/τ_j. Use it for
    connectomes, competing populations, E–I circuits; `energy_landscape(network)` for its states, `simulate` for runs. A
    network with delays has the resting states of `network.undelayed()`, but not their stability.

    Raises `ValueError` for nodes that send nothing, weights that are not square, not finite or empty, and for per-node
    values of another length. Source: docs/theory.md §8; Montbrió, Pazó & Roxin (2015) for the nodes.
    """

    node: AbstractModel = eqx.field(converter=with_arrays)
    coupling: Coupling = eqx.field(metadata={"flat": True})
    names: tuple[str, ...] = eqx.field(static=True, default=(), converter=_as_names)
    note: str = eqx.field(static=True, default="")

    source: ClassVar[str] = "docs/theory.md §8"
    equations: ClassVar[str] = (
        "τ_i r_i' = Δ_i/(πτ_i) + 2 r_i v_i;  τ_i v_i' = v_i² + η_i + I_i(t) + J_i R_i + G Σ_j W_ij R_j − π² R_i²,  R = τ r"
    )

    def __init__(
        self,
        node: Any,
        weights: Any,
        gain: Any = None,
        names: Any = None,
        note: str = "",
        reversal: Any = None,
        speed: Any = None,
        delay: Any = None,
    ):
        lengths = weights.lengths if isinstance(weights, Connectome) else None
        rule = "be None unless the weights are a `Connectome` with lengths (`delay=` takes delays)"
        require("speed", speed, rule, speed is None or lengths is not None)
        if isinstance(weights, Connectome):
            names = weights.labels if names is None else names
            note = note or "; ".join(each for each in (weights.source, *weights.notes[-1:]) if each)
            weights = weights.weights
        self.node = node
        self.names = names
        self.note = note
        if isinstance(weights, Coupling):
            require("gain", gain, "be given once, in the `Coupling`", gain is None)
            require("reversal", reversal, "be given once, in the `Coupling`", reversal is None)
            require("delay", delay, "be given once, in the `Coupling`", delay is None)
            self.coupling = weights
        else:
            given = {} if gain is None else {"gain": gain}
            if reversal is not None:
                value = as_array(reversal)
                numbers = isinstance(value, jax.Array)
                require("reversal", reversal, "be a number or numbers (n,), one per node", numbers)
                given["reversal"] = jnp.broadcast_to(value, np.shape(weights)[:1]) if np.ndim(value) == 0 else value
            given |= {} if delay is None else {"delay": delay}
            given |= {} if speed is None else {"speed": speed, "lengths": lengths}
            self.coupling = Coupling(weights, **given)

    def __check_init__(self) -> None:
        one = isinstance(self.node, AbstractModel) and self.node.size is None
        require("node", self.node, "be a model of one population, such as an `MPR`", one)
        sends = type(self.node).sent is not AbstractModel.sent
        require("node", self.node, "declare what it sends (define `sent(y)`)", sends)
        known = self.coupling.reversal is None or isinstance(self.node, AbstractRiccati)
        require("reversal", self.coupling.reversal, "be None for nodes without conductances (`MPR` has them)", known)
        size = self.size
        distinct = all(isinstance(each, str) and each for each in self.names) and len(set(self.names)) == len(self.names)
        require("names", self.names, "be distinct strings", distinct)
        require("names", self.names, f"be {size}, one per node, or none", len(self.names) in (0, size))
        for name, (_, value) in parameter_table(self.node).items():
            require(name, value, f"be a number or one per node, ({size},)", value.ndim == 0 or value.shape == (size,))

    @property
    def weights(self) -> Any:
        """W of shape (n, n), dense or sparse."""
        return self.coupling.weights

    @property
    def gain(self) -> Any:
        """The global gain G."""
        return self.coupling.gain

    @property
    def reversal(self) -> Any:
        """The reversal potentials E_j of what the nodes send, (n,), if the weights are conductances; else None."""
        return self.coupling.reversal

    @property
    def speed(self) -> Any:
        """The conduction speed along the connectome's lengths, or None."""
        return self.coupling.speed

    @property
    def delay(self) -> Any:
        """The delays that were given, () or (n, n), or None; `coupling.delays()` for those of all pairs."""
        return self.coupling.delay

    def undelayed(self) -> "Network":
        """The same network without delays: it has the same resting states, and the energies that delays rule out."""
        if not self.coupling.delayed:
            return self
        return eqx.tree_at(lambda each: each.coupling, self, self.coupling.undelayed())

    @property
    def variables(self) -> Mapping[str, Variable]:
        return self.node.variables

    @property
    def degree(self) -> int | None:
        return self.node.degree

    @property
    def offers(self) -> frozenset[str]:
        if self.coupling.delayed:
            return frozenset({"delays"})
        if self.coupling.reversal is None:
            return self.node.offers
        node: Any = self.node
        return frozenset({"splitting"}) if node.filters is not None else frozenset()

    @property
    def size(self) -> int:
        """The number of nodes, n."""
        return self.coupling.size

    @property
    def labels(self) -> np.ndarray:
        """Labels of the nodes in outputs: their names, or else their numbers, (n,)."""
        return np.asarray(self.names) if self.names else np.arange(self.size)

    def index(self, node: Any, argument: str = "node") -> int:
        """The number of a node given by number or name, `node`; else the one-sentence `ValueError` that names `argument`."""
        return as_node(node, self.size, self.names, argument)

    @property
    def is_sparse(self) -> bool:
        """Whether the weights are kept sparse."""
        return self.coupling.is_sparse

    @property
    def tau(self) -> Any:
        """The membrane time constants, () or (n,)."""
        return self._mechanical.time_constant

    @property
    def time_constant(self) -> Any:
        """The unit of time of the nodes' mechanical equation, () or (n,)."""
        return self._mechanical.time_constant

    @property
    def _mechanical(self) -> Any:
        """The node, if it has a potential; refuses others in one sentence."""
        has = isinstance(self.node, AbstractMechanical)
        require("node", self.node, "have a potential (`AbstractMechanical`)", has)
        return self.node

    @property
    def slow_names(self) -> tuple[str, ...]:
        """The slow variables among the state's."""
        return self.node.slow_names

    @property
    def filters(self) -> Any:
        """The nodes' synapses, if they are the only terms with variables; see `AbstractRiccati.filters`."""
        node: Any = self.node
        return self.nodes().filters if "splitting" in self.offers and node.filters is not None else None

    def held_leak(self, r: Values, synapse: dict[str, Values]) -> tuple[Values, Values] | None:
        """(g, E) of all conductances of every node; see `AbstractRiccati.held_leak`. `r`, `synapse`: rates and the synapses'
        variables, (n,)."""
        nodes = self.nodes()
        if self.coupling.reversal is None:
            return nodes.held_leak(r, synapse)
        g, current = self.conductances(State(r=r, v=jnp.zeros_like(r), **synapse))
        return nodes.leaking(g, current).held_leak(r, synapse)

    def nodes(self, shape: tuple[int, ...] = ()) -> Any:
        """The nodes without their coupling, with all parameters of shape (*`shape`, n)."""
        return jax.tree.map(lambda each: jnp.broadcast_to(each, (*shape, self.size)), self.node)

    def _nodes_for(self, y: State) -> Any:
        return self.nodes(jnp.shape(jax.tree.leaves(y)[0])[:-1])

    def self_weights(self) -> Values:
        """G W_ii, shape (n,)."""
        return self.coupling.diagonal()

    def matrix(self) -> Values:
        """G W + diag(J), dense: the coupling of every rate to every voltage."""
        return self.coupling.dense() + jnp.diag(self.nodes().J)

    def apply(self, x: Values) -> Values:
        """G W x for `x` of shape (…, n)."""
        return self.coupling(x)

    def sent(self, y: State) -> Values:
        """Sent signals of all nodes at the state `y`, (…, n). For an `MPR`, R_j = τ_j r_j, filtered by its synapse and
        reduced by depression and plasticity.
        """
        return self._nodes_for(y).sent(y)

    def received(self, y: State) -> Values:
        """The input that every node receives from the others at the state `y`, G Σ_{j≠i} W_ij sent_j, (…, n), in units of
        η.
        """
        sent = self.sent(y)
        return self.apply(sent) - jnp.broadcast_to(self.self_weights(), sent.shape) * sent

    def alone(self, y: State) -> Any:
        """Every node with its own weight W_ii and its slow variables frozen at the state `y`, without the input of the
        others.
        """
        shape = jax.tree.leaves(y)[0].shape
        nodes = self.nodes(shape[:-1])
        own = nodes.J + jnp.broadcast_to(self.self_weights(), shape)
        return eqx.tree_at(lambda each: each.J, nodes, own).frozen(y)

    def stores(self, y: State) -> dict[str, Values]:
        """Energy that each slow variable of every node stores at the state `y`, with the node's own weight W_ii; see
        `AbstractMechanical`."""
        if not self.slow_names:
            return {}
        shape = jax.tree.leaves(y)[0].shape
        nodes = self.nodes(shape[:-1])
        own = nodes.J + jnp.broadcast_to(self.self_weights(), shape)
        return eqx.tree_at(lambda each: each.J, nodes, own).stores(y)

    def frozen(self, y: State) -> Any:
        """Every node in its instantaneous landscape at the state `y`: an MPR with η_i + Σ_{j≠i} G W_ij R_j, J_i + G W_ii,
        no slow terms.

        Parameters have the shape of the state. Energies per population refer to it.
        """
        return self.alone(y).tilted(self.received(y))

    def tilted(self, I: Values) -> "Network":
        """The network under a constant further input `I`, a number or one per node, (n,), in units of η."""
        return eqx.tree_at(lambda each: each.node, self, self._mechanical.tilted(I))

    def slow_rates(self, y: State) -> dict[str, Values]:
        """d/dt of every slow variable by name, at the state `y`, per unit of time."""
        return self._nodes_for(y).slow_rates(y)

    def slow_steady(self, r: Values) -> dict[str, Values]:
        """Values of the slow variables by name at rates held at `r`, (n,), per unit of time."""
        return self.nodes().slow_steady(r)

    def vector_field(self, t: Values, y: State, I: Any = 0.0, past: Any = None) -> State:
        """d/dt of all nodes at time `t` and state `y`, by the node's equations, under their own input `I`, a number or
        (n,), and that from the others: the present one, or `past` (n,) for a coupling with delays, which can't do without.
        """
        if past is None:
            refuse_delays(self)
        if self.coupling.reversal is not None:
            return self._nodes_for(y).leaking(*self.conductances(y)).vector_field(t, y, I)
        return self._nodes_for(y).vector_field(t, y, I + (self.apply(self.sent(y)) if past is None else past))

    def conductances(self, y: State) -> tuple[Values, Values]:
        """(g_i, Σ_j g_ij E_j): the conductance that every node receives at the state `y`, and the current that it brings at
        v = 0, (…, n); for networks of conductances."""
        sent, reversal = self.sent(y), self.reversal
        return self.apply(sent), self.apply(sent * jnp.broadcast_to(reversal, sent.shape))

    def divergence(self, t: Values, y: State, I: Any = 0.0) -> Values:
        """Σ ∂(dy/dt)_a/∂y_a of every node, with the node's own weight W_ii; (…, n)."""
        if self.coupling.reversal is not None:
            return self._own_slopes(t, y, I)
        nodes, sent = self._nodes_for(y), self.sent(y)
        received = self.apply(sent) + I
        total = nodes.divergence(t, y, received)
        _, by_input = jax.jvp(lambda I: nodes.vector_field(t, y, I), (received,), (jnp.ones_like(received),))
        for name in self.variables:
            own = getattr(y, name)
            _, slope = jax.jvp(lambda x, name=name: nodes.sent(y.replace(**{name: x})), (own,), (jnp.ones_like(own),))
            total = total + getattr(by_input, name) * self.self_weights() * slope
        return total

    def _own_slopes(self, t: Values, y: State, I: Any) -> Values:
        """Σ ∂(dy/dt)_a/∂y_a of every node, one entry of the Jacobian after the other."""

        def along(name: str, hit: Values) -> Values:
            still = jax.tree.map(jnp.zeros_like, y)
            tangent = still.replace(**{name: jnp.broadcast_to(hit, getattr(y, name).shape)})
            return getattr(jax.jvp(lambda y: self.vector_field(t, y, I), (y,), (tangent,))[1], name) * hit

        unit = jnp.eye(self.size, dtype=y.values[0].dtype)
        parts = [jnp.sum(jax.vmap(lambda hit, name=name: along(name, hit))(unit), axis=0) for name in self.variables]
        return sum(parts[1:], parts[0])

    def position(self, y: State) -> tuple[Values, Values]:
        """(q, q̇) of every node at the state `y`, (…, n)."""
        return self._nodes_for(y).position(y)

    def channels(self, y: State, I: Any) -> dict[str, tuple[Values, str]]:
        return self._nodes_for(y).channels(y, I)

    def drive(self, R: Values) -> Values:
        """Recurrent input f_i(R) = J_i R_i + G Σ_j W_ij R_j that a geometric solver applies as a kick of v, `R` (…, n)."""
        node: Any = self.node
        own = node.drive(R)
        return own + self.apply(R) if self.coupling.reversal is None else own  # conductances are a part of the flow

    def riccati(self) -> Riccati:
        """The constants of the exactly solvable parts of the equations, of shape (n,)."""
        return self.nodes().riccati()

    def broadened(self, width: Values) -> "Network":
        """The network with Cauchy noise of half-width `width` of every neuron; see `MPR.broadened`."""
        node: Any = self.node
        return eqx.tree_at(lambda each: each.node, self, node.broadened(width))

    def as_read(self, y: State) -> State:
        """The state `y` as the neurons' order parameters read it; see `AbstractRiccati.as_read`."""
        return self._nodes_for(y).as_read(y)

    def to_modes(self, y: State) -> tuple[Values, Values]:
        """R = τ r and v of every node at the state `y`; see `AbstractRiccati.to_modes`."""
        return self._nodes_for(y).to_modes(y)

    def from_modes(self, R: Values, v: Values, slow: dict[str, Values]) -> State:
        """The state of these modes, `R` and `v`, and the `slow` variables; see `AbstractRiccati.from_modes`."""
        return self.nodes().from_modes(R, v, slow)

    def asymmetry(self) -> Scalar:
        """The largest |G W_ij − G W_ji|: zero for a network with an energy landscape Ψ."""
        return self.coupling.asymmetry()

    def target(self, stimulus: AbstractStimulus, node: Any) -> Targeted:
        """The input `stimulus` at `node`: a number or name, several, or a mask (n,), and no input elsewhere. Returns a
        `Targeted` stimulus.
        """
        hit = as_nodes(node, self.size, self.names)
        return Targeted(stimulus, jnp.asarray(hit, self.gain.dtype))


def is_network(model: object) -> TypeGuard[Network]:
    """Whether a model has nodes, as type checkers understand it."""
    return isinstance(model, AbstractModel) and model.size is not None


def mutual_inhibition(
    eta: Any = 5.0, J_self: Any = 0.0, J_cross: Any = -15.0, Delta: Any = 1.0, tau: Any = 1.0, size: int = 2
) -> Network:
    """A network of equal populations that inhibit each other.

    Two of them have a symmetric state that loses stability in a pitchfork at 2π²R + Δ²/(2π²R³) = J_self − J_cross;
    beyond it one population fires and silences the other: a bistable switch. The defaults are such a pair.

    - `eta`, `Delta`, `tau`: centre and half-width of the excitabilities, and time constant, of every population; numbers
    - `J_self`: coupling of a population to itself, dimensionless; 0 by default
    - `J_cross`: coupling to every other population, ≤ 0, dimensionless
    - `size`: number of populations n, ≥ 2

    Returns a `Network` of n nodes. Raises `ValueError` for J_cross > 0 and fewer than 2 populations. Source:
    docs/theory.md §8.
    """
    cross = as_number("J_cross", J_cross, "(-inf, 0]")
    size = as_count("size", size, 2)
    return Network(MPR(eta=eta, J=J_self, Delta=Delta, tau=tau), cross * (1 - jnp.eye(size, dtype=cross.dtype)))


def excitatory_inhibitory(
    *,
    eta: tuple[Any, Any],
    J_ee: Any,
    J_ei: Any,
    J_ie: Any,
    J_ii: Any,
    Delta: tuple[Any, Any] = (1.0, 1.0),
    tau: tuple[Any, Any] = (1.0, 1.0),
    synapse: AbstractTerm | None = None,
    pairs: Any = None,
    names: tuple[str, ...] = (),
    note: str = "",
) -> Network:
    """A network of an excitatory population (node 0) and an inhibitory one (node 1), or of many such pairs.

    - `eta`, `Delta`, `tau`: pairs (excitatory, inhibitory) of numbers: centre and half-width of the excitabilities, and
      time constant; 1 by default for `Delta` and `tau`
    - `J_ee`, `J_ie`: couplings from e, to e and to i, ≥ 0, dimensionless
    - `J_ei`, `J_ii`: couplings from i, to e and to i, ≤ 0, dimensionless
    - `synapse`: a synapse of both, such as `ExponentialSynapse(tau=1.0)`; None for instantaneous coupling
    - `pairs`: weights ≥ 0 between the excitatory populations of n pairs, (n, n), row k receives; None for one pair. Nodes 0
      to n − 1 are then excitatory, n to 2n − 1 inhibitory
    - `names`: names of the two nodes, such as ("e", "i"), numbered from 0 if there are many pairs; `note`: a line for the
      print-out

    Returns a `Network`. Its weights are not symmetric, so it has fixed points and oscillations, but no energy landscape.
    Raises `ValueError` if Dale's law, the signs above, is broken, and for what is no pair.
    """
    J_ee, J_ie = as_number("J_ee", J_ee, "[0, inf)"), as_number("J_ie", J_ie, "[0, inf)")
    J_ei, J_ii = as_number("J_ei", J_ei, "(-inf, 0]"), as_number("J_ii", J_ii, "(-inf, 0]")
    values = {}
    for name, pair in (("eta", eta), ("Delta", Delta), ("tau", tau)):
        require(name, pair, "be a pair (excitatory, inhibitory)", isinstance(pair, (tuple, list)) and len(pair) == 2)
        values[name] = jnp.stack([as_number(name, each) for each in pair])
    values["J"] = jnp.stack([J_ee, J_ii])
    zero = jnp.zeros_like(J_ee)
    weights = jnp.stack([jnp.stack([zero, J_ei]), jnp.stack([J_ie, zero])])
    if pairs is not None:
        between = as_array(pairs)
        square = isinstance(between, jax.Array) and between.ndim == 2 and between.shape[0] == between.shape[1]
        require("pairs", pairs, "be an array of numbers (n, n)", square)
        if is_concrete(between):
            require_each("pairs", between, "be ≥ 0, finite", np.isfinite(between) & (np.asarray(between) >= 0))
        n = between.shape[0]
        weights = jnp.kron(weights, jnp.eye(n)) + jnp.kron(jnp.array([[1.0, 0.0], [0.0, 0.0]]), between)
        values = {name: jnp.repeat(value, n) for name, value in values.items()}
        names = tuple(f"{each}{k}" for each in names for k in range(n))
    return Network(per_node(MPR(synapse=synapse), **values), weights, names=names, note=note)
