"""`nmmjax models`: every model and stimulus with equations, parameters, bounds, defaults and source."""

from typing import Any

from .._optional import optional
from .._parameter import parameters
from ..models import adaptation, mpr, stimulus, terms


def models() -> None:
    """Models and stimuli: equations, parameters with symbol, unit, bounds and default, sources."""
    console = optional("rich.console", "cli").Console(highlight=False)
    console.print(f"[bold]{mpr.MPR.__name__}[/bold]", *mpr.MPR.equations.split(";  "), mpr.MPR.source, sep="\n  ")
    _parameters(console, mpr.MPR)
    stimuli = (stimulus.Constant, stimulus.Pulse, stimulus.Ramp, stimulus.Sinusoid, stimulus.PulseTrain, stimulus.Sampled)
    for each, kind in [
        (terms.GapJunction, "term"),
        (terms.ConductanceSynapse, "term"),
        (adaptation.SpikeFrequencyAdaptation, "slow term"),
        (adaptation.SynapticDepression, "slow term"),
        (adaptation.ShortTermPlasticity, "slow term"),
        *((each, "stimulus") for each in stimuli),
    ]:
        first = (each.__doc__ or "").splitlines()[0]
        console.print(f"\n[bold]{each.__name__}[/bold] ({kind})  {first}")
        _parameters(console, each)


def _parameters(console: Any, cls: type) -> None:
    table = optional("rich.table", "cli").Table.grid(padding=(0, 2))
    for name, each in parameters(cls).items():
        default = "required" if each.default is None else f"default {each.default:g}"
        unit = "" if each.unit == "1" else f" ({each.unit})"
        table.add_row(f"  {name}", each.symbol, each.bounds.replace("[", "\\["), default, f"{each.doc}{unit}")
    console.print(table)
