"""`nmmjax models`: every model and stimulus with equations, parameters, bounds, defaults and source."""

import dataclasses
from typing import Any

from .._optional import optional
from .._parameter import parameters
from ..models import adaptation, cumulants, heterogeneity, mpr, stimulus, synapses, terms
from .document import Block, to_markdown
from .printing import console_for, print_json

_LISTED: tuple[tuple[type, str], ...] = (
    (mpr.MPR, "model"),
    (cumulants.PseudoCumulants, "model"),
    (cumulants.CircularCumulants, "model"),
    (terms.GapJunction, "term"),
    (terms.CouplingHeterogeneity, "term"),
    (terms.ConductanceSynapse, "term"),
    (terms.Leak, "term"),
    (adaptation.SpikeFrequencyAdaptation, "slow term"),
    (adaptation.SynapticDepression, "slow term"),
    (adaptation.ShortTermPlasticity, "slow term"),
    (adaptation.RecoveryCurrent, "slow term"),
    (synapses.ExponentialSynapse, "synapse"),
    (synapses.AlphaSynapse, "synapse"),
    (synapses.DoubleExponentialSynapse, "synapse"),
    (heterogeneity.Lorentzian, "heterogeneity"),
    (heterogeneity.Flat, "heterogeneity"),
    (heterogeneity.GaussianLike, "heterogeneity"),
    (heterogeneity.Bimodal, "heterogeneity"),
    (heterogeneity.Mixture, "heterogeneity"),
    (heterogeneity.Poles, "heterogeneity"),
    (stimulus.Constant, "stimulus"),
    (stimulus.Pulse, "stimulus"),
    (stimulus.Ramp, "stimulus"),
    (stimulus.Sinusoid, "stimulus"),
    (stimulus.PulseTrain, "stimulus"),
    (stimulus.Sampled, "stimulus"),
)


def models(*, json: bool = False, markdown: bool = False) -> None:
    """Models and stimuli: equations, parameters with symbol, unit, bounds and default, sources.

    Parameters
    ----------
    json
        Print one JSON object.
    markdown
        Print a Markdown document.
    """
    entries = [_entry(cls, kind) for cls, kind in _LISTED]
    if json and markdown:
        raise ValueError("Options `--json` and `--markdown` must not be given together.")
    if json:
        print_json({"models": entries})
    elif markdown:
        print(to_markdown([block for entry in entries for block in _blocks(entry)]), end="")
    else:
        _show(entries)


def _entry(cls: type, kind: str) -> dict[str, Any]:
    """What a class declares, under plain names."""
    declared = [
        {
            "name": name,
            "symbol": each.symbol,
            "unit": each.unit,
            "bounds": each.bounds,
            "default": each.default,
            "doc": each.doc,
        }
        for name, each in parameters(cls).items()
    ]
    equations = [each for each in getattr(cls, "equations", "").split(";  ") if each]
    about = (cls.__doc__ or "").splitlines()[0]
    source = getattr(cls, "source", "")
    return {
        "name": cls.__name__,
        "kind": kind,
        "about": about,
        "equations": equations,
        "source": source,
        "parameters": declared,
        "optional": [field.name for field in dataclasses.fields(cls) if field.default is None],
    }


def _default(entry: dict[str, Any], parameter: dict[str, Any]) -> str:
    if parameter["default"] is None:
        return "none" if parameter["name"] in entry["optional"] else "required"
    return f"{parameter['default']:g}"


def _blocks(entry: dict[str, Any]) -> list[Block]:
    """An entry as blocks of a document."""
    header = ["parameter", "symbol", "unit", "bounds", "default", "meaning"]
    rows = [
        [f"`{each['name']}`", each["symbol"], each["unit"], f"`{each['bounds']}`", _default(entry, each), each["doc"]]
        for each in entry["parameters"]
    ]
    equations = [("list", [f"`{each}`" for each in entry["equations"]])] if entry["equations"] else []
    source = [("text", f"Source: {entry['source']}")] if entry["source"] else []
    title = ("heading", f"{entry['name']} ({entry['kind']})")
    return [title, ("text", entry["about"]), *equations, ("table", header, rows), *source]


def _show(entries: list[dict[str, Any]]) -> None:
    console = console_for(False)
    for k, entry in enumerate(entries):
        if entry["equations"]:
            lines = [f"[bold]{entry['name']}[/bold]", *entry["equations"], entry["source"]]
            console.print(*lines, sep="\n  ", highlight=False)
        else:
            gap = "\n" if k else ""
            about = entry["about"].replace("[", "\\[")  # not markup
            console.print(f"{gap}[bold]{entry['name']}[/bold] ({entry['kind']})  {about}", highlight=False)
        table = optional("rich.table", "cli").Table.grid(padding=(0, 2))
        for each in entry["parameters"]:
            default = _default(entry, each)
            default = default if default == "required" else f"default {default}"
            unit = "" if each["unit"] == "1" else f" ({each['unit']})"
            bounds = each["bounds"].replace("[", "\\[")
            table.add_row(f"  {each['name']}", each["symbol"], bounds, default, f"{each['doc']}{unit}")
        console.print(table)
