"""Fig. 2: scores fitted to random points on the window, and what they are beyond it.

The same fit is made in rising precision and with ridge regularisation, which shows what of it is rounding.
"""

from typing import Any

import numpy as np

from experiments.records.study import Study
from pi_theory.certified.balls import enclosure
from pi_theory.certified.least_squares import exact_least_squares
from pi_theory.leastsquares import Arithmetic, evaluate, fit, random_points, ridge_bound


def run(config: dict[str, Any]) -> dict[str, Any]:
    head_dim, base, window = config["head_dim"], config["base"], config["window"]
    integers = np.arange(2 * window)
    zoom = np.linspace(config["zoom"][0], config["zoom"][1], config["zoom_samples"])
    fits = []
    for seed in config["seeds"]:
        points = random_points(window, seed)
        for name, arithmetic, ridge in [
            *((str(arithmetic), arithmetic, 0.0) for arithmetic in Arithmetic),
            *((f"ridge {ridge:g}", Arithmetic.FLOAT64_SVD, ridge) for ridge in config["ridges"]),
        ]:
            h = fit(points, head_dim=head_dim, base=base, arithmetic=arithmetic, ridge=ridge)
            curve = evaluate(h, integers, base=base)
            row: dict[str, Any] = {
                "seed": seed,
                "name": name,
                "max_inside": float(np.abs(curve[:window]).max()),
                "max_beyond": float(np.abs(curve[window:]).max()),
                "ridge_bound": ridge_bound(points, ridge, head_dim) if ridge else None,
            }
            if seed == config["seeds"][0]:
                row["curve"] = curve[:: config["stride"]].tolist()
                row["zoom"] = evaluate(h, zoom, base=base).tolist()
            fits.append(row)

    seed = config["seeds"][0]
    positions = sorted({*range(0, 2 * window, config["exact_stride"]), 2 * window - 1})
    exact = exact_least_squares(
        random_points(window, seed), positions, head_dim=head_dim, base=base, digits=config["digits"]
    )
    inside = [float(v) for v, s in zip(exact.values, positions, strict=True) if s < window]
    return {
        "points": random_points(window, seed).tolist(),
        "positions": integers[:: config["stride"]].tolist(),
        "zoom_positions": zoom.tolist(),
        "fits": fits,
        "exact": {
            "seed": seed,
            "bits": exact.bits,
            "positions": positions,
            "values": [float(v) for v in exact.values],
            "standard_deviations": [float(v) for v in exact.standard_deviations],
            "max_inside": max(map(abs, inside)),
            "last": exact.values[-1].str(config["digits"], radius=False),
            "last_enclosure": [enclosure(exact.values[-1]).lower, enclosure(exact.values[-1]).upper],
        },
    }


STUDY = Study(
    name="least_squares",
    says="Least-squares fits extrapolate wildly in floating point; rising precision shows how much of it "
    "is rounding (Fig. 2)",
    config={
        "head_dim": 128,
        "base": 10_000,
        "window": 2048,
        "seeds": [0, 1, 2, 3],
        "ridges": [1e-3, 1.0],
        "stride": 4,
        "zoom": [1000, 1050],
        "zoom_samples": 1001,
        "exact_stride": 32,
        "digits": 10,
    },
    run=run,
    minutes=0.2,
    cores=1,
    # what rounding leaves of an ill-conditioned fit is another on every BLAS; the exact one is the same everywhere
    tolerances={"": 1e-9, "fits": None},
)
