"""Forward and backward passes in one dtype with weights that stay in another, for a process with whole weights.

FSDP brings this with it (`MixedPrecisionPolicy`). Without FSDP a module's weight becomes a property that casts the
parameter where it is used, as torchtitan's SimpleFSDP does. The parameters keep their names and their dtype for state
dict and optimiser, autograd casts their gradients back, and these add up in the parameters' dtype. A cast weight lives
as long as its layer's activations, so with activation checkpointing it goes with them and is made again with them.
"""

from functools import cache

import torch
from torch import nn


def compute_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast each weight of a module and of those inside it to `dtype` where it is used; twice is as good as once."""
    for one in module.modules():
        names = tuple(name for name, _ in one.named_parameters(recurse=False) if getattr(one, name).dtype != dtype)
        if names:
            one.__class__ = _casting(type(one), names, dtype)  # type: ignore[arg-type]  # mypy: no class is hashable


@cache  # equal modules keep one class, so that torch.compile need not compile each of them
def _casting(kind: type[nn.Module], names: tuple[str, ...], dtype: torch.dtype) -> type[nn.Module]:
    """A subclass whose parameters of these names are seen in `dtype`."""

    def cast(name: str) -> property:
        return property(lambda module: module._parameters[name].to(dtype))

    return type(kind.__name__, (kind,), {name: cast(name) for name in names})
