"""Every claim of the registry, settled: proved, refuted or undecided, with its evidence."""

from typing import Any

import pi_theory.claims  # noqa: F401  fills the registry
from experiments.records.study import Study
from pi_theory.verdicts import REGISTRY


def run(config: dict[str, Any]) -> dict[str, Any]:
    return {"claims": [bound.settle().row() for bound in REGISTRY.values()]}


STUDY = Study(
    name="claims",
    says="Every claim about attention scores is settled: proved, refuted or left undecided",
    config={},
    run=run,
    minutes=0.5,
    cores=1,
    tolerances={"": 0.0, "claims.seconds": None},
)
