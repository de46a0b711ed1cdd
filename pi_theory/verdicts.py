"""What a claim is and what may settle it.

HOLDS needs a proof whose steps all verify, or balls that certify it; REFUTED needs a witness checked in balls or a
proof; anything else is UNDECIDED, which never counts as a pass. Samples settle nothing, so there is no way to pass
them here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from pi_theory.proofs import Proof


class Verdict(StrEnum):
    """What was found of a claim. UNDECIDED never passes for one of the others."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Certificate:
    """A statement about balls: ``certain`` is the truth value of a comparison that is true only when certain."""

    says: str
    certain: bool


@dataclass(frozen=True)
class Evidence:
    """Make one with `holds` or `refuted`; both fall back to UNDECIDED when something does not check."""

    verdict: Verdict
    says: str


def holds(says: str, *, proofs: Sequence[Proof] = (), certificates: Sequence[Certificate] = ()) -> Evidence:
    """HOLDS when every proof verifies and every certificate is certain, and there is at least one of them."""
    return _settle(Verdict.HOLDS, says, proofs, certificates)


def refuted(says: str, *, proofs: Sequence[Proof] = (), certificates: Sequence[Certificate] = ()) -> Evidence:
    """REFUTED when every proof verifies and every certificate is certain, and there is at least one of them."""
    return _settle(Verdict.REFUTED, says, proofs, certificates)


def undecided(says: str) -> Evidence:
    """UNDECIDED, and why."""
    return Evidence(Verdict.UNDECIDED, says)


def _settle(verdict: Verdict, says: str, proofs: Sequence[Proof], certificates: Sequence[Certificate]) -> Evidence:
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
def _first_failing_step(proof: Proof) -> int | None:
    return next((number for number, step in enumerate(proof.steps, 1) if not step.verify()), None)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A claim about attention scores, from the paper or from here."""

    id: str  # "chen2023.thm2_1"
    says: str  # one plain sentence
    statement: str  # LaTeX, printed in the paper
    source: str  # "arXiv:2306.15595v2, Thm 2.1"
    domain: str  # where the verdict is about
    evidence: Callable[[], Evidence]

    def settle(self) -> "Settled":
        """Runs the evidence. A computation that cannot decide is UNDECIDED with its reason."""
        start = time.perf_counter()
        try:
            evidence = self.evidence()
        except ArithmeticError as error:
            evidence = undecided(str(error))
        return Settled(self, evidence, time.perf_counter() - start)


@dataclass(frozen=True)
class Settled:
    """A claim with the evidence that its settling produced and the seconds it took."""

    bound: Bound
    evidence: Evidence
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The evidence's verdict."""
        return self.evidence.verdict

    def row(self) -> dict[str, str | float]:
        """As JSON values, for records and the command line."""
        described = {key: getattr(self.bound, key) for key in ("id", "says", "statement", "source", "domain")}
        return described | {
            "verdict": self.verdict.value,
            "evidence": self.evidence.says,
            "seconds": round(self.seconds, 3),
        }


REGISTRY: dict[str, Bound] = {}


def claim(
    *, id: str, says: str, statement: str, source: str, domain: str
) -> Callable[[Callable[[], Evidence]], Callable[[], Evidence]]:
    """Registers the decorated function as the evidence of a claim."""

    def register(evidence: Callable[[], Evidence]) -> Callable[[], Evidence]:
        if id in REGISTRY:
            raise ValueError(f"id: claim {id!r} is registered twice")
        REGISTRY[id] = Bound(id=id, says=says, statement=statement, source=source, domain=domain, evidence=evidence)
        return evidence

    return register
