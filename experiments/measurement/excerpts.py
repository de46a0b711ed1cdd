"""Documents of one length to score: one from each text, and more from long texts where there are too few of them."""

import numpy as np

from experiments.measurement.long_texts import whole_packages
from pi_model.data.documents import Documents, Selection, Source, load_documents
from pi_model.data.token_seams import PreTrainedTokenizerBase
from pi_model.errors import RunError


def excerpts(
    source: Source, tokenizer: PreTrainedTokenizerBase, tokens: int, samples: int, seed: int, *, joined: bool = False
) -> Documents:
    """So many documents of so many tokens each, in the order of the texts that they are from.

    Args:
        source: the corpus.
        tokenizer: the model's own.
        tokens: the length of each; shorter texts are left out.
        samples: how many. Where there are as many texts, these are drawn and each is cut to its beginning. Where there
            are fewer, texts that are long enough give a second excerpt, then a third, which lie evenly spread.
        seed: of the draw.
        joined: take the files of each package of code as one text.

    Returns:
        The documents, each named after its text. Excerpts of one text are no independent samples, so an interval has
        to count texts.

    Raises:
        RunError: all texts together do not hold so many excerpts, or none is long enough.
    """
    load = whole_packages if joined else load_documents
    whole = load(source, tokenizer, Selection(min_tokens=tokens, samples=samples, seed=seed))
    room = np.array([len(ids) // tokens for ids in whole.tokens])
    if room.sum() < samples:
        raise RunError(
            f"{source.name}: its texts hold {room.sum()} excerpts of {tokens} tokens, and {samples} are asked for"
        )
    counts = np.zeros_like(room)
    while (left := samples - counts.sum()) > 0:
        counts[np.flatnonzero(room > counts)[:left]] += 1
    names, pieces = [], []
    for name, ids, count in zip(whole.names, whole.tokens, counts, strict=True):
        for start in np.linspace(0, len(ids) - tokens, count).astype(int) if count > 1 else [0]:
            names.append(name)
            pieces.append(ids[start : start + tokens])
    return Documents(names, pieces)
