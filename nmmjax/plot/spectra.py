"""Spectra of finite populations."""

from typing import Any

import numpy as np

from ..finite_size.power import PowerSpectrum
from .common import BLUE, GREEN, GREY, ORANGE, finish, new_axes, node_label

_SHOWN = 4  # nodes
_COLOURS = (BLUE, ORANGE, GREEN, "#7a4b94")


def power_spectrum(result: PowerSpectrum, axes: Any = None, *, nodes: Any = None) -> Any:
    """The spectrum of a finite population's rate over the frequency, with that of its neurons without coupling (dashed) and
    the flat one of Poisson trains of the same rate (dotted).

    - `result`: a `PowerSpectrum`
    - `axes`: matplotlib axes to draw on; new ones by default
    - `nodes`: of a network, the numbers of those to draw; by default the first four

    Returns the axes.
    """
    axes = new_axes(axes, 1, (5.5, 3.4))
    f = np.asarray(result.frequencies)
    coupled, bare = (np.asarray(each).reshape(f.size, -1) for each in (result.spectrum, result.bare))
    flat = np.ravel(result.poisson)
    chosen = np.arange(min(flat.size, _SHOWN)) if nodes is None else np.atleast_1d(nodes)
    for k, node in enumerate(chosen):
        colour = BLUE if flat.size == 1 else _COLOURS[k % len(_COLOURS)]
        axes.plot(f, coupled[:, node], color=colour, label="rate of the population" if flat.size == 1 else None)
        axes.plot(f, bare[:, node], color=GREY if flat.size == 1 else colour, linestyle="--", linewidth=1.0)
        axes.axhline(flat[node], color=GREY if flat.size == 1 else colour, linestyle=":", linewidth=1.0)
        if flat.size > 1:
            axes.lines[-3].set_label(node_label(result.model.labels, int(node)))
    axes.plot([], [], color=GREY, linestyle="--", linewidth=1.0, label="its neurons without coupling")
    axes.plot([], [], color=GREY, linestyle=":", linewidth=1.0, label="Poisson trains, r/N")
    shown = np.concatenate([coupled[f > 0], bare[f > 0], flat[None]])
    top = float(np.nanmax(shown)) if np.any(np.isfinite(shown)) else 1.0
    axes.set(
        xlabel="frequency (cycles/time)", ylabel="power spectrum of the rate\n(1/time)", yscale="log", xlim=(0.0, f[-1]),
        ylim=(max(float(np.nanmin(np.where(shown > 0, shown, np.nan))), 1e-4 * top) / 1.5, 2 * top),
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=8)
    return finish(axes)
