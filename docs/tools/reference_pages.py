"""The reference: one page per subject, made from the exports of the package, so that none is left out."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "nmmjax"
TITLES = {  # folder of the package: title of its page and what it is for, in this order
    "models": ("Models, stimuli, noise", "What is simulated: populations, slow terms, networks, inputs."),
    "explorer": ("Explorer", "A page on which a model moves."),
    "solvers": ("Simulation", "One run, its solvers and its energy balance."),
    "mechanics": ("Energies", "Energies of a state and of a run; more in [mechanics](mechanics.md)."),
    "equilibria": ("Fixed points", "Where a population can rest, in closed form."),
    "landscape": ("Landscapes and orbits", "Minima, saddles, barriers; closed orbits, peaks and cycles from energy."),
    "branches": ("Branches and bifurcations", "Continuation over parameters; folds, Hopf points, cycles."),
    "bursting": ("Bursts", "Spikes and bursts of runs, and their prediction from energy."),
    "transitions": ("Transitions", "What switches a state: pulses, waveforms, basins."),
    "sweeps": ("Sweeps", "Many runs at once, with labels, stores and clusters."),
    "ensemble": ("Observables", "What a sweep keeps of every lane."),
    "monitors": ("Monitors", "BOLD, EEG, averages; their connectivity, spectra, synchrony: folded while integrating."),
    "fitting": ("Fits", "Parameters from data: targets, searches, errors, posteriors."),
    "stochastic": ("Noise", "Stationary laws, escape, inference; more in [stochastic](stochastic.md)."),
    "recordings": ("Recordings", "Measured signals, read and binarised."),
    "numerics": ("Compilation", "First calls compile; what they compile can be kept for the next process."),
    "ising": ("Ising models", "Pairwise models of binarised recordings; more in [ising](ising.md)."),
}
NAMESPACES = {
    "results": "What functions return.",
    "coordinates": "Coordinates of a population and the way back.",
    "mechanics": "Forces, powers, scalings.",
    "ising": "Files, windows, tests, and the bridge to networks.",
    "stochastic": "Protocols, work, laws from samples.",
    "extend": "All that a model, term, target, observable or monitor of one's own needs.",
    "plot": "Pictures (extra `plot`); each is shown in the [gallery](../gallery.md).",
}


def exports(path):
    """(name, module it comes from) of what a file re-exports; names with an underscore are not public."""
    for node in ast.parse(path.read_text(encoding="utf8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            found = ((alias.asname or alias.name, node.module or "") for alias in node.names)
            yield from (each for each in found if not each[0].startswith("_"))


def namespaces():
    """Public namespaces of the package: what `nmmjax/__init__.py` imports whole."""
    return [name for name, module in exports(PACKAGE / "__init__.py") if not module]


def home(namespace):
    path = PACKAGE / f"{namespace}.py"
    return path if path.exists() else PACKAGE / namespace / "__init__.py"


def subjects():
    """Flat names by the folder that they come from."""
    found = {folder: [] for folder in TITLES}
    for name, module in exports(PACKAGE / "__init__.py"):
        if module:
            found.setdefault(module.split(".")[0], []).append(name)
    return {folder: names for folder, names in found.items() if names}


def names():
    """Every public name, as one writes it: nmmjax.simulate, nmmjax.plot.trajectory, …"""
    flat = [f"nmmjax.{name}" for each in subjects().values() for name in each]
    return flat + [f"nmmjax.{space}.{name}" for space in namespaces() for name, _ in exports(home(space))]


def summary(folder):
    title, about = TITLES.get(folder, (folder.capitalize(), ""))
    return title, about


def page(title, about, prefix, members):
    blocks = [f"::: {prefix}.{name}" for name in members]
    return f"# {title}\n\n{about}\n\n" + "\n\n".join(blocks) + "\n"


def place(folder):
    """A subject and a namespace may bear the same name; the namespace keeps it."""
    return f"reference/{folder}.md" if folder not in namespaces() else f"reference/{folder}-functions.md"


def pages():
    """{place: Markdown} of the whole reference with its index."""
    found, rows = {}, []
    for folder, members in subjects().items():
        title, about = summary(folder)
        found[place(folder)] = page(title, about, "nmmjax", members)
        rows.append((title, place(folder), "nmmjax", members))
    for space in namespaces():
        members = [name for name, _ in exports(home(space))]
        found[f"reference/{space}.md"] = page(f"nmm.{space}", NAMESPACES.get(space, ""), f"nmmjax.{space}", members)
        rows.append((f"nmm.{space}", f"reference/{space}.md", f"nmmjax.{space}", members))
    index = [f"# Reference\n\nAll {len(names())} public names, from their docstrings. `import nmmjax as nmm`.\n"]
    for title, where, prefix, members in rows:
        where = where.removeprefix("reference/")
        links = ", ".join(f"[`{name}`]({where}#{prefix}.{name})" for name in members)
        index.append(f"**[{title}]({where})** — {links}\n")
    found["reference/index.md"] = "\n".join(index)
    return found
