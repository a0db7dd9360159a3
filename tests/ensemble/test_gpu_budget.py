"""Registers and instructions per step of the time loops that Mosaic compiles for an H200 stay within budgets.

In the environment of `test_gpu_compile.py`. A warp issues one instruction per cycle, so instructions per step bound a sweep
(benchmarks/README.md tells the throughput that follows); no loop may spill registers, and those of equal steps touch no
memory. Budgets are what was measured (JAX 0.10, ptxas 13.5) and 5 %; a gain is written down here.
"""

import h200
import pytest
import sass

pytestmark = pytest.mark.gpu_compile
# Instructions per step and registers, in float64 and in float32; the loop after t0.
MEASURED = {
    "final": ((37, 40), (31, 31)),
    "four": ((182, 92), (97, 56)),
    "default": ((79, 81), (58, 56)),
    "spikes": ((172, 92), (100, 64)),
    "pulse": ((262, 117), (140, 71)),
    "sine": ((368, 120), (579, 71)),
    "noise": ((218, 75), (174, 52)),
    "fixed": ((345, 69), (135, 43)),
    "adaptive": ((745, 93), (307, 54)),
    "gradient": ((94, 74), (83, 56)),
}
# Sines of large angles have a slow path with memory; adaptive steps end when all lanes of a block do, which they tell.
WITH_MEMORY = {"sine", "adaptive"}


@pytest.mark.parametrize("dtype", h200.DTYPES)
@pytest.mark.parametrize("name", [pytest.param(each, marks=[] if each == "four" else pytest.mark.slow) for each in MEASURED])
def test_a_step_costs_no_more_than_its_budget(name, dtype):
    sass.tools()
    loops = [sass.time_loop(each) for each in h200.compiled_case(name, "mosaic", dtype).ptx]
    instructions, registers = MEASURED[name][h200.DTYPES.index(dtype)]
    longest = max(loops, key=lambda each: each.instructions)
    assert longest.instructions <= 1.05 * instructions and longest.registers <= 1.05 * registers, longest
    assert all(each.spills == 0 and (each.memory == 0 or name in WITH_MEMORY) for each in loops), loops
    assert dtype == "float64" or longest.doubles == 0 or name == "sine"  # whose slow path reduces angles in doubles
