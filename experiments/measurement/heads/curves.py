"""One trained head on one pair of tokens: its score curve and every bound of it, as the notebook draws them."""

from typing import Any

import numpy as np
from jaxtyping import Complex

from pi_theory.amplification import stability_constant
from pi_theory.extrapolation import B, trivial_bound
from pi_theory.interpolation import linear_interpolant, published_bound, sharp_bound, taylor_bound
from pi_theory.rope import frequencies, score


def head_curves(
    h: Complex[np.ndarray, " half"], *, base: float, window: int, factor: int, distance: int
) -> dict[str, Any]:
    """a(s) at the trained distances 0 .. L-1, between them, and beyond them; scores before the division by sqrt(d).

    Args:
        h: a pair's coefficients, shape (head_dim / 2,).
        base: c, with which the head was trained.
        window: L in tokens, likewise.
        factor: L'/L; interpolated, distance s is scored as a(s / factor).
        distance: between the pair's two tokens.

    Returns:
        ``positions``, s = 0 .. factor L - 1, and at each of them ``extrapolated``, a(s), ``interpolated``,
        a(s / factor), and Eq. 8's two bounds of |a(s)|, ``eq8_first`` and ``eq8_last``. ``trivial`` and ``sum``, its
        bounds by d/2 max|h| and by sum|h|; ``trained``, the largest |a(s)| at trained distances; ``stability``,
        sec(1/2) times that. ``midpoints`` of trained unit intervals, ``errors``, |a - a_lin| there, and its bounds
        ``published``, ``taylor`` and ``sharp``, the same for every interval. The arguments, ``head_dim`` and ``hmax``.

    Raises:
        ValueError: an argument is outside its domain.
    """
    head_dim, hmax = 2 * h.size, float(np.abs(h).max())
    theta = frequencies(head_dim, base)
    positions = np.arange(factor * window)
    extrapolated = score(h, positions, theta)
    trained = float(np.abs(extrapolated[:window]).max())
    sums = B(positions, head_dim=head_dim, base=base)
    midpoints = np.arange(window - 1) + 0.5
    errors = score(h, midpoints, theta) - linear_interpolant(h, midpoints, head_dim=head_dim, base=base)
    return {
        "head_dim": head_dim,
        "base": base,
        "window_tokens": window,
        "factor": factor,
        "distance": distance,
        "hmax": hmax,
        "positions": positions.tolist(),
        "extrapolated": extrapolated.tolist(),
        "interpolated": score(h, positions / factor, theta).tolist(),
        "eq8_first": (float(np.abs(np.diff(h, append=0)).max()) * sums).tolist(),
        "eq8_last": (2 * hmax * sums).tolist(),
        "trivial": trivial_bound(head_dim=head_dim, hmax=hmax),
        "sum": float(np.abs(h).sum()),
        "trained": trained,
        "stability": stability_constant() * trained,
        "midpoints": midpoints.tolist(),
        "errors": np.abs(errors).tolist(),
        "published": published_bound(0.5, 0, 1, head_dim=head_dim, base=base, hmax=hmax),
        "taylor": taylor_bound(0.5, 0, 1, head_dim=head_dim, base=base, hmax=hmax),
        "sharp": sharp_bound(0.5, 0, 1, head_dim=head_dim, base=base, hmax=hmax),
    }
