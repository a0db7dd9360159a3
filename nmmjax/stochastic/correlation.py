"""Layer 4: the long-run covariance of several statistics of one recording, positive whatever the recording."""

from typing import Any

import numpy as np

_WIDTHS = 10  # of the window, in units of the longest correlation time


def long_run_covariance(z: Any, known: Any) -> tuple[Any, Any, int]:
    """(C, times, window): Σ over lags k of Parzen's weights times the covariance of z_t and z_{t+k}; C/n is that of means.

    `z` (n, d) in order of time, `known` (n,) where there are data. `times` (d,) are 1 + 2 Σ of the autocorrelations by
    Sokal's window. The window of C is ten times the longest, at most n/2; its bias is then about −3 %. Never negative.
    Source: Parzen, Ann. Math. Stat. 32:951 (1961); Sokal, in: Functional Integration (1997).
    """
    count = int(known.sum())
    centred = np.where(known[:, None], z - z[known].mean(axis=0), 0.0).T
    n = centred.shape[1]
    size = 1 << int(np.ceil(np.log2(2 * n)))
    spectrum = np.fft.rfft(centred, size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, size)[:, :n]
    # Where values are missing, pairs are too.
    times = np.array([_time(each / each[0]) if each[0] > 0 else 1.0 for each in correlation])
    window = int(min(_WIDTHS * times.max(), max(count / 2, 1)))
    lags = np.arange(window + 1)
    share = lags / max(window, 1)
    weights = np.where(share < 0.5, 1 - 6 * share**2 + 6 * share**3, 2 * (1 - share) ** 3)
    kernel = np.zeros(size)
    kernel[: lags.size] = weights
    kernel[size - window :] = weights[:0:-1]
    smooth = np.fft.irfft(spectrum * np.fft.rfft(kernel).real, size)[:, :n]
    matrix = centred @ smooth.T / count
    return (matrix + matrix.T) / 2, times, window


def _time(correlation: Any) -> float:
    total = 2 * np.cumsum(correlation) - 1
    return float(max(total[np.argmax(np.arange(total.size) >= 5 * total)], 1.0))
