"""Prepare a training run: its model folder, extended config, packed data and weights, checked in that order.

No weight is read before everything that is cheaper has been checked.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pi_model.data.documents import Selection, Source, load_documents
from pi_model.data.packing import Batches, PairStream, Stream
from pi_model.data.summaries import SummaryPrompts, load_pairs
from pi_model.data.tokenizer_training import train_tokenizer
from pi_model.errors import UsageError
from pi_model.files import new_folder, refuse_related
from pi_model.models.config_file import read_config
from pi_model.models.families import ModelConfig, empty_model, model_config, refuse_unseen_context, sliding_window
from pi_model.models.loading import check_folder, first_token, load_tokenizer
from pi_model.models.rope_parameters import (
    Extension,
    read_extension,
    understood,
    write_extension,
)
from pi_model.models.sources import local_folder
from pi_model.models.weights import row_reader, weight_dtype
from pi_model.training.config import Architecture, Config, MixturePart, Summaries
from pi_model.training.lora import peft_config, with_first_adapters
from pi_model.training.starting_point import check_start, result
from pi_theory.scaling import DynamicNTK


@dataclass(frozen=True)
class Preparation:
    """Everything that the training loop needs besides the config.

    Attributes:
        origin: the folder that training starts from; the trained model keeps its tokenizer and companion files.
        content: content of the trained model's config.json.
        extension: how its positions are scaled; its window is the run's whole context if training is direct.
        tokenizer: the model's own.
        batches: the training windows.
        data_sha256: for each source the hash of its documents' names and tokens.
        bos_id: token that begins every document, or None.
    """

    origin: Path
    content: dict[str, Any]
    extension: Extension
    tokenizer: PreTrainedTokenizerBase
    batches: Batches
    data_sha256: list[str]
    bos_id: int | None

    def hf_config(self) -> ModelConfig:
        """The trained model's config, as transformers has it."""
        return model_config(self.content)


def prepare(config: Config, out: Path, *, progress: bool = False) -> Preparation:
    """Find or make everything that a run starts from.

    Args:
        config: the run.
        out: the run's folder; the tokenizer of a new model is kept there.
        progress: show a bar while tokenising.

    Raises:
        UsageError: the config does not fit the model.
        RunError: the model or the data is broken or missing.
    """
    if config.lora is not None:
        peft_config(config.lora)  # fails now if peft is not installed, rather than after the model is loaded
    if config.architecture is not None:
        origin = new_origin(config, config.architecture, out / "origin")
    else:
        origin = local_folder(config.model or "")
        refuse_related(out, model=origin)
    before = read_config(origin)
    if config.architecture is None:
        check_folder(origin, before, window_tokens=config.trained_window, context_tokens=config.window_tokens)
    content, extension = extended(before, config, weight_dtype(origin, before))
    hf_config = model_config(content)
    if config.factor > 1:
        refuse_unseen_context(hf_config, config.context_tokens)
    if config.context_parallel > 1 and (hidden := sliding_window(hf_config, config.training_tokens)):
        raise UsageError(f"context_parallel: {hidden}, which ranks that share windows do not know of; use 1")
    if config.context_parallel > 1 and isinstance(extension.scaling, DynamicNTK):
        raise UsageError("context_parallel: dynamic frequencies need the whole window on one rank; use 1")
    tokenizer = load_tokenizer(origin, hf_config)
    bos_id = first_token(tokenizer)
    streams, hashes = [], []
    for number, part in enumerate(config.data):
        source = replace(_source(part), control_tokens=config.control_tokens)
        seed = (config.seed, number)
        stream, sha256 = _stream(part, source, tokenizer, config.training_tokens, seed, bos_id, progress)
        streams.append(stream)
        hashes.append(sha256)
    weights = [part.weight for part in config.data]
    batches = Batches(streams, weights, config.global_batch, config.steps)
    return Preparation(origin, content, extension, tokenizer, batches, hashes, bos_id)


def _source(part: MixturePart) -> Source:
    return Source(part.name, part.column, part.split, part.stream_tokens)


def _stream(
    part: MixturePart,
    source: Source,
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    seed: tuple[int, int],
    bos_id: int | None,
    progress: bool,
) -> tuple[Stream | PairStream, str]:
    """The windows of one part of the mixture, and the SHA-256 of its documents."""
    if isinstance(part, Summaries):
        maker = SummaryPrompts(
            tokenizer,
            window,
            document_tokens=part.document_tokens,
            summary_tokens=part.summary_tokens,
            bos_id=bos_id,
            control_tokens=source.control_tokens,
        )
        prompts, targets = load_pairs(source, part.summary, maker, progress=progress)
        return PairStream(prompts, targets, window, seed), f"{prompts.sha256} {targets.sha256}"
    selection = Selection(without_every=part.held_out_every) if part.held_out_every else None
    documents = load_documents(source, tokenizer, selection, progress=progress)
    return Stream(documents, window, seed, bos_id, tokenizer.eos_token_id), documents.sha256


def extended(content: dict[str, Any], config: Config, dtype: str | None = None) -> tuple[dict[str, Any], Extension]:
    """The content of config.json, and how positions are scaled, after the run's extension.

    Direct fine-tuning scales nothing; like the paper's baseline it only allows more positions. A model that is already
    what the run's extension would make of it stays as it is.

    Args:
        content: content of the original model's config.json.
        config: the run.
        dtype: number format of the weights, to be written into the content.

    Raises:
        UsageError: the model has another window than the run expects, or is extended in a way that does not compose.
        RunError: the config does not say which window the model has, and the run's window does not decide it.
    """
    said = {"window_tokens": config.trained_window, "context_tokens": config.window_tokens}
    current = read_extension(content, **said)
    content = understood(content, **said)
    check_start(current, config)
    extension = result(current, config)
    return write_extension(content, extension, dtype), extension


def new_origin(config: Config, made: Architecture, folder: Path) -> Path:
    """The folder with config.json and tokenizer of a model that is made from nothing; it is made where it is missing.

    The tokenizer is trained on the run's own data.

    Args:
        config: the run.
        made: the shape of the model.
        folder: where to make the folder.

    Raises:
        RunError: the data is missing, or the folder cannot be written.
    """
    if (folder / "config.json").exists():
        return folder
    tokenizer = train_tokenizer([_source(part) for part in config.data], made.vocabulary)
    content = made.hf_config(config.window_tokens).to_dict()
    content |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    content |= {"architectures": ["LlamaForCausalLM"], "dtype": "float32"}
    with new_folder(folder) as partial:
        tokenizer.save_pretrained(partial)
        (partial / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder


def weight_reader(config: Config, preparation: Preparation) -> Callable[..., Tensor]:
    """A function that returns one of the model's first weights by its name in the state dict, or some of its rows.

    The weights of a trained model are read from its files, no more than what is asked for. Those of a new model, and
    adapters in any case, are made from the seed. The function raises RunError for a name that does not exist.
    """
    if config.architecture is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            made = empty_model(preparation.hf_config()).state_dict()
        return lambda name, *rows: made[name][rows]
    read = row_reader(preparation.origin)
    return with_first_adapters(read, config.lora, config.seed) if config.lora is not None else read
