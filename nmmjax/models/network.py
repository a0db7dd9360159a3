"""Layer 1: networks of populations that excite and inhibit each other through their firing rates."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO

from .._checks import as_array, as_count, as_node, as_nodes, require, require_each
from .._parameter import as_number, check, check_parameters, declared, parameter, parameter_table, with_arrays
from .._types import Scalar, Values, float_dtype, is_concrete
from .base import AbstractModel, State, as_initial_state, takes_model
from .mpr import MPR, Riccati
from .stimulus import AbstractStimulus


def _as_weights(value: Any) -> Any:
    """Weights as floats: also of whole numbers, of True and False, and of objects that are numbers."""
    if isinstance(value, BCOO):
        floats = jnp.issubdtype(value.data.dtype, jnp.floating)
        return value if floats else BCOO((value.data.astype(float_dtype()), value.indices), shape=value.shape)
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.dtype.kind not in "bO":
        return as_array(value)
    try:
        return as_array(array.astype(float_dtype()))
    except (TypeError, ValueError):
        return value


def _as_names(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


@takes_model
def per_node(population: MPR, **values: Any) -> MPR:
    """The population with parameters of shape (n,), one value per node; names as in `parameter_table`, `eta` or
    `adaptation.alpha` (given as `**{"adaptation.alpha": …}`). For `Network(per_node(MPR(...), eta=etas), weights)`.

    Raises `ValueError` for unknown names, values outside a parameter's bounds and axes other than one.
    """
    table = parameter_table(population)
    for name, value in values.items():
        require(name, name, f"be one of the parameters {', '.join(f'`{each}`' for each in table)}", name in table)
        declaration, array = table[name][0], as_array(value)
        require(name, value, "be an array of numbers with 1 axis, one per node", getattr(array, "ndim", None) == 1)
        jax.vmap(lambda each, declaration=declaration: check(declaration, each))(array)
        if is_concrete(array):
            require_each(name, array, f"be {declaration.rule}, without NaN", declaration.within(np.asarray(array)))
        population = eqx.tree_at(lambda each, name=name: _attribute(each, name), population, array)
    return population


def _attribute(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


@declared
class Targeted(AbstractStimulus):
    """An input with a strength of its own at every node of a network: I_i(t) = gains_i I(t).

    `Network.target(stimulus, node)` makes it. Add several with `+`. Called at one time, it gives an array `(n,)`; at an
    array of times, one of shape `(…, n)`.
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
    """n populations, each with the equations of `MPR` and the input of all others through their rates:

        τ_i dr_i/dt = Δ_i/(πτ_i) + 2 r_i v_i
        τ_i dv_i/dt = v_i² + η_i + I_i(t) + J_i R_i + G Σ_j W_ij R_j − π² R_i²,        R_i = τ_i r_i

    - `population`: an `MPR` whose parameters are shared, or differ from node to node (`per_node(MPR(...), eta=etas)`); its
      optional terms belong to every node. `J` is the coupling of a node to itself; `W_ii` adds to it
    - `weights`: W of shape (n, n), dense or a `jax.experimental.sparse.BCOO`; row i receives, column j sends. A sender's
      synaptic depression or plasticity scales its whole column
    - `gain`: the global gain G
    - `names`: of the nodes, distinct strings, such as the regions of a connectome; outputs keep them, and a node is asked
      for by its name or number

    States have arrays of shape (n,). R_j is the sender's rate per membrane time constant, so that symmetric weights have an
    energy landscape also where the τ differ; for the convention τ_i r_j (Taher et al. 2020) give W_ij τ_i/τ_j. Use it for
    connectomes, competing populations, E–I circuits; `energy_landscape(network)` for its states, `simulate` for runs.

    Raises `ValueError` for weights that are not square, not finite or empty, and for per-node values of another length.
    Source: docs/theory.md §8; Montbrió, Pazó & Roxin (2015) for the nodes.
    """

    population: MPR = eqx.field(converter=with_arrays)
    weights: Any = eqx.field(converter=_as_weights)
    gain: Scalar = parameter(1.0, symbol="G", doc="global gain of the weights")
    names: tuple[str, ...] = eqx.field(static=True, default=(), converter=_as_names)

    equations: ClassVar[str] = (
        "τ_i r_i' = Δ_i/(πτ_i) + 2 r_i v_i;  τ_i v_i' = v_i² + η_i + I_i(t) + J_i R_i + G Σ_j W_ij R_j − π² R_i²,  R = τ r"
    )
    source: ClassVar[str] = "docs/theory.md §8"

    def __check_init__(self) -> None:
        check_parameters(self)
        require("population", self.population, "be an `MPR`", isinstance(self.population, MPR))
        W = self.weights
        rule = "be an array of numbers (n, n), or a BCOO"
        require("weights", W, rule, isinstance(W, (jax.Array, BCOO)))
        square = W.ndim == 2 and W.shape[0] == W.shape[1] and W.shape[0] >= 1
        require("weights", W.shape, "be of the shape (n, n)", square)
        entries = W.data if isinstance(W, BCOO) else W
        if is_concrete(entries):
            require_each("weights", entries, "be finite, without NaN", np.isfinite(np.asarray(entries)))
        distinct = all(isinstance(each, str) and each for each in self.names) and len(set(self.names)) == len(self.names)
        require("names", self.names, "be distinct strings", distinct)
        require("names", self.names, f"be {self.size}, one per node, or none", len(self.names) in (0, self.size))
        for name, (_, value) in parameter_table(self.population).items():
            rule = f"be a number or one per node, ({self.size},)"
            require(name, value, rule, value.ndim == 0 or value.shape == (self.size,))

    @property
    def size(self) -> int:
        """The number of nodes, n."""
        return self.weights.shape[0]

    @property
    def labels(self) -> np.ndarray:
        """What outputs call the nodes: their names, or else their numbers, (n,)."""
        return np.asarray(self.names) if self.names else np.arange(self.size)

    def node(self, value: Any, argument: str = "node") -> int:
        """The number of a node given by number or name; else the one-sentence `ValueError`."""
        return as_node(value, self.size, self.names, argument)

    @property
    def is_sparse(self) -> bool:
        """Whether the weights are kept sparse."""
        return isinstance(self.weights, BCOO)

    @property
    def tau(self) -> Values:
        """The membrane time constants, () or (n,)."""
        return self.population.tau

    @property
    def slow_terms(self) -> Any:
        """The terms that add slow variables to every node."""
        return self.population.slow_terms

    @property
    def slow_names(self) -> tuple[str, ...]:
        """The slow variables among the state's."""
        return self.population.slow_names

    def nodes(self, shape: tuple[int, ...] = ()) -> MPR:
        """The populations without their coupling, with all parameters of shape `(*shape, n)`."""
        return jax.tree.map(lambda each: jnp.broadcast_to(each, (*shape, self.size)), self.population)

    def state(self, y: Any) -> State:
        """`y` as a state; a number is the same for all nodes, and slow variables that it doesn't name start at rest."""
        rest = {name: value for term in self.slow_terms for name, value in term.rest().items()}
        return as_initial_state(y, rest, (self.size,))

    def self_weights(self) -> Values:
        """G W_ii, shape (n,)."""
        if not self.is_sparse:
            return self.gain * jnp.diagonal(self.weights)
        rows, columns = self.weights.indices.T
        entries = jnp.where(rows == columns, self.weights.data, 0)
        return self.gain * jnp.zeros(self.size, entries.dtype).at[rows].add(entries, mode="drop")

    def matrix(self) -> Values:
        """G W + diag(J), dense: the coupling of every rate to every voltage."""
        W = self.weights.todense() if self.is_sparse else self.weights
        return self.gain * W + jnp.diag(self.nodes().J)

    def apply(self, x: Values) -> Values:
        """G W x for x of shape (…, n)."""
        if not self.is_sparse:
            return self.gain * (x @ self.weights.T)
        flat = x.reshape(-1, self.size)
        return self.gain * (self.weights @ flat.T).T.reshape(x.shape)

    def sent(self, y: State) -> Values:
        """What every node sends, by which a unit of coupling moves a voltage: R_j = τ_j r_j, times what depression and
        plasticity leave of its synapses, or what a term passes on instead of R_j."""
        nodes = self.nodes(y.r.shape[:-1])
        shift, efficacy = _per_coupling(nodes.slow_terms, jnp.ones_like(y.r), y)
        rates = efficacy * nodes.tau * y.r
        return rates if shift is None else shift + rates

    def received(self, y: State) -> Values:
        """The input that every node receives from the others, G Σ_{j≠i} W_ij R_j."""
        sent = self.sent(y)
        return self.apply(sent) - jnp.broadcast_to(self.self_weights(), sent.shape) * sent

    def alone(self, y: State) -> MPR:
        """Every node with its own weight W_ii and its slow variables frozen, without the input of the others."""
        nodes, shape = self.nodes(y.r.shape[:-1]), y.r.shape
        own = jnp.broadcast_to(self.self_weights(), shape)
        shift, own = _per_coupling(nodes.slow_terms, own, y)
        fast = nodes.frozen(y)
        fast = eqx.tree_at(lambda each: each.J, fast, fast.J + own)
        return fast if shift is None else eqx.tree_at(lambda each: each.eta, fast, fast.eta + shift)

    def frozen(self, y: State) -> MPR:
        """Every node in its instantaneous landscape: an MPR with η_i + Σ_{j≠i} G W_ij R_j, J_i + G W_ii, no slow terms.

        Parameters have the shape of the state. Energies per population refer to it.
        """
        alone = self.alone(y)
        return eqx.tree_at(lambda each: each.eta, alone, alone.eta + self.received(y))

    def slow_rates(self, y: State) -> dict[str, Values]:
        """d/dt of every slow variable."""
        return self.nodes(y.r.shape[:-1]).slow_rates(y)

    def vector_field(self, t: Values, y: State, stimulus: AbstractStimulus | None = None) -> State:
        """(dr/dt, dv/dt) of all nodes, by the class's equations."""
        flow = self.nodes().vector_field(t, y, stimulus)
        return eqx.tree_at(lambda each: each.v, flow, flow.v + self.apply(self.sent(y)) / self.tau)

    def drive(self, R: Values) -> Values:
        """The recurrent input f_i(R) = J_i R_i + G Σ_j W_ij R_j that a geometric solver applies as a kick of v."""
        return self.population.J * R + self.apply(R)

    def riccati(self) -> Riccati:
        """The constants of the exactly solvable parts of the equations, of shape (n,)."""
        return self.nodes().riccati()

    def asymmetry(self) -> Scalar:
        """The largest |G W_ij − G W_ji|: zero where the network has an energy landscape Ψ."""
        W = self.weights.todense() if self.is_sparse else self.weights
        return jnp.max(jnp.abs(self.gain * (W - W.T)))

    def target(self, stimulus: AbstractStimulus, node: Any) -> Targeted:
        """The stimulus at a node, by number or name, at several, or at those of a mask (n,), and no input elsewhere."""
        hit = as_nodes(node, self.size, self.names)
        return Targeted(stimulus, jnp.asarray(hit, self.gain.dtype))


def _per_coupling(terms: Any, J: Values, y: State) -> tuple[Any, Values]:
    """(η, J): what a coupling J adds to η and to J once the slow terms have acted on it; η None without terms.

    The difference between a coupling J and none: a term may scale J, or replace J R by a variable of its own, in η.
    """
    if not terms:
        return None, J
    with_it = without = (jnp.zeros_like(J), jnp.zeros_like(J))
    with_it = (with_it[0], J)
    for term in terms:
        with_it, without = term.effective(*with_it, y), term.effective(*without, y)
    return with_it[0] - without[0], with_it[1] - without[1]


def mutual_inhibition(
    eta: Any = 5.0, J_self: Any = 0.0, J_cross: Any = -15.0, Delta: Any = 1.0, tau: Any = 1.0, size: int = 2
) -> Network:
    """`size` equal populations that inhibit each other: coupling `J_self` to itself and `J_cross` ≤ 0 to every other.

    Two of them have a symmetric state that loses stability in a pitchfork where 2π²R + Δ²/(2π²R³) = J_self − J_cross; beyond
    it one population fires and silences the other: a bistable switch. The defaults are such a pair (docs/theory.md §8).
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
) -> Network:
    """An excitatory population (node 0) and an inhibitory one (node 1); `J_ei` is to e from i, and so on.

    Pairs are (excitatory, inhibitory). Dale's law, J_ee, J_ie ≥ 0 and J_ei, J_ii ≤ 0, is checked. The weights are not
    symmetric, so there are fixed points and oscillations, but no energy landscape.
    """
    J_ee, J_ie = as_number("J_ee", J_ee, "[0, inf)"), as_number("J_ie", J_ie, "[0, inf)")
    J_ei, J_ii = as_number("J_ei", J_ei, "(-inf, 0]"), as_number("J_ii", J_ii, "(-inf, 0]")
    values = {}
    for name, pair in (("eta", eta), ("Delta", Delta), ("tau", tau)):
        require(name, pair, "be a pair (excitatory, inhibitory)", isinstance(pair, (tuple, list)) and len(pair) == 2)
        values[name] = jnp.stack([as_number(name, each) for each in pair])
    zero = jnp.zeros_like(J_ee)
    weights = jnp.stack([jnp.stack([zero, J_ei]), jnp.stack([J_ie, zero])])
    return Network(per_node(MPR(), J=jnp.stack([J_ee, J_ii]), **values), weights)
