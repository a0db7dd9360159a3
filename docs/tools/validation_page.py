"""The page of validation: what `benchmarks/validation.py` and `nmmjax reproduce` have measured."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent.parent.parent / "benchmarks" / "results" / "validation"


def curves():
    """Table and pictures of all curves."""
    found = [json.loads(path.read_text(encoding="utf8")) for path in RESULTS.glob("curve_*.json")]
    found.sort(key=lambda each: each["number"])
    rows = ["| curve | against | points | largest difference | limit |", "|---|---|---|---|---|"]
    for each in found:
        rows.append(
            f"| [{each['title']}](#{each['name']}) | {each['rival']} | {each['points']} | "
            f"{each['largest_difference']:.1e} {each['measure']} | {each['limit']:.0e} |"
        )
    parts = ["\n".join(rows)]
    for each in found:
        picture = f"![{each['title']}: ours over {each['rival']}](validation/{each['name']}.png)"
        parts.append(f"## {each['title']} {{ #{each['name']} }}\n\n{each['about']}\n\n{picture}")
    return "\n\n".join(parts)


def claims():
    """The report of `nmmjax reproduce`."""
    path = RESULTS / "claims.json"
    if not path.exists():
        return ""
    entries = json.loads(path.read_text(encoding="utf8"))["claims"]
    rows = ["| | claim | source | met |", "|---|---|---|---|"]
    for each in entries:
        met = "yes" if each["met"] else "**no**"
        rows.append(f"| ({each['letter']}) | [{each['statement']}](#{each['name']}) | {each['source']} | {met} |")
    parts = ["\n".join(rows)]
    for each in entries:
        table = ["| quantity | claimed | measured | met |", "|---|---|---|---|"]
        for row in each["rows"]:
            quantity = row["quantity"].replace("|", "\\|")
            table.append(f"| {quantity} | {row['claimed']} | {row['measured']:.6g} | {'yes' if row['met'] else '**no**'} |")
        picture = f"![{each['statement']}](validation/{each['letter']}_{each['name']}.png)"
        head = f"### ({each['letter']}) {each['name']} {{ #{each['name']} }}\n\n{each['statement']}"
        parts.append("\n\n".join([head, picture, "\n".join(table)]))
    return "\n\n".join(parts)


def fill(markdown):
    return markdown.replace("<!-- curves -->", curves()).replace("<!-- claims -->", claims())
