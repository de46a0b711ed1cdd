"""The worst case by which each scaling method amplifies scores, by distance and for several limits of the coefficients.

The value is the optimum of a linear program over all heads whose scores are at most 1 at the trained distances. Beside
each method stands "whole", Position Interpolation by (L' - 1)/(L - 1), which asks for no distance beyond the trained.
"""

import math
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from experiments.records.study import Study
from pi_theory.amplification import FiniteWindow, stability_constant, study_positions, whole_factor
from pi_theory.scaling import LinearPI, scaling_by_name


def _method(config: dict[str, Any], method: str) -> list[dict[str, Any]]:
    window, factor = config["window"], config["factor"]
    whole = LinearPI(float(whole_factor(window, math.floor(factor * window))))
    program = FiniteWindow(
        head_dim=config["head_dim"],
        base=config["base"],
        window=window,
        scaling=whole if method == "whole" else scaling_by_name(method, factor),
    )
    positions = study_positions(window, factor, config["positions"])
    curves = []
    for hmax in config["hmax"]:
        cases = program.profile(positions.tolist(), hmax)
        curves.append(
            {
                "method": method,
                "hmax": hmax,
                "positions": [case.position for case in cases],
                "attained": [case.value for case in cases],
                "upper_bound": [case.upper_bound for case in cases],
            }
        )
    return curves


def run(config: dict[str, Any]) -> dict[str, Any]:
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(_method, config, method) for method in config["methods"]]
        curves = [curve for job in jobs for curve in job.result()]
    return {"stability_constant": stability_constant(), "curves": curves}


STUDY = Study(
    name="amplification",
    says="Each scaling method has a worst case by which it can amplify attention scores at a position",
    config={
        "head_dim": 64,
        "base": 10_000,
        "window": 512,
        "factor": 2.0,
        "methods": ["none", "linear", "whole", "ntk", "dynamic", "yarn", "llama3"],
        "hmax": [1.0, 10.0, 100.0],
        "positions": 24,
    },
    run=run,
    minutes=0.6,
    # the linear programs are solved, and certified, to this
    tolerances={"": 2e-5},
)
