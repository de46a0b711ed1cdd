"""Next-token loss that never holds the logits of the whole sequence.

The float32 logits of 32768 tokens over a vocabulary of 32000 take 4 GiB, and their gradient takes as much again. Here
the LM head and the cross entropy are computed for one block of tokens at a time, and the block's gradient while its
logits are still there. The matrix products are those of the plain loss, and nothing is computed twice. torch's own
linear_cross_entropy (2.13) in chunks is not used: on a CPU it takes three to six times as long with SmolLM2's head, and
is no faster with small ones.

Shape suffixes: N tokens, B windows, D model width, V vocabulary; next is a window's tokens and the one after them.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from pi_model.distributed.context_parallel import Sharing
from pi_model.models.families import CausalLM

# Number of tokens in a block. On a CPU such blocks are no slower than all tokens at once (V = 49152, D = 576); on a GPU
# larger ones keep the number of kernel launches small.
BLOCK_TOKENS = {"cpu": 256, "cuda": 1024}


class _LinearCrossEntropy(torch.autograd.Function):
    """Weighted cross entropy of ``hidden @ weight.T`` against targets; the forward pass computes the gradient, too."""

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
            # The gradient of the loss with respect to the logits, softmax - one-hot, takes the place of the logits.
            slope = logits.sub_(lse).exp_()
            slope.scatter_add_(1, target_N[rows, None], slope.new_full((len(slope), 1), -1.0))
            slope = slope.mul_(share_N[rows, None]).to(weight_VD.dtype)
            if grad_ND is not None:
                grad_ND[rows] = slope @ weight_VD
            if grad_VD is not None and weight_VD.dtype == torch.float32:
                grad_VD.addmm_(slope.T, hidden_ND[rows])
            elif grad_VD is not None:
                grad_VD += slope.T @ hidden_ND[rows]
        # Not saved as tensors are, which have to stay as they were: these are scaled in place and handed on, because a
        # copy of the head's gradient would be made while all activations are still there.
        ctx.gradients = grad_ND, grad_VD.to(weight_VD.dtype) if grad_VD is not None else None
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grad_ND, grad_VD = (None if found is None else found.mul_(grads[0]) for found in ctx.gradients)
        del ctx.gradients
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
        hidden_ND: the model's last hidden states.
        weight_VD: the LM head's weight.
        target_N: the token id that each hidden state is to predict.
        block: number of tokens whose logits exist at a time; None suits the device.
        share_N: each token's weight in the mean; None weighs all tokens alike.
    """
    block = block or BLOCK_TOKENS[hidden_ND.device.type]
    if share_N is None:
        share_N = torch.full(target_N.shape, 1 / len(target_N), device=target_N.device)
    loss: Tensor = _LinearCrossEntropy.apply(hidden_ND, weight_VD, target_N, share_N, block)  # type: ignore[no-untyped-call]
    return loss


class CausalLoss(nn.Module):
    """A model together with its loss: the module that training shards, calls and differentiates.

    The loss uses the LM head's weight without calling the head. So it has to be inside the module for which FSDP
    gathers that weight.

    Args:
        llama: the model.
        sharing: the ranks that share the tokens of each window with this one; None if this rank has whole windows.
    """

    def __init__(self, llama: CausalLM, sharing: Sharing | None = None) -> None:
        super().__init__()
        self.llama, self.sharing = llama, sharing

    @property
    def attention(self) -> str:
        """The attention in use, by the name that transformers knows it under."""
        return str(self.llama.config._attn_implementation)

    def forward(
        self, window_BT: Int[Tensor, "B next"], *, instead: Callable[[CausalLM], None] | None = None
    ) -> Float[Tensor, ""]:
        """Mean loss in nats of predicting tokens [1:] of each window from the tokens before them.

        A token t that is read without loss stands in a window as ~t, which is negative. The loss is the mean over
        windows of each window's mean over the tokens that count, so it does not depend on how a batch is divided. If
        ranks share windows, each computes a part of the loss, and the mean over these ranks is the whole.

        Args:
            window_BT: token ids, one more than the model reads.
            instead: called with the model in place of all this, while the weights that the loss uses are gathered.
        """
        if instead is not None:
            instead(self.llama)
            return torch.zeros((), device=window_BT.device)
        counts_BT = window_BT[:, 1:] >= 0
        share_BT = counts_BT / counts_BT.sum(1, keepdim=True).clamp(min=1) / len(window_BT)
        ids_BT = torch.where(window_BT < 0, ~window_BT, window_BT)
        inputs_BT, targets_BT, where = ids_BT[:, :-1], ids_BT[:, 1:], {}
        if self.sharing is not None:
            own = self.sharing.positions(inputs_BT.shape[1], inputs_BT.device)
            inputs_BT, targets_BT, share_BT = (of[:, own] for of in (inputs_BT, targets_BT, share_BT))
            share_BT = share_BT * self.sharing.degree
            where = {"position_ids": own[None], "sharing": self.sharing}
        head = self.llama.lm_head.weight
        inputs = {"input_ids": inputs_BT}
        if self.llama.config.tie_word_embeddings:
            # The tied weight is read once: its two gradients add up before they are cast, as they do under FSDP.
            inputs = {"inputs_embeds": F.embedding(inputs_BT, head, self.llama.model.embed_tokens.padding_idx)}
        hidden = self.llama.model(**inputs, use_cache=False, **where).last_hidden_state
        return linear_cross_entropy(hidden.flatten(0, 1), head, targets_BT.flatten(), share_N=share_BT.flatten())
