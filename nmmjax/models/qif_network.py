"""The spiking neurons behind a mean field: networks of quadratic integrate-and-fire neurons with its parameters.

    τ dV_j/dt = V_j² + η_j + I(t) + J τ R(t),    a spike at V_j = +∞, reset to −∞,    R = Σ_spikes δ(t − t_k)/N

Here stand what the neurons are and how they start; `solvers.spiking` moves them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, as_float, as_key, require
from .._memory import available_memory
from .._parameter import dtype_of
from .._types import Key, Values, float_dtype, is_concrete
from .base import AbstractModel, refuse_delays, refuse_spikes
from .mechanical import AbstractRiccati
from .state import State, Variable

# The zero of the Hurwitz zeta function ζ(1/2, a): with it, quantiles of currents have no bias N^(−1/2) (docs/theory.md §A5).
UNBIASED = 0.302721828598366
_STEPS = ((5**0.5 - 1) / 2, 2**0.5 - 1)
_COPIES = 16  # arrays of one number per neuron while a network is being set up, in double precision partly
_PLASTIC = 0.7548776662466927  # 1/ρ, ρ³ = ρ + 1: shifts the voltages of one population against those of the next


class QIFNetwork(AbstractModel):
    """The network of spiking neurons whose mean field, for infinitely many of them, is `model`.

        τ dV_j/dt = V_j² + η_j + I(t) + J τ R(t),        R(t) = (1/N) Σ_spikes δ(t − t_k)

    A neuron spikes where V_j passes +∞ and comes back from −∞. Use it to see what the mean field leaves out: single neurons,
    rasters, finite size; `compare_with_neurons` sets both side by side. `simulate` and `sweep` take it as they take `model`,
    with the same states: r and v are read from the neurons.

    - `model`: a population with Riccati dynamics such as `MPR(...)`, or a `Network` of such; all terms are taken over:
      adaptation, depression, plasticity and synapses follow the population's own spikes
    - `size`: number N of neurons of every population, ≥ 1
    - `own_spikes`: whether adaptation, depression and plasticity of every neuron follow its own spikes instead of the
      population's rate, which the mean field then no longer describes exactly; False by default
    - `offset`: a of the quantiles u_j = (j + a)/(N − 1 + 2a), j = 0 … N − 1, at which the currents η_j = η + Δ F⁻¹(u_j)
      lie. By default that for which the rate has no bias of the order N^(−1/2); ½ and 1 are usual elsewhere
    - `key`: a random key, to draw currents and voltages at random; None (the default) for quantiles, and voltages that are
      spread evenly over them (golden ratio)
    - `reading`: how r and v are read from the voltages, W = π τ r + i v: "order parameter" (the default), (1 − Z*)/(1 + Z*)
      with Kuramoto's Z = ⟨(1 + iV)/(1 − iV)⟩, or "barycentre", with which identical neurons obey the mean field's equations
      exactly for any N, driven by their true spike train. Both hold for voltages spread as a Lorentzian, and are biased with
      `GaussianNoise` (docs/theory.md §G): count spikes then, `run.neurons.counts`
    - `watched`: number of neurons whose spikes are kept, evenly spread over the currents; 200 by default, or all of fewer

    Raises `ValueError` for a size below 1, unknown readings and models that aren't made of such neurons. Source:
    docs/theory.md §A.
    """

    model: Any = eqx.field(metadata={"flat": True})
    count: int = eqx.field(static=True)
    own_spikes: bool = eqx.field(static=True)
    offset: float = eqx.field(static=True)
    key: Key | None
    reading: str = eqx.field(static=True)
    watched: int = eqx.field(static=True)

    equations: ClassVar[str] = "τ V_j' = V_j² + η_j + I(t) + J τ R(t);  a spike at V_j = +∞, reset to −∞"
    source: ClassVar[str] = "Montbrió, Pazó & Roxin, Phys. Rev. X 5:021028 (2015)"

    def __init__(
        self,
        model: AbstractModel,
        size: Any,
        *,
        own_spikes: bool = False,
        offset: Any = UNBIASED,
        key: Key | None = None,
        reading: str = "order parameter",
        watched: int = 200,
    ):
        node: Any = getattr(model, "node", model)
        neurons = isinstance(node, AbstractRiccati)
        require("model", model, "be a population of such neurons, as `MPR(...)`, or a `Network` of them", neurons)
        refuse_delays(model)
        require("own_spikes", own_spikes, "be True or False", isinstance(own_spikes, bool))
        if own_spikes:
            rule = "be False for networks, and for populations with a synapse or heterogeneous couplings"
            plain = model.size is None and node.synapse is None and node.coupling_heterogeneity is None
            require("own_spikes", own_spikes, rule, plain)
            rule = (
                "be False for a population without adaptation and plasticity, which nothing could follow its own spikes in"
            )
            require("own_spikes", own_spikes, rule, bool(node.slow_names))
        require("reading", reading, "be 'order parameter' or 'barycentre'", reading in ("order parameter", "barycentre"))
        self.model = model
        self.count = as_count("size", size)
        self.own_spikes = own_spikes
        as_float("offset", offset, "be a number > 0", lambda value: value > 0)
        self.offset = float(offset)
        self.key = None if key is None else as_key(key)
        self.reading = reading
        rule = "be at least 3 to be read by their barycentre, which fewer voltages don't have"
        require("size", self.count, rule, reading != "barycentre" or self.count > 2)
        self.watched = min(as_count("watched", watched, 0), self.count)

    @property
    def variables(self) -> Mapping[str, Variable]:
        node = getattr(self.model, "node", self.model)
        return {name: each for name, each in self.model.variables.items() if name not in node.mode_names}

    @property
    def size(self) -> int | None:
        return self.model.size

    @property
    def labels(self) -> Any:
        return self.model.labels

    @property
    def slow_names(self) -> tuple[str, ...]:
        return self.model.slow_names

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"spikes"})

    def state(self, y: object) -> State:
        """`y` as an initial state of the mean field, see `AbstractModel.state`; further modes of a population with several
        poles are left out, and must be the population's own r and v, as neurons start with one Lorentzian law."""
        names = self.variables
        if isinstance(y, State) and set(y.names) > set(names):
            for name in set(y.names) & (set(self.model.variables) - set(names)):
                own, mode = getattr(y, name[0]), getattr(y, name)
                known = not (is_concrete(own) and is_concrete(mode)) or bool(np.all(np.asarray(own) == np.asarray(mode)))
                require("y0", name, f"have all modes at the population's `{name[0]}` to be a state of neurons", known)
            y = State(**{name: getattr(y, name) for name in y.names if name not in self.model.variables or name in names})
        return super().state(y)

    def index(self, node: Any, argument: str = "node") -> int:
        """The number of a population given by number or name, `node`; see `Network.index`, also for `argument`."""
        return self.model.index(node, argument)

    def target(self, stimulus: Any, node: Any) -> Any:
        """The input `stimulus` at one population of a network, `node`; see `Network.target`."""
        return self.model.target(stimulus, node)

    def vector_field(self, t: Values, y: State, I: Any = 0.0) -> State:
        """Refuses: a network of neurons has no vector field in its mean-field variables (use that of `model`)."""
        del t, I
        refuse_spikes(self)
        return y  # never reached

    def require_memory(self) -> None:
        """Refuse more neurons than fit into the memory that is free."""
        each = _COPIES * dtype_of(self.model).itemsize * int(np.prod(self.shape))
        most = max(available_memory() // each, 1)
        free = f"{available_memory() / 2**30:.3g} GiB that are free"
        require("size", self.count, f"be at most {most}, for which the {free} suffice", self.count <= most)

    def standard_currents(self) -> Any:
        """Currents of the neurons for centre 0 and half-width 1, (N,), or of every population, (n, N)."""
        if self.key is not None:
            u = _uniform(jax.random.fold_in(self.key, 0), (*self.shape, self.count))
            return standard_quantile(self.model, u)
        u = (np.arange(self.count) + self.offset) / (self.count - 1 + 2 * self.offset)
        return np.broadcast_to(standard_quantile(self.model, u), (*self.shape, self.count))

    def places(self, number: int) -> Any:
        """Numbers in (0, 1) for a property of every neuron beside its current, (…, N): they cover the unit interval evenly
        for every stretch of neighbouring currents. `number` 0 is the voltages', 1 the couplings'."""
        if self.key is not None:
            return _uniform(jax.random.fold_in(self.key, 1 + number), (*self.shape, self.count))
        shift = np.reshape(np.arange(self.size or 1) * _PLASTIC, (*self.shape, 1))
        return np.mod((np.arange(self.count) + 0.5) * _STEPS[number] + shift, 1.0)

    def watched_neurons(self) -> np.ndarray:
        """Numbers of the neurons whose spikes are kept, (watched,)."""
        return (np.arange(self.watched) * self.count + self.count // 2) // max(self.watched, 1)


def without_modes(model: Any) -> Any:
    """The population, or network of such, with Lorentzian currents: what all neurons receive does not depend on theirs."""
    where = lambda each: (each if model.size is None else each.node).heterogeneity
    return model if where(model) is None else eqx.tree_at(where, model, None)


def cauchy(u: Any) -> Any:
    """Quantiles of the standard Lorentzian at `u` in (0, 1), of any shape."""
    return (np if is_concrete(u) else jnp).tan(np.pi * (u - 0.5))


def standard_quantile(model: Any, u: Any) -> Any:
    """Quantiles at `u` in (0, 1), of any shape, of the distribution of currents that `model` declares, scaled to centre 0
    and half-width 1."""
    heterogeneity = getattr(getattr(model, "node", model), "heterogeneity", None)
    if heterogeneity is None:
        return cauchy(u)
    require("key", "a traced key", "be known where the heterogeneity isn't Lorentzian", is_concrete(u))
    return np.asarray(heterogeneity.quantile(u))


def _uniform(key: Key, shape: tuple[int, ...]) -> Any:
    """Random numbers in (0, 1), in double precision if the key is known: tails of the currents need it."""
    words = jax.random.bits(key, (2, *shape), jnp.uint32)
    if not is_concrete(words):
        high, low = words.astype(float_dtype())
        return jnp.clip(high * 2.0**-32 + (low + 0.5) * 2.0**-64, float(jnp.finfo(high.dtype).tiny), 1 - 2.0**-24)
    high, low = np.asarray(words).astype(np.float64)
    return high * 2.0**-32 + (low + 0.5) * 2.0**-64
