"""The table that stands before the first step of a run: what is trained, on how much, and what it takes."""

import os
from typing import TYPE_CHECKING

from pi_model.errors import UsageError
from pi_theory.console import counted, wrap

if TYPE_CHECKING:
    from pi_model.training.config import Config
    from pi_model.training.preparation import Preparation

_MANY = 10  # epochs; above this a model of a few windows learns them by heart


def run_table(config: "Config", start: "Preparation") -> str:
    """The table as text, a row a line or more.

    Args:
        config: the run; its device has been chosen.
        start: what it starts from.
    """
    rows = {
        "model": config.model or "a new one, with random weights",
        "window": _window(config, start),
        "training": _training(config),
        "data": "; ".join(_data(config, start)),
        **_takes(config, start),
        "evaluation": _evaluation(config),
    }
    indent = max(map(len, rows)) + 4
    return "\n".join(wrap(text, " " * indent, f"  {name:<{indent - 2}}") for name, text in rows.items())


def _window(config: "Config", start: "Preparation") -> str:
    from pi_model.models.config_file import read_config
    from pi_model.models.rope_parameters import read_extension
    from pi_model.training.starting_point import window_change

    if config.model is None:
        return f"{config.window_tokens} tokens"
    before = read_extension(
        read_config(start.origin), window_tokens=config.trained_window, context_tokens=config.window_tokens
    )
    return f"{window_change(before, config)} ({before.stated})"


def _training(config: "Config") -> str:
    tokens = config.global_batch * config.training_tokens
    windows = f"{counted(config.global_batch, 'window')} of {config.training_tokens} tokens"
    return (
        f"{counted(config.steps, 'step')} of {windows}: {tokens:,} tokens a step, {config.steps * tokens:,} in all; "
        f"learning rate {config.peak_lr:g}"
    )


def _data(config: "Config", start: "Preparation") -> list[str]:
    """Each source with the epochs that the run makes over it."""
    told = []
    for part, stream, times in zip(config.data, start.batches.streams, epochs(config, start), strict=True):
        many = f" (each text {times:.0f} times; fewer steps or more text may be meant)" if times > _MANY else ""
        less = f", without one in {part.held_out_every} documents" if part.held_out_every else ""
        told.append(f"{part.name}{less}: {times:.3g} epochs of {counted(stream.windows, 'window')}{many}")
    return told


def epochs(config: "Config", start: "Preparation") -> list[float]:
    """How often a run reads each of its sources."""
    whole = sum(part.weight for part in config.data)
    return [
        config.steps * config.global_batch * part.weight / whole / stream.windows
        for part, stream in zip(config.data, start.batches.streams, strict=True)
    ]


def _takes(config: "Config", start: "Preparation") -> dict[str, str]:
    """Parameters, hardware, memory and time, as far as the planner can say."""
    from pi_model import planning
    from pi_model.gpus import GPUS

    shape = planning.Shape.of(start.hf_config())
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    chip = _chip(config)
    gpu = next((gpu for gpu in GPUS.values() if gpu.chip in chip), None) if chip else None
    whole = shape.layers * shape.layer_parameters + shape.root_parameters
    rows = {
        "parameters": f"all {whole:,}",
        "device": f"{chip or 'cpu'}, {config.dtype}, {processes} process{'es' * (processes > 1)}",
    }
    if config.lora is not None:
        adapters = shape.layers * planning.adapter_sizes(shape, config.lora).layer_adapters
        rows["parameters"] = f"{adapters:,} of LoRA of rank {config.lora.rank}, beside {whole:,} that stay as they are"
    try:
        planned = planning.plan(config, shape, gpu or next(iter(GPUS.values())), processes)
    except UsageError:  # There are no formulas for such a run.
        return rows
    rows["memory"] = f"{planned.peak_gib:.2g} GiB of tensors planned in each process"
    if gpu is not None:
        share = f"{planned.sheet.utilisation:.0%} of its peak"
        rows["time"] = f"about {planned.sheet.run_time:.2g} hours, if the GPU reaches {share}, and the evaluation"
    return rows


def _chip(config: "Config") -> str | None:
    """The name of the GPU; None on the CPU."""
    import torch

    return torch.cuda.get_device_name() if config.device == "cuda" else None


def _evaluation(config: "Config") -> str:
    asked = config.evaluation
    what = []
    if asked.data is not None:
        each = f"one in {asked.held_out_every} documents of " if asked.held_out_every else ""
        windows = " and ".join(map(str, asked.windows))
        what.append(f"perplexity on {each}{asked.data} in windows of {windows} tokens")
    if asked.passkey_positions:
        what.append(f"{asked.passkey_positions * asked.passkey_trials} passkeys in {config.context_tokens} tokens")
    steps = [step for step in asked.steps if step <= config.steps]
    if not (what and steps):
        return "none"
    return f"{' and '.join(what)}, at step {' and '.join(map(str, steps))}"
