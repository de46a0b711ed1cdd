"""Read documents from files, hub datasets and embedded corpora, and tokenise them into a memory map.

Documents stay apart; nothing here joins two of them.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from pi_model.data.corpora import CORPORA, read_corpus
from pi_model.errors import RunError, UsageError
from pi_model.files import cache_dir, new_folder, sha256_file


@dataclass(frozen=True)
class Selection:
    """Which documents of a source to keep, and how much of each. The defaults keep everything.

    Attributes:
        min_tokens: documents shorter than this are left out.
        max_tokens: documents longer than this are cut to it; None cuts none.
        samples: draw this many documents without replacement and keep their order; None keeps all.
        seed: seed of that draw.
    """

    min_tokens: int = 1
    max_tokens: int | None = None
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """Where documents come from.

    Attributes:
        name: a file (.txt, .jsonl, .parquet; anything else is read as text), a folder of such files, the name of an
            embedded corpus or preset, or a hub dataset ("owner/name").
        column: the column of JSONL, parquet and hub datasets that holds the text, or lists of token ids.
        split: which split of an embedded corpus or a hub dataset to read.
        stream_tokens: read a hub dataset as a stream, and stop after the document that reaches this many tokens; None
            fetches the whole dataset.
    """

    name: str
    column: str = "text"
    split: str = "test"
    stream_tokens: int | None = None


@dataclass(frozen=True)
class Preset:
    """A hub dataset that has a short name here.

    Attributes:
        name: the dataset's name on the hub.
        column: the column that holds its text or token ids.
        split: its only split; None if it has several and the caller chooses.
        selection: the documents that the paper uses.
        vocabulary: if the dataset is already tokenised, the size of the vocabulary that its ids belong to.
    """

    name: str
    column: str = "text"
    split: str | None = None
    selection: Selection = Selection()
    vocabulary: int | None = None


PRESETS = {
    # The paper's evaluation sets as plain parquet. The originals are loading scripts, which version 4 and later of the
    # datasets package refuses.
    "pg19": Preset("emozilla/pg19"),
    "proof-pile": Preset(
        "emozilla/proofpile-test-tokenized",
        column="input_ids",
        split="test",
        selection=Selection(min_tokens=32768, max_tokens=32768, samples=128),
        vocabulary=32000,
    ),
    # The paper's training sets: the Pile without the parts that had to be taken down, and RedPajama, cleaned and
    # deduplicated, because the original is again a loading script.
    "pile": Preset("monology/pile-uncopyrighted"),
    "redpajama": Preset("cerebras/SlimPajama-627B"),
}

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_BATCH_BYTES = 8 * 2**20
_TEXT_SUFFIXES = {".txt", ".md", ".rst", ".py", ".tex"}


@dataclass(frozen=True)
class Documents:
    """Tokenised documents.

    Attributes:
        names: the documents' names.
        tokens: for each document a memory-mapped array of its token ids, uint32, without special tokens.
    """

    names: tuple[str, ...]
    tokens: tuple[np.ndarray, ...]

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the names and token ids in order: the same data has the same hash wherever it came from."""
        digest = hashlib.sha256(repr((self.names, [len(ids) for ids in self.tokens])).encode())
        for ids in self.tokens:
            digest.update(np.ascontiguousarray(ids, dtype=np.uint32).tobytes())
        return digest.hexdigest()


def read_documents(source: Source) -> Iterator[tuple[str, str | Sequence[int]]]:
    """(name, text or token ids) of every document of a source, in the source's order.

    Raises:
        UsageError: there is no such source or split.
        RunError: a file is empty or not what its name says, a column is missing, or the hub cannot be reached.
    """
    path = Path(source.name)
    if source.name in CORPORA:
        return read_corpus(source.name, source.split, source.column)
    if path.is_dir() and not any(path.rglob("*.parquet")):
        return _folder(path, source.column)
    if path.is_file():
        return _file(path, source.column)
    if path.is_dir() or _HUB_NAME.fullmatch(source.name):
        return _dataset(source)
    known = ", ".join([*CORPORA, *PRESETS])
    raise UsageError(f"{source.name}: no such file or folder, not a hub dataset (owner/name), not a corpus ({known})")


def _folder(folder: Path, column: str) -> Iterator[tuple[str, str | Sequence[int]]]:
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in _TEXT_SUFFIXES | {".jsonl"}]
    if not paths:
        raise RunError(f"{folder}: holds no documents ({', '.join(sorted(_TEXT_SUFFIXES))}, .jsonl, .parquet)")
    for path in paths:
        for name, content in _file(path, column):
            yield f"{path.relative_to(folder).as_posix()}{name.removeprefix(path.name)}", content


def _file(path: Path, column: str) -> Iterator[tuple[str, str | Sequence[int]]]:
    if path.stat().st_size == 0:
        raise RunError(f"{path}: the file is empty")
    if path.suffix == ".parquet":
        yield from _parquet(path, column)
        return
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: not UTF-8 text (byte {error.start}); give .txt, .jsonl or .parquet") from error
    if "\0" in text:
        raise RunError(f"{path}: a binary file, not text; give .txt, .jsonl or .parquet")
    if path.suffix != ".jsonl":
        yield path.name, text
        return
    # str.splitlines would also split at separators that may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise RunError(f"{path}: line {number} is not JSON: {error}") from error
            columns = list(row) if isinstance(row, dict) else []
            yield f"{path.name}:{number}", _column(row, column, columns, f"{path}: line {number}")


def _parquet(path: Path, column: str) -> Iterator[tuple[str, str | Sequence[int]]]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise RunError(f"{path}: reading parquet needs a package: pip install pyarrow") from error
    try:
        file = parquet.ParquetFile(path)
    except (arrow.ArrowInvalid, OSError) as error:
        raise RunError(f"{path}: not a readable parquet file: {str(error).splitlines()[0]}") from error
    names = file.schema_arrow.names
    if column not in names:
        raise RunError(f"{path}: no column {column!r}; it has {', '.join(names)}")
    number = 0
    for batch in file.iter_batches(columns=[column], batch_size=64):
        for row in batch.to_pylist():
            number += 1
            yield f"{path.name}:{number}", _column(row, column, names, f"{path}: row {number}")


def _dataset(source: Source) -> Iterator[tuple[str, str | Sequence[int]]]:
    try:
        import datasets
    except ImportError as error:
        raise RunError(f"{source.name}: hub datasets need a package: pip install datasets") from error
    try:
        rows = datasets.load_dataset(source.name, split=source.split, streaming=source.stream_tokens is not None)
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(
            f"{source.name}: split {source.split!r} cannot be loaded: {reason}; {', '.join(CORPORA)} need no hub"
        ) from error
    for number, row in enumerate(rows):
        name = f"{source.name}/{source.split}:{number}"
        yield name, _column(row, source.column, list(row), name)


def _column(row: Any, column: str, columns: list[str], where: str) -> str | Sequence[int]:
    """A row's text or token ids; RunError, naming the place, if it has none in this column."""
    value = row.get(column) if isinstance(row, dict) else None
    if not isinstance(value, str | list):
        raise RunError(f"{where}: no text in column {column!r}; it has {', '.join(columns) or 'no columns'}")
    return value


def load_documents(
    source: Source | str,
    tokenizer: PreTrainedTokenizerBase,
    selection: Selection | None = None,
    *,
    progress: bool = False,
) -> Documents:
    """A source's documents as token ids without special tokens. They are tokenised once and memory-mapped afterwards.

    Args:
        source: where the documents come from, or its name alone, which may also be a key of `PRESETS`.
        tokenizer: the model's own.
        selection: which documents to keep; None keeps those that the preset names, or all.
        progress: show a bar while tokenising.

    Raises:
        UsageError: as `read_documents`.
        RunError: as `read_documents`, or no document is left by the selection.
    """
    if isinstance(source, str):
        source = Source(source)
    if preset := PRESETS.get(source.name):
        if preset.vocabulary not in (None, tokenizer.vocab_size):
            raise RunError(
                f"{source.name}: is tokenised for a vocabulary of {preset.vocabulary}, but this tokenizer has "
                f"{tokenizer.vocab_size}; give a source of text"
            )
        source = replace(source, name=preset.name, column=preset.column, split=preset.split or source.split)
        selection = selection or preset.selection
    selection = selection or Selection()
    names, tokens = memory_map(source, cache_key(source, tokenizer), _tokenised(source, tokenizer), progress=progress)
    kept = [number for number, ids in enumerate(tokens) if len(ids) >= selection.min_tokens]
    if selection.samples is not None and selection.samples < len(kept):
        drawn = np.random.default_rng(selection.seed).choice(len(kept), selection.samples, replace=False)
        kept = [kept[number] for number in sorted(drawn)]
    if not kept:
        longest = max((len(ids) for ids in tokens), default=0)
        raise RunError(f"{source.name}: no document has {selection.min_tokens} tokens; the longest has {longest}")
    cut = slice(selection.max_tokens)
    return Documents(tuple(names[number] for number in kept), tuple(tokens[number][cut] for number in kept))


def memory_map(
    source: Source, key: str, documents: Iterator[tuple[str, np.ndarray]], *, progress: bool = False
) -> tuple[list[str], list[Integer[np.ndarray, " tokens"]]]:
    """Names and token ids of documents, memory-mapped from the cache; the first call writes them there.

    Args:
        source: where the documents come from, for messages.
        key: the name of the cache entry; everything that the tokens depend on must be in it.
        documents: (name, token ids as uint32); iterated only if the cache has no such entry.
        progress: show a bar while writing.

    Raises:
        RunError: there are no tokens.
    """
    folder = cache_dir() / "tokens" / key
    if not (folder / "index.json").exists():
        with new_folder(folder, shared=True) as partial:
            index: dict[str, list] = {"names": [], "lengths": []}
            # disable=None shows the bar on a terminal only.
            bar = tqdm(desc="tokenising", unit="tok", unit_scale=True, leave=False, disable=None if progress else True)
            with bar, (partial / "tokens.bin").open("wb") as file:
                for name, ids in documents:
                    ids.tofile(file)
                    index["names"].append(name)
                    index["lengths"].append(len(ids))
                    bar.update(len(ids))
            (partial / "index.json").write_text(json.dumps(index), encoding="utf-8")
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    ends = np.cumsum(index["lengths"], dtype=np.int64)
    if not len(ends) or ends[-1] == 0:
        raise RunError(f"{source.name}: holds no tokens")
    flat = np.memmap(folder / "tokens.bin", dtype=np.uint32, mode="r")
    return index["names"], np.split(flat, ends[:-1])


def _tokenised(source: Source, tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[str, np.ndarray]]:
    """(name, token ids) of every document, in order, up to the one that reaches the source's limit.

    Texts go to the tokenizers library in batches, which it shares among all cores.
    """
    documents = read_documents(source)
    left = math.inf if source.stream_tokens is None else source.stream_tokens
    # A text has at most as many tokens as bytes, so no batch reads beyond the document that reaches the limit.
    while left > 0 and (batch := _batch(documents, min(left, _BATCH_BYTES))):
        texts = [content for _, content in batch if isinstance(content, str)]
        # verbose=False silences the warning about documents longer than the model's window, which are normal here.
        options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        of_texts = iter(tokenizer(texts, **options)["input_ids"] if texts else [])
        for name, content in batch:
            if isinstance(content, str):
                ids = np.asarray(next(of_texts), dtype=np.uint32)
            else:
                ids = _checked_ids(name, content, tokenizer)
            yield name, ids
            left -= len(ids)


def _batch(documents: Iterator[tuple[str, str | Sequence[int]]], limit: float) -> list[tuple[str, str | Sequence[int]]]:
    """The next documents, up to the one that reaches `limit` bytes of text or token ids."""
    batch, size = [], 0
    for name, content in documents:
        batch.append((name, content))
        size += len(content.encode(errors="replace")) if isinstance(content, str) else len(content)
        if size >= limit:
            break
    return batch


def _checked_ids(name: str, content: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Token ids that a source came with, without their BOS."""
    ids = np.asarray(content, dtype=np.int64)
    if ids.size and (ids.min() < 0 or ids.max() >= len(tokenizer)):
        raise RunError(f"{name}: token ids of another tokenizer; give a column of text")
    # The evaluation adds BOS itself, at the start of each window.
    return ids[1 if ids.size and ids[0] == tokenizer.bos_token_id else 0 :].astype(np.uint32)


def cache_key(source: Source, tokenizer: PreTrainedTokenizerBase) -> str:
    """A hex key of everything that a source's tokens depend on: its content and the tokenizer."""
    path = Path(source.name)
    files: list[Path] = []
    if source.name not in CORPORA:
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    corpus = CORPORA.get(source.name)
    pinned = [*(package.sha256 for package in corpus.packages), corpus.revision] if corpus else []
    local = replace(source, name=path.name) if files else source
    hashes = [(file.name, sha256_file(file)) for file in files]
    return hashlib.sha256(f"{local} {pinned} {hashes} {tokenizer_sha256(tokenizer)}".encode()).hexdigest()[:32]


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hex SHA-256 of all that decides what a tokenizer does: vocabulary, merges, pre-tokeniser and normaliser."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()
