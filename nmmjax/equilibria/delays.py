"""Linear stability of networks with delays: the derivatives that `numerics/delayed.py` needs, of any nodes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._types import ComplexValues
from ..models.state import State
from ..numerics.compiling import jitted
from ..numerics.delayed import Delayed, generator
from .stability import jacobian

_SIZES = (600, 400)  # unknowns of the generator up to which points of the past are many, and enough, where it is compiled


@jitted
def linearized_with_delays(network: Any, y: State, I: Any = 0.0) -> Delayed:
    """The equations of small deviations from a resting state `y` of a network under the constant input `I`, () or (n,)."""
    nodes, sent = network.nodes(), network.undelayed().sent(y)
    received = network.coupling(sent) + I
    first = y.values[0]
    A = jax.vmap(jacobian)(nodes, y, received)
    into = lambda node, y, I: ravel_pytree(node.vector_field(jnp.zeros((), first.dtype), y, I))[0]
    b = jax.vmap(jax.jacfwd(into, argnums=2))(nodes, y, received)
    out = lambda node, y: ravel_pytree(jax.grad(node.sent)(y))[0]
    s = jax.vmap(lambda node, y: out(node, y))(nodes, y)
    delays = network.coupling.delays()
    M = network.coupling.dense()
    return Delayed(A, b, s, M, jnp.zeros_like(M) if delays is None else delays.astype(M.dtype))


def points_of(unknowns: int, n: int) -> int:
    """Points of the past that are affordable where many states of n nodes are looked at in compiled code."""
    return int(np.clip((_SIZES[0] - unknowns) // n, 8, 32))


def leading_roots(linear: Delayed) -> ComplexValues:
    """As many rightmost characteristic roots as there are unknowns at one time, by decreasing real part, in compiled code:
    eigenvalues of the generator, accurate while the points resolve e^(−λD), |λ| D below their number."""
    count = points_of(linear.size, linear.b.shape[0])
    values = jnp.linalg.eigvals(generator(linear, count))
    order = jnp.argsort(-jnp.real(values))[: linear.size]
    return values[order]
