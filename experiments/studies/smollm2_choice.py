"""The method and settings that theory chooses to extend SmolLM2-135M by 2, by what they cost inside its window."""

from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from experiments.studies.tiny_choice import STUDY as TINY
from experiments.studies.tiny_choice import run

STUDY = Study(
    name="smollm2_choice",
    says="The method and settings that theory chooses to extend SmolLM2-135M by 2, by what they cost inside its window",
    config={
        **TINY.config,
        "model": "smollm2-135m",
        "corpora": {"books": 1, "code": 1},
        "measured": {"books": 2, "code": 2},
        "grid": {
            "linear": {},
            "ntk": {},
            "yarn": {"beta_fast": [32, 8], "beta_slow": [1], "temperature": [True, False]},
            "llama3": {"low_freq_factor": [1], "high_freq_factor": [4, 2, 8]},
        },
        "factors": [2],
        "windows": [1024, 2048, 4096],
        "queries": 8,
    },
    run=run,
    inputs=smollm2_and_corpora,
    window=8192,
    lengths=("windows",),
    live=False,
    minutes=15,
    profiles={"toy": {"model": "tiny-llama", **TINY.profiles["toy"]}},
)
