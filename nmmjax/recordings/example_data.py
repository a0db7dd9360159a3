"""A real recording to try things on (extra `data`)."""

import dataclasses
import importlib.util
import pathlib

from .loading import load_recording
from .recording import Recording

_TISSUES = ("WM", "Vent", "Brain")


def example_recording() -> Recording:
    """Resting-state fMRI of one person, 28 regions, 250 samples 1.89 s apart: the example data of the package `nitime`.

    Names: L and R for left and right, then caudate (Cau), putamen (Put), thalamus (Thal), frontal pole (Fpol), angular
    gyrus (Ang), supramarginal gyrus (SupraM), middle temporal gyrus (MTG), hippocampus (Hip), parahippocampal gyrus
    (PHG), amygdala (Amy), paracingulate gyrus (ParaCing), posterior cingulate cortex (PCC), precuneus (Prec). The file's
    mean signals of white matter, ventricles and the whole brain are left out.

    The regions' names are spelt out here as they are usually read; the package doesn't say. The data were contributed to
    nitime by B. Mormino and are good for trying methods, not for conclusions about brains.

    Returns a `Recording`. Raises `ModuleNotFoundError` if nitime (extra `data`) is not installed; nothing of it is imported.
    """
    found = importlib.util.find_spec("nitime")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("`nitime` is not installed; it comes with `pip install nmmjax[data]`.", name="nitime")
    path = pathlib.Path(found.submodule_search_locations[0]) / "data" / "fmri_timeseries.csv"
    recording = load_recording(path, dt=1.89)
    kept = recording.select([name for name in recording.names if name not in _TISSUES])
    note = f"Left out: {', '.join(_TISSUES)}, which are no regions but mean signals of tissues."
    return dataclasses.replace(kept, source="nitime: fmri_timeseries.csv", notes=(*kept.notes, note))
