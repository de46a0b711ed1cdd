"""What tests of planning share: small models, a config of a run, GPUs, and the steps that were measured on one."""

from typing import Any

from pi_model.gpus import GPUS
from pi_model.models.families import ModelConfig, model_config
from pi_model.training.config import Architecture, Config, MixturePart

A100, H100 = GPUS["a100-80"], GPUS["h100"]

# The models of `experiments.bench.gpu`.
BENCHED = {
    "135M": Architecture(vocabulary=49152, hidden=576, intermediate=1536, layers=30, heads=9, kv_heads=3),
    "1B": Architecture(vocabulary=32000, hidden=2048, intermediate=8192, layers=16, heads=32, kv_heads=8),
}

# Steps of one window in bfloat16 on one H100 80GB, from `python -m experiments.bench gpu` (torch 2.11, 2026-11-26): by
# model, tokens, activation checkpointing and whether layers were compiled, the peak of torch's allocator in GiB, and
# the share of the data sheet's peak FLOP/s, recomputation left out.
STEPS_ON_AN_H100 = {
    ("135M", 8192, "none", False): (7.968, 0.064),
    ("135M", 16384, "none", False): (13.649, 0.20),
    ("135M", 32768, "none", False): (25.011, 0.265),
    ("135M", 16384, "none", True): (10.133430, 0.25),
    ("1B", 8192, "none", False): (25.828, 0.30),
    ("1B", 16384, "none", False): (39.253, 0.35),
    ("1B", 32768, "none", False): (66.490, 0.364),
    ("1B", 16384, "none", True): (31.253185, 0.42),
    ("1B", 16384, "selective", False): (27.095, 0.32),
    ("1B", 16384, "full", False): (17.972, 0.28),
}


def small_llama(**changes: Any) -> ModelConfig:
    """A small LLaMA, see `small_model`."""
    return small_model("llama", **changes)


def small_model(model_type: str, **changes: Any) -> ModelConfig:
    """Four layers of 128 numbers, with any field of the config changed."""
    defaults: dict[str, Any] = {
        "model_type": model_type, "sliding_window": None,
        "vocab_size": 2000, "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": 4096,
    }  # fmt: skip
    return model_config(defaults | changes)


def run_config(**changes: Any) -> Config:
    """One step of one window of 2048 tokens, with any field of the config changed."""
    defaults: dict[str, Any] = {
        "model": "m", "window_tokens": 2048, "data": (MixturePart(name="d"),), "steps": 1, "global_batch": 1,
        "peak_lr": 1e-4,
    }  # fmt: skip
    return Config(**(defaults | changes))


def benched_config(model: str, tokens: int, checkpointing: str, compiled: bool) -> Config:
    """The config of one of `STEPS_ON_AN_H100`."""
    return run_config(
        model=None,
        architecture=BENCHED[model],
        window_tokens=tokens,
        dtype="bfloat16",
        device="cuda",
        activation_checkpointing=checkpointing,
        compile=compiled,
    )
