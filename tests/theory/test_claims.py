from dataclasses import replace
from functools import cache

import pytest

from experiments.records.record import read, reading
from pi_theory.claims import CLAIMS
from pi_theory.verdicts import Settled, Verdict
from tests.theory.mutations import mutated_statements

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
    "half_d": Verdict.REFUTED,
    "least_b": Verdict.HOLDS,
    "least_b.quarter": Verdict.HOLDS,
    "stability": Verdict.HOLDS,
    "stability.best": Verdict.HOLDS,
    "stability.window": Verdict.HOLDS,
    "stability.edge": Verdict.REFUTED,
    "pi.asks_beyond": Verdict.HOLDS,
    "pi.worst": Verdict.REFUTED,
    "pi.whole": Verdict.HOLDS,
    "extrapolation.thousandfold": Verdict.REFUTED,
    "methods.share_stability": Verdict.REFUTED,
    "resolution.cap": Verdict.HOLDS,
    "resolution.linear": Verdict.HOLDS,
    "resolution.score": Verdict.HOLDS,
    "reach.linear": Verdict.HOLDS,
    "reach.ntk": Verdict.HOLDS,
    "attention.divergence": Verdict.HOLDS,
    "attention.variation": Verdict.HOLDS,
    "attention.shift": Verdict.HOLDS,
    "bloc97.promise": Verdict.REFUTED,
    "peng2023.out_of_bound": Verdict.HOLDS,
    "peng2023.turns": Verdict.HOLDS,
    "peng2023.threshold": Verdict.HOLDS,
    "xiong2023.granularity": Verdict.HOLDS,
    "xiong2023.every_vector": Verdict.REFUTED,
    "xiong2023.ntk": Verdict.HOLDS,
    "men2024.windows": Verdict.REFUTED,
    "men2024.larger_base": Verdict.REFUTED,
    "men2024.reach": Verdict.REFUTED,
}


@cache
def settled(claim_id: str) -> Settled:
    return CLAIMS[claim_id].settle()


def test_every_claim_has_an_expected_verdict():
    assert set(CLAIMS) == set(EXPECTED)


@pytest.mark.parametrize("claim_id", EXPECTED)
def test_claim_settles_as_expected(claim_id):
    found = settled(claim_id)
    assert found.verdict is EXPECTED[claim_id], found.evidence.says


@pytest.mark.parametrize("claim_id", [id for id, verdict in EXPECTED.items() if verdict is Verdict.HOLDS])
def test_no_statement_that_holds_survives_a_change(claim_id):
    """Each constant, sign and relation of each statement is changed, the hypotheses included."""
    one = CLAIMS[claim_id]
    changed = list(mutated_statements(one.statement))
    assert changed
    survivors = [other for other in changed if replace(one, statement=other).settle().verdict is Verdict.HOLDS]
    assert [other.latex() for other in survivors] == []


def test_the_committed_record_says_what_each_claim_settles_to():
    """docs/claims.md and the report are written from the record; `python -m experiments claims` makes it anew."""
    with reading(committed=True):
        recorded = read("claims")["metrics"]["claims"]
    assert [{**row, "seconds": 0} for row in recorded] == [{**settled(id).row(), "seconds": 0} for id in CLAIMS]


def test_each_claim_is_a_sentence_of_its_own():
    for found in CLAIMS.values():
        assert found.says[0].isupper()
        assert found.says.endswith(".")
        assert not found.says.startswith("The same")
