"""The three interpolation bounds in ball arithmetic, and the smallest head dimension at which Theorem 2.1 holds.

Every bound here is of |a(s) - a_lin(s)| at the midpoint s = 1/2 of the interval [0, 1], for max_j |h_j| = 1. There the
published bound is hardest to keep; `pi_theory.interpolation` proves that, and has the bounds for any s and interval.
"""

from flint import arb, ctx

from pi_theory.arguments import Number
from pi_theory.certified.balls import ball_sum, log_of_base, theta_balls
from pi_theory.interpolation import smallest_valid_head_dim


def published_interpolation_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """Returns the right side of Theorem 2.1 as published: d / (32 ln c)."""
    with ctx.workprec(bits):
        return arb(head_dim) / (32 * log_of_base(base))


def taylor_interpolation_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """Returns the Taylor bound, which repairs Theorem 2.1: sum_j theta_j^2 / 8."""
    with ctx.workprec(bits):
        return ball_sum(theta * theta for theta in theta_balls(head_dim, base)) / 8


def sharp_interpolation_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """Returns the sharp bound, which some head attains: sum_j (1 - cos(theta_j/2)) = 2 sum_j sin^2(theta_j/4)."""
    with ctx.workprec(bits):
        return 2 * ball_sum((theta / 4).sin() ** 2 for theta in theta_balls(head_dim, base))


def published_margin_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """Returns F(d, c), the sharp bound over the published one.

    Theorem 2.1 holds on unit intervals exactly when F(d, c) <= 1, as `pi_theory.interpolation` explains.
    """
    with ctx.workprec(bits):
        return sharp_interpolation_ball(head_dim, base, bits) / published_interpolation_ball(head_dim, base, bits)


def certify_smallest_valid_head_dim(base: Number) -> int:
    """Returns the smallest even d at which Theorem 2.1 holds on unit intervals, proved in ball arithmetic.

    `smallest_valid_head_dim` finds it in float64; here F(d, c) <= 1 and F(d - 2, c) > 1 are certified. Because F
    decreases in d, the theorem holds at every larger d as well.

    Raises:
        ValueError: base is not a finite number > 1.
        ArithmeticError: 1024 bits do not tell whether F is above or below 1.
    """
    head_dim = smallest_valid_head_dim(base)
    for bits in (128, 256, 512, 1024):
        holds = published_margin_ball(head_dim, base, bits) <= 1
        fails = head_dim == 2 or published_margin_ball(head_dim - 2, base, bits) > 1
        if holds and fails:
            return head_dim
    raise ArithmeticError(f"base: F(d, c) at d = {head_dim}, c = {base} is too near 1 to decide at 1024 bits")
