"""Keep the results of a long evaluation as they come, so that an interrupted one goes on where it stopped."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from pi_model.distributed import ranks
from pi_model.errors import RunError
from pi_model.files import append_line, written

UNDONE = -1.0  # stands for a result that is missing; results are never negative


def _file(folder: str | Path, key: str, suffix: str) -> Path:
    return Path(folder) / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.{suffix}"


class Journal:
    """A float64 array of non-negative results, kept in a file if there is a folder for it.

    The ranks of a torchrun share the file, each writing entries of its own; rank 0 makes it before the others open it.

    Args:
        size: number of results.
        folder: where the file goes; None keeps no file. Whoever names the folder removes it when the run is over.
        key: everything that the results depend on, which tells this run's file from others in the folder.

    Attributes:
        values: the results; `UNDONE` where one is missing.

    Raises:
        RunError: the file cannot be read or written.
    """

    def __init__(self, size: int, folder: str | Path | None, key: str) -> None:
        self.values = np.full(size, UNDONE)
        self._path = None
        if folder is None or size == 0:
            return
        self._path = path = _file(folder, key, "f64")
        with written(path):
            self.values = ranks.rank_zero_first(lambda: self._opened(path, size))

    @staticmethod
    def _opened(path: Path, size: int) -> np.ndarray:
        """What the file holds; it is made where it is missing, with room for all results."""
        if not path.exists() and ranks.rank() == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_bytes(np.full(size, UNDONE).tobytes())
            os.replace(fresh, path)
        values = np.frombuffer(path.read_bytes())
        if len(values) != size:
            raise RunError(f"{path}: holds {len(values)} results instead of {size}; remove the file")
        return values.copy()

    @property
    def done(self) -> np.ndarray:
        """Which results there are; shape (size,), bool."""
        return self.values != UNDONE

    def write(self, entries: np.ndarray | list[int], results: np.ndarray) -> None:
        """Keep results under their indices; NaN is kept as infinity.

        Raises:
            RunError: they cannot be written.
        """
        self.values[entries] = np.nan_to_num(results, nan=np.inf, posinf=np.inf)
        if self._path is not None:
            # Not through a memory map, which a full disk or a network share answers with a signal instead of an error.
            with written(self._path), self._path.open("r+b") as file:
                rising = np.sort(entries)
                for stretch in np.split(rising, np.flatnonzero(np.diff(rising) != 1) + 1):
                    file.seek(int(stretch[0]) * self.values.itemsize)
                    file.write(self.values[stretch].tobytes())


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
        with written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes() if path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):  # The last line was cut short by a kill or a full disk.
                os.truncate(path, len(whole))
        try:
            self.done = dict(json.loads(line) for line in whole.splitlines())
        except (ValueError, TypeError) as error:
            raise RunError(f"{path}: not the results that were kept: {error}; remove the file") from error

    def write(self, name: str, result: Any) -> None:
        """Keep a result, which must be a JSON value, under a name.

        Raises:
            RunError: it cannot be written.
        """
        self.done[name] = result
        if self._path is not None:
            append_line(self._path, json.dumps([name, result]))
