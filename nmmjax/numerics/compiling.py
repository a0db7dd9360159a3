"""How the library's own functions are compiled."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._types import is_concrete

# Of programs whose steps are short, and whose blocks already keep every core busy: vectors as wide as the machine's, and no
# kernel split over cores (3.5 times slower).
CPU_OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_disable_hlo_passes": "cpu-parallel-task-assigner"}
# Of all others, which are compiled more often than they run long: XLA's older way to emit loops takes two thirds of the
# time, and its programs at most a fifth longer. Unknown options are errors, and these were tried with JAX 0.10.
SOON_OPTIONS = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__[:2] == (0, 10) else {}


def jitted(function: Callable[..., Any], options: Mapping[str, Any] = SOON_OPTIONS) -> Callable[..., Any]:
    """`equinox.filter_jit`, on a CPU with options of the compiler, by default those that compile soonest.

    As a part of another program, inside of `jax.jit`, a loop or a compiled function, that program's options hold; so do
    JAX's own where derivatives are taken, or batches made, of what is called.
    """
    compiled: Any = eqx.filter_jit
    plain, own = compiled(function), compiled(function, compiler_options=dict(options))

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return (own if options and _is_program(arguments, named) else plain)(*arguments, **named)

    return call


def _is_program(*given: Any) -> bool:
    """Whether what is compiled with this input becomes a program of its own, on a CPU."""
    known = all(map(is_concrete, jax.tree.leaves(given)))
    return known and jax.default_backend() == "cpu" and is_concrete(jax.lax.neg(np.float32(1)))
