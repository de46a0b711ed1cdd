"""Load a checkpoint, or make a small random one.

Every source first becomes a folder (`pi_model.models.sources`), and every folder is loaded the same way.
"""

import hashlib
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pi_model.errors import RunError, UsageError
from pi_model.models.companions import read_json
from pi_model.models.config_file import read_config
from pi_model.models.families import (
    FAMILIES,
    CausalLM,
    ModelConfig,
    empty_model,
    family_of,
    model_config,
)
from pi_model.models.rope_parameters import Extension, check_frequencies, read_extension, understood
from pi_model.models.sources import local_folder
from pi_model.models.weights import check_weights
from pi_model.models.weights import weight_files as weight_files


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model, ready to evaluate, with what belongs to it. Its RoPE frequencies have been checked.

    Attributes:
        model: in evaluation mode and without gradients.
        tokenizer: the model's own.
        extension: how its positions are scaled.
        folder: where its files are.
    """

    model: CausalLM
    tokenizer: PreTrainedTokenizerBase
    extension: Extension
    folder: Path

    @property
    def bos_id(self) -> int | None:
        """The BOS token that the model expects first, or None if its tokenizer adds none."""
        return first_token(self.tokenizer)

    def fingerprint(self) -> str:
        """A hex key that changes when the config or a weight file does.

        Weight files are not read for it: their sizes and modification times stand for their content.
        """
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in weight_files(self.folder)]
        text = (self.folder / "config.json").read_text() + repr(files) + str(self.model.dtype)
        return hashlib.sha256(text.encode()).hexdigest()


def load_checkpoint(
    source: str | Path, *, dtype: str = "float32", device: str = "cpu", window_tokens: int | None = None
) -> Checkpoint:
    """Load a model for evaluation. It runs by transformers' own code, with scaled dot-product attention.

    Args:
        source: a folder, a hub name ("owner/name"), a GGUF file, or an embedded name: "tiny-llama" or "smollm2-135m".
        dtype: "float32", "bfloat16" or "float16".
        device: any torch device.
        window_tokens: the window that the model was trained on, where its config does not say so; None reads it there.

    Raises:
        UsageError: there is no such source, dtype or device.
        RunError: the weights, the tokenizer or the RoPE frequencies do not agree with the config.
    """
    if dtype not in ("float32", "bfloat16", "float16"):
        raise UsageError(f"dtype: unknown {dtype!r}, choose from float32, bfloat16, float16")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("device: no CUDA device is available here; use --device cpu")
    folder = local_folder(source)
    content = read_config(folder)
    config = check_folder(folder, content, window_tokens=window_tokens)
    tokenizer = load_tokenizer(folder, config)
    transformers_logging.disable_progress_bar()
    model = family_of(config).model_class.from_pretrained(
        folder,
        config=config,
        dtype=getattr(torch, dtype),
        attn_implementation="sdpa",
        use_safetensors=True,
        local_files_only=True,
    )
    model.requires_grad_(False).eval().to(device)
    extension = check_frequencies(model.model.rotary_emb, model.config)
    source_of_window = read_extension(content, window_tokens=window_tokens).source
    return Checkpoint(model, tokenizer, replace(extension, source=source_of_window), folder)


def check_folder(
    folder: Path,
    content: dict[str, Any] | None = None,
    *,
    window_tokens: int | None = None,
    context_tokens: int | None = None,
) -> ModelConfig:
    """Check that a folder's weight files hold what its config asks for, and nothing else. No weight is loaded.

    Args:
        folder: the model's folder.
        content: content of its config.json, where it was read before.
        window_tokens, context_tokens: as `pi_model.models.rope_parameters.read_extension` takes them.

    Raises:
        RunError: the folder holds no whole model, see `pi_model.models.weights.check_weights`, or the config does not
            say which window the model was trained on.
    """
    content = read_config(folder) if content is None else content
    config = model_config(understood(content, window_tokens=window_tokens, context_tokens=context_tokens))
    with torch.device("meta"):
        model = empty_model(config)
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    check_weights(folder, expected, tied=config.tie_word_embeddings)
    return config


def load_tokenizer(folder: Path, config: ModelConfig) -> PreTrainedTokenizerBase:
    """The folder's tokenizer.

    Raises:
        RunError: there is none, it needs a package, or it has tokens that the model has no embedding for.
    """
    fast, slow = ((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model"))
    if not fast and not slow and not (folder / "vocab.json").exists():
        raise RunError(
            f"{folder}: holds no tokenizer.json, nor another tokenizer; fetch it from where the model is from"
        )
    if slow and not fast and importlib.util.find_spec("sentencepiece") is None:
        raise RunError(f"{folder}: tokenizer.model without tokenizer.json needs a package: pip install sentencepiece")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        highest = max(tokenizer.get_vocab().values())
    except Exception as error:  # the tokenizers package raises the bare class
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            read_json(folder / name)  # names the file if it is the one
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise RunError(f"{folder}: transformers cannot read its tokenizer ({reason}); fetch its files again") from error
    if highest >= config.vocab_size:
        raise RunError(
            f"{folder}: the tokenizer does not match: it has token {highest}, the model {config.vocab_size} embeddings"
        )
    return tokenizer


def first_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The BOS token, if the tokenizer puts it before every text by itself; else None."""
    bos = tokenizer.bos_token_id
    return bos if bos is not None and tokenizer("a")["input_ids"][0] == bos else None


def random_llama(*, seed: int = 0, **config: Any) -> LlamaForCausalLM:
    """A small LLaMA with random weights, see `random_model`."""
    return random_model("llama", seed=seed, **config)


def random_model(model_type: str, /, *, seed: int = 0, **config: Any) -> Any:
    """A small model with random weights, for tests and for timings that do not depend on the weights' values.

    Args:
        model_type: its family, a key of `pi_model.models.families.FAMILIES`.
        seed: determines the weights; torch's global generator is not touched.
        config: any field of the family's config, in place of the small default.
    """
    defaults: dict[str, Any] = {
        "vocab_size": 256,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        # Ten times the usual spread, so that predictions differ enough from token to token for tests to tell.
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    family = FAMILIES[model_type]
    if family.sliding != "none":
        defaults["sliding_window"] = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = family.model_class(family.config_class(**(defaults | config)))
        for name, parameter in model.named_parameters():
            # They begin at zero and one, where nobody would notice that they are left out.
            if name.endswith((".bias", "q_norm.weight", "k_norm.weight")):
                parameter.data += 0.2 * torch.randn_like(parameter)
    return model.requires_grad_(False).eval()
