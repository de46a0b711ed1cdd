"""Claims of others about scaling methods and bases, as far as reach, resolution and balls can settle them."""

from sympy import And, Eq, Ge, Gt, Symbol, cos

from pi_theory import proofs
from pi_theory.certified.decide import ball
from pi_theory.certified.quantities import FirstZero, FlatCap, ReachTokens
from pi_theory.certified.reach import certified_reach
from pi_theory.claims.settings import AT_LLAMA, LLAMA
from pi_theory.evidence import decided, proved, refuted_at
from pi_theory.released import WINDOWS
from pi_theory.scaling import Llama3
from pi_theory.statements import L, Statement, Theta, c, d, j
from pi_theory.verdicts import Claim, Evidence, claim

YARN = "Peng et al. 2023, arXiv:2309.00071"
XIONG = "Xiong et al. 2023, arXiv:2309.16039"
MEN = "Men et al. 2024, arXiv:2405.14591"
_NONE, _LINEAR, _NTK, _YARN, _LLAMA_3 = map(Symbol, ("none", "linear", "ntk", "yarn", "llama3"))


@claim(
    id="bloc97.promise",
    says="NTK-aware scaling by 2 reads at least 2 L tokens before a phase leaves the arc that training showed.",
    statement=Statement(Ge(ReachTokens(d, c, L, _NTK, 2), 2 * L), (*AT_LLAMA, Eq(L, 2048))),
    source='bloc97, "NTK-Aware Scaled RoPE", 2023, as the factor is usually read',
    domain=f"{LLAMA}, L = 2048",
)
def ntk_promise(claim: Claim) -> Evidence:
    found = {factor: float(ball(ReachTokens(128, 10_000, 2048, _NTK, factor))) for factor in (2, 4, 8)}
    return decided(
        claim,
        "it reads " + ", ".join(f"{tokens:.0f} tokens (factor {factor})" for factor, tokens in found.items()),
        needs=[proofs.ntk_reach()],
    )


@claim(
    id="peng2023.out_of_bound",
    says="NTK-aware scaling by kappa takes every slow pair but the slowest out of the arc that training showed: it "
    "stays within only up to a distance of (L - 1) kappa^(2 j/(d - 2)), less than kappa (L - 1).",
    statement=proofs.ntk_shortfall().theorem,
    source=f"{YARN}, Section 3.1",
    domain="every even d > 2, base c > 1, window L > 1, kappa > 1, and pairs j < (d - 2)/2 that turn less than once in "
    "the window",
)
def ntk_out_of_bound(claim: Claim) -> Evidence:
    return proved(claim, proofs.ntk_shortfall(), "how far out is what the reach says; that it harms training is not")


# Windows and factors of models that were released with these rules.
_TURNS = (
    (128, 10_000, 4096, _YARN, 16),
    (128, 10_000, 4096, _YARN, 32),
    (128, 1_000_000, 32768, _YARN, 4),
    (128, 500_000, 8192, _LLAMA_3, 8),
)


@claim(
    id="peng2023.turns",
    says="YaRN and Llama-3 scaling, which divide by kappa what turns less than once in the window, read at least "
    "kappa (L - 1) + 1 tokens, as many as linear interpolation, before a phase leaves the arc that training showed.",
    statement=Statement(And(*(Ge(ReachTokens(*one), one[4] * (one[2] - 1) + 1) for one in _TURNS))),
    source=f"{YARN}, Section 3.2; the Llama 3.1 reference code",
    domain="; ".join(
        f"d = {d}, c = {c}, L = {L}, {method.name} by {kappa}: {kappa * (L - 1) + 1} tokens"
        for d, c, L, method, kappa in _TURNS
    ),
)
def turns_in_window(claim: Claim) -> Evidence:
    return decided(
        claim,
        "no pair that turns less than once in the window keeps a part of its frequency",
        needs=[proofs.linear_reach()],
    )


@claim(
    id="peng2023.threshold",
    says="One turn is the threshold: a slow pair of which a method keeps the share g > 0 and divides the rest by "
    "kappa is within its trained arc up to a distance of exactly kappa (L - 1)/(1 + (kappa - 1) g), less than "
    "kappa (L - 1).",
    statement=proofs.kept_reach().theorem,
    source=f"after {YARN}, Section 3.2",
    domain="every even d, base c > 1, window L > 1, kappa > 1, and pairs that turn less than once in the window",
)
def turns_threshold(claim: Claim) -> Evidence:
    def says() -> str:
        found = {
            low: certified_reach(Llama3(8.0, low_freq_factor=low), head_dim=128, base=500_000, window=8192).tokens
            for low in (1.0, 0.75, 0.5)
        }
        return (
            "so a lower threshold costs reach as soon as a pair turns between so many times and once; Llama 3.1 would "
            "read " + ", ".join(f"{tokens} tokens (threshold {low})" for low, tokens in found.items())
        )

    return proved(claim, proofs.kept_reach(), says)


@claim(
    id="xiong2023.granularity",
    says="Neighbouring positions stand farther apart after a change of base from 10^4 to 500000 than after linear "
    "interpolation by 4: for a vector with equal |x_j|, the first squared distance exceeds the second.",
    statement=Statement(Gt(FlatCap(d, 500_000, 1), FlatCap(d, 10_000, 4)), (Eq(d, 128),)),
    source=f"{XIONG}, whose granularity it is",
    domain="d = 128, kappa = 1 and 4, frequencies c^(-2j/d); the squared distance is twice the cap of bends with "
    "|h_j| = |x_j|^2",
)
def granularity(claim: Claim) -> Evidence:
    before, changed, linear = (
        float(ball(FlatCap(128, base, kappa))) for base, kappa in ((10_000, 1), (500_000, 1), (10_000, 4))
    )
    return decided(
        claim,
        f"of the squared distance before, the change of base leaves {changed / before:.3f} and linear interpolation "
        f"{linear / before:.3f}",
        needs=[proofs.neighbours_apart()],
    )


@claim(
    id="xiong2023.every_vector",
    says="Neighbouring positions stand at least as far apart after a change of base from 10^4 to 500000 as after "
    "linear interpolation by 4, for every vector: each pair moves, from j = 0 on, by at least as much, 1 - cos of its "
    "frequency.",
    statement=Statement(
        Ge(1 - cos(Theta(j, d, 500_000)), 1 - cos(Theta(j, d, 10_000) / 4)), (Eq(d, 128), j >= 0, j < d / 2)
    ),
    source=f"{XIONG}, of every vector",
    domain="d = 128, pairs j = 0 to d/2 - 1",
)
def granularity_of_every_vector(claim: Claim) -> Evidence:
    fast = sum(500_000 ** (-pair / 64) >= 10_000 ** (-pair / 64) / 4 for pair in range(64))
    return refuted_at(
        claim,
        {d: 128, j: 63},
        f"true of the {fast} fastest pairs; the {64 - fast} others are slowed by more than 4, up to nearly 50 times",
    )


@claim(
    id="xiong2023.ntk",
    says="A change of base by kappa^(d/(d - 2)) keeps each pair of every vector at neighbouring positions at least as "
    "far apart as linear interpolation by kappa does, by 2 |h_j| (1 - cos theta'_j) with |h_j| = |x_j|^2.",
    statement=proofs.neighbours_apart().theorem,
    source=f"after {XIONG}",
    domain="every even d > 2, base c > 1, kappa >= 1, pair j and vector",
)
def granularity_of_ntk(claim: Claim) -> Evidence:
    return proved(claim, proofs.neighbours_apart(), "that is NTK-aware scaling, whose base grows least for its factor")


@claim(
    id="men2024.windows",
    says="The base of every one of six released models favours like tokens in the whole of its own window: the first "
    "zero of the sum of cos(s theta_j) is at least L - 1.",
    statement=Statement(And(*(Ge(FirstZero(d, c, L, _NONE, 1), L - 1) for d, c, L in WINDOWS.values()))),
    source=f"{MEN}, whose bound on the base asks for this",
    domain="; ".join(f"{name} (d = {d}, c = {c}, L - 1 = {L - 1}, L = {L})" for name, (d, c, L) in WINDOWS.items()),
)
def men_windows(claim: Claim) -> Evidence:
    found = {name: FirstZero(*one, _NONE, 1).enclosure().upper for name, one in WINDOWS.items()}
    return decided(
        claim,
        "the first zero is at " + ", ".join(f"{zero:.0f} ({name})" for name, zero in found.items()),
    )


@claim(
    id="men2024.larger_base",
    says="A larger base favours like tokens at least as far: the first zero of the sum of cos(s theta_j) for "
    "c = 86000 is at least that for c = 84000.",
    statement=Statement(
        Ge(FirstZero(d, 86_000, L, _NONE, 1), FirstZero(d, 84_000, L, _NONE, 1)), (Eq(d, 128), Eq(L, 1))
    ),
    source=f"after {MEN}, as a bound from below is usually read",
    domain="d = 128, c = 84000 and 86000; untouched frequencies, for which any L, such as 1, will do",
)
def men_larger_base(claim: Claim) -> Evidence:
    small, large = (FirstZero(128, base, 1, _NONE, 1).enclosure().upper for base in (84_000, 86_000))
    return decided(
        claim, f"it is at {small:.0f} for c = 84000 and at {large:.0f} for c = 86000, so that the bound is no threshold"
    )


@claim(
    id="men2024.reach",
    says="The first zero of the sum of cos(s theta'_j) puts YaRN and NTK-aware scaling by 4 in the order in which "
    "their reach does: YaRN's reach is at least that of NTK-aware scaling, and so is its first zero.",
    statement=Statement(
        And(
            Ge(ReachTokens(d, c, L, _YARN, 4), ReachTokens(d, c, L, _NTK, 4)),
            Ge(FirstZero(d, c, L, _YARN, 4), FirstZero(d, c, L, _NTK, 4)),
        ),
        (*AT_LLAMA, Eq(L, 2048)),
    ),
    source=f"{MEN}, against the reach of this package",
    domain=f"{LLAMA}, L = 2048",
)
def men_reach(claim: Claim) -> Evidence:
    def of(head_dim: int, base: int, window: int) -> str:
        methods = (_NONE, 1), (_LINEAR, 4), (_NTK, 4), (_YARN, 4), (_LLAMA_3, 4)
        return ", ".join(
            f"{FirstZero(head_dim, base, window, *one).enclosure().upper:.0f} against "
            f"{float(ball(ReachTokens(head_dim, base, window, *one))):.0f} ({one[0].name})"
            for one in methods
        )

    return decided(
        claim,
        f"first zero against reach, factor 4: {of(128, 10_000, 2048)} for {LLAMA}, L = 2048; "
        f"{of(128, 500_000, 8192)} for d = 128, c = 500000, L = 8192",
    )
