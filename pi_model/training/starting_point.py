"""Whether a run may start from a model: one with the window that it extends, or one that is what it would make."""

import math
from dataclasses import replace
from typing import Any

from pi_model.errors import UsageError
from pi_model.models.rope_parameters import Extension, compose
from pi_model.training.config import Config
from pi_theory.scaling import NoScaling, scaling_by_name


def already_extended(current: Extension, config: Config) -> bool:
    """Whether a model is what the run's extension would make of the trained model: same method, window and context.

    Such a model is trained as it is, and not extended again.

    Args:
        current: how the model's positions are scaled.
        config: the run.
    """
    if config.method == "none" or current.method != config.method:
        return False
    # Files have factors in few digits, and that of Llama 3 is not L'/L.
    same_factor = math.isclose(current.factor, config.factor, rel_tol=1e-5)
    same_settings = scaling_by_name(config.method, current.factor) == current.scaling
    windows = (current.window_tokens, current.context_tokens)
    return same_factor and same_settings and windows == (config.window_tokens, config.context_tokens)


def check_start(current: Extension, config: Config) -> None:
    """Hold the window that a model serves against the one that a run extends.

    Args:
        current: how the model's positions are scaled.
        config: the run.

    Raises:
        UsageError: they differ, and the model is not what the run would make of it; the message says what to set for
            each meaning that there can be.
    """
    present = current.context_tokens
    if present == config.window_tokens or already_extended(current, config):
        return
    meanings: dict[str, str] = {}
    for more in ({}, {"factor": config.context_tokens / present}, {"factor": 1.0, "method": "none"}):
        changes: dict[str, Any] = {"window_tokens": present, **more}
        if meaning := _meaning(current, config, changes):
            words = (
                f"{name}={value if isinstance(value, str) else f'{value:.12g}'}" for name, value in changes.items()
            )
            meanings.setdefault(meaning, f"{' '.join(words)} {meaning}")
    told = list(meanings.values())
    if not isinstance(current.scaling, NoScaling):
        told.reverse()  # whoever gives an extended model most often wants it as it is
    raise UsageError(
        f"window_tokens: {config.model} has a context of {present} tokens, not {config.window_tokens}; "
        f"set {'; or '.join(told) or f'window_tokens={present}'} (the model is {current.stated})"
    )


def _meaning(current: Extension, config: Config, changes: dict[str, Any]) -> str | None:
    """What a run would do with some fields changed; None where it could not be done."""
    try:
        changed = replace(config, **changes)
        made = result(current, changed)
    except UsageError:
        return None
    if changed.factor == 1:
        return "to train it as it is"
    if changed.method == "none":
        return f"to train it directly at {changed.context_tokens} tokens"
    in_all = "" if isinstance(current.scaling, NoScaling) else f", {made.method} x{made.factor:g} in all"
    return f"to extend it to {changed.context_tokens} tokens{in_all}"


def result(current: Extension, config: Config) -> Extension:
    """How positions are scaled after a run's extension.

    Args:
        current: how they are scaled before, in a window that `check_start` has found to fit.
        config: the run.

    Raises:
        UsageError: the model is extended in a way that does not compose with the run's.
    """
    if already_extended(current, config):
        return current
    if config.method != "none":
        return compose(current, scaling_by_name(config.method, config.factor))
    if config.factor == 1:
        return current
    if not isinstance(current.scaling, NoScaling):
        raise UsageError(
            f"method: {config.model} is already extended by {current.method}; direct fine-tuning "
            "(method=none) starts from an unextended model"
        )
    return replace(current, window_tokens=config.context_tokens, source="direct fine-tuning")


def window_change(current: Extension, config: Config) -> str:
    """What a run does to the window, in words that show what two extensions make together.

    Args:
        current: how positions are scaled before.
        config: the run.

    Raises:
        UsageError: as `result`.
    """
    made = result(current, config)
    if made == current:
        scaled = "" if isinstance(current.scaling, NoScaling) else f", {current.method} x{current.factor:g} already"
        return f"{current.context_tokens} tokens{scaled}; trained as it is"
    change = f"{current.context_tokens} -> {config.context_tokens} tokens"
    if config.method == "none":
        return f"{change}, directly: positions are not scaled"
    change += f" by {config.method} x{config.factor:.6g}"
    if isinstance(current.scaling, NoScaling):
        return change
    return (
        f"{change}, on top of {current.method} x{current.factor:g}: {made.method} x{made.factor:g} in all, over the "
        f"{current.window_tokens} tokens of training"
    )
