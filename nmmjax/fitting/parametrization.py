"""The free parameters of a model as one vector without bounds, by transforms that the declared bounds imply.

    between two bounds    x = a + (b − a) σ(z)          logit
    above one             x = a + s log(1 + eᶻ)         softplus, s the parameter's scale
    below one             x = b − s log(1 + eᶻ)
    none                  x = s z

so that no step of an optimiser leaves the bounds, and one step length suits all parameters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import require
from .._parameter import parameter_table
from .._types import Values
from ..models.base import AbstractModel, refuse_spikes

_NEGLIGIBLE = 1e-12  # a value that small is a zero with rounding: it says nothing about the parameter's scale


class Parametrization(eqx.Module):
    """Which entries of which parameters are free, and how z maps to them; see the module."""

    names: tuple[str, ...] = eqx.field(static=True)
    masks: tuple[Any, ...]  # of every parameter with axes, indices of its free entries; else None
    labels: tuple[str, ...] = eqx.field(static=True)  # one per number
    kinds: tuple[str, ...] = eqx.field(static=True)  # one per number: free, above, below, between
    lower: Values
    upper: Values
    scale: Values

    @property
    def size(self) -> int:
        """The number of free numbers."""
        return len(self.labels)

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds, (size,) each; infinite if absent."""
        kind = np.asarray(self.kinds)
        low = np.where((kind == "above") | (kind == "between"), np.asarray(self.lower), -np.inf)
        return low, np.where((kind == "below") | (kind == "between"), np.asarray(self.upper), np.inf)

    def _is(self, kind: str) -> Any:
        return np.array([each == kind for each in self.kinds])

    def values(self, z: Values) -> Values:
        """x, the parameters' values, from z, both (size,)."""
        x = self.scale * z
        if "above" in self.kinds:
            x = jnp.where(self._is("above"), self.lower + self.scale * jax.nn.softplus(z), x)
        if "below" in self.kinds:
            x = jnp.where(self._is("below"), self.upper - self.scale * jax.nn.softplus(z), x)
        if "between" in self.kinds:
            x = jnp.where(self._is("between"), self.lower + (self.upper - self.lower) * jax.nn.sigmoid(z), x)
        return x

    def inverse(self, x: Values) -> Values:
        """z from x; values on a bound are taken a little inside."""
        z = x / self.scale
        tiny = jnp.asarray(1e-6, x.dtype)
        if "above" in self.kinds:
            z = jnp.where(self._is("above"), _inverse_softplus(jnp.maximum((x - self.lower) / self.scale, tiny)), z)
        if "below" in self.kinds:
            z = jnp.where(self._is("below"), _inverse_softplus(jnp.maximum((self.upper - x) / self.scale, tiny)), z)
        if "between" in self.kinds:
            share = jnp.clip((x - self.lower) / (self.upper - self.lower), tiny, 1 - tiny)
            z = jnp.where(self._is("between"), jnp.log(share) - jnp.log1p(-share), z)
        return z

    def slope(self, z: Values) -> Values:
        """dx/dz, (size,)."""
        return jax.jvp(self.values, (z,), (jnp.ones_like(z),))[1]

    def read(self, model: AbstractModel) -> Values:
        """x of a model."""
        parts = [
            jnp.ravel(value) if mask is None else jnp.ravel(value)[mask]
            for value, mask in zip((attribute(model, name) for name in self.names), self.masks, strict=True)
        ]
        return jnp.concatenate(parts)

    def apply(self, model: AbstractModel, x: Values) -> Any:
        """The model with these values of the free parameters."""
        start = 0
        for name, mask in zip(self.names, self.masks, strict=True):
            old = attribute(model, name)
            size = old.size if mask is None else mask.shape[0]
            piece = x[start : start + size].astype(old.dtype)
            new = piece.reshape(old.shape) if mask is None else jnp.ravel(old).at[mask].set(piece).reshape(old.shape)
            model = eqx.tree_at(lambda each, name=name: attribute(each, name), model, new)
            start += size
        return model

    def model(self, base: Any, z: Values) -> Any:
        """The model at z."""
        return self.apply(base, self.values(z))


def _inverse_softplus(y: Values) -> Values:
    return y + jnp.log(-jnp.expm1(-y))


def attribute(module: object, path: str) -> Any:
    """The part of `module` that a dotted name says."""
    for name in path.split("."):
        module = getattr(module, name)
    return module


def parametrize(model: AbstractModel, free: Any, bounds: Mapping[str, Any] | None = None) -> Parametrization:
    """The parametrization of `free`: names such as `eta`, `gap.g` or, of a network, `node.eta` and `weights`; or a
    mapping of names to True or a mask of the entries that are free.

    `bounds` maps names to (lower, upper), within the declared ones; None leaves a side as declared. Raises `ValueError` in
    one sentence for names that don't exist or repeat, bounds that aren't any, and a model outside of them.
    """
    free = (free,) if isinstance(free, str) else free
    listed = isinstance(free, (Sequence, Mapping)) and len(free) > 0 and all(isinstance(name, str) for name in free)
    require("free", free, "be the names of at least one parameter", listed)
    chosen = dict(free) if isinstance(free, Mapping) else dict.fromkeys(free, True)
    require("free", tuple(free), "name every parameter once", len(chosen) == len(tuple(free)))
    refuse_spikes(model)
    table = parameter_table(model)
    known = [*table, *(["weights"] if model.size is not None else [])]
    bounds = {} if bounds is None else dict(bounds)
    for name in (*chosen, *bounds):
        argument = "free" if name in chosen else "bounds"
        if not (name in known or (name == "weights.data" and "weights" in known)):
            names = ", ".join(f"`{each}`" for each in known)
            raise ValueError(f"Argument `{argument}` must name parameters of the model, {names}, but got {name!r}.")
    for name in bounds:
        require("bounds", name, "name free parameters", name in chosen)
    masks, labels, kinds, lower, upper, scale = [], [], [], [], [], []
    for name, mask in chosen.items():
        value = attribute(model, name)
        rule = f"name arrays of numbers, `{name}.data` for sparse weights"
        require("free", name, rule, isinstance(value, (jax.Array, np.ndarray)))
        value = np.asarray(value)
        index = None
        if mask is not True:
            mask = np.asarray(mask, bool)
            require("free", mask, f"have masks of the shape {value.shape} for `{name}`", mask.shape == value.shape)
            index = np.flatnonzero(mask)
            require("free", name, "have at least one free entry in every mask", index.size > 0)
        declared = table.get(name, (None, None))[0]
        low, high = (-np.inf, np.inf) if declared is None else (declared.lower, declared.upper)
        if name in bounds:
            low, high = _bounds(name, bounds[name], low, high)
        entries = np.arange(value.size) if index is None else index
        flat = value.reshape(-1)[entries]
        inside = bool(np.all((flat >= low) & (flat <= high)))
        require(name, flat if value.ndim else value, f"lie within its bounds [{low:g}, {high:g}]", inside)
        finite = np.isfinite([low, high])
        kind = {(False, False): "free", (True, False): "above", (False, True): "below", (True, True): "between"}
        masks.append(None if index is None else jnp.asarray(index))
        where = [np.unravel_index(entry, value.shape) for entry in entries]
        labels += [name if value.ndim == 0 else f"{name}[{','.join(str(int(k)) for k in place)}]" for place in where]
        kinds += [kind[bool(finite[0]), bool(finite[1])]] * entries.size
        lower.append(np.full(entries.size, low if finite[0] else 0.0))
        upper.append(np.full(entries.size, high if finite[1] else 0.0))
        offset = low if finite[0] else high if finite[1] else 0.0
        size = np.abs(flat - offset)
        typical = np.max(size) if size.size and np.max(size) > _NEGLIGIBLE else 1.0
        scale.append(np.where(size > _NEGLIGIBLE, size, typical))
    dtype = jnp.result_type(*(attribute(model, name).dtype for name in chosen))
    arrays = [jnp.asarray(np.concatenate(each), dtype) for each in (lower, upper, scale)]
    return Parametrization(tuple(chosen), tuple(masks), tuple(labels), tuple(kinds), *arrays)


def _bounds(name: str, given: Any, low: float, high: float) -> tuple[float, float]:
    """The user's bounds of a parameter, within the declared ones."""
    is_pair = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str) and len(given) == 2
    require("bounds", given, f"give (lower, upper) for `{name}`, None for a side that stays as declared", is_pair)
    numbers = [declared if each is None else each for each, declared in zip(given, (low, high), strict=True)]
    for each in numbers:
        require("bounds", given, f"give numbers for `{name}`", np.ndim(each) == 0 and np.asarray(each).dtype.kind in "iuf")
    first, last = (float(each) for each in numbers)
    require("bounds", given, f"give lower < upper for `{name}`", first < last)
    require("bounds", given, f"keep `{name}` within its declared bounds [{low:g}, {high:g}]", first >= low and last <= high)
    return first, last
