"""`nmmjax explore`: a model as a page to play with."""

import pathlib

from ..explorer import page as pages
from ..explorer.presets import PRESETS
from .configuration import Document
from .objects import build_model, number_or_list


def explore(model: str = "", /, *, out: str = "", browser: bool = True) -> None:
    """A page to look at a model: its potential, phase plane and course in time, with a slider for every parameter.

    One HTML file without server or network. Copy its address to share the settings.

    Parameters
    ----------
    model
        A preset (bistable, bursting, inhibition, hamiltonian, gap, ing, izhikevich, ping, regions, gaussian, noisy), or
        a TOML file with a table `model`, and `network`, `y0` if the run is to start there; all presets by default.
    out
        The page's file; by default a temporary one, without `--browser` explorer.html.
    browser
        Whether to open the page in the browser.
    """
    page = _page(model)
    print(page.open(out or None) if browser else page.save(out or "explorer.html"))


def _page(model: str) -> pages.ExplorerPage:
    if not model:
        return pages.explore()
    if not model.endswith(".toml"):
        if model not in PRESETS:
            raise ValueError(f"Argument `model` must be one of {', '.join(PRESETS)}, or a TOML file, but got {model!r}.")
        return pages.explore(model)
    document = Document(pathlib.Path(model).expanduser())
    built = build_model(document)
    table = document.table(("y0",), document.values.get("y0", {}))
    start = {name: number_or_list(document, ("y0", name), each) for name, each in table.items()}
    with document.at(("y0",)):
        return pages.explore(built, y0=start or None, title=pathlib.Path(model).stem)
