"""The commands that need no file: what models there are, and the self-check."""

import os
import subprocess
import sys

import pytest

from nmmjax.cli import checkup


def command(*arguments, **options):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "nmmjax", *arguments], capture_output=True, text=True, env=environment, **options
    )


def test_models_command_lists_every_parameter():
    out = command("models").stdout
    for name in ("eta", "Delta", "tau", "GapJunction", "E_s", "PulseTrain", "[0, inf)", "Montbrió"):
        assert name in out


@pytest.mark.smoke
def test_self_check():
    for what, error, allowed in checkup.self_check():
        assert abs(error) <= allowed, what
