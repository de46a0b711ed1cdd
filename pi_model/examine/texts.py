"""The texts that an examination measures on: as long as the context asked for, and the same for every method."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
from transformers import PreTrainedTokenizerBase

from pi_model.data.documents import Source, load_documents
from pi_model.errors import RunError

EMBEDDED = ("books", "code")
MOST = 8  # texts of each source


@dataclass(frozen=True)
class Text:
    """A text, cut to the context.

    Attributes:
        name: of its document, with its source before it.
        ids: token ids without BOS.
    """

    name: str
    ids: np.ndarray


@dataclass(frozen=True)
class Texts:
    """What is measured on.

    Attributes:
        texts: all of the same length, of several sources in turn.
        described: in words.
    """

    texts: tuple[Text, ...]
    described: str

    @property
    def tokens(self) -> int:
        """The length of each text, without BOS."""
        return len(self.texts[0].ids)

    def sha256(self) -> str:
        """Changes when any token does."""
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(np.ascontiguousarray(text.ids, dtype=np.uint32).tobytes())
        return digest.hexdigest()


def long_texts(
    sources: Sequence[Source], tokenizer: PreTrainedTokenizerBase, tokens: int, *, progress: bool = False
) -> Texts:
    """Documents of at least so many tokens, cut to that length; where none is as long, all are cut to the longest.

    Args:
        sources: where documents come from.
        tokenizer: the model's own.
        tokens: how many tokens a text should have.
        progress: show a bar while tokenising.

    Raises:
        UsageError, RunError: a source cannot be read, or holds nothing.
    """
    loaded = [(source, load_documents(source, tokenizer, progress=progress)) for source in sources]
    longest = max((len(ids) for _, documents in loaded for ids in documents.tokens), default=0)
    if longest < 16:
        raise RunError("data: no document has even 16 tokens; give longer text with --data")
    length = min(tokens, longest)
    by_source = [
        [
            Text(f"{source.name}: {name}", np.asarray(ids[:length]))
            for name, ids in zip(documents.names, documents.tokens, strict=True)
            if len(ids) >= length
        ][:MOST]
        for source, documents in loaded
    ]
    texts = tuple(text for text in chain.from_iterable(zip_longest(*by_source)) if text is not None)
    counts = ", ".join(
        f"{len(part)} of {len(documents.names)} documents of {source.name}"
        for part, (source, documents) in zip(by_source, loaded, strict=True)
    )
    short = "" if length == tokens else f"; no document has {tokens} tokens, so all are measured up to {length}"
    return Texts(texts, f"{counts}, cut to {length} tokens{short}")
