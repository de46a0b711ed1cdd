"""What `pi-model examine` recommends for the tiny LLaMA, to be held against what other studies measured.

It predicts an order of the methods before any of their losses is known, from the untouched model's queries and keys,
and recommends one after it has measured all of them on a few texts.
"""

from typing import Any

from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.records.study import Study
from pi_model.examine.examination import examine_checkpoint
from pi_model.examine.findings import Examination
from pi_model.examine.recommendation import predicted_order


def run(config: dict[str, Any]) -> dict[str, Any]:
    """One examination of config["model"] for each of config["factors"].

    Returns:
        ``cases``: a list of {factor, context_tokens, complete, predicted, recommended, fine_tune, reasons, loss_nats};
        ``predicted`` is the order of the methods by reach and heads alone, ``reasons`` a list of {text, evidence}, and
        ``loss_nats`` by method the mean loss of a token in the whole context, of those that were measured.
    """
    window = examine_checkpoint(config["model"], minutes=0).identity.context_tokens
    cases = []
    for factor in config["factors"]:
        context = round(factor * window)
        found = examine_checkpoint(config["model"], context_tokens=context, minutes=config["minutes"])
        cases.append({"factor": factor} | _case(found))
    return {"cases": cases}


def _case(found: Examination) -> dict[str, Any]:
    advice = found.recommendation
    return {
        "context_tokens": found.context_tokens,
        "complete": found.complete,
        "predicted": [one.method for one in predicted_order(found.methods, found.context_tokens)],
        "recommended": advice.method,
        "fine_tune": advice.fine_tune,
        "reasons": [vars(reason) for reason in advice.reasons],
        "loss_nats": {one.method: one.measured.loss_nats for one in found.methods if one.measured},
    }


STUDY = Study(
    name="tiny_examined",
    says="What `pi-model examine` predicts and recommends for the tiny LLaMA, to be held against measurements",
    config={"model": "tiny-llama", "factors": [2, 4, 8], "minutes": 60},
    run=run,
    inputs=tiny_llama_heads,
    live=False,
    minutes=2,
    profiles={"toy": {"factors": [2], "minutes": 1e-9}},  # one text as the model is, and the heads
)
