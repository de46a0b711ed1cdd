"""Change fields of a config by words such as ``peak_lr=1e-3``, ``data=books*0.5,code`` or ``lora.rank=16``.

jsonargparse and tyro would not replace this: both turn dataclasses into ``--options`` and end the process with messages
of their own, and neither reads ``data=books*0.5,code``, keeps a recipe's limit on new data, or turns a group on by
setting one of its fields, so adopting one would change every recorded command without making this file shorter.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pi_model.errors import UsageError
from pi_model.training.config import Config, Evaluation, Lora, MixturePart, Summaries, check_choice
from pi_model.training.recipes import paper_evaluation

# Fields that hold a dataclass, whose own fields are written "group.field".
_GROUPS: dict[str, Any] = {"evaluation": Evaluation, "lora": Lora}


def override(config: Config, assignments: Sequence[str]) -> Config:
    """A copy of a config with some fields replaced.

    Args:
        config: the config to start from; it stays as it is.
        assignments: words of the form ``field=value``, ``evaluation.field=value`` or ``lora.field=value``, applied in
            order; the last form turns LoRA on where it was off. A field that may be empty takes ``none``, and a list
            is joined by commas. ``data`` is ``name`` or ``name*weight``, joined by commas; new data is read no further
            than the recipe's own. ``evaluation=paper`` means `pi_model.training.recipes.paper_evaluation`.

    Raises:
        UsageError: an unknown field, a value that does not fit it, or fields that do not fit together.
    """
    # The config is checked once, at the end: factor=1 and method=none, say, only make sense together.
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"{assignment}: an override is written field=value")
        group, dot, inner = name.partition(".")
        if assignment == "evaluation=paper":
            context_tokens = round(values["factor"] * values["window_tokens"])
            values["evaluation"] = paper_evaluation(context_tokens, values["steps"])
        elif dot and group in _GROUPS:
            part = values[group] or _GROUPS[group]()
            value = _value(_GROUPS[group], vars(part), inner, text, f"{group}.")
            values[group] = replace(part, **{inner: value})
        else:
            values[name] = _value(Config, values, name, text)
        if name == "data":
            values["data"] = tuple(_in_place_of(config.data[0], part) for part in values["data"])
    return Config(**values)


def _in_place_of(own: MixturePart, other: MixturePart) -> MixturePart:
    """Other documents in place of a recipe's own: how they are read, and how many tokens of them, stays the same."""
    if isinstance(own, Summaries):
        return replace(own, name=other.name, weight=other.weight)
    return replace(other, stream_tokens=own.stream_tokens)


def _value(owner: type, present: dict[str, Any], name: str, text: str, prefix: str = "") -> Any:
    """The value that a text gives to a field of a dataclass.

    Args:
        owner: the dataclass.
        present: the present values of its fields, one of which serves as an example in messages.
        name: the field.
        text: what was written after the equals sign.
        prefix: what was written before the field's name, for messages.
    """
    kinds = get_type_hints(owner)
    settable = sorted(prefix + key for key in kinds if key not in ("architecture", *_GROUPS))
    if prefix + name not in settable:
        groups = [] if prefix else [f"{group}.*" for group in _GROUPS]
        raise UsageError(f"{prefix}{name}: no such field; choose from {', '.join([*settable, *groups])}")
    if get_origin(kinds[name]) is Literal:
        check_choice(prefix + name, text, get_args(kinds[name]))
        return text
    try:
        return _parse(kinds[name], text)
    except UsageError:
        raise
    except ValueError:
        raise UsageError(
            f"{prefix}{name}: {text!r} does not fit; a value looks like {_written(present[name])}"
        ) from None


def _parse(kind: Any, text: str) -> Any:
    """A text as a value of a type; ValueError where it is none."""
    arguments = get_args(kind)
    if NoneType in arguments:
        return None if text == "none" else _parse(arguments[0], text)
    if get_origin(kind) is tuple:
        return tuple(_parse(arguments[0], item) for item in text.split(",")) if text else ()
    if kind is MixturePart:
        return MixturePart.written(text)
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    return kind(text)


def _written(value: Any) -> str:
    """A value as an override would write it."""
    if isinstance(value, tuple):
        return ",".join(_written(item) for item in value)
    if isinstance(value, MixturePart):
        return f"{value.name}*{value.weight:g}"
    return str(value).lower() if isinstance(value, bool | None) else str(value)
