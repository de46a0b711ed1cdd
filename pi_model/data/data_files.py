"""Which files the name of a source means: one file, a folder, a pattern, a zip archive, or standard input."""

import glob
import io
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePath
from typing import cast

from pi_model.data.file_formats import READ, DataFile, format_of, rows
from pi_model.data.row_values import cell
from pi_model.errors import RunError, UsageError
from pi_model.notices import say

STANDARD_INPUT = "-"

# Beside files of rows, these are the notes and programs that come with them, and no documents.
_NOTES = {".md", ".markdown", ".rst", ".tex", ".py"}
# What is settings and tables of other things as often as documents.
_OFTEN_OTHER = {"JSON", "CSV", "TSV"}
# Words by which the files of a split are told apart in folders of parquet and arrow, as the datasets library does.
_SPLITS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}


@dataclass(frozen=True)
class _Candidate:
    """A file in a folder or an archive that may be one of documents."""

    path: PurePath  # relative to the folder
    size: int | None  # in bytes; None for a link that leads nowhere
    file: DataFile


def data_files(name: str, split: str, columns: Sequence[str]) -> list[DataFile] | None:
    """The files that a name means, in order; None if nothing here is called so.

    What a folder, a pattern or an archive holds besides is left out and said, once.

    Args:
        name: a file, a folder, a pattern such as ``data/*.jsonl``, or ``-`` for standard input.
        split: which split to take of a folder whose parquet or arrow files are named after theirs.
        columns: the columns that are wanted; they tell the documents in a folder from other tables and settings.

    Raises:
        UsageError: nothing matches the pattern, or several processes would have to read standard input.
        RunError: there is nothing to read in the folder or archive, or it cannot be read.
    """
    if name == STANDARD_INPUT:
        return [_stream("stdin", "standard input", name)]
    if os.path.isdir(name):
        folder = Path(name)
        return _chosen(name, _candidates(folder, folder.rglob("*")), split, columns)
    if os.path.exists(name):
        return _of_file(name, split, columns)
    if glob.has_magic(name):
        matches = [Path(match) for match in glob.iglob(name, recursive=True)]
        if not matches:
            raise UsageError(f"data: no file matches {name}")
        fixed = Path(name)
        while glob.has_magic(str(fixed)):
            fixed = fixed.parent
        return _chosen(name, _candidates(fixed, matches), split, columns)
    return None


def _of_file(name: str, split: str, columns: Sequence[str]) -> list[DataFile]:
    path = Path(name)
    if not path.is_file():  # a pipe gives its bytes once only
        return [_stream(path.name, name, name)]
    if path.suffix.lower() == ".zip":
        return _of_archive(path, split, columns)
    return [DataFile.at(path)]


def _of_archive(path: Path, split: str, columns: Sequence[str]) -> list[DataFile]:
    def opened(member: str) -> io.BufferedIOBase:
        with zipfile.ZipFile(path) as archive:
            return cast(io.BufferedIOBase, archive.open(member))

    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise RunError(f"{path}: not a readable zip file: {error}; fetch or make it again") from error
    if any(member.flag_bits & 1 for member in members):
        raise RunError(f"{path}: is locked by a password; unpack it and give the folder")
    candidates = [
        _Candidate(
            PurePath(member.filename),
            member.file_size,
            DataFile(f"{path.name}/{member.filename}", f"{path}/{member.filename}", partial(opened, member.filename)),
        )
        for member in members
    ]
    return _chosen(str(path), candidates, split, columns)


def _stream(name: str, where: str, stream: str) -> DataFile:
    """Standard input or a pipe as a file."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(f"data: several processes cannot read {where} together; give a file")
    if stream == STANDARD_INPUT and sys.stdin is None:
        raise UsageError("data: standard input is closed; give a file")
    return DataFile(name, where, lambda: io.BytesIO(_read_once(stream)))


@cache
def _read_once(name: str) -> bytes:
    """All bytes of standard input or of a pipe, kept because they come once and are wanted again."""
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    return Path(name).read_bytes()


def _candidates(folder: Path, paths: Iterable[Path]) -> list[_Candidate]:
    found = []
    for path in sorted(paths):
        if not path.is_dir():
            relative = path.relative_to(folder)
            size = path.stat().st_size if path.is_file() else None
            found.append(_Candidate(relative, size, DataFile.at(path, relative.as_posix())))
    return found


def _chosen(name: str, candidates: list[_Candidate], split: str, columns: Sequence[str]) -> list[DataFile]:
    """The files among candidates that hold documents; says what is left out, and why."""
    reasons = [_why_not(candidate, columns) for candidate in candidates]
    formats = {format_of(str(one.path)) for one, why in zip(candidates, reasons, strict=True) if why is None}
    named = {word for one in candidates if _columnar(one.path) for word in _split_words(one.path)}
    files, left = [], Counter[str]()
    for candidate, reason in zip(candidates, reasons, strict=True):
        if reason is None and formats > {"text"} and candidate.path.suffix.lower() in _NOTES:
            reason = f"{candidate.path.suffix} beside rows"
        if reason is None and named and _columnar(candidate.path) and split not in _split_words(candidate.path):
            reason = "of another split"
        if reason is None:
            files.append(candidate.file)
        else:
            left[reason] += 1
    told = ", ".join(f"{many} {reason}" for reason, many in sorted(left.items()))
    if not files and "of another split" in left:
        raise RunError(f"{name}: split {split!r} cannot be loaded; there are {', '.join(sorted(named))}")
    if not files:
        raise RunError(f"{name}: holds no documents ({READ}){told and f'; it holds {told}'}")
    if left:
        say(f"{name}: {sum(left.values())} of {len(candidates)} files are left out: {told}")
    return files


def _why_not(candidate: _Candidate, columns: Sequence[str]) -> str | None:
    """Why a file holds no documents, as far as it can tell by itself; None if it may hold some."""
    if any(part.startswith(".") for part in candidate.path.parts):
        return "hidden"
    kind = format_of(candidate.path.name)
    if not kind:
        return candidate.path.suffix or "without a suffix"
    if not candidate.size:
        return "broken link" if candidate.size is None else "empty"
    if kind in _OFTEN_OTHER and not _has_rows(candidate.file, columns):
        return f"{candidate.path.suffix} without rows of {' and '.join(columns)}"
    return None


def _has_rows(file: DataFile, columns: Sequence[str]) -> bool:
    """Whether the first row of a file has the columns that are wanted."""
    try:
        first = next(rows(file, columns))
        for column in columns:
            cell(first.content, column, first.where)
    except (RunError, StopIteration):
        return False
    return True


def _columnar(path: PurePath) -> bool:
    return format_of(path.name) in ("parquet", "arrow")


def _split_words(path: PurePath) -> set[str]:
    """The splits that the names of a file and its folders speak of."""
    words = set("/".join(path.parts).lower().translate(str.maketrans("-_.", "///")).split("/"))
    return {split for split, names in _SPLITS.items() if words & names}
