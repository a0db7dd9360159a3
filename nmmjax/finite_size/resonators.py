"""Gaussian noise of a given spectrum as the output of a few damped resonators that one white noise drives (NumPy).

The causal filter H with |H|² = S and no zero to the right (its phase is the Hilbert transform of ½ ln S) is approximated by
a rational function, H ≈ H(∞) + Σ_k g_k/(iω − a_k), by vector fitting: least squares for the residues of σH and of σ over the
same poles, whose next guess are the zeros of σ. Source: Gustavsen & Semlyen, IEEE Trans. Power Delivery 14:1052 (1999).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_GRID, _TOP = 2**14, 16.0  # of Fourier transforms, and their highest frequency in units of the neurons' own
_FLOOR = 1e-4  # of spectra over their limit: what vanishes has no logarithm
_FITTED = (0.02, 8.0)
_STEPS = 12
_COUNTS = (12, 20)  # pairs of poles
_ENOUGH = 0.01


class Filter(NamedTuple):
    """`direct` + Σ_k Re g_k x_k, ẋ_k = a_k x_k + w, w white of spectrum 1: `poles` a and `gains` g, complex (k,); `misfit`
    is the rms deviation of the spectrum from what was asked for, over its limit at high frequencies."""

    direct: float
    poles: np.ndarray
    gains: np.ndarray
    misfit: float


def filter_of(spectrum: Callable[[np.ndarray], np.ndarray], level: float, own: float, passed: Callable | None) -> Filter:
    """The filter of a `spectrum` (two-sided in f) that is flat, `level`, far above the frequency `own`. `passed(f)`: what a
    linear system behind it makes of it, complex; None for nothing."""
    f = np.linspace(0.0, _TOP * own, _GRID // 2 + 1)
    shape = np.maximum(spectrum(f) / level, _FLOOR)
    H = _minimum_phase(shape)
    some = (f > _FITTED[0] * own) & (f < _FITTED[1] * own)
    f, shape, H = f[some][::3], shape[some][::3], H[some][::3]
    wanted, direct = (H, 1.0) if passed is None else (H * passed(f), 0.0)
    size = np.abs(wanted)
    best = None
    for count in _COUNTS:
        poles, gains = _vector_fit(2j * np.pi * f, wanted - direct, wanted, 1 / (size + 0.1 * np.max(size)), own, count)
        found = np.abs(direct + _sum(2j * np.pi * f, poles, gains)) ** 2
        misfit = float(np.sqrt(np.mean((found - size**2) ** 2)))
        if best is None or misfit < best.misfit:
            best = Filter(direct * np.sqrt(level), poles, gains * np.sqrt(level), misfit)
        if best.misfit < _ENOUGH:
            break
    assert best is not None
    return best


def _minimum_phase(shape: np.ndarray) -> np.ndarray:
    """H ≥ 0 frequencies from |H|² there, by folding the cepstrum."""
    cepstrum = np.fft.irfft(np.log(shape)).copy()
    n = cepstrum.size
    cepstrum[0] /= 2
    cepstrum[n // 2] /= 2
    cepstrum[n // 2 + 1 :] = 0
    return np.exp(np.fft.fft(cepstrum))[: n // 2 + 1]


def _vector_fit(
    s: np.ndarray, target: np.ndarray, H: np.ndarray, weight: np.ndarray, own: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Poles and gains; gains of complex poles stand for both of a pair, so that the response is the sum of real parts."""
    omega = 2 * np.pi * own * np.linspace(0.05, 3.0, count)
    poles = (-0.1 + 1j) * omega - 0.3 * own
    flat = lambda matrix: np.concatenate([matrix.real, matrix.imag])
    for _ in range(_STEPS):
        columns = _columns(s, poles)
        both = np.concatenate([columns, -H[:, None] * columns], axis=1) * weight[:, None]
        found = np.linalg.lstsq(flat(both), flat(target * weight), rcond=None)[0]
        poles = _relocated(poles, found[columns.shape[1] :])
    columns = _columns(s, poles)
    found = list(np.linalg.lstsq(flat(columns * weight[:, None]), flat(target * weight), rcond=None)[0])
    gains = [found.pop(0) if pole.imag == 0 else 2 * (found.pop(0) + 1j * found.pop(0)) for pole in poles]
    return poles, np.asarray(gains, complex)


def _columns(s: np.ndarray, poles: np.ndarray) -> np.ndarray:
    """Responses with real coefficients: 1/(s − a) of a real pole, and two of a pair."""
    found = []
    for a in poles:
        up, down = 1 / (s - a), 1 / (s - np.conj(a))
        found += [up] if a.imag == 0 else [up + down, 1j * (up - down)]
    return np.stack(found, axis=1)


def _relocated(poles: np.ndarray, residues: np.ndarray) -> np.ndarray:
    """The zeros of σ = 1 + Σ residues, mirrored to the left; one of each pair."""
    size = residues.size
    A, b, k = np.zeros((size, size)), np.zeros(size), 0
    for a in poles:
        if a.imag == 0:
            A[k, k], b[k], k = a.real, 1.0, k + 1
        else:
            A[k : k + 2, k : k + 2], b[k], k = [[a.real, a.imag], [-a.imag, a.real]], 2.0, k + 2
    zeros = np.linalg.eigvals(A - np.outer(b, residues))
    zeros = -np.abs(zeros.real) + 1j * np.where(np.abs(zeros.imag) < 1e-9 * np.abs(zeros), 0.0, zeros.imag)
    return zeros[zeros.imag >= 0]


def _sum(s: np.ndarray, poles: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Response of the real part: of a pole and its conjugate, half each."""
    return np.sum((gains / (s[:, None] - poles) + np.conj(gains) / (s[:, None] - np.conj(poles))) / 2, axis=1)


def stationary_root(poles: np.ndarray) -> np.ndarray:
    """L (2k, 2k) with L Lᵀ the stationary covariance of (Re x_1, Im x_1, Re x_2, …), since one noise drives all."""
    a, b = poles[:, None], poles[None]
    hermitian, plain = -1 / (a + np.conj(b)), -1 / (a + b)  # ⟨x x*⟩, ⟨x x⟩
    covariance = np.empty((poles.size, 2, poles.size, 2))
    covariance[:, 0, :, 0] = (hermitian + plain).real / 2
    covariance[:, 1, :, 1] = (hermitian - plain).real / 2
    covariance[:, 0, :, 1] = (plain - hermitian).imag / 2
    covariance[:, 1, :, 0] = (plain + hermitian).imag / 2
    values, vectors = np.linalg.eigh(covariance.reshape(2 * poles.size, -1))
    return vectors * np.sqrt(np.maximum(values, 0.0))
