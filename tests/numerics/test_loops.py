"""Loops with an end that reverse mode can go through."""

import jax
import jax.numpy as jnp
import numpy as np

from nmmjax.numerics.loops import counted, scan_while


def test_scan_while_stops_and_can_be_differentiated():
    def many(x):
        def step(carry, _):
            return carry * x, carry

        carry, seen = scan_while(lambda carry: carry < 100.0, step, jnp.ones(()), 40, 4)
        return carry, seen

    carry, seen = many(2.0)
    assert carry == 2.0**8 and seen.shape == (40,) and seen[7] == 2.0**7 and np.all(seen[8:] == 0)
    assert jax.grad(lambda x: many(x)[0])(2.0) == 8 * 2.0**7
    both, _ = jax.vmap(many)(jnp.asarray([2.0, 3.0]))  # goes on until no lane does
    np.testing.assert_allclose(both, [2.0**8, 3.0**8])


def test_a_counted_loop_has_derivatives_by_reverse_mode():
    power = lambda x, count: counted(count, lambda k, y: y * x, jnp.ones(()), 3)
    assert power(2.0, jnp.asarray(10)) == 2.0**10
    assert jax.jit(jax.grad(power))(2.0, jnp.asarray(10)) == 10 * 2.0**9
    assert power(2.0, jnp.asarray(0)) == 1.0
