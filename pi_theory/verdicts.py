"""What a claim is, what evidence may settle it, and the registry of all claims.

A claim holds when a proof of it verifies step by step, or when a comparison of balls makes it certain. It is refuted
by a proof of the contrary, or by a counterexample that is certain in balls. Everything else is undecided, which never
counts as a pass. Samples settle nothing, so there is no way to pass them to `holds` or `refuted`.

This module does not load SymPy: only `pi_theory.claims` and `pi_theory.proofs` do.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pi_theory.proofs


class Verdict(StrEnum):
    """What was found about a claim."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Certificate:
    """A statement that a comparison of balls has decided.

    Such a comparison is true only when it is true for every pair of numbers in the two balls, so ``certain`` is False
    both where the statement is false and where the balls are too wide to tell.
    """

    says: str
    certain: bool


@dataclass(frozen=True)
class Evidence:
    """A verdict and the sentence that explains it.

    Make one with `holds`, `refuted` or `undecided`; the first two fall back to UNDECIDED when something does not check.
    """

    verdict: Verdict
    says: str


def holds(
    says: str, *, proofs: Sequence["pi_theory.proofs.Proof"] = (), certificates: Sequence[Certificate] = ()
) -> Evidence:
    """Returns HOLDS if every proof verifies and every certificate is certain, else UNDECIDED with the reason.

    Args:
        says: the sentence that explains the verdict.
        proofs: proofs that together imply the claim.
        certificates: comparisons of balls that together with the proofs imply it. At least one proof or certificate
            is needed.
    """
    return _settle(Verdict.HOLDS, says, proofs, certificates)


def refuted(
    says: str, *, proofs: Sequence["pi_theory.proofs.Proof"] = (), certificates: Sequence[Certificate] = ()
) -> Evidence:
    """Returns REFUTED if every proof verifies and every certificate is certain, else UNDECIDED with the reason.

    The arguments are those of `holds`, for the contrary of the claim.
    """
    return _settle(Verdict.REFUTED, says, proofs, certificates)


def undecided(says: str) -> Evidence:
    """Returns UNDECIDED with the sentence that says why."""
    return Evidence(Verdict.UNDECIDED, says)


def _settle(
    verdict: Verdict, says: str, proofs: Sequence["pi_theory.proofs.Proof"], certificates: Sequence[Certificate]
) -> Evidence:
    if not proofs and not certificates:
        return undecided(f"no proof and no certificate given for: {says}")
    for proof in proofs:
        if (number := _first_failing_step(proof)) is not None:
            return undecided(f"step {number} of proof '{proof.id}' does not verify")
    for certificate in certificates:
        if not certificate.certain:
            return undecided(f"not certain: {certificate.says}")
    return Evidence(verdict, says)


@cache
def _first_failing_step(proof: "pi_theory.proofs.Proof") -> int | None:
    return next((number for number, step in enumerate(proof.steps, 1) if not step.verify()), None)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about attention scores, the paper's or ours, and the computation that settles it."""

    id: str  # "chen2023.thm2_1"
    says: str  # one sentence that can be read by itself
    statement: str  # the same as a LaTeX formula, for the report
    source: str  # "arXiv:2306.15595v2, Thm 2.1"
    domain: str  # the head dimensions, bases, positions and coefficients that the verdict is about
    evidence: Callable[[], Evidence]  # settles the claim

    def settle(self) -> "Settled":
        """Runs the evidence; a computation that raises ArithmeticError leaves the claim UNDECIDED, with its message."""
        start = time.perf_counter()
        try:
            evidence = self.evidence()
        except ArithmeticError as error:
            evidence = undecided(str(error))
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
        described = {key: getattr(self.claim, key) for key in ("id", "says", "statement", "source", "domain")}
        return described | {
            "verdict": self.verdict.value,
            "evidence": self.evidence.says,
            "seconds": round(self.seconds, 3),
        }


REGISTRY: dict[str, Claim] = {}
"""Every claim registered so far by its id; `pi_theory.claims.CLAIMS` is the same dictionary, filled."""


def claim(
    *, id: str, says: str, statement: str, source: str, domain: str
) -> Callable[[Callable[[], Evidence]], Callable[[], Evidence]]:
    """Registers the decorated function as the evidence of a claim with the given fields of `Claim`.

    Raises:
        ValueError: another claim has the same id.
    """

    def register(evidence: Callable[[], Evidence]) -> Callable[[], Evidence]:
        if id in REGISTRY:
            raise ValueError(f"id: a claim {id!r} is registered already; choose another id")
        REGISTRY[id] = Claim(id=id, says=says, statement=statement, source=source, domain=domain, evidence=evidence)
        return evidence

    return register
