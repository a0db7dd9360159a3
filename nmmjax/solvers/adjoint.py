"""Choice of the adjoint by the derivative that is being taken."""

from typing import Any

import diffrax
import jax
from jax.core import Tracer


def adjoint_for(inputs: Any) -> Any:
    """The adjoint that supports the derivatives being taken by `inputs`; their tracers tell forward from reverse mode."""
    kinds: set[tuple[bool, int]] = set()
    for each in jax.tree.leaves(inputs):
        leaf: Any = each
        while isinstance(leaf, Tracer):
            name, inner = type(leaf).__name__, getattr(leaf, "primal", None)
            if inner is not None:
                backward = name == "LinearizeTracer" or type(getattr(leaf, "tangent", None)).__name__ == "JaxprTracer"
                kinds.add((backward, id(leaf._trace)))
            leaf = getattr(leaf, "val", None) if inner is None else inner
    if not any(backward for backward, _ in kinds):
        return diffrax.ForwardMode() if kinds else diffrax.RecursiveCheckpointAdjoint()
    return diffrax.RecursiveCheckpointAdjoint() if len(kinds) == 1 else diffrax.DirectAdjoint()
