"""What predictions are held against: losses by position, bends and displacement of real heads, rank correlations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from experiments.measurement.heads.bends import Inside, attended_bends, loss_by_sharpest, units_of
from experiments.measurement.predictions.attention_displacement import displaced, from_parts
from experiments.measurement.predictions.position_loss import by_bucket, onset, recent_losses
from experiments.measurement.predictions.prediction_curves import predictions
from experiments.measurement.predictions.rank_correlation import over_documents, spearman
from experiments.records.study import load
from pi_model.errors import UsageError
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.examine.heads import queries_and_keys
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import random_llama
from pi_theory.displacement import change, moved
from pi_theory.reach import reach
from pi_theory.resolution import bend, bend_cap, linear_cap_ratio
from pi_theory.rope import frequencies, score
from pi_theory.scaling import LinearPI, NoScaling, Yarn, attention_factor
from tests.pipeline.toy import model_and_text

WINDOW, D = 32, 8
KIND = {"head_dim": D, "base": 10_000, "window": WINDOW}


@pytest.fixture(scope="module")
def model():
    return random_llama(max_position_embeddings=WINDOW)


def ids(tokens, seed=0):
    return np.random.default_rng(seed).integers(0, 256, tokens).astype(np.uint32)


def test_the_loss_of_every_token_is_that_of_transformers(model):
    tokens = torch.from_numpy(ids(50).astype(np.int64))[None]
    theirs = torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:], reduction="none")
    np.testing.assert_allclose(losses_by_token(model, ids(50)), theirs.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("tokens", [WINDOW, 50, 97])
@pytest.mark.parametrize("bos", [False, True])
def test_recent_losses_read_half_a_window_to_a_whole_one(model, tokens, bos):
    found = recent_losses(model, ids(tokens), WINDOW, bos)
    assert found.shape == (tokens - 1,)
    np.testing.assert_allclose(found[: WINDOW - 1], losses_by_token(model, ids(WINDOW + 1)[:WINDOW])[: WINDOW - 1])
    if tokens > WINDOW:  # the last token is the last of a window
        last = np.concatenate([ids(tokens)[:bos], ids(tokens)[tokens - WINDOW + bos :]])
        assert found[-1] == pytest.approx(losses_by_token(model, last)[-1])


@given(st.integers(0, 20), st.floats(0.3, 5), st.floats(-1, 1))
def test_an_onset_is_where_a_loss_rises_for_good(after, rise, level):
    excess = np.full(32, level)
    excess[8 + after :] += rise
    assert onset(excess, bucket=4, window=32, rise=0.25) == 4 * (8 + after)
    excess[4:8] -= 1e-3  # a hard passage further on, which ends again, is no onset
    excess[8:] = level
    excess[9 + after : 11 + after] += rise
    assert onset(excess, bucket=4, window=32, rise=0.25) is None


def test_buckets_are_means_of_whole_stretches():
    assert by_bucket(np.arange(10.0), 4).tolist() == [1.5, 5.5]
    assert by_bucket(np.ones((2, 9)), 4).shape == (2, 2)


@given(st.lists(st.tuples(st.integers(-5, 5), st.floats(-5, 5)), min_size=2, max_size=30))
def test_the_rank_correlation_is_that_of_scipy(pairs):
    first, second = zip(*pairs, strict=True)
    if min(first) == max(first) or min(second) == max(second):
        assert spearman(first, second) is None
    else:
        assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_an_interval_over_documents_holds_the_value_of_alike_documents_alone():
    found = over_documents(lambda chosen: 0.5 + 0 * chosen.sum(), 4, draws=10, seed=0)
    assert found == {"value": 0.5, "interval": [0.5, 0.5]}
    assert over_documents(lambda chosen: None, 4, draws=10, seed=0) == {"value": None, "interval": None}


def test_attended_bends_are_those_of_the_theory_weighed_by_attention(model):
    changes = {"none": change(NoScaling(), **KIND), "yarn": change(Yarn(2.0), **KIND)}
    found = attended_bends(model, [ids(24)], changes, queries=1, seed=3)
    m = int(np.random.default_rng(3).integers(1, 24, 1)[0])
    q_NHTJ, k_NHTJ = queries_and_keys(model, ids(24))
    theta = frequencies(D, 10_000)
    for layer, head in np.ndindex(2, 4):
        h_TJ = q_NHTJ[layer, head, m].astype(complex) * k_NHTJ[layer, head, :m].conj()
        logits = np.array([float(score(h, float(m - n), theta)) for n, h in enumerate(h_TJ)]) / np.sqrt(D)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        for name, how in changes.items():
            t = attention_factor(Yarn(2.0)) ** 2 if name == "yarn" else 1
            bends = t * np.abs(bend(h_TJ, m - np.arange(m), how.scaled)) / np.sqrt(D)
            caps = t * bend_cap(h_TJ, how.scaled) / np.sqrt(D)
            assert found[name]["bend"][layer, head] == pytest.approx(float(p @ bends), rel=1e-4)
            assert found[name]["cap"][layer, head] == pytest.approx(float(p @ caps), rel=1e-4)


def test_leaving_every_head_unscaled_saves_all_that_interpolation_costs(model):
    units = units_of(model, "head")
    assert len(units) == 8
    assert len(units_of(model, "group")) == 2 * model.config.num_key_value_heads
    inside = Inside(
        model, [ids(WINDOW, n) for n in range(2)], theta_J=frequencies(D, 10_000), window=WINDOW, units=units
    )
    untouched = [losses_by_token(model, ids(WINDOW, n)).mean() for n in range(2)]
    np.testing.assert_allclose(inside.losses(range(8), 4.0), untouched, rtol=1e-5)
    found = loss_by_sharpest(inside, np.arange(8.0), factor=4.0, counts=[8, 1], draws=2, alone=True, seed=0)
    assert found["sharpest"][0]["share"] == pytest.approx(1)
    assert [order[0] for order in found["random"]] == pytest.approx([1, 1])
    cost = found["loss_nats"]["interpolated"] - found["loss_nats"]["untouched"]
    assert found["sharpest"][1]["share"] == pytest.approx(found["alone"]["saved_nats"][7] / cost)


@pytest.mark.parametrize("tokens", [20, 50])
def test_the_displacement_of_a_model_is_that_of_its_rows_one_by_one(model, tokens):
    q_NHTJ, k_NHTJ = from_parts(model, ids(tokens), WINDOW, True)
    assert q_NHTJ.shape[2] == k_NHTJ.shape[2] == tokens
    m_M = np.array([tokens - 1, 3])
    changes = [change(NoScaling(), **KIND), change(Yarn(2.0), **KIND)]
    for how, (kl, tv) in zip(changes, displaced(q_NHTJ, k_NHTJ, m_M, changes), strict=True):
        expected = np.zeros(2)
        for layer, head, m in np.ndindex(2, 4, 2):
            at = m_M[m]
            h_TJ = q_NHTJ[layer, head, at].astype(complex) * k_NHTJ[layer, head, : at + 1].conj()
            row = moved(*how.logits(h_TJ, at - np.arange(at + 1)))
            expected += np.array([row.kl, row.tv]) / 2
        assert (kl, tv) == pytest.approx(tuple(expected), rel=1e-3, abs=1e-7)


def test_parts_of_a_long_text_are_read_by_themselves(model):
    tokens = ids(70)
    q_NHTJ, _ = from_parts(model, tokens, WINDOW, True)
    alone = np.concatenate([tokens[:1], tokens[WINDOW : 2 * WINDOW - 1]])
    np.testing.assert_allclose(q_NHTJ[:, :, WINDOW : 2 * WINDOW - 1], queries_and_keys(model, alone)[0][:, :, 1:])


def test_the_curves_of_predictions_are_those_of_the_theory():
    curves = predictions(**KIND, largest=4.0, points=3)
    assert curves["factors"] == pytest.approx([1, 2, 4])
    assert curves["reach_tokens"]["linear"][1] == reach(LinearPI(2.0), **KIND).tokens
    assert 1 / 16 < curves["kept"]["linear"][2] <= linear_cap_ratio(4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_and_text(tmp_path_factory.mktemp("toy"), WINDOW)


SMALL: dict[str, dict[str, object]] = {
    "tiny_reach": {"bucket": 8, "bootstrap": 5},
    "tiny_bends": {"tokens": WINDOW, "queries": 4, "counts": [1], "draws": 1, "alone": False},
    "tiny_displacement": {"windows": [16, 48], "queries": 2, "bootstrap": 5},
}


@pytest.mark.parametrize("name", SMALL)
def test_each_study_of_predictions_gives_every_method_its_numbers(name, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    study = load(name)
    config = {**study.config, **study.profiles["toy"], "model": str(folder / "model"), **SMALL[name]}
    config["corpora"] = {str(folder / "text.txt"): 1}
    made = study.run(config)
    rows = made[{"tiny_reach": "curves", "tiny_bends": "methods", "tiny_displacement": "cases"}[name]]
    assert {row["method"] for row in rows} == {*config["methods"]}
    if name == "tiny_reach":
        assert {row["method"]: row["reach_tokens"] for row in rows if row["method"] in ("none", "linear")} == {
            "none": 32,
            "linear": 63,
        }
    if name == "tiny_displacement":
        untouched = next(row for row in rows if row["method"] == "none")
        assert (untouched["kl"], untouched["above_nats"]) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("name", SMALL)
def test_an_extended_model_is_refused(name, folder, tmp_path):
    extend_checkpoint(folder / "model", LinearPI(2.0), tmp_path / "extended")
    with pytest.raises(UsageError, match="give the checkpoint that it was extended from"):
        load(name).run({**load(name).config, "model": str(tmp_path / "extended")})
