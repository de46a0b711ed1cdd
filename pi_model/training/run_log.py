"""What a run says as it goes: one JSON line a step and an evaluation, a bar on a terminal."""

import importlib.util
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import LlamaConfig

from pi_model.errors import RunError
from pi_model.files import write_text
from pi_model.planning.gpus import GPUS


class Log:
    """A file of JSON lines, one a step, which a resumed run goes on from; the same numbers go to TensorBoard.

    Args:
        path: of the file.
        steps_done: lines of later steps are dropped: a killed run may have got further than its last checkpoint.
        scalars: where the numbers go as well.
    """

    def __init__(self, path: Path, steps_done: int, scalars: "Scalars") -> None:
        self.path, self._scalars = path, scalars
        kept = [line for line in read_log(path) if line["step"] <= steps_done] if path.exists() else []
        for line in kept:
            scalars.write(path.stem, line)
        self.steps = {line["step"] for line in kept}
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        self._scalars.write(self.path.stem, line)


class Scalars:
    """The numbers of the logs for TensorBoard, where its package is installed; nothing where it is not.

    Args:
        folder: of the event files. What earlier commands wrote there is no longer shown, because a kill loses some of
            it: the logs write all their lines anew.
    """

    installed = importlib.util.find_spec("tensorboard") is not None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def write(self, log: str, line: dict[str, Any]) -> None:
        """Every number of a log's line as ``log/name``, and of a table in it as ``log/name/key``."""
        if not self.installed:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self._folder, purge_step=0)
        for name, value in line.items():
            table = {f"/{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {"": value}
            for key, number in table.items():
                if name != "step" and number is not None:
                    self._writer.add_scalar(f"{log}/{name}{key}", number, line["step"])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last one that a kill cut short is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except ValueError as error:
        raise RunError(f"{path}: not a log: {error}; remove it, the checkpoints do not need it") from error


class Display:
    """A bar on a terminal; one line a step where standard error is not one.

    Args:
        steps, done: of the run, and those behind it.
        show: False says nothing.
    """

    def __init__(self, steps: int, done: int, *, show: bool) -> None:
        self._bar = tqdm(total=steps, initial=done, unit="step", disable=not (show and sys.stderr.isatty()))
        self._lines = show and not sys.stderr.isatty()
        self._steps = steps

    def step(self, line: dict[str, Any]) -> None:
        text = (
            f"loss {line['loss_nats']:.4f}, {line['tokens_per_second']:.0f} tok/s, "
            f"{line['tflops']:.2f} TFLOP/s, {line['peak_gib']:.1f} GiB"
        )
        if line["flop_utilisation"] is not None:
            text += f", {line['flop_utilisation']:.0%} MFU"
        self._bar.set_postfix_str(text)
        self._bar.update()
        if self._lines:
            rate = f"{line['learning_rate']:.2e}, gradient norm {line['gradient_norm']:.3f}"
            print(f"step {line['step']}/{self._steps}: {text}, learning rate {rate}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        if self._lines:
            print(text, file=sys.stderr, flush=True)
        elif not self._bar.disable:
            self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()


class Meter:
    """Speed and memory of steps.

    Args:
        flops: of a training step for each token.
        world_size: processes, each with a device of its own.
    """

    def __init__(self, flops: float, world_size: int, device: torch.device) -> None:
        self._flops = flops
        self._device, self._world_size = device, world_size
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self._peak = next((gpu.bfloat16 for gpu in GPUS.values() if gpu.chip in name), None)
        self._start = time.perf_counter()

    def start(self) -> None:
        self._start = time.perf_counter()

    def stop(self, tokens: int) -> dict[str, float | None]:
        """What a step of so many tokens, over all ranks, was like."""
        rate = tokens / (time.perf_counter() - self._start)
        flops = rate * self._flops
        return {
            "tokens_per_second": rate,
            "tflops": flops / 1e12,
            "flop_utilisation": flops / (self._peak * self._world_size) if self._peak else None,
            "peak_gib": peak_gib(self._device),
        }


def peak_gib(device: torch.device) -> float:
    """Largest memory so far: allocated on a GPU, resident of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def flops_per_token(config: LlamaConfig, context_tokens: int, *, frozen: bool = False) -> float:
    """Floating-point operations of a training step for each token, recomputation not counted.

    Six for every weight that multiplies (forward 2, backward 4), and for attention 6 heads head_dim L' a layer: queries
    by keys and scores by values, 2 operations each, half of the pairs, three times (Chowdhery et al. 2022,
    arXiv:2204.02311, Appendix B, with the causal half taken off). Four for every weight that is frozen, which has no
    gradient of its own; adapters are too small to count.
    """
    head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
    kv_heads = config.num_key_value_heads or config.num_attention_heads
    queries, keys = config.num_attention_heads * head_dim, kv_heads * head_dim
    layer = config.hidden_size * (2 * queries + 2 * keys + 3 * config.intermediate_size)
    weights = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    return (4.0 if frozen else 6.0) * weights + 6.0 * config.num_hidden_layers * queries * context_tokens
