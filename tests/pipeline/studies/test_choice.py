"""What a choice of settings before measurement rests on: settings, a model turned by them, and what heads pass on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard

from experiments.measurement.extended_model import extended_model
from experiments.measurement.predictions.attention_displacement import displaced, from_parts
from experiments.measurement.predictions.scaling_settings import grid_settings, rotated
from experiments.measurement.predictions.setting_choice import TIE_NATS, held_against_the_best, summary
from experiments.measurement.predictions.signal_displacement import MEASURES, signal_displaced
from experiments.records import record, study
from experiments.records.study import load
from figures.plots.settings_chosen import draw
from pi_model.errors import RunError, UsageError
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint, random_llama
from pi_theory.scaling import LinearPI, Yarn, attention_factor
from tests.model.conftest import byte_tokenizer

WINDOW = 32
GRID = {
    "none": {},
    "linear": {},
    "ntk": {},
    "dynamic": {},
    "yarn": {"beta_fast": [32, 64, 4], "beta_slow": [1, 4], "temperature": [True, False]},
    "llama3": {"high_freq_factor": [4, 2]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random model with a tokenizer, and a corpus of three texts."""
    folder = tmp_path_factory.mktemp("choice")
    random_llama(vocab_size=260, max_position_embeddings=WINDOW).save_pretrained(folder / "model")
    byte_tokenizer().save_pretrained(folder / "model")
    texts = [" ".join(f"{n} times {k} is {n * k}." for n in range(40)) for k in range(3)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return folder


@pytest.fixture(scope="module")
def checkpoint(folder):
    return load_checkpoint(folder / "model", dtype="float32")


def ids(tokens, seed=0):
    return np.random.default_rng(seed).integers(0, 256, tokens).astype(np.uint32)


@pytest.mark.parametrize("method", ["linear", "ntk", "dynamic", "yarn", "llama3"])
def test_a_turned_model_loses_what_its_extended_checkpoint_loses(method, folder, checkpoint):
    untouched = losses_by_token(checkpoint.model, ids(50))
    (setting,) = grid_settings({method: {}}, 2.0, checkpoint.extension)
    with rotated(checkpoint.model, setting.change(checkpoint.extension, 50)) as model:
        found = losses_by_token(model, ids(50))
    with extended_model(folder / "model", method, 2.0) as extended:
        theirs = losses_by_token(load_checkpoint(extended, dtype="float32").model, ids(50))
    np.testing.assert_allclose(found, theirs, atol=1e-5)
    np.testing.assert_array_equal(losses_by_token(checkpoint.model, ids(50)), untouched)


def test_settings_of_a_grid_are_allowed_and_do_different_things(checkpoint):
    found = grid_settings(GRID, 2.0, checkpoint.extension)
    changes = [one.change(checkpoint.extension, 2 * WINDOW) for one in found]
    assert len({(how.score_factor, *how.scaled) for how in changes}) == len(found)
    yarn = [one for one in found if one.method == "yarn"]
    assert yarn[0].values == {"beta_fast": 32, "beta_slow": 1, "temperature": True}
    assert all(one.values["beta_slow"] < one.values["beta_fast"] for one in yarn)
    warm, cold = (one.change(checkpoint.extension, WINDOW) for one in yarn[:2])
    assert (warm.score_factor, cold.score_factor) == (attention_factor(Yarn(2.0)) ** 2, 1)
    np.testing.assert_array_equal(warm.scaled, cold.scaled)


@given(st.integers(2, 32), st.floats(-5, 5), st.integers(0, 10**6))
def test_uncorrelated_values_change_an_output_by_the_squared_change_of_attention(keys, mean, seed):
    p, after = np.random.default_rng(seed).dirichlet(np.ones(keys), size=2)
    values = mean + hadamard(32)[:, :keys]  # over the rows uncorrelated from key to key, of variance 1
    changes = values @ (after - p)
    assert (changes**2).mean() == pytest.approx(((after - p) ** 2).sum(), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("tokens", [20, 50])
def test_displacement_of_the_signal_is_that_of_its_rows(tokens, checkpoint):
    extension = checkpoint.extension
    q_NHTJ, k_NHTJ = from_parts(checkpoint.model, ids(tokens), WINDOW, True)
    m_M = np.array([tokens - 1, 3])
    changes = [one.change(extension, tokens) for one in grid_settings(GRID, 2.0, extension)]
    found = signal_displaced(q_NHTJ, k_NHTJ, m_M, changes)
    np.testing.assert_allclose(found[:, 0], np.array(displaced(q_NHTJ, k_NHTJ, m_M, changes))[:, 0], atol=1e-4)
    for how, row in zip(changes, found, strict=True):
        expected = np.zeros(2)
        for layer, head, m in np.ndindex(*q_NHTJ.shape[:2], 2):
            distances = m_M[m] - np.arange(m_M[m] + 1)
            h_TJ = q_NHTJ[layer, head, m_M[m]].astype(complex) * k_NHTJ[layer, head, : m_M[m] + 1].conj()
            before, after = (np.exp(x) for x in how.logits(h_TJ, distances))
            p, q = before * (distances < WINDOW), after
            p, q = p / p.sum(), q / q.sum()
            entropy = [-(x[x > 0] * np.log(x[x > 0])).sum() for x in (p, q, (p + q) / 2)]
            js = entropy[2] - (entropy[0] + entropy[1]) / 2
            expected += np.array([((q - p) ** 2).sum(), np.exp(-entropy[0]) * js]) / 2
        np.testing.assert_allclose(row[1:], expected, rtol=1e-3, atol=1e-5)


@given(st.lists(st.lists(st.floats(0, 5), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 2))
def test_a_choice_is_as_far_above_the_best_as_its_mean_loss(losses, chosen):
    above_DS = np.array(losses)
    found = held_against_the_best({"rule": chosen}, above_DS, [0, 1, 2], draws=5, seed=0)
    means = above_DS.mean(axis=0)
    assert found["best_nats"] == means.min() == means[found["best"]]
    rule = found["rules"]["rule"]
    assert rule["above_best"]["value"] == pytest.approx(means[chosen] - means.min())
    assert min(rule["above_best"]["interval"]) >= 0
    (row,) = summary([found]).values()
    assert row["best"] <= row["tied"] == (means[chosen] - means.min() <= TIE_NATS)


SMALL = {
    "grid": {"none": {}, "linear": {}, "dynamic": {}, "yarn": {"beta_fast": [32], "temperature": [True, False]}},
    "windows": [16, 48],
    "queries": 2,
    "bootstrap": 5,
}


@pytest.mark.parametrize("name", ["tiny_choice", "smollm2_choice"])
def test_the_study_of_choices_chooses_by_some_documents_and_measures_on_others(name, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    found, corpus = load(name), str(folder / "texts.jsonl")
    config = {**found.config, **found.profiles["toy"], "model": str(folder / "model"), **SMALL}
    made = found.run({**config, "corpora": {corpus: 1}, "measured": {corpus: 2}})
    read, measured = (set(made[which][corpus]["documents"]) for which in ("read", "measured_on"))
    assert (len(read), len(measured), len(read & measured)) == (1, 2, 0)
    inside, beyond = made["choices"]
    assert set(beyond["rules"]) == {*MEASURES, "none", "linear", "dynamic", "yarn"}
    assert set(inside["rules"]) == {*MEASURES, "linear", "yarn"}  # the others change nothing there
    losses = {s: [c["above_nats"][corpus] for c in made["cases"] if c["window"] == 48][s] for s in range(5)}
    assert beyond["best_nats"] == pytest.approx(min(losses.values()))
    for rule in MEASURES:
        predicted = [c["predicted"][rule] for c in made["cases"] if c["window"] == 48]
        assert beyond["rules"][rule]["setting"] == int(np.argmin(predicted))


def test_the_figure_of_choices_is_drawn_from_the_record_of_its_study(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    found, corpus = load("tiny_choice"), str(folder / "texts.jsonl")
    config = {**found.config, **found.profiles["toy"], "model": str(folder / "model"), **SMALL, "windows": [16, 64]}
    config |= {"corpora": {corpus: 1}, "measured": {corpus: 1}}
    study.Study(**{**vars(found), "config": config, "inputs": dict, "live": True}).measure()
    (left, middle, right) = draw().axes
    assert len(left.lines) == len(middle.lines) > 3
    assert len(right.patches) == 4  # two measures, dynamic and YaRN


def test_a_corpus_with_no_other_document_is_refused_in_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    found, corpus = load("tiny_choice"), str(folder / "texts.jsonl")
    config = {**found.config, **found.profiles["toy"], "model": str(folder / "model"), **SMALL}
    with pytest.raises(RunError, match="give it more documents"):
        found.run({**config, "corpora": {corpus: 3}, "measured": {corpus: 1}})


def test_a_choice_for_an_extended_model_is_refused(folder, tmp_path):
    extend_checkpoint(folder / "model", LinearPI(2.0), tmp_path / "extended")
    with pytest.raises(UsageError, match="give the checkpoint that it was extended from"):
        load("tiny_choice").run({**load("tiny_choice").config, "model": str(tmp_path / "extended")})
