"""What predicts a loss: how sharply a head can point, how far a method reads, and how far attention moves."""

import sympy as sp
from sympy import Rational

from pi_theory import proofs
from pi_theory.certified.decide import ball
from pi_theory.claims.settings import HERE
from pi_theory.evidence import proved
from pi_theory.verdicts import Claim, Evidence, claim


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
