"""Claims (i) and (j): spike amplitudes within bursts, and whole burst cycles, predicted from energy and slow variables."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import plot
from .._labelled import xarray
from .._optional import optional
from ..bursting.bursts import find_bursts
from ..bursting.prediction import burst_cycle, predict_burst
from ..models.adaptation import SpikeFrequencyAdaptation, SynapticDepression
from ..models.mpr import MPR
from ..solvers.simulation import simulate
from .claim import Evidence, Row, at_most, close_to

_J = 15 * np.sqrt(2.0)
# The published sets of Gast, Schmidt & Knösche (2020): name, term, α, η, and period and spikes per burst by simulation.
_SETS = (
    ("depression, η = −5.5", SynapticDepression, 0.05, -5.5, 57.36, 7),
    ("depression, η = −4.6", SynapticDepression, 0.05, -4.6, 39.18, 6),
    ("adaptation, η = 1.3", SpikeFrequencyAdaptation, 1.0, 1.3, 47.33, 16),
)


def _runs(quick: bool) -> list[tuple[str, MPR, float, int, Any, Any]]:
    """Every set with a run of some periods after settling, and its bursts."""
    made = []
    for name, term, alpha, eta, period, count in _SETS:
        model = MPR(eta=eta, J=_J, Delta=2.0, adaptation=term(alpha=alpha, tau=10.0))
        settled = simulate(model, {"r": 0.2, "v": -1.0}, [0.0, 4.4 * period], rtol=1e-10, atol=1e-12).y_end
        ts = jnp.linspace(0.0, (2.5 if quick else 4.5) * period, 6001)
        run = simulate(model, settled, ts, rtol=1e-10, atol=1e-12)
        made.append((name, model, period, count, run, find_bursts(run)))
    return made


def _percent(dataset: Any, kind: str) -> np.ndarray:
    """Absolute errors in percent of complete bursts, (bursts, spikes)."""
    return 100 * np.abs(dataset[f"error_{kind}"].values[dataset["complete"].values])


def amplitudes(quick: bool) -> Evidence:
    """(i) Energy and slow variables predict every spike's amplitude within a burst."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    runs = _runs(quick)
    figure = pyplot.figure(figsize=(15.0, 7.5), layout="constrained")
    rows, parts = [], []
    for panel, (name, model, _, _, run, bursts) in zip(figure.subfigures(1, len(runs)), runs, strict=True):
        predicted = predict_burst(model, bursts)
        single, sequence, naive = (_percent(predicted, kind) for kind in ("from_trough", "from_first", "undamped"))
        rows += [
            at_most(f"{name}: median error of a spike's peak from its trough (%)", np.nanmedian(single), 0.2),
            at_most(f"{name}: error of the first spike's peak from the onset (%)", np.nanmax(single[:, 0]), 2.0),
            at_most(f"{name}: median error of a burst's peaks from its first (%)", np.nanmedian(sequence[:, 1:]), 2.0),
            Row(f"{name}: the same without damping (%)", "(naive)", float(np.nanmedian(naive)), True),
        ]
        parts.append(predicted.expand_dims(set=[name]))
        plot.bursts(run, predicted, axes=panel.subplots(3, 1))
        panel.suptitle(name)
    data = xr.concat(parts, dim="set", combine_attrs="drop_conflicts", join="outer")
    return Evidence(rows, data, figure)


def cycles(quick: bool) -> Evidence:
    """(j) Period and spikes of a burst cycle follow from the parameters alone."""
    pyplot, xr = optional("matplotlib.pyplot", "plot"), xarray()
    rows, parts = [], []
    figure, axes = pyplot.subplots(1, len(_SETS), figsize=(14.0, 4.2), layout="constrained", sharey=False)
    for each, (name, model, golden, count, run, bursts) in zip(axes, _runs(quick), strict=True):
        whole = np.flatnonzero(bursts["complete"].values & np.isfinite(bursts["period"].values))
        period, found = float(bursts["period"].values[whole[-1]]), int(bursts["n_spikes"].values[whole[-1]])
        cycle = burst_cycle(model)
        spikes, ahead = cycle.spikes, int(cycle.n_spikes)
        rows += [
            close_to(f"{name}: period, simulated", period, golden, 1e-3 * golden),
            at_most(f"{name}: error of the predicted period (%)", 100 * (float(cycle.period) / period - 1), 5.0),
            Row(f"{name}: spikes per burst, predicted", str(count), float(ahead), ahead == count == found),
            at_most(f"{name}: error of the predicted duration (%)",
                    100 * (float(cycle.duration) / float(bursts["duration"].values[whole[-1]]) - 1), 5.0),
        ]  # fmt: skip
        start = float(bursts["onset_time"].values[whole[-1]])
        each.plot(run.ts - start, run.ys.r, color="#1f5fa8", linewidth=0.9, label="simulated")
        for shift, label in ((0.0, "predicted cycle"), (float(cycle.period), None)):
            shown = slice(0, ahead)
            each.plot(spikes.time[shown] + shift, spikes.peak[shown], "^", color="#d1651a", mfc="none", label=label)
        each.set(xlim=(-0.1 * period, 1.25 * period), xlabel="time since onset (unit of τ)", ylabel="firing rate r (1/time)")
        each.set_title(f"{name}\nperiod {period:.2f}, predicted {float(cycle.period):.2f}", fontsize=10)
        each.legend(frameon=False, fontsize=8)
        parts.append(
            xr.Dataset(
                {
                    "period": ((), period, {"units": "time"}),
                    "period_predicted": ((), float(cycle.period), {"units": "time"}),
                    "n_spikes": ((), found, {"units": "1"}),
                    "n_spikes_predicted": ((), ahead, {"units": "1"}),
                    "peak": ("spike", bursts["peak"].values[whole[-1]][:count], {"units": "1/time"}),
                    "peak_predicted": ("spike", np.asarray(spikes.peak)[:count], {"units": "1/time"}),
                },
                coords={"spike": np.arange(1, count + 1)},
            ).expand_dims(set=[name])
        )
    return Evidence(rows, xr.concat(parts, dim="set", join="outer"), figure)
