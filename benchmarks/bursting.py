"""Burst cycles from the parameters alone (`burst_cycle`), against simulating the bursts, in batches; error and cost.

Synaptic depression (α = 0.05, η ∈ (−5.6, −4.6)) and spike-frequency adaptation (α = 1, η ∈ (−2, 1.2)), both with τ_A = 10,
Δ = 2, J = 15√2; η uniform (seed 7) and in order, so that neighbours cost alike, for every tool. Everything is float64 and
runs on two threads; one call takes a batch of sets. Every rival runs at the fastest batch and compiler options found.

- `simulate`: `jax.vmap` of it as it comes (Tsit5, rtol 1e-8) to t = 200, which is settling and a whole cycle, with outputs
  every 0.01 so that spikes are seen. This is "simulating the burst", which has the goal of 100×. Finding the spikes in the
  outputs isn't part of its time; what it takes here, in NumPy, stands beside it
- `simulate to 400`: the same with 40 001 outputs, as one would for a look at the bursts
- `diffrax`: `jax.vmap` of `diffeqsolve` (Tsit5, rtol 1e-6) to t = 200, the last state alone: steps and nothing else
- `sweep`: ours with diffrax's Tsit5 at rtol 1e-5, which counts spikes and bursts from t = 100 to 200 as it goes; the
  fastest way to simulate here

The exact bursts are those of Dopri8 at rtol 1e-10, from t = 200 to 400: onset to onset (upward crossings of the cusp rate),
spikes that rise by more than 1e-3 in ln r. Peaks are compared in order, as far as both have them. Rare failures are looked
for in all sets (`…_in_all`), against the sweep's periods.
"""

import concurrent.futures
import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from record import arguments, timed, write

import nmmjax as nmm
from nmmjax._optional import optional

Y0 = {"r": 0.2, "v": -1.0}
J, DELTA, TAU = 15 * 2**0.5, 2.0, 10.0
END, EVERY, PROMINENCE, GOAL = 200.0, 0.01, 1e-3, 100.0
THREADS, LEAST_SECONDS = 2, 0.2
# As in a sweep: threads keep the cores busy, XLA must not split a batch over them once more.
OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_disable_hlo_passes": "cpu-parallel-task-assigner"}
OURS, SIMULATE, LONGER, DIFFRAX, SWEEP = "burst_cycle", "simulate", "simulate to 400", "diffrax", "sweep"


@dataclasses.dataclass(frozen=True)
class Family:
    """Parameter sets that differ in η; `spikes` is how many of a burst are followed."""

    name: str
    term: nmm.SynapticDepression | nmm.SpikeFrequencyAdaptation
    between: tuple[float, float]
    spikes: int

    def model(self, eta: Any) -> nmm.MPR:
        return nmm.MPR(eta, J, DELTA, adaptation=self.term)

    def etas(self, count: int) -> np.ndarray:
        return np.sort(np.random.default_rng(7).uniform(*self.between, count))


@dataclasses.dataclass(frozen=True)
class Size:
    """How many sets each tool is timed with, and how many have an exact solution."""

    many: int
    some: int
    few: int
    exact: int
    repeats: int


@dataclasses.dataclass(frozen=True)
class Burst:
    """A burst: its period, all its peaks, and the rise in ln r to each from the trough before (infinite for the first)."""

    period: float
    peaks: np.ndarray
    rises: np.ndarray

    @property
    def spikes(self) -> np.ndarray:
        return self.peaks[self.rises > PROMINENCE]


NONE = Burst(np.nan, np.zeros(0), np.zeros(0))
Call = Callable[[np.ndarray], Any]


def batched(one: Callable[[Any], Any], size: int, fast: bool = True) -> Call:
    """`one` over many sets: compiled for a batch of `size`, the batches taken by two threads; the batches' results."""
    call = jax.jit(jax.vmap(one), compiler_options=OPTIONS if fast else None)

    def run(etas: np.ndarray) -> Any:
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda part: jax.block_until_ready(call(part)), np.split(etas, etas.size // size)))

    return run


def joined(parts: list[Any]) -> Any:
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)


def predicted(family: Family, size: int) -> Call:
    def one(eta: Any) -> Any:
        cycle = nmm.burst_cycle(family.model(eta), max_spikes=family.spikes)
        return cycle.period, cycle.spikes.peak, cycle.spikes.prominence

    return batched(one, size)


def simulated(family: Family, size: int, begin: float = 0.0, end: float = END, **how: Any) -> Call:
    """Rate and its derivative every 0.01 from `begin` on, which `bursts_in` needs; `times` are those of the outputs."""
    ts = jnp.asarray(np.concatenate([[0.0] if begin else [], times(begin, end)]))

    def one(eta: Any) -> Any:
        model = family.model(eta)
        run = nmm.simulate(model, Y0, ts, **how)
        return run.ys.r, model.vector_field(ts, run.ys).r

    return batched(one, size)


def times(begin: float, end: float) -> np.ndarray:
    return np.linspace(begin, end, round((end - begin) / EVERY) + 1)


def stepped(family: Family, size: int) -> Call:
    def one(eta: Any) -> Any:
        model = family.model(eta)
        return diffrax.diffeqsolve(
            nmm.extend.PopulationTerm(model),
            diffrax.Tsit5(),
            t0=0.0,
            t1=END,
            dt0=None,
            y0=model.state(Y0),
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-8),
            max_steps=200_000,
            throw=False,
        ).ys

    return batched(one, size, False)


def swept(family: Family) -> Call:
    observe = {"burst": nmm.BurstCount(PROMINENCE), "peak": nmm.Peak("r")}

    def run(etas: np.ndarray) -> Any:
        found = nmm.sweep(
            family.model(0.0),
            over={"eta": ("sample", etas)},
            y0=Y0,
            t0=END / 2,
            t1=END,
            solver=diffrax.Tsit5(),
            rtol=1e-5,
            observe=observe,
            progress=False,
        )
        return [np.asarray(found[name]) for name in ("burst_period", "burst_per_burst", "peak")]

    return run


def bursts_in(t: np.ndarray, rates: np.ndarray, slopes: np.ndarray, level: float) -> list[tuple[Burst, float]]:
    """The last whole burst of every row of `rates`, with the period before it, by cubics through values and slopes."""
    return [_last_burst(t, *each, level) for each in zip(rates[:, -t.size :], slopes[:, -t.size :], strict=True)]


def _last_burst(t: np.ndarray, r: np.ndarray, slope: np.ndarray, level: float) -> tuple[Burst, float]:
    h = t[1] - t[0]
    bend = 3 * np.diff(r) - h * (2 * slope[:-1] + slope[1:])
    twist = h * (slope[:-1] + slope[1:]) - 2 * np.diff(r)

    def value(k: np.ndarray, s: np.ndarray) -> np.ndarray:
        return r[k] + s * (h * slope[k] + s * (bend[k] + s * twist[k]))

    def speed(k: np.ndarray, s: np.ndarray) -> np.ndarray:
        return h * slope[k] + s * (2 * bend[k] + s * 3 * twist[k])

    begins = np.flatnonzero((r[:-1] < level) & (r[1:] >= level))
    if begins.size < 2:
        return NONE, np.nan
    s = (level - r[begins]) / (r[begins + 1] - r[begins])
    for _ in range(3):
        s = s - (value(begins, s) - level) / speed(begins, s)
    periods = np.diff(t[begins] + h * s)
    turns = np.flatnonzero((slope[:-1] > 0) != (slope[1:] > 0))
    turns = turns[(turns > begins[-2]) & (turns <= begins[-1])]
    s = slope[turns] / (slope[turns] - slope[turns + 1])
    for _ in range(3):
        s = s - speed(turns, s) / (2 * bend[turns] + 6 * twist[turns] * s)
    extrema, is_peak = value(turns, s), slope[turns] > 0  # a peak first, and a trough last
    peaks, troughs = extrema[is_peak], extrema[~is_peak]
    rises = np.append(np.inf, np.log(peaks[1:] / troughs[: peaks.size - 1]))
    return Burst(float(periods[-1]), peaks, rises), float(periods[-2]) if periods.size > 1 else np.nan


def as_bursts(results: Any) -> list[Burst]:
    """What `predicted` returns, set by set."""
    known = [np.isfinite(peaks) for peaks in results[1]]
    return [
        Burst(float(period), peaks[there], rises[there]) for period, peaks, rises, there in zip(*results, known, strict=True)
    ]


def errors(found: list[Burst], exact: list[Burst]) -> dict[str, Any]:
    """Relative errors of period and peaks, and how often the number of spikes agrees, over the sets with a burst found."""
    pairs = [(mine, true) for mine, true in zip(found, exact, strict=True) if np.isfinite(mine.period)]
    period = np.array([mine.period / true.period - 1 for mine, true in pairs])
    peaks = [
        mine.spikes[: true.spikes.size] / true.spikes[: mine.spikes.size] - 1
        for mine, true in pairs
        if mine.spikes.size and true.spikes.size
    ]
    first, every = np.array([each[0] for each in peaks]), np.concatenate(peaks) if peaks else np.zeros(0)
    disputed = [_disputed(mine, true) for mine, true in pairs if mine.spikes.size != true.spikes.size]
    return {
        "sets_compared": len(pairs),
        "no_burst_found": len(found) - len(pairs),
        **{
            f"{what}_error_{name}": float(of(np.abs(values)))
            for what, values in (("period", period), ("first_peak", first), ("peak", every))
            for name, of in (("median", np.median), ("p95", lambda each: np.quantile(each, 0.95)), ("max", np.max))
        },
        "spikes_agree": 1 - len(disputed) / len(pairs),
        "disputed_rise_max": max(disputed, default=0.0),
    }


def _disputed(mine: Burst, true: Burst) -> float:
    """The largest rise in ln r of the spikes that only one of both has."""
    longer, count = (mine, true.spikes.size) if mine.spikes.size > true.spikes.size else (true, mine.spikes.size)
    return float(longer.rises[longer.rises > PROMINENCE][count:].max())


def seconds(call: Callable[[], Any]) -> float:
    """Mean time of a call, repeated for a while: a single short one pays for cold caches after the tool before."""
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < LEAST_SECONDS:
        call()
        count += 1
    return (time.perf_counter() - start) / count


def compare(family: Family, size: Size) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of a family, every tool beside ours with as many sets in the same turns, and what the plot needs."""
    many = family.etas(size.many)
    some, few = (many[:: size.many // count] for count in (size.some, size.few))
    batch = size.few // (2 * THREADS)
    ours, level = predicted(family, batch), float(nmm.cusp_rate(family.model(0.0)))
    tools = {
        SIMULATE: (simulated(family, min(128, batch)), few),
        LONGER: (simulated(family, min(128, batch), end=2 * END), few),
        DIFFRAX: (stepped(family, min(512, size.some // THREADS)), some),
        SWEEP: (swept(family), many),
    }
    etas = few[:: size.few // size.exact]
    settled = simulated(family, min(64, size.exact), END, 2 * END, solver=diffrax.Dopri8(), rtol=1e-10, atol=1e-12)
    solved = bursts_in(times(END, 2 * END), *joined(settled(etas)), level)
    exact = [burst for burst, _ in solved]
    drift = max(abs(before / burst.period - 1) for burst, before in solved)

    rows: list[dict[str, Any]] = []
    mine = as_bursts(joined(ours(few)))[:: size.few // size.exact]
    for name, (call, sets) in tools.items():
        call(sets), ours(sets)
        taken: dict[str, list[float]] = {name: [], OURS: []}
        for _ in range(size.repeats):
            for tool, run in ((name, call), (OURS, ours)):
                taken[tool].append(seconds(lambda run=run, sets=sets: run(sets)) / sets.size * 1e6)
        row = {"family": family.name, "rival": name, "sets": sets.size, "repeats": size.repeats}
        for tool in (name, OURS):
            row |= {f"{tool}_us_median": statistics.median(taken[tool]), f"{tool}_us_min": min(taken[tool])}
        row["ratio"] = row[f"{name}_us_median"] / row[f"{OURS}_us_median"]
        row["ratio_min"] = row[f"{name}_us_min"] / row[f"{OURS}_us_min"]
        rows.append(row | ({"goal": GOAL} if name == SIMULATE else {}))
    outputs = [each[:: size.few // size.exact] for each in joined(tools[SIMULATE][0](few))]
    start = time.perf_counter()
    last = [burst for burst, _ in bursts_in(times(0.0, END), *outputs, level)]
    rows[0]["finding_spikes_us"] = (time.perf_counter() - start) / len(last) * 1e6
    every_period, every_count, _ = tools[SWEEP][0](many)
    period, count = (each[:: size.many // size.exact] for each in (every_period, every_count))
    off = np.abs(joined(ours(many))[0] / every_period - 1)  # of all sets, as the sweep's period is good to 1e-5
    in_all = {
        "no_burst_in_all": int(np.sum(np.isnan(off))),
        "period_off_1_percent_in_all": int(np.sum(off > 0.01)),
        "period_error_max_in_all": float(np.nanmax(off)),
    }
    exact_count = np.array([each.spikes.size for each in exact])
    exact_period = np.array([each.period for each in exact])
    swept_errors = {
        "period_error_median": float(np.median(np.abs(period / exact_period - 1))),
        "period_error_max": float(np.max(np.abs(period / exact_period - 1))),
        "spikes_agree": float(np.mean(np.abs(count - exact_count) < 1e-9)),
    }
    facts = [
        {"family": family.name, "tool": OURS, "exact_drift": drift} | in_all | errors(mine, exact),
        {"family": family.name, "tool": SIMULATE} | errors(last, exact),
        {"family": family.name, "tool": SWEEP} | swept_errors,
    ]
    return rows + facts, {"eta": etas, "mine": mine, "exact": exact}


def single() -> list[dict[str, Any]]:
    """`predict_burst` beside the run that it predicts, as a user would call both; depression, η = −5.5."""
    model = nmm.MPR(-5.5, J, DELTA, adaptation=nmm.SynapticDepression(0.05, TAU))
    ts = jnp.linspace(0.0, 400.0, 40_001)
    bursts = nmm.find_bursts(nmm.simulate(model, Y0, ts))
    one = bursts.isel(burst=slice(2, 3))
    prediction = nmm.predict_burst(model, one)
    cost = {
        "simulate": timed(lambda: nmm.simulate(model, Y0, ts).ys, 5),
        "simulate and find_bursts": timed(lambda: nmm.find_bursts(nmm.simulate(model, Y0, ts)), 5),
        "predict_burst": timed(lambda: nmm.predict_burst(model, one), 5),
        "burst_cycle": timed(lambda: nmm.burst_cycle(model).period, 5),
    }
    wrong = {
        f"{name}_error_max": float(np.nanmax(np.abs(prediction[f"peak_{name}"] / prediction["peak"] - 1)))
        for name in ("from_trough", "from_first", "from_cycle", "undamped")
    }
    rows = [{"family": "one burst, depression, η = −5.5", "tool": name} | each for name, each in cost.items()]
    rows[2] |= wrong
    return rows


def draw(rows: list[dict[str, Any]], drawn: dict[str, Any]) -> Any:
    pyplot = optional("matplotlib.pyplot", "plot")
    shape = [["cost", "peaks 0", "peaks 1"], ["cost", "period 0", "period 1"]]
    figure, axes = pyplot.subplot_mosaic(shape, figsize=(14, 5.2), layout="constrained", height_ratios=[2, 1])
    tools = {
        SIMULATE: "simulate to t = 200,\noutputs every 0.01\n(goal: 100×)",
        LONGER: "the same\nto t = 400",
        DIFFRAX: "diffrax Tsit5,\nlast state alone",
        SWEEP: "sweep,\ncounting bursts",
        OURS: "burst_cycle",
    }
    for number, (name, each) in enumerate(drawn.items()):
        color = f"C{number}"
        by = {row["rival"]: row for row in rows if row["family"] == name and "rival" in row}
        costs = [by[tool][f"{tool}_us_median"] for tool in by] + [by[SWEEP][f"{OURS}_us_median"]]
        labels = [f"{cost:.0f} µs, {by[tool]['ratio']:.3g}×" for tool, cost in zip(by, costs[:-1], strict=True)]
        place = np.arange(len(tools)) + (number - 0.5) * 0.38
        axes["cost"].barh(place, costs, 0.36, color=color, label=name)
        for y, cost, label in zip(place, costs, [*labels, f"{costs[-1]:.0f} µs"], strict=True):
            axes["cost"].text(cost * 1.15, y, label, va="center", fontsize=8)
        mine, exact, eta = each["mine"], each["exact"], each["eta"]
        peaks, period = axes[f"peaks {number}"], axes[f"period {number}"]
        for bursts, style in (
            (exact, {"color": "0.75", "markersize": 4, "label": "simulated at rtol 1e-10"}),
            (mine, {"color": color, "markersize": 2, "label": "predicted by burst_cycle"}),
        ):
            place = np.repeat(eta, [one.spikes.size for one in bursts])
            peaks.plot(place, np.concatenate([one.spikes for one in bursts]), "o", markeredgewidth=0, **style)
        peaks.set(ylabel="r at the spikes' peaks", title=name)
        peaks.sharex(period)
        peaks.tick_params(labelbottom=False)
        peaks.legend(frameon=False, fontsize=8, loc="upper right" if number == 0 else "upper left")
        peaks.set_ylim(top=peaks.get_ylim()[1] * 1.12)
        wrong = [abs(a.period / b.period - 1) for a, b in zip(mine, exact, strict=True)]
        period.semilogy(eta, wrong, ".", color=color, markersize=4)
        period.set(xlabel="η", ylabel="period: error", ylim=(1e-5, 1e-1))
    axes["cost"].set(xscale="log", xlim=(3, 1e6), xlabel="µs per parameter set (median)")
    axes["cost"].set_title("cost, and ratio to burst_cycle with as many sets")
    axes["cost"].set_yticks(range(len(tools)), list(tools.values()), fontsize=8)
    axes["cost"].invert_yaxis()
    axes["cost"].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    jax.config.update("jax_enable_x64", True)
    size = Size(512, 256, 64, 16, 2) if options.quick else Size(8192, 2048, 1024, 256, 5)
    families = [
        Family("synaptic depression", nmm.SynapticDepression(0.05, TAU), (-5.6, -4.6), 12),
        Family("spike-frequency adaptation", nmm.SpikeFrequencyAdaptation(1.0, TAU), (-2.0, 1.2), 24),
    ]
    rows, drawn = [], {}
    for family in families:
        found, drawn[family.name] = compare(family, size)
        rows += found
    rows += single()
    model = {"J": J, "Delta": DELTA, "tau_A": TAU, "alpha": {each.name: float(each.term.alpha) for each in families}}
    eta = {each.name: each.between for each in families}
    path = write("bursting", options, rows, model=model, eta=eta, y0=Y0, threads=THREADS, prominence=PROMINENCE)
    draw(rows, drawn).savefig(path.with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
