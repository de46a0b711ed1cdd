"""The claims of the paper: Theorem 2.1 and its proof, Eq. 8, the factor of 600, and the least-squares figure."""

from fractions import Fraction

import sympy as sp
from sympy import Eq, Ge, Le, Or, Rational, Symbol, log

from pi_theory import proofs
from pi_theory.certified.balls import enclosure
from pi_theory.certified.decide import ball
from pi_theory.certified.envelope import first_below, integer_scan, minimum
from pi_theory.certified.quantities import ChanceWithin, FitValue, SmallestB, figure_2
from pi_theory.claims.settings import AT_LLAMA, AT_MIDPOINT, LLAMA, PAPER
from pi_theory.evidence import decided, proved, refuted_at, undecided
from pi_theory.leastsquares import random_points, ridge_bound
from pi_theory.released import MODELS
from pi_theory.statements import L, LargestError, Margin, Statement, c, d, midpoint_error, published, s, s1, s2
from pi_theory.verdicts import Claim, Evidence, claim


@claim(
    id="chen2023.thm2_1",
    says="Theorem 2.1: at a position s between two positions s1 and s2, a score differs from the straight line through "
    "its values there by at most d max|h| (s - s1)(s2 - s) / (8 ln c).",
    statement=Statement(
        Le(LargestError(s, s1, s2, d, c), published(s, s1, s2)), (*AT_LLAMA, Eq(s2 - s1, 1), s1 <= s, s <= s2)
    ),
    source=f"{PAPER}, Thm 2.1",
    domain=f"{LLAMA}, intervals of length 1, max|h| = 1",
)
def theorem_2_1(claim: Claim) -> Evidence:
    left, right = (float(ball(one.subs({d: 128, c: 10_000}))) for one in (midpoint_error(), AT_MIDPOINT))
    return refuted_at(
        claim,
        {d: 128, c: 10_000, s1: 0, s2: 1, s: Rational(1, 2)},
        f"for h_j = -exp(-i theta_j/2), s1 = 0, s2 = 1 and s = 1/2 the difference is {left:.5f}, "
        f"which exceeds the bound {right:.5f}",
        needs=[proofs.sharp()],
    )


@claim(
    id="chen2023.thm2_1.models",
    says="Theorem 2.1 is true at the head dimension and base of some released model, LLaMA 1 to 3, Mistral, Qwen 2.5 "
    "or SmolLM2: the largest error is at most 1 times the bound there.",
    statement=Statement(Or(*(Le(Margin(*pair), 1) for pair in set(MODELS.values())))),
    source=f"{PAPER}, Thm 2.1",
    domain="; ".join(f"{name} (d = {d}, c = {c})" for name, (d, c) in MODELS.items()) + "; intervals of length 1",
)
def theorem_2_1_at_models(claim: Claim) -> Evidence:
    margins = {name: float(ball(Margin(*pair))) for name, pair in MODELS.items()}
    return decided(
        claim,
        "some head exceeds the bound at each of them, by the factor "
        + ", ".join(f"{margin:.3f} ({name})" for name, margin in margins.items()),
        needs=[proofs.region()],
    )


_X = Symbol("x", real=True)


@claim(
    id="chen2023.eq14",
    says="The published proof of Theorem 2.1 rests on a true inequality: for x < 0 and c > 1, c^x is at most "
    "1 + x ln c.",
    statement=Statement(Le(c**_X, 1 + _X * log(c)), (c > 1, _X < 0)),
    source=f"{PAPER}, Eq. 14",
    domain="every x < 0, every c > 1",
)
def equation_14(claim: Claim) -> Evidence:
    return refuted_at(
        claim,
        {c: 10_000, _X: Rational(-4, 128)},  # where the paper uses it, at d = 128
        "c^x is convex in x, so that the inequality points the other way for every x < 0",
        needs=[proofs.eq14_is_reversed()],
    )


@claim(
    id="chen2023.eq8",
    says="At every relative position s a score is at most max|h_j - h_(j+1)| B(s), and so at most 2 max|h| B(s).",
    statement=proofs.abel().theorem,
    source=f"{PAPER}, Eq. 8",
    domain="every even d, base c > 1, head h and real s",
)
def equation_8(claim: Claim) -> Evidence:
    return proved(claim, proofs.abel(), "the proof is summation by parts; at every s some head attains the first bound")


@claim(
    id="chen2023.fig5",
    says="B(s) is at least d at every relative position up to 4096, the range that the paper draws.",
    statement=Statement(Ge(SmallestB(0, 4096, d, c), d), AT_LLAMA),
    source=f"{PAPER}, Fig. 5",
    domain=f"{LLAMA}, real s in [0, 4096]",
)
def figure_5(claim: Claim) -> Evidence:
    def says() -> str:
        found = minimum(0, 4096, head_dim=128, base=10_000)
        ends = f"[{found.value.lower:.6f}, {found.value.upper:.6f}]"
        return f"the minimum of B/d lies in {ends}, near s = {found.argmin:.4f}"

    return decided(claim, says)


@claim(
    id="chen2023.fig5.beyond",
    says="B(s) is at least d at every relative position up to 32768, the longest window of the paper.",
    statement=Statement(Ge(SmallestB(0, 32768, d, c), d), AT_LLAMA),
    source=f'{PAPER}, Section 2.3 ("numerically B(s) is at least larger than d")',
    domain=f"{LLAMA}, real s in [0, 32768]",
)
def figure_5_beyond(claim: Claim) -> Evidence:
    crossing = first_below(0, 32768, head_dim=128, base=10_000)
    scan = integer_scan(32768, head_dim=128, base=10_000)
    if crossing is None or scan.first_below is None:
        return undecided("no position was found at which B(s) falls below d")
    return decided(
        claim,
        f"B falls below d at s = {crossing.upper:.6f}; the first integer below is {scan.first_below}, and the smallest "
        f"value at an integer is {scan.minimum.upper:.4f} d at s = {scan.argmin}",
    )


def _smallest_ratio(upto: int, interpolation: sp.Expr) -> sp.Expr:
    """Returns the smallest 2 B(s) for s in [0, upto], over an interpolation bound halfway between neighbours."""
    return sp.Mul(2 * SmallestB(0, upto, d, c), sp.Pow(interpolation, -1, evaluate=False), evaluate=False)


def _ratio_at_llama(ratio: sp.Expr) -> tuple[float, float]:
    """Returns the two ends of such a ratio for LLaMA's d and c."""
    ends = enclosure(ball(ratio.subs({d: 128, c: 10_000})))
    return ends.lower, ends.upper


@claim(
    id="chen2023.600x",
    says="For s up to 4096, the range that the paper draws, the extrapolation bound 2 B(s) is at least 600 times the "
    "interpolation bound d / (32 ln c), both as published.",
    statement=Statement(Ge(_smallest_ratio(4096, AT_MIDPOINT), 600), AT_LLAMA),
    source=f"{PAPER}, Section 2.3",
    domain=f"{LLAMA}, s in [0, 4096]; this compares two formulas, of which the second is not a bound",
)
def six_hundred(claim: Claim) -> Evidence:
    lower, _ = _ratio_at_llama(_smallest_ratio(4096, AT_MIDPOINT))
    return decided(claim, f"it is at least {lower:.1f} times as large")


@claim(
    id="chen2023.600x.repaired",
    says="For s up to 4096, the extrapolation bound 2 B(s) is at least 600 times the sharp interpolation bound, the "
    "smallest one that is true: the sum of 1 - cos(theta_j/2).",
    statement=Statement(Ge(_smallest_ratio(4096, midpoint_error()), 600), AT_LLAMA),
    source=f"{PAPER}, Section 2.3, repaired",
    domain=f"{LLAMA}, s in [0, 4096]",
)
def six_hundred_repaired(claim: Claim) -> Evidence:
    _, upper = _ratio_at_llama(_smallest_ratio(4096, midpoint_error()))
    return decided(claim, f"at the worst s it is {upper:.1f} times as large", needs=[proofs.region()])


@claim(
    id="chen2023.600x.beyond",
    says="For s up to 32768, the longest window of the paper, the extrapolation bound 2 B(s) is at least 600 times the "
    "interpolation bound d / (32 ln c), both as published.",
    statement=Statement(Ge(_smallest_ratio(32768, AT_MIDPOINT), 600), AT_LLAMA),
    source=f"{PAPER}, Section 2.3",
    domain=f"{LLAMA}, s in [0, 32768]",
)
def six_hundred_beyond(claim: Claim) -> Evidence:
    _, upper = _ratio_at_llama(_smallest_ratio(32768, AT_MIDPOINT))
    return decided(claim, f"at the worst s it is {upper:.1f} times as large")


@claim(
    id="chen2023.600x.suprema",
    says="The largest possible score, d/2, is at least 600 times the largest possible error of linear interpolation, "
    "the sum from j = 0 on of 1 - cos(theta_j/2).",
    statement=Statement(Ge((d / 2) / midpoint_error(), 600), AT_LLAMA),
    source=f"{PAPER}, Section 2.3, like compared with like",
    domain=f"{LLAMA}, |h_j| <= 1, intervals of length 1",
)
def six_hundred_suprema(claim: Claim) -> Evidence:
    ratio = ball((d / 2 / midpoint_error()).subs({d: 128, c: 10_000}))
    return decided(
        claim,
        f"the largest possible score is d/2 = 64, and the ratio is {float(ratio):.1f}",
        needs=[proofs.region()],
    )


_SEED = Symbol(r"\text{seed}", integer=True, nonnegative=True)


@claim(
    id="chen2023.fig2.8000",
    says="Beyond the window, the exact least-squares curve of Fig. 2, for which the paper shows thousands, stays below "
    "a million, 10^6.",
    statement=Statement(
        Le(sp.Abs(FitValue(s, d, c, L, _SEED)), sp.Pow(10, 6, evaluate=False)),
        (*AT_LLAMA, Eq(L, 2048), Eq(_SEED, 0), s >= L, s < 2 * L),
    ),
    source=f"{PAPER}, Fig. 2",
    domain=f"{LLAMA}, L = 2048, s in [L, 2 L), exact least-squares fit of N(0, 1) points drawn with seed 0",
)
def figure_2_size(claim: Claim) -> Evidence:
    size = abs(figure_2(128, Fraction(10_000), 2048, 0, 4095).values[0])
    return refuted_at(
        claim,
        {d: 128, c: 10_000, L: 2048, _SEED: 0, s: 4095},
        f"the exact curve reaches {float(size):.4e} at s = 4095; the thousands are what float32 rounding leaves of it",
    )


@claim(
    id="chen2023.fig2.almost_every",
    says="Almost every least-squares curve through random points exceeds 8000 beyond the window: one stays within 8000 "
    "with a probability of at most 10^-50.",
    statement=Statement(
        Le(ChanceWithin(8000, d, c, L), sp.Pow(10, -50, evaluate=False)),
        (*AT_LLAMA, Eq(L, 2048)),
    ),
    source=f"{PAPER}, Section 2.4",
    domain=f"{LLAMA}, L = 2048, exact least-squares fit of independent N(0, 1) points",
)
def figure_2_almost_every(claim: Claim) -> Evidence:
    deviation = figure_2(128, Fraction(10_000), 2048, 0, 4095).standard_deviations[0]
    miss = ball(ChanceWithin(8000, 128, 10_000, 2048)).upper()
    return decided(
        claim,
        f"a(4095) is normally distributed with standard deviation {float(deviation):.3e}, so that it stays within 8000 "
        f"with a probability below {float(miss):.0e}",
    )


@claim(
    id="chen2023.fig2.ridge",
    says="A curve fitted with ridge regularisation is bounded at every real position: |a(s)| is at most sqrt(d/2) "
    "times the norm of the points, divided by 2 sqrt(rho).",
    statement=proofs.ridge().theorem,
    source=f"{PAPER}, Section 2.4",
    domain="every d, c, L, points y and ridge rho > 0",
)
def figure_2_ridge(claim: Claim) -> Evidence:
    example = ridge_bound(random_points(2048, 0), 1.0, 128)
    return proved(claim, proofs.ridge(), f"for the points of Fig. 2 and rho = 1 the bound is {example:.0f}")
