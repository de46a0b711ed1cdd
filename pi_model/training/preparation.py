"""What a training run starts from: model folder, extended config, weights and packed data, checked in that order.

Nothing here reads a weight before everything cheaper has been checked.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from pi_model.data.documents import Source, load_documents
from pi_model.data.packing import Batches, PairStream, Stream
from pi_model.data.summaries import SummaryPrompts, load_pairs
from pi_model.data.tokenizer_training import train_tokenizer
from pi_model.errors import RunError, UsageError
from pi_model.files import new_folder
from pi_model.models.loading import check_folder, load_tokenizer, local_folder, read_config, weight_files
from pi_model.models.rope_parameters import Extension, compose, read_extension, write_extension
from pi_model.training.config import Architecture, Config, Corpus, Summaries
from pi_model.training.lora import peft_config, with_first_adapters
from pi_theory.scaling import DynamicNTK, NoScaling, scaling_by_name


@dataclass(frozen=True)
class Preparation:
    """All that the loop needs besides the config.

    Attributes:
        origin: folder whose tokenizer and companion files the trained model keeps.
        content: config.json of the trained model.
        extension: how its positions are scaled.
        tokenizer: the model's own.
        batches: the training windows.
        data_sha256: of the documents' names and tokens, source by source.
        bos_id: token that begins every document, or None.
    """

    origin: Path
    content: dict[str, Any]
    extension: Extension
    tokenizer: PreTrainedTokenizerBase
    batches: Batches
    data_sha256: list[str]
    bos_id: int | None

    def hf_config(self) -> LlamaConfig:
        return LlamaConfig.from_dict(self.content)


def prepare(config: Config, out: Path, *, progress: bool = False) -> Preparation:
    """Find or make what a run starts from.

    Args:
        config: the run.
        out: its folder; a model made from nothing has its tokenizer kept there.
        progress: show a bar while tokenising.

    Raises:
        UsageError: the config does not fit the model. RunError: the model or the data is broken or missing.
    """
    if config.lora is not None:
        peft_config(config.lora)  # says early when its package is missing
    if config.architecture is not None:
        origin = new_origin(config, config.architecture, out / "origin")
    else:
        origin = local_folder(config.model or "")
        check_folder(origin)
    content = read_config(origin)
    content, extension = extended(content, config)
    if config.context_parallel > 1 and isinstance(extension.scaling, DynamicNTK):
        raise UsageError("context_parallel: dynamic frequencies need the whole window on one rank; use 1")
    tokenizer = load_tokenizer(origin, LlamaConfig.from_dict(content))
    bos_id = first_token(tokenizer)
    streams, hashes = [], []
    for number, corpus in enumerate(config.data):
        stream, sha256 = _stream(corpus, tokenizer, config.training_tokens, (config.seed, number), bos_id, progress)
        streams.append(stream)
        hashes.append(sha256)
    weights = [corpus.weight for corpus in config.data]
    batches = Batches(streams, weights, config.global_batch, config.steps)
    return Preparation(origin, content, extension, tokenizer, batches, hashes, bos_id)


def _stream(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    seed: tuple[int, int],
    bos_id: int | None,
    progress: bool,
) -> tuple[Stream | PairStream, str]:
    """A source's windows, and the SHA-256 of its documents."""
    source = Source(corpus.name, corpus.column, corpus.split, corpus.stream_tokens)
    if isinstance(corpus, Summaries):
        maker = SummaryPrompts(
            tokenizer,
            window,
            document_tokens=corpus.document_tokens,
            summary_tokens=corpus.summary_tokens,
            bos_id=bos_id,
        )
        prompts, targets = load_pairs(source, corpus.summary, maker, progress=progress)
        return PairStream(prompts, targets, window, seed), f"{prompts.sha256} {targets.sha256}"
    documents = load_documents(source, tokenizer, progress=progress)
    return Stream(documents, window, seed, bos_id, tokenizer.eos_token_id), documents.sha256


def first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The BOS token, where the tokenizer puts it first of its own accord; else None."""
    bos = tokenizer.bos_token_id
    return bos if bos is not None and tokenizer("a")["input_ids"][0] == bos else None


def extended(content: dict[str, Any], config: Config) -> tuple[dict[str, Any], Extension]:
    """config.json's content and the positions' scaling after the run's extension.

    Direct fine-tuning scales nothing and only allows more positions, as the paper's baseline does.

    Raises:
        UsageError: the model has another window than the run was made for, or is extended in a way that does not
            compose.
    """
    current = read_extension(LlamaConfig.from_dict(content))
    if current.context_tokens != config.window_tokens:
        raise UsageError(
            f"window_tokens: {config.model} has a context of {current.context_tokens} tokens, not "
            f"{config.window_tokens}; set window_tokens={current.context_tokens}"
        )
    if config.method != "none":
        extension = compose(current, scaling_by_name(config.method, config.factor))
        return write_extension(content, extension), extension
    if config.factor > 1 and not isinstance(current.scaling, NoScaling):
        raise UsageError(
            f"method: {config.model} is already extended by {type(current.scaling).__name__}; direct fine-tuning "
            "(method=none) starts from an unextended model"
        )
    return content | {"max_position_embeddings": config.context_tokens}, current


def new_origin(config: Config, made: Architecture, folder: Path) -> Path:
    """A folder with config.json and a tokenizer for a model that is to be made; as it is where it exists.

    The tokenizer is trained on the run's own data. Raises RunError when the data is missing or the folder not writable.
    """
    if (folder / "config.json").exists():
        return folder
    tokenizer = train_tokenizer(config.data, made.vocabulary)
    content = LlamaConfig(
        vocab_size=made.vocabulary,
        hidden_size=made.hidden,
        intermediate_size=made.intermediate,
        num_hidden_layers=made.layers,
        num_attention_heads=made.heads,
        num_key_value_heads=made.kv_heads,
        max_position_embeddings=config.window_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": made.base},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    ).to_dict()
    content |= {"architectures": ["LlamaForCausalLM"], "dtype": "float32"}
    with new_folder(folder) as partial:
        tokenizer.save_pretrained(partial)
        (partial / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder


def weight_reader(config: Config, preparation: Preparation) -> Callable[[str], Tensor]:
    """The model's weights by name: from its files, one at a time, or made from the seed; adapters are always made.

    Raises:
        RunError: a name that is not there.
    """
    if config.architecture is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            made = LlamaForCausalLM(preparation.hf_config()).state_dict()
        return made.__getitem__
    where: dict[str, Any] = {}
    for path in weight_files(preparation.origin):
        file = safe_open(path, framework="pt")
        where |= dict.fromkeys(file.keys(), file)  # type: ignore[no-untyped-call]

    def read(name: str) -> Tensor:
        if name not in where:
            raise RunError(f"{preparation.origin}: weight {name} is missing; fetch the model again")
        tensor: Tensor = where[name].get_tensor(name)
        return tensor

    return with_first_adapters(read, config.lora, config.seed) if config.lora is not None else read
