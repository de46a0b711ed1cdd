"""Verdicts on the paper's experiments, from records. Importing this package registers every rule."""

from figures.verdicts import head_rules, smollm2_rules, tiny_rules
from figures.verdicts.verdict import EXPERIMENTS, GROUPS, Check, Experiment, Finding, Outcome, Tested, outcomes

__all__ = [
    "EXPERIMENTS", "GROUPS", "Check", "Experiment", "Finding", "Outcome", "Tested",
    "head_rules", "outcomes", "smollm2_rules", "tiny_rules",
]  # fmt: skip
