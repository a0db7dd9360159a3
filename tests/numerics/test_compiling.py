"""Functions compiled with options of the compiler, wherever they are called from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmmjax.numerics.compiling import CPU_OPTIONS, SOON_OPTIONS, jitted

CUBE = [jitted(lambda x: x**3), jitted(lambda x: x**3, CPU_OPTIONS | SOON_OPTIONS), jitted(lambda x: x**3, {})]


@pytest.mark.parametrize("cube", CUBE)
def test_wherever_it_is_called(cube):
    x = jnp.arange(1.0, 4.0)
    assert np.array_equal(cube(x), x**3)
    assert np.allclose(jax.vmap(cube)(x), x**3)
    assert np.allclose(jax.jit(cube)(x), x**3)
    assert np.allclose(jax.jit(lambda y: y + cube(x))(x), x + x**3)  # known inside, and yet a part of that program
    assert np.allclose(jax.lax.scan(lambda carry, y: (carry, cube(y)), 0.0, x)[1], x**3)


@pytest.mark.parametrize("cube", CUBE)
@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev, jax.hessian])
def test_derivatives(cube, mode):
    x = jnp.arange(1.0, 4.0)
    wanted = jnp.diag(3 * x**2) if mode is not jax.hessian else None
    found = mode(cube)(x)
    if wanted is None:
        assert np.allclose(np.einsum("iii->i", found), 6 * x)
    else:
        assert np.allclose(found, wanted)
    assert np.allclose(jax.jit(mode(cube))(x), found)


def test_at_compile_time():
    def f(y):
        with jax.ensure_compile_time_eval():
            return y * float(CUBE[0](jnp.asarray(2.0)))

    assert np.allclose(jax.jit(f)(jnp.asarray(1.0)), 8.0)


def test_options_are_known_to_the_compiler():
    for options in (CPU_OPTIONS, SOON_OPTIONS):
        assert float(jax.jit(jnp.sin, compiler_options=dict(options))(0.0)) == 0.0
