"""Token ids of a piece of text as it stands inside a longer text, where a tokenizer may merge across the seam."""

from transformers import PreTrainedTokenizerBase


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text by itself, without special tokens."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def ids_after(tokenizer: PreTrainedTokenizerBase, context: str, text: str) -> list[int]:
    """Token ids that a text has when it follows another, without special tokens.

    Some tokenizers put a space before a text that stands alone; this avoids it. If the tokenizer merges across the
    seam, other characters stand in for the context; if it merges across every seam, the text is tokenised by itself.

    Args:
        tokenizer: any tokenizer.
        context: the text that comes before; its tokens are not returned.
        text: the text whose tokens are wanted.
    """
    for before in (context, "a", "0"):
        ids, both = plain_ids(tokenizer, before), plain_ids(tokenizer, before + text)
        if both[: len(ids)] == ids:
            return both[len(ids) :]
    return plain_ids(tokenizer, text)
