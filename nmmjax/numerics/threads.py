"""Threads that compute as the thread that starts them does."""

import concurrent.futures
import os

import jax

from .._types import uses_float64


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool_of(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    """Threads that compute in this thread's precision, also if `jax.enable_x64` set it, which only this thread sees."""
    double = uses_float64()

    def inherit() -> None:
        jax.enable_x64(double).__enter__()
        jax.debug_nans(False).__enter__()  # see `nan_is_absent`, which is of the thread that asks

    return concurrent.futures.ThreadPoolExecutor(threads, initializer=inherit)
