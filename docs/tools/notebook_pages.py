"""Pages of the notebooks, made from their committed outputs; nothing is executed."""

import base64
import json
import re
from functools import cache
from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
LONGEST = 60  # lines of printed output that a page shows


def source_of(place):
    """The notebook that a page of the site was made of, or None."""
    found = re.fullmatch(r"learn/(\d\d_\w+)\.md", place)
    return f"notebooks/{found[1]}.ipynb" if found else None


@cache
def converted(path):
    """Markdown of a notebook and its pictures {place: bytes}."""
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    parts, pictures = [], {}
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
        elif cell["cell_type"] == "code" and text.strip():
            parts.append(f"```python\n{text.rstrip()}\n```")
            for output in cell["outputs"]:
                parts += shown(output, path.stem, pictures)
    return "\n\n".join(parts) + "\n", pictures


def shown(output, stem, pictures):
    """One output of a cell as Markdown: printed text, a picture, or the text of a value."""
    data = output.get("data", {})
    if output["output_type"] == "stream":
        yield printed("".join(output["text"])) if output["name"] == "stdout" else ""
    elif "image/png" in data:
        place = f"learn/pictures/{stem}_{len(pictures) + 1}.png"
        pictures[place] = base64.b64decode("".join(data["image/png"]))
        yield f"![Picture {len(pictures)} of this notebook](pictures/{stem}_{len(pictures)}.png)"
    elif "text/plain" in data and not (text := "".join(data["text/plain"])).startswith(("<Axes", "array([<Axes", "<Figure")):
        yield printed(text)


def printed(text):
    lines = text.rstrip("\n").split("\n")
    lines = lines if len(lines) <= LONGEST else [*lines[:LONGEST], "…"]
    return "```text\n" + "\n".join(lines) + "\n```"


def files():
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def question(path):
    """Title and question of a notebook, from the head of its first cell."""
    text = converted(path)[0]
    title, asked = re.match(r"# (.+?)\n\n\*\*(.+?\?)\*\*", text, flags=re.DOTALL).groups()
    return title, " ".join(asked.split())


def pages():
    """{place: Markdown} of all notebooks and their index."""
    found = {f"learn/{path.stem}.md": converted(path)[0] for path in files()}
    rows = [f"| {question(path)[1]} | [{question(path)[0]}]({path.stem}.md) |" for path in files()]
    about = (
        "# Learn\n\nTwelve notebooks, each about one question. The pages show their committed outputs; the files lie in "
        "`notebooks/` and run in minutes, or in seconds with `NMMJAX_QUICK=1`.\n\n| question | notebook |\n|---|---|\n"
    )
    found["learn/index.md"] = about + "\n".join(rows) + "\n"
    return found


def pictures():
    """{place: bytes} of all pictures in outputs."""
    return {place: data for path in files() for place, data in converted(path)[1].items()}
