"""Documents that teach a small model to retrieve: a key is stated, and asked for again after other text.

Half of them are worded as the passkey evaluation is; the others hide the key in passages of books, so that what is
learned is to look back and not the prompt. Keys are drawn uniformly from all of five digits.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pi_model.evaluation.wording import FILLER, KEY_LINE, QUESTION, TASK

DOCUMENTS = {"train": 16000, "validation": 500, "test": 500}
_LONGEST_FILLER = 420  # characters before and after the key together: most documents are then shorter than 256 tokens


def retrieval_documents(split: str, books: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, text) of every document of a split; the same each time.

    Args:
        books: texts that passages are taken from.
    """
    draw = np.random.default_rng(list(split.encode()))
    for number in range(DOCUMENTS[split]):
        key = f"{draw.integers(10000, 100000)}"
        before, after = np.diff(np.sort(draw.integers(0, _LONGEST_FILLER + 1, size=2)), prepend=0)
        if draw.random() < 0.5:
            lines = [TASK, _sentences(int(before)), KEY_LINE.format(key=key), _sentences(int(after))]
        else:
            book = books[int(draw.integers(len(books)))]
            lines = [_passage(book, int(before), draw), KEY_LINE.format(key=key), _passage(book, int(after), draw)]
        text = "\n".join([*(line for line in lines if line), f"{QUESTION} {key}."])
        yield f"retrieval/{split}/{number}", text


def _sentences(characters: int) -> str:
    return " ".join([FILLER] * (characters // len(FILLER)))


def _passage(book: str, characters: int, draw: np.random.Generator) -> str:
    start = int(draw.integers(max(1, len(book) - characters)))
    words = book[start : start + characters].split(" ")
    # A passage begins and ends between words.
    return " ".join(words[1:-1]).strip()
