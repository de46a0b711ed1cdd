"""What tests of planning share: a small model, a config of a run, and a GPU."""

from typing import Any

from pi_model.gpus import GPUS
from pi_model.models.families import ModelConfig, model_config
from pi_model.training.config import Config, MixturePart

A100 = GPUS["a100-80"]


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
