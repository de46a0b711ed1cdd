"""How fast a training run is and how much memory it takes: tokens a second, FLOP/s, share of the peak, peak memory."""

import gc
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.profiler import ProfilerActivity, profile

from pi_model.distributed import ranks
from pi_model.files import written
from pi_model.gpus import GPUS
from pi_model.models.families import ModelConfig, head_dim

_STEPS_BETWEEN_COLLECTIONS = 50


class Meter:
    """Measures the speed and memory of training steps, and which rank holds the others up.

    All ranks end a step together, so their times for it are equal whichever of them is slow. What tells them apart is
    the time that each spends on its own: for its windows, and in feed-forward layers, which wait for nobody.

    Args:
        flops: floating-point operations of a training step for each token, see `flops_per_token`.
        device: this process's device.
        own: modules that compute without the other ranks; watched if there are any.
    """

    def __init__(self, flops: float, device: torch.device, own: Iterable[nn.Module] = ()) -> None:
        self._flops = flops
        self._device = device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self._peak = next((gpu.bfloat16 for gpu in GPUS.values() if gpu.chip in name), None)
        self._start = time.perf_counter()
        self._read = 0.0
        self._times: list[Any] = []
        self._names = ranks.everyone(ranks.called())
        if len(self._names) > 1:
            for module in own:
                module.register_forward_pre_hook(self._note)
                module.register_forward_hook(self._note)

    def _note(self, *_: Any) -> None:
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._times.append(event)
        else:
            self._times.append(time.perf_counter())

    def start(self) -> None:
        """Begin to time a step."""
        self._start = time.perf_counter()
        self._times.clear()

    def read(self) -> None:
        """This rank has its windows."""
        self._read = time.perf_counter() - self._start

    def stop(self, tokens: int, *flags: bool) -> tuple[dict[str, Any], list[bool]]:
        """The speed and memory of the step that ends now. To be called on every rank.

        Args:
            tokens: how many tokens it had, over all ranks.
            flags: what any rank may have to tell the others.

        Returns:
            tokens_per_second and tflops over all ranks; flop_utilisation, the share of the devices' bfloat16 peak, None
            where the peak is not known; peak_gib, the largest of all ranks. With several ranks also, by rank,
            own_seconds and rank_peak_gib, and slowest, the name of the rank with most seconds of its own. Then, of each
            flag, whether any rank has raised it.
        """
        rate = tokens / (time.perf_counter() - self._start)
        flops = rate * self._flops
        own = self._read + sum(map(self._between, self._times[::2], self._times[1::2]))
        by_rank = self._gathered([own, peak_gib(self._device), *map(float, flags)])
        peaks = [row[1] for row in by_rank]
        line: dict[str, Any] = {
            "tokens_per_second": rate,
            "tflops": flops / 1e12,
            "flop_utilisation": flops / (self._peak * len(by_rank)) if self._peak else None,
            "peak_gib": max(peaks),
        }
        if len(by_rank) > 1:
            seconds = [row[0] for row in by_rank]
            line |= {
                "slowest": self._names[seconds.index(max(seconds))],
                "own_seconds": [round(one, 4) for one in seconds],
                "rank_peak_gib": [round(one, 3) for one in peaks],
            }
        return line, [any(row[2 + number] for row in by_rank) for number in range(len(flags))]

    def _between(self, first: Any, last: Any) -> float:
        """Seconds from one note to another."""
        return first.elapsed_time(last) / 1e3 if self._device.type == "cuda" else last - first

    def _gathered(self, own: list[float]) -> list[list[float]]:
        """The numbers of every rank."""
        if len(self._names) == 1:
            return [own]
        row = torch.tensor(own, dtype=torch.float64)  # over gloo, without a GPU's wait
        rows = row.new_empty(len(self._names), len(own))
        dist.all_gather(list(rows), row)
        return rows.tolist()


@contextmanager
def profiled(path: Path) -> Iterator[None]:
    """Write what the block did on processor and GPU as a trace, which chrome://tracing and Perfetto show.

    Args:
        path: the file, in JSON; a folder that is missing is made.

    Raises:
        RunError: it cannot be written.
    """
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
    with profile(activities=kinds) as trace:
        yield
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        trace.export_chrome_trace(str(path))


@contextmanager
def collected_together() -> Iterator[Callable[[int], None]]:
    """Within the block Python collects garbage only where the function that is yielded is called, each 50 steps.

    Else each rank would stop at a step of its own for it, and all the others would wait for that rank each time.
    """

    def collect(step: int) -> None:
        if step % _STEPS_BETWEEN_COLLECTIONS == 0:
            gc.collect()

    before = gc.isenabled()
    gc.disable()
    try:
        yield collect
    finally:
        if before:
            gc.enable()


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
