"""Functional connectivity of recordings: correlations of regions over time."""

import numpy as np

from .recording import Recording


def correlations(recording: Recording) -> np.ndarray:
    """Correlations (n, n) of the regions of a `recording`: over all times at which every region was seen; with several
    subjects, the mean of theirs. Raises `ValueError` for regions that never change and fewer than three such times."""
    values, subject = recording.values, recording.subject
    runs = [np.ones(len(values), bool)] if subject is None else [subject == each for each in np.unique(subject)]
    found = []
    for mine in runs:
        seen = values[mine & np.all(np.isfinite(values), axis=1)]
        if len(seen) < 3:
            raise ValueError(f"The recording must have 3 samples of all regions at least, but has {len(seen)}.")
        still = np.flatnonzero(np.all(seen == seen[:1], axis=0))
        if still.size:
            named = recording.names[still[0]]
            raise ValueError(f"Region `{named}` never changes: it has no correlation with others; leave it out.")
        found.append(np.corrcoef(seen.T))
    return np.mean(found, axis=0)
