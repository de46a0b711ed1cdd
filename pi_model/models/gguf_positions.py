"""How positions are scaled, as GGUF's metadata say it: written from an extension, and read into a config's fields.

llama.cpp knows linear scaling, YaRN, and a tensor with one divisor for each frequency; Llama 3's scaling is such a
tensor. NTK-aware scaling is a larger base. Facts about llama.cpp are from its source as of 2025.
"""

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pi_model.errors import RunError, UsageError
from pi_model.models.rope_fields import RECORD_KEY
from pi_model.models.rope_parameters import Extension
from pi_theory.scaling import DynamicNTK, LinearPI, Llama3, NoScaling, NTKAware, Yarn, scaled_frequencies

if TYPE_CHECKING:
    from gguf import GGUFWriter

# Those of every released Llama 3, the window in tokens.
_LLAMA3_FACTORS, _LLAMA3_WINDOW = (8.0, 32.0), 8192

_YARN = {"beta_fast": 32.0, "beta_slow": 1.0}

# Other programs compute divisors in float32, and round them to it.
_DIVISOR_RTOL = 1e-4


def write_positions(
    writer: "GGUFWriter", extension: Extension, record: dict[str, Any] | None, *, llama3: bool = True
) -> np.ndarray | None:
    """Write the metadata that describe positions.

    Args:
        writer: takes them.
        extension: how positions are scaled.
        record: our own record of it in config.json. llama.cpp ignores it; without it, nothing in a GGUF file would
            tell NTK-aware scaling from a larger base in training.
        llama3: whether llama.cpp reads divisors of frequencies for this family.

    Returns:
        The divisor of each frequency, shape (head_dim / 2,), if the scaling needs a tensor of them.

    Raises:
        UsageError: llama.cpp does not have this scaling.
    """
    from gguf import RopeScalingType

    scaling, base = extension.scaling, extension.base
    match scaling:
        case LinearPI(factor=factor):
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(factor)
        case NTKAware() if extension.head_dim > 2:
            base = float(extension.frequencies()[1] ** (-extension.head_dim / 2))
        case Yarn(factor=factor):
            if not scaling.truncate:
                raise UsageError("method: llama.cpp rounds YaRN's ramp outward; this checkpoint's has truncate=false")
            # Their fields in GGUF are not read for the families that are supported here.
            if (scaling.beta_fast, scaling.beta_slow) != (_YARN["beta_fast"], _YARN["beta_slow"]):
                raise UsageError(
                    "method: llama.cpp's YaRN has beta_fast 32 and beta_slow 1; this checkpoint's are "
                    f"{scaling.beta_fast:g} and {scaling.beta_slow:g}"
                )
            writer.add_rope_scaling_type(RopeScalingType.YARN)
            writer.add_rope_scaling_factor(factor)
        case Llama3() if not llama3:
            raise UsageError(
                "method: llama.cpp has Llama 3's scaling for LLaMA and Mistral only; extend by linear or yarn"
            )
        case DynamicNTK():
            raise UsageError("method: llama.cpp has no dynamic NTK scaling; extend by linear, ntk, yarn or llama3")
    writer.add_context_length(extension.context_tokens)
    writer.add_rope_freq_base(base)
    if isinstance(scaling, LinearPI | Yarn | Llama3):
        writer.add_rope_scaling_orig_ctx_len(extension.original_tokens)
    if record:
        writer.add_string(RECORD_KEY, json.dumps(record))
    if not isinstance(scaling, Llama3):
        return None
    divisors: np.ndarray = replace(extension, scaling=NoScaling()).frequencies() / extension.frequencies()
    return divisors.astype(np.float32)


def read_positions(
    said: dict[str, Any], record: str | None, divisors: np.ndarray | None, head_dim: int
) -> dict[str, Any]:
    """The fields of a config.json for what a GGUF file says about positions.

    Args:
        said: the file's metadata without the architecture before their names; those that are read are taken out.
        record: our own record as `write_positions` has written it, if there is one.
        divisors: the divisor of each frequency, if the file has them.
        head_dim: d, the size of a head.

    Raises:
        RunError: positions are scaled in a way that is not known here, or a value makes no sense.
    """
    context = take_number(said, "context_length", None)
    base = take_number(said, "rope.freq_base", 10000.0)
    # A type that is missing means linear to llama.cpp, and a factor of 0 that there is none.
    kind = said.pop("rope.scaling.type", "linear")
    legacy, factor = said.pop("rope.scale_linear", 0.0), said.pop("rope.scaling.factor", None)
    factor = _number("rope.scaling.factor", legacy if factor is None else factor) or 1.0
    window = int(take_number(said, "rope.scaling.original_context_length", 0) or 0)
    betas = {name: take_number(said, f"rope.scaling.yarn_{name}", value) for name, value in _YARN.items()}
    if kind not in ("none", "linear", "yarn"):
        raise RunError(f"rope.scaling.type is {kind!r}; supported are none, linear and yarn")
    if not 1 <= factor < math.inf:
        raise RunError(f"rope.scaling.factor is {factor:g}; it must be at least 1")
    _check_yarn(said, kind, factor)
    recorded = json.loads(record or "{}")
    if kind == "none" or (factor == 1 and recorded.get("method") != kind):
        kind = "default"
    rope: dict[str, Any] = {"rope_theta": base, "rope_type": kind}
    factor = _unrounded(factor, context / window if window else 0.0)
    # Over a long window all of them may be 1.
    if divisors is not None and ((divisors != 1).any() or recorded.get("method") == "llama3"):
        if kind != "default":
            raise RunError(f"positions are scaled twice, by rope.scaling.type {kind} and by rope_freqs.weight")
        rope |= _llama3(divisors, head_dim, base, int(context), window, recorded)
    elif kind == "linear":
        rope |= {"factor": factor}
    elif kind == "yarn":
        # Where the window is missing, llama.cpp takes the whole context for it.
        rope |= {"factor": factor, "original_max_position_embeddings": window or int(context)} | betas
    # Versions of transformers before 5 read rope_theta, and rope_scaling below.
    fields: dict[str, Any] = {"max_position_embeddings": int(context), "rope_parameters": rope, "rope_theta": base}
    if kind == "linear" and window:
        fields["original_max_position_embeddings"] = window
    if rope["rope_type"] != "default":
        fields["rope_scaling"] = {name: value for name, value in rope.items() if name != "rope_theta"}
    return fields | ({RECORD_KEY: recorded} if recorded else {})


def _check_yarn(said: dict[str, Any], kind: str, factor: float) -> None:
    """Take out what else is said about scaling; raise RunError if it changes anything."""
    attention = 0.1 * math.log(factor) + 1
    for name, plain in {
        "attn_factor": (1.0,),
        "yarn_attn_factor": (1.0, attention),  # llama.cpp has the second by itself
        "yarn_ext_factor": (-1.0, float(kind == "yarn")),  # negative says: as the type has it
    }.items():
        value = _number(f"rope.scaling.{name}", said.pop(f"rope.scaling.{name}", plain[0]))
        if not any(math.isclose(value, one, rel_tol=1e-5) for one in plain):
            raise RunError(f"rope.scaling.{name} is {value:g}, which is not supported; it must be {plain[-1]:g}")
    said.pop("rope.scaling.finetuned", None)


def _unrounded(factor: float, expected: float) -> float:
    """The factor that was rounded to float32: the one expected if it can be, or the one with the fewest digits."""
    return expected if np.float32(expected) == np.float32(factor) else float(str(np.float32(factor)))


def _llama3(
    divisors: np.ndarray, head_dim: int, base: float, context: int, window: int, record: dict[str, Any]
) -> dict[str, Any]:
    """Llama 3's scaling as a config has it, recognised by its divisors.

    Raises:
        RunError: no scaling of Llama 3's gives these divisors.
    """
    if divisors.shape != (head_dim // 2,):
        raise RunError(f"rope_freqs.weight has {divisors.size} divisors for {head_dim // 2} frequencies")
    unscaled = scaled_frequencies(NoScaling(), head_dim=head_dim, base=base, window=1)
    greatest = float(np.float32(divisors.max()))
    candidates = [(record.get("factor", 0.0), record.get("formula_tokens") or record.get("window_tokens", 0))]
    candidates += [(greatest, window), (context / window if window else 0.0, window)]
    # A frequency that is neither kept nor fully divided tells the window by how much of it is kept.
    blended = np.flatnonzero((divisors > 1) & (divisors < greatest * (1 - _DIVISOR_RTOL)))
    for index in blended[:1]:
        kept = (1 / divisors[index] - 1 / greatest) / (1 - 1 / greatest)
        candidates.append((greatest, round(2 * math.pi * (1 + 3 * kept) / unscaled[index])))
    candidates += [(greatest, _LLAMA3_WINDOW), (greatest, round(context / greatest))]
    candidates += [(factor, _LLAMA3_WINDOW) for factor in _LLAMA3_FACTORS]
    for factor, tokens in candidates:
        if not (1 <= factor < math.inf and tokens >= 1):
            continue
        scaling = Llama3(factor)
        ours = unscaled / scaled_frequencies(scaling, head_dim=head_dim, base=base, window=tokens)
        if np.allclose(divisors, ours, rtol=_DIVISOR_RTOL, atol=0):
            return {
                "rope_type": "llama3",
                "factor": _unrounded(factor, context / tokens),
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": tokens,
            }
    raise RunError("rope_freqs.weight divides frequencies in a way that is not Llama 3's; only that is supported")


def take_number(said: dict[str, Any], name: str, default: float | None) -> float:
    """Take a number above 0 out of a file's metadata, or the default where there is none.

    Args:
        said: the metadata.
        name: of the number.
        default: any number, or None if there has to be one.

    Raises:
        RunError: it is missing, no number, or not above 0.
    """
    value = said.pop(name, default)
    if value is None:
        raise RunError(f"{name} is missing")
    number = _number(name, value)
    if not 0 < number < math.inf and value != default:
        raise RunError(f"{name} is {value}; it must be above 0")
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise RunError(f"{name} is {value!r}; it must be a number")
    return float(value)
