"""Functions traced by JAX and written as JavaScript give the same numbers in a browser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmmjax.explorer.javascript import translate

X, A = jnp.asarray([0.3, -1.2, 2.5]), jnp.asarray([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5], [2.0, 0.0, 1.0]])


def _complex(a, b):
    return jnp.real(jnp.sqrt(a) * b / (a + 2 * b)) + jnp.imag(jnp.sqrt(b) * jnp.conj(a) - a**2)


FUNCTIONS = {
    "arithmetic": lambda x: (x + 2) * x / (x - 5) - x**3 + x**-2 + (-x) ** 4,
    "transcendental": lambda x: (
        jnp.exp(x) + jnp.log1p(x**2) + jnp.sin(x) * jnp.cos(x) - jnp.tanh(x) + jnp.expm1(x) + jnp.arctan2(x, x + 2)
    ),
    "roots": lambda x: jnp.sqrt(x**2 + 1) + jnp.cbrt(x) + jnp.abs(x) ** 1.5 + jax.lax.rsqrt(x**2 + 1) + jax.nn.sigmoid(x),
    "choices": lambda x: (
        jnp.where(x > 0, x, x**2)
        + jnp.maximum(x, 1)
        + jnp.clip(x, -1, 1)
        + jnp.sign(x)
        + jnp.where((x > 0) & ~(x > 1), 1.0, 0.0)
    ),
    "cases": lambda x: jax.lax.cond(x[0] > 0, lambda z: z + 1, lambda z: z - 1, x),
    "complex": lambda x: _complex(jax.lax.complex(x, 0.7 + 0 * x), jax.lax.complex(x - 1, -0.2 * x)),
    "shapes": lambda x: jnp.concatenate(
        [x[::-1], x[1:2], jnp.sum(jnp.outer(x, x), axis=0), jnp.stack([x, 2 * x]).T.ravel(), x[jnp.asarray([2, 0])]]
    ),
    "products": lambda x: jnp.concatenate(
        [A @ x, x @ A, (A @ A).ravel() * x[0], jnp.max(A * x[None], axis=1), jnp.prod(x)[None]]
    ),
    "derivative": jax.grad(lambda x: jnp.sum(jnp.log(1 + x**2) * jnp.sin(x))),
    "constants": lambda x: x * jnp.pi + jnp.float64(1e-300) + jnp.where(x > 9, jnp.inf, 0.0) * jnp.where(x > 9, 1.0, 0.0),
    "steps": lambda x: jnp.floor(x) + jnp.ceil(x) + jnp.isfinite(x).astype(float),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_jax(blank, name):
    wanted = np.ravel(FUNCTIONS[name](X))
    code = translate("f", FUNCTIONS[name], X)
    found = blank.evaluate(f"() => {{ {code}; const out = []; f({X.tolist()}, out); return out; }}")
    np.testing.assert_allclose(np.asarray(found, float), wanted, rtol=1e-14, atol=1e-14)


def test_numbers_are_arguments_without_axes(blank):
    code = translate("f", lambda x, h: x * h + jnp.sum(x), X, jnp.asarray(2.0))
    found = blank.evaluate(f"() => {{ {code}; const out = []; f({X.tolist()}, 2, out); return out; }}")
    np.testing.assert_allclose(found, X * 2 + jnp.sum(X), rtol=1e-15)


def test_same_expressions_are_written_once():
    code = translate("f", lambda x: jnp.sin(x) + 2 * jnp.sin(x), X)
    assert code.count("Math.sin") == 3


REFUSED = {
    "while": lambda x: jax.lax.while_loop(lambda z: jnp.all(z < 10), lambda z: z + 1, x),
    "sort": jnp.sort,
    "dynamic_slice": lambda x: x[jnp.astype(x[0], int)] * x,
    "erf": jax.scipy.special.erf,
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_operations_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"Argument `model` must .*(holds `{name}`|known beforehand).*"):
        translate("field", REFUSED[name], X)
