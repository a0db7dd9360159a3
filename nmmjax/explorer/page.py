"""`explore`: a model as a page to play with, one HTML file without server or network."""

import dataclasses
import html
import json
import tempfile
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._checks import require
from .._files import as_new_file, replace_text
from ..models.base import AbstractModel
from .equations import Described, describe_for_page
from .presets import PRESETS

_FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class ExplorerPage:
    """An explorer's page; shown inline in notebooks.

    - `html`: the whole page, a text
    """

    html: str

    def save(self, path: Any) -> Path:
        """Write the page to a file of this name, and give its path."""
        return replace_text(as_new_file(path), self.html)

    def open(self, path: Any = None) -> Path:
        """Write the page to a file, by default a temporary one, open it in the browser, and give its path."""
        path = self.save(Path(tempfile.mkdtemp(prefix="nmmjax-")) / "explorer.html" if path is None else path)
        webbrowser.open(path.resolve().as_uri())
        return path

    def __repr__(self) -> str:
        return (
            f"ExplorerPage of {len(self.html.encode()) / 1000:.0f} kB: `.open()` for the browser, `.save(path)` for a file"
        )

    def _repr_html_(self) -> str:
        inside = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{inside}" style="width: 100%; height: 860px; border: 0" title="nmmjax explorer"></iframe>'


def explore(
    model: AbstractModel | str | None = None, *, y0: Mapping[str, Any] | None = None, title: str | None = None
) -> ExplorerPage:
    """A page on which a model moves: the particle in its potential, the phase plane, rate and energy over time.

    Every parameter has a slider; kicks, pulses, noise and clicks into the plane disturb the run. The page runs the model's
    own equations, traced by JAX and written as JavaScript: the geometric splitting if the model has an exactly solvable part
    and nothing slow, a Runge–Kutta method of order 4 otherwise. Use it to get to know a model, and in talks.

    - `model`: any model with at most 6 variables, all nodes counted, made of elementwise operations and small matrix
      products; or one of the names bistable, bursting, inhibition, hamiltonian, gap, ing, izhikevich, ping, regions,
      gaussian, noisy; None for a page with all
    - `y0`: the state at which it starts, a mapping of variables to numbers (of networks to numbers or arrays `(n,)`)
    - `title`: the model's name on the page; by default that of its class

    Returns an `ExplorerPage`, which notebooks show inline; `.open()` shows it in the browser, `.save(path)` writes it.
    Raises `ValueError` for unknown names, models with more variables or on a clock of their own, and models whose equations
    hold an operation that a page can't do (such as a loop), with its name.
    """
    if model is None or isinstance(model, str):
        require("model", model, f"be a model or one of {', '.join(PRESETS)}", model is None or model in PRESETS)
        require("y0", y0, "be None for a preset, which has its own", y0 is None)
        chosen = PRESETS if model is None else {model: PRESETS[model]}
        return _page({name: _preset(name) for name in chosen})
    require("model", type(model).__name__, "be a model such as `MPR(...)`", isinstance(model, AbstractModel))
    require("y0", y0, "be None or a mapping of variables to numbers", y0 is None or isinstance(y0, Mapping))
    name = title or type(model).__name__
    return _page({name: describe_for_page(model, None if y0 is None else dict(y0), {"title": name, "shows": ""})})


def _preset(name: str) -> Described:
    preset = PRESETS[name]
    about = {"title": preset.title, "shows": preset.shows, "cites": preset.source, "pulse": preset.pulse}
    return describe_for_page(preset.model(), preset.y0, about)


def _page(models: Mapping[str, Described]) -> ExplorerPage:
    text = lambda name: (_FOLDER / name).read_text(encoding="utf-8")
    entries = [f"{_json(name)}: {{ data: {_json(each.data)},\n{each.code} }}" for name, each in models.items()]
    parts = {"/*STYLE*/": text("page.css"), "/*MODELS*/": ",\n".join(entries), "/*PROGRAM*/": text("page.js")}
    page = text("page.html")
    for place, part in parts.items():
        page = page.replace(place, part)
    return ExplorerPage(page)


def _json(value: Any) -> str:
    """As JSON inside a script: a closing tag in a text must not end it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
