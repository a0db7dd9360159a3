"""Cosine and sine together."""

import jax
import jax.numpy as jnp
import numpy as np

from nmmjax.numerics.special import cos_and_sin


def test_cosine_and_sine_are_numpys_in_all_quarters_and_far_out():
    x = np.concatenate([np.random.default_rng(0).uniform(-top, top, 5000) for top in (1.0, 10.0, 1e3, 1e6)])
    cos, sin = jax.jit(cos_and_sin)(jnp.asarray(x))
    np.testing.assert_allclose(cos, np.cos(x), atol=4e-16)
    np.testing.assert_allclose(sin, np.sin(x), atol=4e-16)
    single = cos_and_sin(jnp.asarray(x[:9], jnp.float32))
    assert all(each.dtype == jnp.float32 for each in single)


def test_derivatives_are_each_other():
    cos, sin = cos_and_sin(jnp.asarray(2.5))
    found = jax.jacfwd(cos_and_sin)(jnp.asarray(2.5))
    np.testing.assert_allclose(found, (-sin, cos))
    np.testing.assert_allclose(jax.hessian(lambda x: cos_and_sin(x)[0])(jnp.asarray(2.5)), -cos)
