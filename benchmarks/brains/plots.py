"""Pictures beside the JSON files: error against time."""

import pathlib
from typing import Any

from .measure import OURS


def draw(section: str, facts: dict[str, Any], path: pathlib.Path) -> None:
    """Error against step and against seconds of every tool, where the section scanned them."""
    rows = facts.get(f"{section}_scan")
    if not rows:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.2), sharey=True, layout="constrained")
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    others = iter(plt.get_cmap("tab10").colors)
    for name in tools:
        mine = [row for row in rows if row["tool"] == name and row["error"] < 1]
        style = {"color": "black", "lw": 2.2} if name == OURS else {"color": next(others), "lw": 1.2}
        errors = [row["error"] for row in mine]
        left.loglog([row["dt"] for row in mine], errors, "o-", ms=3.5, label=name, **style)
        right.loglog([1e3 * row["seconds_median"] for row in mine], errors, "o-", ms=3.5, **style)
    left.set(xlabel="step, in units of τ", ylabel="relative error of W")
    right.set(xlabel="time of a run, ms")
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)
