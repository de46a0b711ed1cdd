"""Fig. 1: what Position Interpolation does to the positions a model sees, for one slow RoPE feature."""

from typing import Any

import numpy as np

from experiments.records.study import Study
from pi_theory.rope import frequencies
from pi_theory.scaling import LinearPI, scaled_frequencies


def run(config: dict[str, Any]) -> dict[str, Any]:
    head_dim, base, window, factor = (config[key] for key in ("head_dim", "base", "window", "factor"))
    feature = config["feature"]
    positions = np.arange(0, factor * window + 1, config["stride"])
    trained = np.cos(positions * frequencies(head_dim, base)[feature])
    scaled = scaled_frequencies(LinearPI(factor), head_dim=head_dim, base=base, window=window)
    return {
        "positions": positions.tolist(),
        "extrapolated": trained.tolist(),
        "interpolated": np.cos(positions * scaled[feature]).tolist(),
    }


STUDY = Study(
    name="positions",
    says="Position Interpolation squeezes the positions of a longer text into the trained range (Fig. 1)",
    config={"head_dim": 128, "base": 10_000, "window": 2048, "factor": 2.0, "feature": 48, "stride": 128},
    run=run,
    minutes=0.05,
    cores=1,
    tolerances={"": 1e-12},
)
