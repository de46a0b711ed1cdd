"""Where the loss of SmolLM2-135M rises in a long text, beside the reach that every scaling method has."""

from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from experiments.studies.tiny_reach import STUDY as TINY
from experiments.studies.tiny_reach import run

STUDY = Study(
    name="smollm2_reach",
    says="The loss of SmolLM2-135M by position under scaling methods, beside the reach that the theory predicts",
    config={
        **TINY.config,
        "model": "smollm2-135m",
        "corpora": {"books": 1, "code": 1},
        "methods": ["none", "ntk", "yarn"],
        "factors": [2],
        "read": 1.125,
        "bucket": 512,
    },
    run=run,
    inputs=smollm2_and_corpora,
    window=8192,
    lengths=("bucket",),
    live=False,
    minutes=30,
    profiles={"toy": {"model": "tiny-llama", **TINY.profiles["toy"], "read": 1.5, "bucket": 64}},
)
