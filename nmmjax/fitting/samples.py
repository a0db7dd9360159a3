"""A recording made ready for fits: checked, on a grid of times, smooth; how finely to step and to cut it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from .._checks import as_array, as_samples, require
from .._types import is_concrete
from ..models.stimulus import AbstractStimulus
from ..solvers.clock import jump_times

TURNS, SHORTEST = 2.0, 6  # of a segment: spikes; intervals, at least


def observation(name: str, value: object) -> Any:
    """A recorded variable as an array (times,) or (times, nodes), checked; None as it is."""
    if value is None:
        return None
    array = as_array(value)
    ok = isinstance(array, (jax.Array, np.ndarray)) and array.ndim in (1, 2)
    require(name, value, "be an array (times,), or (times, nodes) for a network", ok)
    return np.asarray(array)


def sample_times(ts: object) -> np.ndarray:
    """Times of the samples, checked."""
    array = as_array(ts)
    require("ts", ts, "be an array of numbers", isinstance(array, (jax.Array, np.ndarray)))
    require("ts", array, "have one axis and at least 2 times", array.ndim == 1 and array.shape[0] >= 2)
    require("ts", array, "be known numbers, not traced ones", is_concrete(array))
    times = np.asarray(as_samples(ts), float)  # in the precision in which they were given
    require("ts", times, "be finite, without NaN", bool(np.all(np.isfinite(times))))
    require("ts", times, "be strictly increasing", bool(np.all(np.diff(times) > 0)))
    return times


def deviations_of(noise: Any, given: Any, present: Any, noise_model: str) -> dict[str, Any]:
    """σ of every recorded variable, like its data."""
    names = " and ".join(f"`{name}`" for name in given)
    rule = f"be None, a number > 0, or a mapping of {names} to numbers or arrays > 0"
    by_name = dict(noise) if hasattr(noise, "keys") else dict.fromkeys(given, noise)
    require("noise", noise, rule, set(by_name) == set(given))
    found = {}
    for name, data in given.items():
        if by_name[name] is None:
            values = np.log(data[present[name]]) if name == "r" and noise_model == "lognormal" else data[present[name]]
            spread = float(np.std(values)) if values.size else 1.0
            found[name] = np.full(data.shape, spread if spread > 0 else 1.0)
            continue
        sigma = np.asarray(by_name[name], float)
        require("noise", noise, rule, bool(np.all(sigma > 0)) and bool(np.all(np.isfinite(sigma))))
        require("noise", noise, f"have the shape {data.shape} of `{name}`, or be a number", sigma.shape in ((), data.shape))
        found[name] = np.broadcast_to(sigma, data.shape)
    return found


def time_grid(times: np.ndarray, stimulus: AbstractStimulus | None) -> np.ndarray:
    """Times of the samples and of the input's jumps; intervals much longer than most are divided."""
    grid = times
    if stimulus is not None:
        jumps = np.asarray(jump_times(stimulus))
        near = 1e-9 * (times[-1] - times[0])
        inside = jumps[(jumps > times[0]) & (jumps < times[-1])]
        grid = np.concatenate([times, [jump for jump in inside if np.min(np.abs(times - jump)) > near]])
        grid = np.unique(grid)
    typical = np.median(np.diff(times))
    parts = np.maximum(1, np.ceil(np.diff(grid) / (1.5 * typical))).astype(int)
    pieces = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(grid[:-1], grid[1:], parts, strict=True)]
    return np.concatenate([*pieces, grid[-1:]])


def kinds_of_intervals(grid: np.ndarray, stimulus: AbstractStimulus | None) -> tuple[np.ndarray, np.ndarray]:
    """The kind of every interval, and the first interval of every kind: equal lengths (to rounding) and equal input."""
    length = np.diff(grid)
    # Rounded differences of equally spaced times differ in their last digits.
    digits = np.round(length / np.max(length), 11)
    middle = (grid[:-1] + grid[1:]) / 2
    inputs = np.zeros((middle.size, 1)) if stimulus is None else np.asarray(jax.vmap(stimulus)(jnp.asarray(middle)))
    both = np.concatenate([digits[:, None], inputs.reshape(middle.size, -1)], axis=1)
    _, first, kind = np.unique(both, axis=0, return_index=True, return_inverse=True)
    return kind.reshape(-1), first


def smooth(
    times: np.ndarray, data: np.ndarray, present: np.ndarray, grid: np.ndarray, exact: bool, dtype: DTypeLike
) -> tuple[Any, Any]:
    """Data and their slope on the grid, by polynomials through the five nearest samples: of degree 4, which keeps exact
    data, or parabolas, which average noise."""
    columns = data.reshape(times.size, -1)
    shown = present.reshape(times.size, -1)
    values, slopes = np.zeros((2, grid.size, columns.shape[1]))
    for k in range(columns.shape[1]):
        t, x = times[shown[:, k]], columns[shown[:, k], k]
        if t.size < 3:
            values[:, k] = np.interp(grid, t, x) if t.size else 0.0
            continue
        width = min(5, t.size)
        first = np.clip(np.searchsorted(t, grid) - width // 2, 0, t.size - width)
        index = first[:, None] + np.arange(width)
        span = t[index[:, -1]] - t[index[:, 0]]
        offset = (t[index] - grid[:, None]) / span[:, None]
        basis = offset[..., None] ** np.arange(width if exact else 3)
        solved = np.linalg.pinv(basis) @ x[index][..., None]
        values[:, k], slopes[:, k] = solved[:, 0, 0], solved[:, 1, 0] / span
    shape = (grid.size, *data.shape[1:])
    return jnp.asarray(values.reshape(shape), dtype), jnp.asarray(slopes.reshape(shape), dtype)


def segment_length(given: Any, present: Any, grid: np.ndarray) -> int:
    """Intervals in which a population at the higher recorded rates fires about twice."""
    most = max(SHORTEST, (grid.size - 1) // 8)
    rate = float(np.quantile(given["r"][present["r"]], 0.9)) if "r" in given and present["r"].any() else 0.0
    typical = float(np.median(np.diff(grid)))
    return most if rate * typical * most <= TURNS else int(np.clip(TURNS / (rate * typical), SHORTEST, most))


def steps_per_interval(given: Any, present: Any, grid: np.ndarray) -> int:
    """Steps per interval that resolve the fastest recorded motion: π r is the fastest frequency of a population."""
    fastest = float(np.quantile(given["r"][present["r"]], 0.999)) if "r" in given and present["r"].any() else 0.0
    return int(np.clip(np.ceil(np.max(np.diff(grid)) * np.pi * fastest / 0.5), 1, 1000))
