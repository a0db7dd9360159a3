"""The tools that people would use instead, each as its users would write it: a function that prepares a run of the reference
ensemble and returns it, to be called (and timed) as often as needed.

`run()` returns the final rates and voltages (or, for the noisy runs, the time mean of the rate in every lane; for the
gradients, values and gradients). A tool that is not installed raises `MissingError` with one sentence. vbjax counts the
cores when it is imported and splits the CPU into as many JAX devices: every tool gets a process of its own (workers.py).
"""

import contextlib
import ctypes
import functools
import io
import math
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .reference import Ensemble, Noisy, taylor_system

Run = Callable[[], Any]
CORES = os.cpu_count() or 1


class MissingError(Exception):
    """A rival is not installed."""


def _need(module: str) -> Any:
    """Import quietly, or say in one sentence what is missing."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return __import__(module)
    except ModuleNotFoundError as error:
        needs = "" if error.name == module else f", which needs {error.name},"
        raise MissingError(f"{module}{needs} is not installed (`pip install 'nmmjax[bench]'`): skipped.") from None


# diffrax: one `diffeqsolve`, vmapped and compiled


def _field(t, y, parameters):
    (r, v), (eta, J, Delta) = y, parameters
    return Delta / math.pi + 2 * r * v, v * v + eta - (math.pi * r) ** 2 + J * r


def _synaptic_field(t, y, parameters):
    (r, v, s), (eta, J, Delta, tau_s) = y, parameters
    return Delta / math.pi + 2 * r * v, v * v + eta - (math.pi * r) ** 2 + J * s, (r - s) / tau_s


def _diffrax_final(problem: Ensemble, solver: str, tol: float, **options: Any) -> Callable[..., Any]:
    import diffrax
    import jax.numpy as jnp

    def final(*parameters):
        y0 = tuple(jnp.full_like(parameters[0], each) for each in problem.start)
        ys = diffrax.diffeqsolve(
            diffrax.ODETerm(_field if problem.tau_s is None else _synaptic_field),
            getattr(diffrax, solver)(),
            0.0,
            problem.t1,
            None,
            y0,
            parameters,
            stepsize_controller=diffrax.PIDController(rtol=tol, atol=tol / 10),
            saveat=diffrax.SaveAt(t1=True),
            throw=False,
            **options,
        ).ys
        return ys[0][0], ys[1][0]

    return final


def _lanes(problem: Ensemble) -> tuple:
    import jax.numpy as jnp

    return tuple(jnp.asarray(each) for each in problem.parameters)


def diffrax(problem: Ensemble, tol: float, solver: str = "Tsit5") -> Run:
    """Adaptive `diffeqsolve` under `jax.vmap`; atol = rtol/10."""
    import jax

    solve, lanes = jax.jit(jax.vmap(_diffrax_final(problem, solver, tol, max_steps=None))), _lanes(problem)
    return lambda: jax.block_until_ready(solve(*lanes))


def diffrax_gradient(problem: Ensemble, tol: float, solver: str = "Tsit5") -> Run:
    """Per lane the final rate and its reverse-mode gradient in (η, J, Δ), through the default RecursiveCheckpointAdjoint."""
    import jax

    final = _diffrax_final(problem, solver, tol, max_steps=16**4)
    solve = jax.jit(jax.vmap(jax.value_and_grad(lambda *p: final(*p)[0], argnums=(0, 1, 2))))
    lanes = _lanes(problem)
    return lambda: jax.block_until_ready(solve(*lanes))


def diffrax_noise(problem: Noisy, lanes: int, t1: float, h: float, seed: int = 0) -> Run:
    """Stochastic Heun with fixed steps h on a virtual Brownian tree per lane, resolved to h/2; returns the final rates."""
    import diffrax
    import jax
    import jax.numpy as jnp

    parameters = problem.eta, problem.J, problem.Delta
    strength = math.sqrt(2 * problem.D)

    def final(key):
        path = diffrax.VirtualBrownianTree(0.0, t1, tol=h / 2, shape=(), key=key)
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, y, _: jnp.stack(_field(t, (y[0], y[1]), parameters))),
            diffrax.ControlTerm(lambda t, y, _: jnp.asarray([0.0, strength]), path),
        )
        steps = round(t1 / h)
        return diffrax.diffeqsolve(
            terms, diffrax.Heun(), 0.0, t1, h, jnp.asarray([problem.r0, problem.v0]), max_steps=steps + 8, throw=False
        ).ys[0, 0]

    solve, keys = jax.jit(jax.vmap(final)), jax.random.split(jax.random.key(seed), lanes)
    return lambda: jax.block_until_ready(solve(keys))


# heyoka: its batched Taylor integrator, one per core


def heyoka(problem: Ensemble, tol: float, batch: int | None = None) -> Run:
    """`taylor_adaptive_batch` of the recommended width, a copy per core in threads (it releases the interpreter's lock).

    heyoka's own `ensemble_propagate_until_batch` copies the integrator for every batch and is several times slower here.
    """
    hy = _need("heyoka")
    width = batch or hy.recommended_simd_size()
    n, system = problem.lanes, taylor_system(synapse=problem.tau_s is not None)
    if n % width:
        raise ValueError(f"The lanes must be a multiple of {width}, but got {n}.")
    start, parameters = np.asarray(problem.start)[:, None], problem.parameters
    empty = np.zeros((start.size, width)), np.ones((len(parameters), width))
    make = functools.partial(hy.taylor_adaptive_batch, system, empty[0], tol=tol, pars=empty[1])
    solvers = [make(fast_math=True) for _ in range(CORES)]
    pool, end = ThreadPoolExecutor(CORES), np.full(width, problem.t1)
    found = np.empty((start.size, n))

    def work(core: int) -> None:
        solver = solvers[core]
        state, pars = solver.state, solver.pars
        for first in range(core * width, n, CORES * width):
            solver.set_time(0.0)
            state[:] = start
            pars[:] = parameters[:, first : first + width]
            solver.propagate_until(end)
            found[:, first : first + width] = state

    def run():
        list(pool.map(work, range(CORES)))
        return found[0].copy(), found[1].copy()

    return run


# vbjax: fixed steps, lanes in one array, its loops split over the cores by pmap as in its own benchmark


def _vbjax() -> Any:
    return _need("vbjax")


def _over_devices(*arrays: np.ndarray) -> tuple[int, list[np.ndarray]]:
    """Leading axis of JAX devices, if they divide the lanes."""
    import jax

    count = jax.local_device_count()
    count = count if arrays[0].size % count == 0 else 1
    return count, [each.reshape(count, -1) for each in arrays]


def vbjax(problem: Ensemble, h: float, method: str = "rk4") -> Run:
    """`make_ode(h, mpr_dfun)`: its step in a scan that keeps the last state only (its own loop keeps all of them)."""
    vb = _vbjax()
    import jax
    import jax.numpy as jnp

    steps = math.ceil(problem.t1 / h - 1e-9)
    step, _ = vb.make_ode(problem.t1 / steps, lambda x, p: vb.mpr_dfun(x, (0.0, 0.0), p), method=method)
    count, (eta, J, Delta) = _over_devices(problem.eta, problem.J, problem.Delta)

    def final(eta, J, Delta):
        theta = vb.mpr_default_theta._replace(eta=eta, J=J, Delta=Delta)
        x0 = jnp.stack([jnp.full_like(eta, problem.r0), jnp.full_like(eta, problem.v0)])
        return jax.lax.scan(lambda x, t: (step(x, t, theta), None), x0, jnp.arange(steps))[0]

    solve = jax.pmap(final, devices=jax.local_devices()[:count])

    def run():
        found = np.asarray(jax.block_until_ready(solve(eta, J, Delta)))
        return found[:, 0].ravel(), found[:, 1].ravel()

    return run


def vbjax_noise(
    problem: Noisy, lanes: int, t1: float, h: float, seed: int = 0, discard: float = 0.0, draw: bool = True
) -> Run:
    """`make_sde` (stochastic Heun) fed with pre-generated noise, 200 steps at a time; time mean of the rate after `discard`.

    With `draw`, every run draws its noise; without, the first 200 steps' noise is drawn beforehand and used again and again
    (right for timing its step alone, wrong for statistics).
    """
    vb = _vbjax()
    import jax
    import jax.numpy as jnp

    theta = vb.mpr_default_theta._replace(eta=problem.eta, J=problem.J, Delta=problem.Delta)
    amplitude = jnp.asarray([[0.0], [math.sqrt(2 * problem.D)]])
    _, loop = vb.make_sde(h, lambda x, p: vb.mpr_dfun(x, (0.0, 0.0), p), lambda x, p: amplitude, adhoc=vb.mpr_r_positive)
    count = jax.local_device_count()
    width = lanes // count
    chunk = min(200, round(t1 / h))
    chunks, skip = max(1, round(t1 / h) // chunk), math.ceil(discard / h / chunk)

    def noise(key):
        return jnp.stack([jnp.zeros((chunk, width)), jax.random.normal(key, (chunk, width))], axis=1)

    def means(key, fixed):
        def part(carry, k):
            x, total, kept = carry
            xs = loop(x, noise(jax.random.fold_in(key, k)) if draw else fixed, theta)
            return (xs[-1], total + (k >= skip) * xs[:, 0].sum(0), kept + (k >= skip) * chunk), None

        x0 = jnp.stack([jnp.full(width, problem.r0), jnp.full(width, problem.v0)])
        (_, total, kept), _ = jax.lax.scan(part, (x0, jnp.zeros(width), 0), jnp.arange(chunks))
        return total / kept

    solve = jax.pmap(means, devices=jax.local_devices()[:count])
    keys = jax.random.split(jax.random.key(seed), count)
    fixed = jax.block_until_ready(jax.pmap(noise)(keys))

    def run():
        return np.asarray(jax.block_until_ready(solve(keys, fixed))).ravel()

    run.steps = chunks * chunk * width * count
    return run


# gradsolve: adaptive ensembles; its fused kernels where NVIDIA Warp is installed, record and replay otherwise


def _gradsolve(problem: Ensemble) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    gradsolve = _need("gradsolve")
    import jax.numpy as jnp

    class Population:
        name, dim, t0, t1, is_stiff = "montbrio_pazo_roxin", 2, 0.0, problem.t1, False

        def f_jax(self, t, y, p):
            r, v = y[0], y[1]
            return jnp.stack([p[2] / math.pi + 2 * r * v, v * v + p[0] - math.pi**2 * (r * r) + p[1] * r])

    y0 = np.tile([problem.r0, problem.v0], (problem.lanes, 1))
    return gradsolve, Population(), y0, np.stack([problem.eta, problem.J, problem.Delta], axis=1)


def _has_warp() -> bool:
    try:
        import warp
    except ModuleNotFoundError:
        return False
    warp.config.quiet = True
    return True


def gradsolve(problem: Ensemble, tol: float, engine: str | None = None) -> Run:
    """`gradsolve.solve`, atol = rtol/10; the fused Tsit5 kernel of its extra `warp`, if installed, else `tsit5_replay`.

    Its automatic choice without Warp is diffrax under vmap, compiled anew at every call.
    """
    module, population, y0, parameters = _gradsolve(problem)
    engine = engine or ("warp_ode" if _has_warp() else "tsit5_replay")

    def run():
        found = module.solve(
            population, y0, parameters, engine=engine, fused=engine == "warp_ode", rtol=tol, atol=tol / 10, device="cpu"
        )
        if found.route.actual != engine:
            raise RuntimeError(f"gradsolve ran {found.route.actual} in place of {engine}: {found.route.reason}.")
        return found.y_final[:, 0], found.y_final[:, 1]

    return run


def gradsolve_gradient(problem: Ensemble, tol: float) -> Run:
    """Record the steps, then replay them in reverse: final rate and gradient in (η, J, Δ).

    A closure belongs to its recording, and compiles; a run here records anew but replays with the first closure, compiled
    once, which is kinder than its interface.
    """
    module, population, y0, parameters = _gradsolve(problem)
    import jax
    import jax.numpy as jnp

    def record():
        return module.grad_closure(
            population, y0, parameters, rtol=tol, atol=tol / 10, device="cpu", fused=True if _has_warp() else "auto"
        )

    final = record()

    def total(p):
        rates = final(p)[:, 0]
        return jnp.sum(rates), rates

    replay, p = jax.jit(jax.value_and_grad(total, has_aux=True)), jnp.asarray(parameters)

    def run():
        record()
        (_, rates), gradient = jax.block_until_ready(replay(p))
        return rates, tuple(gradient.T)

    return run


# C: the engine's scheme by hand


_TILES = {"float64": (16, 32, 64), "float32": (32, 64, 128)}


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@functools.cache
def _compiled(real: str, block: int) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise MissingError("No C compiler (cc, gcc or clang) is on the path: the hand-written loop is skipped.")
    source = pathlib.Path(__file__).with_name("c_loop.c")
    target = pathlib.Path(tempfile.mkdtemp(prefix="c_loop_")) / "c_loop.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", f"-DREAL={real}", f"-DBLOCK={block}"]
    subprocess.run([compiler, *flags, str(source), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def _process(x, y, J, Delta, s):
    """The scheme's processing map over s = ∓h²/24, in x = πr, y = v."""
    r = x / math.pi
    return math.pi * r / (1 + 2 * J * r * s), y + J * Delta * s / math.pi


def _mobius(eta, Delta, h):
    sigma = np.sqrt(-eta + 1j * Delta)
    c, s = np.cosh(sigma * h), np.sinh(sigma * h)
    return c, -1j * sigma * s, 1j * s / sigma


def _apply(coefficients, x, y):
    c, A, S = coefficients
    W = x + 1j * y
    W = (c * W + A) / (S * W + c)
    return W.real, W.imag


def c_loop(
    problem: Ensemble, steps: int | np.ndarray, dtype: str = "float64", block: int | None = None, threads: int = CORES
) -> Run:
    """The C loop on all cores; `run.steps` is the number of lane-steps it makes.

    Lanes are sorted by their step counts and every block takes its largest, as the engine does. Without `block`, the
    fastest of several (it is measured first).
    """
    if block is None:
        trials = {each: c_loop(problem, steps, dtype, each, threads) for each in _TILES[dtype] if problem.lanes % each == 0}
        return min(trials.values(), key=lambda run: run.steps**-1 * min(_seconds(run) for _ in range(5)))
    library = _compiled("double" if dtype == "float64" else "float", block)
    n = problem.lanes
    if n % block:
        raise ValueError(f"The lanes must be a multiple of {block}, but got {n}.")
    steps = np.broadcast_to(np.asarray(steps, dtype=np.int64), (n,))
    order = np.argsort(steps, kind="stable")
    blocks = n // block
    counts = np.ascontiguousarray(steps[order].reshape(blocks, block).max(axis=1))
    # dealt out so that every thread gets cheap and dear blocks alike, each thread's blocks contiguous
    deal = np.concatenate([np.arange(k, blocks, threads) for k in range(threads)])
    order, counts = order.reshape(blocks, block)[deal].ravel(), np.ascontiguousarray(counts[deal])
    bounds = np.cumsum([0] + [len(range(k, blocks, threads)) for k in range(threads)])
    eta, J, Delta = problem.eta[order], problem.J[order], problem.Delta[order]
    h = problem.t1 / np.repeat(counts, block)
    full, half, back = (_mobius(eta, Delta, f * h) for f in (1.0, 0.5, -0.5))
    c, A, S = full
    table = [c.real, c.imag, A.real, A.imag, S.real, S.imag, h * J / math.pi, h**3 / 12 * (J / math.pi) ** 2]
    table = np.ascontiguousarray(np.stack(table).reshape(8, blocks, block).swapaxes(0, 1).astype(dtype))
    start = _process(np.full(n, math.pi * problem.r0), np.full(n, problem.v0), J, Delta, -(h**2) / 24)
    start = [each.astype(dtype) for each in _apply(half, *start)]
    pool, pointer = ThreadPoolExecutor(threads), ctypes.c_void_p

    def run():
        x, y = (np.array(each) for each in start)

        def work(k: int) -> None:
            low, count = int(bounds[k]), int(bounds[k + 1] - bounds[k])
            at = [
                pointer(each[low * width :].ctypes.data) for each, width in ((x, block), (y, block), (table, 1), (counts, 1))
            ]
            library.advance(*at, ctypes.c_long(count))

        list(pool.map(work, range(threads)))
        end = _process(*_apply(back, x.astype(np.float64), y.astype(np.float64)), J, Delta, h**2 / 24)
        found = np.empty((2, n))
        found[0, order], found[1, order] = end[0] / math.pi, end[1]
        return found[0], found[1]

    run.steps, run.block = int(counts.sum()) * block, block
    return run
