"""What users and contributors are shown runs as it stands: blocks of README, docs, CONTRIBUTING; notebooks at toy size."""

import itertools
import pathlib
import re

import processes
import pytest
from helpers import rest_slow
from shown import blocks_of

ROOT = pathlib.Path(__file__).parent.parent


def environment():
    return processes.environment(NMMJAX_QUICK="1", MPLBACKEND="Agg")


SHOWN = {  # numbers that pages end with, and how far from them float32 may lead
    "README.md": [
        ("period(2.0)", 2.2214415, 1e-5),
        ("slope", -0.5553604, 1e-4),
        ("fitted.best.J", 14.5, 1e-3),
        ("fitted.best.Delta", 0.7, 2e-3),
    ],
    "docs/how-to/energies.md": [("orbit.period", 1.59892, 1e-4), ("peaks[-1]", 2.7134, 1e-4)],
    "docs/how-to/bursts.md": [("bursts.period[2]", 57.36035, 1e-4)],
    "docs/how-to/branches.md": [("branch.hopfs[0].parameter", 0.115079, 1e-3)],
    "docs/how-to/transitions.md": [("pulse.amplitude", 2.535295, 1e-5)],
    "docs/how-to/noise.md": [("rate.rate", 0.003725, 1e-2)],
    "docs/how-to/recordings.md": [("ising.accuracy", 0.6913, 1e-2)],
    "docs/how-to/fits.md": [("fitted.best.J", 14.5, 1e-3), ("fitted.best.Delta", 0.7, 2e-3)],
}
HOW_TO = "docs/how-to/"
TOGETHER = [  # pages that share a process, and with it what they compile: less than a minute each
    ["README.md"],
    [HOW_TO + name for name in ("own-models.md", "sweeps.md", "noise.md")],
]
# Pages whose blocks compile much that other tests run, too.
SLOW = [HOW_TO + name for name in ("fits.md", "clusters.md", "solvers.md", "long-runs.md", "failures.md", "energies.md")]
SLOW += [HOW_TO + name for name in ("landscapes.md", "transitions.md", "branches.md", "bursts.md", "recordings.md")]
SLOW += [HOW_TO + name for name in ("circuits.md", "neurons.md", "heterogeneities.md", "brains.md")]


def run_pages(pages, folder, speed="quick"):
    """All python blocks of pages, page after page, in one fresh process, in JAX's default precision; what it printed."""
    checks = {page: [f"abs({name} / {value} - 1) < {limit}" for name, value, limit in SHOWN.get(page, [])] for page in pages}
    what = (";".join([page, *checks[page]]) for page in pages)
    seconds = 300 if speed == "quick" else 800
    result = processes.python(ROOT / "tests" / "shown.py", speed, *what, seconds=seconds, env=environment(), cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("pages", TOGETHER, ids=lambda pages: pathlib.Path(pages[0]).stem)
def test_blocks_of_pages_run_in_order(pages, tmp_path):
    printed = run_pages(pages, tmp_path)
    if pages == ["README.md"]:
        assert "successful, 3001 of 3001 times" in printed and "-0.55536 -0.55536" in printed


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", SLOW)
def test_blocks_that_take_minutes_run(page, tmp_path):
    run_pages([page], tmp_path, "slow")


def test_every_block_of_every_page_is_run():
    """Pages with blocks are in the tables above, and Start shows the README's."""
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    shown = {code for _, code in blocks_of("README.md")}
    new = {page: [code for _, code in blocks_of(page) if code not in shown] for page in pages}
    assert {page for page in pages if new[page]} == {*itertools.chain(*TOGETHER), *SLOW} - {"README.md"}
    assert [code for _, code in blocks_of("docs/start.md")] == [code for _, code in blocks_of("README.md")]


def test_readme_is_short():
    """At most 150 lines, and a model of one's own in at most 25."""
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 150
    model = next(code for _, code in blocks_of("README.md") if "class " in code)
    assert sum(bool(line.strip()) for line in model.splitlines()) <= 25


def test_examples_for_contributors_run(tmp_path):
    """All python blocks of CONTRIBUTING.md, of at most 25 lines without blank ones, in one fresh process."""
    blocks = [code for _, code in blocks_of("CONTRIBUTING.md")]
    assert len(blocks) >= 6
    assert [block for block in blocks if sum(bool(line.strip()) for line in block.splitlines()) > 25] == []
    result = processes.python("-c", "\n".join(blocks), env=environment(), cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_linked_files_exist(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8")):
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
