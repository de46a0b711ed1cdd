"""The loss by position in a long text, and from where on it rises: what a predicted reach is held against."""

import numpy as np
from jaxtyping import Float, Integer

from pi_model.evaluation.perplexity import losses_by_token
from pi_model.models.families import CausalLM


def recent_losses(model: CausalLM, ids_T: Integer[np.ndarray, " T"], window: int, bos: bool) -> Float[np.ndarray, " t"]:
    """The losses of the same tokens where the model reads only the last L/2 to L tokens before each: its best inside.

    Args:
        model: not extended.
        ids_T: a text, which begins with BOS if ``bos``; BOS then begins every part that is read.
        window: L in tokens.
        bos: whether the text begins with BOS.
    """
    out = [losses_by_token(model, ids_T[:window])]
    for start in range(window, len(ids_T), window // 2):
        end = min(start + window // 2, len(ids_T))
        part = np.concatenate([ids_T[:bos], ids_T[end - window + bos : end]])
        out.append(losses_by_token(model, part)[start - end :])
    return np.concatenate(out)


def by_bucket(values_NT: Float[np.ndarray, "*N T"], bucket: int) -> Float[np.ndarray, "*N buckets"]:
    """The means over stretches of so many positions; what is left over at the end counts nowhere."""
    whole = values_NT.shape[-1] // bucket
    return values_NT[..., : whole * bucket].reshape(*values_NT.shape[:-1], whole, bucket).mean(axis=-1)


def onset(excess: Float[np.ndarray, " buckets"], *, bucket: int, window: int, rise: float) -> int | None:
    """The position from which on a loss stays above its level inside the window by more than ``rise`` nats.

    It has to stay above to the end of what was read, since a hard passage of a text lifts the loss for a while, too.

    Args:
        excess: the loss over that of recent tokens, by bucket.
        bucket: positions in a bucket.
        window: L in tokens; the level is the mean over the window's second half.
        rise: in nats.

    Returns:
        The start of the last stretch that is above; None if it has fewer than two buckets or starts inside the window.
    """
    first, last = window // 2 // bucket, window // bucket
    below = np.flatnonzero(excess <= excess[first:last].mean() + rise)
    start = int(below[-1]) + 1  # the level is a mean, so that some bucket lies at or below it
    return start * bucket if last <= start <= len(excess) - 2 else None
