"""Claims of others about scaling methods, as far as reach, resolution and balls can settle them."""

import sympy as sp
from sympy import Eq, Ge, Symbol

from pi_theory import proofs
from pi_theory.certified.decide import ball
from pi_theory.certified.quantities import ReachTokens
from pi_theory.claims.settings import AT_LLAMA, LLAMA
from pi_theory.evidence import decided
from pi_theory.statements import L, Statement, c, d
from pi_theory.verdicts import Claim, Evidence, claim

_LLAMA_1 = (*AT_LLAMA, Eq(L, 2048))
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
