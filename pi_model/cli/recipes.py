"""`pi-model recipes`: the recipes of training runs, and every field of one."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pi_theory.console import Command, show, word, wrap

if TYPE_CHECKING:
    from pi_model.training.config import Config


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=word, metavar="RECIPE", nargs="?", help="Print each field of this recipe.")


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.training.config_fields import described
    from pi_model.training.recipes import RECIPES, recipe

    if arguments.recipe is None:
        told = {name: _line(recipe(name)) for name in sorted(RECIPES)}
        widest = max(map(len, told))
        listed = [wrap(line, " " * (widest + 2), f"{name:<{widest}}  ") for name, line in told.items()]
        show(arguments, {"recipes": told}, "\n".join(listed))
        return
    config = recipe(arguments.recipe)
    fields = described(config)
    lines = [wrap(f"{arguments.recipe}: {_line(config)}")]
    for one in fields:
        unset = one.default is None and not one.kind.endswith("none")
        usual = "" if one.value == one.default else ", to be set" if unset else f", default {_written(one.default)}"
        lines.append(f"\n{one.name}={_written(one.value)}  ({one.kind}{usual})")
        lines.append(wrap(one.meaning, "    "))
    answer = {"recipe": arguments.recipe, "summary": _line(config), "fields": [asdict(one) for one in fields]}
    show(arguments, answer, "\n".join(lines))


def _line(config: "Config") -> str:
    """A run in one line."""
    model = config.model or "a new LLaMA"
    how = "directly" if config.method == "none" else f"by {config.method}"
    window = f"{config.window_tokens} -> {config.context_tokens} tokens {how}"
    if config.factor == 1:
        window = f"{config.context_tokens} tokens"
    trained = f", LoRA of rank {config.lora.rank}" if config.lora else ""
    data = ", ".join(part.name for part in config.data)
    return f"{model}, {window}{trained}; {config.steps} steps of {config.global_batch} windows of {data}"


def _written(value: Any) -> str:
    """A value of JSON as an override writes it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return ",".join(map(_written, value))
    if isinstance(value, dict) and "weight" in value:
        return f"{value['name']}*{value['weight']:g}"
    if isinstance(value, dict):
        return " ".join(f"{name}:{_written(one)}" for name, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


RECIPES = Command(
    name="recipes",
    summary="Lists the recipes of training runs, or every field of one with its type, default and meaning.",
    details="finetune and plan take a recipe's name and changes to its fields, such as steps=20.",
    example="pi-model recipes tiny_1024_pi",
    add_arguments=_add_arguments,
    run=_run,
)
