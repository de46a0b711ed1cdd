"""What is certain of every way to a longer window from the config alone: reach, resolution, and what is proved."""

from dataclasses import dataclass
from typing import Any

from pi_model.errors import UsageError
from pi_model.examine.findings import Method, Theorem
from pi_model.models.rope_parameters import Extension, compose
from pi_theory.amplification import stability_constant
from pi_theory.interpolation import published_margin
from pi_theory.reach import reach
from pi_theory.resolution import resolution
from pi_theory.scaling import METHODS, scaling_by_name


@dataclass(frozen=True)
class Way:
    """A way to a context.

    Attributes:
        name: a name of `METHODS`; "none" is the checkpoint as it is.
        extension: how positions are scaled on it.
    """

    name: str
    extension: Extension


def asked_context(current: Extension, context_tokens: int | None) -> int:
    """L', the window to examine: what was asked for, or else twice the window that a checkpoint serves.

    Raises:
        UsageError: it is below 2 tokens.
    """
    asked = 2 * current.context_tokens if context_tokens is None else context_tokens
    if asked < 2:
        raise UsageError(f"context: must be at least 2 tokens, got {asked}")
    return asked


def ways(current: Extension, context_tokens: int) -> list[Way]:
    """Every way from a checkpoint to a context: as it is, and by each method that composes with its own.

    Args:
        current: how its positions are scaled now.
        context_tokens: L', the window that is asked for.
    """
    found = [Way("none", current)]
    factor = context_tokens / current.context_tokens
    if factor <= 1:
        return found
    for name in METHODS:
        if name == "none" or (current.method not in ("none", name)):
            continue
        try:
            found.append(Way(name, compose(current, scaling_by_name(name, factor))))
        except UsageError:  # a size of head or a factor that the method has no formula for
            continue
    return found


def certain(way: Way, context_tokens: int) -> Method:
    """What the config alone says of a way, see `pi_theory.reach` and `pi_theory.resolution`."""
    extension = way.extension
    head: dict[str, Any] = {
        "head_dim": extension.head_dim,
        "base": extension.base,
        "window": extension.original_tokens,
    }
    left = resolution(extension.scaling, **head, context=context_tokens)
    return Method(
        method=way.name,
        factor=extension.factor,
        reach_tokens=reach(extension.scaling, **head).tokens,
        resolution=left.fastest,
        flat_resolution=left.flat,
    )


def theorem(current: Extension, context_tokens: int) -> Theorem:
    """What is proved for all heads of this size and base: `pi_theory.interpolation` and `pi_theory.amplification`."""
    margin = published_margin(head_dim=current.head_dim, base=current.base)
    return Theorem(
        published_holds=margin <= 1,
        published_margin=margin,
        between_trained=stability_constant(),
        needless_extrapolation=max(0.0, context_tokens / current.context_tokens - 1),
    )
