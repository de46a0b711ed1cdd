"""Every field of a config.json that concerns RoPE or the context window, checked in one place.

Two spellings are read: ``rope_scaling`` with ``rope_theta`` beside it, and ``rope_parameters``, which newer versions of
transformers write. What the fields mean for the window is decided in `pi_model.models.trained_window`.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from pi_model.errors import RunError

# Our own key in config.json, which transformers ignores. Without it two methods could not be read back or composed:
# to transformers NTK-aware scaling is just a larger base, and linear scaling does not say what the trained window was.
RECORD_KEY = "position_interpolation"

ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "llama3")

# FastChat's code divides positions by this before rope_scaling existed; transformers ignores it.
RATIO_KEY = "rope_condense_ratio"

# Qwen2.5-1M's own attention folds positions back into the trained window; plain transformers has no such attention.
CHUNKS_KEY = "dual_chunk_attention_config"

# Other names under which configs state a window, the trained one or the extended one. Transformers ignores them; some
# servers take the smallest of all.
LENGTH_KEYS = (
    *("max_sequence_length", "max_seq_length", "max_seq_len", "seq_length", "seq_len"),
    *("model_max_length", "tokenizer_model_max_length", "n_positions", "n_ctx"),
)

# The keys of the RoPE settings that are read, for every method and for one; "finetuned" is a remark of YaRN's authors.
_INSIDE = ("type", "rope_type", "rope_theta", "factor", "partial_rotary_factor", "finetuned")
_INSIDE_OF = {
    "yarn": ("beta_fast", "beta_slow", "truncate", "attention_factor", "mscale", "mscale_all_dim"),
    "llama3": ("low_freq_factor", "high_freq_factor"),
}

# How keys look by which configs of other families, and custom code, say something about positions. Transformers' models
# of the families here ignore them all, so a value that would change anything is refused.
_CONCERNS_POSITIONS = re.compile(r"rope|rotary|alibi|ntk|logn|(?<!max_)position_embedding")
_READ = ("rope_theta", "rope_scaling", "rope_parameters", "rope_condense_ratio")
_NO_CHANGE: dict[str, tuple[Any, ...]] = {
    "position_embedding_type": ("rope", "rotary"),
    "use_rope": (True,),
    "use_rotary_embedding": (True,),
    "rotary": (True,),
    "partial_rotary_factor": (1,),
    "rotary_pct": (1,),
    "rotary_emb_fraction": (1,),
    "rope_ratio": (1,),
}
_BASE_ELSEWHERE = ("rotary_emb_base", "rotary_embedding_base", "rotary_base", "rope_base")

# transformers' size of a head where the config has none; all other families have hidden_size / num_attention_heads.
_HEAD_DIMS: dict[Any, int] = {"qwen3": 128}

_ORIGINAL = "original_max_position_embeddings"
# In tokens. Tokenizers write 1e30 where they know no limit, and so do some configs in fields that may be without one.
LONGEST_WINDOW = 10**9
_LARGEST_FACTOR = 1e6


@dataclass(frozen=True)
class RopeFields:
    """What a config says about positions, field by field, before any of it is interpreted.

    Attributes:
        family: model_type; empty where there is none.
        kind: one of `ROPE_TYPES`.
        settings: the numbers of the scaling method, checked; empty for the default.
        base: c, the RoPE base.
        head_dim: d, the size of a head.
        max_positions: max_position_embeddings in tokens, or None.
        original: original_max_position_embeddings in tokens, from beside or inside the RoPE settings, or None.
        lengths: the other fields that state a window, in tokens, by name.
        max_length: the limit of generation in tokens, or None.
        ratio: rope_condense_ratio, by which custom code divides positions, or None.
        code: the model class of the folder's own code, or None.
        record: what this tool wrote when it extended the model; empty where it did not.
    """

    family: str
    kind: str
    settings: dict[str, Any]
    base: float
    head_dim: int
    max_positions: int | None
    original: int | None
    lengths: dict[str, int]
    max_length: int | None
    ratio: float | None
    code: str | None
    record: dict[str, Any]

    @property
    def factor(self) -> float:
        """The factor of the method that is in force; 1 without one."""
        return float(self.settings.get("factor") or self.ratio or 1.0)

    @property
    def custom_factor(self) -> float:
        """The factor of linear scaling that rope_condense_ratio alone states; 1 where there is none."""
        return self.ratio if self.ratio is not None and self.kind == "default" else 1.0

    @property
    def by_unknown_code(self) -> bool:
        """Whether the folder's own code computes positions, and no field states how."""
        return self.code is not None and self.kind == "default" and self.ratio is None and not self.record


def rope_fields(content: dict[str, Any]) -> RopeFields:
    """Read and check the fields that concern RoPE.

    Args:
        content: the content of a config.json.

    Raises:
        RunError: a field is missing, of the wrong type or out of range, or two spellings contradict each other.
    """
    name, rope = _rope_dict(content)
    kind = _kind(name, rope)
    settings = _settings(name, kind, rope)
    outer, inner = _tokens(content, _ORIGINAL), _tokens(rope, _ORIGINAL, f"{name}.")
    if outer is not None and inner is not None and outer != inner:
        raise _broken(f"{_ORIGINAL} is {outer}, and {inner} inside {name}; they contradict each other, keep one")
    if kind == "llama3" and outer is None and inner is None:
        raise _broken(f"{name}.{_ORIGINAL} is missing; llama3 needs the window before its extension, such as 8192")
    lengths = {key: _tokens(content, key, limit=LONGEST_WINDOW) for key in LENGTH_KEYS}
    if isinstance(chunks := content.get(CHUNKS_KEY), dict):
        lengths[f"{CHUNKS_KEY}.{_ORIGINAL}"] = _tokens(chunks, _ORIGINAL, f"{CHUNKS_KEY}.")
    ratio = _factor(content, RATIO_KEY)
    if ratio is not None and kind != "default" and (kind, settings["factor"]) != ("linear", ratio):
        raise _broken(f"{RATIO_KEY} {ratio:g} and {name} ({kind} x{settings['factor']:g}) contradict each other")
    base, head_dim = _base(content, name, rope), _head_dim(content)
    _refuse_ignored(content, base, head_dim)
    return RopeFields(
        family=str(content.get("model_type") or ""),
        kind=kind,
        settings=settings,
        base=base,
        head_dim=head_dim,
        max_positions=_tokens(content, "max_position_embeddings"),
        original=outer if outer is not None else inner,
        lengths={key: length for key, length in lengths.items() if length is not None},
        max_length=_tokens(content, "max_length", limit=LONGEST_WINDOW),
        ratio=None if ratio == 1.0 else ratio,
        code=_custom_code(content),
        record=_record(content, kind, settings),
    )


def states_length(value: Any) -> bool:
    """Whether a value is a number of tokens, rather than absent or none at all."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= LONGEST_WINDOW


def _broken(what: str) -> RunError:
    return RunError(f"config.json: {what}")


def _rope_dict(content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The RoPE settings, and under which of the two names they stand."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("rope_scaling", "rope_parameters"):
        rope = content.get(name)
        if rope is not None and not isinstance(rope, dict):
            raise _broken(f'{name} is {rope!r}, but must be an object such as {{"rope_type": "linear", "factor": 2.0}}')
        if rope and any(isinstance(value, dict) for value in rope.values()):
            raise _broken(f"{name} differs from layer to layer, which is not supported")
        if rope:
            found[name] = rope
    if len(found) == 2:
        old, new = (
            {k: v for k, v in r.items() if k not in ("type", "rope_type", "rope_theta")} for r in found.values()
        )
        if old != new or len({_kind(name, rope) for name, rope in found.items()}) == 2:
            raise _broken("rope_scaling and rope_parameters contradict each other; keep the right one")
        return "rope_scaling", found["rope_parameters"] | found["rope_scaling"]
    return next(iter(found.items()), ("rope_scaling", {}))


def _kind(name: str, rope: dict[str, Any]) -> str:
    kinds = [rope[key] for key in ("rope_type", "type") if key in rope]
    for kind in kinds:
        if not isinstance(kind, str) or kind not in ROPE_TYPES:
            raise _broken(f"RoPE type {_shown(kind)} is not supported; use {', '.join(ROPE_TYPES)}")
    if len(set(kinds)) == 2:
        raise _broken(f"{name} has rope_type {kinds[0]!r} and type {kinds[1]!r}; keep the right one")
    found: str = kinds[0] if kinds else "default"
    if found == "default" and rope.get("factor") not in (None, 1, 1.0):
        raise _broken(f'{name} has the factor {rope["factor"]!r} but no method; add "rope_type", such as "linear"')
    return found


def _settings(name: str, kind: str, rope: dict[str, Any]) -> dict[str, Any]:
    """The method's own numbers."""
    inside = f"{name}."
    known = {*_INSIDE, _ORIGINAL, *_INSIDE_OF.get(kind, ())}
    for key, value in rope.items():
        if key not in known and value is not None:
            raise _broken(f"{inside}{key} says nothing for RoPE of type {kind}; remove it, or correct the type")
    partial = _number(rope, "partial_rotary_factor", inside)
    if partial not in (None, 1.0):
        raise _broken(f"{inside}partial_rotary_factor {partial:g}: RoPE on a part of each head is not supported")
    if kind == "default":
        return {}
    factor = _factor(rope, "factor", inside)
    if factor is None:
        raise _broken(f"{inside}factor is missing; {kind} needs a number of at least 1")
    if kind == "yarn":
        fast, slow = (
            number if (number := _number(rope, key, inside)) is not None else usual
            for key, usual in (("beta_fast", 32.0), ("beta_slow", 1.0))
        )
        _rising(f"{inside}beta_slow and {inside}beta_fast", slow, fast)
        truncate = rope.get("truncate", True)
        if not isinstance(truncate, bool):
            raise _broken(f"{inside}truncate is {truncate!r}, but must be true or false")
        _check_attention(rope, inside, factor)
        return {"factor": factor, "beta_fast": fast, "beta_slow": slow, "truncate": truncate}
    if kind == "llama3":
        low, high = (_number(rope, key, inside) for key in ("low_freq_factor", "high_freq_factor"))
        if low is None or high is None:
            missing = "low_freq_factor" if low is None else "high_freq_factor"
            raise _broken(f"{inside}{missing} is missing; llama3 needs a number (Llama 3.1 has 1 and 4)")
        _rising(f"{inside}low_freq_factor and {inside}high_freq_factor", low, high)
        return {"factor": factor, "low_freq_factor": low, "high_freq_factor": high}
    return {"factor": factor}


def _rising(names: str, low: float, high: float) -> None:
    if not 0 < low < high:
        raise _broken(f"{names} are {low:g} and {high:g}, but must be positive and rise")


def _check_attention(rope: dict[str, Any], inside: str, factor: float) -> None:
    """YaRN's attention factor can be stated in two ways. Only the published one, 0.1 ln(factor) + 1, is supported."""
    published = 0.1 * math.log(factor) + 1.0
    stated = _number(rope, "attention_factor", inside)
    mscale, over = (_number(rope, key, inside, at_least=0.0) for key in ("mscale", "mscale_all_dim"))
    if stated is None and mscale and over:
        stated = (0.1 * mscale * math.log(factor) + 1.0) / (0.1 * over * math.log(factor) + 1.0)
    if stated is not None and abs(stated - published) > 1e-5 * published:
        raise _broken(
            f"{inside}attention_factor, or mscale and mscale_all_dim, give attention the factor {stated:g}; only "
            f"YaRN's published {published:g} for x{factor:g} is supported"
        )


def _base(content: dict[str, Any], name: str, rope: dict[str, Any]) -> float:
    bases = []
    for where, key in ((content, "rope_theta"), (rope, f"{name}.rope_theta")):
        if "rope_theta" in where:
            base = where["rope_theta"]
            if not _is_number(base) or base <= 1:
                raise _broken(f"{key} is {_shown(base)}, but must be a number above 1; LLaMA's is 10000")
            bases.append(float(base))
    if len(set(bases)) == 2:
        raise _broken(f"rope_theta is {bases[0]:g}, and {bases[1]:g} inside {name}; keep the right one")
    return bases[0] if bases else 10000.0  # transformers' default for every family here


def _head_dim(content: dict[str, Any]) -> int:
    hidden = _tokens(content, "hidden_size") or 4096
    heads = _tokens(content, "num_attention_heads") or 32
    kv_heads = _tokens(content, "num_key_value_heads") or heads
    head_dim = _tokens(content, "head_dim") or _HEAD_DIMS.get(str(content.get("model_type")))
    if heads % kv_heads:
        raise _broken(f"num_key_value_heads {kv_heads} does not divide num_attention_heads {heads}")
    if head_dim is None and hidden % heads:
        raise _broken(f"num_attention_heads {heads} does not divide hidden_size {hidden}, and there is no head_dim")
    head_dim = head_dim or hidden // heads
    if head_dim % 2:
        raise _broken(f"heads of {head_dim} numbers cannot be rotated in pairs; head_dim must be even")
    return head_dim


def _refuse_ignored(content: dict[str, Any], base: float, head_dim: int) -> None:
    """Raise RunError for a field about positions that the model would have to heed and does not."""
    for key, value in content.items():
        if key in _READ or value is None or value is False or not _CONCERNS_POSITIONS.search(key.lower()):
            continue
        if key in _BASE_ELSEWHERE:
            if value != base:
                raise _broken(
                    f"{key} is {value!r}, but rope_theta, which is read, is {base:g}; keep the right one there"
                )
        elif key in ("rotary_dim", "rotary_ndims"):
            if value != head_dim:
                raise _broken(f"{key} is {value!r}, but heads of {head_dim} numbers are rotated whole")
        elif key == "no_rope_layers":  # a list with 1 for each layer that has RoPE
            if value and value != [1] * len(value):
                raise _broken(f"{key} is {value!r}, but every layer here has RoPE")
        elif value not in _NO_CHANGE.get(key, ()):
            raise _broken(f"{key} is {value!r}, which is not supported; remove it if the model was trained without it")


def _custom_code(content: dict[str, Any]) -> str | None:
    """The class by which the folder's own code replaces transformers' model, if it does."""
    code = content.get("auto_map")
    if code is None:
        return None
    if not isinstance(code, dict):
        raise _broken(f"auto_map is {code!r}, but must be an object")
    models = [str(where) for key, where in code.items() if str(key).startswith("AutoModel") and where is not None]
    return models[0] if models else None


def _record(content: dict[str, Any], kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Our own record, checked against the RoPE settings that it describes."""
    record = content.get(RECORD_KEY)
    if record is None:
        return {}
    inside = f"{RECORD_KEY}."
    if not isinstance(record, dict):
        raise _broken(f"{RECORD_KEY} is {record!r}, but must be an object; remove it")
    read = {
        "factor": _factor(record, "factor", inside),
        "window_tokens": _tokens(record, "window_tokens", inside),
        "base": _number(record, "base", inside),
    }
    for key, value in read.items():
        if value is None:
            raise _broken(f"{inside}{key} is missing; extend the original model again")
    method = record.get("method")
    written = "default" if method == "ntk" else method
    same_factor = method == "ntk" or math.isclose(read["factor"] or 0, settings.get("factor", 1.0), rel_tol=1e-6)
    if written != kind or not same_factor:
        raise _broken(
            f"{RECORD_KEY} records {method} x{read['factor']:g}, which the RoPE fields contradict: the file was edited "
            "by hand; extend the original model again"
        )
    return {"method": method, **read, "formula_tokens": _tokens(record, "formula_tokens", inside)}


def _is_number(value: Any) -> bool:
    # The limit keeps frequencies within float32. NTK-aware scaling of small heads comes nearest to it.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)


def _factor(content: dict[str, Any], key: str, inside: str = "") -> float | None:
    return _number(content, key, inside, at_least=1.0, at_most=_LARGEST_FACTOR)


def _number(
    content: dict[str, Any], key: str, inside: str = "", at_least: float = -math.inf, at_most: float = math.inf
) -> float | None:
    value = content.get(key)
    if value is None:
        return None
    if not _is_number(value) or not at_least <= value <= at_most:
        limits = f" of at least {at_least:g}" if at_least > -math.inf else ""
        limits += f" and at most {at_most:g}" if at_most < math.inf else ""
        raise _broken(f"{inside}{key} is {_shown(value)}, but must be a number{limits}")
    return float(value)


def _tokens(content: dict[str, Any], key: str, inside: str = "", limit: int | None = None) -> int | None:
    """A positive whole number, or None where there is none or, given a limit, where it stands for "unlimited"."""
    value = content.get(key)
    if value is None or (limit is not None and isinstance(value, int | float) and value > limit):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_WINDOW:
        above = f" of at most {LONGEST_WINDOW}" if isinstance(value, int) and value > LONGEST_WINDOW else ""
        raise _broken(f"{inside}{key} is {_shown(value)}, but must be a positive whole number{above}")
    return value
