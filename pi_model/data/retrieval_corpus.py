"""Documents that teach a small model to retrieve: something is stated, and asked for again after other text.

There are three kinds, a third of the documents each. One is worded like the passkey evaluation. One states several keys
among passages of books and asks for each, so that the model learns to look up the right key rather than the prompt. One
quotes a passage twice, which rewards looking back at every token and not only at the few tokens of a key. Keys are
drawn uniformly from all numbers of five digits.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pi_model.data.passkey_wording import FILLER, KEY_LINE, QUESTION, TASK

DOCUMENTS = {"train": 40000, "validation": 500, "test": 500}
NAMES = (
    "cedar",
    "river",
    "castle",
    "winter",
    "mirror",
    "garden",
    "hammer",
    "silver",
    "bridge",
    "candle",
    "orchard",
    "sailor",
)
# The most characters of other text in a document: with so many, most documents are shorter than 256 tokens.
_LONGEST_FILLER = 420


def retrieval_documents(split: str, books: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, text) of every document of a split, the same each time.

    Args:
        split: a key of `DOCUMENTS`.
        books: texts that passages are taken from.
    """
    draw = np.random.default_rng(list(split.encode()))
    kinds = (_passkey, _named_keys, _quotation)
    for number in range(DOCUMENTS[split]):
        book = books[int(draw.integers(len(books)))]
        yield f"retrieval/{split}/{number}", kinds[number % 3](book, draw)


def _passkey(book: str, draw: np.random.Generator) -> str:
    key = _key(draw)
    before, after = _shares(2, draw)
    if draw.random() < 0.5:
        lines = [TASK, _sentences(before), KEY_LINE.format(key=key), _sentences(after)]
    else:
        lines = [_passage(book, before, draw), KEY_LINE.format(key=key), _passage(book, after, draw)]
    return "\n".join([*(line for line in lines if line), f"{QUESTION} {key}."])


def _named_keys(book: str, draw: np.random.Generator) -> str:
    names = draw.permutation(NAMES)[: int(draw.integers(1, 4))]
    keys = {name: _key(draw) for name in names}
    stated = [
        f"{_passage(book, length, draw)}\nThe key of the {name} is {key}."
        for (name, key), length in zip(keys.items(), _shares(len(keys), draw), strict=True)
    ]
    asked = [
        f"What is the key of the {name}? The key of the {name} is {keys[name]}." for name in draw.permutation(names)
    ]
    return "\n".join(stated + asked).strip()


def _quotation(book: str, draw: np.random.Generator) -> str:
    quoted, between, _ = _shares(3, draw)
    passage = _passage(book, 60 + quoted, draw)
    return "\n".join(line for line in (passage, _passage(book, between, draw), passage) if line)


def _key(draw: np.random.Generator) -> str:
    return f"{draw.integers(10000, 100000)}"


def _shares(parts: int, draw: np.random.Generator) -> list[int]:
    """The lengths of several fillers in characters, drawn uniformly from all that together respect the limit."""
    cuts = np.sort(draw.integers(0, _LONGEST_FILLER + 1, size=parts))
    return [int(length) for length in np.diff(cuts, prepend=0)]


def _sentences(characters: int) -> str:
    return " ".join([FILLER] * (characters // len(FILLER)))


def _passage(book: str, characters: int, draw: np.random.Generator) -> str:
    start = int(draw.integers(max(1, len(book) - characters)))
    words = book[start : start + characters].split(" ")
    # The first and the last word may be cut off in the middle.
    return " ".join(words[1:-1]).strip()
