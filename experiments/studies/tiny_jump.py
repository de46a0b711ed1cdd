"""The loss of the tiny LLaMA jumps beyond its window: which heads the jump comes from."""

from typing import Any

from experiments.measurement.heads.ablation import Jump, loss_jump
from experiments.measurement.heads.scores import medians
from experiments.measurement.heads.unextended_model import described, held_out_documents, unextended_model
from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.records.study import Study


def run(config: dict[str, Any]) -> dict[str, Any]:
    """What `loss_jump` finds in config["model"], any LLaMA that is not extended, with ``model`` and ``measured_on``.

    Heads are ranked by what their scores in a short text say of longer ones ("excess" and "amplification", medians of
    `PairScores`), and by what they attend to in the long text itself ("displaced").
    """
    checkpoint, bounds = unextended_model(config)
    nearest = bounds.beyond[0]
    long, measured_on = held_out_documents(checkpoint, config)
    short = [ids[: config["short_tokens"]] for ids in long]
    ranks = medians(
        checkpoint.model,
        short,
        bounds,
        pairs=config["pairs"],
        quantities={
            "excess": lambda scores: scores.excess[nearest],
            "amplification": lambda scores: scores.amplification[nearest],
        },
        seed=config["seed"],
    )
    jump = Jump(
        checkpoint.model,
        long,
        theta_J=bounds.theta,
        window=bounds.window,
        last_tokens=config["last_tokens"],
        factor=config["tokens"] / bounds.window,
    )
    made = loss_jump(
        jump,
        ranks,
        treatments=config["treatments"],
        worst_first=config["worst_first"],
        counts=config["counts"],
        draws=config["draws"],
        alone=config["alone"],
        bos=checkpoint.bos_id is not None,
        seed=config["seed"],
    )
    return made | {"model": described(checkpoint, config), "measured_on": measured_on}


STUDY = Study(
    name="tiny_jump",
    says="The loss of the tiny LLaMA jumps beyond its window; this shows which heads the jump comes from",
    config={
        "model": "tiny-llama",
        "corpora": {"books": 13, "code": 24},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "tokens": 512,  # of each document
        "last_tokens": 128,  # those that are scored
        "short_tokens": 256,  # of each document, to rank heads by their scores
        "pairs": 64,  # for that, of each head and each document
        "factor": 2,
        "beyond": [2],
        "treatments": ["clamp", "linear", "local"],
        "worst_first": {"clamp": ["excess", "amplification", "displaced"], "linear": ["excess"]},
        "counts": [1, 2, 3, 4, 6, 9, 12],
        "draws": 4,
        "alone": True,
    },
    run=run,
    inputs=tiny_llama_heads,
    window=256,
    lengths=("tokens", "last_tokens", "short_tokens"),
    live=False,
    minutes=0.6,
    profiles={"toy": {"corpora": {"books": 1, "code": 1}, "pairs": 8, "counts": [1, 2], "draws": 1}},
)
