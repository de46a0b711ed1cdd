"""Published models by name: what their config.json says, as far as a plan needs it. Nothing is fetched for them.

LLaMA 1 is from Table 2 of Touvron et al. 2023 (arXiv:2302.13971) and the published files; all others are from the
config.json in the hub repository that stands beside each. Tests hold the numbers of weights against those published.
"""

import os
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pi_model.training.recipes import LLAMA


@dataclass(frozen=True)
class Known:
    """A published model.

    Attributes:
        model: the name that a run loads it by, on the hub unless it is embedded here.
        content: what its config.json says.
    """

    model: str
    content: dict[str, Any]


def _known(
    model: str,
    hidden: int,
    intermediate: int,
    layers: int,
    heads: int,
    kv_heads: int,
    vocabulary: int,
    window: int,
    base: float = 10000.0,
    *,
    family: str = "llama",
    **more: Any,
) -> Known:
    content = {
        "model_type": family,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": window,
        "rope_theta": base,
        "tie_word_embeddings": False,
        "rms_norm_eps": 1e-6 if family.startswith("qwen") else 1e-5,
    }
    return Known(model, content | more)


def _llama3(factor: float) -> dict[str, Any]:
    """The scaling that Llama 3.1 and 3.2 were trained with."""
    return {
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
    }


def _qwen2(size: str, *sizes: int, window: int = 131072, vocabulary: int = 152064, tied: bool = False) -> Known:
    hidden, intermediate, layers, heads, kv_heads = sizes
    return _known(
        f"Qwen/Qwen2.5-{size}", hidden, intermediate, layers, heads, kv_heads, vocabulary, window, 1e6,
        family="qwen2", tie_word_embeddings=tied,
    )  # fmt: skip


def _qwen3(size: str, *sizes: int, tied: bool = False) -> Known:
    hidden, intermediate, layers, heads = sizes
    return _known(
        f"Qwen/Qwen3-{size}", hidden, intermediate, layers, heads, 8, 151936, 40960, 1e6,
        family="qwen3", head_dim=128, tie_word_embeddings=tied,
    )  # fmt: skip


# The columns: hidden and intermediate size, layers, heads, key-value heads, vocabulary, window, RoPE base.
KNOWN = {
    "llama-7b": _known(LLAMA["7b"], 4096, 11008, 32, 32, 32, 32000, 2048),
    "llama-13b": _known(LLAMA["13b"], 5120, 13824, 40, 40, 40, 32000, 2048),
    "llama-33b": _known(LLAMA["33b"], 6656, 17920, 60, 52, 52, 32000, 2048),
    "llama-65b": _known(LLAMA["65b"], 8192, 22016, 80, 64, 64, 32000, 2048),
    "llama-2-7b": _known("meta-llama/Llama-2-7b-hf", 4096, 11008, 32, 32, 32, 32000, 4096),
    "llama-2-13b": _known("meta-llama/Llama-2-13b-hf", 5120, 13824, 40, 40, 40, 32000, 4096),
    "llama-2-70b": _known("meta-llama/Llama-2-70b-hf", 8192, 28672, 80, 64, 8, 32000, 4096),
    "llama-3-8b": _known("meta-llama/Meta-Llama-3-8B", 4096, 14336, 32, 32, 8, 128256, 8192, 5e5),
    "llama-3-70b": _known("meta-llama/Meta-Llama-3-70B", 8192, 28672, 80, 64, 8, 128256, 8192, 5e5),
    "llama-3.1-8b": _known("meta-llama/Llama-3.1-8B", 4096, 14336, 32, 32, 8, 128256, 131072, 5e5, **_llama3(8)),
    "llama-3.1-70b": _known("meta-llama/Llama-3.1-70B", 8192, 28672, 80, 64, 8, 128256, 131072, 5e5, **_llama3(8)),
    "llama-3.2-1b": _known(
        "meta-llama/Llama-3.2-1B", 2048, 8192, 16, 32, 8, 128256, 131072, 5e5, tie_word_embeddings=True, **_llama3(32)
    ),
    "llama-3.2-3b": _known(
        "meta-llama/Llama-3.2-3B", 3072, 8192, 28, 24, 8, 128256, 131072, 5e5, tie_word_embeddings=True, **_llama3(32)
    ),
    "mistral-7b": _known(
        "mistralai/Mistral-7B-v0.3", 4096, 14336, 32, 32, 8, 32768, 32768, 1e6, family="mistral", sliding_window=None
    ),
    "qwen2.5-0.5b": _qwen2("0.5B", 896, 4864, 24, 14, 2, window=32768, vocabulary=151936, tied=True),
    "qwen2.5-1.5b": _qwen2("1.5B", 1536, 8960, 28, 12, 2, vocabulary=151936, tied=True),
    "qwen2.5-3b": _qwen2("3B", 2048, 11008, 36, 16, 2, window=32768, vocabulary=151936, tied=True),
    "qwen2.5-7b": _qwen2("7B", 3584, 18944, 28, 28, 4),
    "qwen2.5-14b": _qwen2("14B", 5120, 13824, 48, 40, 8),
    "qwen2.5-32b": _qwen2("32B", 5120, 27648, 64, 40, 8),
    "qwen2.5-72b": _qwen2("72B", 8192, 29568, 80, 64, 8),
    "qwen3-0.6b": _qwen3("0.6B", 1024, 3072, 28, 16, tied=True),
    "qwen3-1.7b": _qwen3("1.7B", 2048, 6144, 28, 16, tied=True),
    "qwen3-4b": _qwen3("4B", 2560, 9728, 36, 32, tied=True),
    "qwen3-8b": _qwen3("8B", 4096, 12288, 36, 32),
    "qwen3-14b": _qwen3("14B", 5120, 17408, 40, 40),
    "qwen3-32b": _qwen3("32B", 5120, 25600, 64, 64),
    "smollm2-135m": _known("smollm2-135m", 576, 1536, 30, 9, 3, 49152, 8192, 1e5, tie_word_embeddings=True),
}
# LLaMA 1 has no 70B, so the one that came to be called so is meant.
KNOWN["llama-70b"] = KNOWN["llama-3-70b"]

_BY_MODEL = {known.model.lower(): known for known in KNOWN.values()}


def known_model(name: str) -> Known | None:
    """The published model of this name: a key of `KNOWN`, or unless a folder here has the name, one on the hub.

    What is no folder here may be spelt in any case of letters.
    """
    if name in KNOWN or os.path.lexists(name):
        return KNOWN.get(name)
    return KNOWN.get(name.lower()) or _BY_MODEL.get(name.lower())


def known_names() -> str:
    """The names in few words: those that differ in the size alone stand together."""
    parts = [name.rpartition("-")[::2] for name in KNOWN if name != "llama-70b"]
    groups = groupby(parts, key=lambda part: part[0])
    return ", ".join([*(f"{name}-{'/'.join(size for _, size in sizes)}" for name, sizes in groups), "tiny-llama"])
