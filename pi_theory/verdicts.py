"""What a claim is, what evidence may settle it, and the registry of all claims.

A claim holds when its statement is the theorem of a proof that verifies step by step, or when balls make it certain. It
is refuted when balls make the contrary certain, at an instance if it speaks of many. Everything else is undecided.
`pi_theory.evidence` does this.

This module does not load SymPy, which statements and proofs need.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pi_theory.statements import Statement


class Verdict(StrEnum):
    """What was found about a claim."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Evidence:
    """A verdict and the sentence that explains it; `pi_theory.evidence` makes it."""

    verdict: Verdict
    says: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about attention scores, the paper's or ours, and the computation that settles it."""

    id: str  # "chen2023.thm2_1"
    says: str  # one sentence that can be read by itself
    statement: "Statement"  # the same as an expression, which the evidence is held to
    source: str  # "arXiv:2306.15595v2, Thm 2.1"
    domain: str  # the head dimensions, bases, positions and coefficients that the verdict is about
    evidence: Callable[["Claim"], Evidence]  # settles the claim that it is given

    def settle(self) -> "Settled":
        """Runs the evidence; a computation that raises an error of its domain leaves it UNDECIDED, and says why."""
        start = time.perf_counter()
        try:
            evidence = self.evidence(self)
        except (ArithmeticError, ValueError) as error:
            evidence = Evidence(Verdict.UNDECIDED, str(error))
        return Settled(self, evidence, time.perf_counter() - start)


@dataclass(frozen=True)
class Settled:
    """A claim with the evidence that settled it and the seconds that took."""

    claim: Claim
    evidence: Evidence
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The verdict of the evidence."""
        return self.evidence.verdict

    def row(self) -> dict[str, str | float]:
        """Returns the claim and its evidence as JSON values, for records and the command line."""
        described = {key: getattr(self.claim, key) for key in ("id", "says", "source", "domain")}
        return described | {
            "statement": self.claim.statement.latex(),
            "verdict": self.verdict.value,
            "evidence": self.evidence.says,
            "seconds": round(self.seconds, 3),
        }


REGISTRY: dict[str, Claim] = {}
"""Every claim registered so far by its id; `pi_theory.claims.CLAIMS` is the same dictionary, filled."""


def claim(
    *, id: str, says: str, statement: "Statement", source: str, domain: str
) -> Callable[[Callable[[Claim], Evidence]], Callable[[Claim], Evidence]]:
    """Registers the decorated function as the evidence of a claim with the given fields of `Claim`.

    Raises:
        ValueError: another claim has the same id.
    """

    def register(evidence: Callable[[Claim], Evidence]) -> Callable[[Claim], Evidence]:
        if id in REGISTRY:
            raise ValueError(f"id: a claim {id!r} is registered already; choose another id")
        REGISTRY[id] = Claim(id=id, says=says, statement=statement, source=source, domain=domain, evidence=evidence)
        return evidence

    return register
