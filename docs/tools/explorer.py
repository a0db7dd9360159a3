"""The interactive explorer on the landing page: `nmmjax explore` writes it, if that command exists."""

import importlib.util
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MARK = "<!-- explorer -->"
FRAME = (
    '<iframe src="explore.html" title="Interactive explorer" loading="lazy" '
    'style="width: 100%; height: 640px; border: 1px solid #8886; border-radius: 4px"></iframe>\n\n'
    '<a href="explore.html">Open the explorer on a page of its own</a>'
)


@cache
def page():
    """The page that the command writes, or None without the command or its packages."""
    if not (ROOT / "nmmjax" / "explore").is_dir() or importlib.util.find_spec("cyclopts") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "explore.html"
        command = [sys.executable, "-m", "nmmjax", "explore", "--out", str(out), "--no-open"]
        if "--no-open" not in subprocess.run([*command[:4], "--help"], capture_output=True, text=True, cwd=ROOT).stdout:
            command = command[:-1]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return out.read_text(encoding="utf8")


def fill(markdown, there):
    """The frame, or nothing."""
    return markdown.replace(MARK, FRAME if there else "")
