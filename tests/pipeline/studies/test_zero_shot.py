"""The studies without fine-tuning, at toy size: a model made by hand that breaks beyond its window."""

import numpy as np
import pytest

from experiments.studies import smollm2_passkey, smollm2_perplexity
from figures.verdicts import EXPERIMENTS
from tests.pipeline import synthetic
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
    row = made["perplexity"]["none"][text]["last"][1]
    assert row["tokens"] == 4 * 64
    assert np.mean(row["document_loss_nats"]) == pytest.approx(row["loss_nats"], abs=1e-5)


def test_without_training_methods_are_compared_text_by_text_where_the_record_has_each(results):
    """Texts differ far more from each other than methods do: only pairs can tell these apart."""
    texts, spread = ["a", "b", "c", "d"], np.array([-2.0, -0.5, 0.5, 2.0])
    levels = {("none", 256): 3.0, ("none", 512): 4.0, ("linear", 256): 3.4, ("linear", 512): 3.5}

    def row(window, nats):
        stderr = float(spread.std(ddof=1) / 2)
        losses = (nats + spread).tolist()
        return {"window": window, "loss_nats": nats, "loss_nats_stderr": stderr, "document_loss_nats": losses}

    perplexity = {
        method: {"books": {"last": [row(window, levels[method, window]) for window in (256, 512)]}}
        for method in ("none", "linear")
    }
    metrics = {"perplexity": perplexity, "trained_window_tokens": 256, "measured_on": {"books": {"documents": texts}}}
    config = {"model": "made-up", "factor": 2, "windows": [256, 512], "corpora": {"books": 4}, "last_tokens": 32}
    synthetic.write("smollm2_perplexity", metrics, config=config)
    assert EXPERIMENTS["zero_shot"].outcome().verdict == "reproduced"
    metrics["measured_on"] = {}
    synthetic.write("smollm2_perplexity", metrics, config=config)
    assert EXPERIMENTS["zero_shot"].outcome().verdict == "open"


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
