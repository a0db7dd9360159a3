"""The free parameters of a model as one vector without bounds, by transforms that the declared bounds imply.

    between two bounds    x = a + (b − a) σ(z)          logit
    above one             x = a + s log(1 + eᶻ)         softplus, s the parameter's scale
    below one             x = b − s log(1 + eᶻ)
    none                  x = s z

so that no step of an optimiser leaves the bounds, and one step length suits all parameters. Of a parameter with axes, all
entries are free, or those of a mask, or a few numbers of which a `RegionalMap` makes all entries.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, require
from .._parameter import Parameter, parameter_table
from .._types import Values, is_concrete
from ..models.base import AbstractModel, refuse_spikes

_NEGLIGIBLE = 1e-12  # a value that small is a zero with rounding: it says nothing about the parameter's scale


class Entries(eqx.Module):
    """The free entries of one parameter: all of them, or those at `index` of the flat array."""

    index: Any

    def read(self, value: Any) -> Values:
        """The free numbers of a parameter's `value`, (k,)."""
        flat = jnp.ravel(value)
        return flat if self.index is None else flat[self.index]

    def put(self, value: Values, x: Values) -> Values:
        """The parameter with the free numbers `x` (k,), others as in `value`."""
        if self.index is None:
            return x.reshape(value.shape)
        return jnp.ravel(value).at[self.index].set(x).reshape(value.shape)

    def size(self, value: Values) -> int:
        """How many numbers are free."""
        return value.size if self.index is None else self.index.shape[0]

    def shape(self, value: Values) -> tuple[int, ...]:
        """Shape of the parameter."""
        return value.shape


class RegionalMap(eqx.Module):
    """A parameter of a network's nodes as a linear function of what is known of its regions, of which `fit` finds a and b.

        p_i = a + Σ_k b_k x_ik        ln p_i = a + Σ_k b_k x_ik with `log`

    - `x`: what is known, such as myelin or a gradient of the cortex, in any unit: an array (n,) or (n, k), or a mapping of
      names to arrays (n,), which then name the numbers found
    - `log`: whether the logarithm is linear, for parameters that must be > 0, such as `Delta` and `tau`; False by default

    Use it where 90 regions would be 90 free numbers: `fit(brain, free={"node.eta": RegionalMap(x)}, …)` finds two. The
    network's own values, one or (n,), give the start by least squares. Raises `ValueError` for values that are not finite,
    and for maps that are constant or the sum of others. Source: Demirtaş et al., Neuron 101:1181 (2019).
    """

    basis: Values
    log: bool = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, x: Any, *, log: bool = False):
        require("log", log, "be True or False", isinstance(log, bool))
        names = ("offset",)
        if isinstance(x, Mapping):
            require("x", x, "name at least one map", len(x) > 0)
            names += tuple(str(each) for each in x)
            columns = [as_array(each) for each in x.values()]
            sizes = {getattr(each, "shape", None) for each in columns}
            require("x", x, "be arrays (n,) of one length", len(sizes) == 1 and len(next(iter(sizes)) or (0, 0)) == 1)
            x = jnp.stack(columns, axis=1)
        values = as_array(x)
        known = isinstance(values, jax.Array) and values.ndim in (1, 2) and values.size > 0
        require("x", x, "be numbers (n,) or (n, k), or a mapping of names to numbers (n,)", known)
        values = values.reshape(values.shape[0], -1)
        if len(names) == 1:
            count = values.shape[1]
            names += ("slope",) if count == 1 else tuple(f"slope {k}" for k in range(1, count + 1))
        self.basis = jnp.concatenate([jnp.ones((values.shape[0], 1), values.dtype), values], axis=1)
        self.log, self.names = log, names
        if is_concrete(values):
            require("x", x, "be finite, without NaN", bool(np.all(np.isfinite(np.asarray(values)))))
            rank = int(np.linalg.matrix_rank(np.asarray(self.basis)))
            rule = "vary from region to region, and none be the sum of others"
            require("x", x, rule, rank == self.basis.shape[1])

    def read(self, value: Any) -> Values:
        """a and b, (k + 1,), of the map nearest to a parameter's `value`, () or (n,)."""
        wanted = jnp.broadcast_to(jnp.asarray(value), self.basis.shape[:1]).astype(self.basis.dtype)
        return jnp.linalg.lstsq(self.basis, jnp.log(wanted) if self.log else wanted)[0]

    def put(self, value: Values, x: Values) -> Values:
        """The parameter (n,) at a and b, `x` (k + 1,); `value` is what it was."""
        found = self.basis.astype(x.dtype) @ x
        return jnp.exp(found) if self.log else found

    def size(self, value: Values) -> int:
        """How many numbers are free, whatever the `value`."""
        return self.basis.shape[1]

    def shape(self, value: Values) -> tuple[int, ...]:
        """Shape of the parameter, whatever the `value`."""
        return self.basis.shape[:1]

    def check(self, name: str, model: Any, declared: Parameter | None) -> None:
        """Refuse a parameter `name` of `model`, as it is `declared`, of which there is no map, or from whose values none
        starts."""
        value, known = np.asarray(attribute(model, name)), declared is not None and name.startswith("node.")
        require("free", name, "name a parameter of the nodes, `node.…`, for a `RegionalMap`", known)
        assert declared is not None
        size, n = self.basis.shape[0], model.size
        require("x", size, f"have one value per node, {n}", size == n)
        unbounded = declared.lower == -np.inf and declared.upper == np.inf
        positive = declared.lower == 0 and declared.upper == np.inf
        if self.log:
            require("log", self.log, f"be False for `{name}`, which is {declared.rule}", positive)
            require(name, value, "be > 0 for a map of its logarithm", bool(np.all(value > 0)))
        else:
            hint = "True" if positive else "None: no map keeps within its bounds"
            require("log", self.log, f"be {hint} for `{name}`, which is {declared.rule}", unbounded)


Part: TypeAlias = Entries | RegionalMap


class Parametrization(eqx.Module):
    """Which entries of which parameters are free, and how z maps to them; see the module."""

    names: tuple[str, ...] = eqx.field(static=True)
    parts: tuple[Part, ...]  # one per name
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
        pairs = zip(self.names, self.parts, strict=True)
        return jnp.concatenate([part.read(attribute(model, name)) for name, part in pairs])

    def apply(self, model: AbstractModel, x: Values) -> Any:
        """The model with these values of the free parameters."""
        start = 0
        for name, part in zip(self.names, self.parts, strict=True):
            old = attribute(model, name)
            end = start + part.size(old)
            new = part.put(old, x[start:end].astype(old.dtype))
            model = eqx.tree_at(lambda each, name=name: attribute(each, name), model, new)
            start = end
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
    mapping of names to True, a mask of the entries that are free, or a `RegionalMap`.

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
    found = [_numbers(model, name, which, table.get(name, (None, None))[0], bounds) for name, which in chosen.items()]
    dtype = jnp.result_type(*(attribute(model, name).dtype for name in chosen))
    arrays = [jnp.asarray(np.concatenate([each[key] for each in found]), dtype) for key in ("lower", "upper", "scale")]
    labels = tuple(label for each in found for label in each["labels"])
    kinds = tuple(each["kind"] for each in found for _ in each["labels"])
    return Parametrization(tuple(chosen), tuple(each["part"] for each in found), labels, kinds, *arrays)


def _numbers(
    model: AbstractModel, name: str, which: Any, declared: Parameter | None, bounds: Mapping[str, Any]
) -> dict[str, Any]:
    """The free numbers of one parameter: its part, their labels, kind, bounds and scale."""
    value = attribute(model, name)
    rule = f"name arrays of numbers, `{name}.data` for sparse weights"
    require("free", name, rule, isinstance(value, (jax.Array, np.ndarray)))
    value = np.asarray(value)
    if isinstance(which, RegionalMap):
        which.check(name, model, declared)
        require("bounds", name, "name no `RegionalMap`, whose numbers have none (give a `prior`)", name not in bounds)
        x = np.asarray(which.read(value))
        typical = np.abs(x[0]) if np.abs(x[0]) > _NEGLIGIBLE else 1.0
        spans = np.append(1.0, np.ptp(np.asarray(which.basis), axis=0)[1:])
        labels = [f"{name}[{each}]" for each in which.names]
        scale = np.maximum(np.abs(x), typical / spans)
        return {"part": which, "labels": labels, "kind": "free", "lower": 0 * x, "upper": 0 * x, "scale": scale}
    index = None
    if which is not True:
        mask = np.asarray(which, bool)
        require("free", mask, f"have masks of the shape {value.shape} for `{name}`", mask.shape == value.shape)
        index = np.flatnonzero(mask)
        require("free", name, "have at least one free entry in every mask", index.size > 0)
    low, high = (-np.inf, np.inf) if declared is None else (declared.lower, declared.upper)
    if name in bounds:
        low, high = _bounds(name, bounds[name], low, high)
    entries = np.arange(value.size) if index is None else index
    flat = value.reshape(-1)[entries]
    inside = bool(np.all((flat >= low) & (flat <= high)))
    require(name, flat if value.ndim else value, f"lie within its bounds [{low:g}, {high:g}]", inside)
    finite = np.isfinite([low, high])
    kinds = {(False, False): "free", (True, False): "above", (False, True): "below", (True, True): "between"}
    where = [np.unravel_index(entry, value.shape) for entry in entries]
    labels = [name if value.ndim == 0 else f"{name}[{','.join(str(int(k)) for k in place)}]" for place in where]
    offset = low if finite[0] else high if finite[1] else 0.0
    size = np.abs(flat - offset)
    typical = np.max(size) if size.size and np.max(size) > _NEGLIGIBLE else 1.0
    return {
        "part": Entries(None if index is None else jnp.asarray(index)),
        "labels": labels,
        "kind": kinds[bool(finite[0]), bool(finite[1])],
        "lower": np.full(entries.size, low if finite[0] else 0.0),
        "upper": np.full(entries.size, high if finite[1] else 0.0),
        "scale": np.where(size > _NEGLIGIBLE, size, typical),
    }


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
