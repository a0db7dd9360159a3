"""The pairwise maximum-entropy (Ising) model of two-valued data, and what its fit knows."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import as_array, as_count, as_key, require
from .._results import Shown
from .._types import Key, Values, is_concrete
from ..numerics.compiling import jitted
from ..recordings.recording import Binarized, region_names
from .landscape import IsingLandscape, survey
from .sampling import gibbs
from .walsh import LARGEST, combine, exponents, pack, refuse_large, spins_of


@dataclasses.dataclass(frozen=True, eq=False)
class IsingFit:
    """How a model was fitted and how well it fits; what is None is not known, and `reason` says why.

    - `method`, `penalty`, `samples`, `steps`, `status` (`"converged"`, or what went wrong), `note` on the choice of method
    - `S1`, `S2`, `S_N`: entropies in bits of independent regions, of the model, and of the states in the data
    - `cross_entropy`: −⟨log₂ P⟩ of the data under the model, in bits per sample
    - `h_error` (N,), `J_error` (N, N): standard errors, for independent samples; `bootstrap_ising` makes no such assumption
    - `data`: what was fitted
    """

    method: str
    penalty: float
    samples: int
    status: str = "converged"
    steps: int = 0
    S1: float | None = None
    S2: float | None = None
    S_N: float | None = None
    cross_entropy: float | None = None
    h_error: np.ndarray | None = None
    J_error: np.ndarray | None = None
    data: Binarized | None = None
    note: str = ""
    reason: str | None = None


class IsingModel(eqx.Module, Shown):
    """The pairwise maximum-entropy model: P(s) ∝ exp(−E(s)), E(s) = −½ Σ_{i≠j} J_ij s_i s_j − Σ_i h_i s_i, s_i = ±1.

    Made by `fit_ising`, or by hand from `h` (N,) and symmetric `J` (N, N) with zero diagonal. `names` of the regions: R1,
    R2, … by default. Energies are dimensionless. Sums over all 2^N states (`energies`, `probabilities`) are for N ≤ 20;
    their order, and that of the bits in labels, is the regions' (`110`: the first two regions up, the third down; state 6).

    - `fit`: how it was fitted, an `IsingFit`; None for a model made by hand

    Raises `ValueError` if shapes don't fit or J is not symmetric with a zero diagonal.
    """

    h: Values
    J: Values
    names: tuple[str, ...] = eqx.field(static=True)
    fit: IsingFit | None = eqx.field(static=True)

    def __init__(self, h: Any, J: Any, names: Sequence[str] | None = None, fit: IsingFit | None = None):
        self.h, self.J = as_array(h), as_array(J)
        one = isinstance(self.h, (jax.Array, np.ndarray)) and self.h.ndim == 1 and self.h.size > 0
        require("h", h, "be an array of numbers with one axis, (regions,)", one)
        size = self.h.shape[0]
        require("J", J, f"be an array of numbers of shape ({size}, {size})", getattr(self.J, "shape", None) == (size, size))
        if is_concrete(self.h) and is_concrete(self.J):
            couplings = np.asarray(self.J)
            require("h", self.h, "be finite", bool(np.all(np.isfinite(np.asarray(self.h)))))
            require("J", self.J, "be finite", bool(np.all(np.isfinite(couplings))))
            require("J", self.J, "be symmetric", bool(np.allclose(couplings, couplings.T, rtol=1e-6, atol=1e-12)))
            require("J", self.J, "have a zero diagonal", bool(np.all(np.diag(couplings) == 0)))
        self.names = region_names(names, size)
        self.fit = fit

    @property
    def size(self) -> int:
        """Number of regions."""
        return self.h.shape[0]

    def energy(self, spins: Any) -> Values:
        """E (…) of states `spins` (…, N) of ±1, dimensionless."""
        s = jnp.asarray(spins, self.h.dtype)
        require("spins", s, f"have {self.size} values on the last axis", s.ndim > 0 and s.shape[-1] == self.size)
        return -(s @ self.h) - jnp.sum((s @ self.J) * s, axis=-1) / 2

    def energies(self) -> Values:
        """E of all 2^N states (N ≤ 20), by one fast Walsh–Hadamard transform."""
        refuse_large(self.size, "use `energy(spins)`")
        return -_exponents(pack(self.h, self.J), self.size)

    def probabilities(self) -> Values:
        """P of all 2^N states (N ≤ 20)."""
        return jax.nn.softmax(-self.energies())

    def moment(self, *regions: int) -> Values:
        """⟨s_i s_j s_k …⟩ under the model (N ≤ 20) for `*regions`, numbered from 0; a region named twice drops out."""
        pattern = 0
        for each in regions:
            require("regions", each, f"lie between 0 and {self.size - 1}", 0 <= int(each) < self.size)
            pattern ^= 1 << (self.size - 1 - int(each))
        sign = combine(jnp.zeros(2**self.size, self.h.dtype).at[pattern].set(1))
        return jnp.sum(self.probabilities() * sign)

    def sample(self, key: Key, n: int, *, sweeps: int = 200) -> np.ndarray:
        """`n` independent states (n, N), int8: drawn from P itself for N ≤ 20, else the ends of `n` Gibbs chains.

        `key` is a random key. The chains begin at random and are updated `sweeps` times in every region: too few if
        basins are deep.
        """
        n, sweeps, key = as_count("n", n), as_count("sweeps", sweeps), as_key(key)
        if self.size <= LARGEST:
            law = np.cumsum(np.asarray(self.probabilities(), float))
            uniform = np.asarray(jax.random.uniform(key, (n,), self.h.dtype), float)
            return spins_of(np.minimum(np.searchsorted(law, uniform * law[-1], "right"), law.size - 1), self.size)
        first, second = jax.random.split(key)
        start = jnp.where(jax.random.bernoulli(first, 0.5, (n, self.size)), 1, -1).astype(self.h.dtype)
        return np.asarray(gibbs(self.h, self.J, start, second, sweeps)).astype(np.int8)

    def landscape(self, data: object = None, *, key: Key | None = None, starts: int = 1000) -> IsingLandscape:
        """Minima, basins, saddles, disconnectivity tree, and how `data` (default: what was fitted) wander among them.

        Exact for N ≤ 20. Beyond, minima are sought downhill from the states of the data and, with a `key`, from `starts`
        random states, and saddles are bounded from above; see `IsingLandscape`.
        """
        if data is None and self.fit is not None:
            data = self.fit.data
        key, starts = None if key is None else as_key(key), as_count("starts", starts)
        return survey(self, data, key, starts)

    @property
    def entropies(self) -> dict[str, float | None]:
        """S1 (independent regions), S2 (this model) and S_N (the data), in bits."""
        return {name: self._known(name) for name in ("S1", "S2", "S_N")}

    @property
    def S1(self) -> float | None:
        """Entropy in bits of independent regions with the data's means."""
        return self._known("S1")

    @property
    def S2(self) -> float | None:
        """Entropy in bits of this model; None for N > 20."""
        return self._known("S2")

    @property
    def S_N(self) -> float | None:
        """Entropy in bits of the states in the data: too low if samples are few."""
        return self._known("S_N")

    @property
    def accuracy(self) -> float | None:
        """r = (S1 − S2)/(S1 − S_N): the share of dependence that pairs explain; None if `reason` says why."""
        fit = self.fit
        if fit is None or fit.S1 is None or fit.S2 is None or fit.S_N is None:
            return None
        return share(fit.S1 - fit.S2, fit.S1 - fit.S_N)

    @property
    def divergence_accuracy(self) -> float | None:
        """r_D = (D1 − D2)/D1 with D_k the divergence of the data from the model of order k; r_D = r at the exact optimum."""
        fit = self.fit
        if fit is None or fit.S1 is None or fit.S_N is None or fit.cross_entropy is None:
            return None
        return share(fit.S1 - fit.cross_entropy, fit.S1 - fit.S_N)

    @property
    def reason(self) -> str | None:
        """Why something is not known, in a sentence; None if all is."""
        if self.fit is None:
            return "The model was not fitted to data."
        if self.fit.reason is None and self.accuracy is None:
            return "The regions are independent in the data: there is no dependence to explain."
        return self.fit.reason

    @property
    def method(self) -> str | None:
        """How it was fitted: exact, pseudo or sampling."""
        return self._known("method")

    @property
    def samples(self) -> int | None:
        """How many samples it was fitted to."""
        return self._known("samples")

    @property
    def status(self) -> str | None:
        """`"converged"`, or what went wrong."""
        return self._known("status")

    @property
    def h_error(self) -> np.ndarray | None:
        """Standard errors of h, from the Fisher information, for independent samples."""
        return self._known("h_error")

    @property
    def J_error(self) -> np.ndarray | None:
        """Standard errors of J, from the Fisher information, for independent samples."""
        return self._known("J_error")

    @property
    def data(self) -> Binarized | None:
        """The data that it was fitted to."""
        return self._known("data")

    def _known(self, name: str) -> Any:
        return None if self.fit is None else getattr(self.fit, name)

    def __repr__(self) -> str:
        if not (is_concrete(self.h) and is_concrete(self.J)) or self.h.ndim != 1:
            return f"IsingModel of {len(self.names)} regions"
        names = ", ".join(self.names[:6]) + (", …" if self.size > 6 else "")
        lines = [f"IsingModel of {self.size} regions: {names}"]
        pairs = np.asarray(self.J)[np.triu_indices(self.size, 1)]
        span = lambda values: f"{values.min():.4g} … {values.max():.4g}"
        lines.append(f"  h {span(np.asarray(self.h))}" + (f", J {span(pairs)}" if pairs.size else ""))
        fit = self.fit
        if fit is not None:
            penalty = f", penalty {fit.penalty:g}" if fit.penalty else ""
            lines.append(f"  fitted to {fit.samples} samples, method {fit.method}{penalty}: {fit.status}")
            if fit.S1 is not None and fit.S2 is not None and fit.S_N is not None:
                lines.append(f"  entropies S1 {fit.S1:.4f}, S2 {fit.S2:.4f}, S_N {fit.S_N:.4f} bits")
            if self.accuracy is not None:
                lines.append(f"  accuracy r {self.accuracy:.4f}, r_D {self.divergence_accuracy:.4f}")
            lines += [f"  {each}" for each in (fit.note, self.reason) if each]
        return "\n".join(lines)


class IsingModels(eqx.Module, Shown):
    """Models of the same regions fitted to m pieces of data; made by `fit_ising_many`. `models[k]` is an `IsingModel`.

    - `h`, `h_error` (m, N), `J`, `J_error` (m, N, N): NaN if no estimate exists
    - `status` (m,): 0 if converged; `status_text`: the same in words
    - `S1`, `S2`, `S_N`: entropies in bits, `cross_entropy` in bits per sample, `accuracy`, `divergence_accuracy` (m,); NaN
      if not known
    - `samples`, `steps` (m,): samples of the data and steps of Newton's method; `penalty`: λ of the fits
    - `names`: of the N regions; `data`: what was fitted, m pieces
    """

    h: np.ndarray
    J: np.ndarray
    h_error: np.ndarray
    J_error: np.ndarray
    status: np.ndarray
    S1: np.ndarray
    S2: np.ndarray
    S_N: np.ndarray
    cross_entropy: np.ndarray
    samples: np.ndarray
    steps: np.ndarray
    penalty: float = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    data: tuple[Binarized, ...] = eqx.field(static=True)
    status_text: tuple[str, ...] = eqx.field(static=True)

    @property
    def accuracy(self) -> np.ndarray:
        """r of each model."""
        return self._share(self.S2)

    @property
    def divergence_accuracy(self) -> np.ndarray:
        """r_D of each model."""
        return self._share(self.cross_entropy)

    def _share(self, model: np.ndarray) -> np.ndarray:
        found = [share(a, b) for a, b in zip(self.S1 - model, self.S1 - self.S_N, strict=True)]
        return np.asarray([np.nan if each is None else each for each in found])

    def __len__(self) -> int:
        return self.h.shape[0]

    def __iter__(self) -> Iterator[IsingModel]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, k: int) -> IsingModel:
        if not -len(self) <= k < len(self):
            raise IndexError(f"There are {len(self)} models, but number {k} was asked for.")
        require("k", k, f"be a model that exists, but {self.status_text[k]}", bool(np.isfinite(self.h[k]).all()))
        known: dict[str, Any] = {each: float(getattr(self, each)[k]) for each in ("S1", "S2", "S_N", "cross_entropy")}
        fit = IsingFit(
            method="exact",
            penalty=self.penalty,
            samples=int(self.samples[k]),
            status=self.status_text[k],
            steps=int(self.steps[k]),
            h_error=self.h_error[k],
            J_error=self.J_error[k],
            data=self.data[k],
            **known,
        )
        return IsingModel(self.h[k], self.J[k], self.names, fit)

    def __repr__(self) -> str:
        bad = int(np.sum(self.status != 0))
        text = f"IsingModels: {len(self)} models of {len(self.names)} regions"
        return text + (f", {bad} of them without an estimate" if bad else "")


def share(part: float, whole: float) -> float | None:
    """part/whole, or None if the whole is nothing but rounding."""
    return float(part / whole) if whole > 1e-12 else None


@jitted
def _exponents(theta: Values, size: int) -> Values:
    return exponents(theta, size)
