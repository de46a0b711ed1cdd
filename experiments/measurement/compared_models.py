"""Models that a study compares: one as it was trained, and others that are extended from it, fine-tuned or not.

A study's config names the first as ``model`` and lists all as ``models``. An entry has a ``name``, the ``method`` and
``factor`` by which it is extended for the study, and its own ``model`` where its weights are others, as those of a
fine-tuned folder, which is extended already (method "none").
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.measurement.extended_model import extended_model
from experiments.measurement.kept import study_folder
from pi_model.data.documents import tokenizer_sha256
from pi_model.errors import UsageError
from pi_model.files import sha256_file
from pi_model.models.config_file import read_config
from pi_model.models.loading import Checkpoint, check_folder, load_checkpoint, load_tokenizer, weight_files
from pi_model.models.rope_parameters import read_extension
from pi_model.models.sources import local_folder

# Of SmolLM2-135M as of any other: what studies compare where nothing was fine-tuned.
UNTRAINED: list[dict[str, Any]] = [
    {"name": "untouched", "method": "none", "factor": 1.0},
    {"name": "PI ×2", "method": "linear", "factor": 2.0},
    {"name": "YaRN ×2", "method": "yarn", "factor": 2.0},
]


def comparison_folder(name: str, config: dict[str, Any]) -> Path:
    """Where a study keeps what it has: another folder for another config, or for other weights of any model."""
    return study_folder(name, config | {"weights": weights(config)})


def weights(config: dict[str, Any]) -> dict[str, str]:
    """The hash of each model's weights, by the name of the model."""
    return {
        one["name"]: " ".join(
            sha256_file(path) for path in weight_files(local_folder(one.get("model", config["model"])))
        )
        for one in config["models"]
    }


def tokenizer_and_window(config: dict[str, Any]) -> tuple[Any, int]:
    """What all models share: the tokenizer of config["model"], and the window in tokens that it serves."""
    folder = local_folder(config["model"])
    tokenizer = load_tokenizer(folder, check_folder(folder))
    return tokenizer, read_extension(read_config(folder)).context_tokens


@contextmanager
def compared_model(config: dict[str, Any], one: dict[str, Any], tokenizer: Any) -> Iterator[Checkpoint]:
    """An entry of config["models"], loaded in config["dtype"] on config["device"].

    Raises:
        UsageError: it reads text by another tokenizer, so that its results compare with none of the others'.
    """
    with extended_model(one.get("model", config["model"]), one["method"], one["factor"]) as folder:
        checkpoint = load_checkpoint(folder, dtype=config["dtype"], device=config.get("device", "cpu"))
        if tokenizer_sha256(checkpoint.tokenizer) != tokenizer_sha256(tokenizer):
            raise UsageError(f"models: {one['name']} has another tokenizer than {config['model']}")
        yield checkpoint
