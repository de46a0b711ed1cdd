"""Keep the results of a long evaluation as they come, so that an interrupted one goes on where it stopped."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pi_model.errors import RunError
from pi_model.files import write_text

UNDONE = -1.0  # stands for a result that is missing; results are never negative


def _file(folder: str | Path, key: str, suffix: str) -> Path:
    return Path(folder) / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.{suffix}"


class Journal:
    """A float64 array of non-negative results, kept in a file if there is a folder for it.

    Several processes may share the file as long as no two of them write the same entries.

    Args:
        size: number of results.
        folder: where the file goes; None keeps no file. Whoever names the folder removes it when the run is over.
        key: everything that the results depend on, which tells this run's file from others in the folder.

    Attributes:
        values: the results; `UNDONE` where one is missing.

    Raises:
        RunError: the file cannot be written.
    """

    def __init__(self, size: int, folder: str | Path | None, key: str) -> None:
        self.values: np.ndarray
        if folder is None or size == 0:
            self.values = np.full(size, UNDONE)
            return
        path = _file(folder, key, "f64")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
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
            # Unlike a rename, a link does not replace a file that another process has made and may be writing to.
            with suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)

    @property
    def done(self) -> np.ndarray:
        """Which results there are; shape (size,), bool."""
        return self.values != UNDONE

    def write(self, entries: np.ndarray | list[int], results: np.ndarray) -> None:
        """Keep results under their indices; NaN is kept as infinity."""
        self.values[entries] = np.nan_to_num(results, nan=np.inf, posinf=np.inf)
        if isinstance(self.values, np.memmap):
            self.values.flush()


class LineJournal:
    """Results of any kind by name, each kept as a line of a JSON lines file if there is a folder for it.

    Only one process may write the file.

    Args:
        folder: where the file goes; None keeps no file. Whoever names the folder removes it when the run is over.
        key: everything that the results depend on, which tells this run's file from others in the folder.

    Attributes:
        done: the results by name.

    Raises:
        RunError: the file cannot be read or written.
    """

    def __init__(self, folder: str | Path | None, key: str) -> None:
        self.done: dict[str, Any] = {}
        self._path = None
        if folder is None:
            return
        self._path = path = _file(folder, key, "jsonl")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
            # The last line may have been cut short by a kill.
            self.done = dict(json.loads(line) for line in lines if line.endswith("\n"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: progress cannot be kept there: {error}; free space, or remove the file") from error
        write_text(path, "".join(json.dumps(item) + "\n" for item in self.done.items()))

    def write(self, name: str, result: Any) -> None:
        """Keep a result, which must be a JSON value, under a name."""
        self.done[name] = result
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, result]) + "\n")
