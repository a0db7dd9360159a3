"""Run as a script: writers of one store are killed (SIGKILL) at random moments, then a last one finishes the store.

`python kill_writer.py FOLDER KILLS` prints how often a writer was killed in time, and in how many different states.
Writers are forked from a process that has imported everything but started nothing, so that one takes milliseconds.
"""

import os
import random
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import xarray  # noqa: F401
import zarr  # noqa: F401
from helpers_sweep import FakePlan, run_plan


def write(store):
    """Fork a writer."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run_plan(FakePlan(dims={"eta": 6, "J": 8}, pause=0.01), store=store, chunk=4, progress=False)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def main(folder, kills):
    warnings.simplefilter("error")
    choose = random.Random(0)
    reference, store = folder / "reference.zarr", folder / "killed.zarr"
    start = time.monotonic()
    assert os.waitpid(write(reference), 0)[1] == 0
    whole = time.monotonic() - start
    killed, states = 0, set()
    for _ in range(kills):
        child = write(store)
        time.sleep(whole * choose.uniform(0.0, choose.choice((0.3, 0.9))))  # often while the store is being created
        os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        found = len(list(store.glob(".nmmjax/chunks/*.json")))
        states.add(found)
        if found >= 11:  # nearly finished: begin another one
            assert os.waitpid(write(store), 0)[1] == 0
            store.rename(folder / f"finished-{len(list(folder.iterdir()))}.zarr")
    assert os.waitpid(write(store), 0)[1] == 0
    print(killed, len(states))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
