"""A mean field beside the spiking neurons that it describes."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._checks import as_count, require
from .._labelled import attributes_of, software, xarray
from .._nan import nan_is_absent
from .._parameter import describe
from .._results import Shown
from .._types import Key, Real, Values
from ..models.base import AbstractModel, takes_model
from ..models.noise import CauchyNoise
from ..models.qif_network import QIFNetwork
from ..models.state import StateLike
from ..models.stimulus import AbstractStimulus
from ..solvers.simulation import simulate
from ..solvers.trajectory import Trajectory

_CLOSE, _FAR = 0.5, 3.0  # of the deviation to be expected


class NeuronComparison(eqx.Module, Shown):
    """A mean field and networks of neurons from the same state, under the same input.

    - `mean_field`: the mean field's run; `neurons`: runs of the networks, one per size, as a tuple
    - `sizes` (k,): neurons per population
    - `deviation` (k,): root mean square of r_N − r over the saved times (and nodes), in 1/time; `voltage_deviation` (k,):
      of v_N − v. With a `heterogeneity` of several poles r and v are those that the neurons' order parameter shows in the
      mean field (`MPR.as_read`), within a percent of its own
    - `expected` (k,), `expected_voltage` (k,): what N neurons with random phases deviate on average when r and v are read
      from them, √⟨r² |1 + W|²/(2π τ r N)⟩ with W = π τ r + i v: even a perfect mean field can't be seen more sharply in N
      such neurons. Quantiles start below it; coupling and oscillations whose phase wanders can lie above
    - `exponent`: slope of ln deviation over ln N, NaN for one size: −½ for random neurons, about −0.8 for quantiles

    Print it for a verdict, `nmm.plot.neurons(result)` for a picture.
    """

    mean_field: Trajectory
    neurons: tuple[Trajectory, ...]
    sizes: Any
    deviation: Values
    voltage_deviation: Values
    expected: Values
    expected_voltage: Values
    exponent: Any

    @property
    def ratio(self) -> Values:
        """Deviation of the rate over that to be expected, (k,)."""
        return self.deviation / self.expected

    @property
    def verdict(self) -> str:
        """What the largest network says, in one sentence."""
        size, ratio = int(self.sizes[-1]), float(self.ratio[-1])
        words = f"{ratio:.2g} times what {size} neurons with random phases show"
        if not np.isfinite(ratio):
            return "One of the runs failed: nothing can be said."
        if ratio < _CLOSE:
            return f"The mean field describes {size} neurons: they deviate by {words}."
        if ratio <= _FAR:
            return f"The mean field describes {size} neurons to within their finite size: they deviate by {words}."
        return (
            f"{size} neurons deviate by {words}: more than their finite number explains where nothing amplifies it. Near a "
            "threshold or on a cycle whose phase wanders more neurons help; else the mean field is not exact for them."
        )

    def to_xarray(self) -> Any:
        """The runs as an `xarray.Dataset` (extra `data`): mean field and networks over `t`, by `size`; deviations."""
        run, labels = self.mean_field, self.mean_field.model.labels
        dims = ("t",) if labels is None else ("t", "node")
        data: dict[str, Any] = {}
        for name, each in self.neurons[0].model.variables.items():
            about = {"units": each.unit, "long_name": each.doc}
            data[name] = (dims, np.asarray(getattr(run.ys, name)), about)
            spiking = np.stack([np.asarray(getattr(one.ys, name)) for one in self.neurons])
            data[f"{name}_neurons"] = (("size", *dims), spiking, about | {"long_name": f"{each.doc}, neurons"})
        for name, unit in (
            ("deviation", "1/time"),
            ("expected", "1/time"),
            ("voltage_deviation", "1"),
            ("expected_voltage", "1"),
        ):
            about = {"units": unit, "long_name": name.replace("_", " ")}
            data[name] = (("size",), np.asarray(getattr(self, name)), about)
        coords: dict[str, Any] = {"t": ("t", np.asarray(run.ts), {"units": "time (that of tau)", "long_name": "time"})}
        coords["size"] = ("size", np.asarray(self.sizes), {"units": "1", "long_name": "neurons per population"})
        if labels is not None:
            coords["node"] = ("node", labels)
        return xarray().Dataset(data, coords=coords, attrs={**attributes_of(run.model, "model"), **software()})

    def __str__(self) -> str:
        ts = self.mean_field.ts
        lines = [
            "NeuronComparison",
            f"  model     {describe(self.mean_field.model)}",
            f"  times     {len(ts)}, t = {float(ts[0]):g} to {float(ts[-1]):g}",
            f"  {'neurons':>10}{'rms r_N − r':>14}{'expected':>12}{'rms v_N − v':>14}{'expected':>12}",
        ]
        rows = zip(self.sizes, self.deviation, self.expected, self.voltage_deviation, self.expected_voltage, strict=True)
        for size, r, expected_r, v, expected_v in rows:
            lines.append(
                f"  {int(size):>10}{float(r):>14.2e}{float(expected_r):>12.2e}{float(v):>14.2e}{float(expected_v):>12.2e}"
            )
        if np.isfinite(self.exponent):
            lines.append(f"  exponent  deviation ∝ N^{float(self.exponent):.2f}")
        return "\n".join([*lines, f"  {self.verdict}"])


@nan_is_absent
@takes_model
def compare_with_neurons(
    model: AbstractModel,
    *,
    y0: StateLike,
    ts: Any,
    size: Any = None,
    stimulus: AbstractStimulus | None = None,
    noise: Any = None,
    key: Key | None = None,
    dt0: Real | None = None,
    progress: bool = False,
) -> NeuronComparison:
    """Run a mean field and the spiking neurons that it describes side by side, and say how far apart they are.

    Use it before a claim about neurons is made from a mean field, and to choose N. Deviations are root mean squares over the
    saved times; beside each stands what N neurons with random phases show in any case, so that a deviation can be judged.

    - `model`: a population or network whose neurons are QIF neurons (`MPR(...)`, circuits), or a `QIFNetwork` whose options
      are then kept
    - `y0`, `ts`, `stimulus`: the state, the times in the unit of τ and the input in units of η, as in `simulate`
    - `size`: number of neurons per population, or several, such as (1000, 10_000), for convergence; 10 000 by default, or
      that of the `QIFNetwork`
    - `noise`, `key`: None, or `CauchyNoise(Γ)` of every neuron with a random key: its mean field is exact
    - `dt0`: the largest step of the neurons; by default as in `simulate`
    - `progress`: whether to show a line of progress of each run

    Returns a `NeuronComparison`. Raises `ValueError` for wrong sizes, models without such neurons and noise that no mean
    field takes exactly. Source: docs/theory.md §A4, §A5.
    """
    spiking: Any = model if isinstance(model, AbstractModel) and "spikes" in model.offers else None
    mean: Any = model if spiking is None else spiking.model
    exact = noise is None or isinstance(noise, CauchyNoise)
    require("noise", repr(noise), "be None or `CauchyNoise`, whose mean field is exact", exact)
    if size is None:
        size = 10_000 if spiking is None else spiking.count
    several = isinstance(size, (tuple, list)) or np.ndim(size) > 0
    sizes = sorted({as_count("size", each) for each in (size if several else (size,))})
    require("size", size, "be a number of neurons, or several", len(sizes) > 0)
    run = simulate(mean, y0, ts, stimulus=stimulus, noise=noise, progress=progress)
    options: dict[str, Any] = {}
    if spiking is not None:
        options = {name: getattr(spiking, name) for name in ("own_spikes", "offset", "key", "reading", "watched")}
    common = {"stimulus": stimulus, "dt0": dt0, "progress": progress} | (
        {} if noise is None else {"noise": noise, "key": key}
    )
    runs = tuple(simulate(QIFNetwork(mean, each, **options), y0, ts, **common) for each in sizes)
    seen = mean.as_read(run.ys)  # with several poles an order parameter reads something else than r and v
    deviation = jnp.stack([_rms(each.ys.r - seen.r) for each in runs])
    voltage = jnp.stack([_rms(each.ys.v - seen.v) for each in runs])
    R = jnp.broadcast_to(mean.tau, run.ys.r.shape) * run.ys.r
    scatter = ((1 + jnp.pi * R) ** 2 + run.ys.v**2) / (2 * jnp.pi * R)  # N var(W)/(π R)²
    count = jnp.asarray(np.asarray(sizes, float), deviation.dtype)
    slope = np.polyfit(np.log(sizes), np.log(np.asarray(deviation)), 1)[0] if len(sizes) > 1 else np.nan
    return NeuronComparison(
        mean_field=run,
        neurons=runs,
        sizes=np.asarray(sizes),
        deviation=deviation,
        voltage_deviation=voltage,
        expected=jnp.sqrt(jnp.mean(run.ys.r**2 * scatter) / count),
        expected_voltage=jnp.sqrt(jnp.mean((jnp.pi * R) ** 2 * scatter) / count),
        exponent=float(slope),
    )


def _rms(x: Values) -> Values:
    return jnp.sqrt(jnp.mean(x**2))
