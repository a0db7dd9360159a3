"""Picture of characteristic roots in the complex plane."""

from typing import Any

import numpy as np

from .._checks import require
from ..branches.characteristic import CharacteristicRoots
from .common import BLUE, GREY, ORANGE, finish, new_axes


def characteristic_roots(result: CharacteristicRoots, axes: Any = None) -> Any:
    """Characteristic roots in the complex plane: growth rates across, angular frequencies up.

    - `result`: of `characteristic_roots`
    - `axes`: matplotlib axes to draw on; new ones by default

    Roots that decay are blue, those that grow orange and ringed; the grey half-plane left of the line was not searched. The
    title says how many there are, and whether none is missing. Returns the axes. Raises `ValueError` without roots.
    """
    roots: Any = np.asarray(result.roots)
    require("result", "no root", "have roots (choose `right_of` further left)", roots.size > 0)
    axes = new_axes(axes, 1, (5.6, 4.2))
    line = float(result.right_of)
    grows = roots.real > 0
    left = line if np.isfinite(line) else float(roots.real.min())
    width = max(float(roots.real.max()), 0.0) - left
    width = width if width > 0 else 1.0
    axes.set_xlim(left - (0.15 if np.isfinite(line) else 0.05) * width, max(float(roots.real.max()), 0.0) + 0.08 * width)
    if np.isfinite(line):
        axes.axvspan(axes.get_xlim()[0], line, color=GREY, alpha=0.25, linewidth=0, label="not searched")
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.axhline(0.0, color="black", linewidth=0.8)
    for some, colour, name, size in ((~grows, BLUE, "decays", 5), (grows, ORANGE, "grows", 7)):
        if some.any():
            shown = {"color": colour, "markeredgecolor": "black", "markeredgewidth": 0.6, "linestyle": "none", "zorder": 3}
            axes.plot(roots[some].real, roots[some].imag, "o", markersize=size, label=name, **shown)
    known = "none missing" if result.complete else "some may be missing"
    axes.set(
        xlabel="growth rate Re λ (1/time)",
        ylabel="angular frequency Im λ (1/time)",
        title=f"{roots.size} characteristic root{'s' * (roots.size != 1)}, {known}",
    )
    high = float(np.abs(roots.imag).max())
    axes.set_ylim(*(np.array([-1.15, 1.15]) * (high if high > 0 else 1.0)))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return finish(axes)
