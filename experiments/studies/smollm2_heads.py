"""Every head of SmolLM2-135M: its scores on real queries and keys, held against every bound."""

from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from experiments.studies.tiny_heads import conclusion, run

STUDY = Study(
    name="smollm2_heads",
    says="The scores of every head of SmolLM2-135M are held against every bound",
    config={
        "model": "smollm2-135m",
        "corpora": {"books": 1, "code": 1},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "tokens": 2048,  # of each document
        "pairs": 32,  # of query and key, of each draw, each head and each document
        "factor": 2,  # interpolated positions are halves
        "beyond": [2, 4],  # extrapolation is followed to these multiples of the window
        "programs": 6,
    },
    run=run,
    inputs=smollm2_and_corpora,
    window=8192,
    lengths=("tokens",),
    live=False,
    conclusion=conclusion,
    minutes=5,
    profiles={"toy": {"model": "tiny-llama", "tokens": 256, "pairs": 8, "programs": 2}},
)
