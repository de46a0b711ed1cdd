"""Scaling methods as Hugging Face configs: the only file that knows their key names.

Pairing convention on that side: rotate-half, component j with j + d/2. The frequencies do not depend on it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, PreTrainedModel

from pi_model.errors import RunError, UsageError
from pi_theory.scaling import (
    DynamicNTK,
    LinearPI,
    Llama3,
    NoScaling,
    NTKAware,
    Scaling,
    Yarn,
    attention_factor,
    scaled_frequencies,
)

# Our own key in config.json, ignored by transformers. NTK-aware scaling is only a larger base to transformers, and
# linear scaling does not say what the trained window was, so neither could be read back, or composed, without it.
RECORD_KEY = "position_interpolation"

# float32 powers in transformers against float64 in pi_theory: a few units in the last place of theta_j.
FREQUENCY_RTOL = 1e-5


@dataclass(frozen=True)
class Extension:
    """How the positions of a checkpoint are scaled.

    Attributes:
        scaling: the method with its factor over the trained window.
        window_tokens: the trained window L.
        base: the trained RoPE base c.
        head_dim: d.
    """

    scaling: Scaling
    window_tokens: int
    base: float
    head_dim: int

    @property
    def factor(self) -> float:
        """L'/L."""
        return 1.0 if isinstance(self.scaling, NoScaling) else self.scaling.factor

    @property
    def context_tokens(self) -> int:
        """L', the longest context that is not extrapolation."""
        # The tolerance keeps 3 * (1/3 rounded down) from losing a token; below one token in a window of any size.
        return int(self.factor * self.window_tokens + 1e-6)

    def frequencies(self, context: int | None = None) -> np.ndarray:
        """theta'_j in radians a position, shape (head_dim / 2,), float64; `context` matters to `DynamicNTK` only."""
        return scaled_frequencies(
            self.scaling, head_dim=self.head_dim, base=self.base, window=self.window_tokens, context=context
        )


def read_extension(config: LlamaConfig) -> Extension:
    """What a config says about its positions.

    Raises:
        RunError: a RoPE type that no scaling method here covers.
    """
    rope: dict[str, Any] = config.rope_parameters  # type: ignore[assignment]
    kind = rope.get("rope_type", "default")
    base = float(rope["rope_theta"])
    head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
    record = getattr(config, RECORD_KEY, None) or {}
    scaling: Scaling
    window = config.max_position_embeddings
    match kind:
        case "default" if record.get("method") == "ntk":
            scaling, base = NTKAware(record["factor"]), float(record["base"])
            window = record["window_tokens"]
        case "default":
            scaling = NoScaling()
        case "linear":
            scaling = LinearPI(rope["factor"])
            # Without our record: checkpoints extended elsewhere set max_position_embeddings to L' by custom.
            window = record.get("window_tokens") or round(window / rope["factor"])
        case "dynamic":
            scaling = DynamicNTK(rope["factor"])
        case "yarn":
            scaling = Yarn(
                rope["factor"],
                beta_fast=rope.get("beta_fast") or 32.0,
                beta_slow=rope.get("beta_slow") or 1.0,
                truncate=rope.get("truncate", True),
            )
            window = rope["original_max_position_embeddings"]
        case "llama3":
            scaling = Llama3(
                rope["factor"], low_freq_factor=rope["low_freq_factor"], high_freq_factor=rope["high_freq_factor"]
            )
            window = rope["original_max_position_embeddings"]
        case _:
            raise RunError(
                f"config.json: RoPE type {kind!r} is not supported; use default, linear, dynamic, yarn, llama3"
            )
    return Extension(scaling, window, base, head_dim)


def compose(current: Extension, scaling: Scaling) -> Extension:
    """The extension reached by extending again: factors multiply (x2, then x4, is x8 of the trained window).

    Raises:
        UsageError: the two methods differ, so that no single method gives their composition; or the extended window
            is not a whole number of tokens.
    """
    if isinstance(scaling, NoScaling):
        raise UsageError("method: 'none' extends nothing; choose linear, ntk, dynamic, yarn or llama3")
    if not isinstance(current.scaling, NoScaling):
        if type(current.scaling) is not type(scaling):
            raise UsageError(
                f"method: this checkpoint is already extended by {type(current.scaling).__name__} "
                f"x{current.factor:g}, which does not compose with {type(scaling).__name__}; "
                "start from the checkpoint that was extended, or use the same method"
            )
        scaling = type(scaling)(**{**vars(current.scaling), "factor": current.factor * scaling.factor})
    extended = Extension(scaling, current.window_tokens, current.base, current.head_dim)
    if abs(extended.factor * extended.window_tokens - extended.context_tokens) > 1e-5:
        raise UsageError(
            f"factor: {extended.factor:g} x {extended.window_tokens} is not a whole number of tokens; "
            f"{extended.context_tokens / extended.window_tokens:.6g} would be"
        )
    return extended


def write_extension(config: dict[str, Any], extension: Extension) -> dict[str, Any]:
    """A copy of a config.json's content that scales positions as `extension` says; nothing else changes."""
    scaling, window = extension.scaling, extension.window_tokens
    rope: dict[str, Any] = {"rope_theta": extension.base, "rope_type": "default"}
    positions = extension.context_tokens
    match scaling:
        case NoScaling():
            pass
        case LinearPI(factor=factor):
            rope |= {"rope_type": "linear", "factor": factor}
        case NTKAware():
            # theta'_1 = c'^(-2/d) gives the new base back from the frequencies, so the formula stays in one place.
            # At d = 2 only theta_0 = 1 exists and no base matters.
            if extension.head_dim > 2:
                rope["rope_theta"] = float(extension.frequencies()[1] ** (-extension.head_dim / 2))
        case DynamicNTK(factor=factor):
            rope |= {"rope_type": "dynamic", "factor": factor}
            positions = window  # transformers takes the trained window from here
        case Yarn(factor=factor):
            rope |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": window}
            rope |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, "truncate": scaling.truncate}
        case Llama3(factor=factor):
            rope |= {"rope_type": "llama3", "factor": factor, "original_max_position_embeddings": window}
            rope |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    method = {"LinearPI": "linear", "NTKAware": "ntk", "DynamicNTK": "dynamic", "Yarn": "yarn", "Llama3": "llama3"}
    # Keys of older transformers: left in place they would contradict the new ones.
    kept = {key: value for key, value in config.items() if key not in ("rope_scaling", "rope_theta", RECORD_KEY)}
    new = kept | {"rope_parameters": rope, "max_position_embeddings": positions}
    if not isinstance(scaling, NoScaling):
        new[RECORD_KEY] = {
            "method": method[type(scaling).__name__],
            "factor": extension.factor,
            "window_tokens": window,
            "base": extension.base,
        }
    return new


def check_frequencies(rotary: Any, config: LlamaConfig) -> Extension:
    """Hold the frequencies that transformers' rotary embedding will really use against pi_theory's.

    They are not among the saved weights: a config edited after the model was built, a cast of the whole model to
    bfloat16 or a meta-device load leaves them wrong with no other sign.

    Returns:
        What the config says, now known to be true of the model.

    Raises:
        RunError: they differ by more than float32 rounding.
    """
    extension = read_extension(config)
    ours = extension.frequencies(context=extension.window_tokens)
    on_meta = rotary.inv_freq.is_meta
    theirs = np.full(0, np.nan) if on_meta else rotary.inv_freq.detach().to("cpu", torch.float64).numpy()
    agree = ours.shape == theirs.shape and np.allclose(theirs, ours, rtol=FREQUENCY_RTOL, atol=0)
    if not agree or abs(rotary.attention_scaling - attention_factor(extension.scaling)) > FREQUENCY_RTOL:
        raise RunError(
            f"RoPE frequencies of the loaded model are not those of its config ({type(extension.scaling).__name__} "
            f"x{extension.factor:g}, base {extension.base:g}); config.json was edited by hand, or the model was "
            "changed after loading: load it again, or extend the original checkpoint again"
        )
    return extension


def depends_on_context(extension: Extension) -> bool:
    """Whether the frequencies change with the length of the input, so that a longer pass does not contain a shorter."""
    return isinstance(extension.scaling, DynamicNTK)


def reset_frequencies(model: PreTrainedModel) -> None:
    """Forget the longest input seen.

    transformers' dynamic scaling keeps its frequencies until a short input comes, so that without this a result would
    depend on what was evaluated before it.
    """
    rotary = model.model.rotary_emb
    if "dynamic" in rotary.rope_type:
        rotary.inv_freq = rotary.original_inv_freq.to(rotary.inv_freq.device, copy=True)
        rotary.max_seq_len_cached = rotary.original_max_seq_len
