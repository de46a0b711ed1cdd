"""Results of a long run, kept as they come, so that an interrupted run goes on where it stopped."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pi_model.errors import RunError
from pi_model.files import write_text

UNDONE = -1.0  # every result kept here is >= 0


class Journal:
    """A float64 array of non-negative results, backed by a file when there is a folder for it.

    Several processes may share the file as long as no two of them write the same entries.

    Args:
        size: the number of results.
        folder: where the file is; None keeps nothing. Whoever names the folder removes it when the run is over.
        key: tells this run's file from others in the folder: everything that the results depend on.
    """

    def __init__(self, size: int, folder: Path | None, key: str) -> None:
        self.values: np.ndarray
        if folder is None or size == 0:
            self.values = np.full(size, UNDONE)
            return
        path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.f64"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                self._create(path, size)
            self.values = np.memmap(path, dtype=np.float64, mode="r+", shape=(size,))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: progress cannot be kept there: {error}; free space, or remove the file") from error

    @staticmethod
    def _create(path: Path, size: int) -> None:
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            np.full(size, UNDONE).tofile(fresh)
            # A link, unlike a rename, leaves a file alone that another process has made and may be writing to.
            with suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)

    @property
    def done(self) -> np.ndarray:
        """Which results are there; shape (size,), bool."""
        return self.values != UNDONE

    def write(self, entries: np.ndarray | list[int], results: np.ndarray) -> None:
        """Keep results; NaN is kept as infinity."""
        self.values[entries] = np.nan_to_num(results, nan=np.inf, posinf=np.inf)
        if isinstance(self.values, np.memmap):
            self.values.flush()


class LineJournal:
    """Results of any kind, one a line of a JSON lines file, where there is a folder for it; for one process.

    Args:
        folder, key: as `Journal` has them.

    Attributes:
        done: results by the name they were written under.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self.done: dict[str, Any] = {}
        self._path = None
        if folder is None:
            return
        self._path = path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
            # A kill may have cut the last line short.
            self.done = dict(json.loads(line) for line in lines if line.endswith("\n"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: progress cannot be kept there: {error}; free space, or remove the file") from error
        write_text(path, "".join(json.dumps(item) + "\n" for item in self.done.items()))

    def write(self, name: str, result: Any) -> None:
        """Keep a result."""
        self.done[name] = result
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, result]) + "\n")
