"""The fields of a config: what each means, its type and its default, and a config from what was written of it."""

import inspect
import json
import re
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pi_model.errors import RunError, UsageError
from pi_model.training.config import Config, Evaluation, Lora, MixturePart, Summaries


@dataclass(frozen=True)
class Described:
    """A field of a config.

    Attributes:
        name: as the command line takes it.
        value: its value as JSON has it; None in a group that is off, too.
        kind: its type in words.
        default: the value that it has where nothing sets it; None also where it must be set.
        meaning: what it means.
    """

    name: str
    value: Any
    kind: str
    default: Any
    meaning: str


_GROUPS: dict[str, Any] = {"evaluation": Evaluation, "lora": Lora}


def described(config: Config) -> list[Described]:
    """Every field of a config in order, those of its groups behind it as ``group.field``."""
    content = config.as_json()
    out = list(_described(Config, content))
    for group, owner in _GROUPS.items():
        out += _described(owner, content[group] or {}, f"{group}.")
    return out


def _described(owner: type, content: dict[str, Any], prefix: str = "") -> Iterator[Described]:
    kinds, meanings = get_type_hints(owner), _meanings(owner)
    for item in fields(owner):
        if item.name not in _GROUPS:
            default = _default(item)
            value = content.get(item.name, default)
            yield Described(prefix + item.name, value, _kind(kinds[item.name]), default, meanings[item.name])


def _default(item: Field[Any]) -> Any:
    return None if item.default is MISSING else json.loads(json.dumps(item.default))


def _kind(kind: Any) -> str:
    """A type in words."""
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return " or ".join(arguments)
    if types.NoneType in arguments:
        return f"{_kind(arguments[0])} or none"
    if get_origin(kind) is tuple:
        return f"list of {_kind(arguments[0])}"
    words = {int: "whole number", float: "number", str: "word", bool: "true or false", MixturePart: "source*weight"}
    return words.get(kind, "shape")


def _meanings(owner: type) -> dict[str, str]:
    """The meaning of every attribute in the docstring of a class and of those that it extends."""
    found: dict[str, str] = {}
    for one in reversed(owner.__mro__[:-1]):
        attributes = inspect.cleandoc(one.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
        for names, meaning in re.findall(r"^    (\w[\w, ]*): (.*(?:\n     +.*)*)", attributes, re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return found


def recorded_config(path: Path) -> Config:
    """The config that a run's folder recorded.

    Args:
        path: the run's run.json, or its folder.

    Raises:
        UsageError: there is no such file, or its config does not fit together.
        RunError: the file is broken, or of a version with other fields.
    """
    file = path / "run.json" if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        recorded = content["config"] if isinstance(content["config"], dict) else {}
        config: Config = _made(Config, recorded)
        return config
    except FileNotFoundError as error:
        raise UsageError(f"config: {file} is missing; give the run.json of a run, or the folder of the run") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise RunError(f"{file}: holds no config of a run: {error}; give the run.json of a run") from error


def _made(kind: Any, value: Any) -> Any:
    """A value of a type from its JSON."""
    arguments = get_args(kind)
    if types.NoneType in arguments:
        return None if value is None else _made(arguments[0], value)
    if get_origin(kind) is tuple:
        return tuple(_made(arguments[0], one) for one in value)
    if is_dataclass(kind):
        owner: Any = Summaries if kind is MixturePart and "summary" in value else kind
        kinds = get_type_hints(owner)
        return owner(**{name: _made(kinds[name], one) for name, one in value.items()})
    return float(value) if kind is float else value
