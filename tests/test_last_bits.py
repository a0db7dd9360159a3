"""Tests marked `last_bits`, in a process of their own: the suite's compiles without optimising, which rounds otherwise."""

import pathlib

import processes
import pytest

TESTS = pathlib.Path(__file__).parent
FILES = [each for each in sorted(TESTS.rglob("test_*.py")) if "@pytest.mark.last_bits\n" in each.read_text()]


@pytest.mark.parametrize("which", ["not slow", pytest.param("slow", marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_programs_compiled_as_users_do_have_the_same_bits(which):
    environment = processes.environment(NMMJAX_TEST_OPTIMISED="1", XLA_FLAGS="")
    options = ("-q", "-n0", "-p", "no:cacheprovider", "-m", f"last_bits and {which}")
    ran = processes.python(
        "-m", "pytest", *options, *FILES, seconds=300 if which == "not slow" else 800, env=environment, cwd=TESTS.parent
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
