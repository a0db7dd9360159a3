"""Functions that decompose many small matrices let LAPACK use one thread meanwhile, and give back what was set before."""

import jax
import jax.numpy as jnp
import threadpoolctl

import nmmjax as nmm
from nmmjax._blas import with_one_thread


def threads():
    return [each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]


def test_threads_are_given_back():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        assert set(with_one_thread(threads)()) == {1}
        assert threads() == before


def test_results_and_derivatives_pass_through():
    node = nmm.MPR(eta=-2.0, J=2.0, Delta=1.0)
    gain = lambda G: nmm.linear_response(nmm.Network(node, jnp.array([[0.0, 3.0], [2.0, 0.0]]), gain=G)).fc()[0, 1]
    slope = jax.grad(gain)(jnp.asarray(1.0))
    assert jnp.allclose(slope, (gain(1.0 + 1e-5) - gain(1.0 - 1e-5)) / 2e-5, rtol=1e-6)
    assert jnp.allclose(jax.jit(gain)(1.0), gain(1.0), rtol=1e-12)
