"""How fast a training run is and how much memory it takes: tokens a second, FLOP/s, share of the peak, peak memory."""

import resource
import sys
import time

import torch

from pi_model.gpus import GPUS
from pi_model.models.families import ModelConfig, head_dim


class Meter:
    """Measures the speed and memory of training steps.

    Args:
        flops: floating-point operations of a training step for each token, see `flops_per_token`.
        world_size: number of processes, each with a device of its own.
        device: this process's device.
    """

    def __init__(self, flops: float, world_size: int, device: torch.device) -> None:
        self._flops = flops
        self._device, self._world_size = device, world_size
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self._peak = next((gpu.bfloat16 for gpu in GPUS.values() if gpu.chip in name), None)
        self._start = time.perf_counter()

    def start(self) -> None:
        """Begin to time a step."""
        self._start = time.perf_counter()

    def stop(self, tokens: int) -> dict[str, float | None]:
        """The speed and memory of the step that ends now.

        Args:
            tokens: how many tokens it had, over all ranks.

        Returns:
            tokens_per_second and tflops over all ranks; flop_utilisation, the share of the devices' bfloat16 peak, None
            where the peak is not known; peak_gib of this process.
        """
        rate = tokens / (time.perf_counter() - self._start)
        flops = rate * self._flops
        return {
            "tokens_per_second": rate,
            "tflops": flops / 1e12,
            "flop_utilisation": flops / (self._peak * self._world_size) if self._peak else None,
            "peak_gib": peak_gib(self._device),
        }


def peak_gib(device: torch.device) -> float:
    """Largest memory so far, in GiB: on a GPU what torch allocated, on a CPU the process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def flops_per_token(config: ModelConfig, context_tokens: int, *, frozen: bool = False) -> float:
    """Floating-point operations of a training step for each token; recomputation does not count.

    Every weight that multiplies takes six, two forward and four backward; a frozen weight takes four, because it has no
    gradient of its own. Attention takes 6 heads head_dim L' in each layer: queries times keys and scores times values
    are two operations each, the causal mask leaves half of the pairs, and backward costs twice what forward does
    (Chowdhery et al. 2022, arXiv:2204.02311, Appendix B, which counts all pairs). Adapters are too small to count.

    Args:
        config: the model's config.
        context_tokens: L', the length of a window.
        frozen: the model's own weights are not trained.
    """
    size = head_dim(config)
    kv_heads = config.num_key_value_heads or config.num_attention_heads
    queries, keys = config.num_attention_heads * size, kv_heads * size
    layer = config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size)
    weights = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    return (4.0 if frozen else 6.0) * weights + 6.0 * config.num_hidden_layers * queries * context_tokens
