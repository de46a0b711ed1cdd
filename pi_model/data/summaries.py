"""Documents with summaries, in the prompt of Chen et al. 2023 (arXiv:2306.15595, Section 3.5)."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from pi_model.data.documents import Documents, Source, cache_key, distinct, read_rows, resolved
from pi_model.data.row_values import cell, text
from pi_model.data.token_cache import Done, memory_map
from pi_model.data.token_seams import PreTrainedTokenizerBase, ids_after, plain_ids
from pi_model.errors import RunError, UsageError

HEAD = "Read the following article and then summarize it.\n# "
TAIL = "\nNow summarize the above article.\nSummary:"

DOCUMENT_TOKENS = 15000
SUMMARY_TOKENS = 1000


def read_pairs(source: Source, summary: str) -> Iterator[tuple[str, str, str]]:
    """(name, document, summary) of every document, in the source's order.

    Args:
        source: any source with two columns, or an embedded corpus with summaries. Its `column` holds the documents.
        summary: the column that holds the summaries.

    Raises:
        UsageError: as `pi_model.data.documents.read_documents`.
        RunError: as there, or a document or a summary is empty.
    """
    columns = (resolved(source).column, summary)
    for row in read_rows(source, columns):
        if row.is_text:
            raise RunError(
                f"{row.where}: one text, not a document and its summary; give rows that have both, as .jsonl"
            )
        document, short = (
            text(cell(row.content, column, row.where), column, row.where, binary=row.remote) for column in columns
        )
        if not document.strip():
            raise RunError(f"{row.where}: the document is empty; leave it out")
        if not short.strip():
            raise RunError(f"{row.where}: the summary is empty; leave this document out")
        if document == short:
            raise RunError(f"{row.where}: document and summary are one text; name two columns that differ")
        yield row.name, document, short


def read_all_pairs(sources: Sequence[Source], summary: str) -> list[tuple[str, str, str]]:
    """What `read_pairs` gives of several sources, one after the other; names that they have in common are numbered."""
    pairs = [pair for source in sources for pair in read_pairs(source, summary)]
    if len(sources) == 1:
        return pairs
    return [(name, *pair[1:]) for name, pair in zip(distinct([pair[0] for pair in pairs]), pairs, strict=True)]


class SummaryPrompts:
    """Makes prompts, and the summaries that follow them, that fit a window.

    Args:
        tokenizer: a fast one, because it must know where its tokens lie in the text.
        window: the model's input length in tokens, prompt and summary together.
        document_tokens: documents are cut to this many tokens, or to what the window leaves them.
        summary_tokens: how many tokens of the window are kept for the summary.
        bos_id: token that begins the prompt, or None.
        control_tokens: read special tokens that documents and summaries spell as such; otherwise they are text like
            any other.

    Attributes:
        document_tokens: the length that documents are really cut to.

    Raises:
        UsageError: the window has no room for a document, or a number is below 1.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        window: int,
        *,
        document_tokens: int = DOCUMENT_TOKENS,
        summary_tokens: int = SUMMARY_TOKENS,
        bos_id: int | None = None,
        control_tokens: bool = False,
    ) -> None:
        for name, number in (("document_tokens", document_tokens), ("summary_tokens", summary_tokens)):
            if number < 1:
                raise UsageError(f"{name}: must be at least 1, got {number}")
        self.tokenizer, self.summary_tokens, self.control_tokens = tokenizer, summary_tokens, control_tokens
        self._bos = [] if bos_id is None else [bos_id]
        self._fixed = len(self._ids(""))
        left = window - self._fixed - summary_tokens
        if left < 1:
            raise UsageError(
                f"window: {window} tokens cannot hold the prompt's {self._fixed} and a summary of {summary_tokens}; "
                "use a longer window or shorter summaries"
            )
        self.document_tokens = min(document_tokens, left)

    def _ids(self, document: str) -> list[int]:
        whole = f"{HEAD}{document}{TAIL}"
        return [*self._bos, *plain_ids(self.tokenizer, whole, control_tokens=self.control_tokens)]

    def prompt(self, document: str) -> list[int]:
        """Token ids of the prompt about a document, which is cut if it is too long."""
        options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
        encoding = self.tokenizer(document, split_special_tokens=not self.control_tokens, **options)
        ends = [end for _, end in encoding["offset_mapping"]]
        kept = min(len(ends), self.document_tokens)
        while True:
            # The text is cut rather than its tokens, so that the prompt is tokenised as it reads. At the seams that
            # can give a token or so more than the parts have.
            ids = self._ids(document[: ends[kept - 1]] if kept else "")
            excess = len(ids) - self._fixed - self.document_tokens
            if excess <= 0:
                return ids
            kept = max(0, kept - excess)

    def target(self, summary: str) -> list[int]:
        """Token ids of a summary as it follows the prompt: with the end token, or cut if it is too long."""
        ids = ids_after(self.tokenizer, "Summary:", " " + summary.strip(), control_tokens=self.control_tokens)
        eos = [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]
        return (ids + eos)[: self.summary_tokens]

    def cache_key(self, source: Source, summary: str) -> str:
        """A hex key of everything that a source's prompts and summaries depend on."""
        made_with = (HEAD, TAIL, self._bos, self.document_tokens, self.summary_tokens, summary)
        read = cache_key(replace(source, control_tokens=self.control_tokens), self.tokenizer)
        return hashlib.sha256(f"{read} {made_with}".encode()).hexdigest()[:32]


def load_pairs(
    source: Source, summary: str, maker: SummaryPrompts, *, progress: bool = False
) -> tuple[Documents, Documents]:
    """All prompts of a source and the summaries that are to follow them, tokenised once and memory-mapped afterwards.

    Args:
        source: as `read_pairs` takes it.
        summary: the column that holds the summaries.
        maker: makes the prompts.
        progress: show a bar while tokenising.

    Returns:
        The prompts and the summaries, in the same order under the same names.

    Raises:
        UsageError: as `read_pairs`.
        RunError: as `read_pairs`, or there is no pair.
    """

    def sides() -> Iterator[tuple[str, Callable[[], list[int]]]]:
        for name, document, short in read_pairs(source, summary):
            yield name, partial(maker.prompt, document)
            yield name, partial(maker.target, short)

    def tokenised(done: Done) -> Iterator[tuple[str, np.ndarray]]:
        return ((name, np.asarray(ids(), dtype=np.uint32)) for name, ids in islice(sides(), done.documents, None))

    names, tokens = memory_map(source.name, maker.cache_key(source, summary), tokenised, progress=progress)
    return Documents(names[::2], tokens[::2]), Documents(names[1::2], tokens[1::2])
