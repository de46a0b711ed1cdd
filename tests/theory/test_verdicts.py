import pytest

from pi_theory import verdicts
from pi_theory.proofs import Proof, taylor
from pi_theory.verdicts import Certificate, Claim, Evidence, Verdict, claim, holds, refuted, undecided


def test_nothing_holds_or_is_refuted_without_proof_or_certificate():
    assert holds("because I say so").verdict is Verdict.UNDECIDED
    assert refuted("because I say so").verdict is Verdict.UNDECIDED


def test_an_uncertain_certificate_leaves_a_claim_undecided():
    evidence = holds("nearly", certificates=[Certificate("sure", True), Certificate("unsure", False)])
    assert evidence.verdict is Verdict.UNDECIDED
    assert "unsure" in evidence.says


def test_a_proof_with_a_false_step_leaves_a_claim_undecided():
    good = taylor()
    bad_step = type(good.steps[0])(says="wrong", formula=good.steps[0].formula, check=lambda: False)
    broken = Proof(id="broken", theorem="", steps=(*good.steps, bad_step))
    evidence = holds("if the proof were right", proofs=[broken])
    assert evidence.verdict is Verdict.UNDECIDED
    assert f"step {len(broken.steps)}" in evidence.says


def test_a_computation_that_cannot_decide_is_undecided_with_its_reason():
    def hopeless() -> Evidence:
        raise ArithmeticError("too close to call")

    hopeless_claim = Claim(id="x", says="", statement="", source="", domain="", evidence=hopeless)
    found = hopeless_claim.settle()
    assert found.verdict is Verdict.UNDECIDED
    assert found.evidence.says == "too close to call"


def test_a_claim_cannot_be_registered_twice(monkeypatch):
    monkeypatch.setattr(verdicts, "REGISTRY", {})
    register = claim(id="once", says="", statement="", source="", domain="")
    register(lambda: undecided(""))
    assert set(verdicts.REGISTRY) == {"once"}
    with pytest.raises(ValueError, match=r"once.*another id"):
        register(lambda: undecided(""))
