"""Extend a checkpoint's context window: its config changes, and nothing else."""

import json
import shutil
from pathlib import Path

from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pi_model.files import new_folder
from pi_model.models.loading import check_folder, load_tokenizer, local_folder, read_config
from pi_model.models.rope_parameters import Extension, check_frequencies, compose, read_extension, write_extension
from pi_theory.scaling import Scaling

_NOT_COPIED = {"config.json", ".git", ".cache"}
_PICKLED = (".bin", ".pt", ".gguf")


def extend_checkpoint(source: str | Path, scaling: Scaling, out: Path) -> Extension:
    """Write a folder whose model scales positions by `scaling`, and which plain transformers loads.

    No weight is loaded: weights and tokenizer are copied byte for byte. Extending what is already extended multiplies
    the factors.

    Args:
        source: what `pi_model.models.loading.load_checkpoint` takes.
        scaling: the method and its factor over the present window.
        out: a new or empty folder; written whole or not at all.

    Raises:
        UsageError: no such source, or a method that does not compose with the one in place.
        RunError: a source that is broken, or an output that cannot be written.
    """
    folder = local_folder(source)
    config = check_folder(folder)
    load_tokenizer(folder, config)
    current = read_extension(config)
    extension = compose(current, scaling)
    content = write_extension(read_config(folder), extension)
    # What transformers will compute from this config, held against the theory before anything is written.
    written = LlamaConfig.from_dict(content)
    check_frequencies(LlamaRotaryEmbedding(written), written)
    with new_folder(out) as partial:
        copy_companions(folder, partial, weights=True)
        fit_tokenizer(partial, current.context_tokens, extension.context_tokens)
        (partial / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return extension


def copy_companions(folder: Path, target: Path, *, weights: bool) -> None:
    """Copy what belongs to a model, byte for byte, except its config, and its weights unless they are wanted."""
    for path in folder.iterdir():
        weight = path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json")
        if path.name in _NOT_COPIED or path.suffix in _PICKLED or (weight and not weights):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


def fit_tokenizer(folder: Path, old_tokens: int, new_tokens: int) -> None:
    """Replace the old window where a tokenizer carries it as the length to warn at, or to cut at, beyond."""
    path = folder / "tokenizer_config.json"
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("model_max_length") == old_tokens:
            content["model_max_length"] = new_tokens
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
