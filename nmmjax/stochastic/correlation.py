"""The long-run covariance of several statistics of one recording, positive whatever the recording."""

from typing import Any

import numpy as np

_WIDTHS = 10  # of the window, in units of the longest correlation time
_BLOCK = 512  # lags looked at first: transforms of few samples stay in the cache
_MORE = 8  # times as many, if these do not do


def long_run_covariance(z: Any, known: Any) -> tuple[Any, Any, int]:
    """(C, times, window): Σ over lags k of Parzen's weights times the covariance of z_t and z_{t+k}; C/n is that of means.

    `z` (n, d) in order of time, `known` (n,) where there are data. `times` (d,) are 1 + 2 Σ of the autocorrelations by
    Sokal's window. The window of C is ten times the longest, at most n/2; its bias is then about −3 %. Never negative.
    Source: Parzen, Ann. Math. Stat. 32:951 (1961); Sokal, in: Functional Integration (1997).
    """
    count = int(known.sum())
    centred = np.where(known[:, None], z - z[known].mean(axis=0), 0.0).T
    longest, block = max(count // 2, 1), _BLOCK
    while True:
        first, second = _spectra(centred, block)
        correlation = np.fft.irfft(np.sum(first.conj() * second, axis=1), 2 * block)[:, :block]
        # If values are missing, pairs are too.
        found = [_time(each / each[0]) if each[0] > 0 else (1.0, True) for each in correlation]
        times = np.array([value for value, _ in found])
        window = int(min(_WIDTHS * times.max(), longest))
        settled = all(closed for _, closed in found)
        if block > longest or (settled and window < block):
            break
        block = min(max(_MORE * block, 1 << window.bit_length()), 1 << longest.bit_length())
    share = np.arange(window + 1) / max(window, 1)
    kernel = np.zeros(2 * block)
    kernel[: share.size] = np.where(share < 0.5, 1 - 6 * share**2 + 6 * share**3, 2 * (1 - share) ** 3)
    kernel[0] = 0.5  # half of lag 0 belongs to either direction
    # Σ_k w_k Σ_t z_t z_{t+k}, by Parseval's theorem; but for the first and the last, each frequency stands for two.
    weights = np.fft.rfft(kernel).conj()
    weights[1:-1] *= 2
    flat = lambda spectrum: spectrum.reshape(spectrum.shape[0], -1)
    forwards = (flat(first.conj()) @ flat(second * weights).T).real / (2 * block * count)
    return forwards + forwards.T, times, window


def _spectra(x: Any, block: int) -> tuple[Any, Any]:
    """Transforms (d, blocks, block + 1) of pieces of `block` samples of x (d, n), and of each with the next one."""
    d, n = x.shape
    number = -(-n // block)
    pieces = np.zeros((d, number, block))
    pieces.reshape(d, -1)[:, :n] = x
    alone = np.fft.rfft(pieces, 2 * block)
    with_next = alone.copy()
    # Half of the length later is a change of sign of every second frequency.
    with_next[:, :-1, ::2] += alone[:, 1:, ::2]
    with_next[:, :-1, 1::2] -= alone[:, 1:, 1::2]
    return alone, with_next


def _time(correlation: Any) -> tuple[float, bool]:
    """(1 + 2 Σ up to five times itself, True), or the largest sum, False, if that lies beyond these lags."""
    total = 2 * np.cumsum(correlation) - 1
    inside = np.arange(total.size) >= 5 * total
    last = total[np.argmax(inside)] if inside.any() else total.max()
    return float(max(last, 1.0)), bool(inside.any())
