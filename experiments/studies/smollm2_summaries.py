"""Summaries by SmolLM2-135M before and after a short fine-tuning, end to end: train, write, score by ROUGE.

The documents are modules of Python packages and the summaries their docstrings. A model this small, fine-tuned this
little, shows that the pieces fit and which way the scores go; it says nothing about Table 6.
"""

import shutil
from typing import Any

from experiments.measurement.kept import study_folder
from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from pi_model.data.documents import Source
from pi_model.data.summaries import SummaryPrompts, read_pairs
from pi_model.evaluation.summarization import Sampling, mean_rouge, rouge_settings, summarize
from pi_model.models.loading import load_checkpoint
from pi_model.training.config import Summaries
from pi_model.training.loop import train
from pi_model.training.overrides import override
from pi_model.training.recipes import recipe
from pi_model.training.run_log import read_log


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """ROUGE before and after; an interrupted run goes on where it stopped.

    Returns:
        ``cases``, a list of {model, rouge, ended, tokens, example} for "as given" and "fine-tuned"; ``loss_nats`` of
        every step; ``rouge_settings``; ``documents``, by name; and ``resumed``, whether part of it was kept from an
        earlier start, which the wall time then leaves out.
    """
    folder = study_folder("smollm2_summaries", config)
    out: dict[str, Any] = {"resumed": folder.exists(), "rouge_settings": rouge_settings(), "cases": []}
    plan = override(recipe(config["recipe"]), ["device=cpu", *config["overrides"]])
    (data,) = plan.data
    assert isinstance(data, Summaries)
    outcome = train(plan, folder / "training", progress=progress)
    out["loss_nats"] = [line["loss_nats"] for line in read_log(folder / "training" / "steps.jsonl")]
    pairs = list(read_pairs(Source(data.name, data.column, config["split"]), data.summary))
    # Spread over the packages' modules, which come in alphabetical order.
    pairs = pairs[:: len(pairs) // config["documents"]][: config["documents"]]
    out["documents"] = [name for name, _, _ in pairs]
    for name, source in (("as given", plan.model), ("fine-tuned", outcome.model)):
        checkpoint = load_checkpoint(source or "", dtype=config["dtype"])
        maker = SummaryPrompts(
            checkpoint.tokenizer,
            plan.training_tokens,
            document_tokens=data.document_tokens,
            summary_tokens=data.summary_tokens,
            bos_id=checkpoint.bos_id,
        )
        summaries = summarize(
            checkpoint.model,
            maker,
            pairs,
            Sampling(**config["sampling"]),
            progress_folder=folder / name,
            progress=progress,
        )
        out["cases"].append(
            {
                "model": name,
                "rouge": mean_rouge(summaries),
                "ended": sum(summary.ended for summary in summaries),
                "tokens": [summary.tokens for summary in summaries],
                "example": {"reference": summaries[0].reference, "summary": summaries[0].text},
            }
        )
    shutil.rmtree(folder, ignore_errors=True)
    return out


def inputs() -> dict[str, str]:
    """The archives that the checkpoint and the documents come from."""
    return smollm2_and_corpora(["abstracts"])


STUDY = Study(
    name="smollm2_summaries",
    says="SmolLM2-135M summarises Python modules before and after a short fine-tuning on others, scored by ROUGE",
    config={
        "recipe": "smollm2_abstracts",
        "overrides": [
            *("steps=12", "global_batch=2", "sequence_tokens=768", "peak_lr=2e-4", "warmup_steps=3"),
            *("dtype=bfloat16", "checkpoint_every=4"),
        ],
        "split": "test",
        "documents": 10,
        "sampling": {"temperature": 0.5, "top_p": 0.95, "max_tokens": 96, "seed": 0},
        "dtype": "bfloat16",
    },
    run=run,
    inputs=inputs,
    live=False,
    minutes=10,
    profiles={
        "toy": {
            "overrides": [
                *("steps=1", "global_batch=1", "sequence_tokens=512", "peak_lr=2e-4", "warmup_steps=1"),
                *("dtype=bfloat16", "checkpoint_every=1"),
            ],
            "documents": 2,
            "sampling": {"temperature": 0.5, "top_p": 0.95, "max_tokens": 8, "seed": 0},
        }
    },
)
