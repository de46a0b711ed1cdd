"""What fine-tuning gives back: a model's own attention, where it goes, and the study that follows it step by step."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.measurement.heads.own_attention import attended_slopes, attention_shares, own_logits
from experiments.records import record, study
from experiments.studies import tiny_recovery
from figures.plots import recovery
from figures.style import shared_style
from pi_model.errors import UsageError
from pi_model.examine.heads import queries_and_keys
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint
from pi_theory.displacement import change
from pi_theory.rope import frequencies, score
from pi_theory.scaling import LinearPI, NoScaling
from tests.pipeline.figures.test_axes import outside
from tests.pipeline.toy import model_and_text

WINDOW, D = 32, 8
KIND = {"head_dim": D, "base": 10_000, "window": WINDOW}


def ids(tokens):
    return np.random.default_rng(0).integers(0, 256, tokens).astype(np.uint32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_and_text(tmp_path_factory.mktemp("toy"), WINDOW)


def test_the_own_attention_of_an_extended_model_is_that_of_transformers(folder, tmp_path):
    extend_checkpoint(folder / "model", LinearPI(4.0), tmp_path / "extended")
    model = load_checkpoint(tmp_path / "extended", dtype="float32").model
    tokens, m_M = ids(3 * WINDOW), np.array([5, 40, 95])
    model.set_attn_implementation("eager")
    theirs = model(torch.from_numpy(tokens.astype(np.int64))[None], output_attentions=True).attentions
    logits, read = own_logits(*queries_and_keys(model, tokens), m_M, frequencies(D, 10_000) / 4)
    p = torch.from_numpy(np.where(read, logits, -np.inf)).softmax(-1).float()
    for layer, weights in enumerate(theirs):
        torch.testing.assert_close(p[layer], weights[0][:, m_M], rtol=1e-4, atol=1e-5)


def test_clamped_logits_are_the_reference_of_displacement():
    rng = np.random.default_rng(0)
    q, k = (rng.normal(size=(1, 3, 80, D // 2)) + 1j * rng.normal(size=(1, 3, 80, D // 2)) for _ in "qk")
    logits, read = own_logits(q, k, np.array([79, 2]), frequencies(D, 10_000), farthest=WINDOW - 1)
    how = change(NoScaling(), **KIND)
    for head in range(3):
        before, _ = how.logits(q[0, head, 79] * k[0, head].conj(), 79 - np.arange(80))
        np.testing.assert_allclose(logits[0, head, 0], before)
    assert read.sum(axis=-1)[0, 0].tolist() == [80, 3]


def test_slopes_are_half_the_difference_of_the_scores_of_neighbours():
    rng = np.random.default_rng(0)
    q, k = (rng.normal(size=(1, 3, 20, D // 2)) + 1j * rng.normal(size=(1, 3, 20, D // 2)) for _ in "qk")
    theta = frequencies(D, 10_000)
    found = attended_slopes(q, k, np.array([19]), theta)
    for head in range(3):
        pairs = [(q[0, head, 19] * k[0, head, n].conj(), 19.0 - n) for n in range(19)]
        p = np.exp([score(h, s, theta) / np.sqrt(D) for h, s in pairs])
        slopes = [(score(h, s - 1, theta) - score(h, s + 1, theta)) / 2 / np.sqrt(D) for h, s in pairs]
        assert found[0, head] == pytest.approx(float(p @ np.abs(slopes) / p.sum()))


@given(st.lists(st.integers(1, 59), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_the_shares_of_a_heads_attention_add_up_to_one(m, seed):
    logits = np.random.default_rng(seed).normal(size=(2, 3, len(m), max(m) + 1), scale=5)
    shares = attention_shares(logits, np.array(m), [1, 2, 9])
    assert shares.shape == (2, 3, 5)
    np.testing.assert_allclose(shares.sum(-1), 1)


def test_even_attention_has_the_shares_of_its_keys():
    shares = attention_shares(np.zeros((1, 1, 1, 20)), np.array([19]), [1, 2, 9])
    np.testing.assert_allclose(shares[0, 0] * 20, [1, 1, 1, 7, 10])  # the first token, itself, the one before, 2 to 8


@pytest.fixture(scope="module")
def toy(folder):
    """The study at toy size, on a model and a text of its own."""
    text = str(folder / "text.txt")
    small = {"window_tokens": WINDOW, "steps_tokens": 4 * WINDOW, "windows": [16, WINDOW, 2 * WINDOW], "bucket": 8}
    own = {"model": str(folder / "model"), "mixture": {text: 1.0}, "corpora": {text: 2}}
    found = tiny_recovery.STUDY
    config = found.config | found.profiles["toy"] | small | own | {"peak_lr": 0.02, "distances": [1, 2, 9]}
    return study.Study(**{**vars(found), "config": config, "inputs": dict, "live": True})


@pytest.fixture(scope="module")
def made(toy, folder):
    """Its record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        patch.setattr(record, "RESULTS", folder / "results")
        toy.measure()
        yield record.read("tiny_recovery")["metrics"]


def test_direct_fine_tuning_begins_where_the_untouched_model_is(made):
    start, *_, end = next(one for one in made["runs"] if one["method"] == "none")["curve"]
    inside = [one for one in start["windows"] if one["window"] <= WINDOW]
    for name in ("kl", "tv", "above_nats"):
        assert [one[name]["value"] for one in inside] == pytest.approx([0, 0], abs=1e-6)
    for what in ("bend", "cap", "slope"):
        assert [one["value"] for one in start[what].values()] == pytest.approx([1, 1, 1])
    assert start["rank_correlation"]["value"] == pytest.approx(1)
    assert end["windows"][1]["kl"]["value"] > 1e-4


def test_pi_takes_bends_and_slopes_before_any_step(made):
    run = next(one for one in made["runs"] if one["method"] == "linear")
    assert run["predicted"]["reach_tokens"] == 2 * WINDOW - 1
    start = run["curve"][0]
    for what, predicted in (("cap", "cap"), ("slope", "slope_cap")):  # attention is random here, and moves
        assert start[what]["all"]["value"] == pytest.approx(run["predicted"][predicted], rel=0.5)
    assert start["windows"][1]["kl"]["value"] > 1e-4


def test_a_study_of_recovery_that_was_killed_goes_on_to_the_same_numbers(toy, made, tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    measured, calls = tiny_recovery._measured, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr(tiny_recovery, "_measured", dies)
    with pytest.raises(KeyboardInterrupt):
        tiny_recovery.run(toy.config)
    resumed = tiny_recovery.run(toy.config)
    assert len(calls) == 3 + 3  # of five measurements, two were kept
    assert resumed == {**made, "resumed": True}


@pytest.mark.usefixtures("made")
def test_nothing_that_the_figure_of_recovery_draws_is_cut():
    with shared_style():
        figure = recovery.draw()
        figure.canvas.draw()
    assert list(outside(figure)) == []
    plt.close(figure)


def test_a_method_that_is_not_fine_tuned_here_is_refused(toy):
    with pytest.raises(UsageError, match="only linear and none"):
        tiny_recovery.run({**toy.config, "runs": [{"method": "yarn", "factor": 2, "seed": 0}]})
