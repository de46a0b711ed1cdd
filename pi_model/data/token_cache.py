"""Token ids of documents, written into the cache once and memory-mapped afterwards.

An entry is checked before it is believed: its files must be as long as its index says, and sum up to what was written.
One that is not whole is made anew. What is being made lies beside it in a folder of its own, one process at a time; a
process that is killed leaves it to the next one, which goes on after the last documents that were noted as done.
"""

import json
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pi_model.data.pieces import Names, Pieces
from pi_model.errors import RunError, UsageError
from pi_model.files import cache_dir, write_text, written
from pi_model.locks import waited_for
from pi_model.notices import say

INDEX, TOKENS, NAMES, ENDS = "index.json", "tokens.bin", "names.bin", "ends.bin"
_DONE = "done.json"
_SECONDS_BETWEEN_NOTES = 5.0
_SECONDS_BETWEEN_LINES = 30.0
_TOKEN, _END = np.dtype(np.uint32), np.dtype(np.int64)


@dataclass(frozen=True)
class Done:
    """How far an entry has been made.

    Attributes:
        documents: how many documents.
        tokens: how many tokens they have.
        name_bytes: how many bytes their names have.
        crc32: checksum of the tokens.
    """

    documents: int = 0
    tokens: int = 0
    name_bytes: int = 0
    crc32: int = 0


NOTHING = Done()


def memory_map(
    source: str, key: str, documents: Callable[[Done], Iterator[tuple[str, np.ndarray]]], *, progress: bool = False
) -> tuple[Names, Pieces]:
    """Names and token ids of documents, memory-mapped from the cache; the first call writes them there.

    Where another process makes the same entry, this waits until it has.

    Args:
        source: where the documents come from, for messages.
        key: the name of the cache entry; everything that the tokens depend on must be in it.
        documents: gives (name, token ids as uint32) of the documents that follow those that are done; called only if
            the cache has no such entry, or a damaged one.
        progress: show a bar while writing, or a line each half minute where standard error is not a terminal.

    Raises:
        RunError: there are no tokens, or the cache cannot be written.
    """
    folder = cache_dir() / "tokens" / key
    found = _sound(folder)
    if found is None:
        with ExitStack() as stack:
            with written(folder):
                lock = folder.with_name(f".{key}.lock")
                stack.enter_context(waited_for(lock, f"the tokens of {source}"))
            found = _sound(folder)  # another process may have made them while this one waited
            if found is None:
                _clear(folder)
                with written(folder):
                    _make(folder, source, documents, progress)
                found = _sound(folder)
        if found is None:
            raise RunError(f"{folder}: changed while it was written; is another program at work there? start again")
    names, tokens = found
    if not tokens.lengths.any():
        raise RunError(f"{source}: holds no tokens")
    return names, tokens


def _make(
    folder: Path, source: str, documents: Callable[[Done], Iterator[tuple[str, np.ndarray]]], progress: bool
) -> None:
    """Write an entry, or what is left to write of it, and give it its name."""
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    done = _noted(partial)
    try:
        done = _write(partial, done, documents(done), source, progress)
    except (RunError, UsageError):
        shutil.rmtree(partial, ignore_errors=True)  # The source is at fault, and will not be the same again.
        raise
    about = (partial / NAMES).read_bytes() + (partial / ENDS).read_bytes()
    write_text(partial / INDEX, json.dumps(asdict(replace(done, crc32=zlib.crc32(about, done.crc32)))))
    (partial / _DONE).unlink(missing_ok=True)
    os.replace(partial, folder)


def _noted(partial: Path) -> Done:
    """How far a process before this one got; its files are cut to that."""
    try:
        done = Done(**json.loads((partial / _DONE).read_text(encoding="utf-8")))
        sizes = {
            TOKENS: done.tokens * _TOKEN.itemsize,
            NAMES: done.name_bytes,
            ENDS: 2 * done.documents * _END.itemsize,
        }
        if any((partial / name).stat().st_size < size for name, size in sizes.items()):
            raise ValueError
    except (OSError, ValueError, TypeError):
        done, sizes = Done(), {TOKENS: 0, NAMES: 0, ENDS: 0}
    for name, size in sizes.items():
        (partial / name).touch()
        os.truncate(partial / name, size)
    return done


def _write(partial: Path, done: Done, documents: Iterator[tuple[str, np.ndarray]], source: str, progress: bool) -> Done:
    number, tokens, name_bytes, checksum = done.documents, done.tokens, done.name_bytes, done.crc32
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    bar = tqdm(
        desc="tokenising",
        unit="tok",
        unit_scale=True,
        leave=False,
        initial=tokens,
        disable=not (progress and on_terminal),
    )
    begun = noted = told = time.monotonic()
    with bar, ExitStack() as stack:
        files = [stack.enter_context((partial / name).open("ab")) for name in (TOKENS, NAMES, ENDS)]
        for name, ids in documents:
            data, called = ids.tobytes(), name.encode(errors="surrogatepass")
            checksum = zlib.crc32(data, checksum)
            number, tokens, name_bytes = number + 1, tokens + len(ids), name_bytes + len(called)
            for file, content in zip(
                files, (data, called, np.array([tokens, name_bytes], _END).tobytes()), strict=True
            ):
                file.write(content)
            bar.update(len(ids))
            now = time.monotonic()
            if now - noted > _SECONDS_BETWEEN_NOTES:
                for file in files:
                    file.flush()
                write_text(partial / _DONE, json.dumps(asdict(Done(number, tokens, name_bytes, checksum))))
                noted = now
            if progress and not on_terminal and now - told > _SECONDS_BETWEEN_LINES:
                rate = (tokens - done.tokens) / (now - begun)
                print(f"tokenising {source}: {tokens:,} tokens, {rate:,.0f} a second", file=sys.stderr, flush=True)
                told = now
    return Done(number, tokens, name_bytes, checksum)


def _sound(folder: Path) -> tuple[Names, Pieces] | None:
    """What an entry holds; None if there is no entry, or one that is damaged."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        tokens = _mapped(folder / TOKENS, _TOKEN)
        if index.keys() - {"crc32"} == {"names", "lengths"}:
            names, ends, about = _of_lists(index["names"], index["lengths"])
        else:
            done = Done(**{"crc32": 0} | index)
            names, ends = _mapped(folder / NAMES, np.dtype(np.uint8)), _mapped(folder / ENDS, _END).reshape(-1, 2)
            if (len(tokens), len(names), len(ends)) != (done.tokens, done.name_bytes, done.documents):
                return None
            about = names.tobytes() + ends.tobytes()
        whole = (len(tokens), len(names)) == (tuple(ends[-1].tolist()) if len(ends) else (0, 0))
        # An entry whose index has no checksum has its lengths only.
        whole = whole and index.get("crc32") in (None, zlib.crc32(about, _checksum(tokens)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return (Names(Pieces.ending_at(names, ends[:, 1])), Pieces.ending_at(tokens, ends[:, 0])) if whole else None


def _mapped(path: Path, kind: np.dtype) -> np.ndarray:
    """A file of numbers, memory-mapped; an empty file cannot be."""
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, kind)


def _of_lists(names: list[str], lengths: list[int]) -> tuple[np.ndarray, np.ndarray, bytes]:
    """The bytes of names, the ends of tokens and names, and what the checksum is over, of an entry that has lists.

    Entries were written so before there were arrays, and stay valid.
    """
    if len(names) != len(lengths) or not all(type(length) is int and length >= 0 for length in lengths):
        raise ValueError
    called = [name.encode(errors="surrogatepass") for name in names]
    ends = np.cumsum([lengths, [len(name) for name in called]], axis=1, dtype=_END).T
    about = repr((names, lengths)).encode(errors="surrogatepass")
    return np.frombuffer(b"".join(called), np.uint8), ends, about


def _checksum(tokens: np.ndarray) -> int:
    checksum = 0
    for start in range(0, len(tokens), 2**22):
        checksum = zlib.crc32(tokens[start : start + 2**22].tobytes(), checksum)
    return checksum


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
