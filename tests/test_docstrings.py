"""Docstrings name what they document: every argument of every public function and class, in backticks."""

import dataclasses
import inspect
import pathlib
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
        names = [name for name in names if name not in parameters(value)]
    return names


def named(text):
    """What a docstring names in backticks, as `name`, `name=…` or with what it looks like, `name(…)`."""
    return re.findall(r"`\**(\w+)(?:[=(][^`]*)?`", text or "")


def missing(value):
    """Arguments that the docstring does not name."""
    return [name for name in arguments(value) if name not in named(inspect.getdoc(value))]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_names_every_argument(name):
    assert missing(PUBLIC[name]) == []


METHODS = {
    f"{name}.{method}": (value, method)
    for name, value in PUBLIC.items()
    if inspect.isclass(value)
    for method, function in vars(value).items()
    if inspect.isfunction(function) and not method.startswith("_") and function.__doc__
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_name_every_argument(name):
    """In the method's own docstring, or in that of the class which declares it."""
    cls, method = METHODS[name]
    said = [named(inspect.getdoc(vars(each)[method])) for each in cls.__mro__ if method in vars(each)]
    arguments = [each for each in inspect.signature(getattr(cls, method)).parameters if each not in ("self", "cls")]
    assert [each for each in arguments if not any(each in names for names in said)] == []


FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_says_what_is_returned(name):
    if inspect.signature(FUNCTIONS[name]).return_annotation in (None, "None") or name == "extend.parameter":
        return  # the latter declares a field
    assert re.search(r"\breturns?\b", inspect.getdoc(FUNCTIONS[name]), flags=re.IGNORECASE)


AWKWARD = (
    r"unless told otherwise",
    r"where there (is|are) (none|no)\b",
    r"\bcosts? no other\b",
    r"by key and lane alone",
    r"NaN where there",
)


def test_english():
    """Phrases that were replaced throughout stay away: `if absent`, `by default`, a condition is an `if`."""
    package = pathlib.Path(nmmjax.__file__).parent
    found = [
        f"{path.relative_to(package)}: {match[0]}"
        for path in sorted(package.rglob("*.py"))
        for match in re.finditer("|".join(f"(?:{each})" for each in AWKWARD), path.read_text(encoding="utf8"))
    ]
    assert found == []
