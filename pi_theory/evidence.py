"""What settles a claim: a proof whose theorem it is, a comparison of balls, or an instance at which it fails.

Each function here takes the claim and reads from its statement what there is to show, so that no verdict is written
by hand: a statement that is changed is no longer the theorem of its proof, is decided anew, or says what its sentence
does not. What neither a proof nor balls show is undecided, which never counts as a pass. Samples settle nothing, so
there is no way to pass them.
"""

from collections.abc import Callable, Mapping, Sequence

import sympy as sp

from pi_theory.certified.decide import decide
from pi_theory.proofs.steps import Proof
from pi_theory.statements import unsaid
from pi_theory.verdicts import Claim, Evidence, Verdict

Says = str | Callable[[], str]
"""The sentence that explains a verdict, or a function that makes it, which is called only where there is a verdict."""


def proved(claim: Claim, proof: Proof, says: Says) -> Evidence:
    """Returns HOLDS if the proof and its lemmas verify and its theorem is the claim's statement.

    Args:
        claim: what is to be settled.
        proof: of exactly its statement, hypotheses included.
        says: the sentence that explains the verdict.
    """
    if proof.theorem != claim.statement:
        return undecided(f"proof '{proof.id}' shows another statement: {proof.theorem.latex()}")
    if (failure := proof.failure()) is not None:
        return undecided(failure)
    return _found(Verdict.HOLDS, says)


def decided(claim: Claim, says: Says, *, needs: Sequence[Proof] = ()) -> Evidence:
    """Returns what balls decide about a statement that its hypotheses leave without free symbols.

    It stays undecided if the claim's sentence does not say the same numbers and relations.

    Args:
        claim: what is to be settled.
        says: the sentence that explains the verdict.
        needs: proofs that the quantities of the statement rest on; they must verify.
    """
    if (failure := _failing(claim, needs)) is not None:
        return undecided(failure)
    found = decide(claim.statement.closed().then)
    if found is None:
        return undecided("balls cannot tell")
    return _found(Verdict.HOLDS if found else Verdict.REFUTED, says)


def refuted_at(
    claim: Claim, instance: Mapping[sp.Basic, sp.Basic | int], says: Says, *, needs: Sequence[Proof] = ()
) -> Evidence:
    """Returns REFUTED if the statement is certainly false at one instance that meets all its hypotheses.

    Args:
        claim: what is to be settled.
        instance: numbers for the symbols of the statement.
        says: the sentence that explains the verdict.
        needs: proofs that the quantities of the statement rest on; they must verify.
    """
    if (failure := _failing(claim, needs)) is not None:
        return undecided(failure)
    there = claim.statement.at({symbol: sp.sympify(value) for symbol, value in instance.items()})
    if there.given:
        return undecided(f"the instance does not meet {there.given[0]}")
    if decide(there.then) is not False:
        return undecided("it is not certainly false at the instance")
    return _found(Verdict.REFUTED, says)


def undecided(says: str) -> Evidence:
    """Returns UNDECIDED with the sentence that says why."""
    return Evidence(Verdict.UNDECIDED, says)


def _found(verdict: Verdict, says: Says) -> Evidence:
    return Evidence(verdict, says if isinstance(says, str) else says())


def _failing(claim: Claim, proofs: Sequence[Proof]) -> str | None:
    if (missing := unsaid(claim.statement, f"{claim.says} {claim.domain}")) is not None:
        return f"the statement has what its sentence does not say: {missing}"
    return next((found for proof in proofs if (found := proof.failure()) is not None), None)
