"""The record of a training run that is exported with its model: config, data, environment and course of the loss."""

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
    """The record of a run as JSON values.

    Args:
        config: the run.
        data_sha256: for each source the hash of its documents' names and tokens.
        out: the run's folder, which holds its logs.

    Returns:
        The config, the hashes, the environment, and the evaluations that were made during training. ``loss_nats`` has
        at most a hundred means over equal stretches of steps, each under the last step of its stretch.
        ``training_seconds`` does not count evaluations and start-up.
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
