"""Layer 5: loop carries as few arrays.

On a CPU, XLA compiles every output of a loop body into a kernel of its own and recomputes in each what they share. Two
floats in one complex number come out of one kernel: a population's step is computed once instead of twice.
"""

from collections.abc import Callable
from typing import Any

import jax


def packer(example: Any, pairs: bool) -> tuple[Callable[[Any], tuple[Any, ...]], Callable[[tuple[Any, ...]], Any]]:
    """(pack, unpack) for pytrees of real scalars like `example`: into complex pairs, or as they are if not `pairs`."""
    leaves, treedef = jax.tree.flatten(example)
    count = len(leaves)

    def pack(tree: Any) -> tuple[Any, ...]:
        flat = jax.tree.leaves(tree)
        if not pairs:
            return tuple(flat)
        two = zip(flat[0::2], flat[1::2], strict=False)
        return tuple(jax.lax.complex(a, b) for a, b in two) + ((flat[-1],) if count % 2 else ())

    def unpack(packed: tuple[Any, ...]) -> Any:
        if not pairs:
            return jax.tree.unflatten(treedef, packed)
        flat = [part for each in packed[: count // 2] for part in (each.real, each.imag)]
        return jax.tree.unflatten(treedef, flat + list(packed[count // 2 :]))

    return pack, unpack
