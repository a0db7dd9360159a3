"""What the sections share: tools and their processes, settings tried in turns, times at a given error, orders."""

import dataclasses
import itertools
import os
import statistics
from typing import Any

import numpy as np

from ..ensemble.session import ON_CPU
from ..ensemble.workers import Answer, UnavailableError, Worker
from .reference import SPACING, Problem, error

OURS = "nmmjax"
TWO = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={os.cpu_count()}"}  # for its `pmap`
FEW, MOST, SECONDS = 3, 15, 0.5  # runs of one setting: three, more while they take less than this together


@dataclasses.dataclass(frozen=True)
class Tool:
    """A function of ours.py or rivals.py with its options; `order` is what its authors say."""

    name: str
    function: str
    order: int | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    most: int = 10**9  # steps per SPACING beyond which it isn't asked

    @property
    def package(self) -> str:
        return "ours" if self.name.startswith(OURS) else "rivals"


@dataclasses.dataclass
class Session:
    """Options, processes, and what was found so far."""

    options: Any
    workers: Any
    rows: list[dict[str, Any]]
    facts: dict[str, Any]

    @property
    def quick(self) -> bool:
        return self.options.quick

    def say(self, section: str, what: str, measured: str, must: str = "", met: bool | None = None, **numbers: Any) -> None:
        """Add a row."""
        row: dict[str, Any] = {"section": section, "what": what, "measured": measured}
        row |= {"must": must, "met": met} if must else {}
        self.rows.append(row | numbers)
        print(f"{what}: {measured}" + (f" (must reach {must}: {'met' if met else 'NOT met'})" if must else ""), flush=True)


class Workers:
    """One process per package, started when it is asked for."""

    def __init__(self, quick: bool):
        self.patience = 120.0 if quick else 600.0
        self.failed: dict[str, str] = {}
        self._running: dict[str, Worker] = {}

    def ask(self, tool: Tool, *arguments: Any) -> Answer | None:
        """One timed run, warmed up; None, with one line said once, where the tool cannot."""
        where = tool.function.partition("_")[0] if tool.package == "rivals" else OURS
        try:
            if where not in self._running or not self._running[where].alive:
                first = "vbjax" if where == "vbjax" else None
                environment = (
                    ON_CPU | {"JAX_TRACEBACK_FILTERING": "off"} | (TWO if tool.function == "tvboptim_lanes" else {})
                )
                self._running[where] = Worker(f"benchmarks.brains.{tool.package}", first, environment=environment)
            return self._running[where](self.patience, tool.function, *arguments, **tool.options)
        except (UnavailableError, RuntimeError) as reason:
            said = str(reason).strip().splitlines()[-1]
            if self.failed.get(tool.name) != said:
                print(f"{tool.name}: {said}", flush=True)
            self.failed[tool.name] = said
            return None

    def close(self) -> None:
        for each in self._running.values():
            each.close()
        self._running.clear()


def in_turns(workers: Workers, asked: list[tuple[Tool, tuple[Any, ...]]], quick: bool) -> list[dict[str, Any] | None]:
    """Median and least seconds of all, run in turn; None for those that cannot."""
    answers = [[workers.ask(tool, *arguments)] for tool, arguments in asked]
    spent = sum(each[0].seconds for each in answers if each[0] is not None)
    for _ in range((2 if quick else int(np.clip(SECONDS * len(asked) / max(spent, 1e-9), FEW, MOST))) - 1):
        for (tool, arguments), found in zip(asked, answers, strict=True):
            if found[0] is not None:
                found.append(workers.ask(tool, *arguments))
    rows: list[dict[str, Any] | None] = []
    for found in answers:
        seconds = [each.seconds for each in found if each is not None]
        if not seconds or found[0] is None:
            rows.append(None)
            continue
        numbers = {"seconds_median": statistics.median(seconds), "seconds_min": min(seconds), "repeats": len(seconds)}
        rows.append({"value": found[0].value, **numbers})
    return rows


def scan(
    workers: Workers, tools: list[Tool], problem: Problem, exact: np.ndarray, steps: list[int], T: float, quick: bool
) -> list[dict[str, Any]]:
    """Seconds and error of every tool at every number of steps per SPACING, tools in turns."""
    rows = []
    for each in steps:
        able = [tool for tool in tools if each <= tool.most]
        found = in_turns(workers, [(tool, (problem, each, T)) for tool in able], quick)
        for tool, one in zip(able, found, strict=True):
            if one is None:
                continue
            row = {
                "tool": tool.name,
                "steps": each,
                "dt": SPACING / each,
                "error": error(one.pop("value"), exact, problem.tau),
            }
            row |= one
            row |= {"microseconds_per_step": 1e6 * one["seconds_median"] / (each * round(T / SPACING))}
            rows.append(row)
            print(
                f"  {tool.name}: dt {row['dt']:.4g}, error {row['error']:.3g}, {row['microseconds_per_step']:.3g} µs a step",
                flush=True,
            )
    return rows


def order(
    rows: list[dict[str, Any]], tool: str, below: float = 0.01, floor: float = 1e-10, longest: float = np.inf
) -> float | None:
    """The slope of ln error over ln dt, by regression over the settings with errors between `floor` and `below` and steps
    up to `longest`."""
    points = [
        (row["dt"], row["error"])
        for row in rows
        if row["tool"] == tool and floor < row["error"] < below and row["dt"] <= longest
    ]
    if len(points) < 3:
        return None
    return float(np.polyfit(*np.log(np.array(points)).T, 1)[0])


def seconds_at(rows: list[dict[str, Any]], tool: str, limit: float, key: str = "seconds_median") -> float | None:
    """Least time at this error: on the line between neighbouring settings of a tool in the logarithmic plane, or that of its
    coarsest where that is exact enough already; None where no setting is."""
    points = sorted((row["dt"], row["error"], row[key]) for row in rows if row["tool"] == tool and np.isfinite(row["error"]))
    good = [seconds for _, wrong, seconds in points if wrong <= limit]
    if not good:
        return None
    best = min(good)
    for (_, finer, longer), (_, coarser, shorter) in itertools.pairwise(points):
        if finer <= limit < coarser:
            share = np.log(limit / finer) / np.log(coarser / finer)
            best = min(best, float(np.exp((1 - share) * np.log(longer) + share * np.log(shorter))))
    return best


def said(number: float) -> str:
    return f"{number:.3g}"
