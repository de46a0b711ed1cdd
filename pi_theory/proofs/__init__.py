"""The proofs, step by step: each step is a sentence with a formula, and a check of that formula which SymPy runs.

`pi_theory.proofs.steps` says what a proof is. `PROOFS` has them all; those that others need as lemmas come first.
"""

from collections.abc import Callable

from pi_theory.proofs.amplification import (
    published_reach,
    score_stability,
    stability,
    whole_reach,
    window_stability,
)
from pi_theory.proofs.extrapolation import abel, pairs, ridge
from pi_theory.proofs.interpolation import (
    closed_form,
    eq14_is_reversed,
    frequencies,
    midpoint,
    monotonicity,
    region,
    sharp,
    taylor,
)
from pi_theory.proofs.others import kept_reach, neighbours_apart, ntk_shortfall
from pi_theory.proofs.prediction import (
    bend_cap,
    bounded_bend,
    interpolated_bend,
    linear_cap,
    linear_reach,
    logit_shifts,
    ntk_reach,
    row_divergence,
    row_variation,
    trained_arc,
)
from pi_theory.proofs.steps import Proof

__all__ = [
    "PROOFS",
    "Proof",
    "abel",
    "amplification",
    "bend_cap",
    "bounded_bend",
    "closed_form",
    "eq14_is_reversed",
    "extrapolation",
    "frequencies",
    "interpolated_bend",
    "interpolation",
    "kept_reach",
    "linear_cap",
    "linear_reach",
    "logit_shifts",
    "midpoint",
    "monotonicity",
    "neighbours_apart",
    "ntk_reach",
    "ntk_shortfall",
    "others",
    "pairs",
    "prediction",
    "published_reach",
    "region",
    "ridge",
    "row_divergence",
    "row_variation",
    "score_stability",
    "sharp",
    "stability",
    "steps",
    "taylor",
    "trained_arc",
    "whole_reach",
    "window_stability",
]

PROOFS: tuple[Callable[[], Proof], ...] = (
    frequencies,
    sharp,
    taylor,
    closed_form,
    eq14_is_reversed,
    midpoint,
    monotonicity,
    region,
    abel,
    pairs,
    ridge,
    stability,
    score_stability,
    window_stability,
    published_reach,
    whole_reach,
    bend_cap,
    bounded_bend,
    interpolated_bend,
    linear_cap,
    trained_arc,
    linear_reach,
    ntk_reach,
    row_divergence,
    row_variation,
    logit_shifts,
    kept_reach,
    ntk_shortfall,
    neighbours_apart,
)
"""All proofs, as functions that build them."""
