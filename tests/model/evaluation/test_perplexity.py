"""Perplexity is what brute force gives, however it is computed, batched or interrupted."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pi_model.errors import RunError, UsageError
from pi_model.evaluation import perplexity
from pi_model.evaluation.perplexity import sliding_perplexity, truncated_perplexity
from pi_model.evaluation.windows import sliding_windows
from pi_model.models.loading import random_llama

MODEL = random_llama(num_hidden_layers=1)
DYNAMIC = random_llama(
    num_hidden_layers=1,
    max_position_embeddings=16,
    rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
)

lengths = st.lists(st.integers(2, 100), min_size=1, max_size=3)
window_sizes = st.integers(5, 70)
bos_ids = st.sampled_from([None, 7])


def documents_of(lengths: list[int]) -> list[np.ndarray]:
    generator = np.random.default_rng(lengths)
    return [generator.integers(0, 256, length).astype(np.uint32) for length in lengths]


def brute_force(model, documents, window: int, stride: int, bos_id: int | None) -> list[list[float]]:
    """The loss of every scored token, by document: one plain forward a window, whole logits, float64 softmax."""
    losses = []
    for ids in documents:
        scored: dict[int, float] = {}
        for start in range(0, len(ids), stride):
            room = window - (bos_id is not None)
            content = [int(token) for token in ids[start : start + room]]
            given_ids = ([] if bos_id is None else [bos_id]) + content
            perplexity.reset_frequencies(model)
            with torch.inference_mode():
                log_p = model(torch.tensor([given_ids])).logits[0].double().log_softmax(-1)
            for place in range(1, len(given_ids)):
                token = start + place - (bos_id is not None)
                # The first window that holds a token scores it.
                scored.setdefault(token, -float(log_p[place - 1, given_ids[place]]))
            if start + room >= len(ids):
                break
        losses.append(list(scored.values()))
    return losses


@given(lengths=lengths, window=window_sizes, stride=st.integers(2, 69), bos_id=bos_ids)
def test_perplexity_equals_brute_force(lengths, window, stride, bos_id):
    stride = min(stride, window - 1)
    documents = documents_of(lengths)
    (result,) = sliding_perplexity(MODEL, documents, windows=[window], stride=stride, bos_id=bos_id)
    losses = brute_force(MODEL, documents, window, stride, bos_id)
    assert result.tokens == sum(map(len, losses)) == sum(lengths) - (len(lengths) if bos_id is None else 0)
    assert result.loss_nats == pytest.approx(np.mean(np.concatenate(losses)), rel=1e-5)
    assert result.perplexity == pytest.approx(math.exp(result.loss_nats))
    assert result.document_loss_nats == pytest.approx([np.mean(each) for each in losses], rel=1e-5)


@given(lengths=lengths, stride=st.integers(4, 20), bos_id=bos_ids)
def test_perplexity_under_dynamic_scaling_equals_brute_force(lengths, stride, bos_id):
    documents = documents_of(lengths)
    results = sliding_perplexity(DYNAMIC, documents, windows=[21, 40], stride=stride, bos_id=bos_id)
    for result in results:
        expected = np.mean(np.concatenate(brute_force(DYNAMIC, documents, result.window, stride, bos_id)))
        assert result.loss_nats == pytest.approx(expected, rel=1e-5)


@given(lengths=lengths, sizes=st.lists(window_sizes, min_size=1, max_size=3), bos_id=bos_ids)
def test_one_pass_gives_every_truncation(lengths, sizes, bos_id):
    documents = documents_of(lengths)
    for model in (MODEL, DYNAMIC):
        for result in truncated_perplexity(model, documents, windows=sizes, bos_id=bos_id):
            cut = [ids[: result.window - (bos_id is not None)] for ids in documents]
            expected = brute_force(model, cut, result.window, result.window - 1, bos_id)
            assert result.tokens == sum(map(len, expected))
            assert result.loss_nats == pytest.approx(np.mean(np.concatenate(expected)), rel=1e-5)


@given(lengths=lengths, window=window_sizes, batch_tokens=st.integers(1, 1000), bos_id=bos_ids)
def test_perplexity_does_not_depend_on_the_batch_size(lengths, window, batch_tokens, bos_id):
    documents = documents_of(lengths)
    common = {"windows": [window], "stride": 4, "bos_id": bos_id}
    alone = sliding_perplexity(MODEL, documents, batch_tokens=1, **common)[0]
    together = sliding_perplexity(MODEL, documents, batch_tokens=batch_tokens, **common)[0]
    assert together.loss_nats == pytest.approx(alone.loss_nats, rel=1e-6)


@given(window=st.integers(5, 70), together=st.integers(1, 5), spare=st.integers(0, 4), bos_id=bos_ids)
def test_a_pass_reads_as_many_windows_as_its_budget_of_tokens_has_room_for(window, together, spare, bos_id):
    passes = []
    hook = MODEL.model.register_forward_pre_hook(
        lambda _, __, given: passes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    documents = documents_of([11 * window])
    with hook:
        sliding_perplexity(
            MODEL,
            documents,
            windows=[window],
            stride=window - 1,
            bos_id=bos_id,
            batch_tokens=together * window + spare,
        )
    whole = [rows for rows, tokens in passes[:-1] if tokens == window]
    assert set(whole) == {together}


@given(tokens=st.integers(0, 500), window=st.integers(2, 64), data=st.data(), bos=st.booleans())
def test_windows_score_every_token_once_and_start_at_multiples_of_the_stride(tokens, window, data, bos):
    stride = data.draw(st.integers(1, window - 1))
    windows = sliding_windows(tokens, window=window, stride=stride, bos=bos)
    scored = [token for piece in windows for token in range(piece.score_from, piece.end)]
    assert scored == list(range(0 if bos else 1, tokens))
    for number, piece in enumerate(windows):
        assert piece.start == number * stride
        assert piece.end - piece.start + bos <= window
        assert piece.end == tokens or piece.end - piece.start + bos == window
        assert piece.start + (not bos) <= piece.score_from  # something in the window predicts its first scored token


@pytest.mark.parametrize(
    ("windows", "stride", "message"),
    [
        ([1], 1, "at least 2"),
        ([8], 0, "stride: must be at least 1"),
        ([64, 8], 8, "use at most 7"),
        ([8], 9, "at most 7"),
    ],
)
def test_windows_and_strides_outside_their_domain_are_wrong_usage(windows, stride, message):
    with pytest.raises(UsageError, match=message):
        sliding_perplexity(MODEL, documents_of([20]), windows=windows, stride=stride)


def test_window_averaging_is_the_mean_of_window_means():
    documents = documents_of([100])
    (result,) = sliding_perplexity(MODEL, documents, windows=[32], stride=8, averaging="window")
    windows = sliding_windows(100, window=32, stride=8, bos=False)
    losses = brute_force(MODEL, documents, 32, 8, None)[0]
    means = [np.mean(losses[piece.score_from - 1 : piece.end - 1]) for piece in windows]
    assert result.loss_nats == pytest.approx(np.mean(means), rel=1e-5)
    assert result.loss_nats != pytest.approx(np.mean(losses), rel=1e-5)


def test_a_document_that_is_empty_is_not_scored_and_changes_nothing():
    with_empty = sliding_perplexity(MODEL, [*documents_of([50]), np.zeros(0, np.uint32)], windows=[16], stride=4)
    without = sliding_perplexity(MODEL, documents_of([50]), windows=[16], stride=4)
    assert with_empty == without


def test_nothing_to_score_is_an_error():
    with pytest.raises(RunError, match="no token to score"):
        sliding_perplexity(MODEL, [np.zeros(1, np.uint32)], windows=[16], stride=4)


def test_a_loss_that_is_not_finite_names_its_documents():
    model = random_llama(num_hidden_layers=1)
    model.model.embed_tokens.weight[5] = math.nan
    documents = [np.array([1, 2, 3, 4], np.uint32), np.array([4, 5, 6, 7], np.uint32)]
    with pytest.raises(RunError, match=r"not finite at window 8 in 1 of 2 documents: the-bad-one"):
        sliding_perplexity(model, documents, windows=[8], stride=4, names=["good", "the-bad-one"])


def test_a_huge_loss_is_an_infinite_perplexity_and_not_an_error():
    model = random_llama(num_hidden_layers=1)
    model.lm_head.weight *= 1e4
    (result,) = sliding_perplexity(model, documents_of([50]), windows=[16], stride=4)
    assert result.perplexity == math.inf
    assert math.isfinite(result.loss_nats)


@pytest.mark.parametrize("protocol", ["sliding", "truncated"])
def test_an_interrupted_run_goes_on_where_it_stopped(protocol, tmp_path: Path, monkeypatch):
    documents = documents_of([90, 40, 70])

    def run(folder):
        if protocol == "sliding":
            return sliding_perplexity(
                MODEL, documents, windows=[16, 32], stride=4, batch_tokens=64, progress_folder=folder
            )
        return truncated_perplexity(MODEL, documents, windows=[16, 32], progress_folder=folder)

    whole = run(None)
    monkeypatch.setattr(perplexity, "_SECONDS_BETWEEN_SYNCS", -1.0)
    passes, scoring = 0, perplexity._token_losses

    def interrupted(*arguments):
        nonlocal passes
        passes += 1
        if passes == 3:
            raise KeyboardInterrupt
        return scoring(*arguments)

    monkeypatch.setattr(perplexity, "_token_losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert run(tmp_path) == whole
    after = passes
    assert run(tmp_path) == whole
    assert passes == after  # nothing was left to do
    run(None)
    assert passes - after == after - 1  # of the passes, only the one that was interrupted was done twice
