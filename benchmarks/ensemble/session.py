"""What the rows share: tools and their processes, settings scanned and refined, turns taken, results written."""

import dataclasses
import pathlib
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..record import write
from .reference import quantiles
from .workers import Answer, UnavailableError, Worker

ON_CPU = {"JAX_PLATFORMS": "cpu"}
OURS = "nmmjax"
_TURNS_SECONDS = 25.0  # about how long those compared take turns, at least three times each
_MOST_RUNS, _SCAN_SECONDS = 10, 0.2  # runs of one setting in a scan: two, or more while they take less than this together


@dataclasses.dataclass(frozen=True)
class Tool:
    """A function of ours.py or rivals.py to be asked for its settings; `worker` names the process it lives in."""

    name: str
    worker: str
    function: str
    setting: str
    settings: tuple[float, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


WORKERS: dict[str, dict[str, Any]] = {
    "ours": {"module": "ours", "environment": ON_CPU},
    "ours32": {"module": "ours", "environment": ON_CPU, "x64": False},
    "diffrax": {"module": "rivals", "environment": ON_CPU},
    "heyoka": {"module": "rivals", "environment": ON_CPU},
    "vbjax": {"module": "rivals", "environment": ON_CPU, "first": "vbjax"},
    "gradsolve": {"module": "rivals", "environment": ON_CPU},
    "c": {"module": "rivals", "environment": ON_CPU},
    "ours on the GPU": {"module": "ours"},
    "diffrax on the GPU": {"module": "rivals"},
}


def half_decades(first: float, last: float) -> tuple[float, ...]:
    """From 10^first down to 10^last."""
    return tuple(float(f"{10.0**e:.3g}") for e in np.arange(first, last - 0.25, -0.5))


class Session:
    """Options, the processes in use, and what the table says so far."""

    def __init__(self, options: Any):
        self.options, self.quick = options, options.quick
        self.table: list[dict[str, Any]] = []
        self._written = 0  # how many of the table's rows are in files already
        self._workers: dict[str, Worker] = {}
        self._unavailable: set[str] = set()

    def ask(self, tool: Tool, setting: float, *args: Any, **kwargs: Any) -> Answer | None:
        """One timed run; None, with one line said once, where the tool cannot run."""
        try:
            if tool.worker not in self._workers or not self._workers[tool.worker].alive:
                self._workers[tool.worker] = Worker(**WORKERS[tool.worker])
            patience = 60.0 if self.quick else 300.0
            return self._workers[tool.worker](patience, tool.function, *args, setting, **tool.options, **kwargs)
        except UnavailableError as reason:
            if tool.name not in self._unavailable:
                print(f"{tool.name}: {reason}", flush=True)
            self._unavailable.add(tool.name)
            return None
        except RuntimeError as failure:
            print(f"{tool.name} at {tool.setting} {setting:g} failed: {str(failure).strip().splitlines()[-1]}", flush=True)
            return None

    def release(self, *names: str) -> None:
        """End processes that are no longer needed (all, if none is named): their memory and threads go."""
        for name in names or tuple(self._workers):
            if name in self._workers:
                self._workers.pop(name).close()

    def say(self, what: str, measured: str, must: str, met: bool | None, **numbers: Any) -> None:
        """Add a row to the table."""
        self.table.append({"what": what, "measured": measured, "must": must, "met": met, **numbers})
        print(f"{what}: {measured}" + (f" (must reach {must}: {'met' if met else 'NOT met'})" if must else ""), flush=True)

    def write(self, topic: str, rows: list[dict], dtype: str = "float64", **facts: Any) -> pathlib.Path:
        """The topic's rows and its lines of the table, as JSON."""
        mine = self.table[self._written :]
        self._written = len(self.table)
        return write(f"ensemble_{topic}", self.options, rows, dtype=dtype, show=False, table=mine, **facts)


def show(row: dict[str, Any]) -> None:
    print(
        "  " + "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in row.items() if k != "setting"),
        flush=True,
    )


class Scan:
    """Work and precision of tools at their settings for one problem, kept as `rows`."""

    def __init__(self, session: Session, problem: Any, error: Callable[[Any], np.ndarray], work: float):
        self.session, self.problem, self.error, self.work = session, problem, error, work
        self.rows: list[dict[str, Any]] = []

    def try_all(self, tools: Iterable[Tool]) -> None:
        """Every setting of every tool; a tool that can't run any more is left."""
        for tool in tools:
            for setting in tool.settings[:: max(1, len(tool.settings) // 3)] if self.session.quick else tool.settings:
                if self.try_one(tool, setting) is None:
                    break

    def try_one(self, tool: Tool, setting: float) -> dict[str, Any] | None:
        """Seconds (the fastest of at least two runs, of more where they are short), throughput and errors."""
        done: list[Answer] = []
        while len(done) < 2 or (len(done) < _MOST_RUNS and sum(each.seconds for each in done) < _SCAN_SECONDS):
            answer = self.session.ask(tool, setting, self.problem)
            if answer is None:
                return None
            done.append(answer)
        seconds = min(each.seconds for each in done)
        row = {
            "tool": tool.name,
            tool.setting: setting,
            "setting": setting,
            "seconds": seconds,
            "time_units_per_second": self.work / seconds,
            **quantiles(self.error(done[0].value)),
        }
        self.rows.append(row)
        show(row)
        return row

    def refine(self, tool: Tool, limit: float, halvings: int) -> None:
        """Try settings between the cheapest that meets the limit and the next coarser one: a tool's cost at the limit."""
        for _ in range(halvings):
            chosen = self.cheapest(tool, limit)
            tried = [row["setting"] for row in self.rows if row["tool"] == tool.name]
            coarser = [] if chosen is None else [each for each in tried if each > chosen["setting"]]
            if chosen is None or not coarser:
                return
            self.try_one(tool, float(f"{(min(coarser) * chosen['setting']) ** 0.5:.3g}"))

    def good(self, tool: Tool, limit: float) -> list[dict[str, Any]]:
        """The tool's settings whose 95th percentile meets the limit, the fastest first."""
        rows = [row for row in self.rows if row["tool"] == tool.name and row["error_p95"] <= limit]
        return sorted(rows, key=lambda row: row["seconds"])

    def cheapest(self, tool: Tool, limit: float) -> dict[str, Any] | None:
        """The fastest of them."""
        return next(iter(self.good(tool, limit)), None)


def take_turns(session: Session, runs: dict[str, Callable[[], Answer | None]]) -> dict[str, dict[str, Any]]:
    """Minimum and median seconds of each, run in turn several times; those that cannot run are left out."""
    first = {name: run() for name, run in runs.items()}
    answers: dict[str, list[Answer]] = {name: [each] for name, each in first.items() if each is not None}
    round_of_all = sum(found[0].seconds for found in answers.values())
    least, most = (1, 2) if session.quick else (3, 9)
    for _ in range(int(np.clip(_TURNS_SECONDS / max(round_of_all, 1e-9), least, most)) - 1):
        for name, found in answers.items():
            again = runs[name]()
            if again is not None:
                found.append(again)
    return {
        name: {
            "seconds_min": min(each.seconds for each in found),
            "seconds_median": statistics.median(each.seconds for each in found),
            "repeats": len(found),
            "value": found[-1].value,
            "steps": found[-1].steps,
        }
        for name, found in answers.items()
    }


def ratios(slow: dict[str, Any], fast: dict[str, Any]) -> tuple[float, float]:
    """How many times faster, by medians and by minima."""
    return slow["seconds_median"] / fast["seconds_median"], slow["seconds_min"] / fast["seconds_min"]


def without_value(each: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in each.items() if name != "value"}


def millions(number: float) -> str:
    return f"{number / 1e6:.3g} M" if number < 1e9 else f"{number / 1e9:.3g} G"
