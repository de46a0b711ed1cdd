"""The record of a training run that its exported folder carries: what was trained on what, where, and how it went."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from pi_model.training.config import Config
from pi_model.training.run_log import read_log

_PACKAGES = ("torch", "transformers", "tokenizers")


def training_record(config: Config, data_sha256: list[str], out: Path) -> dict[str, Any]:
    """Config, hashes of the documents, environment, loss and evaluations of a run, as JSON values.

    Args:
        config: the run.
        data_sha256: of the documents' names and tokens, source by source.
        out: the run's folder, which holds its logs.

    Returns:
        ``loss_nats`` holds at most a hundred means over equal stretches, each at its last step; ``training_seconds``
        leaves evaluation and start-up out.
    """
    steps = read_log(out / "steps.jsonl")
    tokens = config.global_batch * config.training_tokens
    stretch = max(1, -(-len(steps) // 100))
    parts = [steps[start : start + stretch] for start in range(0, len(steps), stretch)]
    return {
        "config": config.as_json(),
        "data_sha256": data_sha256,
        "environment": {
            "device": _device(config.device),
            "processes": dist.get_world_size(),
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "tokens": config.steps * tokens,
        "training_seconds": round(sum(tokens / line["tokens_per_second"] for line in steps), 1),
        "loss_nats": {str(part[-1]["step"]): sum(line["loss_nats"] for line in part) / len(part) for part in parts},
        "evaluations": read_log(out / "evaluations.jsonl"),
    }


def _device(kind: str) -> str:
    if kind == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
