"""What `pi-model examine` recommends for SmolLM2-135M, to be held against what other studies measured."""

from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from experiments.studies.tiny_examined import STUDY as TINY
from experiments.studies.tiny_examined import run

STUDY = Study(
    name="smollm2_examined",
    says="What `pi-model examine` predicts and recommends for SmolLM2-135M, to be held against measurements",
    config={"model": "smollm2-135m", "factors": [2], "minutes": 60},
    run=run,
    inputs=smollm2_and_corpora,
    live=False,
    minutes=15,
    profiles={"toy": {"model": "tiny-llama", **TINY.profiles["toy"]}},
)
