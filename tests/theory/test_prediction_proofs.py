import pytest
import sympy as sp

from pi_theory.prediction_proofs import PROOFS

STEPS = [
    pytest.param(step, id=f"{proof.id}-{number}")
    for proof in (make() for make in PROOFS)
    for number, step in enumerate(proof.steps, 1)
]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_verifies_and_its_sides_are_not_written_alike(step):
    assert step.verify()
    left, right = step.formula.args
    assert sp.srepr(left) != sp.srepr(right)
