"""Picture of a burst atlas."""

from typing import Any

import numpy as np

from .._checks import require
from .common import is_geometric, label_of, pyplot

_SHADED = {"bursting": "Blues", "rest_or_bursting": "Oranges"}


_PLAIN = {"undecided": "white", "rest": "0.88", "tonic": "#9fd0ab", "rest_or_tonic": "#d8d38a"}


def atlas(dataset: Any, axes: Any = None) -> Any:
    """Firing patterns over two parameters; the more spikes per burst, the darker.

    - `dataset`: a result of `burst_atlas`
    - `axes`: matplotlib axes to draw on; new ones by default

    Colours: blue for bursting, orange for bursting or rest, grey for rest, green for tonic firing. Returns the axes.
    Raises `ValueError` for anything but an atlas over two parameters.
    """
    is_atlas = {"pattern", "spikes_per_burst"} <= set(getattr(dataset, "data_vars", ()))
    require("dataset", type(dataset).__name__, "be the result of `burst_atlas`", is_atlas)
    dims = dataset["pattern"].dims
    require("dataset", dims, "have two dimensions (choose by `isel`)", len(dims) == 2)
    axes = pyplot().subplots(figsize=(7.4, 4.8), layout="constrained")[1] if axes is None else axes
    dataset = dataset.sortby(list(dims))
    x, y = (dataset[dim] for dim in dims)
    names = dataset["pattern"].attrs["flag_meanings"]
    pattern = np.asarray(dataset["pattern"]) - int(dataset["pattern"].attrs["flag_values"][0])
    spikes = np.round(np.asarray(dataset["spikes_per_burst"]))
    bursts = np.isin(pattern, [names.index(name) for name in _SHADED])
    low, high = (f(spikes[bursts]) if bursts.any() else 1.0 for f in (np.min, np.max))
    options = {"shading": "nearest", "rasterized": True}
    shown, bars = [], []
    for name in names:
        here = np.ma.masked_where(pattern != names.index(name), spikes)
        if here.mask.all():
            continue
        if name in _SHADED:  # the lighter half of the colour map is left to the eye
            limits = {"vmin": low - 0.7 * (high - low) - 2, "vmax": high + 0.3 * (high - low) + 1}
            mesh = axes.pcolormesh(x, y, here.T, cmap=_SHADED[name], **limits, **options)
            bars.append(mesh)
            color = mesh.cmap(mesh.norm((low + high) / 2))
        else:
            color = _PLAIN[name]
            flat = np.ma.masked_array(np.zeros(here.shape), here.mask)
            axes.pcolormesh(x, y, flat.T, cmap=pyplot().matplotlib.colors.ListedColormap([color]), **options)
        shown.append(axes.scatter([], [], marker="s", s=80, color=[color], label=name.replace("_", " ")))
    step = max(1, int(np.ceil((high - low + 1) / 12)))
    for k, mesh in enumerate(bars):  # the first one comes to lie outside
        bar = axes.figure.colorbar(mesh, ax=axes, boundaries=np.arange(low - 0.5, high + 1), pad=0.02, aspect=30)
        bar.set_ticks([] if k else np.arange(low, high + 1, step))
        bar.ax.tick_params(length=0, which="both")
        bar.set_label("" if k else "spikes per burst")
    for scale, values in ((axes.set_xscale, x), (axes.set_yscale, y)):
        scale("log" if is_geometric(np.asarray(values)) else "linear")
    axes.set_xlabel(label_of(x))
    axes.set_ylabel(label_of(y))
    axes.legend(handles=shown, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=8)
    return axes
