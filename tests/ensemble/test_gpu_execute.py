"""Kernels compiled for an H200 equal XLA on this CPU: their PTX is executed by an interpreter, 256 lanes of each case.

In the environment of `test_gpu_compile.py`; other cases than two are slow (`-m "gpu_compile and slow"`).
"""

import re

import equinox as eqx
import h200
import jax
import numpy as np
import ptx
import pytest

from nmmjax.ensemble import kernel
from nmmjax.ensemble.task import compiled

pytestmark = pytest.mark.gpu_compile
QUICK = {("four", "mosaic"), ("gradient", "mosaic")}
CASES = [(name, backend) for name in h200.CASES for backend in h200.BACKENDS if (name, backend) not in h200.LACKING]
# Random numbers are of single precision in both.
NOISY = {"noise"}


def taken(log):
    """Which of its operands and results a Mosaic kernel takes: those that it doesn't use are dropped."""
    at = log.rindex(" = gpu.launch_func")
    host = log[:at]
    host = host[host.rindex("func.func @") :]
    given = re.search(r" args\(([^)]*)\)", log[at:])[1]
    loads = dict(re.findall(r"(%\w+) = llvm\.load (%\w+) :", host))
    places = {name: int(k) for name, k in re.findall(r"(%\w+) = llvm\.getelementptr %\w+\[(\d+)\]", host)}
    return [places.get(loads[each], 0) for each in re.findall(r"(%\w+) : !llvm.ptr", given)]


def buffers_of(made, backend, operands, results):
    """The one kernel in a compiled program, and which of the operands, then results, are its parameters."""
    number = {name: int(k) for name, k in re.findall(r"%([\w.-]+) = \S+ parameter\((\d+)\)", made.hlo)}
    call = re.search(r'custom-call\(([^)]*)\), custom_call_target="(?:mosaic_gpu|__gpu\$xla\.gpu\.triton)', made.hlo)
    used = [number[each] for each in re.findall(r"%([\w.-]+)", call[1])]
    places = [*used, *range(operands, operands + results)]
    found = [ptx.Kernel(each) for each in made.ptx]
    if backend == "mosaic":
        places = [places[k] for k in taken(made.logs[0])]
    (own,) = [each for each in found if len(each.parameters) == len(places)]
    return own, places


def executed(original, backend, device, done):
    """In place of `kernel._mosaic` or `_triton`: compiled for the GPU, executed here; `done` counts instructions."""

    def launch(body, inputs, shapes, interpret):
        del interpret
        call = jax.jit(lambda *given: original(body, given, shapes, False), keep_unused=True)
        made = h200.compile_for(device, call, tuple(inputs), backend)
        own, places = buffers_of(made, backend, len(inputs), len(shapes))

        def run(*given):
            out = [np.zeros(each.shape, each.dtype) for each in shapes]
            every = [*(np.array(each) for each in given), *out]
            done.append(own.run(inputs[0].shape[0], h200.WIDTH, [every[k] for k in places]))
            return tuple(out)

        return jax.pure_callback(run, shapes, *inputs)

    return launch


def worst(ours, theirs):
    """The largest relative difference of any lane in any result, the median, and the 99th percentile. The length of steps
    that an adaptive method would take next is left out: it is made of a difference, the error."""
    parts, place = [], lambda out: eqx.tree_at(lambda out: (out[".progress"].h, out[".progress"].longest), out, (0, 0))
    for a, b in zip(jax.tree.leaves(place(ours)), jax.tree.leaves(place(theirs)), strict=True):
        a, b = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
        parts.append(np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b) / (np.abs(b) + 1e-9)))
    every = np.concatenate(parts)
    every = np.where(np.isnan(every), np.inf, every)
    return every.max(), np.median(every), np.quantile(every, 0.99)


def both(name, backend, dtype, monkeypatch):
    """Results of a case by the compiled kernels, and by XLA; and the instructions that each kernel took."""
    task, (base, values, steps) = h200.sweep(name, dtype)
    device, done = h200.device(), []
    own = f"_{backend}"
    monkeypatch.setattr(kernel, own, executed(getattr(kernel, own), backend, device, done))
    ours = kernel._kernel_call(task, h200.WIDTH, backend)(base, values, steps)
    theirs = compiled(task, 2, "cpu")(base, values, steps)
    return jax.device_get(ours), jax.device_get(theirs), done


@pytest.mark.parametrize(
    ("name", "backend"), [pytest.param(*each, marks=[] if each in QUICK else pytest.mark.slow) for each in CASES]
)
def test_compiled_kernels_equal_xla(name, backend, monkeypatch):
    ours, theirs, done = both(name, backend, "float64", monkeypatch)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs) and all(count > 1000 for count in done)
    largest, median, _ = worst(ours, theirs)
    assert largest < (5e-3 if name in NOISY else 1e-8) and median < (1e-6 if name in NOISY else 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["final", "four"])
def test_in_single_precision_they_do_but_for_rounding(name, monkeypatch):
    ours, theirs, _ = both(name, "mosaic", "float32", monkeypatch)
    _, median, most = worst(ours, theirs)
    assert median < 1e-6 and most < 2e-2
