import pytest

import pi_theory.claims  # noqa: F401  fills the registry
from figures.docs_pages import DOCS, claim_row
from pi_theory.proofs import Proof, taylor
from pi_theory.verdicts import REGISTRY, Certificate, Claim, Evidence, Verdict, claim, holds, refuted, undecided

EXPECTED = {
    "chen2023.thm2_1": Verdict.REFUTED,
    "chen2023.thm2_1.models": Verdict.REFUTED,
    "chen2023.eq14": Verdict.REFUTED,
    "chen2023.eq8": Verdict.HOLDS,
    "chen2023.fig5": Verdict.HOLDS,
    "chen2023.fig5.beyond": Verdict.REFUTED,
    "chen2023.600x": Verdict.HOLDS,
    "chen2023.600x.repaired": Verdict.REFUTED,
    "chen2023.600x.beyond": Verdict.REFUTED,
    "chen2023.600x.suprema": Verdict.REFUTED,
    "chen2023.fig2.8000": Verdict.REFUTED,
    "chen2023.fig2.almost_every": Verdict.HOLDS,
    "chen2023.fig2.ridge": Verdict.HOLDS,
    "taylor": Verdict.HOLDS,
    "closed_form": Verdict.HOLDS,
    "thm2_1.region": Verdict.HOLDS,
    "eq8.never_better": Verdict.HOLDS,
    "half_d": Verdict.UNDECIDED,
    "stability": Verdict.HOLDS,
    "stability.window": Verdict.HOLDS,
    "stability.edge": Verdict.REFUTED,
    "extrapolation.thousandfold": Verdict.REFUTED,
    "methods.share_stability": Verdict.REFUTED,
}


def test_every_claim_has_an_expected_verdict():
    assert set(REGISTRY) == set(EXPECTED)


@pytest.mark.parametrize("claim_id", EXPECTED)
def test_claim_settles_as_expected(claim_id):
    settled = REGISTRY[claim_id].settle()
    assert settled.verdict is EXPECTED[claim_id], settled.evidence.says
    assert claim_row(settled.row()) in (DOCS / "claims.md").read_text(), "make figures writes docs/claims.md"


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
    settled = hopeless_claim.settle()
    assert settled.verdict is Verdict.UNDECIDED
    assert settled.evidence.says == "too close to call"


def test_a_claim_cannot_be_registered_twice():
    with pytest.raises(ValueError, match="another id"):
        claim(id="taylor", says="", statement="", source="", domain="")(lambda: undecided(""))
