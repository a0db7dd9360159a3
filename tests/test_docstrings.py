"""Docstrings name what they document: every argument of every public function and class, in backticks."""

import dataclasses
import inspect
import re

import pytest

import nmmjax
from nmmjax._parameter import parameters

SPACES = ("results", "coordinates", "mechanics", "ising", "stochastic", "extend", "plot")


def public():
    """Functions and classes by the name under which users find them."""
    found = {}
    for prefix, space in [("", nmmjax), *((f"{name}.", getattr(nmmjax, name)) for name in SPACES)]:
        for name, value in vars(space).items():
            if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                found.setdefault(value, f"{prefix}{name}")
    return {name: value for value, name in found.items()}


PUBLIC = public()


def arguments(value):
    """Names of the arguments; of a class, those of its constructor that no declaration `parameter(…)` documents."""
    if inspect.isclass(value) and inspect.isabstract(value):
        return []
    names = [name for name in inspect.signature(value).parameters if not name.startswith("_")]
    if dataclasses.is_dataclass(value):
        names = [name for name in names if name not in documented(value)]
    return names


def documented(cls):
    return set(parameters(cls))


def missing(value):
    """Arguments that the docstring does not name in backticks, as `name`, `name=…` or with what it looks like, `name(…)`."""
    named = re.findall(r"`\**(\w+)(?:[=(][^`]*)?`", inspect.getdoc(value) or "")
    return [name for name in arguments(value) if name not in named]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_names_every_argument(name):
    assert missing(PUBLIC[name]) == []
