"""Loop carries as few arrays.

On a CPU, XLA compiles every output of a loop body into a kernel of its own and recomputes in each what they share. Two
floats in one complex number come out of one kernel: a population's step is computed once instead of twice.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def packer(example: Any, pairs: bool) -> tuple[Callable[[Any], tuple[Any, ...]], Callable[[tuple[Any, ...]], Any]]:
    """(pack, unpack) for pytrees of real arrays like `example`: those of equal shape into complex pairs, or all as they are
    if not `pairs`."""
    leaves, treedef = jax.tree.flatten(example)
    by_shape: dict[Any, list[int]] = {}
    for number, leaf in enumerate(leaves):
        by_shape.setdefault(jnp.shape(leaf), []).append(number)
    together = [same[k : k + 2] for same in by_shape.values() for k in range(0, len(same), 2)]

    def pack(tree) -> tuple[Any, ...]:
        flat = jax.tree.leaves(tree)
        if not pairs:
            return tuple(flat)
        return tuple(jax.lax.complex(*(flat[k] for k in pair)) if len(pair) == 2 else flat[pair[0]] for pair in together)

    def unpack(packed: tuple[Any, ...]) -> Any:
        if not pairs:
            return jax.tree.unflatten(treedef, packed)
        flat: list[Any] = [None] * len(leaves)
        for pair, each in zip(together, packed, strict=True):
            for k, part in zip(pair, (each.real, each.imag) if len(pair) == 2 else (each,), strict=True):
                flat[k] = part
        return jax.tree.unflatten(treedef, flat)

    return pack, unpack
