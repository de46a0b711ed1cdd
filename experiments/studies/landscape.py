"""Where Theorem 2.1 holds: F(d, c) over head dimensions and bases, the boundary F = 1, and where today's models lie."""

from typing import Any

import numpy as np

from experiments.records.study import Study
from pi_theory.certified.interpolation import certify_smallest_valid_head_dim
from pi_theory.interpolation import published_bound, published_margin, sharp_bound, taylor_bound
from pi_theory.released import MODELS


def run(config: dict[str, Any]) -> dict[str, Any]:
    powers = np.linspace(1, config["log2_head_dim"], config["head_dims"])
    head_dims = sorted({2 * round(2 ** (power - 1)) for power in powers.tolist()})
    bases = np.logspace(config["log10_base"][0], config["log10_base"][1], config["bases"]).tolist()
    boundary_bases = [float(f"{base:.3g}") for base in bases[:: config["boundary_every"]]]
    return {
        "head_dims": head_dims,
        "bases": bases,
        "margin": [[published_margin(d, c) for c in bases] for d in head_dims],
        "boundary": [
            {"base": base, "smallest_valid_head_dim": certify_smallest_valid_head_dim(base)} for base in boundary_bases
        ],
        "models": [
            {
                "name": name,
                "head_dim": d,
                "base": c,
                "margin": published_margin(d, c),
                "published": published_bound(0.5, 0, 1, head_dim=d, base=c),
                "taylor": taylor_bound(0.5, 0, 1, head_dim=d, base=c),
                "sharp": sharp_bound(0.5, 0, 1, head_dim=d, base=c),
                "smallest_valid_head_dim": certify_smallest_valid_head_dim(c),
            }
            for name, (d, c) in MODELS.items()
        ],
    }


STUDY = Study(
    name="landscape",
    says="Theorem 2.1 holds for some head dimensions and bases and fails for others; this finds the boundary",
    config={"log2_head_dim": 13, "head_dims": 60, "log10_base": [0.1, 8.0], "bases": 80, "boundary_every": 2},
    run=run,
    minutes=0.1,
    cores=1,
    tolerances={"": 1e-9},
)
