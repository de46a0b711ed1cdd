"""Read files of text and of rows for what they are.

The suffix of a file's name says what it is, its first bytes must agree, and where there is no suffix they decide.
Nothing is guessed: a suffix that is not in the table, and content that is not what the suffix says, are refused.
"""

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, cast

from pi_model.errors import RunError

TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".py")
_FORMATS = dict.fromkeys(TEXT_SUFFIXES, "text") | {
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_PACKED = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstandard"}
READ = f"{', '.join(_FORMATS)}, also packed as {', '.join(_PACKED)} or in a .zip"

_BY_FIRST_BYTES = (
    (b"\x1f\x8b", "gzip"),
    *((b"BZh%d1AY&SY" % size, "bzip2") for size in range(1, 10)),  # BZh alone may begin a text
    *((b"BZh%d\x17rE8P\x90" % size, "bzip2") for size in range(1, 10)),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "zip"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"%PDF-", "PDF"),
)
# An object whose first key is quoted, or a list of such: no prose begins like this.
_BEGINS_AS_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*"[^"\n]*"\s*:')
_HEAD_BYTES = 2**16

# What reading a broken or unreadable file raises; pyarrow's errors are ValueErrors and OSErrors but for one.
_BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


@dataclass(frozen=True)
class DataFile:
    """A file of documents, wherever its bytes are.

    Attributes:
        name: what its documents are called after; the suffix decides how it is read.
        where: how messages call it.
        open: opens its bytes, as often as it is called.
    """

    name: str
    where: str
    open: Callable[[], io.BufferedIOBase]

    @classmethod
    def at(cls, path: Path, name: str | None = None) -> "DataFile":
        """The file at a path, under another name than its own if there is one."""
        return cls(path.name if name is None else name, str(path), lambda: path.open("rb"))

    def sha256(self) -> str:
        """Hex SHA-256 of its bytes.

        Raises:
            RunError: they cannot be read.
        """
        try:
            with self.open() as content:
                return hashlib.file_digest(cast(Any, content), "sha256").hexdigest()
        except _BROKEN as error:
            raise _unreadable(self, error) from error


@dataclass(frozen=True)
class Row:
    """A document as it stands in a file.

    Attributes:
        name: the file's name, with the line or row where the file has several.
        where: the same for messages.
        content: the text of a file of text; else whatever the row is, by column if it is a dict.
        is_text: whether the file is one of text.
        remote: whether it lies on the hub, where whoever runs into a flaw cannot mend it.
    """

    name: str
    where: str
    content: Any
    is_text: bool = False
    remote: bool = False


def format_of(name: str) -> str | None:
    """How a file of this name is read: a format of the table, "" if its content decides, None if it is not read."""
    path = PurePath(name)
    if path.suffix.lower() in _PACKED:
        path = path.with_suffix("")
    return _FORMATS.get(path.suffix.lower(), None if path.suffix else "")


def rows(file: DataFile, columns: Sequence[str]) -> Iterator[Row]:
    """Every row of a file, or the one document of a file of text.

    Args:
        file: the file.
        columns: the columns that are wanted; others need not be read.

    Raises:
        RunError: the file is empty, broken, of a kind that is not read, or not what its name says; or a package that
            reads it is missing.
    """
    if format_of(file.name) is None:
        path = PurePath(file.name)
        kind = "".join(path.suffixes[-2:]) if path.suffix.lower() in _PACKED else path.suffix
        raise RunError(f"{file.where}: {kind} files are not read; give {READ}; name it .txt if it is plain text")
    try:
        with _content(file) as content:
            yield from _READERS[_checked_format(file, content)](file, content, columns)
    except _BROKEN as error:
        raise _unreadable(file, error) from error


def _unreadable(file: DataFile, error: Exception) -> RunError:
    if isinstance(error, OSError) and error.strerror:
        return RunError(f"{file.where}: cannot be read: {error.strerror}; check the file and who may read it")
    return RunError(f"{file.where}: not readable: {_first_line(error)}; it is not whole, fetch or make it again")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def _content(file: DataFile) -> Iterator[io.BufferedReader]:
    """The file's content without its compression, which name and first bytes must agree about."""
    with ExitStack() as layers:
        reader = layers.enter_context(io.BufferedReader(layers.enter_context(cast(Any, file.open())), _HEAD_BYTES))
        found = _found(reader)
        suffix = PurePath(file.name).suffix.lower()
        said = _PACKED.get(suffix, found if not suffix and found in _PACKED.values() else None)
        if said not in (None, found):
            raise RunError(
                f"{file.where}: named {suffix}, but not {_a(said)} file; name it after what it is, or fetch it again"
            )
        if said is not None:
            reader = layers.enter_context(io.BufferedReader(_opened(file, reader, said), _HEAD_BYTES))
        yield reader


def _opened(file: DataFile, packed: io.BufferedIOBase, how: str) -> Any:
    match how:
        case "gzip":
            return gzip.GzipFile(fileobj=packed)
        case "bzip2":
            return bz2.BZ2File(packed)
        case "xz":
            return lzma.LZMAFile(cast(Any, packed))
    return _pyarrow(file).CompressedInputStream(packed, "zstd")


def _found(content: io.BufferedReader) -> str:
    """What the first bytes of a file say it is: "" for nothing at all, "text" or "JSON" for anything readable."""
    head = content.peek(_HEAD_BYTES)
    for first, kind in _BY_FIRST_BYTES:
        if head.startswith(first):
            return kind
    if b"\0" in head:
        return "binary"
    return "JSON" if _BEGINS_AS_JSON.match(head) else "text" if head else ""


def _checked_format(file: DataFile, content: io.BufferedReader) -> str:
    """The format of a file by its name, or by its content where the name has no suffix.

    Raises:
        RunError: the two do not agree, or the file is empty.
    """
    said, found = format_of(file.name), _found(content)
    if not found:
        raise RunError(f"{file.where}: the file is empty")
    if not said:
        if found not in _READERS:
            raise RunError(f"{file.where}: {_a(found)} file, which is not read; give {READ}")
        return found
    readable = {"parquet": ("parquet",), "arrow": ("arrow",), "JSON": ("JSON", "text"), "JSON lines": ("JSON", "text")}
    if found in readable.get(said, ("text",)):
        return said
    if found == "JSON":
        raise RunError(f"{file.where}: holds JSON, not {said}; name it .jsonl if each line is an object, else .json")
    named = PurePath(file.name.lower()).suffix
    better = "convert it to UTF-8" if found == "UTF-16" else "name it after what it is, or fetch it again"
    raise RunError(f"{file.where}: {_a(found)} file, not {said} as {named} says; {better}")


def _a(kind: str) -> str:
    return f"an {kind}" if kind in ("arrow", "xz") else f"a {kind}"


def _text(file: DataFile, content: io.BufferedIOBase) -> str:
    """The whole text of a file, its lines ended by a newline alone, without a byte order mark."""
    data = content.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RunError(f"{file.where}: not UTF-8 text (byte {error.start}); convert it to UTF-8") from error
    if "\0" in text:
        raise RunError(f"{file.where}: a binary file, not text (byte {data.index(0)} is NUL)")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(file: DataFile, content: io.BufferedIOBase) -> Iterator[str]:
    """The lines of a file, each with its newline. Separators that may stand inside a JSON string end none."""
    with io.TextIOWrapper(cast(Any, content), encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.encode()
            except UnicodeEncodeError:  # a byte that is no UTF-8 was read as half a character
                raise RunError(f"{file.where}: line {number} is not UTF-8 text; convert the file to UTF-8") from None
            yield line


def _read_text(file: DataFile, content: io.BufferedIOBase, columns: Sequence[str]) -> Iterator[Row]:
    yield Row(file.name, file.where, _text(file, content), is_text=True)


def _read_json_lines(file: DataFile, content: io.BufferedIOBase, columns: Sequence[str]) -> Iterator[Row]:
    return _json_lines(file, _lines(file, content))


def _json_lines(file: DataFile, lines: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise RunError(f"{file.where}: line {number} is not JSON: {_reason(error)}") from error
            yield Row(f"{file.name}:{number}", f"{file.where}: line {number}", row)


def _read_json(file: DataFile, content: io.BufferedIOBase, columns: Sequence[str]) -> Iterator[Row]:
    """The objects of one list; or one object; or, as many who write .json mean it, an object a line."""
    text = _text(file, content)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise RunError(f"{file.where}: not JSON: {_reason(error)}") from error
        yield from _json_lines(file, iter(text.split("\n")))
        return
    for number, row in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield Row(f"{file.name}:{number}", f"{file.where}: row {number}", row)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at " + (f"line {error.lineno}, " if error.lineno > 1 else "") + f"character {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"


def _read_csv(file: DataFile, content: io.BufferedIOBase, columns: Sequence[str]) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # a document is longer than the 131072 characters that are usual
    delimiter = "\t" if format_of(file.name) == "TSV" else ","
    reader = csv.reader(_lines(file, content), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for fields in filter(None, reader):
            if header is None:
                header = fields
                _refuse_missing(file, columns, header)
            else:
                number += 1
                where = f"{file.where}: row {number} (line {reader.line_num})"
                if len(fields) != len(header):
                    raise RunError(f"{where}: {len(fields)} fields, where the first line names {len(header)}")
                yield Row(f"{file.name}:{number}", where, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise RunError(f"{file.where}: line {reader.line_num} is not {format_of(file.name)}: {error}") from error


def _read_parquet(file: DataFile, content: io.BufferedIOBase, columns: Sequence[str]) -> Iterator[Row]:
    arrow = _pyarrow(file)
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(_seekable(content))
        names = table.schema_arrow.names
        _refuse_missing(file, columns, names)
        yield from _rows_of(file, table.iter_batches(columns=list(columns), batch_size=64))
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise RunError(
            f"{file.where}: not a readable parquet file: {_first_line(error)}; fetch or make it again"
        ) from error


def _read_arrow(file: DataFile, content: io.BufferedIOBase, columns: Sequence[str]) -> Iterator[Row]:
    arrow = _pyarrow(file)
    whole = _seekable(content)
    try:
        if whole.read(6) == b"ARROW1":
            table = arrow.ipc.open_file(whole)
            batches = (table.get_batch(number) for number in range(table.num_record_batches))
        else:
            whole.seek(0)
            batches = table = arrow.ipc.open_stream(whole)
        _refuse_missing(file, columns, table.schema.names)
        yield from _rows_of(file, (batch.select(list(columns)) for batch in batches))
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise RunError(
            f"{file.where}: not a readable arrow file: {_first_line(error)}; fetch or make it again"
        ) from error


def _rows_of(file: DataFile, batches: Iterator[Any]) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield Row(f"{file.name}:{number}", f"{file.where}: row {number}", row)


def _refuse_missing(file: DataFile, columns: Sequence[str], names: list[str]) -> None:
    _refuse_twice(file, names)
    for column in columns:
        if column not in names:
            raise RunError(f"{file.where}: no column {column!r}; it has {', '.join(names)}")


def _refuse_twice(file: DataFile, names: list[str]) -> None:
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RunError(f"{file.where}: two columns are called {twice!r}; rename one")


def _seekable(content: io.BufferedIOBase) -> io.BufferedIOBase:
    return content if content.seekable() else io.BytesIO(content.read())


def _pyarrow(file: DataFile) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise RunError(f"{file.where}: reading it needs a package: pip install pyarrow") from error
    return pyarrow


_READERS: dict[str, Callable[[DataFile, io.BufferedIOBase, Sequence[str]], Iterator[Row]]] = {
    "text": _read_text,
    "JSON lines": _read_json_lines,
    "JSON": _read_json,
    "CSV": _read_csv,
    "TSV": _read_csv,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
}
