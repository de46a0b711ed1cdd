"""How sharply the heads of SmolLM2-135M point under every scaling method, and what interpolating them costs."""

from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from experiments.studies.tiny_bends import STUDY as TINY
from experiments.studies.tiny_bends import run

STUDY = Study(
    name="smollm2_bends",
    says="How sharply each head of SmolLM2-135M points, what every scaling method leaves of it, and what "
    "interpolating the sharpest groups of heads costs",
    config={
        **TINY.config,
        "model": "smollm2-135m",
        "corpora": {"books": 2, "code": 2},
        "tokens": 768,
        "factors": [2, 4],
        "by": "group",
        "counts": [1, 3, 9, 18],
        "alone": False,
    },
    run=run,
    inputs=smollm2_and_corpora,
    window=8192,
    lengths=("tokens",),
    live=False,
    minutes=15,
    profiles={"toy": {"model": "tiny-llama", **TINY.profiles["toy"], "tokens": 256}},
)
