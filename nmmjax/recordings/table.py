"""Tables in text files, the one door to their cells: delimiter, decimal comma, comments, header.

The caller says what the columns mean (time, index, regions, units). Numbers are parsed here, and what is none is
refused with line and column.
"""

import csv
import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

GAPS = ("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "?")  # cells of missing samples
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0}
_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")  # a number with a decimal comma
_WHOLE = re.compile(r"\d+")
_LOOK = 1000  # lines by which separator and header are told
_COUNT = 4  # rows from which counting them is no chance


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of a text table, line by line, without comments and empty lines.

    - `place`: how sentences about it begin; `rows`: cells; `lines`: the number of each row's line
    - `decimal`: the decimal sign; `quoted`: whether the first line's cells are quoted, and the next line's are not
    - `names`: those in a comment right above the first line, or none; `comments`: all of them
    - `across`: rows and columns are exchanged with respect to the file
    """

    place: str
    rows: list[list[str]]
    lines: list[int]
    decimal: str
    quoted: bool
    names: tuple[str, ...]
    comments: tuple[str, ...]
    across: bool = False

    def turned(self) -> "Table":
        """The table with rows and columns exchanged."""
        return dataclasses.replace(self, rows=[list(column) for column in zip(*self.rows, strict=True)], across=True)

    def require_width(self, width: int, whose: str, first: int = 0) -> None:
        """Refuse rows, from the row `first` on, that don't have `width` cells."""
        for line, row in zip(self.lines[first:], self.rows[first:], strict=True):
            if len(row) != width:
                raise ValueError(f"{self.place}, line {line}: must have {width} values, {whose}, but has {len(row)}.")

    def refuse(self, row: int, column: int, name: str | None, rule: str, value: str) -> NoReturn:
        """Refuse a cell, by line and column in the file; `name` is the column's."""
        line, at = (self.lines[column], row) if self.across else (self.lines[row], column)
        where = f"column {at + 1}" if name is None or self.across else f"column `{name}`"
        raise ValueError(f"{self.place}, line {line}, {where}: must {rule}, but got {value}.")

    def numbers(
        self,
        columns: Sequence[int],
        first: int = 0,
        names: Sequence[str] | None = None,
        rule: str = "be a number",
        finite: bool = False,
    ) -> np.ndarray:
        """Numbers in some columns, from the row `first` on; NaN if missing. Else the sentence, with the `rule`."""
        values = np.empty((len(self.rows) - first, len(columns)))
        for k in range(len(values)):
            cells = [self.rows[first + k][at] for at in columns]
            try:
                if any("_" in cell for cell in cells):
                    raise ValueError
                values[k] = cells  # fast if all is well
            except ValueError:
                for j, cell in enumerate(cells):
                    number = self.number(cell)
                    if number is None and cell.lower() not in GAPS:
                        self.refuse(first + k, columns[j], names[j] if names else None, rule, repr(cell))
                    values[k, j] = np.nan if number is None else number
            if finite and np.isinf(values[k]).any():
                j = int(np.flatnonzero(np.isinf(values[k]))[0])
                self.refuse(first + k, columns[j], names[j] if names else None, rule, repr(cells[j]))
        return values

    def number(self, cell: str) -> float | None:
        """The number in a cell, or None."""
        try:
            return None if "_" in cell else float(cell.replace(",", ".") if self.decimal == "," else cell)
        except ValueError:
            return None

    def is_header(self, known: Iterable[str] = ()) -> bool | None:
        """Whether the first row holds the columns' names; None if it may be a sample as well.

        Words are names. Numbers are names if they are distinct whole numbers, as pandas writes for columns without
        names, over values of another kind. A line of both is a header if its words are `known`; else the sentence about
        the first word.
        """
        first, below = self.rows[0], self.rows[1 : _LOOK + 1]
        gaps = [cell.lower() in GAPS for cell in first]
        words = [not gap and self.number(cell) is None for cell, gap in zip(first, gaps, strict=True)]
        if all(gaps):
            return False
        if all(word or gap for word, gap in zip(words, gaps, strict=True)) and any(words):
            return True
        rest = [at for at, cell in enumerate(first) if not (words[at] or gaps[at])]  # columns of numbers
        strange = [at for at, cell in enumerate(first) if words[at] and cell.lower() not in known]
        if strange == [0] and self.across and all(self.number(row[0]) is None for row in self.rows):
            return False  # a first line of words that names samples, over nothing but numbers
        if strange:
            hint = f"{first[strange[0]]!r} (`header=True` reads the line as names)"
            self.refuse(0, strange[0], None, "be a number", hint)
        if any(words):
            return True
        if any(gaps[1:]) or (gaps[0] and first[0] != ""):
            return False
        column = [row[0] for row in below if row]
        if gaps[0] and (counts(column) or all(self.number(x) is None and x.lower() not in GAPS for x in column)):
            return True  # an index without a name
        return self._numbered(rest, first, below)

    def _numbered(self, at: list[int], first: list[str], below: list[list[str]]) -> bool | None:
        """Whether whole numbers are names of columns; None if that can't be told."""
        ids = [first[k] for k in at]
        if not below or not all(_WHOLE.fullmatch(each) for each in ids) or len(set(ids)) < len(ids):
            ramp = [self.number(each) for each in ids]  # 0.0, 1.0, 2.0
            return None if below and len(ids) > 2 and ramp in (_ramp(0, len(ids)), _ramp(1, len(ids))) else False
        if self.quoted:
            return True
        cells = [row[k] for row in below for k in at if k < len(row) and row[k].lower() not in GAPS]
        whole = sum(_WHOLE.fullmatch(cell.lstrip("+-")) is not None for cell in cells)
        if len(below) >= _COUNT - 1 and counts(row[at[0]] for row in [first, *below] if at[0] < len(row)):
            return False  # a counter begins in the first line
        sample = np.asarray([int(each) for each in ids], float)
        number = lambda row, k: np.nan if k >= len(row) or (found := self.number(row[k])) is None else found
        x = np.asarray([[number(row, k) for k in at] for row in below])
        like = (np.fmin.reduce(x) <= sample) & (sample <= np.fmax.reduce(x))  # as the values below
        steps = np.diff(sample)
        rising, ramp = bool(np.all(steps > 0)), bool(np.all(steps == 1))
        counting = ramp and sample[0] < 2
        if 2 * whole < len(cells):  # a writer of 0.5 would write 0.0 and 1.0, but for those who write 0 and 1
            even = any(len(x) > 1 and spacing(np.append(one, more)) == "even" for one, more in zip(sample, x.T, strict=True))
            few = sample.max() < 100 and not counting and (len(ids) < 4 or not rising)  # a first sample such as 0, 2
            mixed = few or (like.any() and not rising)
            return None if even or (like.all() and not counting) or mixed else True
        if len(np.unique(x[np.isfinite(x)])) <= 2 and len(below) >= _COUNT and not np.isin(sample, x).all():
            return True
        large = ramp and (len(ids) > 2 or sample[0] >= 100)
        outside = len(below) >= _COUNT and not like.any()
        return None if counting or large or (len(ids) > 3 and rising) or outside else False


def _ramp(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


def counts(cells: Iterable[str]) -> bool:
    """Whether the cells count rows, from 0 or 1: at least four of them."""
    listed = list(cells)
    return len(listed) >= _COUNT and any(listed == [str(k + start) for k in range(len(listed))] for start in (0, 1))


def spacing(times: np.ndarray, labels: Any = None) -> str:
    """`"even"`, `"increasing"` (strictly), `"starting again"` (in several pieces) or `"no"`, within each label."""
    steps = np.diff(times)
    if labels is not None:
        steps = steps[labels[1:] == labels[:-1]]
    if steps.size == 0 or not np.all(np.isfinite(times)):
        return "no"
    if steps.min() > 0:
        return "even" if np.ptp(steps) <= 1e-3 * steps.max() else "increasing"
    up = steps[steps > 0]
    again = 4 * up.size >= 3 * steps.size and steps.size > 4 and np.ptp(up) <= 0.05 * up.max()
    return "starting again" if again else "no"


def split_unit(name: str) -> tuple[str, str | None]:
    """A column's name and its unit, of `t (ms)` or `t [ms]`."""
    match = re.fullmatch(r"(.*?)\s*[\(\[]([^\)\]]*)[\)\]]", name)
    return (match.group(1), match.group(2).strip()) if match else (name, None)


def read_table(text: str, place: str, blanks: bool = False) -> Table | None:
    """The table in a text, None if it holds no line of cells; `blanks` says that nothing but blanks separates."""
    every = text.splitlines()
    tabs = not blanks and 2 * sum("\t" in line for line in every) > len(every)  # a sample that is missing is tabs only
    numbered = [(k + 1, line) for k, line in enumerate(every) if line.strip(" " if tabs else None)]
    comments = tuple(line.strip() for _, line in numbered if line.lstrip().startswith("#"))
    lines = [(k, line) for k, line in numbered if not line.lstrip().startswith("#")]
    told = re.fullmatch(r"sep=(.)", lines[0][1].strip(), re.IGNORECASE) if lines else None  # as Excel writes
    lines = lines[1:] if told else lines
    if not lines:
        return None
    separator, decimal = _separator([line for _, line in lines[:_LOOK]], blanks)
    separator = told.group(1) if told else separator
    rows, at = _split(lines, separator, place)
    if separator != " " and all(row and row[-1] == "" for row in rows):
        rows = [row[:-1] for row in rows]  # a separator at the end of every line
    if (
        len(rows) > 1
        and len(rows[0]) == len(rows[1]) - 1
        and (counts(row[0] for row in rows[1:] if row) or (separator == " " and lines[0][1][0] == " " != lines[1][1][0]))
    ):
        rows[0] = ["", *rows[0]]  # the rows' numbers have no header, as R and, among blanks, pandas write
    marks = [line.count('"') for _, line in lines[:2]]
    quoted = len(lines) > 1 and marks[0] == 2 * sum(map(bool, rows[0])) > marks[1]
    before = dict(numbered).get(at[0] - 1, "").strip()
    names: list[str] = []
    if before.startswith("#") and separator != " ":  # as np.savetxt writes; among blanks it may be a sentence
        (names,), _ = _split([(at[0] - 1, before.lstrip("# "))], separator, place)
    alone = Table(place, rows, at, decimal, quoted, (), comments)
    fits = len(names) == len(rows[0]) > 1 and all(name and alone.number(name) is None for name in names)
    return dataclasses.replace(alone, names=tuple(names) if fits else ())


def _separator(lines: list[str], blanks: bool) -> tuple[str, str]:
    """Separator of cells, and the decimal sign."""
    found = next((each for each in "\t;," if 2 * sum(each in line for line in lines) >= len(lines)), " ")
    found = " " if blanks else found
    last = lines[len(lines) // 2 :]  # without the header
    comma = [line.split() for line in last] if found in ", " else []
    fits = lambda cell: _COMMA.fullmatch(cell) or cell.lower() in GAPS
    if comma and all(len(row) > 1 and all(map(fits, row)) for row in comma) and any("," in x for x in last):
        return " ", ","
    return found, "," if found in "\t;" else "."


def _split(lines: list[tuple[int, str]], separator: str, place: str) -> tuple[list[list[str]], list[int]]:
    """Rows of cells, and their line numbers."""
    if separator == " ":
        cells = [[quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([^\s"]\S*)', line)] for _, line in lines]
        return cells, [k for k, _ in lines]
    reader = csv.reader([line for _, line in lines], delimiter=separator)
    try:
        read = [(lines[reader.line_num - 1][0], [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{place}, line {lines[reader.line_num - 1][0]}: must be cells of a table, but {error}.") from None
    return [row for _, row in read], [k for k, _ in read]
