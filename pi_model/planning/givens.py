"""The givens of a plan: every number that its formulas start from."""

from dataclasses import dataclass
from typing import Annotated

from pi_model.planning.architectures import Shape
from pi_model.training.config import Checkpointing, Lora


@dataclass(frozen=True)
class Adapters:
    """The sizes of the LoRA adapters of one layer. A run that has any trains them alone."""

    adapted: Annotated[tuple[str, ...], "linear layers that have LoRA adapters; if any do, nothing else is trained"]
    adapters: Annotated[int, "adapters in a layer"]
    rank: Annotated[int, "rank of the adapters"]
    dropout: Annotated[float, "share of the adapters' inputs that is dropped"]
    adapter_inputs: Annotated[int, "numbers a token that the adapters of a layer take"]
    distinct_inputs: Annotated[int, "the same with shared inputs counted once and attention's output left out"]
    adapter_outputs: Annotated[int, "numbers a token that the adapters of a layer give"]
    layer_adapters: Annotated[int, "weights of the adapters of a layer"]


@dataclass(frozen=True)
class Givens(Adapters, Shape):
    """The architecture, its adapters, the run and the hardware, as the formulas name them."""

    gpus: Annotated[int, "GPUs, each with one rank of the run"]
    context_parallel: Annotated[int, "GPUs that share the tokens of each window"]
    micro_batch: Annotated[int, "windows in a forward pass of one GPU"]
    global_batch: Annotated[int, "windows in an optimiser step, over all GPUs"]
    sequence: Annotated[int, "tokens in a training window"]
    context: Annotated[int, "tokens in the extended context window, L'"]
    steps: Annotated[int, "optimiser steps in the run"]
    width: Annotated[int, "bytes of a number in the forward pass"]
    checkpointing: Annotated[Checkpointing, "activation checkpointing: what is computed again in the backward pass"]
    compile: Annotated[bool, "whether each layer is compiled"]
    cuda: Annotated[bool, "whether the run is on a GPU"]
    block: Annotated[int, "tokens whose logits are in memory at a time"]
    memory: Annotated[float, "bytes of memory in the GPU, from its data sheet"]
    usable: Annotated[float, "share of that memory that tensors may take; an assumption"]
    peak_flops: Annotated[float, "FLOP/s of the GPU at its peak, from its data sheet"]
    utilisation: Annotated[float, "share of that peak that the run reaches, recomputation included; an assumption"]
    link: Annotated[float, "bytes/s that a GPU receives from all others, from the data sheet of its machine"]
    window_link: Annotated[float, "bytes/s that it receives from those it shares windows with"]
    checkpoint_every: Annotated[int, "steps between two checkpoints"]
    keep: Annotated[int, "checkpoints that are kept"]
    evaluations: Annotated[int, "times that the model is measured during the run"]
    read_tokens: Annotated[float, "tokens that a GPU reads each time, at most"]
    read_pairs: Annotated[float, "the same, each times the length of the window it stands in"]
    disk: Annotated[float, "bytes/s of the disk to and from a machine; an assumption"]
    tokenizing: Annotated[float, "tokens/s that one core makes of text; an assumption"]


def adapter_sizes(shape: Shape, lora: Lora | None) -> Adapters:
    """The sizes of the adapters that a LoRA makes in each layer of an architecture; all 0 where `lora` is None."""
    hidden, intermediate, queries, keys = shape.hidden, shape.intermediate, shape.queries, shape.keys
    # The input of each linear layer, its size, and the size of the output.
    linear = {
        "q_proj": ("attention's input", hidden, queries),
        "k_proj": ("attention's input", hidden, keys),
        "v_proj": ("attention's input", hidden, keys),
        "o_proj": ("attention's output", queries, hidden),
        "gate_proj": ("the MLP's input", hidden, intermediate),
        "up_proj": ("the MLP's input", hidden, intermediate),
        "down_proj": ("the MLP's product", intermediate, hidden),
    }
    adapted = tuple(dict.fromkeys(lora.targets)) if lora else ()
    rank = lora.rank if lora else 0
    takes = sum(linear[name][1] for name in adapted)
    gives = sum(linear[name][2] for name in adapted)
    distinct = {linear[name][:2] for name in adapted}
    return Adapters(
        adapted=adapted,
        adapters=len(adapted),
        rank=rank,
        dropout=lora.dropout if lora else 0.0,
        adapter_inputs=takes,
        distinct_inputs=sum(size for name, size in distinct if name != "attention's output"),
        adapter_outputs=gives,
        layer_adapters=rank * (takes + gives),
    )
