"""Coupling of the nodes of a network: weights, a global gain, reversal potentials and delays."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO

from .._checks import as_array, require, require_each
from .._parameter import check_parameters, declared, parameter
from .._types import Scalar, Values, float_dtype, is_concrete


def as_weights(value: object) -> Any:
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


@declared
class Coupling(eqx.Module):
    """Input of node i from the signals of all nodes: G Σ_j W_ij sent_j(t − D_ij).

    - `weights`: W of shape (n, n), dense or a `jax.experimental.sparse.BCOO`; row i receives, column j sends
    - `gain`: the global gain G
    - `reversal` (n,): reversal potentials E_j of what each node sends, in units of v. With them the weights, ≥ 0 then, are
      conductances g_ij = G W_ij sent_j, which add −g_ij r_i to the rate and g_ij (E_j − v_i) to the voltage equation. None
      (the default) for currents

    - `delay`: D, a number for all pairs or (n, n), ≥ 0, in the unit of τ; None (the default) for none
    - `lengths` (n, n), `speed`: D_ij = lengths_ij/speed instead, in mm and mm per unit of time (mm/ms = m/s if that is ms)

    The history that delays need holds sent signals, (n,) per time, never states: a solver with delays calls the network
    with `past`, the delayed input (see `Network.vector_field`).

    Raises `ValueError` for weights that are not square, not finite or empty, delays < 0 and a speed ≤ 0.
    """

    weights: Any = eqx.field(converter=as_weights)
    gain: Scalar = parameter(1.0, symbol="G", doc="global gain of the weights")
    reversal: Values | None = parameter(None, symbol="E", ndim=1, doc="reversal potentials of what nodes send")
    delay: Values | None = parameter(
        None, symbol="D", unit="time", bounds="[0, inf)", ndim=(0, 2), doc="delay from the sender to the receiver"
    )
    lengths: Values | None = parameter(
        None, symbol="ℓ", unit="mm", bounds="[0, inf)", ndim=2, doc="lengths of the connections"
    )
    speed: Scalar | None = parameter(None, symbol="c", unit="mm/time", bounds="(0, inf)", doc="conduction speed")

    def __check_init__(self) -> None:
        check_parameters(self)
        W = self.weights
        require("weights", W, "be an array of numbers (n, n), or a BCOO", isinstance(W, (jax.Array, BCOO)))
        require("weights", W.shape, "be of the shape (n, n)", W.ndim == 2 and W.shape[0] == W.shape[1] and W.shape[0] >= 1)
        entries = W.data if isinstance(W, BCOO) else W
        if is_concrete(entries):
            require_each("weights", entries, "be finite, without NaN", np.isfinite(np.asarray(entries)))
            if self.reversal is not None:
                require_each("weights", entries, "be ≥ 0 to be conductances", np.asarray(entries) >= 0)
        if self.reversal is not None:
            shape = self.reversal.shape
            require("reversal", shape, f"have one value per node, shape ({self.size},)", shape == (self.size,))
            if is_concrete(self.gain):
                require("gain", self.gain, "be ≥ 0 for conductances", bool(self.gain >= 0))

        for name in ("delay", "lengths"):
            value = getattr(self, name)
            if value is not None and value.ndim:
                require(name, value.shape, f"be of the weights' shape ({self.size}, {self.size})", value.shape == W.shape)
        require("speed", self.speed, "be given together with lengths", (self.speed is None) == (self.lengths is None))
        require("delay", "both", "be given alone, without lengths and a speed", self.delay is None or self.speed is None)
        rule = "be None for conductances, which are instantaneous"
        require("delay", self.delay if self.speed is None else self.speed, rule, self.reversal is None or not self.delayed)

    @property
    def size(self) -> int:
        """The number of nodes, n."""
        return self.weights.shape[0]

    @property
    def delayed(self) -> bool:
        """Whether signals take time to arrive."""
        return self.delay is not None or self.speed is not None

    def delays(self) -> Values | None:
        """D (n, n), in the unit of τ, or None."""
        if self.speed is not None:
            assert self.lengths is not None
            return self.lengths / self.speed
        return None if self.delay is None else jnp.broadcast_to(self.delay, self.weights.shape)

    def undelayed(self) -> "Coupling":
        """The same coupling without its delays."""
        return Coupling(self.weights, self.gain, self.reversal)

    @property
    def is_sparse(self) -> bool:
        """Whether the weights are kept sparse."""
        return isinstance(self.weights, BCOO)

    def __call__(self, sent: Values) -> Values:
        """G W sent, for `sent` of shape (…, n)."""
        if sent.ndim == 1:  # a product with the weights as they lie is read row by row
            return self.gain * (self.weights @ sent)
        if not self.is_sparse:
            return self.gain * (sent @ self.weights.T)
        flat = sent.reshape(-1, self.size)
        return self.gain * (self.weights @ flat.T).T.reshape(sent.shape)

    def transposed(self, received: Values) -> Values:
        """G Wᵀ received, for `received` of shape (…, n)."""
        if not self.is_sparse:
            return self.gain * (received @ self.weights)
        flat = received.reshape(-1, self.size)
        return self.gain * (self.weights.T @ flat.T).T.reshape(received.shape)

    def dense(self) -> Values:
        """G W, dense."""
        return self.gain * (self.weights.todense() if self.is_sparse else self.weights)

    def diagonal(self) -> Values:
        """G W_ii, shape (n,)."""
        if not self.is_sparse:
            return self.gain * jnp.diagonal(self.weights)
        rows, columns = self.weights.indices.T
        entries = jnp.where(rows == columns, self.weights.data, 0)
        return self.gain * jnp.zeros(self.size, entries.dtype).at[rows].add(entries, mode="drop")

    def asymmetry(self) -> Scalar:
        """The largest |G W_ij − G W_ji|."""
        W = self.weights.todense() if self.is_sparse else self.weights
        return jnp.max(jnp.abs(self.gain * (W - W.T)))
