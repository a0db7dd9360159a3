"""The fused kernels in Pallas' interpreters equal the XLA path; they translate for CUDA; the fall-back says why."""

import warnings

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import mosaic_gpu

from nmmjax import MPR, Pulse, Sampled
from nmmjax.ensemble import kernel
from nmmjax.ensemble.folding import Times, Uniform
from nmmjax.ensemble.kernel import _agree, best_call, kernel_call
from nmmjax.ensemble.observables import Final, Mean, Samples
from nmmjax.ensemble.plan import Build
from nmmjax.ensemble.runge_kutta import Adaptive, RKFlow, RKStretch
from nmmjax.ensemble.splitting import splitting_flow, splitting_stretch
from nmmjax.ensemble.task import Task, compiled
from nmmjax.ensemble.turning_points import Peak, Period, SpikeCount
from nmmjax.mechanics.channels import Problem

SPLITTING = Uniform(splitting_stretch, splitting_flow, pairs=False)
OBSERVED = {
    "last": Final(),
    "peak": Peak("r"),
    "mean": Mean("r"),
    "energy": Mean("energy"),
    "count": SpikeCount(),
    "period": Period(),
}
PULSE = Pulse(3.0, 2.0, 4.5)
CASES = {  # stimulus, observables, times, method
    "plain": (None, OBSERVED, Times(0.0, 0.0, 12.0), SPLITTING),
    "transient": (None, OBSERVED, Times(0.0, 3.0, 12.0), SPLITTING),
    "pulse": (PULSE, OBSERVED, Times(0.0, 0.0, 12.0), SPLITTING),
    "pulse, transient and samples": (
        PULSE,
        OBSERVED | {"trace": Samples((3.0, 4.0, 11.0))},
        Times(0.0, 1.0, 12.0, (3.0, 4.0, 11.0)),
        SPLITTING,
    ),
    "fixed Runge-Kutta": (
        PULSE,
        {"last": Final(), "mean": Mean("v")},
        Times(0.0, 0.0, 6.0),
        Uniform(RKStretch(diffrax.Tsit5()), RKFlow(diffrax.Tsit5()), pairs=False, smooth=False),
    ),
    "adaptive Runge-Kutta": (
        PULSE,
        {"last": Final(), "peak": Peak("r")},
        Times(0.0, 0.0, 6.0),
        Adaptive(diffrax.Tsit5(), 1e-4, 1e-5, 1000),
    ),
}


def arguments(name, group, block, dtype):
    """The task of a case, and `group` blocks of lanes with their own numbers of steps."""
    stimulus, observables, times, method = CASES[name]
    cast = lambda tree: jax.tree.map(lambda each: jnp.asarray(each, dtype), tree)
    model = MPR(eta=1.0, J=8.0, Delta=0.3, tau=1.2)
    base = cast(Problem(model, model.state({"r": 0.3, "v": -0.5}), stimulus))
    rng = np.random.default_rng(0)
    values = {"eta": rng.uniform(-3, 4, (group, block)), "J": rng.uniform(-5, 15, (group, block))}
    stretches = 1 if stimulus is None else 1 + stimulus.jumps().size
    counts = 60 + 20 * np.arange(group)
    observed = np.broadcast_to(counts[:, None, None], (group, times.observed.size - 1, stretches))
    transient = np.broadcast_to(counts[:, None] // 2, (group, stretches)) if times.transient else None
    steps = jax.tree.map(lambda each: jnp.asarray(each, jnp.int32), (transient, observed))
    task = Task(Build(("eta", "J")), method, tuple(observables.items()), times)
    return task, (base, cast(values), steps)


def check_equal(ours, theirs, dtype):
    """Equal but for rounding, which near-ties of maxima may magnify in a lane or two."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    rtol = 1e-10 if dtype == "float64" else 2e-3
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        near = np.isclose(a, b, rtol=rtol, atol=rtol, equal_nan=True)
        assert np.mean(near) > (0.999 if dtype == "float64" else 0.98)


QUICK = ("fixed Runge-Kutta",)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *(pytest.param(name, "float64", marks=[] if name in QUICK else pytest.mark.slow) for name in CASES),
        pytest.param("pulse, transient and samples", "float32", marks=pytest.mark.slow),
    ],
)
def test_kernel_equals_xla(name, dtype):
    task, args = arguments(name, 2, 40, dtype)
    # 40 lanes are no multiple of 32: each block takes two programs, the second one filled up.
    ours = kernel_call(task, 32, "triton", True)(*args)
    check_equal(ours, compiled(task, 2, "cpu")(*args), dtype)


@pytest.mark.skipif(not hasattr(mosaic_gpu, "InterpretGPUParams"), reason="this JAX has no interpreter for Mosaic GPU")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("transient", "float64"), ("transient", "float32"), ("adaptive Runge-Kutta", "float64")],
)
def test_mosaic_kernel_equals_xla(name, dtype):
    task, args = arguments(name, 2, 128, dtype)
    check_equal(kernel_call(task, 128, "mosaic", True)(*args), compiled(task, 2, "cpu")(*args), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["fixed Runge-Kutta", pytest.param("pulse, transient and samples", marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", ["mosaic", "triton"])
def test_kernel_translates_for_cuda(backend, name, dtype):
    """All operations have a translation: all that can be said without a GPU."""
    task, args = arguments(name, 1, 128, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            lowered = kernel_call(task, 128, backend).trace(*args).lower(lowering_platforms=("cuda",))
        except RuntimeError as error:
            if "No supported GPU devices" in str(error):
                pytest.skip("this JAX asks the GPU itself")
            raise
    assert ("mosaic" if backend == "mosaic" else "triton") in lowered.as_text()


def test_number_of_kernels():
    """One kernel per time loop, not one per step: the transient and the observed time."""
    task, args = arguments("transient", 2, 32, "float64")
    text = str(jax.make_jaxpr(kernel_call(task, 32, "triton", True))(*args))
    assert text.count("pallas_call[") == 2


@pytest.mark.slow
def test_blocks_take_their_own_steps():
    task, args = arguments("transient", 3, 16, "float64")
    steps = kernel_call(task, 16, "triton", True)(*args)[".progress"].steps
    np.testing.assert_array_equal(steps, np.broadcast_to(np.array([[90], [120], [150]]), (3, 16)))


def test_best_call_on_cpu_is_xla():
    task, args = arguments("plain", 2, 8, "float64")
    call, how = best_call(task, 128, args)
    assert how == "xla" and call is compiled(task, 2, "cpu")
    # With one device, the engine leaves it to the call to move its arguments.
    assert best_call(task, 128, jax.tree.map(np.asarray, args)) == (call, how)


def test_best_call_falls_back_with_reasons():
    task, args = arguments("fixed Runge-Kutta", 2, 8, "float64")
    with pytest.warns(UserWarning, match=r"plain XLA runs it \(mosaic: .*; triton: .*\)\.$") as caught:
        call, how = best_call(task, 128, args, backends=("mosaic", "triton"))
    assert how == "xla" and "\n" not in str(caught[0].message)
    ours, theirs = call(*args), compiled(task, 2, "cpu")(*args)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    check_equal(ours, theirs, "float64")
    np.testing.assert_array_equal(ours[".progress"].steps, theirs[".progress"].steps)


def test_wrong_kernels_are_found():
    task, args = arguments("fixed Runge-Kutta", 1, 64, "float32")
    right = compiled(task, 1, "cpu")(*args)
    assert _agree(right, right)
    assert not _agree(right | {"mean": right["mean"] * 1.1}, right)
    assert not _agree(right | {"mean": right["mean"] * jnp.nan}, right)


def test_comparison_takes_few_steps(monkeypatch):
    """Long runs are compared with fewer steps, of the block that has the fewest."""
    task, (base, values, steps) = arguments("fixed Runge-Kutta", 2, 8, "float64")
    taken, right = [], compiled(task, 2, "cpu")
    wrong = lambda base, values, steps: jax.tree.map(lambda each: each + 1, right(base, values, steps))

    def call(base, values, steps):
        taken.append(np.asarray(steps[1]).sum(axis=(1, 2)).tolist())
        return right(base, values, steps)

    assert kernel._confirmed(call, task, (base, values, steps), "cpu")
    monkeypatch.setattr(kernel, "_COMPARED", 90)
    assert kernel._confirmed(call, task, (base, values, steps), "cpu") and taken == [[180, 240], [90, 120]]
    assert not kernel._confirmed(wrong, task, (base, values, steps), "cpu")


def test_recorded_input_is_refused_not_wrong():
    """A look-up table inside the loop has no kernel: the translation refuses it, so `best_call` ends with XLA."""
    task, (base, values, _) = arguments("plain", 1, 128, "float64")
    stimulus = Sampled(np.linspace(0, 12, 5), np.array([0.0, 1.0, 0.0, 2.0, 0.0]))
    base = Problem(base.model, base.y0, stimulus)
    steps = (None, jnp.full((1, 1, 6), 10, jnp.int32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(Exception):  # noqa: B017
            kernel_call(task, 128, "mosaic").trace(base, values, steps).lower(lowering_platforms=("cuda",))
