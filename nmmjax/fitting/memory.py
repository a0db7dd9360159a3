"""A file that keeps the state of a fit, so that the same call goes on after a crash."""

import contextlib
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._checks import require
from .._files import LockBeside, as_new_file
from .._identity import refuse_other_call


class Memory:
    """A file with the state of a fit, written after every call; None keeps nothing. A call is known again by `config`, all
    its settings in writing; `close` gives up the lock that keeps others from the file.

    If the file can't be written, a full disk for one, a warning says so, and the fit goes on without it.
    """

    def __init__(self, store: object, config: Mapping[str, Any] | None = None):
        self.path = None if store is None else as_new_file(store, "store")
        self.kept: dict[str, Any] = {}
        self._lock: LockBeside | None = None
        if self.path is None:
            return
        self._config = json.dumps(config)
        try:
            self._lock = LockBeside(self.path)
        except BlockingIOError:
            raise
        except OSError:  # if nothing can be written, `save` says so
            pass
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self.path is not None
        if not self.path.exists():
            return
        try:
            with np.load(self.path) as file:
                self.kept = {name: file[name] for name in file.files}
            self.kept.pop("fingerprint", None)
            stored = json.loads(str(self.kept.pop("config", "null")))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"Argument `store` must be a file of `fit`, but {str(self.path)!r} can't be read.") from error
        rule = "be a new file: this one is of an earlier version, which told functions apart by their looks"
        require("store", str(self.path), rule, isinstance(stored, dict))
        refuse_other_call(
            self.path, stored, json.loads(self._config), "belong to this call (same model, starts and settings)"
        )

    def close(self) -> None:
        """Let others write the file."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def restore(self, phase: str, state: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
        """The state of a phase as it was saved last, and its iterations; as given, and 0, if it wasn't."""
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
                np.savez(file, config=np.asarray(self._config), **self.kept)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            warnings.warn(f"{str(self.path)!r} can't be written ({error.strerror}): the fit goes on without.", stacklevel=2)
            self.path = None
