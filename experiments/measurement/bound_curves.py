"""Every bound as a curve, at a head dimension, base, window and factor of one's choice: what the notebooks draw.

The bounds of the difference between a score and the line through its neighbours hold for max|h| = 1, and are
proportional to max|h|. The bounds of a score hold for heads with |a(n)| <= 1 at the trained distances n = 0 .. L - 1
and |Re h_j|, |Im h_j| <= hmax, so that max|h| <= sqrt(2) hmax.
"""

import math
from typing import Any

import numpy as np

from pi_theory.amplification import FiniteWindow, stability_constant, window_bound
from pi_theory.extrapolation import B, trivial_bound
from pi_theory.interpolation import (
    interpolation_error,
    published_bound,
    published_margin,
    sharp_bound,
    sharp_witness,
    smallest_valid_head_dim,
    taylor_bound,
)
from pi_theory.rope import score
from pi_theory.scaling import NoScaling, scaled_frequencies, scaling_by_name


def interpolation(*, head_dim: int, base: float, points: int = 101) -> dict[str, Any]:
    """The three bounds between positions 0 and 1, the counterexample's error, and F(d, c) around this d.

    Returns:
        ``positions`` and, at each of them, ``published``, ``taylor``, ``sharp`` and ``counterexample``, |a - a_lin| of
        the head that attains the sharp bound at s = 1/2; ``margin``, F(d, c), which is <= 1 exactly when Theorem 2.1
        holds on unit intervals; ``smallest_valid_head_dim``; ``head_dims`` and ``margins``, F along a range of d.

    Raises:
        ValueError: an argument is outside its domain.
    """
    positions = np.linspace(0, 1, points).tolist()
    h = sharp_witness(0.5, 0, 1, head_dim=head_dim, base=base)
    smallest = smallest_valid_head_dim(base)
    head_dims = 2 * np.unique(np.geomspace(4, max(head_dim, smallest), 60).round().astype(int))
    return {
        "head_dim": head_dim,
        "base": base,
        "positions": positions,
        "published": [published_bound(s, 0, 1, head_dim=head_dim, base=base) for s in positions],
        "taylor": [taylor_bound(s, 0, 1, head_dim=head_dim, base=base) for s in positions],
        "sharp": [sharp_bound(s, 0, 1, head_dim=head_dim, base=base) for s in positions],
        "counterexample": [abs(interpolation_error(h, s, 0, 1, head_dim=head_dim, base=base)) for s in positions],
        "margin": published_margin(head_dim, base),
        "smallest_valid_head_dim": smallest,
        "head_dims": head_dims.tolist(),
        "margins": [published_margin(d, base) for d in head_dims.tolist()],
    }


def scores(
    *, head_dim: int, base: float, window: int, factor: float, hmax: float, method: str = "linear", points: int = 12
) -> dict[str, Any]:
    """How large a score can be up to ``factor`` windows, extrapolated and scaled by ``method``; and the worst head.

    Returns:
        ``positions`` and, at each of them, ``extrapolated`` and ``scaled``, the certified upper bound of the linear
        program without scaling and with it. ``curve_positions``, denser, and at each of them: ``eq8``, which holds
        whatever was trained; ``window``, the finite-window theorem at s / factor, which linear interpolation asks for,
        or ``trivial`` where that is beyond the last trained distance; ``head_extrapolated`` and ``head_scaled``, the
        score of one head, the worst one extrapolated to the end, as it is and with scaled frequencies. ``trivial`` and
        ``stability_constant``, which depend on no position.

    Raises:
        ValueError: an argument is outside its domain.
        ArithmeticError: a linear program has no solution in float64.
    """
    last = factor * window - 1
    between = 2 * math.ceil(1024 / last)  # even, so that a whole range has its integers and its middle on the curve
    positions, curve_positions = np.linspace(0, last, points), np.linspace(0, last, between * math.ceil(last) + 1)
    largest_h = math.sqrt(2) * hmax
    trivial = trivial_bound(head_dim=head_dim, hmax=largest_h)
    scalings = {"extrapolated": NoScaling(), "scaled": scaling_by_name(method, factor)}
    programs = {
        name: FiniteWindow(head_dim=head_dim, base=base, window=window, scaling=scaling)
        for name, scaling in scalings.items()
    }
    cases = {name: program.profile(positions.tolist(), hmax) for name, program in programs.items()}
    h = cases["extrapolated"][-1].h
    heads = {
        f"head_{name}": score(
            h, curve_positions, scaled_frequencies(scaling, head_dim=head_dim, base=base, window=window)
        ).tolist()
        for name, scaling in scalings.items()
    }
    asked = np.minimum(curve_positions / factor, window - 1)
    return {
        "head_dim": head_dim,
        "base": base,
        "window_tokens": window,
        "factor": factor,
        "hmax": hmax,
        "method": method,
        "positions": positions.tolist(),
        **{name: [case.upper_bound for case in found] for name, found in cases.items()},
        "curve_positions": curve_positions.tolist(),
        "eq8": (2 * largest_h * B(curve_positions, head_dim=head_dim, base=base)).tolist(),
        "window": np.where(
            curve_positions <= factor * (window - 1),
            [window_bound(s, window, trivial) for s in asked.tolist()],
            trivial,
        ).tolist(),
        **heads,
        "trivial": trivial,
        "stability_constant": stability_constant(),
    }
