"""Verdicts on the paper's experiments, from records. Importing this package registers every rule."""

from figures.verdicts import (  # noqa: F401  they register themselves
    context_rules,
    head_rules,
    lag_rules,
    ruler_rules,
    short_window_rules,
    smollm2_rules,
    tiny_rules,
)
from figures.verdicts.verdict import (
    EXPERIMENTS,
    GROUPS,
    Check,
    Decided,
    Experiment,
    Finding,
    Outcome,
    counted,
    outcomes,
)

__all__ = ["EXPERIMENTS", "GROUPS", "Check", "Decided", "Experiment", "Finding", "Outcome", "counted", "outcomes"]
