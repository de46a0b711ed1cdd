"""How far each scaling method moves the attention of SmolLM2-135M inside its window, beside the loss that it costs."""

from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from experiments.studies.tiny_displacement import STUDY as TINY
from experiments.studies.tiny_displacement import run

STUDY = Study(
    name="smollm2_displacement",
    says="How far each scaling method moves the attention of SmolLM2-135M inside its window, beside the loss that "
    "it costs",
    config={
        **TINY.config,
        "model": "smollm2-135m",
        "corpora": {"books": 2, "code": 2},
        "factors": [2, 4],
        "windows": [256, 512, 1024, 2048],
    },
    run=run,
    inputs=smollm2_and_corpora,
    window=8192,
    lengths=("windows",),
    live=False,
    minutes=10,
    profiles={"toy": {"model": "tiny-llama", **TINY.profiles["toy"]}},
)
