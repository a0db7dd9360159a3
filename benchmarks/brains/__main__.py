"""Run as `python -m benchmarks.brains` or `python benchmarks/brains`."""

import pathlib
import sys

if not __package__:  # by its path: the folder that Python put first hides nothing but must not be searched
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[2])

from benchmarks.brains.table import main

if __name__ == "__main__":
    main()
