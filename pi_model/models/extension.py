"""Extend a checkpoint's context window. Only its config changes; the weights stay as they are."""

import json
from pathlib import Path

from pi_model.files import new_folder, refuse_related, refuse_used
from pi_model.models.companions import copy_companions, fit_companions
from pi_model.models.config_file import read_config
from pi_model.models.families import model_config, refuse_unseen_context, rotary_embedding
from pi_model.models.plain_folder import is_plain, weight_shapes
from pi_model.models.rope_parameters import Extension, check_frequencies, compose, read_extension, write_extension
from pi_model.models.sources import local_folder, tell_taken
from pi_model.models.weights import check_weights, copy_weights, weight_dtype
from pi_model.models.written_folder import check_written
from pi_theory.scaling import Scaling


def extend_checkpoint(
    source: str | Path, scaling: Scaling, out: str | Path, *, window_tokens: int | None = None
) -> Extension:
    """Write a folder that holds the same model with its positions scaled, which plain transformers loads.

    No weight is loaded: weights and tokenizer are copied byte for byte, and of the other files those that belong to the
    model. Whatever states the longest context states the new one. If the checkpoint is extended already, the factors
    multiply.

    Args:
        source: a folder, a hub name, a GGUF file or an embedded name, see `pi_model.models.loading.load_checkpoint`.
        scaling: the method, with its factor over the checkpoint's present window.
        out: the folder to make, outside the source; it must not exist, or be empty. It is written completely or not at
            all.
        window_tokens: the window that the checkpoint was trained on, where its config does not say so.

    Returns:
        How the positions of the new checkpoint are scaled.

    Raises:
        UsageError: there is no such source, `out` is inside it, or the method does not compose with the one already in
            place.
        RunError: the source is broken, or the folder cannot be written.
    """
    refuse_used(Path(out))
    folder = local_folder(source)
    refuse_related(Path(out), model=folder)
    before = read_config(folder)
    extension = compose(read_extension(before, window_tokens=window_tokens), scaling)
    tied = before.get("tie_word_embeddings", False)
    if plain := is_plain(folder, before):
        check_weights(folder, weight_shapes(before), tied=tied)
        content = write_extension(before, extension, weight_dtype(folder, before))
    else:
        from pi_model.models.loading import check_folder, load_tokenizer  # these import transformers, in seconds

        config = check_folder(folder, before, window_tokens=window_tokens)
        load_tokenizer(folder, config)
        tied = config.tie_word_embeddings
        content = write_extension(before, extension, weight_dtype(folder, before))
        # Compare the frequencies that transformers will compute from this config with the theory before writing.
        written = model_config(content)
        refuse_unseen_context(written, extension.context_tokens)
        check_frequencies(rotary_embedding(written), written)
    with new_folder(Path(out)) as partial:
        copy_weights(folder, partial, tied=tied)
        copy_companions(folder, partial)
        fit_companions(partial, extension.context_tokens)
        (partial / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        check_written(partial, extension, plain=plain)
    tell_taken(Path(out))
    return extension
