"""Run as `python -m benchmarks.NAME`, or by path: `python benchmarks/NAME.py`, `python benchmarks/ensemble`."""

import pathlib
import sys

_FOLDER = str(pathlib.Path(__file__).parent)
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)
