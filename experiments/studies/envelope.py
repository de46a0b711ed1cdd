"""Fig. 5: B(s)/d on the range that the paper draws and on to 32768, with a certified envelope, minima and crossings."""

from dataclasses import asdict
from typing import Any

from experiments.records.study import Study
from pi_theory.certified.envelope import envelope, first_below, integer_scan, minimum
from pi_theory.extrapolation import B_on_grid


def run(config: dict[str, Any]) -> dict[str, Any]:
    kw = {"head_dim": config["head_dim"], "base": config["base"]}
    ranges = []
    for upto in config["ranges"]:
        bands = envelope(0, upto, config["pieces"], **kw)
        real, crossing, integers = minimum(0, upto, **kw), first_below(0, upto, **kw), integer_scan(upto, **kw)
        stride = max(1, upto // config["samples"])
        ranges.append(
            {
                "upto": upto,
                "edges": bands.edges.tolist(),
                "lower": bands.lower.tolist(),
                "upper": bands.upper.tolist(),
                "minimum": asdict(real),
                "first_below": None if crossing is None else asdict(crossing),
                "integers": asdict(integers),
                "positions": list(range(0, upto, stride)),
                "samples": (B_on_grid(len(range(0, upto, stride)), step=stride, **kw) / config["head_dim"]).tolist(),
            }
        )
    return {"ranges": ranges}


STUDY = Study(
    name="envelope",
    says="B(s)/d is enclosed by a certified envelope, with certified minima and crossings of 1 (Fig. 5)",
    config={"head_dim": 128, "base": 10_000, "ranges": [4096, 32768], "pieces": 1024, "samples": 4096},
    run=run,
    minutes=0.1,
    cores=1,
    tolerances={"": 1e-9, "ranges.minimum": 1e-6},
)
