"""What the theory predicts of every scaling method, by factor, at settings of one's choice: what the notebooks draw."""

from typing import Any

import numpy as np

from pi_theory.reach import reach
from pi_theory.resolution import resolution
from pi_theory.scaling import METHODS, scaling_by_name


def predictions(*, head_dim: int, base: float, window: int, largest: float, points: int = 41) -> dict[str, Any]:
    """The reach of every method and what it leaves of bends, for factors from 1 to ``largest``.

    Returns:
        ``factors``, and by method ``reach_tokens`` (None for no limit) and ``kept``, of the cap of bends of a head with
        equal |h_j|.

    Raises:
        ValueError: an argument is outside its domain.
    """
    factors = np.geomspace(1, largest, points).tolist()
    kind: dict[str, Any] = {"head_dim": head_dim, "base": base, "window": window}
    methods = {method: [scaling_by_name(method, factor) for factor in factors] for method in METHODS}
    return {
        **kind,
        "factors": factors,
        "reach_tokens": {name: [reach(one, **kind).tokens for one in scalings] for name, scalings in methods.items()},
        "kept": {name: [resolution(one, **kind).flat for one in scalings] for name, scalings in methods.items()},
    }
