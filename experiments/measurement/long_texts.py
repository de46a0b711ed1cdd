"""Texts in which far tokens may be worth something: whole packages of code, and texts that repeat themselves.

What a far token is worth depends on the text. In a book it is little, in a package of code the names of other files
recur, and where a passage is an exact copy of an earlier one, who reads that has only to copy.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from pi_model.data.documents import Documents, Selection, Source, read_documents
from pi_model.data.token_seams import PreTrainedTokenizerBase
from pi_model.errors import RunError, UsageError

Repeats = Literal["near", "far"]


def whole_packages(source: Source, tokenizer: PreTrainedTokenizerBase, selection: Selection) -> Documents:
    """Packages of a source of code as token ids, each the files of one folder; chosen as `load_documents` does.

    Raises:
        RunError: none is long enough.
    """
    names, tokens = [], []
    for name, text in packages(read_documents(source)).items():
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        if len(ids) >= selection.min_tokens:
            names.append(name)
            tokens.append(np.asarray(ids, dtype=np.uint32))
    if not names:
        raise RunError(f"{source.name}: no package has {selection.min_tokens} tokens")
    numbers = np.arange(len(names))
    if selection.samples is not None and selection.samples < len(numbers):
        numbers = np.sort(np.random.default_rng(selection.seed).choice(len(names), selection.samples, replace=False))
    return Documents(tuple(names), tuple(tokens)).chosen(numbers)


def packages(documents: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """By package, its files in their order with a blank line between; a package is the folder that a file lies in."""
    files: dict[str, list[str]] = {}
    for name, text in documents:
        files.setdefault(str(PurePosixPath(name).parent), []).append(text)
    return {package: "\n\n".join(texts) for package, texts in files.items()}


def stretch(repeats: Repeats, *, tokens: int, window: int, last_tokens: int) -> tuple[int, int]:
    """The first token and the end of the part of a text that passages are copied from, to its last tokens.

    Near ones come from the first half of the window that ends with the text: who reads half a window does not see them.
    Far ones lie at least a window before their copies, and nothing of them is in that window.

    Args:
        repeats: which of the two.
        tokens: length of the text.
        window: L in tokens.
        last_tokens: how many tokens at the end are copies.
    """
    # A model's BOS takes the place of the first token that is seen, which is therefore never copied.
    if repeats == "near":
        return tokens - window + 1, tokens - window // 2
    return 1, tokens - last_tokens - window


def repeated(
    ids: np.ndarray, part: tuple[int, int], *, last_tokens: int, passage_tokens: int, seed: list[int]
) -> np.ndarray:
    """A text whose last tokens are replaced by passages from an earlier part of it.

    Args:
        ids: the text.
        part: the first token and the end of what passages are drawn from, see `stretch`.
        last_tokens: how many are replaced, a multiple of the next.
        passage_tokens: length of each passage.
        seed: of the draw.

    Raises:
        UsageError: passages do not fill the last tokens, or none fits into the part.
    """
    first, end = part
    if last_tokens % passage_tokens:
        raise UsageError(f"passage_tokens: {last_tokens} tokens are no whole number of passages of {passage_tokens}")
    if not 0 <= first <= end - passage_tokens <= len(ids) - last_tokens - passage_tokens:
        raise UsageError(f"contexts: a text of {len(ids)} tokens has no room for a passage of {passage_tokens}")
    draw, out = np.random.default_rng(seed), np.array(ids)
    for copy in range(len(ids) - last_tokens, len(ids), passage_tokens):
        start = int(draw.integers(first, end - passage_tokens + 1))
        out[copy : copy + passage_tokens] = ids[start : start + passage_tokens]
    return out
