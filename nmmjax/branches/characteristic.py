"""Stability of resting states of networks with delays: characteristic roots, and whether none is missing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from equinox import Module, field

from .._blas import with_one_thread
from .._checks import require
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import as_number, as_plain_number, describe
from .._results import RESULTS, Shown
from .._types import ComplexValues, Real, Scalar, Values
from ..equilibria.delays import linearized_with_delays
from ..landscape.landscapes import find_fixed_point, stable_state
from ..models.base import AbstractModel, takes_model
from ..models.network import is_network
from ..models.state import State, StateLike
from ..numerics.delayed import roots_right_of

_SHOWN = 4  # roots in the print-out


class CharacteristicRoots(Module, Shown):
    """Characteristic roots λ of a resting state, deviations e^(λt), by decreasing real part.

    - `model`, `I`: the network, and its constant input in units of η
    - `state`: the resting state; `choice`: which one, in words
    - `roots` (k,): λ, complex, in 1/time, those with a real part above `right_of`, a double one twice
    - `modes` (k, n): what the nodes send along each, complex, the largest 1: its size and phase is every node's share
    - `right_of`: the line; −∞ without delays, where all roots are eigenvalues
    - `count`: how many there are by the argument principle, by their multiplicity; −1 where that could not be told
    - `points`: Chebyshev's points of the past by which they were found; 0 without delays
    - `change` (k,): the last change of each root while it was refined
    - `result`: a `RESULTS` code: `no_fixed_point` if no state was found near the guess; then nothing else is

    Print it for a verdict, `to_xarray()` for labelled data, `nmm.plot.characteristic_roots(result)` for a picture.
    """

    model: AbstractModel
    state: State
    I: Values
    roots: ComplexValues
    modes: ComplexValues
    right_of: Scalar
    count: int = field(static=True)
    points: int = field(static=True)
    change: Values
    choice: str = field(static=True)
    result: RESULTS

    @property
    def complete(self) -> bool:
        """Whether no root right of the line is missing: those found are as many as the argument principle counts."""
        return self.count == self.roots.size

    @property
    def unstable(self) -> int:
        """How many of the roots have a positive real part."""
        return int(jnp.sum(jnp.real(self.roots) > 0))

    @property
    def stable(self) -> bool:
        """Whether no deviation grows: all roots right of a line left of 0 are known to be, and none has a real part ≥ 0."""
        found = self.result == RESULTS.successful and self.complete and self.right_of <= 0
        return bool(found) and not bool(jnp.any(jnp.real(self.roots) >= 0))

    @property
    @nan_is_absent
    def rightmost(self) -> Any:
        """The root of largest real part; NaN if there is none right of the line."""
        return self.roots[0] if self.roots.size else jnp.asarray(complex(np.nan, np.nan), self.roots.dtype)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over the roots and nodes (extra `data`)."""
        rate = {"units": "1/time (that of tau)"}
        data = {
            "growth": ("root", np.real(self.roots), rate | {"long_name": "growth rate Re λ"}),
            "frequency": ("root", np.imag(self.roots), rate | {"long_name": "angular frequency Im λ"}),
            "mode_real": (("root", "node"), np.real(self.modes), {"long_name": "real part of what nodes send"}),
            "mode_imag": (("root", "node"), np.imag(self.modes), {"long_name": "imaginary part of what nodes send"}),
        }
        for name, values in self.state.variables.items():
            data[f"state_{name}"] = ("node", np.asarray(values), {"long_name": "resting state"})
        attrs = {**attributes_of(self.model, "model"), "right_of": float(self.right_of), "counted": self.count}
        attrs |= {"choice": self.choice, "result": RESULTS[self.result] or "successful", **software()}
        return xarray().Dataset(data, coords={"node": ("node", self.model.labels)}, attrs=attrs)

    @nan_is_absent
    def __str__(self) -> str:
        rows = [f"Characteristic roots of {describe(self.model)}"]
        if message := RESULTS[self.result]:
            return "\n".join([*rows, f"  {message}"])
        r = np.ravel(self.state.values[0])
        rows.append(f"  {self.choice}: {self.state.names[0]} from {r.min():.5g} to {r.max():.5g}")
        k = self.roots.size
        where = f"right of Re λ = {float(self.right_of):.4g}" if np.isfinite(self.right_of) else "in all (no delays)"
        if self.complete:
            known = "none is missing, by the argument principle" if self.points else "eigenvalues"
        elif self.count < 0:
            known = "searched, not counted: more may be there"
        else:
            known = f"{self.count} by the argument principle: some are missing"
        rows.append(f"  {k} root{'s' * (k != 1)} {where}; {known}")
        for root in np.asarray(self.roots)[: 2 * _SHOWN]:
            if root.imag >= 0:
                turn = f" ± {root.imag:.6g}i" if root.imag else ""
                rows.append(f"  λ = {root.real:.6g}{turn}")
        if self.unstable:
            rows.append(f"  unstable: {self.unstable} grow")
        else:
            rows.append("  stable" if self.stable else "  none of those found grows")
        return "\n".join(rows)

    def __repr__(self) -> str:
        return str(self)


@nan_is_absent
@with_one_thread
@takes_model
def characteristic_roots(
    network: Any, guess: StateLike | None = None, *, right_of: Real | None = None, I: Real = 0.0
) -> CharacteristicRoots:
    """All characteristic roots right of a line of a network's resting state: whether it is stable with its delays.

        det(λ − A − B (M∘e^(−λD)) S) = 0,    A = ∂f/∂y, B = ∂f/∂I and S = ∂sent/∂y of the nodes, M = G W

    Delays leave resting states where they are, but not their stability. Roots are eigenvalues of the generator of the flow,
    on Chebyshev's points of every sender's past, refined to rounding on the equation itself; points are doubled until there
    are as many roots as the argument principle counts on the line, which proves that none is missing (`complete`). Use it
    for the rhythms that delays make, how fast they decay or grow and which nodes take part; `find_hopf` and
    `continue_branch` follow them over parameters.

    - `network`: a `Network` of any nodes, with `delay=`, `speed=` or without delays; n nodes coupled by currents
    - `guess`: a state near the fixed point; by default that which is reached from the nodes' lowest ones
    - `right_of`: the line Re λ, per unit of time; by default one about 1/(longest delay) left of the rightmost root. The
      further left, the more roots (without end)
    - `I`: constant input, in units of η, a number

    Returns a `CharacteristicRoots`. 90 nodes, a delay for every pair, take about a second. Raises `ValueError` for what is
    no network, for conductances, and networks without a `guess` whose nodes have no equation for their states. Source:
    docs/theory.md §C7; Breda, Maset & Vermiglio, SIAM J. Sci. Comput. 27:482 (2005).
    """
    given: Any = network
    require(
        "network", given if isinstance(given, AbstractModel) else type(given).__name__, "be a `Network`", is_network(given)
    )
    require("network", "conductances", "couple its nodes by currents, not by conductances", network.reversal is None)
    line = None if right_of is None else as_plain_number("right_of", right_of)
    current = as_number("I", I).astype(network.gain.dtype)
    if guess is None:
        y, choice = stable_state(network.tilted(current), None, highest=False)
    else:
        y, choice = find_fixed_point(network, guess, current), "the fixed point near the guess"
    fixed = bool(jnp.all(jnp.isfinite(jnp.stack(jax.tree.leaves(y)))))
    n = network.size
    dtype = np.result_type(network.gain.dtype, np.complex64)
    roots, modes, change = np.zeros(0, complex), np.zeros((0, n), complex), np.zeros(0)
    count, points, at = -1, 0, np.nan if line is None else line
    if fixed:
        found = roots_right_of(linearized_with_delays(network, y, current), line)
        roots, modes, change, at, points = found.roots, found.modes, found.change, found.line, found.points
        count = -1 if found.number is None else found.number
    return CharacteristicRoots(
        model=network,
        state=y,
        I=current,
        roots=jnp.asarray(roots, dtype),
        modes=jnp.asarray(modes, dtype),
        right_of=jnp.asarray(at, network.gain.dtype),
        count=count,
        points=points,
        change=jnp.asarray(change, network.gain.dtype),
        choice=choice,
        result=RESULTS.successful if fixed else RESULTS.no_fixed_point,  # pyright: ignore[reportArgumentType]
    )
