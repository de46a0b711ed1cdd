"""Passkey prompts have an exact length, and one forward pass decides a trial as greedy decoding does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pi_model.data.token_seams import ids_after
from pi_model.errors import UsageError
from pi_model.evaluation import passkey as module
from pi_model.evaluation.passkey import (
    FILLER,
    KEY_LINE,
    QUESTION,
    TASK,
    Judge,
    Prompt,
    PromptMaker,
    distances,
    largest_reached,
    passkey,
)
from pi_model.models.loading import random_llama

TEXT = [
    f"{TASK}\n{FILLER}\n{KEY_LINE.format(key=key)}\n{FILLER}\n{QUESTION} {key}" for key in range(10000, 99999, 7919)
]


def trained(pre_tokenizer, decoder, normalizer=None, size=300, text=TEXT) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>", "<s>"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


TOKENIZERS = {
    "byte-level BPE": trained(pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()),
    "LLaMA-like, a space put before each text": trained(
        pre_tokenizers.Split("▁", "merged_with_next"),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()]),
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    ),
    "merging across words and lines": trained(pre_tokenizers.Split("~", "isolated"), decoders.Fuse(), size=600),
}


@pytest.mark.parametrize("name", TOKENIZERS)
@given(context=st.integers(600, 3000), distance=st.integers(1, 3000), key=st.integers(10000, 99999), bos=st.booleans())
def test_prompt_and_answer_fill_the_window_exactly(name, context, distance, key, bos):
    tokenizer = TOKENIZERS[name]
    maker = PromptMaker(tokenizer, context, tokenizer.bos_token_id if bos else None)
    prompt = maker.prompt(key, distance)
    assert prompt.shared + len(prompt.own) + len(prompt.answer) == context
    nearest, farthest = maker.prompt(key, 1).distance, maker.prompt(key, context).distance
    assert prompt.distance == min(max(distance, nearest), farthest)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_prompt_reads_as_published(name):
    tokenizer = TOKENIZERS[name]
    maker = PromptMaker(tokenizer, 1000, None)
    prompt = maker.prompt(54321, 400)
    text = tokenizer.decode(maker.prefix[: prompt.shared] + list(prompt.own) + list(prompt.answer)).lstrip()
    assert text.startswith(f"{TASK}\n{FILLER} The grass is green.")
    assert "\nThe pass key is 54321. Remember it. 54321 is the pass key.\nThe grass is green. The sky is blue." in text
    assert text.endswith("\nWhat is the pass key? The pass key is 54321")


@settings(max_examples=25)
@given(
    known=st.lists(st.integers(10000, 99999), min_size=1, max_size=4),
    others=st.lists(st.integers(10000, 99999), min_size=1, max_size=4),
    context=st.integers(60, 260),
    distance=st.integers(1, 300),
)
def test_prompts_have_one_length_however_many_tokens_a_number_has(known, others, context, distance):
    """The numbers that such a tokenizer was trained on have one token, and others up to five."""
    lines = [KEY_LINE.format(key=key) for key in known] * 20 + [TASK, FILLER, QUESTION] * 5
    tokenizer = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel(), size=400, text=lines)
    keys = known + others
    try:
        maker = PromptMaker(tokenizer, context, None, keys)
    except UsageError as error:
        context = int(str(error).rpartition(" ")[2])
        maker = PromptMaker(tokenizer, context, None, keys)
        with pytest.raises(UsageError, match=f"use at least {context}"):
            PromptMaker(tokenizer, context - 1, None, keys)
    for key in keys:
        prompt = maker.prompt(key, distance)
        assert len(maker.prefix[: prompt.shared]) + len(prompt.own) + len(prompt.answer) == context


def test_a_key_that_does_not_fit_is_refused_rather_than_cut():
    lines = [KEY_LINE.format(key=11111)] * 20 + [TASK, FILLER, QUESTION] * 5
    tokenizer = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel(), size=400, text=lines)
    least = PromptMaker(tokenizer, 1000, None)._fixed_tokens(11111)
    maker = PromptMaker(tokenizer, least, None, [11111])
    with pytest.raises(UsageError, match="cannot hold a passkey prompt; use at least"):
        maker.prompt(98765, 20)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(key=st.integers(10000, 99999), digit=st.integers(0, 9))
def test_only_a_further_digit_makes_a_number_longer(name, key, digit):
    maker = PromptMaker(TOKENIZERS[name], 1000, None)

    def next_token(text):
        answer, longer = (ids_after(maker.tokenizer, QUESTION, f" {key}{more}") for more in ("", text))
        return (answer, longer[len(answer)]) if longer[: len(answer)] == answer else None

    for text, goes_on in ((str(digit), True), (".", False), (f" {digit}", False), ("\nThe", False)):
        if found := next_token(text):  # the tokenizer may merge across the seam
            assert maker.goes_on(*found) == goes_on
    assert not maker.goes_on(ids_after(maker.tokenizer, QUESTION, f" {key}"), maker.tokenizer.bos_token_id)


def test_a_key_that_the_answer_only_begins_with_is_not_found():
    ids = list(range(3, 60))
    first, *_, after = greedy(MODEL, ids, 3)
    prompts = [Prompt(20, tuple(ids[20:]), greedy(MODEL, ids, 2))]
    for longer in (True, False):
        judge = Judge(MODEL, ids[:20], lambda answer, token, longer=longer: longer and token == after)
        assert judge.answers(prompts).tolist() == [not longer]
    assert prompts[0].answer[0] == first


def test_a_context_without_room_for_the_prompt_is_wrong_usage():
    with pytest.raises(UsageError, match="cannot hold a passkey prompt; use at least"):
        PromptMaker(TOKENIZERS["byte-level BPE"], 20, None)


def test_distances_are_uniform_and_end_with_the_window():
    assert distances(8192, 32) == list(range(256, 8193, 256))


@given(share=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0]), min_size=1, max_size=10))
def test_k_max_is_the_last_distance_before_the_first_failure(share):
    accuracy = {10 * (n + 1): value for n, value in enumerate(share)}
    reached = [k for k in accuracy if all(accuracy[smaller] >= 0.2 for smaller in accuracy if smaller <= k)]
    assert largest_reached(accuracy) == max(reached, default=0)


MODEL = random_llama(max_position_embeddings=128)
DYNAMIC = random_llama(
    max_position_embeddings=16, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
)


def greedy(model, ids: list[int], tokens: int) -> tuple[int, ...]:
    """Greedy decoding with whole passes: nothing shared with the code under test."""
    for _ in range(tokens):
        module.reset_frequencies(model)
        with torch.inference_mode():
            ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
    return tuple(ids[-tokens:])


@given(shared=st.integers(0, 40), own=st.integers(1, 40), answer=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_one_teacher_forced_pass_equals_greedy_decoding(shared, own, answer, seed):
    generator = np.random.default_rng(seed)
    prefix = [int(token) for token in generator.integers(0, 256, 60)]
    rows = [tuple(int(token) for token in generator.integers(0, 256, own)) for _ in range(3)]
    for model in (MODEL, DYNAMIC):
        # Under dynamic scaling, decoding changes the frequencies as it goes; the trial is judged at its full length.
        steps = 1 if model is DYNAMIC else answer
        right = [greedy(model, prefix[:shared] + list(row), steps) for row in rows]
        prompts = [Prompt(shared, row, made) for row, made in zip(rows, right, strict=True)]
        assert Judge(model, prefix).answers(prompts).all()
        place = int(generator.integers(steps))
        for row, made in zip(rows, right, strict=True):
            wrong = tuple((token + (n == place)) % 256 for n, token in enumerate(made))
            assert not Judge(model, prefix).answers([Prompt(shared, row, wrong)])[0]


def test_greedy_generation_agrees():
    ids = torch.arange(3, 60)[None]
    made = MODEL.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False, eos_token_id=None
    )
    answer = tuple(int(token) for token in made[0, ids.shape[1] :])
    assert Judge(MODEL, list(range(3, 23))).answers([Prompt(20, tuple(range(23, 60)), answer)])[0]


def test_shared_filler_changes_no_logit(monkeypatch):
    """The kept keys and values, cut short, reused out of order and in chunks, give what a whole pass gives."""
    monkeypatch.setattr(module, "CHUNK_TOKENS", 7)
    generator = np.random.default_rng(0)
    prefix = [int(token) for token in generator.integers(0, 256, 100)]
    judge = Judge(MODEL, prefix)
    for shared in (10, 50, 30, 100, 0):
        own_BT = torch.tensor(generator.integers(0, 256, (2, 15)))
        with torch.inference_mode():
            ours = judge._after_shared(shared, own_BT)
            whole_BT = torch.cat([torch.tensor(prefix[:shared], dtype=torch.long).expand(2, -1), own_BT], dim=1)
            theirs = MODEL.model(input_ids=whole_BT, use_cache=False).last_hidden_state[:, -ours.shape[1] :]
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


class Oracle:
    """In place of a model: finds the key when it lies at most `reach` tokens from the end."""

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self.calls = 0

    def __call__(self, model, prefix, goes_on):
        return self

    def answers(self, prompts):
        self.calls += 1
        if self.calls == 20:
            raise KeyboardInterrupt
        return np.array([prompt.distance <= self.reach for prompt in prompts])


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    oracle = Oracle(reach=1100)
    monkeypatch.setattr(module, "Judge", oracle)
    monkeypatch.setattr(module, "BATCH_TOKENS", {"cpu": 1})

    def run():
        return passkey(
            MODEL,
            TOKENIZERS["byte-level BPE"],
            context_tokens=2048,
            positions=8,
            trials=4,
            progress_folder=tmp_path,
        )

    with pytest.raises(KeyboardInterrupt):
        run()
    result = run()
    assert oracle.calls == 8 * 4 + 1
    assert result.accuracy == {k: float(k <= 1024) for k in range(256, 2049, 256)}
    assert result.k_max == 1024
    assert result.distance[512] == 512


def test_the_same_seed_gives_the_same_keys_and_another_others(monkeypatch):
    seen: list[tuple[int, ...]] = []

    class Recorder(Oracle):
        def answers(self, prompts):
            seen.extend(prompt.answer for prompt in prompts)
            return np.ones(len(prompts), dtype=bool)

    monkeypatch.setattr(module, "Judge", Recorder(0))
    for seed in (0, 0, 1):
        passkey(MODEL, TOKENIZERS["byte-level BPE"], context_tokens=600, positions=2, trials=2, seed=seed)
    assert sorted(seen[:4]) == sorted(seen[4:8])
    assert sorted(seen[:4]) != sorted(seen[8:])


@pytest.mark.parametrize(("name", "value"), [("positions", 0), ("trials", 0)])
def test_no_positions_or_trials_is_wrong_usage(name, value):
    with pytest.raises(UsageError, match=f"{name}: must be at least 1"):
        passkey(MODEL, TOKENIZERS["byte-level BPE"], context_tokens=600, **{name: value})
