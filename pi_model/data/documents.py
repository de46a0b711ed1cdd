"""Documents: from text, JSONL and parquet files, hub datasets and embedded corpora, to tokens in a memory map.

Documents stay apart throughout; nothing here joins two.
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
    """Which documents of a source to keep, by their length in tokens, and how much of each.

    Attributes:
        min_tokens: shorter documents are left out.
        max_tokens: longer ones are cut after this many tokens; None keeps all of each.
        samples: this many are drawn without replacement, in their original order; None keeps all.
        seed: of the draw.
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
        column: of JSONL, parquet and hub datasets: the text, or a list of token ids.
        split: of embedded corpora and hub datasets.
        stream_tokens: read a hub dataset as a stream, and stop after the document that reaches this many tokens; None
            fetches it whole.
    """

    name: str
    column: str = "text"
    split: str = "test"
    stream_tokens: int | None = None


@dataclass(frozen=True)
class Preset:
    """A hub dataset by a short name.

    Attributes:
        name, column: of the dataset.
        split: its only one; None leaves the choice to the caller.
        selection: the documents that the paper takes.
        vocabulary: for a source that is already tokenised, the size of the vocabulary its ids belong to.
    """

    name: str
    column: str = "text"
    split: str | None = None
    selection: Selection = Selection()
    vocabulary: int | None = None


PRESETS = {
    # The paper's evaluation sets as plain parquet (the originals are loading scripts, which datasets 4 and later
    # refuse).
    "pg19": Preset("emozilla/pg19"),
    "proof-pile": Preset(
        "emozilla/proofpile-test-tokenized",
        column="input_ids",
        split="test",
        selection=Selection(min_tokens=32768, max_tokens=32768, samples=128),
        vocabulary=32000,
    ),
    # Its training sets: the Pile without the parts that had to be taken down, and RedPajama cleaned and deduplicated
    # (the original is a loading script again).
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
        names: one a document.
        tokens: one memory-mapped array of token ids a document.
        sha256: of the ids and the names, in order: the same data has the same hash wherever it came from.
    """

    names: tuple[str, ...]
    tokens: tuple[np.ndarray, ...]

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256(repr((self.names, [len(ids) for ids in self.tokens])).encode())
        for ids in self.tokens:
            digest.update(np.ascontiguousarray(ids, dtype=np.uint32).tobytes())
        return digest.hexdigest()


def read_documents(source: Source) -> Iterator[tuple[str, str | Sequence[int]]]:
    """(name, text or token ids) of every document, in the source's order.

    Raises:
        UsageError: no such source, split or corpus.
        RunError: a file that is empty or not what its name says, a missing column, a hub that cannot be reached.
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
    # Not splitlines, which also splits at separators that may stand in a JSON string.
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
    value = row.get(column) if isinstance(row, dict) else None
    if not isinstance(value, str | list):
        raise RunError(f"{where}: no text in column {column!r}; it has {', '.join(columns) or 'no columns'}")
    return value


def load_documents(
    source: Source, tokenizer: PreTrainedTokenizerBase, selection: Selection | None = None, *, progress: bool = False
) -> Documents:
    """Documents as tokens, without special tokens, tokenised once and memory-mapped from then on.

    A preset's own selection holds where `selection` is None.

    Raises:
        UsageError, RunError: as `read_documents`; RunError also when the selection leaves nothing.
    """
    if preset := PRESETS.get(source.name):
        if preset.vocabulary not in (None, tokenizer.vocab_size):
            raise RunError(
                f"{source.name}: is tokenised for a vocabulary of {preset.vocabulary}, this tokenizer has "
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
    """Names and token ids, uint32, written to the cache under a key; documents are taken only where it has none.

    Raises:
        RunError: there are no tokens.
    """
    folder = cache_dir() / "tokens" / key
    if not (folder / "index.json").exists():
        with new_folder(folder, shared=True) as partial:
            index: dict[str, list] = {"names": [], "lengths": []}
            # disable=None: a bar on a terminal, nothing in a log.
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

    A batch at a time, which the tokenizers library shares among all cores.
    """
    documents = read_documents(source)
    left = math.inf if source.stream_tokens is None else source.stream_tokens
    # No text has more tokens than bytes: a batch never reads beyond the document that reaches the limit.
    while left > 0 and (batch := _batch(documents, min(left, _BATCH_BYTES))):
        texts = [content for _, content in batch if isinstance(content, str)]
        # verbose=False: a document longer than the model's window is what this is for, not a mistake to warn of.
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
    ids = np.asarray(content, dtype=np.int64)
    if ids.size and (ids.min() < 0 or ids.max() >= len(tokenizer)):
        raise RunError(f"{name}: token ids of another tokenizer; give a column of text")
    # BOS is the evaluation's to add, at the start of each window.
    return ids[1 if ids.size and ids[0] == tokenizer.bos_token_id else 0 :].astype(np.uint32)


def cache_key(source: Source, tokenizer: PreTrainedTokenizerBase) -> str:
    """Hex key of everything that a source's tokens depend on."""
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
    """Hex SHA-256 of what a tokenizer does: its vocabulary, merges, pre-tokeniser and normaliser."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()
