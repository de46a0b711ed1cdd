"""What takes the place of the paper's bounds: repairs of Theorem 2.1, where it holds, and what Eq. 8 is worth."""

from sympy import Eq, Ge, Le, Rational

from pi_theory import proofs
from pi_theory.certified.decide import ball
from pi_theory.certified.envelope import minimum
from pi_theory.certified.interpolation import certify_smallest_valid_head_dim, taylor_interpolation_ball
from pi_theory.certified.quantities import LeastB
from pi_theory.claims.settings import AT_LLAMA, HERE, LLAMA
from pi_theory.evidence import decided, proved, refuted_at
from pi_theory.statements import ExtrapolationBound, Statement, c, d, s
from pi_theory.verdicts import Claim, Evidence, claim


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
        lambda: (
            f"the smallest such d is {certify_smallest_valid_head_dim(10_000)} at c = 10^4 and "
            f"{certify_smallest_valid_head_dim(500_000)} at c = 5x10^5; it grows as 190 ln c"
        ),
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
    statement=Statement(Ge(ExtrapolationBound(s, d, c), d / 2), (*AT_LLAMA, s >= 0)),
    source=HERE,
    domain=f"{LLAMA}, every real s >= 0",
)
def half_d(claim: Claim) -> Evidence:
    far = 49_703_806  # the first whole position at which a search in float32 found B below d/2
    value = ball(ExtrapolationBound(far, 128, 10_000)) / 128
    found = minimum(0, 100_000, head_dim=128, base=10_000)
    return refuted_at(
        claim,
        {d: 128, c: 10_000, s: far},
        f"B({far}) = {float(value):.4f} d; it is true on [0, 100000], where the certified minimum is "
        f"{found.value.lower:.4f} d",
    )


@claim(
    id="least_b",
    says="The infimum of B(s) over all real s, however large, is at most 0.277 d.",
    statement=Statement(Le(LeastB(d, c), Rational("0.277") * d), AT_LLAMA),
    source=HERE + "; the proof stands in pi_theory.certified.infimum, after Kronecker",
    domain=f"{LLAMA}, every real s",
)
def least_b(claim: Claim) -> Evidence:
    bound = ball(LeastB(128, 10_000)).upper() / 128
    return decided(
        claim,
        f"the phases of the 16 slowest pairs are free, and some choice gives {float(bound):.4f} d; it is at least d/4",
        needs=[proofs.pairs()],
    )


@claim(
    id="least_b.quarter",
    says="For the base of Llama 3, the infimum of B(s) over all real s, however large, is equal to d/4, so that no "
    "larger bound is true.",
    statement=Statement(Eq(LeastB(d, c), d / 4, evaluate=False), (Eq(d, 128), Eq(c, 500_000))),
    source=HERE + "; the proof stands in pi_theory.certified.infimum, after Kronecker",
    domain="d = 128, c = 500000, every real s",
)
def least_b_quarter(claim: Claim) -> Evidence:
    near = 6_099_439  # the first whole position at which a search in float32 found B below d/2
    value = ball(ExtrapolationBound(near, 128, 500_000)) / 128
    return decided(
        claim,
        "the frequencies are linearly independent over the rationals, so that B comes near d/4 at some far positions; "
        f"B({near}) = {float(value):.4f} d",
        needs=[proofs.pairs()],
    )
