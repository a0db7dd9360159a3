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

from .._checks import as_count, as_key, require
from .._memory import available_memory
from .._parameter import as_number, dtype_of
from .._types import Key, Values
from .base import AbstractModel, refuse_spikes
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
        node = getattr(model, "node", model)
        neurons = isinstance(node, AbstractRiccati)
        require("model", model, "be a population of such neurons, as `MPR(...)`, or a `Network` of them", neurons)
        require("own_spikes", own_spikes, "be True or False", isinstance(own_spikes, bool))
        rule = "be False for a population without adaptation and plasticity, and with a synapse"
        filtered = neurons and any(getattr(node, "synapse", None) is term for term in getattr(node, "slow_terms", ()))
        require("own_spikes", own_spikes, rule, not own_spikes or (bool(node.slow_names) and not filtered))
        require("reading", reading, "be 'order parameter' or 'barycentre'", reading in ("order parameter", "barycentre"))
        self.model = model
        self.count = as_count("size", size)
        self.own_spikes = own_spikes
        self.offset = float(as_number("offset", offset, "(0, inf)"))
        self.key = None if key is None else as_key(key)
        self.reading = reading
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


def cauchy(u: Any) -> Any:
    """Quantiles of the standard Lorentzian at `u` in (0, 1), of any shape."""
    return np.tan(np.pi * (u - 0.5))


def standard_quantile(model: Any, u: Any) -> Any:
    """Quantiles at `u` in (0, 1), of any shape, of the distribution of currents that `model` declares, scaled to centre 0
    and half-width 1."""
    heterogeneity = getattr(getattr(model, "node", model), "heterogeneity", None)
    return cauchy(u) if heterogeneity is None else np.asarray(heterogeneity.quantile(u))


def _uniform(key: Key, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers in (0, 1), in double precision always: tails of the currents need it."""
    words = np.asarray(jax.random.bits(key, (2, *shape), jnp.uint32)).astype(np.float64)
    return (words[0] * 2.0**32 + words[1] + 0.5) / 2.0**64
