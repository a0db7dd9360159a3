"""Processes that tests start: none waits for ever, and one that takes too long tells what it was doing."""

import contextlib
import os
import signal
import subprocess
import sys

_HOME = os.path.dirname(os.path.abspath(__file__))


def environment(**more):
    """This process's, so that the other imports what this one does, in lines of 120 columns."""
    paths = os.pathsep.join([_HOME, *sys.path])
    return os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": paths, "COLUMNS": "120", "PYTHONFAULTHANDLER": "1"} | more


def python(*arguments, seconds=300, env=None, cwd=None):
    """`python ARGUMENTS` when it has ended, as `subprocess.run` returns it. After `seconds` it is told to abort, and so
    prints the line that every thread is at, which is what the error then shows."""
    command = [sys.executable, *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=env or environment(), cwd=cwd, **streams) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out = err = ""
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, err = process.communicate(timeout=20)
            process.kill()  # its children may hold the streams
            raise TimeoutError(f"{command} took more than {seconds} s.\n{out}\n{err}") from None
    return subprocess.CompletedProcess(command, process.returncode, out, err)
