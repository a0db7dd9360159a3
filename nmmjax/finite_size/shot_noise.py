"""Shot noise of finite populations, as a noise of runs."""

import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._identity import written
from .._types import Values, is_concrete
from ..landscape.landscapes import find_fixed_point
from ..models.base import require_offer
from ..models.noise import AbstractNoise, AbstractSpikeNoise, CauchyNoise, Resonators
from ..models.state import State
from ..numerics.compiling import jitted
from .bare import Drives
from .fluctuations import Loop, require_spikes
from .power import around, as_size
from .resonators import Filter, filter_of, stationary_root

_MOST = 2048  # stable states of a sweep, each of which is fitted
_NONE = Filter(0.0, np.array([-1 + 0j]), np.array([0j]), np.nan)


class ShotNoise(AbstractSpikeNoise):
    """What N neurons' spikes add to the mean field: R = r + ξ in what is received, τ dv/dt = … + J τ (r + ξ).

    ξ is Gaussian with the spectrum S_ξ(f)/N of the neurons' spikes at one stable state (`power_spectrum`, `bare`): that of
    periodic neurons, or of neurons with Cauchy noise. It is the sum of a white noise and of a dozen damped resonators that
    the same white noise drives, fitted to the spectrum: 0.4 % of the Poisson level, rms, or better in all cases tried
    (`run.noise.misfit` says it). In a network every node has its own; through a synapse ξ is filtered as the rate is.

    - `size`: N, the number of neurons of every population, one number or one per node, (n,)
    - `noise`: `CauchyNoise(Γ)` of every neuron, which also widens Δ to Δ + Γ; None (the default) for periodic neurons
    - `near`: a state next to the stable state whose spectrum is meant; by default the state that the run starts from

    Use it in `simulate`, `sweep` and `first_passage` for what finite size does, at a cost that does not depend on N. A sweep
    of one population gives every lane a path of its own and the spectrum of the stable state next to its own start, fitted
    once for lanes that share it (0.1 s each); `over` may name `noise.size`, and `status` tells lanes without such a state.

    It is a leading order in 1/N, Gaussian, and has the spectrum of one state wherever the run goes. So escapes are
    estimates: those of neurons with noise of their own out of a node are met within 30 %; out of a focus they come 2 to 3
    times too soon at N from 75 to 150, and near folds several times too late. **Periodic neurons do not escape by it**: what
    drives them is bounded and has no white part, and their networks hardly ever leave a state (`QIFNetwork` shows it).

    Raises `ValueError` for sizes that aren't whole, and in a run if no stable state is near, for models with gap junctions,
    heterogeneous couplings, conductances or slow terms other than a synapse, and under transformations of the model's
    parameters. Source: docs/theory.md §B1–B5; Klinshov & Kirillov, Phys. Rev. E 106:L062302 (2022) for the idea.
    """

    size: Values
    noise: CauchyNoise | None
    near: Any

    def __init__(self, size: Any, noise: Any = None, near: Any = None):
        self.size = as_size(size, None)
        require("noise", repr(noise), "be None or `CauchyNoise(…)`", noise is None or isinstance(noise, CauchyNoise))
        self.noise = noise if noise is None or not is_concrete(noise.width) or float(noise.width) > 0 else None
        self.near = near if near is None or isinstance(near, State) else {name: as_array(near[name]) for name in near}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{each:g}" for each in np.unique(np.asarray(self.size))) if is_concrete(self.size) else "…"
        return f"ShotNoise({sizes}{'' if self.noise is None else f', {self.noise!r}'})"

    def split(self, model: Any) -> tuple[Any, AbstractNoise]:
        require(
            "noise", repr(self), "be other than shot noise for neurons, who make it themselves", "spikes" not in model.offers
        )
        require_offer(model, "riccati", also=", for shot noise")
        require_spikes(model)
        as_size(self.size, model)
        rule = "be without slow terms other than a synapse for shot noise"
        require("model", model, rule, not model.slow_names or model.filters is not None)
        node = model if model.size is None else model.node
        current = node.riccati().k is None and (not model.slow_names or node.filters.strength is None)
        require("model", model, "couple its neurons by currents, not by conductances, for shot noise", current)
        return (model if self.noise is None else self.noise.split(model)[0]), self

    def drawn(self, model: Any, y0: Any, before: AbstractNoise | None) -> AbstractNoise:
        """Resonators with the spectrum of the stable state near `y0`, or those of the run `before` of the same model under
        the same noise."""
        known = all(is_concrete(leaf) for leaf in jax.tree.leaves((model, y0, self)) if isinstance(leaf, jax.Array))
        origin = json.dumps(written((self, model))) if known else ""
        if isinstance(before, Resonators) and before.origin == origin:
            return before
        rule = "be known for shot noise, whose spectrum is fitted: not an argument of `jit`, `vmap`, `grad`"
        require("model", "traced parameters or states", rule, known)
        given = y0 if self.near is None else self.near
        y = _fixed_point(model, model.state(given))
        found = self._filters(model, y)
        rule = "be next to a stable state, whose spectrum is meant (or give `near` in `ShotNoise`)"
        require("y0" if self.near is None else "near", f"{given}", rule, found is not None)
        assert found is not None
        nodes = model.nodes() if model.size is not None else model
        return _joined(found, np.ravel(np.broadcast_to(self.size, y.r.shape)), y.r, nodes.J, (repr(self), origin))

    def fitted(self, models: Any, starts: Any) -> tuple[Resonators, np.ndarray, np.ndarray]:
        ys = jax.vmap(_fixed_point)(models, starts)
        digits = 9 if ys.r.dtype == np.float64 else 4
        states = np.nan_to_num(np.round(np.stack([ys.r, ys.v]), digits), nan=-1.0)
        rows = np.concatenate([np.stack([np.asarray(each, float) for each in jax.tree.leaves(models)]), states])
        _, first, which = np.unique(rows, axis=1, return_index=True, return_inverse=True)
        rule = f"lead to at most {_MOST} states whose noise differs, each of which is fitted"
        require("over", first.size, rule, first.size <= _MOST)
        each_of = lambda tree, k: jax.tree.map(lambda leaf: leaf[k], tree)
        found = [self._filters(*each_of((models, ys), k)) for k in first]
        filters = [_NONE if each is None else each[0] for each in found]
        resonators = _joined(filters, np.ones(first.size), ys.r[first], models.J[first], (repr(self), ""))
        return resonators, np.ravel(which), np.array([each is not None for each in found])

    def _filters(self, model: Any, y: State) -> list[Filter] | None:
        """The filters of all populations at the fixed point `y`, None if that is not stable, or not there."""
        Gamma = None if self.noise is None else self.noise.width.astype(y.r.dtype)
        alone = model
        if Gamma is not None:
            where = (lambda each: each.Delta) if model.size is None else (lambda each: each.node.Delta)
            alone = eqx.tree_at(where, model, jnp.maximum(where(model) - Gamma, 0))
        loop, _, stable, _ = around(alone, model, y, Gamma, self.size)
        if not stable or not np.all(np.isfinite(y.r)):
            return None
        nodes = model.nodes() if model.size is not None else model
        chain = (
            [np.ravel(np.broadcast_to(each / model.tau, y.r.shape)) for each in nodes.filters.stages.values()]
            if model.slow_names
            else []
        )
        return [_fitted(loop, k, [float(each[k]) for each in chain]) for k in range(loop.tau.size)]


@jitted
def _fixed_point(model: Any, guess: State) -> State:
    return find_fixed_point(model, guess)


def _fitted(loop: Loop, node: int, chain: list[float]) -> Filter:
    """The filter of one population, in its unit τ of time; `chain`: its synapse's time constants."""
    drives = jax.tree.map(lambda each: each[node], loop.drives)
    spectrum = lambda f: np.asarray(_spectrum(drives, jnp.asarray(f, drives.poles.real.dtype)), float)
    own = float(jnp.sqrt(jnp.max(jnp.abs(drives.shifted)))) / np.pi
    passed = (lambda f: np.prod([1 / (1 + 2j * np.pi * f * tau) for tau in chain], axis=0)) if chain else None
    return filter_of(spectrum, float(drives.rate), own, passed)


@jitted
def _spectrum(drives: Drives, f: Values) -> Values:
    return drives.spectrum(f)


def _joined(found: list[Filter], sizes: np.ndarray, r: Values, J: Any, what: tuple[str, str]) -> Resonators:
    """The filters of all populations, of these sizes, in arrays of one shape; resonators that one lacks have no gain."""
    most = max(each.poles.size for each in found)
    pad: Any = lambda each, fill: np.append(each, np.full(most - each.size, fill))
    poles: Any = np.stack([pad(each.poles, -1.0) for each in found])
    gains: Any = np.stack([pad(each.gains, 0.0) for each in found]) / np.sqrt(sizes)[:, None]
    direct = np.array([each.direct for each in found]) / np.sqrt(sizes)
    roots = np.stack([stationary_root(each) for each in poles])
    # White noise as strong as the highest peak, for the step's choice.
    intensity = np.asarray(J) ** 2 * np.max(np.abs(gains), axis=1) ** 2 / 2
    shaped = lambda each: jnp.asarray(each.reshape((*r.shape, *each.shape[1:])), r.dtype)
    return Resonators(
        decay=shaped(-poles.real),
        omega=shaped(poles.imag),
        gain_real=shaped(gains.real),
        gain_imag=shaped(gains.imag),
        direct=shaped(direct),
        root=shaped(roots),
        intensity=shaped(intensity),
        misfit=shaped(np.array([each.misfit for each in found])),
        state_rate=r,
        what=what[0],
        origin=what[1],
    )
