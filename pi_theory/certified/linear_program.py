"""The check, in ball arithmetic, of a floating-point solution of the worst-case linear program.

A solver's answer is only a candidate: from its primal solution follows a value that some head certainly attains, from
its dual solution a bound that certainly no head exceeds. Both are valid however inaccurate the solver was.
"""

from collections.abc import Sequence

import numpy as np
from flint import arb, arb_mat, ctx
from jaxtyping import Float

from pi_theory.arguments import Number
from pi_theory.certified.balls import (
    Enclosure,
    ball_sum,
    dot_product,
    enclosure,
    exact,
    rotation,
    rotations,
    theta_balls,
)


class LinearProgramCertifier:
    """Certifies both sides of max { v.x : |V x| <= 1, |x_i| <= hmax }, the largest score at a target position.

    The rows of V are (cos n theta_j, sin n theta_j) for the trained distances n = 0 .. L - 1, and v is such a row at
    the target position. With x = (Re h, -Im h), V x are the scores at trained distances and v.x is the score there.

    Args:
        head_dim: d, even, at least 2.
        base: c > 1, taken exactly.
        window: L, the trained window in tokens.
        bits: precision of the balls.
    """

    def __init__(self, *, head_dim: int, base: Number, window: int, bits: int = 128) -> None:
        self._bits = bits
        with ctx.workprec(bits):
            self._thetas = theta_balls(head_dim, base)
            columns = [rotations(theta, window) for theta in self._thetas]
            self._trained = arb_mat([[c for c, _ in row] + [s for _, s in row] for row in zip(*columns, strict=True)])

    def trained(self) -> Float[np.ndarray, "n d"]:
        """Returns V in float64, shape (L, d)."""
        return np.array([[float(x) for x in row] for row in self._trained.tolist()])

    def row(self, position: Number, frequencies: Sequence[float] | None = None) -> list[arb]:
        """Returns v at a position, with the d/2 given float64 frequencies, taken exactly, or else the theta_j."""
        with ctx.workprec(self._bits):
            thetas = self._thetas if frequencies is None else [exact(float(f)) for f in frequencies]
            pairs = [rotation(theta, exact(position)) for theta in thetas]
            return [c for c, _ in pairs] + [s for _, s in pairs]

    def upper_bound(self, target: Sequence[arb], weights: Float[np.ndarray, " n"], hmax: Number) -> Enclosure:
        """Returns ||y||_1 + hmax ||v - V^T y||_1, which bounds the maximum from above whatever the weights y are.

        The reason is that v.x = y.(V x) + (v - V^T y).x for every x, where |V x| <= 1 and |x_i| <= hmax.
        """
        with ctx.workprec(self._bits):
            y = arb_mat([[exact(float(w)) for w in weights]])
            fitted = (y * self._trained).tolist()[0]
            residual = ball_sum(abs(v - f) for v, f in zip(target, fitted, strict=True))
            return enclosure(ball_sum(abs(w) for w in y.tolist()[0]) + exact(hmax) * residual)

    def attained(self, target: Sequence[arb], x: Float[np.ndarray, " d"]) -> Enclosure:
        """Returns the value v.x of an x in the box |x_i| <= hmax, after shrinking it until it meets |V x| <= 1 too."""
        with ctx.workprec(self._bits):
            column = [exact(float(value)) for value in x]
            scores = (self._trained * arb_mat([[value] for value in column])).entries()
            largest = arb(1)
            for value in scores:
                largest = largest.max(abs(value))
            return enclosure(dot_product(target, column) / largest)
