"""The page of benchmarks: `benchmarks/README.md`, and what every JSON file of results says of its machine and goals."""

import json
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


def goals(found):
    """(what, measured, goal, met) of every row of a result that has a goal."""
    for row in [*found.get("table", []), *found["rows"]]:
        if "met" in row and "measured" in row:
            yield row["what"], row["measured"], row.get("must", ""), row["met"]


def pages():
    """{place: Markdown}."""
    text = (BENCHMARKS / "README.md").read_text(encoding="utf8")
    machines = ["| results | machine | precision | versions |", "|---|---|---|---|"]
    rows = ["| what | measured | goal | met |", "|---|---|---|---|"]
    for path in sorted((BENCHMARKS / "results").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf8"))
        if "benchmark" not in found:
            continue
        machine, versions = found["machine"], found["versions"]
        said = ", ".join(f"{name} {versions[name]}" for name in ("nmmjax", "jax", "diffrax") if name in versions)
        where = f"{machine['processor']}, {machine['cores']} cores, {machine['device']}"
        machines.append(f"| `{path.name}` | {where} | {found.get('dtype', 'float64')} | {said} |")
        rows += [f"| {what} | {said} | {must} | {'yes' if met else '**no**'} |" for what, said, must, met in goals(found)]
    about = "## From the files\n\nRows with goals, as the JSON files of `benchmarks/results` have them:"
    parts = [text.rstrip(), about, "\n".join(rows), "Where each was measured:", "\n".join(machines)]
    return {"benchmarks.md": "\n\n".join(parts) + "\n"}
