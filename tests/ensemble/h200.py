"""Sweeps compiled for an H200 that isn't there, for the tests of the GPU path: needs three wheels and no driver (extra
`gpu-test`). XLA's whole pipeline runs, to machine code; Triton's and Mosaic's kernels included.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import re
import tempfile
import warnings

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import mosaic_gpu

import nmmjax as nmm
from nmmjax.ensemble.folding import Times, Uniform
from nmmjax.ensemble.kernel import kernel_call, plain_call
from nmmjax.ensemble.noise import NoisyStretch, no_flow
from nmmjax.ensemble.observables import Final, LastFinite, Mean, Samples, Variance
from nmmjax.ensemble.plan import Build
from nmmjax.ensemble.runge_kutta import Adaptive, RKFlow, RKStretch
from nmmjax.ensemble.splitting import splitting_flow, splitting_stretch
from nmmjax.ensemble.task import Task
from nmmjax.ensemble.turning_points import Peak, Period, SpikeCount
from nmmjax.mechanics.channels import Problem

WIDTH, BACKENDS, DTYPES = 128, ("mosaic", "triton"), ("float64", "float32")
SWEPT = {"eta": (-6, 6), "J": (-10, 20), "Delta": (0.02, 1)}
FOUR = {"last": Final(), "peak": Peak("r"), "mean": Mean("r"), "energy": Mean("energy")}
SPLITTING = Uniform(splitting_stretch, splitting_flow, pairs=False)
TSIT5 = Uniform(RKStretch(diffrax.Tsit5()), RKFlow(diffrax.Tsit5()), pairs=False, smooth=False)
ONCE = Times(0.0, 0.0, 6.0)


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of sweep: what it observes, how it is solved, under which input, and by what it is differentiated."""

    observables: dict
    times: Times = ONCE
    stimulus: object = None
    method: object = SPLITTING
    gradient: tuple[str, ...] = ()
    noise: bool = False


CASES = {
    "final": Case({"last": Final()}),
    "four": Case(FOUR),
    "default": Case({"peak": Peak("r"), "mean": Mean("r"), "var": Variance("v")}, Times(0.0, 1.0, 6.0)),
    "spikes": Case({"last": Final(), "count": SpikeCount(), "period": Period()}),
    "pulse": Case(
        FOUR | {"trace": Samples((3.0, 4.0, 5.5))}, Times(0.0, 1.0, 6.0, (3.0, 4.0, 5.5)), nmm.Pulse(3.0, 2.0, 4.5)
    ),
    "sine": Case(FOUR, stimulus=nmm.Sinusoid(3.0, 0.157)),
    "recorded": Case(FOUR, stimulus=nmm.Sampled(np.linspace(0.0, 6.0, 7), np.linspace(0.0, 1.0, 7) ** 2)),
    "noise": Case({"mean": Mean("r")}, method=Uniform(NoisyStretch(False), no_flow, pairs=False, smooth=False), noise=True),
    "fixed": Case({"last": Final()}, method=TSIT5),
    "adaptive": Case({"last": Final()}, method=Adaptive(diffrax.Tsit5(), 1e-5, 1e-6, 2**22)),
    "gradient": Case({"last": Final()}, gradient=tuple(SWEPT)),
    "gradient of four": Case(FOUR, Times(0.0, 1.0, 6.0), gradient=("eta", "J")),
    "adaptive gradient": Case({"last": Final()}, method=Adaptive(diffrax.Tsit5(), 1e-5, 1e-6, 2**22), gradient=("eta", "J")),
    "adaptive spikes": Case({"peak": Peak("r"), "count": SpikeCount()}, method=Adaptive(diffrax.Tsit5(), 1e-5, 1e-6, 2**22)),
    "failed": Case({"t": LastFinite()}),
}


# Kernels that a back end can't express; every other case has one for each of its loops.
LACKING = {("recorded", "mosaic"), ("recorded", "triton")}  # a look-up in a table


def sweep(name, dtype, blocks=2, steps=60):
    """The task of a case, and arguments for `blocks` of `WIDTH` lanes; later blocks take more steps."""
    case = CASES[name]
    cast = lambda tree: jax.tree.map(lambda each: np.asarray(each, dtype), tree)
    model = nmm.MPR()
    base = cast(Problem(model, model.state({"r": 0.1, "v": -1.0}), case.stimulus))
    draw = np.random.default_rng(7)
    values = {each: draw.uniform(*ends, (blocks, WIDTH)).astype(dtype) for each, ends in SWEPT.items()}
    if case.noise:
        base = Problem(base.model, base.y0, None, np.asarray(0.4, dtype), jnp.zeros(2, jnp.uint32))
        values["key"] = draw.integers(0, 2**32, (blocks, WIDTH, 2), np.uint32)
    stretches = 1 if case.stimulus is None else 1 + case.stimulus.jumps().size
    counts = (steps + 20 * np.arange(blocks)).astype(np.int32)
    observed = np.broadcast_to(counts[:, None, None], (blocks, case.times.observed.size - 1, stretches)).copy()
    transient = np.broadcast_to(counts[:, None] // 2, (blocks, stretches)).copy() if case.times.transient else None
    task = Task(Build(tuple(values)), case.method, tuple(case.observables.items()), case.times, case.gradient)
    return task, (base, values, (transient, observed))


def device():
    """The GPU described in `h200.txtpb`, to compile for; skips the test where the wheels are not installed."""
    from jax.experimental import topologies

    pytest.importorskip("jax_cuda13_plugin", reason="wheels of the extra gpu-test are not installed")
    assert jax.config.jax_platforms == "cpu", "run with JAX_PLATFORMS=cpu: the plugin then asks no driver for devices"
    jax.devices()  # loads the plugin
    target = pathlib.Path(__file__).with_name("h200.txtpb").read_text()
    return topologies.get_topology_desc(platform="cuda", target_config=target, topology="1x1x1").devices[0]


def meant_for(device, backend):
    """Context in which Pallas' Triton lowers for `device`: it asks the default device, here a CPU, unless a mesh says
    otherwise. Not for Mosaic, which takes Hopper where it finds nothing and can't lower constants within a mesh."""
    if backend != "triton":
        return contextlib.nullcontext()
    kind = jax.sharding.AbstractDevice(device_kind=device.device_kind, num_cores=132, platform="gpu")
    auto = (jax.sharding.AxisType.Auto,)
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("x",), auto, abstract_device=kind))


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A compiled program: its optimised HLO, the PTX of its kernels, and what Mosaic's passes logged of each."""

    hlo: str
    ptx: tuple[str, ...]
    logs: tuple[str, ...]

    @property
    def kernels(self):
        """The number of Pallas kernels in it."""
        return len(re.findall(r'custom_call_target="(?:mosaic_gpu|__gpu\$xla\.gpu\.triton)', self.hlo))


_numbers = itertools.count()


def _named(kernel):
    """`mosaic_gpu.kernel` with a new name for every kernel: those that it knows by their text it doesn't write out again."""

    @functools.wraps(kernel)  # its signature is asked for
    def named(body, **options):
        numbered = lambda *refs: body(*refs)
        numbered.__name__ = f"kernel_{next(_numbers)}"
        return kernel(numbered, **options)

    return named


def compile_for(device, call, arguments, backend):
    """`call`, a jitted function of `arguments`, compiled for `device`."""
    here = jax.sharding.SingleDeviceSharding(device)
    shaped = jax.tree.map(lambda each: jax.ShapeDtypeStruct(np.shape(each), each.dtype, sharding=here), arguments)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), meant_for(device, backend):
        warnings.simplefilter("ignore", DeprecationWarning)
        options = {"xla_dump_to": f"{folder}/xla", "xla_dump_hlo_as_text": True, "xla_dump_emitter_re": ".*ptx.*"}
        pathlib.Path(folder, "mosaic").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"TO": f"{folder}/mosaic", "PTX": "1", "PTXAS": "1"}.items():
                patch.setenv(f"MOSAIC_GPU_DUMP_{name}", value)
            patch.setattr(mosaic_gpu, "kernel", _named(mosaic_gpu.kernel))
            done = call.trace(*shaped).lower(lowering_platforms=("cuda",)).compile(compiler_options=options)
        made = sorted(pathlib.Path(folder, "mosaic" if backend == "mosaic" else "xla").rglob("*.ptx"), key=os.path.getmtime)
        made = [path for path in made if ".entry" in path.read_text()]  # else a module of constants
        logs = [path.with_suffix(".mlir-passes.log") for path in made]
        texts = [path.read_text() if path.exists() else "" for path in logs]
        return Compiled(done.as_text(), tuple(path.read_text() for path in made), tuple(texts))


def compiled_case(name, backend, dtype):
    """A case compiled for the H200 by `backend`."""
    task, arguments = sweep(name, dtype)
    call = plain_call(task) if backend == "xla" else kernel_call(task, WIDTH, backend)
    return compile_for(device(), call, arguments, backend)
