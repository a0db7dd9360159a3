"""How much memory a computation may take."""

import contextlib
import os
import pathlib


def available_memory() -> int:
    """Bytes of memory that are free for this process, by the system's account."""
    sizes = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        sizes += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):  # the limit of a container; "max" without one
        sizes.append(int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    if not sizes:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(sizes, default=4 * 2**30)
