"""Loops with an end that reverse mode can go through."""

import jax
import jax.numpy as jnp
import numpy as np

from nmmjax.numerics.loops import counted, runge_kutta, scan_while


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


def test_runge_kutta_is_of_order_4_in_a_step_that_depends_on_its_place():
    """dy/dx = (2x y, cos x) from x = 0: y = (exp x², sin x)."""

    def error(steps):
        h, y = 1.0 / steps, {"a": jnp.ones(()), "b": jnp.zeros(2)}
        for k in range(steps):
            x = lambda share, k=k: (k + share) * h
            y = runge_kutta(lambda s, y, x=x: {"a": 2 * x(s) * y["a"], "b": jnp.cos(x(s)) + 0 * y["b"]}, y, jnp.asarray(h))
        return abs(float(y["a"]) - np.e), float(jnp.max(jnp.abs(y["b"] - jnp.sin(1.0))))

    np.testing.assert_allclose(np.log2(np.divide(error(8), error(16))), 4, atol=0.2)
