"""Token ids of a piece of text as it stands inside a longer text, where a tokenizer may merge across the seam."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as PreTrainedTokenizerBase
else:
    PreTrainedTokenizerBase = Any  # importing transformers takes seconds, and here it is a type only


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str, *, control_tokens: bool = False) -> list[int]:
    """Token ids of a text by itself; no special token is added.

    Args:
        tokenizer: any tokenizer.
        text: the text.
        control_tokens: read special tokens that the text spells as such; otherwise they are text like any other.
    """
    split = not control_tokens
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=split, verbose=False)["input_ids"])


def ids_after(
    tokenizer: PreTrainedTokenizerBase, context: str, text: str, *, control_tokens: bool = False
) -> list[int]:
    """Token ids that a text has when it follows another; no special token is added.

    Some tokenizers put a space before a text that stands alone; this avoids it. If the tokenizer merges across the
    seam, other characters stand in for the context; if it merges across every seam, the text is tokenised by itself.

    Args:
        tokenizer: any tokenizer.
        context: the text that comes before; its tokens are not returned.
        text: the text whose tokens are wanted.
        control_tokens: as `plain_ids`.
    """
    for before in (context, "a", "0"):
        ids = plain_ids(tokenizer, before, control_tokens=control_tokens)
        both = plain_ids(tokenizer, before + text, control_tokens=control_tokens)
        if both[: len(ids)] == ids:
            return both[len(ids) :]
    return plain_ids(tokenizer, text, control_tokens=control_tokens)
