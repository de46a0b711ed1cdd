"""Which tokens a training run reads, and at which step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_model.data.documents import Documents
from pi_model.data.packing import Batches, Stream
from pi_model.errors import RunError


def documents(lengths: list[int]) -> Documents:
    """Documents whose tokens are all different: 1000, 1001 and so on, in order."""
    ends = np.cumsum(lengths)
    flat = np.arange(1000, 1000 + ends[-1], dtype=np.uint32)
    return Documents(tuple(f"d{n}" for n in range(len(lengths))), tuple(np.split(flat, ends[:-1])))


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@given(lengths=LENGTHS, tokens=st.integers(1, 20), seed=st.integers(0, 99), bos=st.booleans(), epoch=st.integers(0, 3))
def test_an_epoch_predicts_every_token_once_except_at_its_two_ends(lengths, tokens, seed, bos, epoch):
    total = sum(lengths) + len(lengths) * (1 + bos)
    texts = documents(lengths)
    if (total - 1) // tokens < 1:
        with pytest.raises(RunError, match="do not fill one window"):
            Stream(texts, tokens, (seed,), 1 if bos else None, 2)
        return
    stream = Stream(texts, tokens, (seed,), 1 if bos else None, 2)
    windows = [stream.window(epoch * stream.windows + number) for number in range(stream.windows)]
    assert {len(window) for window in windows} == {tokens + 1}
    targets = np.concatenate([window[1:] for window in windows])
    real = targets[targets >= 1000]
    assert len(np.unique(real)) == len(real)
    left_out = total - 1 - len(targets)
    assert 0 <= left_out < tokens
    assert set(real) <= set(range(1000, 1000 + sum(lengths)))
    # Joined where one ends with the token that the next begins with, the windows are the stream again.
    follows = {int(window[0]): window for window in windows if window[0] >= 1000}
    for window in windows:
        if int(window[-1]) in follows:
            assert window[-1] == follows[int(window[-1])][0]


@given(lengths=LENGTHS, tokens=st.integers(1, 9), number=st.integers(0, 40))
def test_a_window_names_exactly_the_documents_it_has_tokens_of(lengths, tokens, number):
    texts = documents([*lengths, 12])
    stream = Stream(texts, tokens, (0,))
    inside = set(stream.window(number).tolist())
    having = {name for name, ids in zip(texts.names, texts.tokens, strict=True) if inside & set(ids.tolist())}
    assert set(stream.names(number)) == having


def test_documents_follow_each_other_between_their_tokens():
    stream = Stream(documents([3, 3]), 9, (0,), bos_id=1, eos_id=2)
    assert stream.window(0).tolist() in (
        [1, 1000, 1001, 1002, 2, 1, 1003, 1004, 1005, 2],
        [1, 1003, 1004, 1005, 2, 1, 1000, 1001, 1002, 2],
    )


@given(
    weights=st.lists(st.floats(0.05, 1), min_size=1, max_size=4),
    share=st.integers(1, 3),
    world=st.sampled_from([1, 2, 3]),
    steps=st.integers(1, 8),
    more=st.integers(0, 5),
)
def test_the_global_batch_depends_on_neither_the_ranks_nor_the_length_of_the_run(weights, share, world, steps, more):
    streams = [Stream(documents([50, 50, 20]), 4, (0, number)) for number in range(len(weights))]
    batches = Batches(streams, weights, share * world, steps)
    longer = Batches(streams, weights, share * world, steps + more)
    for step in range(steps):
        together = np.concatenate([longer.windows(step, rank, world) for rank in range(world)])
        np.testing.assert_array_equal(together, batches.windows(step))


@given(weights=st.lists(st.floats(0.05, 1), min_size=2, max_size=4), steps=st.integers(1, 60))
def test_each_source_has_its_share_at_every_moment(weights, steps):
    # Windows of one token out of documents of one token value each, so that a window tells its source.
    texts = [Documents((f"{n}",), (np.full(9, n, dtype=np.uint32),)) for n in range(len(weights))]
    batches = Batches([Stream(text, 1, (0, n)) for n, text in enumerate(texts)], weights, 1, steps)
    drawn = np.array([batches.windows(step)[0, 0] for step in range(steps)])
    for n, weight in enumerate(weights):
        counts = np.cumsum(drawn == n)
        assert np.abs(counts - weight / sum(weights) * np.arange(1, steps + 1)).max() <= len(weights)


def test_epochs_differ_and_seeds_differ():
    stream, other = (Stream(documents([40] * 6), 8, (seed,)) for seed in (0, 1))
    epoch = [[stream.window(e * stream.windows + n).tolist() for n in range(stream.windows)] for e in (0, 1)]
    assert epoch[0] != epoch[1]
    assert epoch[0] != [other.window(n).tolist() for n in range(other.windows)]
