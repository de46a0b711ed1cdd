"""How large a score can be between and beyond trained positions: the stability theorem and the worst heads."""

import sympy as sp
from sympy import And, Eq, Ge, Le, Or, Rational, Symbol

from pi_theory import proofs
from pi_theory.amplification import whole_factor
from pi_theory.certified.best_constant import best_constant
from pi_theory.certified.decide import ball
from pi_theory.certified.quantities import BestConstant, WorstScore
from pi_theory.claims.settings import AT_LLAMA, HERE, LLAMA, SECANT
from pi_theory.evidence import decided, proved, refuted_at
from pi_theory.scaling import METHODS
from pi_theory.statements import H, L, Statement, c, d, s
from pi_theory.verdicts import Claim, Evidence, claim


@claim(
    id="stability",
    says="If all integer positions are trained, the absolute score at any real position is at most sec(1/2) = 1.1395 "
    "times its largest value at them.",
    statement=proofs.score_stability().theorem,
    source=HERE + "; after M. Riesz, Bernstein-Szego, Duffin and Schaeffer",
    domain="every even d, base c > 1 and head h; all integers are trained",
)
def stability(claim: Claim) -> Evidence:
    return proved(claim, proofs.score_stability(), f"sec(1/2) = {float(ball(SECANT)):.6f}")


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
        Le(WorstScore(s, d, c, L, H, _NONE, 1), SECANT), (*AT_LLAMA, Eq(L, 512), Eq(H, 100), s >= 0, s <= L - 1)
    ),
    source=HERE,
    domain=f"{LLAMA}, L = 512, |Re h|, |Im h| <= 100, s from 0 to L - 1",
)
def stability_edge(claim: Claim) -> Evidence:
    worst = WorstScore(Rational(1, 2), 128, 10_000, 512, 100, _NONE, 1).enclosure()
    return refuted_at(
        claim,
        {d: 128, c: 10_000, L: 512, H: 100, s: Rational(1, 2)},
        f"some head with |a(n)| <= 1 for n = 0..511 has a(1/2) = {worst.lower:.5f} > {float(ball(SECANT)):.5f}",
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
        Le(WorstScore(2 * L - 1, d, c, L, H, _LINEAR, 2), SECANT), (Eq(d, 64), Eq(c, 10_000), Eq(L, 512), Eq(H, 1))
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
        lambda: (
            f"with L = 512, L' = 1024, d = 64, c = 10^4 and |Re h|, |Im h| <= 1 no head exceeds {worst.upper:.5f} at "
            "s = 1022, the last distance between trained ones"
        ),
    )


@claim(
    id="extrapolation.thousandfold",
    says="At the last distance of twice the trained window, s = 2 L - 1, an absolute score is at most 1000 times its "
    "largest value inside the window.",
    statement=Statement(Le(WorstScore(2 * L - 1, d, c, L, H, _NONE, 1), 1000), (*AT_LLAMA, Eq(L, 512), Eq(H, 100))),
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
