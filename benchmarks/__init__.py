"""Run as `python -m benchmarks.NAME` or `python benchmarks/NAME.py`: their folder is on the path either way."""

import pathlib
import sys

_FOLDER = str(pathlib.Path(__file__).parent)
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)
