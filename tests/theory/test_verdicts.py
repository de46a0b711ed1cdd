from dataclasses import replace

import pytest
import sympy as sp

from pi_theory import verdicts
from pi_theory.evidence import decided, proved, refuted_at, undecided
from pi_theory.proofs import taylor
from pi_theory.proofs.steps import equal
from pi_theory.statements import Statement, unsaid
from pi_theory.verdicts import Claim, Evidence, Verdict, claim

x = sp.Symbol("x", real=True)


def claimed(says, statement, evidence=lambda claim: undecided("")):
    return Claim(id="x", says=says, statement=statement, source="", domain="", evidence=evidence)


def test_a_closed_statement_is_decided_in_balls():
    half = sp.cos(sp.Rational(1, 2))
    true = Statement(sp.Le(half, 3, evaluate=False))
    assert decided(claimed("cos(1/2) is at most 3", true), "").verdict is Verdict.HOLDS
    refuted = Statement(sp.Le(half, sp.Rational(1, 2), evaluate=False))
    assert decided(claimed("cos(1/2) is at most 1/2", refuted), "").verdict is Verdict.REFUTED
    equal_to = Statement(sp.Ge(half, half, evaluate=False))
    assert decided(claimed("cos(1/2) is at least cos(1/2)", equal_to), "").verdict is Verdict.UNDECIDED


def test_a_sentence_says_the_numbers_and_the_relation_of_its_statement():
    statement = Statement(sp.Le(x, 4096), (x > 0,))
    assert unsaid(statement, "For x above 0 it is at most 4096.") is None
    assert unsaid(statement, "For x above 0 it is at most 4097.") == "the number 4096"
    assert unsaid(statement, "For x above 0 it is at least 4096.") == "the relation <="
    assert unsaid(Statement(sp.Le(x, -4)), "at most 4") == "the number -4"
    assert unsaid(Statement(sp.Le(x, sp.Integer(10) ** 6)), "at most 10^6") is None


def test_a_counterexample_must_meet_the_hypotheses():
    square = claimed("x to the 2, is at least x if x exceeds 1", Statement(sp.Ge(x**2, x), (x > 1,)))
    assert refuted_at(square, {x: sp.Rational(1, 2)}, "").verdict is Verdict.UNDECIDED
    weaker = claimed("x to the 2 is at least x if x exceeds 0", Statement(sp.Ge(x**2, x), (x > 0,)))
    assert refuted_at(weaker, {x: sp.Rational(1, 2)}, "").verdict is Verdict.REFUTED


def test_a_proof_settles_only_its_own_theorem():
    bound = claimed("", taylor().theorem)
    assert proved(bound, taylor(), "").verdict is Verdict.HOLDS
    assert (
        proved(replace(bound, statement=replace(bound.statement, given=())), taylor(), "").verdict is Verdict.UNDECIDED
    )


def test_a_proof_with_a_false_step_leaves_a_claim_undecided():
    wrong = equal("wrong", sp.Integer(1), sp.Integer(2))
    broken = replace(taylor(), id="broken", steps=(wrong, *taylor().steps))
    evidence = proved(claimed("", taylor().theorem), broken, "if the proof were right")
    assert evidence == Evidence(Verdict.UNDECIDED, "step 1 of proof 'broken' does not verify")


def test_a_computation_that_cannot_decide_is_undecided_with_its_reason():
    def hopeless(claim: Claim) -> Evidence:
        raise ArithmeticError("too close to call")

    found = claimed("", Statement(sp.true), hopeless).settle()
    assert found.evidence == Evidence(Verdict.UNDECIDED, "too close to call")


def test_a_claim_cannot_be_registered_twice(monkeypatch):
    monkeypatch.setattr(verdicts, "REGISTRY", {})
    register = claim(id="once", says="", statement=Statement(sp.true), source="", domain="")
    register(lambda claim: undecided(""))
    assert set(verdicts.REGISTRY) == {"once"}
    with pytest.raises(ValueError, match=r"once.*another id"):
        register(lambda claim: undecided(""))
