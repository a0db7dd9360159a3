"""The page of the gallery: every function of `nmm.plot` with its picture and the call that drew it."""

import inspect
import textwrap

import reference_pages
from gallery import PICTURES, SETTINGS


def call(draw):
    """The body of a function of the table, as a user writes it."""
    lines = inspect.getsource(draw).splitlines()
    start = next(k for k, line in enumerate(lines) if line.rstrip().endswith(":") and "def " in line)
    body = textwrap.dedent("\n".join(lines[start + 1 :])).splitlines()
    return "\n".join(body[1:] if body[0].startswith('"""') else body).replace("return nmm.plot", "nmm.plot").strip()


def pages():
    """{place: Markdown}; refuses a plot function without a picture."""
    missing = {name for name, _ in reference_pages.exports(reference_pages.home("plot"))} - set(PICTURES)
    if missing:
        raise ValueError(f"No picture yet in docs/tools/gallery.py of {', '.join(sorted(missing))}.")
    parts = [
        "# Gallery\n\nEvery plot function, its picture and its call. Each draws on given or new axes and returns them. "
        f"The calls need these lines:\n\n```python\n{SETTINGS.strip()}\n```"
    ]
    for name in sorted(PICTURES):
        draw = PICTURES[name]
        about = (draw.__doc__ or "").strip()
        parts.append(
            f"## {name}\n\n{about} Reference: [`nmm.plot.{name}`](reference/plot.md#nmmjax.plot.{name}).\n\n"
            f"![{about}](pictures/{name}.{'gif' if name == 'animate_landscape' else 'png'})\n\n```python\n{call(draw)}\n```"
        )
    return {"gallery.md": "\n\n".join(parts) + "\n"}
