"""Read scaling methods from Hugging Face configs and write them there.

`pi_model.models.rope_fields` checks the fields, and `pi_model.models.trained_window` decides what they say about the
window. Hugging Face models pair component j of a head with j + d/2 (rotate-half). The frequencies do not depend on the
pairing.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pi_model.errors import RunError, UsageError
from pi_model.models.families import CausalLM
from pi_model.models.rope_fields import (
    CHUNKS_KEY,
    LENGTH_KEYS,
    LONGEST_WINDOW,
    RATIO_KEY,
    RECORD_KEY,
    RopeFields,
    rope_fields,
    states_length,
)
from pi_model.models.trained_window import TrainedWindow, served, trained_window, window_by_context
from pi_theory.scaling import (
    METHODS,
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

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# transformers computes powers in float32, pi_theory in float64: theta_j differs by a few units in the last place.
FREQUENCY_RTOL = 1e-5

_METHOD_NAMES = {method: name for name, method in METHODS.items()}


@dataclass(frozen=True)
class Extension:
    """How the positions of a checkpoint are scaled.

    Attributes:
        scaling: the method, with its factor over the trained window.
        window_tokens: L, the trained window.
        base: c, the RoPE base in training.
        head_dim: d, the size of a head.
        served_tokens: L' where it is not factor x L, as in Llama 3.1, whose factor 8 over 8192 serves 131072.
        formula_tokens: the length in the method's formula where it is not L, because someone said another window.
        source: which field the trained window was taken from.
    """

    scaling: Scaling
    window_tokens: int
    base: float
    head_dim: int
    served_tokens: int | None = None
    formula_tokens: int | None = None
    source: str = field(default="", compare=False)

    @property
    def method(self) -> str:
        """The method's name, a key of `pi_theory.scaling.METHODS`."""
        return _METHOD_NAMES[type(self.scaling)]

    @property
    def factor(self) -> float:
        """The factor of the scaling method, which is L'/L for all methods but Llama 3's; 1 without scaling."""
        return 1.0 if isinstance(self.scaling, NoScaling) else self.scaling.factor

    @property
    def context_tokens(self) -> int:
        """L', the longest context that is not extrapolation."""
        return self.served_tokens or served(self.window_tokens, self.factor)

    @property
    def original_tokens(self) -> int:
        """The length that the method's formula takes for the trained window."""
        return self.formula_tokens or self.window_tokens

    @property
    def stated(self) -> str:
        """One line that says which window was taken from which field."""
        trained = f"trained on {self.window_tokens} tokens" + (f" ({self.source})" if self.source else "")
        if isinstance(self.scaling, NoScaling):
            return trained
        return f"{trained}, serves {self.context_tokens} by {self.method} x{self.factor:g}"

    def frequencies(self, context: int | None = None) -> np.ndarray:
        """The scaled frequencies theta'_j in radians a position, shape (head_dim / 2,), float64.

        Args:
            context: length of the input in tokens, which only `DynamicNTK` depends on.
        """
        return scaled_frequencies(
            self.scaling, head_dim=self.head_dim, base=self.base, window=self.original_tokens, context=context
        )


def read_extension(
    config: "PreTrainedConfig | dict[str, Any]",
    *,
    window_tokens: int | None = None,
    context_tokens: int | None = None,
) -> Extension:
    """How a config says that positions are scaled.

    Args:
        config: a config of transformers, or the content of a config.json.
        window_tokens: the trained window, against whatever the config says about it.
        context_tokens: the window in service, which decides only where the config does not.

    Raises:
        RunError: a RoPE field is malformed or of an unknown method, or the fields say nothing about the trained window
            or contradict each other.
        UsageError: `window_tokens` is not positive.
    """
    fields = rope_fields(config if isinstance(config, dict) else config.to_dict())
    if window_tokens is None and context_tokens is not None:
        return _extension(fields, window_by_context(fields, context_tokens))
    return _extension(fields, trained_window(fields, window_tokens))


def _extension(fields: RopeFields, found: TrainedWindow) -> Extension:
    base = fields.base
    scaling: Scaling
    if fields.kind != "default":
        scaling = METHODS[fields.kind](**fields.settings)
    elif fields.record:
        scaling, base = NTKAware(fields.record["factor"]), fields.record["base"]
    else:
        scaling = LinearPI(found.interpolation) if found.interpolation > 1 else NoScaling()
    extension = Extension(scaling, found.window_tokens, base, fields.head_dim, source=found.source)
    if extension.context_tokens != found.context_tokens:
        extension = replace(extension, served_tokens=found.context_tokens)
    if found.formula_tokens != found.window_tokens:
        extension = replace(extension, formula_tokens=found.formula_tokens)
    return extension


def understood(
    content: dict[str, Any], *, window_tokens: int | None = None, context_tokens: int | None = None
) -> dict[str, Any]:
    """A config.json's content from which transformers, and every later `read_extension`, get what was understood here.

    It is the same content, unless someone said the window, the file states no max_position_embeddings, or only the
    folder's own code scales positions, which transformers' own model would ignore.

    Args:
        content: the content of a config.json.
        window_tokens, context_tokens: as for `read_extension`.

    Raises:
        RunError, UsageError: as `read_extension` does.
    """
    extension = read_extension(content, window_tokens=window_tokens, context_tokens=context_tokens)
    fields = rope_fields(content)
    plain = fields.max_positions is not None and fields.custom_factor == 1 and not fields.by_unknown_code
    return content if plain and extension == _or_none(content) else write_extension(content, extension)


def _or_none(content: dict[str, Any]) -> Extension | None:
    try:
        return read_extension(content)
    except RunError:
        return None


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
    context = current.context_tokens * scaling.factor
    source = current.source
    if not isinstance(current.scaling, NoScaling):
        if type(current.scaling) is not type(scaling):
            raise UsageError(
                f"method: this checkpoint is already extended by {current.method} x{current.factor:g}, which does not "
                f"compose with {_METHOD_NAMES[type(scaling)]}; start from the checkpoint that was extended, or use the "
                "same method"
            )
        # Where a config has its factor in few digits, the window itself is exact. Llama 3's factor is not L'/L.
        exact = current.served_tokens is None and abs(context - round(context)) <= 1e-5
        factor = context / current.window_tokens if exact else current.factor * scaling.factor
        scaling = replace(current.scaling, factor=factor)
        source += f"; factor {current.factor:g} becomes {scaling.factor:g}"
    if context > LONGEST_WINDOW:
        raise UsageError(f"factor: {context:g} tokens is more than any window; at most {LONGEST_WINDOW} are taken")
    if abs(context - served(1, context)) > 1e-5:
        nearest = " and ".join(
            f"{tokens / current.context_tokens:.12g} gives {tokens}" for tokens in (int(context), int(context) + 1)
        )
        raise UsageError(
            f"factor: {context / current.context_tokens:g} x {current.context_tokens} is not a whole number of tokens; "
            f"{nearest}"
        )
    extended = replace(current, scaling=scaling, served_tokens=None, source=source)
    if extended.context_tokens != served(1, context):
        extended = replace(extended, served_tokens=served(1, context))
    return extended


def write_extension(config: dict[str, Any], extension: Extension, dtype: str | None = None) -> dict[str, Any]:
    """A copy of a config.json's content in which positions are scaled as `extension` says.

    Both spellings of the RoPE fields are written, ``rope_scaling`` with ``rope_theta`` for transformers 4 and others,
    and ``rope_parameters`` for transformers 5. Fields that repeat the window follow it. A length that nothing states is
    not added. A folder's own code is left out: it would scale positions again, and it is not copied with a model.

    Args:
        config: the content.
        extension: how positions are to be scaled.
        dtype: number format of the weights, for both names of that field; None leaves them as they are.
    """
    scaling, window = extension.scaling, extension.window_tokens
    original = extension.original_tokens
    rope: dict[str, Any] = {}
    base = extension.base
    positions = extension.context_tokens
    match scaling:
        case NoScaling():
            pass
        case LinearPI(factor=factor):
            rope = {"rope_type": "linear", "factor": factor}
        case NTKAware():
            # The new base c' follows from theta'_1 = c'^(-2/d), so that its formula stands in pi_theory alone.
            # At d = 2 the only frequency is theta_0 = 1, whatever the base.
            if extension.head_dim > 2:
                base = float(extension.frequencies()[1] ** (-extension.head_dim / 2))
        case DynamicNTK(factor=factor):
            rope = {"rope_type": "dynamic", "factor": factor}
            positions = original  # where transformers reads the trained window for this method
        case Yarn(factor=factor):
            rope = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
            rope |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, "truncate": scaling.truncate}
        case Llama3(factor=factor):
            rope = {"rope_type": "llama3", "factor": factor, "original_max_position_embeddings": original}
            rope |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    gone = ("original_max_position_embeddings", RATIO_KEY, CHUNKS_KEY, RECORD_KEY, "auto_map")
    new = {key: value for key, value in config.items() if key not in gone}
    new |= {key: extension.context_tokens for key in ("max_length", *LENGTH_KEYS) if states_length(config.get(key))}
    new |= {} if dtype is None else {"dtype": dtype, "torch_dtype": dtype}  # transformers 4 reads the second
    new |= {
        "max_position_embeddings": positions,
        "rope_theta": base,
        # The oldest spelling of rope_type is "type".
        "rope_scaling": {**rope, "type": rope["rope_type"]} if rope else None,
        "rope_parameters": {"rope_theta": base, "rope_type": "default", **rope},
    }
    if not isinstance(scaling, NoScaling):
        new[RECORD_KEY] = {
            "method": extension.method,
            "factor": extension.factor,
            "window_tokens": window,
            "base": extension.base,
        }
        if extension.formula_tokens is not None:
            new[RECORD_KEY]["formula_tokens"] = extension.formula_tokens
    return new


def check_frequencies(rotary: Any, config: "PreTrainedConfig") -> Extension:
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
    import torch

    extension = read_extension(config)
    ours = extension.frequencies(context=extension.original_tokens)
    on_meta = rotary.inv_freq.is_meta
    theirs = np.full(0, np.nan) if on_meta else rotary.inv_freq.detach().to("cpu", torch.float64).numpy()
    agree = ours.shape == theirs.shape and np.allclose(theirs, ours, rtol=FREQUENCY_RTOL, atol=0)
    if not agree or abs(rotary.attention_scaling - attention_factor(extension.scaling)) > FREQUENCY_RTOL:
        raise RunError(
            f"RoPE frequencies of the loaded model are not those of its config ({extension.method} "
            f"x{extension.factor:g}, base {extension.base:g}); config.json has a key about positions that is not "
            "supported, or the model was changed after loading: load it again, or extend the original checkpoint again"
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
