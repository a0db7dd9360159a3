"""The commands that need no file: what models there are, and the self-check."""

import importlib.metadata
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import processes
import pytest

import nmmjax as nmm
from nmmjax import _optional
from nmmjax._parameter import parameters
from nmmjax.cli import checkup, listing
from nmmjax.cli.app import main


def test_models_command_lists_every_parameter():
    out = processes.python("-m", "nmmjax", "models").stdout
    for name in ("eta", "Delta", "tau", "GapJunction", "E_s", "PulseTrain", "[0, inf)", "Montbrió"):
        assert name in out


@pytest.mark.smoke
def test_self_check():
    for what, error, allowed in checkup.self_check():
        assert abs(error) <= allowed, what


def printed(capsys, monkeypatch, *arguments):
    """Standard output of a command in this process, as one JSON object."""
    monkeypatch.setattr(sys, "argv", ["nmmjax", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return json.loads(capsys.readouterr().out)


def test_models_as_json(capsys, monkeypatch):
    found = {each["name"]: each for each in printed(capsys, monkeypatch, "models", "--json")["models"]}
    names = ("name", "symbol", "unit", "bounds", "default", "doc")
    for cls in (nmm.MPR, nmm.SynapticDepression, nmm.PulseTrain):
        declared = [{name: getattr(each, name) for name in names} for each in parameters(cls).values()]
        assert found[cls.__name__]["parameters"] == declared
    assert found["ExponentialSynapse"]["optional"] == ["strength", "reversal"]
    assert found["MPR"]["source"] == nmm.MPR.source
    assert ";  ".join(found["MPR"]["equations"]) == nmm.MPR.equations


@pytest.mark.parametrize("given, kept", [((), True), (("--no-cache",), False)])
def test_programs_are_kept_unless_told_otherwise(tmp_path, capsys, monkeypatch, given, kept):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(checkup, "self_check", lambda: [("a period", 0.0, 1e-6)])
    jax.config.update("jax_enable_compilation_cache", True)
    try:
        told = printed(capsys, monkeypatch, *given, "doctor", "--json")["compilation_cache"]
    finally:
        jax.config.update("jax_enable_compilation_cache", False)
    assert (told is not None) == kept and not (kept and told["bytes"])
    assert jax.config.jax_compilation_cache_dir is None


def test_models_as_markdown(capsys):
    listing.models(markdown=True)
    text = capsys.readouterr().out
    assert "## MPR (model)" in text and "| `Delta` | Δ | 1 | `[0, inf)` | 1 | half-width" in text
    assert text.count("\n| --- |") == text.count("\n## ") + 1
    with pytest.raises(ValueError, match="must not be given together"):
        listing.models(markdown=True, json=True)


def test_doctor_as_json(capsys, monkeypatch):
    checks = [("a period", -1e-9, 1e-6), ("an energy", 0.0, 1e-6)]
    monkeypatch.setattr(checkup, "self_check", lambda: checks)
    found = printed(capsys, monkeypatch, "doctor", "--json")
    assert found["versions"]["nmmjax"] == nmm.__version__ and found["extras"]["data"].startswith("xarray ")
    assert found["self_check"][0] == {"what": "a period", "error": 1e-9, "allowed": 1e-6, "ok": True}
    monkeypatch.setattr(checkup, "self_check", lambda: [("a period", np.nan, 1e-6)])
    with pytest.raises(SystemExit):
        checkup.doctor(json=True)
    assert json.loads(capsys.readouterr().out)["self_check"][0] == {
        "what": "a period",
        "error": None,
        "allowed": 1e-6,
        "ok": False,
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(capsys, monkeypatch, shell):
    monkeypatch.setattr(sys, "argv", ["nmmjax", "--completion", shell])
    with pytest.raises(SystemExit) as ended:
        main()
    script = capsys.readouterr().out
    assert not ended.value.code
    for name in ("reproduce", "sweep", "fit", "landscape", "models", "explore", "doctor", "markdown"):
        assert name in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_bash_completes_commands_and_options(capsys, monkeypatch):
    """The script in bash, asked as a shell asks it."""
    if not shutil.which("bash"):
        pytest.skip("no bash")
    monkeypatch.setattr(sys, "argv", ["nmmjax", "--completion", "bash"])
    with pytest.raises(SystemExit):
        main()
    script = capsys.readouterr().out
    for words, expected in ((["nmmjax", "la"], "landscape"), (["nmmjax", "models", "--ma"], "--markdown")):
        ask = f'{script}\nCOMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _nmmjax; echo "${{COMPREPLY[@]}}"'
        found = subprocess.run(["bash", "-c", ask], text=True, capture_output=True)
        assert found.stdout.split() == [expected], found.stderr


def test_unexpected_errors_have_a_plain_traceback(monkeypatch):
    """What is no mistake of the user's passes as it is; no hook draws frames around it."""
    monkeypatch.setattr(sys, "argv", ["nmmjax", "models"])
    monkeypatch.setattr(listing, "_entry", lambda *_: 1 / 0)
    hook = sys.excepthook
    with pytest.raises(ZeroDivisionError):
        main()
    assert sys.excepthook is hook


def test_the_version_without_an_installation(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    installed = nmm.__version__
    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert _optional._own_version() == installed
    monkeypatch.setattr(_optional, "__file__", "/nowhere/nmmjax/_optional.py")
    assert _optional._own_version() == "unknown"
