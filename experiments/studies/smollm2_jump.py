"""The loss of SmolLM2-135M jumps beyond its window: which heads the jump comes from."""

from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from experiments.studies.tiny_jump import run

STUDY = Study(
    name="smollm2_jump",
    says="The loss of SmolLM2-135M jumps beyond its window; this shows which heads the jump comes from",
    config={
        "model": "smollm2-135m",
        "corpora": {"code": 1},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "tokens": 12288,  # of each document
        "last_tokens": 256,  # those that are scored
        "short_tokens": 2048,  # of each document, to rank heads by their scores
        "pairs": 128,  # for that, of each head and each document
        "factor": 2,
        "beyond": [2],
        "treatments": ["clamp"],
        "worst_first": {"clamp": ["excess"]},
        "counts": [27],
        "draws": 1,
        "alone": False,
    },
    run=run,
    inputs=smollm2_and_corpora,
    window=8192,
    lengths=("tokens", "last_tokens", "short_tokens"),
    live=False,
    minutes=20,
    profiles={
        "toy": {
            "model": "tiny-llama",
            "tokens": 512,
            "last_tokens": 64,
            "short_tokens": 256,
            "pairs": 16,
            "counts": [2],
        }
    },
)
