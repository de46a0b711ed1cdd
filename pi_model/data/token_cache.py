"""Token ids of documents, written into the cache once and memory-mapped afterwards.

An entry is checked before it is believed: its files must be as long as its index says, and sum up to what was written.
One that is not whole is made anew.
"""

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from tqdm import tqdm

from pi_model.errors import RunError
from pi_model.files import cache_dir, new_folder
from pi_model.notices import say

_ITEM_BYTES = np.dtype(np.uint32).itemsize


def memory_map(
    source: str, key: str, documents: Iterator[tuple[str, np.ndarray]], *, progress: bool = False
) -> tuple[list[str], list[Integer[np.ndarray, " tokens"]]]:
    """Names and token ids of documents, memory-mapped from the cache; the first call writes them there.

    Args:
        source: where the documents come from, for messages.
        key: the name of the cache entry; everything that the tokens depend on must be in it.
        documents: (name, token ids as uint32); iterated only if the cache has no such entry, or a damaged one.
        progress: show a bar while writing.

    Raises:
        RunError: there are no tokens, or the cache cannot be written.
    """
    folder = cache_dir() / "tokens" / key
    index = _sound(folder)
    if index is None:
        _clear(folder)
        with new_folder(folder, shared=True) as partial:
            _write(partial, documents, progress)
        index = _sound(folder)
        if index is None:
            raise RunError(f"{folder}: changed while it was written; is another program at work there? start again")
    ends = np.cumsum(index["lengths"], dtype=np.int64)
    if not len(ends) or ends[-1] == 0:
        raise RunError(f"{source}: holds no tokens")
    flat = np.memmap(folder / "tokens.bin", dtype=np.uint32, mode="r")
    return index["names"], np.split(flat, ends[:-1])


def _write(folder: Path, documents: Iterator[tuple[str, np.ndarray]], progress: bool) -> None:
    index: dict[str, Any] = {"names": [], "lengths": []}
    checksum = 0
    # disable=None shows the bar on a terminal only.
    bar = tqdm(desc="tokenising", unit="tok", unit_scale=True, leave=False, disable=None if progress else True)
    with bar, (folder / "tokens.bin").open("wb") as file:
        for name, ids in documents:
            data = ids.tobytes()
            file.write(data)
            checksum = zlib.crc32(data, checksum)
            index["names"].append(name)
            index["lengths"].append(len(ids))
            bar.update(len(ids))
    index["crc32"] = _with_lengths(checksum, index)
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _sound(folder: Path) -> dict[str, Any] | None:
    """The index of an entry; None if there is no entry, or one that is damaged."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        names, lengths = index["names"], index["lengths"]
        whole = index.keys() - {"crc32"} == {"names", "lengths"} and len(names) == len(lengths)
        whole = whole and all(type(length) is int and length >= 0 for length in lengths)
        whole = whole and sum(lengths) * _ITEM_BYTES == (folder / "tokens.bin").stat().st_size
        # Entries that were written before there was a checksum have their lengths only.
        whole = whole and index.get("crc32") in (None, _checksum(folder / "tokens.bin", index))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return index if whole else None


def _checksum(path: Path, index: dict[str, Any]) -> int:
    checksum = 0
    with path.open("rb") as file:
        while data := file.read(2**24):
            checksum = zlib.crc32(data, checksum)
    return _with_lengths(checksum, index)


def _with_lengths(checksum: int, index: dict[str, Any]) -> int:
    return zlib.crc32(repr((index["names"], index["lengths"])).encode(errors="surrogatepass"), checksum)


def _clear(folder: Path) -> None:
    """Take a damaged entry away. Processes that have mapped it keep what they mapped."""
    if not os.path.lexists(folder):
        return
    say(f"{folder}: the tokens kept there are damaged and are made anew")
    try:
        aside = tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)
        os.replace(folder, Path(aside) / "damaged")
    except OSError as error:
        raise RunError(f"{folder}: damaged, and cannot be removed: {error.strerror}; remove it") from error
    shutil.rmtree(aside, ignore_errors=True)
