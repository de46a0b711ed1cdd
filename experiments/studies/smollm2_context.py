"""What SmolLM2-135M gains from more context: the loss of the same last tokens when it sees fewer or more before them.

Nothing is fine-tuned; `tiny_context` asks the same of a model that is. The scored tokens are the last 256 of each text,
so small gains need more texts than there are here.
"""

import shutil
from typing import Any

from experiments.measurement.compared_models import UNTRAINED, comparison_folder
from experiments.measurement.context_losses import TEXTS, conclusion, context_losses
from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """What `context_losses` gives; an interrupted run goes on where it stopped.

    Returns:
        Beside that ``resumed``, whether part of it was kept from an earlier start, which the wall time leaves out.
    """
    folder = comparison_folder("smollm2_context", config)
    resumed = folder.exists()
    made = context_losses(config, folder, progress=progress)
    shutil.rmtree(folder, ignore_errors=True)
    return made | {"resumed": resumed}


def inputs() -> dict[str, str]:
    """The archives that the checkpoint and the documents come from."""
    return smollm2_and_corpora(["books", "code"])


STUDY = Study(
    name="smollm2_context",
    says="The loss of the same tokens is measured by how many tokens SmolLM2-135M sees before them, as trained and "
    "extended x2 by PI and YaRN, without fine-tuning",
    config={
        "model": "smollm2-135m",
        "models": UNTRAINED,
        # read up to the end of each text, the scored tokens included: a sixteenth of the window to twice the window
        "contexts": [512, 1024, 2048, 4096, 8192, 16384],
        "last_tokens": 256,  # that are scored
        "passage_tokens": 64,  # of each passage that is repeated
        "corpora": TEXTS,
        "texts": 8,  # of each corpus
        "split": "test",
        "seed": 0,
        "dtype": "bfloat16",
    },
    run=run,
    inputs=inputs,
    window=8192,
    lengths=("contexts", "last_tokens", "passage_tokens"),
    live=False,
    conclusion=conclusion,
    minutes=180,
    profiles={
        "gpu": {"device": "cuda"},
        "toy": {
            "contexts": [128, 256],
            "last_tokens": 64,
            "corpora": {"books": {"source": "books"}, "packages": {"source": "code", "joined": True}},
            "texts": 1,
        },
    },
)
