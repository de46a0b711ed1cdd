from dataclasses import replace

import pytest
import sympy as sp

from pi_theory.proofs import PROOFS, midpoint, stability, taylor
from pi_theory.proofs.interpolation import t, x
from pi_theory.proofs.stability import tau
from pi_theory.proofs.steps import Proof, equal, follows, nonnegative_from_zero, true
from tests.theory.mutations import mutations

STEPS = [
    pytest.param(step, id=f"{proof.id}-{number}")
    for proof in (make() for make in PROOFS)
    for number, step in enumerate(proof.steps, 1)
]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_of_each_proof_verifies(step):
    assert step.verify()


@pytest.mark.parametrize("step", [p for p in STEPS if isinstance(p.values[0].formula, sp.Equality)])
def test_no_step_is_an_identity_between_the_same_expressions(step):
    """A step whose two sides are written alike would verify whatever was meant."""
    left, right = step.formula.args
    assert sp.srepr(left) != sp.srepr(right)


@pytest.mark.parametrize("make", PROOFS, ids=lambda make: make.__name__)
def test_no_theorem_survives_a_change_of_a_constant_or_sign(make):
    last = make().steps[-1]
    changed = list(mutations(last.formula))
    assert changed
    assert [formula for formula in changed if replace(last, formula=formula).verify()] == []


@pytest.mark.parametrize("make", PROOFS, ids=lambda make: make.__name__)
def test_each_step_is_held_to_the_right_side_of_its_formula(make):
    for step in make().steps:
        if isinstance(step.formula, sp.Equality):
            left, right = step.formula.args
            for wrong in (right + 1, 2 * right + 1, -right - 1):
                assert not replace(step, formula=sp.Eq(left, wrong, evaluate=False)).verify()


def test_a_false_step_does_not_verify():
    assert not equal("wrong", sp.cos(x) ** 2 + sp.sin(x) ** 2, sp.Integer(2)).verify()
    assert not equal("nearly", sp.exp(x), 1 + x + x**2 / 2).verify()
    assert not nonnegative_from_zero("wrong order", t, sp.exp(t) - 1 - t, 2, sp.exp(t)).verify()
    assert not true("unknown sign", sp.Gt(x, 1)).verify()
    assert not follows("another relation", sp.Le(x, t), sp.Lt(x, t)).verify()


def test_a_lemma_is_not_used_while_a_hypothesis_is_open():
    assert stability().at({tau: sp.Integer(1)}).rhs.has(sp.sec(sp.Rational(1, 2)))
    with pytest.raises(ValueError, match="stability"):
        stability().at({tau: sp.Integer(4)})
    with pytest.raises(ValueError, match="midpoint"):
        midpoint().at({x: 2 * x})


def test_a_proof_is_no_better_than_its_lemmas():
    broken = Proof("broken", (equal("wrong", sp.Integer(1), sp.Integer(2)),))
    assert replace(taylor(), needs=(broken,)).failure() == "step 1 of proof 'broken' does not verify"
    assert taylor().verify()


def test_the_inequality_of_equation_14_is_reversed_at_a_number():
    c, x = sp.Integer(10_000), sp.Rational(-4, 128)
    assert c**x > 1 + x * sp.log(c)


def test_proofs_print_as_latex():
    for make in PROOFS:
        text = make().latex()
        assert text.startswith(r"\begin{enumerate}")
        assert text.count(r"\item") == len(make().steps)
        assert text.count("{") == text.count("}")


def test_proof_ids_are_unique():
    ids = [make().id for make in PROOFS]
    assert len(set(ids)) == len(ids)
