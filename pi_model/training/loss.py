"""Next-token loss without the logits of the whole sequence.

float32 logits of 32768 tokens over 32000 words are 4 GiB, and as much again for their gradient. Here the LM head and
the cross entropy go over a block of tokens at a time, and each block's gradient is taken while its logits are still
there: the products are those of the plain loss, and nothing is computed twice. torch's own linear_cross_entropy (2.13)
in chunks takes three to six times as long on a CPU at SmolLM2's head, and no less at small ones, so it is not used.

Shape suffixes: N tokens, B windows, D model width, V vocabulary; next is a window's tokens and the one after them.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from pi_model.distributed.context_parallel import Sharing

# Tokens whose logits exist at a time: no slower on a CPU (V = 49152, D = 576) than all at once; few launches on a GPU.
BLOCK_TOKENS = {"cpu": 256, "cuda": 1024}


class _LinearCrossEntropy(torch.autograd.Function):
    """Weighted cross entropy of ``hidden @ weight.T`` against targets, with the gradient found in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, share_N: Tensor, block: int
    ) -> Tensor:
        for_hidden, for_weight = ctx.needs_input_grad[:2]
        grad_ND = torch.empty_like(hidden_ND) if for_hidden else None
        grad_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if for_weight else None
        total = torch.zeros((), device=hidden_ND.device)
        for start in range(0, len(target_N), block):
            rows = slice(start, start + block)
            logits = (hidden_ND[rows] @ weight_VD.T).float()
            lse = logits.logsumexp(-1, keepdim=True)
            total += ((lse - logits.gather(1, target_N[rows, None])) * share_N[rows, None]).sum()
            if grad_ND is None and grad_VD is None:
                continue
            # softmax - one-hot, in the place of the logits
            slope = logits.sub_(lse).exp_()
            slope.scatter_add_(1, target_N[rows, None], slope.new_full((len(slope), 1), -1.0))
            slope = slope.mul_(share_N[rows, None]).to(weight_VD.dtype)
            if grad_ND is not None:
                grad_ND[rows] = slope @ weight_VD
            if grad_VD is not None and weight_VD.dtype == torch.float32:
                grad_VD.addmm_(slope.T, hidden_ND[rows])
            elif grad_VD is not None:
                grad_VD += slope.T @ hidden_ND[rows]
        ctx.save_for_backward(grad_ND, grad_VD.to(weight_VD.dtype) if grad_VD is not None else None)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grad_ND, grad_VD = (None if found is None else found * grads[0] for found in ctx.saved_tensors)
        return grad_ND, grad_VD, None, None, None


def linear_cross_entropy(
    hidden_ND: Float[Tensor, "N D"],
    weight_VD: Float[Tensor, "V D"],
    target_N: Int[Tensor, " N"],
    block: int | None = None,
    share_N: Float[Tensor, " N"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over tokens of -log softmax(hidden weight^T)[target], in nats, float32.

    Args:
        block: tokens whose logits exist at a time; None chooses by device.
        share_N: each token's weight in the mean; None weighs all alike.
    """
    block = block or BLOCK_TOKENS[hidden_ND.device.type]
    if share_N is None:
        share_N = torch.full(target_N.shape, 1 / len(target_N), device=target_N.device)
    loss: Tensor = _LinearCrossEntropy.apply(hidden_ND, weight_VD, target_N, share_N, block)  # type: ignore[no-untyped-call]
    return loss


class CausalLoss(nn.Module):
    """A LLaMA from tokens to loss: what is sharded, called and differentiated in training.

    The LM head's weight is used and the head is not called, so the loss has to be inside the module that gathers it.

    Args:
        sharing: the ranks that the tokens of each window are shared with; None where this rank has them all.
    """

    def __init__(self, llama: LlamaForCausalLM, sharing: Sharing | None = None) -> None:
        super().__init__()
        self.llama, self.sharing = llama, sharing

    @property
    def attention(self) -> str:
        """transformers' name of the attention in use."""
        return str(self.llama.config._attn_implementation)

    def forward(self, window_BT: Int[Tensor, "B next"]) -> Float[Tensor, ""]:
        """Mean loss in nats of predicting tokens [1:] of each window from those before them.

        A token t that is only read and whose prediction does not count stands in a window as ~t < 0. The loss is each
        window's mean over what counts in it, and the mean of these over windows: the same however a batch is divided.
        Ranks that share windows each have a part of it; its mean over them is the whole.
        """
        counts_BT = window_BT[:, 1:] >= 0
        share_BT = counts_BT / counts_BT.sum(1, keepdim=True).clamp(min=1) / len(window_BT)
        ids_BT = torch.where(window_BT < 0, ~window_BT, window_BT)
        inputs_BT, targets_BT, where = ids_BT[:, :-1], ids_BT[:, 1:], {}
        if self.sharing is not None:
            own = self.sharing.positions(inputs_BT.shape[1], inputs_BT.device)
            inputs_BT, targets_BT, share_BT = (of[:, own] for of in (inputs_BT, targets_BT, share_BT))
            share_BT = share_BT * self.sharing.degree
            where = {"position_ids": own[None], "sharing": self.sharing}
        hidden = self.llama.model(input_ids=inputs_BT, use_cache=False, **where).last_hidden_state
        return linear_cross_entropy(
            hidden.flatten(0, 1), self.llama.lm_head.weight, targets_BT.flatten(), share_N=share_BT.flatten()
        )
