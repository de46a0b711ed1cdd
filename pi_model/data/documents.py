"""Read documents from files, hub datasets and embedded corpora, and tokenise them into a memory map.

Documents stay apart; nothing here joins two of them.
"""

import glob
import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from pi_model.data.corpora import CORPORA, read_corpus
from pi_model.data.data_files import STANDARD_INPUT, data_files
from pi_model.data.file_formats import Row, format_of, rows
from pi_model.data.pieces import Names, Pieces
from pi_model.data.row_values import cell, text, text_or_ids
from pi_model.data.token_cache import NOTHING, Done, memory_map
from pi_model.data.token_seams import PreTrainedTokenizerBase
from pi_model.errors import RunError, UsageError
from pi_model.notices import say, tell_which


@dataclass(frozen=True)
class Selection:
    """Which documents of a source to keep, and how much of each. The defaults keep everything.

    Attributes:
        min_tokens: documents shorter than this are left out.
        max_tokens: documents longer than this are cut to it; None cuts none.
        samples: draw this many documents without replacement and keep their order; None keeps all.
        seed: seed of that draw.
        without_every: leave out each so many-th document of a source, so that it is held out; None leaves none out.
        only_every: keep each so many-th document of a source alone, the ones that the other field leaves out.
    """

    min_tokens: int = 1
    max_tokens: int | None = None
    samples: int | None = None
    seed: int = 0
    without_every: int | None = None
    only_every: int | None = None

    def taken(self, documents: int) -> Bool[np.ndarray, " documents"]:
        """Which of so many documents of a source are not held out, or are, whatever their length."""
        number = np.arange(1, documents + 1)
        held_out = number % (self.without_every or self.only_every or documents + 1) == 0
        return held_out if self.only_every else ~held_out


@dataclass(frozen=True)
class Source:
    """Where documents come from.

    Attributes:
        name: a file of a format that `pi_model.data.file_formats` reads, a folder of such files, a pattern such as
            ``data/*.jsonl``, ``-`` for standard input, the name of an embedded corpus or preset, or a hub dataset
            ("owner/name"). What is an embedded corpus or preset by name is never looked for in the current folder.
        column: the column of JSONL, CSV, parquet and hub datasets that holds the text, or lists of token ids.
        split: which split of an embedded corpus, a hub dataset or a folder of one to read.
        stream_tokens: read a hub dataset as a stream, and stop after the document that reaches this many tokens; None
            fetches the whole dataset.
        control_tokens: read a special token that stands in the text, such as ``<|endoftext|>``, as the control token
            that it spells. By default it is text like any other.
    """

    name: str
    column: str = "text"
    split: str = "test"
    stream_tokens: int | None = None
    # Not in the repr, which is part of the cache's keys: tokens of the embedded corpora stay valid, see `cache_key`.
    control_tokens: bool = field(default=False, repr=False)


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
_BATCH_BYTES = max(8, os.cpu_count() or 1) * 2**20  # some documents for every core
# Part of the cache's keys; raised when the same file gives other tokens than before.
_READING = "2: no byte order mark, special tokens as text"


@dataclass(frozen=True)
class Documents:
    """Tokenised documents.

    Attributes:
        names: the documents' names.
        tokens: for each document a memory-mapped array of its token ids, uint32, without special tokens.
    """

    names: Sequence[str]
    tokens: Sequence[np.ndarray]

    @property
    def lengths(self) -> Int[np.ndarray, " documents"]:
        """The number of tokens of each document."""
        if isinstance(self.tokens, Pieces):
            return self.tokens.lengths
        return np.array([len(ids) for ids in self.tokens], dtype=np.int64)

    def chosen(self, numbers: Int[np.ndarray, " chosen"], longest: int | None = None) -> "Documents":
        """Some of the documents in the order given, each cut to `longest` tokens."""
        if isinstance(self.names, Names) and isinstance(self.tokens, Pieces):
            return Documents(self.names.chosen(numbers), self.tokens.chosen(numbers, longest))
        names, tokens = ([part[number] for number in numbers.tolist()] for part in (self.names, self.tokens))
        return Documents(tuple(names), tuple(ids[:longest] for ids in tokens))

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the names and token ids in order: the same data has the same hash wherever it came from."""
        digest = hashlib.sha256()
        for part in _repr_of_tuple_and_list(self.names, self.lengths.tolist()):
            digest.update(part.encode())
        for ids in self.tokens.runs() if isinstance(self.tokens, Pieces) else self.tokens:
            digest.update(np.ascontiguousarray(ids, dtype=np.uint32).tobytes())
        return digest.hexdigest()


def _repr_of_tuple_and_list(names: Sequence[str], lengths: Sequence[int]) -> Iterator[str]:
    """``repr((tuple(names), list(lengths)))`` in parts; the whole would be as large as all names together."""
    yield "(("
    for number, name in enumerate(names):
        yield f", {name!r}" if number else repr(name)
    yield ",), [" if len(names) == 1 else "), ["
    for number, length in enumerate(lengths):
        yield f", {length}" if number else str(length)
    yield "])"


def read_rows(source: Source, columns: Sequence[str]) -> Iterator[Row]:
    """Every row of a source, with the columns that are wanted, in the source's order.

    Raises:
        UsageError: there is no such source or split.
        RunError: a file is empty or not what its name says, or the hub cannot be reached.
    """
    source = resolved(source)
    if source.name in CORPORA:
        return _corpus(source, columns)
    files = data_files(source.name, source.split, columns)
    if files is not None:
        return (row for file in files for row in rows(file, columns))
    refuse_unknown(source.name)
    return _dataset(source)


def refuse_unknown(name: str) -> None:
    """Raise UsageError if a name means nothing here and cannot be a dataset on the hub; nothing is read."""
    if name in CORPORA or name in PRESETS or name == STANDARD_INPUT or os.path.exists(name) or glob.has_magic(name):
        return
    # A name like data/train.jsonl is a file that is missing, and is not looked for on the hub.
    if not _HUB_NAME.fullmatch(name) or format_of(name):
        known = ", ".join([*CORPORA, *PRESETS])
        raise UsageError(f"{name}: no such file or folder, not a hub dataset (owner/name), not a corpus ({known})")


def read_documents(source: Source, vocabulary: int | None = None) -> Iterator[tuple[str, str | list[int]]]:
    """(name, text or token ids) of every document of a source, in the source's order.

    Rows without text are left out, which is said in one line.

    Args:
        source: where the documents come from.
        vocabulary: how many token ids there are; None allows text only.

    Raises:
        UsageError: as `read_rows`.
        RunError: as `read_rows`, or a column is missing, or holds neither text nor token ids.
    """
    found = read_rows(source, [source.column])
    return _documents(source, found, vocabulary)


def _documents(source: Source, found: Iterator[Row], vocabulary: int | None) -> Iterator[tuple[str, str | list[int]]]:
    column = resolved(source).column
    first, many, read = "", 0, 0
    for row in found:
        read += 1
        if row.is_text:
            yield row.name, row.content
            continue
        value = cell(row.content, column, row.where)
        if vocabulary is None:
            content: str | list[int] = text(value, column, row.where, binary=row.remote)
        else:
            content = text_or_ids(value, column, row.where, vocabulary, binary=row.remote)
        if content:
            yield row.name, content
        else:
            first, many = first or row.where, many + 1
    if many:
        say(f"{source.name}: {many} of {read} rows have no text and are left out, the first is {first}")


def _corpus(source: Source, columns: Sequence[str]) -> Iterator[Row]:
    read = [read_corpus(source.name, source.split, column) for column in columns]
    return (
        Row(same[0][0], same[0][0], dict(zip(columns, (content for _, content in same), strict=True)))
        for same in zip(*read, strict=True)
    )


def _dataset(source: Source) -> Iterator[Row]:
    try:
        import datasets
    except ImportError as error:
        raise RunError(f"{source.name}: hub datasets need a package: pip install datasets") from error
    try:
        found = datasets.load_dataset(source.name, split=source.split, streaming=source.stream_tokens is not None)
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(
            f"{source.name}: split {source.split!r} cannot be loaded: {reason}; {', '.join(CORPORA)} need no hub"
        ) from error
    for number, row in enumerate(found):
        name = f"{source.name}/{source.split}:{number}"
        yield Row(name, name, row, remote=True)


def resolved(source: Source) -> Source:
    """The source that is meant: a preset's own dataset, column and split in place of its short name."""
    if source.name in CORPORA:
        tell_which(source.name, "the embedded corpus")
    if preset := PRESETS.get(source.name):
        tell_which(source.name, f"the dataset {preset.name} on the hub")
        return replace(source, name=preset.name, column=preset.column, split=preset.split or source.split)
    return source


def load_documents(
    sources: Source | str | Sequence[Source | str],
    tokenizer: PreTrainedTokenizerBase,
    selection: Selection | None = None,
    *,
    progress: bool = False,
) -> Documents:
    """Documents as token ids without special tokens. They are tokenised once and memory-mapped afterwards.

    Args:
        sources: where the documents come from: one source or several, one after the other. The name alone of a source
            will do, which may also be a key of `PRESETS`.
        tokenizer: the model's own.
        selection: which of all the documents to keep; None keeps those that the preset names, or all.
        progress: show a bar while tokenising.

    Raises:
        UsageError: as `read_documents`.
        RunError: as `read_documents`, or no document is left by the selection.
    """
    given = [sources] if isinstance(sources, Source | str) else sources
    several = [Source(one) if isinstance(one, str) else one for one in given]
    loaded = []
    for source in several:
        if preset := PRESETS.get(source.name):
            if preset.vocabulary not in (None, tokenizer.vocab_size):
                raise RunError(
                    f"{source.name}: is tokenised for a vocabulary of {preset.vocabulary}, but this tokenizer has "
                    f"{tokenizer.vocab_size}; give a source of text"
                )
            selection = selection or preset.selection
        source = resolved(source)
        key = cache_key(source, tokenizer)
        loaded.append(memory_map(source.name, key, partial(_tokenised, source, tokenizer), progress=progress))
    found = Documents(*loaded[0]) if len(loaded) == 1 else _one_after_the_other(loaded)
    selection, lengths = selection or Selection(), found.lengths
    taken = np.concatenate([selection.taken(len(names)) for names, _ in loaded])
    kept = np.flatnonzero(taken & (lengths >= selection.min_tokens))
    if selection.samples is not None and selection.samples < len(kept):
        drawn = np.random.default_rng(selection.seed).choice(len(kept), selection.samples, replace=False)
        kept = kept[np.sort(drawn)]
    if not len(kept):
        longest = int(lengths.max(initial=0))
        told = ", ".join(source.name for source in several)
        raise RunError(f"{told}: no document has {selection.min_tokens} tokens; the longest has {longest}")
    return found.chosen(kept, selection.max_tokens)


def _one_after_the_other(loaded: Sequence[tuple[Names, Pieces]]) -> Documents:
    """The documents of several sources; names that they have in common are numbered."""
    names, tokens = (list(chain.from_iterable(part)) for part in zip(*loaded, strict=True))
    return Documents(tuple(distinct(names)), tuple(tokens))


def distinct(names: list[str]) -> list[str]:
    """Names in which those that several sources have in common are numbered."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def _tokenised(
    source: Source, tokenizer: PreTrainedTokenizerBase, done: Done = NOTHING
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, token ids) of every document after those that are done, up to the one that reaches the source's limit.

    Texts go to the tokenizers library in batches, which it shares among all cores.
    """
    documents = islice(read_documents(source, len(tokenizer)), done.documents, None)
    left = math.inf if source.stream_tokens is None else source.stream_tokens - done.tokens
    # A text has at most as many tokens as bytes, so no batch reads beyond the document that reaches the limit.
    while left > 0 and (batch := _batch(documents, min(left, _BATCH_BYTES))):
        texts = [content for _, content in batch if isinstance(content, str)]
        # verbose=False silences the warning about documents longer than the model's window, which are normal here.
        options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        options |= {"split_special_tokens": not source.control_tokens}
        of_texts = iter(tokenizer(texts, **options)["input_ids"] if texts else [])
        for name, content in batch:
            if isinstance(content, str):
                ids = np.asarray(next(of_texts), dtype=np.uint32)
            else:
                ids = _without_bos(content, tokenizer)
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


def _without_bos(content: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Token ids that a source came with, without their BOS: the evaluation adds it at the start of each window."""
    ids = np.asarray(content, dtype=np.uint32)
    return ids[1 if ids.size and ids[0] == tokenizer.bos_token_id else 0 :]


def cache_key(source: Source, tokenizer: PreTrainedTokenizerBase) -> str:
    """A hex key of everything that a source's tokens depend on: its content, how it is read, and the tokenizer."""
    source = resolved(source)
    hashes: list[tuple[str, str]] = []
    if corpus := CORPORA.get(source.name):
        # No special token stands in a corpus, as a test shows, so reading them as text has not changed its tokens.
        pinned = [*(package.sha256 for package in corpus.packages), corpus.revision]
        said = str(source)
    else:
        files = data_files(source.name, source.split, [source.column])
        hashes = [(file.name, file.sha256()) for file in files or ()]
        pinned = [_READING]
        said = str(replace(source, name=Path(source.name).name) if files else source)
    if source.control_tokens:
        said += " control tokens"
    return hashlib.sha256(f"{said} {pinned} {hashes} {tokenizer_sha256(tokenizer)}".encode()).hexdigest()[:32]


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hex SHA-256 of all that decides what a tokenizer does: vocabulary, merges, pre-tokeniser and normaliser."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()
