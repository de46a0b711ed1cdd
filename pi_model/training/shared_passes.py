"""Evaluate a sharded model as it is: ranks gather each layer together, and each reads other windows.

Every pass of a rank gathers the layers from all ranks, so all must make passes as long as one has windows left. Before
each pass they agree on whether any has; one that has none reads a single token and forgets it.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule

from pi_model.distributed import ranks
from pi_model.models.families import CausalLM
from pi_model.training.loss import CausalLoss


def evaluated(model: CausalLoss, measure: Callable[[CausalLM], None]) -> None:
    """Call a function with the model inside, in evaluation mode, while its shards stay where they are.

    The function shares its work with the other ranks and joins the results by `ranks.join`, as perplexity and passkeys
    do. To be called on every rank.

    Args:
        model: the model in training, sharded.
        measure: the function; it may only read the model.
    """
    llama = model.llama
    device = next(model.parameters()).device
    trained, forward = llama.config._attn_implementation, llama.model.forward

    def agreed(working: bool) -> bool:
        """Whether any rank makes a pass of its own now."""
        flag = torch.tensor(float(working), device=device)
        dist.all_reduce(flag)
        return bool(flag > 0)

    def together(**inputs: Any) -> Any:
        # What FSDP allocates here is used in training as well, which tensors of the inference mode cannot be.
        with torch.inference_mode(False), torch.no_grad():
            agreed(True)
            return forward(**inputs)

    def help_others() -> None:
        with torch.inference_mode(False), torch.no_grad():
            while agreed(False):
                forward(input_ids=torch.zeros(1, 1, dtype=torch.int64, device=device), use_cache=False)

    llama.eval()  # type: ignore[no-untyped-call]  # for all families, not for one
    # Ranks that train on parts of windows read whole ones here.
    llama.config._attn_implementation = "sdpa"
    llama.model.forward = together
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"), ranks.before_joining(help_others):
            model(torch.zeros(1, 2, dtype=torch.int64, device=device), instead=measure)
    finally:
        del llama.model.forward
        llama.config._attn_implementation = trained
        llama.train()
    cast(FSDPModule, model).reshard()
