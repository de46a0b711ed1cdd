"""A plan: the memory, arithmetic and time of a training run, before it is paid for."""

from dataclasses import dataclass
from typing import Any

from pi_model.errors import UsageError
from pi_model.gpus import Gpu, link
from pi_model.planning.architectures import Shape
from pi_model.planning.givens import adapter_sizes
from pi_model.planning.memory import Memory
from pi_model.planning.peaks import Peaks
from pi_model.planning.speed import Speed
from pi_model.planning.surroundings import Surroundings
from pi_model.training.config import Config

# `pi_model.training.loss.BLOCK_TOKENS`, which is not imported because it imports torch.
_BLOCK_TOKENS = {"cpu": 256, "cuda": 1024}

# Share of a GPU's memory that tensors may take. The CUDA context, NCCL's buffers and fragmentation take the rest. This
# is an assumption. On one H100 alone, a step with 66.49 GiB of tensors ran, 0.89 of its 80 GB.
USABLE = 0.9

# Share of the data sheet's peak arithmetic that a run reaches, with recomputation counted as work. These are
# assumptions for the models of the paper, 7B and larger. Steps of one window on one H100, in bfloat16, reached 0.31 to
# 0.39 at 1B parameters for 8192 to 32768 tokens, and 0.44 with compiled layers at 16384; at 135M it was 0.07 to 0.30.
# No other GPU was measured, and no traffic between GPUs, so less is assumed than was reached. LLaMA 65B was trained at
# 380 tokens a second on each A100 (arXiv:2302.13971, Section 2.4), which is 0.48 without recomputation.
UTILISATION = 0.33
UTILISATION_COMPILED = 0.39
UTILISATION_SPREAD = 0.03  # by which it may be less or more

# Speeds of what is around the steps: assumptions, too. A shared file system gives a machine about this much, and a
# fast tokenizer makes about so many tokens a second on one core.
_DISK = 1e9
_TOKENIZING = 0.5e6


class Sheet(Peaks, Surroundings):
    """All quantities of a plan, each computed from the givens when it is first asked for."""


# The classes whose quantities are printed, in this order, under these headings.
PARTS = {
    "Memory on each GPU": Memory,
    "Peak memory on each GPU": Peaks,
    "Arithmetic and time": Speed,
    "Around the steps": Surroundings,
}


@dataclass(frozen=True)
class Plan:
    """What a run takes on a number of GPUs."""

    config: Config
    gpu: Gpu
    sheet: Sheet

    @property
    def gpus(self) -> int:
        """Number of GPUs."""
        return self.sheet.gpus

    @property
    def fits(self) -> bool:
        """Whether each GPU has room for its share."""
        return self.sheet.peak <= self.sheet.room

    @property
    def peak_gib(self) -> float:
        """The most memory that tensors take on a GPU, in GiB."""
        return self.sheet.peak / 2**30

    @property
    def room_gib(self) -> float:
        """The memory of a GPU that tensors may take, in GiB."""
        return self.sheet.room / 2**30


def plan(
    config: Config, shape: Shape, gpu: Gpu, gpus: int, *, utilisation: float | None = None, usable: float = USABLE
) -> Plan:
    """Plan a run on a number of GPUs, with its config as it is.

    Args:
        config: The run.
        shape: The architecture of its model.
        gpu: The kind of GPU.
        gpus: Any number of them, also one that cannot share the global batch evenly.
        utilisation: Share of the peak arithmetic that the run reaches, above 0 and at most 1; None assumes one.
        usable: Share of a GPU's memory that tensors may take, above 0 and at most 1.

    Raises:
        UsageError: A share or the number of GPUs is out of range.
    """
    if utilisation is None:
        utilisation = UTILISATION_COMPILED if compile_measured(config) and config.compile else UTILISATION
    for name, share in (("utilisation", utilisation), ("usable", usable)):
        if not 0 < share <= 1:
            raise UsageError(f"{name}: must be above 0 and at most 1, got {share}")
    if gpus < 1:
        raise UsageError(f"gpus: must be at least 1, got {gpus}")
    bfloat16 = config.dtype == "bfloat16"
    sheet = Sheet(
        **vars(shape),
        **vars(adapter_sizes(shape, config.lora)),
        gpus=gpus,
        context_parallel=config.context_parallel,
        micro_batch=config.micro_batch,
        global_batch=config.global_batch,
        sequence=config.training_tokens,
        context=config.context_tokens,
        steps=config.steps,
        width=2 if bfloat16 else 4,
        checkpointing=config.activation_checkpointing,
        compile=config.compile,
        cuda=config.device == "cuda",
        block=_BLOCK_TOKENS["cuda" if config.device == "cuda" else "cpu"],
        memory=gpu.memory,
        usable=usable,
        peak_flops=gpu.bfloat16 if bfloat16 else gpu.float32,
        utilisation=utilisation,
        link=link(gpu, gpus),
        window_link=link(gpu, config.context_parallel),
        checkpoint_every=config.checkpoint_every,
        keep=config.keep,
        **_evaluated(config, gpus),
        disk=_DISK,
        tokenizing=_TOKENIZING,
    )
    return Plan(config, gpu, sheet)


def compile_measured(config: Config) -> bool:
    """Whether a run is of the kind in which compiled layers were measured: bfloat16 on a GPU, everything kept."""
    plain = config.lora is None and config.context_parallel == 1 and config.activation_checkpointing == "none"
    return plain and config.device == "cuda" and config.dtype == "bfloat16"


def _evaluated(config: Config, gpus: int) -> dict[str, Any]:
    """How often a run measures its model, and how much each GPU reads for it.

    GPUs share the windows of the perplexity and the passkeys. A document is taken to have as many tokens as are read of
    one at most, or four of the longest windows.
    """
    asked = config.evaluation
    read = [(config.context_tokens, asked.passkey_positions * asked.passkey_trials / gpus)]
    if asked.data is not None and asked.windows:
        document = asked.max_tokens or 4 * max(asked.windows)
        for window in asked.windows:
            passes = -(-max(document - window, 0) // asked.stride) + 1
            read.append((min(window, document), passes * asked.samples / gpus))
    return {
        "evaluations": len(asked.steps),
        "read_tokens": sum(length * count for length, count in read),
        "read_pairs": sum(length**2 * count for length, count in read),
    }
