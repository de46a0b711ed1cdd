"""How many times smaller the interpolation bound is than the extrapolation bound: the paper's "about 600 times".

Section 2.3 of the paper divides 2 B(s), its bound of a score anywhere, by d / (32 ln c), its bound of the error of
linear interpolation halfway between two neighbouring positions, and finds about 600 for LLaMA. The number depends on
which bounds are compared and for which relative positions s: `bound_ratios` gives every reading beside the condition
under which it is true.
"""

from dataclasses import dataclass

from pi_theory.arguments import Number, check_base, check_count, check_head_dim
from pi_theory.certified.balls import Enclosure
from pi_theory.certified.envelope import minimum
from pi_theory.certified.interpolation import (
    published_interpolation_ball,
    published_margin_ball,
    sharp_interpolation_ball,
    taylor_interpolation_ball,
)
from pi_theory.verdicts import Verdict


@dataclass(frozen=True)
class Ratio:
    """An extrapolation bound divided by an interpolation bound."""

    ratio: float
    what: str  # which two bounds are divided
    true_when: str  # at which s, and whether both really are bounds


@dataclass(frozen=True)
class BoundRatios:
    """The bounds of Section 2.3 at one head dimension and base, and their ratios under each reading.

    Interpolation bounds are of |a(s) - a_lin(s)| at s = 1/2 between the positions 0 and 1, for max_j |h_j| = 1.
    """

    published_interpolation: float
    taylor_interpolation: float
    sharp_interpolation: float
    published_verdict: Verdict  # of Theorem 2.1 on unit intervals, decided in ball arithmetic
    min_B_over_d: Enclosure  # the minimum of B(s)/d over real s in [0, upto]
    ratios: tuple[Ratio, ...]


def bound_ratios(head_dim: int, base: Number, upto: int = 4096) -> BoundRatios:
    """Divides the extrapolation bound by the interpolation bound, under each reading of Section 2.3.

    Args:
        head_dim: d, even, at least 2.
        base: c > 1, taken exactly.
        upto: the minimum of B(s) is taken over real s in [0, upto]; the paper draws 4096.

    Returns:
        The three interpolation bounds, the certified minimum of B(s)/d and five ratios, the paper's own first.

    Raises:
        ValueError: an argument is outside its domain, or ``upto`` is too large to search.
        ArithmeticError: the minimum could not be certified.

    Source: Chen et al. 2023, arXiv:2306.15595, Section 2.3 and Theorem 2.1.

    >>> found = bound_ratios(128, 10000)
    >>> for row in found.ratios:
    ...     print(f"{row.ratio:6.1f}  {row.what}")
     589.5  2 d over the published bound, which is the paper's 600
     657.1  the smallest 2 B(s) over the published bound
     571.0  the smallest 2 B(s) over the Taylor bound
     577.9  the smallest 2 B(s) over the sharp bound
     129.6  the largest score over the largest interpolation error
    """
    check_head_dim(head_dim)
    check_base(base)
    check_count(upto, "upto")
    published = float(published_interpolation_ball(head_dim, base))
    taylor = float(taylor_interpolation_ball(head_dim, base))
    sharp = float(sharp_interpolation_ball(head_dim, base))
    margin = published_margin_ball(head_dim, base)
    verdict = Verdict.HOLDS if margin <= 1 else Verdict.REFUTED if margin > 1 else Verdict.UNDECIDED
    smallest = minimum(0, upto, head_dim=head_dim, base=base).value
    smallest_bound = 2 * head_dim * smallest.lower
    is_a_bound = "is" if verdict is Verdict.HOLDS else "is not" if verdict is Verdict.REFUTED else "may not be"
    published_status = f"the published bound {is_a_bound} a bound at this d and c"
    on_range = f"for s in [0, {upto}]"
    return BoundRatios(
        published_interpolation=published,
        taylor_interpolation=taylor,
        sharp_interpolation=sharp,
        published_verdict=verdict,
        min_B_over_d=smallest,
        ratios=(
            Ratio(
                2 * head_dim / published,
                "2 d over the published bound, which is the paper's 600",
                f"wherever B(s) >= d; {published_status}",
            ),
            Ratio(
                smallest_bound / published,
                "the smallest 2 B(s) over the published bound",
                f"{on_range}; {published_status}",
            ),
            Ratio(
                smallest_bound / taylor,
                "the smallest 2 B(s) over the Taylor bound",
                f"{on_range}; both are bounds",
            ),
            Ratio(
                smallest_bound / sharp,
                "the smallest 2 B(s) over the sharp bound",
                f"{on_range}; the sharp bound is attained, 2 B(s) never is",
            ),
            Ratio(
                head_dim / 2 / sharp,
                "the largest score over the largest interpolation error",
                "for every s; both are attained",
            ),
        ),
    )
