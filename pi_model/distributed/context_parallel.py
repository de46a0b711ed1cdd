"""Context parallelism: the ranks of a group share the tokens of each window, for windows too long for one device.

A window is cut into 2 c pieces for c ranks, and rank r has pieces r and 2c-1-r, so that every rank has as many pairs of
query and key. Keys and values, which grouped-query attention keeps small, are gathered whole in each layer, as Llama 3
was trained (arXiv:2407.21783, Section 3.3.2). torch's own ring attention (torch.distributed.tensor.experimental) has
CUDA kernels only; this needs no more than collectives, so that one test holds it to one process on a CPU. It has not
been run on CUDA yet.

Shape suffixes: B windows, H heads, T tokens of a window, N of them on this rank (T/c), D head size, C ranks.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface

NAME = "context_parallel"


@dataclass(frozen=True)
class Sharing:
    """The ranks that this rank shares its windows with.

    Attributes:
        group: theirs, neighbours in the order of all ranks.
        degree: how many.
        rank: this one's place among them.
    """

    group: dist.ProcessGroup
    degree: int
    rank: int

    @property
    def pieces(self) -> tuple[int, int]:
        """The numbers of this rank's two pieces of a window, of 2 x degree."""
        return self.rank, 2 * self.degree - 1 - self.rank

    def positions(self, tokens: int, device: torch.device) -> Int[Tensor, " N"]:
        """This rank's positions in a window of `tokens` tokens, a multiple of 2 x degree."""
        pieces = torch.arange(tokens, device=device).chunk(2 * self.degree)
        return torch.cat([pieces[piece] for piece in self.pieces])


def sharing(degree: int, device: torch.device) -> Sharing | None:
    """The group of this rank where `degree` neighbours share each window; None where a rank has windows to itself."""
    if degree == 1:
        return None
    mesh = init_device_mesh(device.type, (dist.get_world_size() // degree, degree))
    return Sharing(mesh.get_group(1), degree, mesh.get_local_rank(1))


class _Gather(torch.autograd.Function):
    """The same tensor of every rank, stacked; backward adds up what every rank says of this rank's."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        whole = local.new_empty(dist.get_world_size(group), *local.shape)
        dist.all_gather(list(whole), local.contiguous(), group=group)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        local = grads[0].new_empty(grads[0].shape[1:])
        dist.reduce_scatter(local, list(grads[0].contiguous()), group=ctx.group)
        return local, None


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
    """Causal attention of this rank's queries over the whole window, called as transformers calls its own."""
    local = torch.stack([key_BHND, value_BHND])
    early, late = _Gather.apply(local, sharing.group).chunk(2, dim=-2)  # type: ignore[no-untyped-call]
    # Piece after piece: the early ones by rank, then the late ones, whose ranks descend.
    key_BHTD, value_BHTD = torch.cat([*early, *late.flip(0)], dim=-2)
    found = []
    for piece, query in zip(sharing.pieces, query_BHND.chunk(2, dim=-2), strict=True):
        seen = slice((piece + 1) * query.shape[-2])
        keys, values = key_BHTD[..., seen, :], value_BHTD[..., seen, :]
        mask = causal_lower_right(query.shape[-2], keys.shape[-2])
        found.append(
            F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scaling, enable_gqa=True)
        )
    return torch.cat(found, dim=-2).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, shared_attention)
