"""Context parallelism: the ranks of a group share the tokens of each window, for windows too long for one device.

For c ranks a window is cut into 2c pieces, and rank r gets pieces r and 2c-1-r. Causal attention makes late pieces
dearer than early ones; paired like this, every rank has the same number of query-key pairs. Each layer gathers the keys
and values of the whole window, which grouped-query attention keeps small. Llama 3 was trained this way
(arXiv:2407.21783, Section 3.3.2).

Gradients of keys and values go back to the rank that has them as they are, and are added up there in float32: as much
traffic as a reduction in their own dtype, rounded once.

torch's own ring attention (torch.distributed.tensor.experimental) has CUDA kernels only. This code needs nothing but
collectives, so a test can compare it with a single process on a CPU. It has not been run on CUDA yet.

Shape suffixes: B windows, H heads, T tokens of a window, N of them on this rank (T/c), D head size, C ranks.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

# Newer versions of torch have renamed it.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


@dataclass(frozen=True)
class Sharing:
    """The ranks that this rank shares its windows with.

    Attributes:
        group: their process group; its members are neighbours in the order of all ranks.
        degree: how many ranks the group has.
        rank: this rank's place in the group, from 0.
    """

    group: dist.ProcessGroup
    degree: int
    rank: int

    @property
    def pieces(self) -> tuple[int, int]:
        """Which two of the window's 2 x degree pieces this rank has, counted from 0."""
        return self.rank, 2 * self.degree - 1 - self.rank

    def positions(self, tokens: int, device: torch.device) -> Int[Tensor, " N"]:
        """The positions that this rank has in a window of `tokens` tokens, which must be a multiple of 2 x degree."""
        pieces = torch.arange(tokens, device=device).chunk(2 * self.degree)
        return torch.cat([pieces[piece] for piece in self.pieces])


def sharing(degree: int, device: torch.device) -> Sharing | None:
    """The group that this rank shares its windows with, or None where degree is 1 and nothing is shared.

    To be called on every rank, because making a group needs all of them.

    Args:
        degree: how many neighbouring ranks share each window; divides the number of ranks.
        device: this rank's device.
    """
    if degree == 1:
        return None
    mesh = init_device_mesh(device.type, (dist.get_world_size() // degree, degree))
    return Sharing(mesh.get_group(1), degree, mesh.get_local_rank(1))


class _Gather(torch.autograd.Function):
    """Stacks the same tensor of all ranks; backward sums the gradients that all ranks have for this rank's tensor."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        whole = local.new_empty(dist.get_world_size(group), *local.shape)
        _all_gather(whole.flatten(0, 1), local.contiguous(), group=group)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        whole = grads[0].contiguous()
        parts = torch.empty_like(whole)
        dist.all_to_all_single(parts, whole, group=ctx.group)
        return parts.sum(0, dtype=torch.float32).to(parts.dtype), None


def whole_window(
    key_BHND: Float[Tensor, "B kv_heads N D"], value_BHND: Float[Tensor, "B kv_heads N D"], sharing: Sharing
) -> Float[Tensor, "2 B kv_heads T D"]:
    """The keys, and the values, of whole windows, of which each rank has its two pieces."""
    local = torch.stack([key_BHND, value_BHND])
    early, late = _Gather.apply(local, sharing.group).chunk(2, dim=-2)  # type: ignore[no-untyped-call]
    # Put the pieces back in the order of the window: rank r holds early piece r and late piece 2c-1-r, so the late
    # ones come from the highest rank to the lowest.
    return torch.cat([*early, *late.flip(0)], dim=-2)
