"""How far a long computation is: a bar in a terminal (extra `cli`), else a short line every ten seconds."""

import sys
import threading
import time
from typing import Any

_INTERVAL = 10.0


class Progress:
    """Counts lanes, from any thread; a context manager. `total` lanes are to be done, `already` of them were before.
    `label` and `unit` say what is counted, a sweep's lanes or a fit's starts.

    With `shown=False` it counts in silence. Lines and bar go to stderr.
    """

    def __init__(self, total: int, already: int = 0, shown: bool = True, label: str = "sweep", unit: str = "lanes"):
        self.total, self.already, self._label, self._unit = total, already, label, unit
        self._finished, self._begun = already, 0  # lanes of finished blocks, lanes done of the block under way
        self._lock = threading.Lock()
        self._start = self._last = time.monotonic()
        self._shown, self._lines = shown, 0
        self._bar = _bar(unit) if shown else None

    def __enter__(self) -> "Progress":
        self._start = self._last = time.monotonic()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self.total, completed=self.already, rate="", left="")
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._lines:
            print(self.line(), file=sys.stderr, flush=True)

    @property
    def done(self) -> int:
        """Lanes done so far."""
        return min(self._finished + self._begun, self.total)

    @property
    def rate(self) -> float:
        """Lanes per second since the start."""
        return (self.done - self.already) / max(time.monotonic() - self._start, 1e-9)

    def report(self, lanes: int) -> None:
        """`lanes` more of the block under way are done."""
        with self._lock:
            self._begun += int(lanes)
            self._show()

    def finish(self, lanes: int) -> None:
        """The block under way is done, with `lanes` lanes in all."""
        with self._lock:
            self._finished, self._begun = self._finished + lanes, 0
            self._show()

    def line(self) -> str:
        """Progress in one line."""
        what = self._unit
        return f"{self._label}: {self.done} of {self.total} {what}, {self.rate:.3g} {what}/s, {self.left()}"

    def left(self) -> str:
        """The time left, in words."""
        if self.done == self.already:
            return ""
        seconds = round((self.total - self.done) / max(self.rate, 1e-9))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return f"{hours:d}:{minutes:02d}:{seconds % 60:02d} left"

    def _show(self) -> None:
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, rate=f"{self.rate:.3g} {self._unit}/s", left=self.left())
        elif self._shown and now - self._last >= _INTERVAL:
            self._last, self._lines = now, self._lines + 1
            print(self.line(), file=sys.stderr, flush=True)


def _bar(unit: str) -> Any:
    """A bar of rich's, or None without a terminal to draw it in or rich to draw it."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return None
    try:
        import rich.console as console
        import rich.progress as rich
    except ModuleNotFoundError:
        return None
    columns = (
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn(unit + "  {task.fields[rate]}  {task.fields[left]}"),
    )
    return rich.Progress(*columns, console=console.Console(stderr=True), transient=True)
