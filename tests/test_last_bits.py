"""Tests marked `last_bits`, in a process of their own: the suite's compiles without optimising, which rounds otherwise."""

import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).parent
FILES = [each for each in sorted(TESTS.rglob("test_*.py")) if "mark.last_bits" in each.read_text()]


def test_programs_compiled_as_users_do_have_the_same_bits():
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-m", "last_bits and not slow", *FILES]
    ran = subprocess.run(
        command,
        cwd=TESTS.parent,
        env=os.environ | {"NMMJAX_TEST_OPTIMISED": "1", "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
