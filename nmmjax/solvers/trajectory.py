"""The result of one simulation: what was computed, how it ended and what it cost."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import lie_within, require
from .._labelled import about_variables, attributes_of, software, xarray
from .._parameter import describe
from .._results import RESULTS, Shown
from .._types import Real, Scalar, Values, float_dtype, is_concrete
from ..mechanics.energy import hamiltonian, kinetic_energy, potential_energy
from ..models.stimulus import AbstractStimulus, input_at
from .clock import Clock


class Trajectory(eqx.Module, Shown):
    """States of a model at the requested times.

    - `model`, `stimulus`: what was run; the stimulus is None without one
    - `ts`: times as given, shape `(n,)`, in NumPy's float64 if the run's dtype would blur their differences; `elapsed`:
      the same counted from the first, which is the solver's clock; `start`: the first time, as a sum of two numbers
      (2,), or None
    - `ys`: the model's state with arrays of shape `(n,)`, or `(n, nodes)` for a network, NaN at times that were not
      reached
    - `result`: a `RESULTS` code, with an empty message if successful; `reached`: how many of `ts` have finite states
    - `t_end`, `y_end`: the last time and state, also if an event or a failure stopped the run early; `event_mask`: which
      event stopped it, as diffrax says it, None without events
    - `stats`: numbers of steps; `wall_time`: seconds, with compilation if this was the first run of its kind, or NaN;
      `method`: the solver in words
    - `noise`: the random input's law, None without; `fluctuation`: coloured noise's path x at `ts`, of the shape of v, or
      the resonators of shot noise, (…, k, 2); `fluctuation_end`: its last value, with which `simulate(model, run, …)` goes
      on
    - `neurons`: spike counts, raster and last voltages (`NeuronSpikes`) of a run of a `QIFNetwork`, None of other models
    - `monitors`: what monitors recorded, by name (`Monitored`), and their statistics (`Measured`); None without
    - `history`: what nodes with delays sent before the end (`History`), with which a run goes on; None without delays
    - `interpolation`: the solution at any time, if `dense=True` (call `run.evaluate(t)`)

    Print it for a summary. A pytree: `jax.vmap`, `jax.grad` and `jax.jit` over `simulate` work.
    """

    model: Any
    stimulus: AbstractStimulus | None
    ts: Any
    ys: Any
    result: RESULTS
    t_end: Any
    y_end: Any
    stats: dict[str, Any]
    wall_time: Scalar
    interpolation: Any
    event_mask: Any
    method: str = eqx.field(static=True)
    noise: Any = None
    fluctuation: Any = None
    elapsed: Any = None
    start: Any = None
    neurons: Any = None
    monitors: Any = None
    history: Any = None

    @property
    def clock(self) -> Clock:
        """The run's clock, which counts from its first time."""
        return Clock(self.ts, self.elapsed, self.start)

    @property
    def stimulus_since_start(self) -> AbstractStimulus | None:
        """The stimulus on the run's clock; as it is for a model with a clock of its own."""
        if self.stimulus is None or self.start is None or self.model.own_clock:
            return self.stimulus
        return self.stimulus.since(self.start)

    @property
    def fluctuation_end(self) -> Any:
        """Coloured noise's last value, of the shape of v; None without."""
        return None if self.fluctuation is None else jnp.take(self.fluctuation, -1, axis=self.ts.ndim - 1)

    @property
    def reached(self) -> Any:
        """How many of the requested times were computed, with finite states; one number per run of a batch."""
        finite = jnp.all(jnp.stack([jnp.isfinite(leaf) for leaf in jax.tree.leaves(self.ys)]), axis=0)
        return jnp.sum(jnp.all(finite, axis=tuple(range(self.ts.ndim, finite.ndim))), axis=-1)

    @property
    def input(self) -> Values:
        """The stimulus I(t) at `ts`; zeros without one. Its shape is the state's: `(n,)`, or `(n, nodes)` for a network."""
        self.require_single("read the input")
        times = self.model.physical_time(self.elapsed, self.ys)
        current = jax.vmap(lambda t: input_at(self.stimulus_since_start, t))(times)
        missing = jax.tree.leaves(self.ys)[0].ndim - current.ndim
        return jnp.broadcast_to(current.reshape(current.shape + (1,) * missing), jax.tree.leaves(self.ys)[0].shape)

    def require_single(self, purpose: str) -> None:
        """Refuse, in one sentence that ends in `purpose`, a batch of runs made by `jax.vmap`, for functions of one run, and
        a run in float64 if x64 is off: JAX would go on in float32, for which its numbers are not made.
        """
        double = any(getattr(leaf, "dtype", None) == np.float64 for leaf in jax.tree.leaves(self.ys))
        if double and float_dtype() != np.float64:
            raise ValueError(
                f"Argument `run` must be used with x64 enabled, as it was made, to {purpose} "
                '(`jax.config.update("jax_enable_x64", True)`), but got a run in float64 while x64 is off.'
            )
        if self.ts.ndim != 1:
            raise ValueError(
                f"Argument `run` must be a single run to {purpose}, but got a batch of shape {self.ts.shape[:-1]}."
            )

    def evaluate(self, t: Real) -> Any:
        """State at any time(s) `t` between the first and the last, in the unit of τ; needs `simulate(..., dense=True)`."""
        if self.interpolation is None:
            raise ValueError("Argument `dense` must be True in `simulate` to evaluate between saved times, but got False.")
        self.require_single("evaluate it")
        given, t = t, self.clock.since_start(t)
        if is_concrete(t) and is_concrete(self.elapsed):
            rule = f"lie within the run's times [{self.ts[0]:g}, {self.ts[-1]:g}]"
            require("t", given, rule, lie_within(t, self.elapsed[0], self.elapsed[-1]))
        t = jnp.clip(t, self.elapsed[0], self.elapsed[-1])
        inner = self.interpolation.evaluate
        return inner(t) if t.ndim == 0 else jax.vmap(inner)(t)

    def to_xarray(self) -> Any:
        """The run as an `xarray.Dataset` (extra `data`): state, input, energies over `t`; units, parameters, versions.

        A network's run has the dimension `node` besides. Values not reached are NaN, and the attribute `result` says why.
        Raises `ValueError` for a batch of runs.
        """
        xr = xarray()
        self.require_single("become a dataset")
        columns = _columns(self)
        time = ("t", np.asarray(self.ts), {"units": "time (that of tau)", "long_name": "time"})
        if "t" in columns:  # a run on a rescaled clock carries the physical time as a state
            data = {name: (("s",), values, attrs) for name, (values, attrs) in columns.items()}
            rescaled = ("s", np.asarray(self.ts), {"units": "1/time", "long_name": "rescaled time"})
            return xr.Dataset(data, coords={"s": rescaled}, attrs=self.attributes)
        data = {name: (("t", "node")[: values.ndim], values, attrs) for name, (values, attrs) in columns.items()}
        nodes = {} if self.model.labels is None else {"node": ("node", self.model.labels)}
        return xr.Dataset(data, coords={"t": time, **nodes}, attrs=self.attributes)

    @property
    def attributes(self) -> dict[str, Any]:
        """Model, stimulus, solver, outcome and versions as flat attributes of a dataset."""
        return {
            **attributes_of(self.model, "model"),
            "stimulus": "none" if self.stimulus is None else describe(self.stimulus),
            **({} if self.stimulus is None else attributes_of(self.stimulus, "kind", "stimulus.")),
            "noise": "none" if self.noise is None else repr(self.noise),
            "solver": self.method,
            "dtype": str(self.elapsed.dtype),
            "result": RESULTS[self.result] or "successful",
            **{name: int(value) for name, value in self.stats.items() if np.ndim(value) == 0 and name.startswith("num_")},
            **software(),
            "device": next(iter(self.elapsed.devices())).device_kind if isinstance(self.elapsed, jax.Array) else "",
        }

    def __str__(self) -> str:
        if not is_concrete(self.ts):
            return f"Trajectory of {describe(self.model)} (traced)"
        if self.ts.ndim > 1:
            return f"Trajectories of {type(self.model).__name__}, batch shape {self.ts.shape[:-1]}, {self.method}"
        message = RESULTS[self.result] or "successful"
        steps = {name: int(self.stats[name]) for name in ("num_accepted_steps", "num_rejected_steps")}
        shown = lambda t: f"{float(t):.12g}" if isinstance(self.ts, np.ndarray) else f"{t:g}"
        seconds = float(self.wall_time)
        cost = "not measured inside a transformation" if np.isnan(seconds) else f"{seconds:.3g} s, with compilation if any"
        size = sum(
            leaf.nbytes for leaf in jax.tree.leaves((self.ts, self.ys, self.interpolation)) if hasattr(leaf, "nbytes")
        )
        rows = [
            ("model", describe(self.model)),
            ("stimulus", "none" if self.stimulus is None else describe(self.stimulus)),
            *([] if self.noise is None else [("noise", repr(self.noise))]),
            ("solver", f"{self.method}, {self.elapsed.dtype} on {_device(self.elapsed)}"),
            ("steps", f"{steps['num_accepted_steps']} accepted, {steps['num_rejected_steps']} rejected"),
            (
                "result",
                f"{message}, {int(self.reached)} of {self.ts.size} times, t = {shown(self.ts[0])} to {shown(self.t_end)}",
            ),
            ("wall time", cost),
            ("memory", f"{size / 1024:.3g} KiB of results"),
        ]
        return "\n".join(["Trajectory"] + [f"  {name:<10}{value}" for name, value in rows])

    def __repr__(self) -> str:
        return str(self)


def _columns(run: Trajectory) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    """State, input and energies of a run, with units and meanings."""
    columns = {name: (np.asarray(getattr(run.ys, name)), about) for name, about in about_variables(run.model).items()}
    current = run.input
    columns["I"] = (np.asarray(current), {"units": "1", "long_name": "input current"})
    if "potential" in run.model.offers:
        kinetic, potential = kinetic_energy(run.model, run.ys), potential_energy(run.model, run.ys, current)
        energies = {"kinetic": kinetic, "potential": potential, "total": kinetic + potential}
        for name, value in energies.items():
            columns[f"{name}_energy"] = (np.asarray(value), {"units": "1", "long_name": f"{name} energy"})
    if "riccati" in run.model.offers:
        H = hamiltonian(run.model, run.ys, current)
        if run.model.slow_names or run.model.size is not None:
            fast = run.model.frozen(run.ys)
            for name, value in (("eta", fast.eta), ("J", fast.J)):
                about = {"units": "1", "long_name": f"{name} that the fast equations see"}
                columns[f"{name}_eff"] = (np.broadcast_to(np.asarray(value), np.shape(run.ys.r)), about)
        columns["hamiltonian"] = (np.asarray(H), {"units": "1", "long_name": "Hamiltonian of the homogeneous limit"})
    if run.neurons is not None:
        counts, dt = np.asarray(run.neurons.counts), np.diff(np.asarray(run.elapsed))
        rate = counts / (run.model.count * dt.reshape(-1, *(1 for _ in counts.shape[1:])))
        about = {"units": "1", "long_name": "spikes of all neurons since the last time"}
        columns["spikes"] = (np.concatenate([np.zeros_like(counts[:1]), counts]), about)
        about = {"units": "1/time", "long_name": "spikes per neuron and time since the last time"}
        columns["spike_rate"] = (np.concatenate([np.full((1, *rate.shape[1:]), np.nan), rate]), about)
    return columns


def rates_of(run: Trajectory, argument: str = "run") -> Values:
    """Firing rates of a run. Refuses, in one sentence, a run of a model without the variable `r`."""
    require(argument, run.model, "be a run of a model with a firing rate `r`", "r" in run.ys.names)
    return run.ys.r


def _device(array: object) -> str:
    return next(iter(array.devices())).platform if isinstance(array, jax.Array) else "host"
