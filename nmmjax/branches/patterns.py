"""Master stability: how every pattern of a network grows around the state in which all nodes do the same."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._blas import with_one_thread
from .._checks import require
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import as_number, describe, parameter_table
from .._results import RESULTS, Shown
from .._types import ComplexValues, Real, Scalar, Values
from ..landscape.landscapes import find_fixed_point
from ..models.base import AbstractModel, takes_model
from ..models.network import Network, is_network
from ..models.state import State, StateLike
from ..numerics.delayed import chebyshev

_LINE, _PLANE = 201, 41  # values of Λ if none are given, on a line or each side of a rectangle
_NODES = 32  # of Chebyshev's, over a delay
_POLISH = 8  # steps of Newton's method
_EQUAL = 1e-9  # largest difference of row sums, relative to the largest weight's


class MasterStability(eqx.Module, Shown):
    """Growth rates of patterns around the uniform state of a network, for every eigenvalue Λ of its weights.

    - `node`, `gain`, `row_sum`, `delay`: the node, the gain G, the sum of every row of W, the coupling's delay
    - `state`: the uniform state of one node
    - `Lambda` (…): the values of Λ asked for; `exponents` (…, m): the m rightmost roots λ for each, by decreasing real part,
      in 1/time
    - `modes` (n,): the eigenvalues of the network's own weights, the uniform one first, then by decreasing growth;
      `mode_exponents` (n, m): their λ; empty without a network
    - `linear`: A (m, m), b (m,) and c (m,): derivatives of a node's vector field by its state and its input, and of what it
      sends
    - `result`: a `RESULTS` code: `no_fixed_point` if no uniform state was found near the guess; then all is NaN

    Print it for a verdict, `to_xarray()` for labelled data, `nmm.plot.master_stability(result)` for a picture.
    """

    node: AbstractModel
    gain: Scalar
    row_sum: Scalar
    delay: Scalar
    state: State
    Lambda: Any
    exponents: Any
    modes: Any
    mode_exponents: Any
    result: RESULTS
    linear: tuple[Values, Values, Values]

    @property
    def growth(self) -> Values:
        """The largest real part for every Λ, (…)."""
        return jnp.max(jnp.real(self.exponents), axis=-1)

    @property
    def mode_growth(self) -> Values:
        """The largest real part for every mode, (n,)."""
        return jnp.max(jnp.real(self.mode_exponents), axis=-1)

    @property
    def unstable(self) -> Any:
        """Which modes of the network grow, (n,)."""
        return self.mode_growth > 0

    @property
    def stable(self) -> bool:
        """Whether no mode of the network grows: the uniform state is stable; False without a network."""
        return bool(self.modes.size) and bool(jnp.all(self.mode_growth < 0))

    def transfer(self, rate: Any) -> ComplexValues:
        """H(λ) = cᵀ (λ − A)⁻¹ b at λ = `rate`, complex, of any shape: what a node sends over its input, around the uniform
        state. The roots λ of a mode are those of 1 = G Λ e^(−λD) H(λ)."""
        A, b, c = (np.asarray(each) for each in self.linear)
        rate = np.asarray(rate, np.result_type(A, np.complex64))
        matrix = rate[..., None, None] * np.eye(b.size) - A
        return jnp.asarray(np.linalg.solve(matrix, np.broadcast_to(b[:, None], (*rate.shape, b.size, 1)))[..., 0] @ c)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over the values of Λ and, for a network, its modes (extra `data`)."""
        dims = ("Lambda",) if jnp.ndim(self.Lambda) == 1 else tuple(f"Lambda_{k}" for k in range(jnp.ndim(self.Lambda)))
        rate = {"units": "1/time (that of tau)"}
        data: dict[str, Any] = {
            "Lambda_real": (dims, np.real(self.Lambda), {"long_name": "real part of the eigenvalue Λ of the weights"}),
            "Lambda_imag": (dims, np.imag(self.Lambda), {"long_name": "imaginary part of the eigenvalue Λ of the weights"}),
        }
        groups = {"": (dims, self.exponents), "mode_": (("mode",), self.mode_exponents)}
        for prefix, (over, values) in groups.items():
            data[f"{prefix}exponent_real"] = ((*over, "root"), np.real(values), rate | {"long_name": "growth rate"})
            data[f"{prefix}exponent_imag"] = ((*over, "root"), np.imag(values), rate | {"long_name": "angular frequency"})
        data["mode_real"] = ("mode", np.real(self.modes), {"long_name": "real part of the eigenvalue of the weights"})
        data["mode_imag"] = ("mode", np.imag(self.modes), {"long_name": "imaginary part of the eigenvalue of the weights"})
        attrs = {name: float(getattr(self, name)) for name in ("gain", "row_sum", "delay")}
        attrs |= {f"state_{name}": float(value) for name, value in self.state.variables.items()}
        attrs |= {**attributes_of(self.node, "node", "node."), "result": RESULTS[self.result] or "successful", **software()}
        return xarray().Dataset(data, attrs=attrs)

    @nan_is_absent
    def __str__(self) -> str:
        delay = f", delay {float(self.delay):g}" if float(self.delay) else ""
        where = ", ".join(f"{name} = {float(value):.6g}" for name, value in self.state.variables.items())
        rows = [
            f"Master stability of {describe(self.node)}",
            f"  gain {float(self.gain):g}, row sums {float(self.row_sum):g}{delay}; uniform state {where}",
        ]
        if message := RESULTS[self.result]:
            return "\n".join([*rows, f"  {message}"])
        if not self.modes.size:
            growing = np.asarray(self.growth) > 0
            return "\n".join([*rows, f"  {int(growing.sum())} of {growing.size} values of Λ grow"])
        growth, unstable = np.asarray(self.mode_growth), np.asarray(self.unstable)
        if self.stable:
            slowest = f"the slowest of {growth.size} modes decays at {-growth.max():.4g}"
            return "\n".join([*rows, f"  the uniform state is stable: {slowest}"])
        kinds = [f"{int(unstable[1:].sum())} of {growth.size - 1} patterns grow"] if growth.size > 1 else []
        kinds = ["the uniform mode grows"] * bool(unstable[0]) + kinds
        return "\n".join([*rows, f"  the uniform state is unstable: {' and '.join(kinds)}", *self._worst()])

    def _worst(self) -> list[str]:
        order = np.argsort(-np.asarray(self.mode_growth), kind="stable")[:4]
        found = []
        for k in order[np.asarray(self.unstable)[order]]:
            root = np.asarray(self.mode_exponents)[k, 0]
            found.append(f"  Λ = {_number(np.asarray(self.modes)[k])}: λ = {_number(root)}")
        return found

    def __repr__(self) -> str:
        return str(self)


def _number(value: Any) -> str:
    """A complex number, real if it is."""
    real, imag = float(np.real(value)), float(np.imag(value))
    return (
        f"{real:.5g}" if abs(imag) < 1e-12 * (1 + abs(real)) else f"{real:.5g} {'+' if imag > 0 else '−'} {abs(imag):.5g}i"
    )


@nan_is_absent
@with_one_thread
@takes_model
def master_stability(
    model: AbstractModel,
    *,
    guess: StateLike,
    Lambda: Any = None,
    gain: Real | None = None,
    row_sum: Real | None = None,
    delay: Real = 0.0,
    I: Real = 0.0,
) -> MasterStability:
    """Growth rates of all patterns of a network around the state in which every node does the same.

    If all nodes are equal and every row of W has the same sum S, the uniform state is one node's with the input
    G S sent. A pattern along an eigenvector of W grows as e^(λt), the λ of its eigenvalue Λ alone, whatever the network:

        det(λ − A − G Λ e^(−λD) b cᵀ) = 0,      A = ∂f/∂y,  b = ∂f/∂I,  c = ∂sent/∂y

    so an eigenvalue problem of the size of one node replaces that of the whole. Use it to see which patterns grow, at which
    Λ, for E–I nodes and directed networks too (complex Λ); with a synapse or a delay it is the dispersion relation. Of `MPR`
    nodes with instantaneous coupling λ = 2v ± √(2r(J + GΛ − 2π²r)) at τ = 1: stable at Λ = S, stable at all real Λ below.

    - `model`: a `Network` of equal nodes, or a node, any model that sends
    - `guess`: a state of one node, from which the uniform state is searched
    - `Lambda`: values of Λ, real or complex, of any shape; by default, for a network, a line or a rectangle around its
      eigenvalues
    - `gain`, `row_sum`: G and S of a node's network, 1 by default; a `Network` has its own
    - `delay`: D ≥ 0 of the coupling between the nodes, in the unit of τ; not of a node's own J; a `Network` with delays has
      its own, which must be one for all pairs. With it λ are the rightmost
      roots, of a Chebyshev collocation over the delay, polished by Newton's method
    - `I`: constant input of all nodes, in units of η

    Returns a `MasterStability`. Raises `ValueError` for networks whose rows or nodes differ, and for nodes that send
    nothing. Source: Pecora & Carroll, Phys. Rev. Lett. 80:2109 (1998); for the collocation Breda, Maset & Vermiglio, SIAM
    J. Sci. Comput. 27:482 (2005).
    """
    current, late = as_number("I", I), as_number("delay", delay, "[0, inf)")
    modes = np.zeros(0, complex)
    if is_network(model):
        own = gain is None and row_sum is None
        require("gain", gain if row_sum is None else row_sum, "be None for a network, which has its own", own)
        require("model", model, "couple its nodes by currents, not by conductances", model.reversal is None)
        node, strength, total = _equal_nodes(model), model.gain, _row_sum(model)
        late = _one_delay(model, late)
        modes = np.linalg.eigvals(np.asarray(_weights(model), float))
    else:
        require("Lambda", Lambda, "be given for a node, such as `jnp.linspace(-1.0, 1.0, 201)`", Lambda is not None)
        node, strength = model, as_number("gain", 1.0 if gain is None else gain)
        total = as_number("row_sum", 1.0 if row_sum is None else row_sum)
    values = _values(Lambda, modes, float(total))
    one = Network(node, jnp.reshape(total, (1, 1)), strength)
    y = find_fixed_point(one, _spread(node, guess), current)
    y = jax.tree.map(lambda each: each[0], y)
    linear = _linearized(node, y, strength, total, current)
    A, b, c = (np.asarray(each, float) for each in linear)
    solve = lambda Lambda: _roots(A, np.outer(b, c), float(strength) * Lambda, float(late))
    found, of_modes = solve(values), solve(modes)
    order = _mode_order(modes, of_modes, float(total))
    known = bool(np.all(np.isfinite(A)))
    dtype = np.result_type(linear[0].dtype, np.complex64)
    asarray = lambda each: jnp.asarray(each, dtype)
    return MasterStability(
        node=node,
        gain=strength,
        row_sum=total,
        delay=late,
        state=y,
        Lambda=jnp.asarray(values, dtype if np.iscomplexobj(values) else linear[0].dtype),
        exponents=asarray(found),
        modes=asarray(modes[order]),
        mode_exponents=asarray(of_modes[order]),
        result=RESULTS.successful if known else RESULTS.no_fixed_point,  # pyright: ignore[reportArgumentType]
        linear=linear,
    )


def _weights(network: Network) -> Any:
    """W without the gain, dense."""
    return network.weights.todense() if network.is_sparse else network.weights


def _equal_nodes(network: Network) -> AbstractModel:
    """The node that all nodes are; refuses networks whose nodes differ."""
    for name, (_, value) in parameter_table(network.node).items():
        given = np.ravel(np.asarray(value))
        require("model", f"values of {name} from {given.min():g} to {given.max():g}", "have equal nodes", np.ptp(given) == 0)
    return jax.tree.map(lambda each: jnp.ravel(each)[0], network.node)


def _row_sum(network: Network) -> Scalar:
    """The sum of every row of W; refuses networks in which they differ."""
    weights = _weights(network)
    sums, scale = np.asarray(weights.sum(axis=1)), np.abs(np.asarray(weights)).sum(axis=1).max()
    equal = np.ptp(sums) <= max(_EQUAL, 64 * np.finfo(sums.dtype).eps) * scale
    rule = "have rows of equal sums, so that all nodes can do the same"
    require("model", f"row sums from {sums.min():g} to {sums.max():g}", rule, equal)
    return jnp.mean(weights.sum(axis=1))


def _one_delay(network: Network, given: Scalar) -> Scalar:
    """The delay that all pairs of the network have, or else the one given."""
    delays = network.coupling.delays()
    if delays is None:
        return given
    require("delay", given, "be 0 for a network with delays of its own", not float(given))
    here = np.asarray(delays)[np.asarray(network.coupling.dense()) != 0]
    same = here.size == 0 or bool(np.ptp(here) <= _EQUAL * here.max())
    rule = "have one delay for all pairs (`characteristic_roots` takes any)"
    require("model", f"delays from {here.min(initial=np.inf):g} to {here.max(initial=0.0):g}", rule, same)
    return jnp.max(delays)


def _values(Lambda: Any, modes: Any, total: float) -> np.ndarray:
    """Λ as given, or around the eigenvalues of the network: on a line if all are real, else in a rectangle."""
    if Lambda is not None:
        values = np.asarray(Lambda)
        fine = values.dtype.kind in "iufc" and values.size > 0 and np.all(np.isfinite(values))
        require("Lambda", Lambda, "be finite numbers, real or complex", fine)
        return values if values.dtype.kind == "c" else values.astype(float)
    width = max(np.ptp(modes.real), np.ptp(modes.imag), 0.1 * abs(total), 1e-3)
    low, most = float(modes.real.min() - 0.1 * width), float(modes.real.max() + 0.1 * width)
    if np.all(np.abs(modes.imag) < 1e-9 * (1 + np.abs(modes))):
        return np.linspace(low, most, _LINE)
    high = modes.imag.max() + 0.1 * width
    return np.linspace(low, most, _PLANE)[:, None] + 1j * np.linspace(-high, high, _PLANE)


def _spread(node: AbstractModel, guess: StateLike) -> State:
    return jax.tree.map(lambda each: each[None], node.state(guess))


def _linearized(node: AbstractModel, y: State, gain: Values, total: Values, I: Values) -> tuple[Values, Values, Values]:
    """A (m, m), b (m,) and c (m,) of a node in the uniform state."""
    x, back = ravel_pytree(y)
    field = lambda x, I: ravel_pytree(node.vector_field(jnp.zeros((), x.dtype), back(x), I))[0]
    received = I + gain * total * node.sent(y)
    A, b = jax.jacfwd(field, argnums=(0, 1))(x, received)
    return A, b, jax.grad(lambda x: node.sent(back(x)))(x)


def _roots(A: np.ndarray, B: np.ndarray, strength: Any, delay: float) -> Any:
    """(…, m) rightmost λ with det(λ − A − strength e^(−λ delay) B) = 0, by decreasing real part."""
    size = A.shape[0]
    if not np.all(np.isfinite(A)) or not strength.size:
        return np.full((*strength.shape, size), np.nan + 0j)
    if not delay:
        found = np.linalg.eigvals(A + strength[..., None, None] * B)
        return _ordered(found + 0j)
    flat = np.asarray(strength).ravel()
    return np.stack([_delayed(A, B, each, delay) for each in flat]).reshape(*strength.shape, size)


def _ordered(found: Any) -> Any:
    """By decreasing real part; of a pair the one with the positive imaginary part first."""
    return np.take_along_axis(found, np.lexsort((-found.imag, -np.round(found.real, 10)), axis=-1), axis=-1)


def _delayed(A: np.ndarray, B: np.ndarray, strength: Any, delay: float) -> Any:
    """The m rightmost roots with a delay: eigenvalues of the generator on Chebyshev's nodes of the past, polished."""
    size = A.shape[0]
    left, _, right = np.linalg.svd(B)
    scale = np.linalg.norm(B)
    b, c = left[:, 0] * scale, right[0]  # B has rank one
    D = chebyshev(_NODES) * 2 / delay  # d/dθ on nodes from θ = 0 to −delay of the signal cᵀ y
    whole = np.zeros((size + _NODES, size + _NODES), complex)
    whole[:size, :size] = A
    whole[:size, -1] = strength * b
    whole[size:, :size] = np.outer(D[1:, 0], c)
    whole[size:, size:] = D[1:, 1:]
    guesses: Any = np.linalg.eigvals(whole)
    guesses = guesses[np.argsort(-guesses.real)][: size + 4]
    polished: Any = np.array([_polished(A, B, strength, delay, each) for each in guesses])
    distinct = []
    for each in polished[np.argsort(-polished.real)]:
        if all(abs(each - other) > 1e-7 * (1 + abs(each)) for other in distinct):
            distinct.append(each)
    distinct += [np.nan + 0j] * size
    return _ordered(np.array(distinct[:size]))


def _polished(A: np.ndarray, B: np.ndarray, strength: Any, delay: float, root: Any) -> Any:
    """Newton's method on μ(λ) − λ, μ the eigenvalue of A + strength e^(−λ delay) B next to λ."""
    for _ in range(_POLISH):
        change = strength * np.exp(-root * delay) * B
        values, vectors = np.linalg.eig(A + change)
        k = int(np.argmin(np.abs(values - root)))
        row = np.linalg.pinv(vectors)[k]
        step = (values[k] - root) / (1 + delay * (row @ change @ vectors[:, k]))
        root = root + step
        if abs(step) < 1e-14 * (1 + abs(root)):
            break
    return root


def _mode_order(modes: Any, exponents: Any, total: float) -> np.ndarray:
    """The uniform mode, then the others by decreasing growth."""
    if not modes.size:
        return np.zeros(0, int)
    uniform = int(np.argmin(np.abs(modes - total)))
    growth = np.nan_to_num(exponents.real.max(axis=-1), nan=-np.inf)
    growth[uniform] = np.inf
    return np.argsort(-growth, kind="stable")
