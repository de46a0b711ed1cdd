"""Scaling methods with their settings, and a loaded model whose positions are scaled by one of them."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from pi_model.models.families import CausalLM
from pi_model.models.rope_parameters import Extension
from pi_theory.displacement import Change, change
from pi_theory.scaling import METHODS, DynamicNTK, NoScaling, Scaling

Grid = Mapping[str, Mapping[str, Sequence[Any]]]
"""By method, the values of each of its settings; of YaRN also ``temperature``, whether it sharpens attention."""


@dataclass(frozen=True)
class Setting:
    """A method with its settings.

    Attributes:
        method: a name of `METHODS`.
        factor: L'/L; 1 for no scaling.
        values: the settings that a grid names, by name.
        scaling: the method with these settings.
    """

    method: str
    factor: float
    values: dict[str, Any]
    scaling: Scaling

    @property
    def as_json(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"method": self.method, "factor": self.factor, "settings": self.values}

    def change(self, extension: Extension, context: int) -> Change:
        """What it does to the heads of a model, at so many tokens in use."""
        how = change(
            self.scaling,
            head_dim=extension.head_dim,
            base=extension.base,
            window=extension.window_tokens,
            context=context,
        )
        return how if self.values.get("temperature", True) else replace(how, score_factor=1.0)


def grid_settings(grid: Grid, factor: float, extension: Extension) -> list[Setting]:
    """Every setting of a grid that its method allows; of those that do the same to this model, the first.

    Args:
        grid: the methods and the values of their settings.
        factor: L'/L.
        extension: the head size, base and window of the model.
    """
    found: dict[tuple[Any, ...], Setting] = {}
    for method, values in grid.items():
        for chosen in itertools.product(*values.values()):
            given = dict(zip(values, chosen, strict=True))
            kind: Any = METHODS[method]
            try:
                scaling = kind(
                    **({} if kind is NoScaling else {"factor": factor}),
                    **{name: value for name, value in given.items() if name != "temperature"},
                )
            except ValueError:  # as beta_slow above beta_fast
                continue
            setting = Setting(method, 1.0 if kind is NoScaling else factor, given, scaling)
            how = setting.change(extension, extension.window_tokens)
            found.setdefault((kind is DynamicNTK, how.score_factor, *how.scaled.round(12)), setting)
    return list(found.values())


@contextmanager
def rotated(model: CausalLM, how: Change) -> Iterator[CausalLM]:
    """The model with the frequencies and the temperature of a change; when the block ends it is as before.

    Args:
        model: not extended.
        how: what a setting does. Under dynamic NTK it holds for one number of tokens.
    """
    rotary = model.model.rotary_emb
    before = rotary.inv_freq, rotary.attention_scaling
    rotary.inv_freq = torch.from_numpy(how.scaled).to(before[0])
    rotary.attention_scaling = math.sqrt(how.score_factor)
    try:
        yield model
    finally:
        rotary.inv_freq, rotary.attention_scaling = before
