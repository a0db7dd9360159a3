"""Layer 5: a file that keeps the state of a fit, so that the same call goes on after a crash."""

import contextlib
import hashlib
import os
import pathlib
import warnings
import zipfile
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._checks import require


class Memory:
    """A file with the state of a fit, written after every call; None keeps nothing. A call is known again by the arrays in
    `identity` and the words `settings`.

    Where the file can't be written, a full disk for one, a warning says so, and the fit goes on without it.
    """

    def __init__(self, store: Any, identity: Any = (), settings: str = ""):
        self.path = None if store is None else pathlib.Path(store)
        self.kept: dict[str, Any] = {}
        if self.path is None:
            return
        possible = self.path.parent.is_dir() and not self.path.is_dir()
        require("store", str(store), "be a file in a folder that exists", possible)
        self.fingerprint = fingerprint(identity, settings)
        if self.path.exists():
            try:
                with np.load(self.path) as file:
                    self.kept = {name: file[name] for name in file.files}
                stored = str(self.kept.pop("fingerprint"))
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                raise ValueError(
                    f"Argument `store` must be a file of `fit`, but {str(self.path)!r} can't be read."
                ) from error
            same = stored == self.fingerprint
            require("store", str(self.path), "belong to this call (same model, starts and settings)", same)

    def restore(self, phase: str, state: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
        """The state of a phase as it was saved last, and its iterations; as given, and 0, where it wasn't."""
        state = {name: np.array(each) for name, each in state.items()}
        prefix = f"{phase}/"
        saved = {name.removeprefix(prefix): each for name, each in self.kept.items() if name.startswith(prefix)}
        if "taken" not in saved:
            return state, 0
        taken = int(saved.pop("taken"))
        return saved, taken

    def save(self, phase: str, state: dict[str, np.ndarray], taken: int) -> None:
        """Write the state of a phase, beside those before; the file is whole at every moment."""
        if self.path is None:
            return
        self.kept |= {f"{phase}/{name}": each.copy() for name, each in state.items()} | {f"{phase}/taken": np.asarray(taken)}
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            with open(partial, "wb") as file:
                np.savez(file, fingerprint=np.asarray(self.fingerprint), **self.kept)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            warnings.warn(f"{str(self.path)!r} can't be written ({error.strerror}): the fit goes on without.", stacklevel=2)
            self.path = None


def fingerprint(identity: Any, settings: str) -> str:
    """A digest of all arrays in `identity`, and of `settings`."""
    digest = hashlib.sha256(settings.encode())
    for leaf in jax.tree.leaves(identity):
        if eqx.is_array(leaf):
            digest.update(str(leaf.shape).encode())
            digest.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
    return digest.hexdigest()
