"""Extend a checkpoint's context window. Only its config changes; the weights stay as they are."""

import json
import shutil
from pathlib import Path

from pi_model.files import new_folder
from pi_model.models.families import model_config, refuse_unseen_context, rotary_embedding
from pi_model.models.loading import check_folder, load_tokenizer, local_folder, read_config
from pi_model.models.rope_parameters import Extension, check_frequencies, compose, read_extension, write_extension
from pi_theory.scaling import Scaling

_NOT_COPIED = {"config.json", ".git", ".cache"}  # the config is written anew; the rest belongs to a download
_OTHER_WEIGHTS = {".bin", ".pt", ".gguf"}  # the same weights in formats that are not read here


def extend_checkpoint(source: str | Path, scaling: Scaling, out: str | Path) -> Extension:
    """Write a folder that holds the same model with its positions scaled, which plain transformers loads.

    No weight is loaded: weights and tokenizer are copied byte for byte. If the checkpoint is extended already, the
    factors multiply.

    Args:
        source: a folder, a hub name, a GGUF file or an embedded name, see `pi_model.models.loading.load_checkpoint`.
        scaling: the method, with its factor over the checkpoint's present window.
        out: the folder to make; it must not exist, or be empty. It is written completely or not at all.

    Returns:
        How the positions of the new checkpoint are scaled.

    Raises:
        UsageError: there is no such source, or the method does not compose with the one already in place.
        RunError: the source is broken, or the folder cannot be written.
    """
    folder = local_folder(source)
    config = check_folder(folder)
    load_tokenizer(folder, config)
    current = read_extension(config)
    extension = compose(current, scaling)
    content = write_extension(read_config(folder), extension)
    # Compare the frequencies that transformers will compute from this config with the theory before writing anything.
    written = model_config(content)
    refuse_unseen_context(written, extension.context_tokens)
    check_frequencies(rotary_embedding(written), written)
    with new_folder(Path(out)) as partial:
        copy_companions(folder, partial, weights=True)
        fit_tokenizer(partial, current.context_tokens, extension.context_tokens)
        (partial / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return extension


def copy_companions(folder: Path, target: Path, *, weights: bool) -> None:
    """Copy the files of a model folder byte for byte, all but its config.

    Args:
        folder: the model's folder.
        target: where the copies go; it must exist.
        weights: copy the weight files, too.
    """
    for path in folder.iterdir():
        weight = path.suffix == ".safetensors" or path.name.endswith(".safetensors.index.json")
        if path.name in _NOT_COPIED or path.suffix in _OTHER_WEIGHTS or (weight and not weights):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


def fit_tokenizer(folder: Path, old_tokens: int, new_tokens: int) -> None:
    """Put the new window in place of the old one in a folder's tokenizer config, if that is what it has.

    Tokenizers warn about, or cut, texts that are longer than their ``model_max_length``.
    """
    path = folder / "tokenizer_config.json"
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("model_max_length") == old_tokens:
            content["model_max_length"] = new_tokens
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
