"""The studies without fine-tuning, at toy size: a model made by hand that breaks beyond its window."""

import pytest

from experiments.studies import smollm2_passkey, smollm2_perplexity
from tests.pipeline.toy import WINDOW, breaking_model, runs_of_letters


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    return str(breaking_model(tmp_path / "model"))


def test_beyond_the_window_every_scaling_is_better_than_none_and_within_it_the_untouched_model_is(model, tmp_path):
    text = str(runs_of_letters(tmp_path / "text.jsonl"))
    windows = [WINDOW, 2 * WINDOW]
    config = smollm2_perplexity.STUDY.config | {"model": model, "corpora": {text: 4}, "windows": windows}
    made = smollm2_perplexity.run(config | {"last_tokens": 64}, progress=False)
    within, beyond = (
        {method: found[text]["last"][n]["loss_nats"] for method, found in made["perplexity"].items()} for n in (0, 1)
    )
    assert beyond["none"] > within["none"] + 0.5
    for method in ("linear", "ntk", "yarn"):
        assert beyond[method] < beyond["none"]
    assert within["linear"] > within["none"]
    assert made["trained_window_tokens"] == WINDOW
    assert made["perplexity"]["none"][text]["last"][1]["tokens"] == 4 * 64


def test_passkeys_are_tried_at_every_distance_of_every_context_and_method(model):
    config = smollm2_passkey.STUDY.config | {"model": model, "contexts": [WINDOW, 2 * WINDOW], "positions": 2}
    cases = smollm2_passkey.run(config | {"trials": 1}, progress=False)["cases"]
    assert [(case["method"], case["context_tokens"]) for case in cases] == [
        (method, context) for context in (WINDOW, 2 * WINDOW) for method in ("none", "linear")
    ]
    for case in cases:
        assert len(case["distances"]) == len(case["accuracy"]) == 2
        assert max(case["distances"]) <= case["context_tokens"]
        assert case["k_max"] in (0, *case["distances"], case["context_tokens"])
