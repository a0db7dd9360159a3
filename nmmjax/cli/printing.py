"""What the commands print: text for people, or one JSON object for programs."""

import json
import math
import pathlib
from typing import Any

from .._optional import optional


def console_for(as_json: bool, quiet: bool = False) -> Any:
    """The console of a command: standard output, or standard error if standard output holds a JSON object."""
    return optional("rich.console", "cli").Console(stderr=as_json, quiet=quiet)


def print_json(values: dict[str, object]) -> None:
    """Print one JSON object on standard output; numbers in full precision, null for NaN and ±∞."""
    print(json.dumps(_plain(values), ensure_ascii=False, indent=2, allow_nan=False))


def _plain(value: object) -> object:
    """`value` in the types of JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    tolist = getattr(value, "tolist", None)  # NumPy's and JAX's arrays and scalars
    return value if tolist is None else _plain(tolist())
