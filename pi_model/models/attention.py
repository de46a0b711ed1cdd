"""Causal attention without masks, as training uses it.

Before every forward pass transformers asks the GPU whether windows were packed out of several texts, and waits for the
answer. Under the name `CAUSAL` it asks nothing and makes no mask, as the kernel knows what causal is. On Hopper torch
takes cuDNN's kernel first, on other GPUs FlashAttention's, and neither repeats the keys and values that query heads
share. Texts of unequal length in one batch, which need a mask, cannot be read this way.

Shape suffixes: B windows, H heads, N queries, T keys, D head size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface

from pi_model.distributed.context_parallel import Sharing, whole_window

CAUSAL = "causal"
CONTEXT_PARALLEL = "context_parallel"


def attend(
    query_BHND: Float[Tensor, "B heads N D"],
    key_BHTD: Float[Tensor, "B kv_heads T D"],
    value_BHTD: Float[Tensor, "B kv_heads T D"],
    scale: float,
) -> Float[Tensor, "B heads N D"]:
    """Attention of the last N of T tokens, each to itself and all before it.

    On a GPU this needs no mask. On a CPU it needs one of N x T where 1 < N < T.

    Args:
        query_BHND: queries, N at most T.
        key_BHTD: keys; as many heads as there are queries, or a divisor of that.
        value_BHTD: values.
        scale: what scores are multiplied by.
    """
    queries, keys = query_BHND.shape[-2], key_BHTD.shape[-2]
    return F.scaled_dot_product_attention(
        query_BHND,
        key_BHTD,
        value_BHTD,
        attn_mask=causal_lower_right(queries, keys) if 1 < queries < keys else None,
        is_causal=1 < queries == keys,
        scale=scale,
        enable_gqa=query_BHND.shape[1] != key_BHTD.shape[1],
    )


def causal_attention(
    module: nn.Module,
    query_BHND: Float[Tensor, "B heads N D"],
    key_BHTD: Float[Tensor, "B kv_heads T D"],
    value_BHTD: Float[Tensor, "B kv_heads T D"],
    attention_mask: None,
    *,
    scaling: float,
    **_: Any,
) -> tuple[Float[Tensor, "B N heads D"], None]:
    """`attend` with the signature that transformers calls attention functions with."""
    return attend(query_BHND, key_BHTD, value_BHTD, scaling).transpose(1, 2).contiguous(), None


def shared_attention(
    module: nn.Module,
    query_BHND: Float[Tensor, "B heads N D"],
    key_BHND: Float[Tensor, "B kv_heads N D"],
    value_BHND: Float[Tensor, "B kv_heads N D"],
    attention_mask: None,
    *,
    scaling: float,
    sharing: Sharing,
    **_: Any,
) -> tuple[Float[Tensor, "B N heads D"], None]:
    """The same where several ranks share the tokens of each window: this rank's queries to the whole window's keys."""
    key_BHTD, value_BHTD = whole_window(key_BHND, value_BHND, sharing)
    found = []
    for piece, query in zip(sharing.pieces, query_BHND.chunk(2, dim=-2), strict=True):
        seen = slice((piece + 1) * query.shape[-2])
        found.append(attend(query, key_BHTD[..., seen, :], value_BHTD[..., seen, :], scaling))
    return torch.cat(found, dim=-2).transpose(1, 2).contiguous(), None


AttentionInterface.register(CAUSAL, causal_attention)
AttentionInterface.register(CONTEXT_PARALLEL, shared_attention)
