"""Read scaling methods from Hugging Face configs and write them there: the only file that knows the key names.

Hugging Face models pair component j of a head with j + d/2 (rotate-half). The frequencies do not depend on the pairing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pi_model.errors import RunError, UsageError
from pi_model.models.families import CausalLM, ModelConfig, head_dim
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

# Our own key in config.json, which transformers ignores. Without it two methods could not be read back or composed:
# to transformers NTK-aware scaling is just a larger base, and linear scaling does not say what the trained window was.
RECORD_KEY = "position_interpolation"

# transformers computes powers in float32, pi_theory in float64: theta_j differs by a few units in the last place.
FREQUENCY_RTOL = 1e-5


@dataclass(frozen=True)
class Extension:
    """How the positions of a checkpoint are scaled.

    Attributes:
        scaling: the method, with its factor over the trained window.
        window_tokens: L, the trained window.
        base: c, the RoPE base in training.
        head_dim: d, the size of a head.
    """

    scaling: Scaling
    window_tokens: int
    base: float
    head_dim: int

    @property
    def factor(self) -> float:
        """L'/L, extended window over trained window."""
        return 1.0 if isinstance(self.scaling, NoScaling) else self.scaling.factor

    @property
    def context_tokens(self) -> int:
        """L', the longest context that is not extrapolation."""
        # Without the tolerance, 3 x (1/3 rounded down) would lose a token. It is far below one token itself.
        return int(self.factor * self.window_tokens + 1e-6)

    def frequencies(self, context: int | None = None) -> np.ndarray:
        """The scaled frequencies theta'_j in radians a position, shape (head_dim / 2,), float64.

        Args:
            context: length of the input in tokens, which only `DynamicNTK` depends on.
        """
        return scaled_frequencies(
            self.scaling, head_dim=self.head_dim, base=self.base, window=self.window_tokens, context=context
        )


def read_extension(config: ModelConfig) -> Extension:
    """How a config says that positions are scaled.

    Raises:
        RunError: its RoPE type is none of the methods known here.
    """
    rope: dict[str, Any] = config.rope_parameters  # type: ignore[assignment]
    kind = rope.get("rope_type", "default")
    base = float(rope["rope_theta"])
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
            # Checkpoints extended elsewhere have no record of ours; by custom their max_position_embeddings is L'.
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
    return Extension(scaling, window, base, head_dim(config))


def compose(current: Extension, scaling: Scaling) -> Extension:
    """The extension that results from extending once more. Factors multiply: x2 and then x4 is x8.

    Args:
        current: how positions are scaled now.
        scaling: the method to apply, with its factor over the present window.

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
    """A copy of a config.json's content in which positions are scaled as `extension` says; nothing else changes."""
    scaling, window = extension.scaling, extension.window_tokens
    rope: dict[str, Any] = {"rope_theta": extension.base, "rope_type": "default"}
    positions = extension.context_tokens
    match scaling:
        case NoScaling():
            pass
        case LinearPI(factor=factor):
            rope |= {"rope_type": "linear", "factor": factor}
        case NTKAware():
            # The new base c' follows from theta'_1 = c'^(-2/d), so that its formula stands in pi_theory alone.
            # At d = 2 the only frequency is theta_0 = 1, whatever the base.
            if extension.head_dim > 2:
                rope["rope_theta"] = float(extension.frequencies()[1] ** (-extension.head_dim / 2))
        case DynamicNTK(factor=factor):
            rope |= {"rope_type": "dynamic", "factor": factor}
            positions = window  # where transformers reads the trained window for this method
        case Yarn(factor=factor):
            rope |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": window}
            rope |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, "truncate": scaling.truncate}
        case Llama3(factor=factor):
            rope |= {"rope_type": "llama3", "factor": factor, "original_max_position_embeddings": window}
            rope |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    method = {"LinearPI": "linear", "NTKAware": "ntk", "DynamicNTK": "dynamic", "Yarn": "yarn", "Llama3": "llama3"}
    # Older versions of transformers used the first two keys; left in place they would contradict the new ones.
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


def check_frequencies(rotary: Any, config: ModelConfig) -> Extension:
    """Compare the frequencies that transformers' rotary embedding will really use with those of pi_theory.

    The frequencies are not among the saved weights. If the config is edited after the model was built, the whole model
    is cast to bfloat16 or loaded on the meta device, they are wrong and nothing else shows it.

    Args:
        rotary: the model's rotary embedding.
        config: the model's config.

    Returns:
        What the config says about positions, which is now known to be true of the model.

    Raises:
        RunError: the frequencies differ by more than float32 rounding.
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
    """Whether frequencies change with the input's length, so that a long pass does not give the results of shorter."""
    return isinstance(extension.scaling, DynamicNTK)


def reset_frequencies(model: CausalLM) -> None:
    """Make a model forget the longest input it has seen; this concerns dynamic scaling only.

    transformers keeps the frequencies of a long input until a short one comes, so without this call a result would
    depend on what was evaluated before it.
    """
    rotary = model.model.rotary_emb
    if "dynamic" in rotary.rope_type:
        rotary.inv_freq = rotary.original_inv_freq.to(rotary.inv_freq.device, copy=True)
        rotary.max_seq_len_cached = rotary.original_max_seq_len
