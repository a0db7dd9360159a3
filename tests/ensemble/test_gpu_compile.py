"""Every kind of sweep compiles to machine code for an H200, on a machine without a GPU and a driver, and no case that has a
fused kernel loses it. In an environment of its own, since the CUDA plugin is of no use to other tests:

    pip install '.[test,gpu-test]' && JAX_PLATFORMS=cpu python -m pytest -m gpu_compile tests/ensemble
"""

import re

import h200
import jax
import numpy as np
import pytest

import nmmjax as nmm
from nmmjax.ensemble.kernel import plain_call
from nmmjax.ensemble.on_device import Programs, Recipe

pytestmark = pytest.mark.gpu_compile
CASES = [(name, backend) for name in h200.CASES for backend in h200.BACKENDS]
LOOPS = {name: 1 + case.times.transient for name, case in h200.CASES.items()}


@pytest.mark.parametrize("dtype", h200.DTYPES)
@pytest.mark.parametrize(("name", "backend"), [each for each in CASES if each not in h200.LACKING])
def test_every_time_loop_is_one_kernel(name, backend, dtype):
    compiled = h200.compiled_case(name, backend, dtype)
    assert compiled.kernels == LOOPS[name]
    assert len(compiled.ptx) >= compiled.kernels


@pytest.mark.parametrize(("name", "backend"), sorted(h200.LACKING))
def test_what_has_no_kernel_is_refused(name, backend):
    """Listed so that a kernel gained is noticed as well."""
    with pytest.raises((NotImplementedError, ValueError)):
        h200.compiled_case(name, backend, "float64")


@pytest.mark.parametrize("name", ["four", "recorded", "adaptive", "gradient"])
def test_plain_xla_looks_at_its_condition_once_in_many_steps(name):
    """Steps within a loop of known length: no copy to the host after each."""
    hlo = h200.compiled_case(name, "xla", "float64").hlo
    assert re.search(r'known_trip_count":\{"n":"32"', hlo)
    assert "opt-barrier" not in hlo


@pytest.mark.parametrize("dtype", h200.DTYPES)
@pytest.mark.parametrize("several", [False, True], ids=["one stretch", "several"])
def test_what_lanes_need_between_their_runs_compiles(several, dtype):
    """Sorting, gathering, comparing and putting together."""
    observe = {"peak": nmm.Peak("r"), "mean": nmm.Mean("r")}
    with jax.enable_x64(dtype == "float64"):
        stimulus = nmm.Pulse(3.0, 2.0, 2.5) if several else None
        over = {"eta": ("lane", np.linspace(-3.0, 3.0, 256))}
        plan = nmm.plan_sweep(nmm.MPR(), over=over, y0={"r": 0.1, "v": -1.0}, t1=4.0, observe=observe, stimulus=stimulus)
        values = plan.values(np.arange(256))
        recipe = Recipe.of(plan, tuple(values), 128)
        do, place = Programs(recipe), h200.device()

        def shaped(function, *given):
            h200.compile_for(place, function, given, "xla")
            return jax.eval_shape(function, *given)

        lanes = shaped(do.begin, values, *jax.eval_shape(do.prepare, plan.base, values), np.int32(256))
        given, steps, slot = shaped(do.arrange, lanes)
        run = lambda task: jax.eval_shape(plain_call(task), plan.base, given, steps)
        lanes, _ = shaped(do.first, lanes, run(recipe.task), steps, slot)
        lanes, _ = shaped(do.further, plan.base, lanes, run(recipe.task), steps, slot)
        lanes, _ = shaped(do.failed, lanes, np.int32(256))
        lanes = shaped(do.timed, lanes, run(recipe.task.watch()), slot)
        assert set(shaped(do.finish, lanes)) == set(plan.variables)
