"""TOML files whose mistakes are answered with file, line and key."""

import bisect
import contextlib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from .._checks import whole
from .._files import read_text

Path = tuple[str | int, ...]


class Document:
    """A TOML file: its values, and refusals that name file, line and key. Raises `ValueError` if it can't be read."""

    def __init__(self, file: str | os.PathLike[str]):
        self.file = str(file)
        text = read_text(file, "valid TOML in UTF-8")
        try:
            self.values = tomllib.loads(text)
        except ValueError as error:  # says the line
            raise ValueError(f"The file {self.file!r} is not valid TOML: {error}.") from None
        self._lines = lines_of(text)

    def where(self, path: Path) -> str:
        """File and line of a key, or of the nearest table around it that is written down."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.file}, line {self._lines[path]}" if path else self.file

    def refuse(self, path: Path, rule: str, value: object) -> NoReturn:
        """Raise the one-sentence `ValueError`: where, which key, what it must, what it is."""
        raise ValueError(f"{self.where(path)}: key `{dotted(path)}` must {rule}, but got {value!r}.")

    def require(self, path: Path, rule: str, value: object, holds: object) -> None:
        """Refuse `value` unless it `holds`."""
        if not holds:
            self.refuse(path, rule, value)

    @contextlib.contextmanager
    def at(self, path: Path) -> Iterator[None]:
        """Give the `ValueError`s of what is done inside their place in the file."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self.where(path)}: {error}") from None

    def table(
        self, path: Path, value: Any, accepted: Iterable[str] | None = None, needed: Iterable[str] = ()
    ) -> dict[str, Any]:
        """`value` if it is a table with `accepted` keys only, and with those that are `needed`."""
        self.require(path, "be a table", value, isinstance(value, dict))
        for name in value if accepted is not None else ():
            known = ", ".join(accepted or ())
            if name not in (accepted or ()):
                what = f"one of {known}" if known else "left out"
                raise ValueError(
                    f"{self.where((*path, name))}: key `{dotted((*path, name))}` is unknown; it must be {what}."
                )
        for name in needed:
            if name not in value:
                raise ValueError(f"{self.where(path)}: key `{dotted((*path, name))}` must be given.")
        return value

    def number(self, path: Path, value: Any) -> float:
        """`value` if it is a number (not a truth value)."""
        self.require(path, "be a number", value, isinstance(value, (int, float)) and not isinstance(value, bool))
        return float(value)

    def integer(self, path: Path, value: Any, least: int) -> int:
        """`value` if it is an integer of at least `least`."""
        count = whole(value)
        self.require(path, f"be an integer ≥ {least}", value, count is not None and count >= least)
        return int(value)

    def numbers(self, path: Path, value: Any) -> list[float]:
        """`value` if it is a list of numbers, not empty."""
        self.require(path, "be a list of numbers", value, isinstance(value, list) and len(value) > 0)
        return [self.number((*path, k), each) for k, each in enumerate(value)]

    def text(self, path: Path, value: Any, accepted: Iterable[str] | None = None) -> str:
        """`value` if it is a string, one of those `accepted`."""
        rule = "be a string" if accepted is None else f"be one of {', '.join(accepted)}"
        self.require(path, rule, value, isinstance(value, str) and value != "" and (accepted is None or value in accepted))
        return value


def dotted(path: Path) -> str:
    """A key as it would be written: `over.eta.num`, `stimulus[1].start`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def lines_of(text: str) -> dict[Path, int]:
    """The line on which every key, table and list entry of a valid TOML text stands; `tomllib` doesn't tell."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks over a TOML text that is known to be valid, and notes where keys are."""

    def __init__(self, text: str):
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        self._entries: dict[Path, int] = {}  # [[arrays of tables]]: how many entries so far

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._blank()
        while self.at < len(self.text):
            table = self._header() if self._sees("[") else self._pair(table)
            self._blank()
        return self.lines

    def _sees(self, what: str) -> bool:
        return self.text.startswith(what, self.at)

    def _match(self, pattern: str) -> str:
        found = re.compile(pattern, re.DOTALL).match(self.text, self.at)
        assert found is not None, self.text[self.at : self.at + 20]
        self.at = found.end()
        return found.group()

    def _blank(self) -> None:
        self._match(r"(?:[ \t\n]+|#[^\n]*)*")

    def _note(self, path: Path, start: int) -> None:
        line = bisect.bisect_right(self._starts, start)
        for length in range(len(path), 0, -1):  # a.b = 1 writes down a as well
            self.lines.setdefault(path[:length], line)

    def _header(self) -> Path:
        start, array = self.at, self._sees("[[")
        self.at += 2 if array else 1
        self._match(r"[ \t]*")
        path: Path = ()
        keys = self._keys()
        for k, key in enumerate(keys):
            path = (*path, key)
            if array and k == len(keys) - 1:
                self._entries[path] = self._entries.get(path, 0) + 1
            if path in self._entries:
                path = (*path, self._entries[path] - 1)
        self._match(r"[ \t]*\]\]?")
        self._note(path, start)
        return path

    def _keys(self) -> list[str]:
        keys = []
        while True:
            raw = self._match(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')
            keys.append(next(iter(tomllib.loads(f"{raw} = 0"))))
            if not re.match(r"[ \t]*\.", self.text[self.at :]):
                return keys
            self._match(r"[ \t]*\.[ \t]*")

    def _pair(self, table: Path) -> Path:
        start = self.at
        path = (*table, *self._keys())
        self._note(path, start)
        self._match(r"[ \t]*=[ \t]*")
        self._value(path)
        return table

    def _value(self, path: Path) -> None:
        if self._sees("["):
            self._inside("]", lambda k: self._entry((*path, k)))
        elif self._sees("{"):
            self._inside("}", lambda k: self._pair(path))
        else:
            strings = (
                r'"""(?:\\.|[^\\])*?"{3,5}(?!")',
                r"'''.*?'{3,5}(?!')",
                r'"(?:\\.|[^"\\])*"',
                r"'[^']*'",
                r"[^,\]}#\n]*",
            )
            self._match("|".join(strings))

    def _entry(self, path: Path) -> None:
        self._note(path, self.at)
        self._value(path)

    def _inside(self, end: str, part: Any) -> None:
        self.at += 1
        self._blank()
        count = 0
        while not self._sees(end):
            part(count)
            count += 1
            self._blank()
            if self._sees(","):
                self.at += 1
                self._blank()
        self.at += 1
