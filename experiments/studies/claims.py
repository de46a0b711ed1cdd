"""Every claim of the registry, settled: proved, refuted or undecided, with its evidence."""

from typing import Any

from experiments.records.study import Study
from pi_theory.claims import CLAIMS


def run(config: dict[str, Any]) -> dict[str, Any]:
    return {"claims": [claim.settle().row() for claim in CLAIMS.values()]}


STUDY = Study(
    name="claims",
    says="Every claim about attention scores is settled: proved, refuted or left undecided",
    config={},
    run=run,
    minutes=0.5,
    cores=1,
    tolerances={"": 0.0, "claims.seconds": None},
)
