"""What users and contributors are shown runs as it stands: blocks of README and CONTRIBUTING, notebooks, at toy size."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from helpers import rest_slow

ROOT = pathlib.Path(__file__).parent.parent


def environment():
    return os.environ | {"NMMJAX_QUICK": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "MPLBACKEND": "Agg"}


SHOWN = [  # numbers that the README's sections end with, and how far from them float32 may lead
    ("orbit.period", 1.59892, 1e-4),
    ("peaks[-1]", 2.7134, 1e-4),
    ("bursts.period[2]", 57.36035, 1e-4),
    ("branch.hopfs[0].parameter", 0.115079, 1e-3),
    ("pulse.amplitude", 2.535295, 1e-5),
    ("fitted.best.J", 14.5, 1e-3),
    ("fitted.best.Delta", 0.7, 2e-3),
    ("rate.rate", 0.003725, 1e-2),
    ("ising.accuracy", 0.6913, 1e-2),
]


def blocks_of(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_readme_blocks_run_in_order(tmp_path):
    """All python blocks of the README in one fresh process, in JAX's default precision."""
    blocks = blocks_of("README.md")
    assert len(blocks) >= 2
    checks = [f"assert abs({name} / {value} - 1) < {limit}" for name, value, limit in SHOWN]
    command = [sys.executable, "-c", "\n".join([*blocks, *checks])]
    result = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "successful, 3001 of 3001 times" in result.stdout


def test_examples_for_contributors_run(tmp_path):
    """All python blocks of CONTRIBUTING.md, of at most 25 lines without blank ones, in one fresh process."""
    blocks = blocks_of("CONTRIBUTING.md")
    assert len(blocks) >= 6
    assert [block for block in blocks if sum(bool(line.strip()) for line in block.splitlines()) > 25] == []
    command = [sys.executable, "-c", "\n".join(blocks)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_linked_files_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_readme_has_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^python3 -m venv ", text, flags=re.MULTILINE)) == 2


# A minute each of compilation; the README's blocks run their functions, too.
NOTEBOOKS = rest_slow(sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")), "00_quickstart")


@pytest.mark.parametrize("notebook", NOTEBOOKS)
@pytest.mark.filterwarnings("default")
def test_notebook_runs(notebook, tmp_path, monkeypatch):
    import nbclient
    import nbformat

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MPLBACKEND")
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    nbclient.NotebookClient(
        cells, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    pictures = [out for cell in cells.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert pictures
