"""Strict everywhere: float64, no silent promotion of dtype or rank, runtime shape checks, two fake CPU devices."""

import os

# Eigenvalues of small matrices are ten times slower where several threads share them, and the tests' own processes do.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "0")  # commands keep nothing in the home of whoever tests

import jax
import jaxtyping
import pytest
from jaxtyping import install_import_hook

flags = [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=2"]
OPTIMISED = "NMMJAX_TEST_OPTIMISED" in os.environ
if jax.__version_info__[:2] == (0, 10) and not OPTIMISED:  # unknown flags end the process, and these were tried with 0.10
    # Programs are compiled in half the time, which is most of a test's; see `test_last_bits.py`.
    flags += ["--xla_cpu_use_fusion_emitters=false", "--xla_backend_optimization_level=0"]
os.environ["XLA_FLAGS"] = " ".join(flags)
os.environ["MPLBACKEND"] = "Agg"

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

with install_import_hook("nmmjax", "beartype.beartype"):
    import nmmjax  # noqa: F401


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("last_bits") and not OPTIMISED:
            item.add_marker(pytest.mark.skip(reason="compares last bits: run by test_last_bits.py"))


@pytest.fixture(autouse=True, scope="module")
def forget():
    """Compiled functions are kept for one file only: together they would fill gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def unchecked():
    """Without the runtime type checks, as users run the library: for tests of what its own checks say."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
