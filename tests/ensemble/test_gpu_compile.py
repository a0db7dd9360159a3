"""Every kind of sweep compiles to machine code for an H200, on a machine without a GPU and a driver, and no case that has a
fused kernel loses it. In an environment of its own, since the CUDA plugin is of no use to other tests:

    pip install '.[test,gpu-test]' && JAX_PLATFORMS=cpu python -m pytest -m gpu_compile tests/ensemble
"""

import re

import h200
import pytest

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
