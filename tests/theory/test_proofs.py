import pytest
import sympy as sp

from pi_theory.proofs import PROOFS, Step

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


def test_a_false_step_does_not_verify():
    from pi_theory.proofs import _equal, _vanishing_start, t, x

    assert not _equal("wrong", sp.cos(x) ** 2 + sp.sin(x) ** 2, sp.Integer(2)).verify()
    assert not _equal("nearly", sp.exp(x), 1 + x + x**2 / 2).verify()
    assert not _vanishing_start("wrong order", sp.exp(t) - 1 - t, 2, sp.exp(t)).verify()


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
    assert all(isinstance(step, Step) for make in PROOFS for step in make().steps)
