"""A tool in a process of its own, so that none changes another's devices, precision, threads or memory."""

import contextlib
import dataclasses
import hashlib
import importlib
import multiprocessing
import os
import pickle
import time
import traceback
from typing import Any

_KEPT = 6  # prepared runs that a process keeps


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a run returned, its seconds, and the number of lane-steps where the tool counts them."""

    value: Any
    seconds: float
    steps: int | None


class UnavailableError(Exception):
    """The tool cannot run here; the message is one sentence."""


def _serve(connection, module: str, first: str | None, x64: bool) -> None:
    import sys

    try:
        if first is not None:  # before anything else touches JAX
            with contextlib.redirect_stdout(open(os.devnull, "w")), contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(first)
        import jax

        jax.config.update("jax_enable_x64", x64)
        tools = importlib.import_module(module if "." in module else f"{__package__}.{module}")
    except Exception:
        connection.send(("failed", traceback.format_exc()))
        sys.exit(1)
    connection.send(("ready", None))
    prepared: dict[Any, Any] = {}
    while True:
        request = connection.recv()
        if request is None:
            return
        name, key, arguments = request
        try:
            if key not in prepared:
                while len(prepared) >= _KEPT:
                    prepared.pop(next(iter(prepared)))
                run = getattr(tools, name)(*arguments[0], **arguments[1])
                run()
                prepared[key] = run
            run = prepared[key]
            start = time.perf_counter()
            value = run()
            seconds = time.perf_counter() - start
            value = _numpy(value)
            connection.send(("done", Answer(value, seconds, getattr(run, "steps", None))))
        except Exception as error:
            missing = type(error).__name__ == "MissingError"
            connection.send(("missing", str(error)) if missing else ("failed", traceback.format_exc()))


def _numpy(value: Any) -> Any:
    import numpy as np

    if isinstance(value, dict):
        return {name: _numpy(each) for name, each in value.items()}
    return tuple(_numpy(each) for each in value) if isinstance(value, tuple) else np.asarray(value)


class Worker:
    """Prepares runs of one module's functions in a process of its own, and times them on request, after a warm-up."""

    def __init__(self, module: str, first: str | None = None, x64: bool = True, environment: dict[str, str] | None = None):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, module, first, x64), daemon=True)
        before = dict(os.environ)
        os.environ.update(environment or {})
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        self._receive()

    def _receive(self, patience: float | None = None) -> Any:
        try:
            if not self._connection.poll(patience):
                self._process.kill()
                self._process.join()
                raise UnavailableError(f"no answer within {patience:g} s; ended.")
            kind, value = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(10)
            raise UnavailableError(f"its process ended with code {self._process.exitcode}.") from None
        if kind == "missing":
            raise UnavailableError(value)
        if kind == "failed":
            raise RuntimeError(value)
        return value

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def __call__(self, patience: float, function: str, *args: Any, **kwargs: Any) -> Answer:
        """Run `function(*args, **kwargs)()`; the first time for these arguments it is prepared and warmed up.

        The process is ended after `patience` seconds without an answer.
        """
        key = hashlib.sha256(pickle.dumps((function, args, sorted(kwargs.items())))).hexdigest()
        with contextlib.suppress(ConnectionError):  # a dead process answers so, below
            self._connection.send((function, key, (args, kwargs)))
        return self._receive(patience)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
