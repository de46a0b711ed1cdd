"""What `pi-model examine` recommends is held against what other studies measured, in the committed records."""

import math
from collections import defaultdict

import pytest

from experiments.records import record
from pi_model.examine.recommendation import TIE, UNKNOWN


def measured(model, context):
    """The mean loss in nats of each method in windows of the context; on the tiny LLaMA over that of recent tokens."""
    found = defaultdict(list)
    if model == "smollm2-135m":
        for method, corpora in record.read("smollm2_perplexity")["metrics"]["perplexity"].items():
            for parts in corpora.values():
                found[method] += [math.log(one["perplexity"]) for one in parts["whole"] if one["window"] == context]
    else:
        metrics = record.read("tiny_displacement")["metrics"]
        for case in metrics["cases"]:
            asked = case["factor"] * metrics["model"]["window_tokens"]
            if case["window"] == context and (case["method"] == "none" or asked == context):
                found[case["method"]].append(case["above_nats"])
    return {method: sum(values) / len(values) for method, values in found.items() if values}


def cases():
    for study in ("tiny_examined", "smollm2_examined"):
        try:
            with record.reading(committed=True):
                found = record.read(study)
        except record.NoRecord:
            continue
        for case in found["metrics"]["cases"]:
            yield pytest.param(found["config"]["model"], case, id=f"{study} x{case['factor']}")


@pytest.mark.parametrize(("model", "case"), list(cases()))
def test_the_recommended_method_is_within_two_percent_of_the_best_or_not_told_apart(model, case):
    assert case["complete"]
    with record.reading(committed=True):
        losses = measured(model, case["context_tokens"])
    best = min(losses, key=losses.get)
    close = losses[case["recommended"]] - losses[best] <= TIE
    undecided = [one["text"] for one in case["reasons"] if one["evidence"] == UNKNOWN]
    assert close or any(best in text and case["recommended"] in text for text in undecided)
