"""Every claim the package settles: those of the paper first, then those found here.

Each is a function that settles the claim which decorates it, by `pi_theory.evidence`. Importing this module registers
them all, and `CLAIMS` holds them by id: ``CLAIMS["chen2023.thm2_1"].settle()`` computes a verdict with its evidence.
"""

from fractions import Fraction

import sympy as sp
from sympy import And, Eq, Ge, Le, Or, Rational, Symbol, log, sec

from pi_theory import proofs
from pi_theory.amplification import whole_factor
from pi_theory.certified.balls import enclosure
from pi_theory.certified.best_constant import best_constant
from pi_theory.certified.decide import ball
from pi_theory.certified.envelope import first_below, integer_scan, minimum
from pi_theory.certified.interpolation import certify_smallest_valid_head_dim, taylor_interpolation_ball
from pi_theory.certified.quantities import (
    BestConstant,
    ChanceWithin,
    FitValue,
    ReachTokens,
    SmallestB,
    WorstScore,
    figure_2,
)
from pi_theory.evidence import decided, proved, refuted_at, undecided
from pi_theory.leastsquares import random_points, ridge_bound
from pi_theory.scaling import METHODS
from pi_theory.statements import (
    ExtrapolationBound,
    H,
    L,
    LargestError,
    Margin,
    Statement,
    c,
    d,
    midpoint_error,
    published,
    s,
    s1,
    s2,
)
from pi_theory.verdicts import REGISTRY, Claim, Evidence, claim

PAPER = "arXiv:2306.15595v2"
HERE = "this package"
LLAMA = "d = 128, c = 10^4"
_LLAMA = (Eq(d, 128), Eq(c, 10_000))
_SECANT = sec(Rational(1, 2))
_AT_MIDPOINT = published(Rational(1, 2), sp.Integer(0), sp.Integer(1))

CLAIMS = REGISTRY
"""All claims by id, in the order of this module."""

# The head dimension and RoPE base of released models, from their configuration files.
MODELS: dict[str, tuple[int, int]] = {
    "LLaMA 1 and 2": (128, 10_000),
    "Llama 3": (128, 500_000),
    "Mistral 7B v0.3": (128, 1_000_000),
    "Qwen 2.5 7B": (128, 1_000_000),
    "SmolLM2 135M": (64, 100_000),
}


@claim(
    id="chen2023.thm2_1",
    says="Theorem 2.1: at a position s between two positions s1 and s2, a score differs from the straight line through "
    "its values there by at most d max|h| (s - s1)(s2 - s) / (8 ln c).",
    statement=Statement(
        Le(LargestError(s, s1, s2, d, c), published(s, s1, s2)), (*_LLAMA, Eq(s2 - s1, 1), s1 <= s, s <= s2)
    ),
    source=f"{PAPER}, Thm 2.1",
    domain=f"{LLAMA}, intervals of length 1, max|h| = 1",
)
def theorem_2_1(claim: Claim) -> Evidence:
    left, right = (float(ball(one.subs({d: 128, c: 10_000}))) for one in (midpoint_error(), _AT_MIDPOINT))
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
    statement=Statement(Ge(SmallestB(0, 4096, d, c), d), _LLAMA),
    source=f"{PAPER}, Fig. 5",
    domain=f"{LLAMA}, real s in [0, 4096]",
)
def figure_5(claim: Claim) -> Evidence:
    found = minimum(0, 4096, head_dim=128, base=10_000)
    return decided(
        claim,
        f"the minimum of B/d lies in [{found.value.lower:.6f}, {found.value.upper:.6f}], near s = {found.argmin:.4f}",
    )


@claim(
    id="chen2023.fig5.beyond",
    says="B(s) is at least d at every relative position up to 32768, the longest window of the paper.",
    statement=Statement(Ge(SmallestB(0, 32768, d, c), d), _LLAMA),
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
    statement=Statement(Ge(_smallest_ratio(4096, _AT_MIDPOINT), 600), _LLAMA),
    source=f"{PAPER}, Section 2.3",
    domain=f"{LLAMA}, s in [0, 4096]; this compares two formulas, of which the second is not a bound",
)
def six_hundred(claim: Claim) -> Evidence:
    lower, _ = _ratio_at_llama(_smallest_ratio(4096, _AT_MIDPOINT))
    return decided(claim, f"it is at least {lower:.1f} times as large")


@claim(
    id="chen2023.600x.repaired",
    says="For s up to 4096, the extrapolation bound 2 B(s) is at least 600 times the sharp interpolation bound, the "
    "smallest one that is true: the sum of 1 - cos(theta_j/2).",
    statement=Statement(Ge(_smallest_ratio(4096, midpoint_error()), 600), _LLAMA),
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
    statement=Statement(Ge(_smallest_ratio(32768, _AT_MIDPOINT), 600), _LLAMA),
    source=f"{PAPER}, Section 2.3",
    domain=f"{LLAMA}, s in [0, 32768]",
)
def six_hundred_beyond(claim: Claim) -> Evidence:
    _, upper = _ratio_at_llama(_smallest_ratio(32768, _AT_MIDPOINT))
    return decided(claim, f"at the worst s it is {upper:.1f} times as large")


@claim(
    id="chen2023.600x.suprema",
    says="The largest possible score, d/2, is at least 600 times the largest possible error of linear interpolation, "
    "the sum from j = 0 on of 1 - cos(theta_j/2).",
    statement=Statement(Ge((d / 2) / midpoint_error(), 600), _LLAMA),
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
        (*_LLAMA, Eq(L, 2048), Eq(_SEED, 0), s >= L, s < 2 * L),
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
        (*_LLAMA, Eq(L, 2048)),
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


@claim(
    id="taylor",
    says="Theorem 2.1 becomes true on every interval if sum_j theta_j^2 / 2 replaces the constant d / (8 ln c).",
    statement=proofs.taylor().theorem,
    source=HERE,
    domain="every even d, base c > 1, head h and interval",
)
def taylor(claim: Claim) -> Evidence:
    value = taylor_interpolation_ball(128, 10_000)
    return proved(
        claim,
        proofs.taylor(),
        f"for {LLAMA} the bound is {float(value):.5f} halfway between neighbouring positions",
    )


@claim(
    id="closed_form",
    says="Theorem 2.1 becomes true on every interval if 1/4 + ln c / (6 d) is added to the constant d / (8 ln c).",
    statement=proofs.closed_form().theorem,
    source=HERE,
    domain="every even d, base c > 1, head h and interval",
)
def closed_form(claim: Claim) -> Evidence:
    return proved(claim, proofs.closed_form(), "the proof uses 1/(1 - e^-t) <= 1/t + 1/2 + t/12 at t = 4 ln c / d")


@claim(
    id="thm2_1.region",
    says="On intervals of length 1, Theorem 2.1 is true exactly when F(d, c) = (64 ln c / d) sum_j sin^2(theta_j/4) <= "
    "1; for each base this is so from one head dimension on.",
    statement=proofs.region().theorem,
    source=HERE,
    domain="every even d, every c > 1",
)
def region(claim: Claim) -> Evidence:
    return proved(
        claim,
        proofs.region(),
        f"the smallest such d is {certify_smallest_valid_head_dim(10_000)} at c = 10^4 and "
        f"{certify_smallest_valid_head_dim(500_000)} at c = 5x10^5; it grows as 190 ln c",
    )


@claim(
    id="eq8.never_better",
    says="The bound 2 max|h| B(s) of Eq. 8 is never below the trivial bound (d/2) max|h|.",
    statement=proofs.pairs().theorem,
    source=HERE,
    domain="every even d, base c > 1 and real s",
)
def equation_8_never_better(claim: Claim) -> Evidence:
    return proved(claim, proofs.pairs(), "neighbouring partial sums differ by a unit vector, so that B(s) >= d/4")


@claim(
    id="half_d",
    says="B(s) never falls below d/2, at any relative position.",
    statement=Statement(Ge(ExtrapolationBound(s, d, c), d / 2), (*_LLAMA, s >= 0)),
    source=HERE,
    domain=f"{LLAMA}, every real s >= 0",
)
def half_d(claim: Claim) -> Evidence:
    found = minimum(0, 100_000, head_dim=128, base=10_000)
    return undecided(
        f"it is true on [0, 100000], where the certified minimum is {found.value.lower:.4f} d; "
        "beyond, only B(s) >= d/4 is proved"
    )


@claim(
    id="stability",
    says="If all integer positions are trained, the absolute score at any real position is at most sec(1/2) = 1.1395 "
    "times its largest value at them.",
    statement=proofs.score_stability().theorem,
    source=HERE + "; after M. Riesz, Bernstein-Szego, Duffin and Schaeffer",
    domain="every even d, base c > 1 and head h; all integers are trained",
)
def stability(claim: Claim) -> Evidence:
    return proved(claim, proofs.score_stability(), f"sec(1/2) = {float(ball(_SECANT)):.6f}")


@claim(
    id="stability.best",
    says="The best constant of the stability theorem for scores, functions of type 1, is at least 1.1311 and at most "
    "1.1317, so that sec(1/2) is not it.",
    statement=Statement(
        And(Ge(BestConstant(1), Rational("1.1311")), Le(BestConstant(1), Rational("1.1317"))),
    ),
    source=HERE + "; the proof stands in pi_theory.certified.best_constant",
    domain="real functions whose frequencies do not exceed 1; all integers are trained",
)
def stability_best(claim: Claim) -> Evidence:
    found = best_constant()
    return decided(
        claim,
        f"a polynomial of period 710 has {found.lower:.6f}, and a dual function gives {found.upper:.6f}",
        needs=[proofs.stability()],
    )


@claim(
    id="stability.window",
    says="If |a(n)| <= 1 at the trained distances n = 0 to L - 1, then |a(s)| <= sec(1/2 + e ceil(ln S)/(2 D)) at "
    "every real s between them, where S = sum|h| and D - 1 is the distance of s from the nearer end of the window.",
    statement=proofs.window_stability().theorem,
    source=HERE,
    domain="every even d, base c > 1, window of L tokens and head h with S >= e, where sec is taken below pi/2",
)
def stability_window(claim: Claim) -> Evidence:
    return proved(claim, proofs.window_stability(), "the proof stands in pi_theory.amplification")


_NONE, _LINEAR = Symbol("none"), Symbol("linear")


@claim(
    id="stability.edge",
    says="If the distances 0 to L - 1 are trained, the absolute score at any real position between them is at most "
    "sec(1/2) = 1.1395 times its largest value at them.",
    statement=Statement(
        Le(WorstScore(s, d, c, L, H, _NONE, 1), _SECANT), (*_LLAMA, Eq(L, 512), Eq(H, 100), s >= 0, s <= L - 1)
    ),
    source=HERE,
    domain=f"{LLAMA}, L = 512, |Re h|, |Im h| <= 100, s from 0 to L - 1",
)
def stability_edge(claim: Claim) -> Evidence:
    worst = WorstScore(Rational(1, 2), 128, 10_000, 512, 100, _NONE, 1).enclosure()
    return refuted_at(
        claim,
        {d: 128, c: 10_000, L: 512, H: 100, s: Rational(1, 2)},
        f"some head with |a(n)| <= 1 for n = 0..511 has a(1/2) = {worst.lower:.5f} > {float(ball(_SECANT)):.5f}",
    )


@claim(
    id="pi.asks_beyond",
    says="Position Interpolation as published, by factor kappa on kappa L tokens, asks for distances up to "
    "L - 1/kappa, which exceeds the largest trained one, L - 1.",
    statement=proofs.published_reach().theorem,
    source=HERE,
    domain="every window of L tokens and every kappa > 1",
)
def interpolation_asks_beyond(claim: Claim) -> Evidence:
    return proved(
        claim,
        proofs.published_reach(),
        "(kappa L - 1)/kappa = L - 1/kappa; a window of L tokens has the distances 0 to L - 1",
    )


@claim(
    id="pi.worst",
    says="Position Interpolation as published, by 2, keeps the score of every head at its largest distance, "
    "s = 2 L - 1, at most sec(1/2) = 1.1395, if all its trained scores are at most 1.",
    statement=Statement(
        Le(WorstScore(2 * L - 1, d, c, L, H, _LINEAR, 2), _SECANT), (Eq(d, 64), Eq(c, 10_000), Eq(L, 512), Eq(H, 1))
    ),
    source=HERE,
    domain="d = 64, c = 10^4, L = 512, |Re h|, |Im h| <= 1",
)
def interpolation_worst(claim: Claim) -> Evidence:
    def worst(head_dim: int, hmax: int, factor: int) -> float:
        return WorstScore(factor * 512 - 1, head_dim, 10_000, 512, hmax, _LINEAR, factor).enclosure().lower

    return decided(
        claim,
        f"some head reaches {worst(64, 1, 2):.3f} at s = 1023, and {worst(64, 1, 8):.3f} with factor 8 at s = 4095; "
        f"for d = 128 and |Re h|, |Im h| <= 100 these are {worst(128, 100, 2):.3f} and {worst(128, 100, 8):.3f}",
    )


@claim(
    id="pi.whole",
    says="Position Interpolation by (L' - 1)/(L - 1) asks for no distance beyond L - 1, the largest trained one, in a "
    "window of L' tokens, so that the guarantee for trained windows covers all of it.",
    statement=proofs.whole_reach().theorem,
    source=HERE,
    domain="every window of L tokens and every L' > 1, L > 1",
)
def interpolation_whole(claim: Claim) -> Evidence:
    factor = sp.Rational(*whole_factor(512, 1024).as_integer_ratio())
    worst = WorstScore(1022, 64, 10_000, 512, 1, _LINEAR, factor).enclosure()
    return proved(
        claim,
        proofs.whole_reach(),
        f"with L = 512, L' = 1024, d = 64, c = 10^4 and |Re h|, |Im h| <= 1 no head exceeds {worst.upper:.5f} at "
        "s = 1022, the last distance between trained ones",
    )


@claim(
    id="extrapolation.thousandfold",
    says="At the last distance of twice the trained window, s = 2 L - 1, an absolute score is at most 1000 times its "
    "largest value inside the window.",
    statement=Statement(Le(WorstScore(2 * L - 1, d, c, L, H, _NONE, 1), 1000), (*_LLAMA, Eq(L, 512), Eq(H, 100))),
    source=HERE,
    domain=f"{LLAMA}, L = 512, |Re h|, |Im h| <= 100",
)
def extrapolation_thousandfold(claim: Claim) -> Evidence:
    values = {h: WorstScore(1023, 128, 10_000, 512, h, _NONE, 1).enclosure().lower for h in (1, 10, 100)}
    return decided(
        claim,
        "with |a(n)| <= 1 for n = 0..511 and |Re h|, |Im h| <= H, a(1023) reaches "
        + ", ".join(f"{value:.1f} (H = {h})" for h, value in values.items()),
    )


_UNEVEN = tuple(Symbol(name) for name in METHODS if name not in ("none", "linear"))


@claim(
    id="methods.share_stability",
    says="One of NTK-aware, dynamic NTK, YaRN and Llama-3 scaling, extending the window by 2, keeps all scores "
    "at most 2 times their largest value at trained positions.",
    statement=Statement(
        Or(*(Le(WorstScore(s, d, c, L, H, name, 2), 2) for name in _UNEVEN)),
        (Eq(d, 64), Eq(c, 10_000), Eq(L, 512), Eq(H, 1), s >= 0, s <= 2 * L - 1),
    ),
    source=HERE,
    domain="d = 64, c = 10^4, L = 512, factor 2, s from 0 to 2 L - 1, |Re h|, |Im h| <= 1; the worst heads, not "
    "trained ones",
)
def methods_share_stability(claim: Claim) -> Evidence:
    worst = {
        name: max(WorstScore(at, 64, 10_000, 512, 1, Symbol(name), 2).enclosure().lower for at in (935, 979, 1022))
        for name in METHODS
    }
    others = ", ".join(f"{worst[method.name]:.1f} ({method.name})" for method in _UNEVEN)
    return refuted_at(
        claim,
        {d: 64, c: 10_000, L: 512, H: 1, s: 979},
        f"with |a(n)| <= 1 for n = 0..511 some head reaches {others}; with linear interpolation {worst['linear']:.3f} "
        f"between trained distances, without scaling {worst['none']:.1f}",
    )


@claim(
    id="resolution.cap",
    says="The bend of a score, its height at one position over the mean of its two neighbours, is at its largest, over "
    "all heads with given |h_j|, equal to sum_j |h_j| (1 - cos theta_j).",
    statement=proofs.bend_cap().theorem,
    source=HERE,
    domain="every even d, base c > 1, sizes |h_j| and real s",
)
def resolution_cap(claim: Claim) -> Evidence:
    return proved(claim, proofs.bend_cap(), "the head with h_j = |h_j| exp(-i s theta_j) attains it")


@claim(
    id="resolution.linear",
    says="Linear interpolation by kappa multiplies the cap of every head's bends by at least 1/kappa^2 and by at most "
    "(1 - cos(1/kappa))/(1 - cos 1).",
    statement=proofs.linear_cap().theorem,
    source=HERE,
    domain="every even d, base c > 1, sizes |h_j| and kappa >= 1",
)
def resolution_linear(claim: Claim) -> Evidence:
    left = ", ".join(f"{float(ball(_left_by(factor))):.4f} (kappa = {factor})" for factor in (2, 4, 8))
    return proved(claim, proofs.linear_cap(), f"at most {left} is left of any head's cap")


def _left_by(factor: int) -> sp.Expr:
    """Returns the share of any head's cap that linear interpolation leaves at most."""
    return (1 - sp.cos(Rational(1, factor))) / (1 - sp.cos(sp.Integer(1)))


@claim(
    id="resolution.score",
    says="After linear interpolation by kappa, a bend is at most 1 - cos(1/kappa) times the largest score at any real "
    "distance, so that to point as sharply as before a head needs larger scores.",
    statement=proofs.interpolated_bend().theorem,
    source=f"{HERE}; the inequality is that of Nikol'skii and Stechkin",
    domain="every even d, base c > 1, head h and kappa >= 1",
)
def resolution_score(claim: Claim) -> Evidence:
    needed = ", ".join(f"{1 / float(ball(_left_by(factor))):.1f} (kappa = {factor})" for factor in (2, 4, 8))
    return proved(
        claim, proofs.interpolated_bend(), f"for the bend of the fastest frequency, so many times larger: {needed}"
    )


@claim(
    id="reach.linear",
    says="With linear interpolation by kappa, the last distance at which every slow phase is within its trained arc is "
    "equal to kappa (L - 1).",
    statement=proofs.linear_reach().theorem,
    source=HERE,
    domain="every even d, base c > 1, window L > 1, and pairs that turn less than once in the window",
)
def reach_linear(claim: Claim) -> Evidence:
    return proved(
        claim,
        proofs.linear_reach(),
        "the same holds for YaRN and Llama-3 scaling where they divide all slow frequencies by kappa",
    )


@claim(
    id="reach.ntk",
    says="With NTK-aware scaling by kappa, the last distance at which the phase of a slow pair j is within its trained "
    "arc is equal to (L - 1) kappa^(2 j/(d - 2)).",
    statement=proofs.ntk_reach().theorem,
    source=HERE,
    domain="every even d > 2, base c > 1, window L > 1, and pairs that turn less than once in the window",
)
def reach_ntk(claim: Claim) -> Evidence:
    return proved(claim, proofs.ntk_reach(), "the first slow pair leaves its arc first, and the slowest last")


_LLAMA_1 = (*_LLAMA, Eq(L, 2048))
_NTK, _YARN, _LLAMA_3 = (Symbol(name) for name in ("ntk", "yarn", "llama3"))


@claim(
    id="reach.ntk.promise",
    says="NTK-aware scaling by 2 reads at least 2 L tokens before a phase leaves the arc that training showed.",
    statement=Statement(Ge(ReachTokens(d, c, L, _NTK, 2), 2 * L), _LLAMA_1),
    source='bloc97, "NTK-Aware Scaled RoPE", 2023, as the factor is usually read',
    domain=f"{LLAMA}, L = 2048",
)
def reach_ntk_promise(claim: Claim) -> Evidence:
    found = {factor: float(ball(ReachTokens(128, 10_000, 2048, _NTK, factor))) for factor in (2, 4, 8)}
    return decided(
        claim,
        "it reads " + ", ".join(f"{tokens:.0f} tokens (factor {factor})" for factor, tokens in found.items()),
        needs=[proofs.ntk_reach()],
    )


@claim(
    id="reach.turns",
    says="The rules of YaRN and of Llama-3 scaling, which divide by 4 what turns less than once in the window, read at "
    "least 4 L - 3 tokens, as many as linear interpolation, before a phase leaves the arc that training showed.",
    statement=Statement(
        sp.And(*(Ge(ReachTokens(d, c, L, method, 4), 4 * L - 3) for method in (_YARN, _LLAMA_3))),
        (Eq(d, 128), Eq(c, 500_000), Eq(L, 8192)),
    ),
    source="Peng et al. 2023, arXiv:2309.00071, Section 3.2; the Llama 3.1 reference code",
    domain="d = 128, c = 500000, L = 8192",
)
def reach_turns(claim: Claim) -> Evidence:
    return decided(
        claim,
        "no pair that turns less than once in the window keeps a part of its frequency",
        needs=[proofs.linear_reach()],
    )


@claim(
    id="attention.divergence",
    says="A row of attention whose logits change within an oscillation o has a KL divergence of at most "
    "o/(e^o - 1) - 1 + ln((e^o - 1)/o), and so of at most o^2/8.",
    statement=proofs.row_divergence().theorem,
    source=f"{HERE}; the second is Hoeffding's lemma",
    domain="every row of attention and every change of its logits",
)
def attention_divergence(claim: Claim) -> Evidence:
    return proved(claim, proofs.row_divergence(), "two keys attain the first bound")


@claim(
    id="attention.variation",
    says="A row of attention whose logits change within an oscillation o has a total variation of at most tanh(o/4).",
    statement=proofs.row_variation().theorem,
    source=HERE,
    domain="every row of attention and every change of its logits",
)
def attention_variation(claim: Claim) -> Evidence:
    return proved(claim, proofs.row_variation(), "two keys attain it")


@claim(
    id="attention.shift",
    says="Under new frequencies and a temperature t, pair j moves a logit, times sqrt(d), by an amount whose square is "
    "at most |h_j|^2 ((t - 1)^2 + 4 t sin^2((phi - psi)/2)), where phi and psi are its phases after and before.",
    statement=proofs.logit_shifts().theorem,
    source=HERE,
    domain="every even d, base c > 1, head h, distance and method",
)
def attention_shift(claim: Claim) -> Evidence:
    return proved(
        claim, proofs.logit_shifts(), "the sum over the pairs bounds a row's oscillation, whatever the phases"
    )
