"""Which window a checkpoint was trained on, and which it serves, from everything that its config says.

Configs state lengths in several fields, and not all mean the same by them. In the table, M is max_position_embeddings,
f the factor, O original_max_position_embeddings, and S any other length that is stated, such as max_sequence_length.

======================  ================================  ====================  ====================================
RoPE type               trained window                    served                S must be one of
======================  ================================  ====================  ====================================
default                 M                                 M                     M (and O, if it is there)
default, record of NTK  the record's                      f x trained           trained, served
rope_condense_ratio f   as linear
custom code (auto_map)  S < M                             M, by linear x M/S    not M: else nothing says by how much
linear with O           O                                 f x O                 O, f x O (and so must M)
linear                  M ("kept") or M/f ("product")     f x M or M            trained, served
dynamic                 M                                 f x M                 M, f x M (and O = M)
yarn                    O                                 f x O                 at most f x O (and so must M)
yarn without O          M                                 f x M                 M, f x M
llama3                  O                                 M, else f x O         at most M (and M at least O)
======================  ================================  ====================  ====================================

Linear scaling has two conventions. transformers documents the first, and FastChat, vLLM and LongLoRA keep to it: the
trained window stays in max_position_embeddings. In the second it holds the product (Together, DeepSeek-Coder, LLongMA).
Where S decides for one, that one is taken. Where nothing decides, M is the product, unless it is not divisible, or M/f
is less than any base of this family with this rope_theta was trained on (`shortest_trained`); or unless M is itself at
most `LONGEST_KEPT`, which is what the published x2 extensions of Llama 2 have (LongLoRA 8k). What was taken so is said
together with the option for the other convention, and where not even rope_theta is known, nothing is taken.

In no case may max_length, which limits generation, be more than is served: the first configs of Llama 2 had it right
and M half as long. Fields that contradict each other, or that say nothing, are refused with the option that says it
instead.
"""

from dataclasses import dataclass

from pi_model.errors import RunError, UsageError
from pi_model.models.rope_fields import RATIO_KEY, RECORD_KEY, RopeFields

LONGEST_KEPT = 4096  # tokens; Llama 2

_MAX = "max_position_embeddings"
_ORIGINAL = "original_max_position_embeddings"
_SAY = "say which window the model was trained on with --window (window_tokens in Python)"


class UndecidedWindow(RunError):
    """The fields of a config contradict each other, or say nothing about the trained window."""


@dataclass(frozen=True)
class TrainedWindow:
    """How the fields of a config were read.

    Attributes:
        window_tokens: L, the trained window.
        context_tokens: L', the window that is served.
        formula_tokens: the length that the scaling method's formula takes, which transformers reads from the config.
        interpolation: the factor of linear scaling that only custom code does; 1 where there is none.
        source: the field that the trained window was taken from, and what confirms it.
        other_window: the trained window by the other convention for linear scaling, where no field decides.
    """

    window_tokens: int
    context_tokens: int
    formula_tokens: int
    source: str
    interpolation: float = 1.0
    other_window: int | None = None


def trained_window(fields: RopeFields, window_tokens: int | None = None) -> TrainedWindow:
    """Decide by the table above, or take the word of the caller.

    Args:
        fields: what the config says.
        window_tokens: the trained window, against whatever the config says about it.

    Raises:
        UndecidedWindow: the fields contradict each other, or say nothing.
        UsageError: `window_tokens` is not positive.
    """
    if window_tokens is not None:
        return _as_told(fields, window_tokens)
    if fields.record:
        return _recorded(fields)
    by_kind = {"linear": _linear, "dynamic": _dynamic, "yarn": _yarn, "llama3": _llama3, "default": _unscaled}
    found = by_kind["linear" if fields.ratio is not None else fields.kind](fields)
    if fields.max_length is not None and fields.max_length > found.context_tokens:
        raise _contradiction(fields, f"max_length {fields.max_length}")
    return found


def window_by_context(fields: RopeFields, context_tokens: int) -> TrainedWindow:
    """Decide by the table, and where it does not decide, by the window that the model is said to serve.

    Args:
        fields: what the config says.
        context_tokens: L', the window in service. It never overrules fields that agree on another one; compare it with
            the result.

    Raises:
        UndecidedWindow: the served window does not decide either.
    """
    try:
        found = trained_window(fields)
    except UndecidedWindow:
        if fields.by_unknown_code:
            raise
        told = _as_told(fields, max(1, round(context_tokens / fields.factor)))
        if told.context_tokens != context_tokens:
            raise
        return told
    if found.context_tokens != context_tokens and found.other_window is not None:
        other = _as_told(fields, found.other_window)
        return other if other.context_tokens == context_tokens else found
    return found


# The shortest windows of released base models, in tokens, by family and rope_theta: Llama 3 and CodeLlama; all models
# of Mistral; Qwen2.5-Math, and all others of Qwen. LLaMA 1, the shortest of all, has 2048.
_SHORTEST = {
    ("llama", 500_000.0): 8192,
    ("llama", 1_000_000.0): 16384,
    ("mistral", 10_000.0): 32768,
    ("mistral", 1_000_000.0): 32768,
    ("qwen2", 10_000.0): 4096,
    ("qwen2", 1_000_000.0): 32768,
    ("qwen3", 1_000_000.0): 32768,
}
_LARGEST_USUAL_BASE = 1_000_000.0  # beyond it are bases of 4096 tokens (Yi) and of 1048576 (continued training)


def shortest_trained(family: str, base: float) -> int | None:
    """The shortest window in tokens that a released base model with this rope_theta was trained on, if one is known.

    Args:
        family: model_type in its config.
        base: c, its rope_theta.
    """
    return _SHORTEST.get((family, base), 2048 if base <= _LARGEST_USUAL_BASE else None)


def served(window_tokens: int, factor: float) -> int:
    """The whole tokens in factor x window; rounding of the factor itself, such as that of 1/3, loses no token."""
    return int(factor * window_tokens + 1e-6)


def _as_told(fields: RopeFields, window: int) -> TrainedWindow:
    if window < 1:
        raise UsageError(f"window: must be at least 1 token, got {window}")
    if fields.by_unknown_code:
        positions = fields.max_positions or window
        return _by_code(window, max(positions, window), "said by --window")
    context = served(window, fields.record.get("factor", fields.factor))
    # These methods were trained with the length that the config gives them, whatever the model was trained on before.
    formula = fields.original if fields.kind in ("yarn", "llama3") and fields.original is not None else window
    if fields.kind == "llama3" and fields.max_positions is not None:
        context = max(window, fields.max_positions)
    return TrainedWindow(window, context, formula, "said by --window", interpolation=fields.custom_factor)


def _recorded(fields: RopeFields) -> TrainedWindow:
    window, record = fields.record["window_tokens"], fields.record
    formula = record["formula_tokens"] or window
    context = served(window, record["factor"])
    expected = formula if fields.kind == "dynamic" else context
    if fields.kind == "llama3" and fields.max_positions is not None:
        expected = context = max(window, fields.max_positions)
    where = f"{RECORD_KEY}.window_tokens"
    if fields.max_positions not in (None, expected):
        raise _contradiction(fields, f"{where} {window}")
    if fields.kind in ("yarn", "llama3") and fields.original not in (None, formula):
        raise _contradiction(fields, f"{where} {window}")
    _hold_lengths(fields, (window, context), f"{where} {window}")
    return TrainedWindow(window, context, formula, where)


def _unscaled(fields: RopeFields) -> TrainedWindow:
    stated = _stated(fields)
    longest = fields.max_positions
    if fields.by_unknown_code:
        shorter = {length for name, length in stated.items() if name != _MAX and length != longest}
        if longest is None or len(shorter) != 1 or max(shorter) > longest:
            raise UndecidedWindow(
                f"config.json: the folder's own code ({fields.code} in auto_map) may scale positions, and no field "
                f"says by how much ({_list(stated)}); {_SAY}, and linear scaling from there to {_MAX} is assumed"
            )
        window = shorter.pop()
        name = next(name for name, length in stated.items() if length == window)
        return _by_code(window, longest, f"{name}; the folder's own code interpolates to {_MAX} {longest}")
    if not stated:
        raise UndecidedWindow(f"config.json: {_MAX} is missing; {_SAY}")
    if len(set(stated.values())) > 1:
        raise _contradiction(fields)
    window = next(iter(stated.values()))
    return TrainedWindow(window, window, window, next(iter(stated)))


def _by_code(window: int, positions: int, source: str) -> TrainedWindow:
    return TrainedWindow(window, positions, window, source, interpolation=positions / window)


def _linear(fields: RopeFields) -> TrainedWindow:
    factor, positions = fields.factor, fields.max_positions
    if fields.original is not None:
        window = fields.original
        ends = (window, served(window, factor))
        if positions not in (None, *ends):
            raise _contradiction(fields)
        _hold_lengths(fields, ends)
        return TrainedWindow(*ends, window, _ORIGINAL, interpolation=fields.custom_factor)
    stated = _stated(fields)
    if not stated:
        raise UndecidedWindow(f"config.json: {_MAX} is missing; {_SAY}")
    name, length = next(iter(stated.items()))
    others = {key: value for key, value in stated.items() if value != length}
    kept = (length, served(length, factor))
    before = _before(length, factor)
    product = (before, length) if before is not None else kept
    readings = [ends for ends in dict.fromkeys((product, kept)) if all(_one_of(ends, s) for s in others.values())]
    if not readings:
        raise _contradiction(fields)
    other = None
    if len(readings) == 2:
        shortest = shortest_trained(fields.family, fields.base)
        if shortest is None and length > LONGEST_KEPT:
            raise UndecidedWindow(
                f"config.json: {name} {length} may be the window before linear x{factor:g} or after it, and no window "
                f"is known for rope_theta {fields.base:g}; {_SAY}: {before} or {length}"
            )
        if length <= LONGEST_KEPT or product[0] < (shortest or 0):
            readings.reverse()
        other = readings[1][0]
    window, context = readings[0]
    meanings = ("the trained window", "the product") if readings[0] == kept else ("the product", "the trained window")
    source = f"{name} {length} is {meanings[0]}"
    if others:
        source += f", as {_list(others)} says"
    elif other is not None:
        source += f"; if it is {meanings[1]}, say --window {other}"
    if fields.ratio is not None:
        source += f"; {RATIO_KEY}"
    return TrainedWindow(window, context, window, source, interpolation=fields.custom_factor, other_window=other)


def _before(length: int, factor: float) -> int | None:
    """The window that the factor extends to this length, or None if it is no whole number of tokens."""
    exact = length / factor
    # Factors may be written with few digits. Windows are multiples of 64 or more.
    for window, tolerance in ((round(exact), 0.05), (64 * round(exact / 64), 1e-4 * exact)):
        if window >= 1 and abs(window - exact) <= tolerance:
            return window
    return None


def _one_of(ends: tuple[int, int], length: int) -> bool:
    return any(abs(length - end) <= 1e-3 * end for end in ends)


def _dynamic(fields: RopeFields) -> TrainedWindow:
    stated = _stated(fields)
    if not stated:
        raise UndecidedWindow(f"config.json: {_MAX} is missing; {_SAY}")
    name, window = next(iter(stated.items()))
    context = served(window, fields.factor)
    if fields.original not in (None, window):
        raise _contradiction(fields)
    _hold_lengths(fields, (window, context))
    return TrainedWindow(window, context, window, name)


def _yarn(fields: RopeFields) -> TrainedWindow:
    window = fields.original or fields.max_positions
    if window is None:
        raise UndecidedWindow(f"config.json: {_MAX} and {_ORIGINAL} are missing; {_SAY}")
    context = served(window, fields.factor)
    if fields.original is None:  # then transformers takes the other field for it
        _hold_lengths(fields, (window, context))
    elif any(length > context + 1 for length in _stated(fields).values()):
        raise _contradiction(fields)
    source = f"{_MAX}, since {_ORIGINAL} is missing" if fields.original is None else _ORIGINAL
    return TrainedWindow(window, context, window, source)


def _llama3(fields: RopeFields) -> TrainedWindow:
    window = fields.original
    assert window is not None  # `rope_fields` asks for it
    context = fields.max_positions or served(window, fields.factor)
    if context < window or any(length > context for length in fields.lengths.values()):
        raise _contradiction(fields)
    return TrainedWindow(window, context, window, f"{_ORIGINAL}; {_MAX} is what it serves")


def _stated(fields: RopeFields) -> dict[str, int]:
    """Every length that the config states, by name; max_position_embeddings first."""
    first = {_MAX: fields.max_positions}
    last = {_ORIGINAL: fields.original}
    return {name: length for name, length in {**first, **fields.lengths, **last}.items() if length is not None}


def _hold_lengths(fields: RopeFields, ends: tuple[int, int], *more: str) -> None:
    if not set(fields.lengths.values()) <= {*ends, fields.max_positions}:
        raise _contradiction(fields, *more)


def _contradiction(fields: RopeFields, *more: str) -> UndecidedWindow:
    scaled = [] if fields.kind == "default" else [f"{fields.kind} x{fields.factor:g}"]
    if fields.ratio is not None and not scaled:
        scaled = [f"{RATIO_KEY} {fields.ratio:g}"]
    facts = ", ".join([*more, *scaled, _list(_stated(fields))])
    return UndecidedWindow(f"config.json: these contradict each other: {facts}; {_SAY}")


def _list(lengths: dict[str, int]) -> str:
    return ", ".join(f"{name} {length}" for name, length in lengths.items()) or f"no {_MAX}"
