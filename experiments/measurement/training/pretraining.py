"""A model pretrained from nothing, with the shape, the tokenizer and the mixture of one that is there.

Its perplexities then compare with that model's, token by token.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.measurement.training.fine_tuning import mixture
from pi_model.errors import UsageError
from pi_model.files import new_folder
from pi_model.models.companions import copy_companions
from pi_model.models.config_file import read_config
from pi_model.models.sources import local_folder
from pi_model.training.config import Architecture, Config, Evaluation
from pi_model.training.recipes import pretrain_tiny


def pretraining_recipe(config: dict[str, Any], tokens: int) -> Config:
    """The tiny LLaMA's recipe in a study's settings, long enough for so many tokens.

    Args:
        config: model, whose shape is taken; mixture, by weight; window_tokens, global_batch, micro_batch, peak_lr,
            warmup_steps, seed, dtype, device and checkpoint_every.
        tokens: how many are trained on.

    Raises:
        UsageError: they are no whole number of steps.
    """
    steps, left = divmod(tokens, config["global_batch"] * config["window_tokens"])
    if left or not steps:
        raise UsageError(f"tokens: {tokens} are no whole number of steps of {config['global_batch']} windows")
    fields = ("window_tokens", "global_batch", "micro_batch", "peak_lr", "warmup_steps", "seed", "dtype", "device")
    return replace(
        pretrain_tiny(),
        architecture=_architecture(read_config(local_folder(config["model"]))),
        data=mixture(config),
        steps=steps,
        keep=1,
        evaluation=Evaluation(),
        **{name: config[name] for name in (*fields, "checkpoint_every")},
    )


def take_tokenizer(model: str, out: Path) -> None:
    """Has a run in the folder ``out`` take shape and tokenizer of a model, where it would train a tokenizer anew."""
    if not (out / "origin").exists():
        with new_folder(out / "origin") as origin:
            copy_companions(local_folder(model), origin)
            (origin / "config.json").write_text(json.dumps(read_config(local_folder(model))))


def _architecture(content: dict[str, Any]) -> Architecture:
    return Architecture(
        vocabulary=content["vocab_size"],
        hidden=content["hidden_size"],
        intermediate=content["intermediate_size"],
        layers=content["num_hidden_layers"],
        heads=content["num_attention_heads"],
        kv_heads=content["num_key_value_heads"],
        base=content["rope_parameters"]["rope_theta"],
    )
