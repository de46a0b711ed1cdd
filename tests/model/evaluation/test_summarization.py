"""Summaries: the prompt, the training windows, how a model writes and how its summary is scored."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, normalizers, pre_tokenizers
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from experiments.studies import smollm2_summaries as summaries
from pi_model.cli import main as cli
from pi_model.data import corpora
from pi_model.data.documents import Documents, Source
from pi_model.data.packing import Batches, PairStream
from pi_model.data.summaries import HEAD, TAIL, SummaryPrompts, load_pairs, read_pairs
from pi_model.errors import RunError, UsageError
from pi_model.evaluation import summarization
from pi_model.evaluation.summarization import Sampling, draw, generate, mean_rouge, summarize
from pi_model.models.loading import random_llama
from pi_model.training.config import Summaries
from pi_model.training.loss import CausalLoss
from pi_model.training.overrides import override
from pi_model.training.recipes import recipe
from tests.model.cli.test_commands import ends
from tests.model.conftest import byte_tokenizer
from tests.model.evaluation.test_passkey import trained as trained_tokenizer
from tests.model.small_runs import small_config, trained

ROWS = [{"report": f"Report {n}. " + "The sky is blue. " * (3 + n), "summary": f"Blue sky {n}."} for n in range(6)]


def write_rows(path: Path, rows=ROWS) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def reports(tmp_path) -> Path:
    return write_rows(tmp_path / "reports.jsonl")


TEXT = [f"{HEAD}The sky is blue, the grass is green, {n} suns are yellow.{TAIL} The sun is yellow." for n in range(50)]
TOKENIZERS = {
    "byte-level BPE": trained_tokenizer(
        pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel(), text=TEXT
    ),
    "LLaMA-like, a space put before each text": trained_tokenizer(
        pre_tokenizers.Split("▁", "merged_with_next"),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()]),
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        text=TEXT,
    ),
    "merging across words and lines": trained_tokenizer(
        pre_tokenizers.Split("~", "isolated"), decoders.Fuse(), size=600, text=TEXT
    ),
}


# What the model is shown.


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_prompt_reads_as_published_and_the_summary_follows_it(name):
    tokenizer = TOKENIZERS[name]
    maker = SummaryPrompts(tokenizer, 2000, summary_tokens=100)
    text = tokenizer.decode(maker.prompt("The sky is blue.") + maker.target("The sun is yellow.")).lstrip()
    assert text == (
        "Read the following article and then summarize it.\n# The sky is blue.\n"
        "Now summarize the above article.\nSummary: The sun is yellow."
    )


@pytest.mark.parametrize("name", TOKENIZERS)
@given(words=st.integers(1, 300), window=st.integers(350, 900), document=st.integers(1, 200), bos=st.booleans())
def test_prompt_and_summary_never_exceed_the_window(name, words, window, document, bos):
    tokenizer = TOKENIZERS[name]
    bos_id = tokenizer.bos_token_id if bos else None
    maker = SummaryPrompts(tokenizer, window, document_tokens=document, summary_tokens=60, bos_id=bos_id)
    prompt = maker.prompt("The grass is green. " * words)
    nothing = len(maker.prompt(""))
    assert nothing - 9 <= len(prompt) <= nothing + document  # at a seam tokens of both sides can merge
    assert len(prompt) + len(maker.target("The sky is blue. " * words)) <= window
    if len(tokenizer("The grass is green. " * words, add_special_tokens=False)["input_ids"]) > document + 9:
        assert len(prompt) >= nothing + document - 9  # a cut leaves no more room unused


def test_a_whole_summary_ends_with_the_end_token_and_a_cut_one_does_not():
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = "<s>"
    maker = SummaryPrompts(tokenizer, 500, summary_tokens=10)
    assert maker.target("short")[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(maker.target("long enough to be cut")) == " long enou"


@given(pieces=st.lists(st.sampled_from(["<s>", "<", "a "]), min_size=1, max_size=40), control=st.booleans())
def test_special_tokens_in_documents_and_summaries_are_text_unless_asked_for(pieces, control):
    text = "".join(pieces)
    maker = SummaryPrompts(byte_tokenizer(), 500, summary_tokens=200, control_tokens=control)
    spelled = text.count("<s>") if control else 0
    assert maker.prompt(text).count(0) == maker.target(text).count(0) == spelled


def test_a_window_without_room_is_wrong_usage():
    with pytest.raises(UsageError, match="window: 120 tokens cannot hold the prompt's 94 and a summary of 50"):
        SummaryPrompts(byte_tokenizer(), 120, summary_tokens=50)


BAD = {
    "no summary column": ([{"report": "x"}], "line 1: no column 'summary'; it has report"),
    "no report column": ([{"text": "x", "summary": "y"}], "line 1: no column 'report'; it has text, summary"),
    "an empty summary": ([ROWS[0], {"report": "x", "summary": " \n"}], "reports.jsonl: line 2: the summary is empty"),
    "an empty report": ([{"report": "", "summary": "y"}], "reports.jsonl: line 1: the document is empty"),
    "token ids": (
        [{"report": [1, 2], "summary": "y"}],
        "line 1: column 'report' holds a list of whole numbers; give text",
    ),
    "one text twice": ([{"report": "x", "summary": "x"}], "document and summary are one text"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_pairs_are_named_with_their_fault_by_both_commands(fault, tmp_path, tiny_folder, capsys):
    rows, message = BAD[fault]
    path = write_rows(tmp_path / "reports.jsonl", rows)
    with pytest.raises(RunError, match=message):
        list(read_pairs(Source(str(path), "report"), "summary"))
    code, out, errors = ends(capsys, "summarize", "--model", tiny_folder, "--data", path)
    assert (code, out) == (1, "")
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_a_corpus_without_summaries_is_wrong_usage(tiny_folder, capsys):
    code, _, errors = ends(capsys, "summarize", "--model", tiny_folder, "--data", "books")
    assert code == 2
    assert "books has no summaries; choose abstracts, or give files that have them" in errors


@pytest.mark.slow
@pytest.mark.shared_cache
def test_abstracts_are_docstrings_that_their_modules_no_longer_have():
    for split in corpora.SPLITS:
        pairs = list(read_pairs(Source("abstracts", "report", split), "summary"))
        assert len(pairs) > 10
        for name, document, summary in pairs:
            assert 80 <= len(summary) <= 2000
            assert summary not in document, name


# What it learns from.


def pair_documents(lengths: list[tuple[int, int]]) -> tuple[Documents, Documents]:
    """Prompts of tokens from 1000 on, targets of tokens from 5000 on, all different."""
    names = tuple(f"d{n}" for n in range(len(lengths)))
    made = []
    for side, first in ((0, 1000), (1, 5000)):
        sizes = [length[side] for length in lengths]
        made.append(np.split(np.arange(first, first + sum(sizes), dtype=np.uint32), np.cumsum(sizes)[:-1]))
    return Documents(names, tuple(made[0])), Documents(names, tuple(made[1]))


@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 8)), min_size=1, max_size=9), more=st.integers(0, 9)
)
def test_every_summary_token_carries_loss_once_an_epoch_and_no_other_token_does(lengths, more):
    tokens = max(prompt + target for prompt, target in lengths) - 1 + more
    prompts, targets = pair_documents(lengths)
    stream = PairStream(prompts, targets, tokens)
    for epoch in range(2):
        numbers = range(epoch * stream.windows, (epoch + 1) * stream.windows)
        windows = np.stack([stream.window(number) for number in numbers])
        assert windows.shape == (len(lengths), tokens + 1)
        with_loss = windows[:, 1:][windows[:, 1:] >= 0]
        assert sorted(with_loss) == list(np.concatenate(targets.tokens))
        read = np.where(windows < 0, ~windows, windows)
        for row, number in zip(read, numbers, strict=True):
            (name,) = stream.names(number)
            pair = prompts.names.index(name)
            whole = np.concatenate([prompts.tokens[pair], targets.tokens[pair]])
            assert list(row[: len(whole)]) == list(whole)


def test_a_pair_longer_than_the_window_is_named():
    with pytest.raises(RunError, match="d1: 9 \\+ 3 tokens do not fit a window of 10"):
        PairStream(*pair_documents([(2, 3), (9, 3)]), 10)


@given(lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 8)), min_size=1, max_size=4))
def test_the_loss_is_that_of_transformers_with_the_prompt_ignored(lengths):
    generator = np.random.default_rng(len(lengths))
    prompts, targets = pair_documents(lengths)
    prompts, targets = (
        Documents(side.names, tuple(generator.integers(0, 256, len(ids)).astype(np.uint32) for ids in side.tokens))
        for side in (prompts, targets)
    )
    stream = PairStream(prompts, targets, 20)
    windows = torch.from_numpy(np.stack([stream.window(number) for number in range(stream.windows)]))
    model = random_llama()
    # transformers' own convention, one document at a time: labels of -100 count for nothing, a mask hides the padding.
    each = []
    for prompt, target in zip(prompts.tokens, targets.tokens, strict=True):
        ids = torch.tensor([[*prompt.tolist(), *target.tolist()]])
        labels = ids.clone()
        labels[0, : len(prompt)] = -100
        each.append(model(input_ids=ids, labels=labels).loss)
    torch.testing.assert_close(CausalLoss(model)(windows), torch.stack(each).mean(), rtol=1e-5, atol=1e-6)


def test_no_gradient_comes_from_a_prompt_token_as_target():
    """The head's gradient: rows of tokens that are only prompt get what a softmax gives them, no pull upwards."""
    window = torch.tensor([[~10, ~11, ~12, 20, 21, ~0, ~0]])
    model = random_llama()
    model.lm_head.weight.requires_grad_(True)
    CausalLoss(model)(window).backward()
    hidden = model.model(input_ids=torch.tensor([[10, 11, 12, 20, 21]])).last_hidden_state[0, 2:4]
    weight = model.lm_head.weight.detach().clone().requires_grad_(True)
    F.cross_entropy(hidden @ weight.T, torch.tensor([20, 21])).backward()
    torch.testing.assert_close(model.lm_head.weight.grad, weight.grad, rtol=1e-5, atol=1e-7)


def test_training_on_summaries_is_the_plain_loop_over_them(tiny_folder, reports, tmp_path):
    kind = Summaries(name=str(reports), summary_tokens=20)
    config = replace(small_config(tiny_folder, reports, factor=4.0, steps=3), data=(kind,))
    ours = trained(config, tmp_path / "out")
    assert trained(config, tmp_path / "two", processes=2) == pytest.approx(ours, rel=2e-5)

    maker = SummaryPrompts(byte_tokenizer(), config.training_tokens, summary_tokens=20)
    stream = PairStream(*load_pairs(Source(str(reports), "report"), "summary", maker), config.training_tokens, (0, 0))
    windows = torch.from_numpy(Batches([stream], [1], config.global_batch, config.steps).windows(0))
    model = random_llama(
        vocab_size=260,
        max_position_embeddings=256,
        rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    )
    assert CausalLoss(model)(windows).item() == pytest.approx(ours[0], rel=1e-5)
    assert ours[-1] < ours[0]


def test_pairs_are_tokenised_once_and_anew_for_another_window(reports, monkeypatch):
    source = Source(str(reports), "report")
    maker = SummaryPrompts(byte_tokenizer(), 300, summary_tokens=20)
    prompts, targets = load_pairs(source, "summary", maker)
    assert byte_tokenizer().decode(targets.tokens[0].tolist()) == " Blue sky 0."
    assert [prompt.tolist() for prompt in prompts.tokens] == [maker.prompt(row["report"]) for row in ROWS]
    shorter = load_pairs(source, "summary", SummaryPrompts(byte_tokenizer(), 150, summary_tokens=20))[0]
    assert max(map(len, shorter.tokens)) == 130
    monkeypatch.setattr("pi_model.data.summaries.read_pairs", lambda *_: pytest.fail("read again"))
    assert load_pairs(source, "summary", maker)[0].sha256 == prompts.sha256


def test_an_override_of_the_data_stays_a_pair_of_columns():
    config = override(recipe("llama_7b_govreport"), ["data=mine.jsonl"])
    assert config.data == (Summaries(name="mine.jsonl"),)


def test_the_paper_recipe_has_the_papers_numbers():
    config = recipe("llama_7b_govreport")
    (data,) = config.data
    assert isinstance(data, Summaries)
    assert (config.context_tokens, data.document_tokens, data.summary_tokens) == (16384, 15000, 1000)
    assert 10 * 17457 <= config.steps * config.global_batch < 10 * 17457 + config.global_batch
    asked = cli.parse(cli.parser(), ["summarize", "--model", "m", "--data", "d"])
    assert (asked.document_tokens, asked.max_tokens, asked.temperature, asked.top_p) == (15000, 1000, 0.5, 0.95)
    assert Sampling() == Sampling(asked.temperature, asked.top_p, asked.max_tokens, asked.seed)


# How it writes.

MODEL = random_llama(max_position_embeddings=256)
GREEDY = Sampling(temperature=0.0, max_tokens=12)


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), seed=st.integers(0, 10**6))
def test_greedy_generation_is_that_of_transformers_whatever_the_batch(lengths, seed):
    generator = np.random.default_rng(seed)
    prompts = [generator.integers(0, 256, length).tolist() for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summarization, "CHUNK_TOKENS", 7)
        ours = generate(MODEL, prompts, GREEDY, [[0]] * len(prompts), {3, 5})
    for prompt, written in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = MODEL.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, eos_token_id=[3, 5],
            pad_token_id=0,
        )  # fmt: skip
        assert written == theirs[0, len(prompt) :].tolist()


@given(temperature=st.floats(0.2, 2), top_p=st.floats(0.05, 1), seed=st.integers(0, 10**6))
def test_draws_follow_the_distribution_of_transformers_warpers(temperature, top_p, seed):
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(seed)) * 2
    warped = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(temperature)(None, logits)).softmax(-1)[0]
    uniform = (torch.arange(4000) + 0.5) / 4000
    tokens = draw(logits.expand(4000, -1), temperature, top_p, uniform)
    share = torch.bincount(tokens, minlength=12) / 4000
    torch.testing.assert_close(share, warped, rtol=0, atol=6e-4)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_the_ends_of_the_unit_interval_draw_from_the_nucleus(uniform):
    logits = torch.tensor([[0.0, 5.0, 4.0, -30.0], [9.0, 0.0, 0.0, 0.0]])
    first, second = draw(logits, 1.0, 0.95, torch.full((2,), uniform)).tolist()
    assert first == (1 if uniform == 0 else 2)
    assert second == 0


def sky_pairs():
    return [(f"d{n}", row["report"], row["summary"]) for n, row in enumerate(ROWS)]


def sky_maker():
    return SummaryPrompts(byte_tokenizer(), 256, summary_tokens=12)


def test_a_summary_does_not_depend_on_the_batch_and_the_seed_changes_it(tiny_model):
    sampling = Sampling(max_tokens=12, temperature=1.0)
    whole = summarize(tiny_model, sky_maker(), sky_pairs(), sampling, batch_tokens=10**4)
    assert whole == summarize(tiny_model, sky_maker(), sky_pairs(), sampling, batch_tokens=1)
    other = summarize(tiny_model, sky_maker(), sky_pairs(), Sampling(max_tokens=12, temperature=1.0, seed=1))
    assert [one.text for one in whole] != [one.text for one in other]
    assert [one.name for one in whole] == [name for name, _, _ in sky_pairs()]


def test_an_interrupted_run_writes_only_what_is_missing_and_ends_the_same(tiny_model, tmp_path, monkeypatch):
    sampling = Sampling(max_tokens=12)
    whole = summarize(tiny_model, sky_maker(), sky_pairs(), sampling)
    calls = []

    def generate_or_die(model, prompts, *rest):
        calls.append(len(prompts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(model, prompts, *rest)

    monkeypatch.setattr(summarization, "generate", generate_or_die)

    def run():
        return summarize(
            tiny_model, sky_maker(), sky_pairs(), sampling, batch_tokens=1, progress_folder=tmp_path / "progress"
        )

    with pytest.raises(KeyboardInterrupt):
        run()
    (file,) = (tmp_path / "progress").iterdir()
    with file.open("a") as half:
        half.write('["d5", {"text": "cut sho')  # as a kill in the middle of a line leaves it
    assert run() == whole
    assert len(calls) == 3 + 4
    # Prompts with a BOS are other prompts: nothing of what is there is theirs.
    maker = SummaryPrompts(byte_tokenizer(), 256, summary_tokens=12, bos_id=0)
    summarize(tiny_model, maker, sky_pairs(), sampling, batch_tokens=1, progress_folder=tmp_path / "progress")
    assert len(calls) == 3 + 4 + 6


# How it is scored.


@pytest.mark.parametrize(
    ("reference", "summary", "expected"),
    [
        # rouge-score's own documented example: stemming makes jumps and jump one word.
        (
            "The quick brown fox jumps over the lazy dog",
            "The quick brown dog jumps on the log.",
            {"rouge1": 0.7059, "rouge2": 0.2667, "rougeL": 0.5882},
        ),
        ("testing one two", "testing", {"rouge1": 0.5, "rouge2": 0.0, "rougeL": 0.5}),
        ("first line\nsecond line", "second line\nfirst line", {"rougeL": 0.5, "rougeLsum": 1.0}),
        ("the dogs", "the dog", {"rouge1": 1.0}),
        ("anything", "", {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0}),
    ],
)
def test_rouge_is_that_of_hand_worked_examples(reference, summary, expected):
    score = summarization.rouge_scorer()(reference, summary)
    assert {kind: score[kind] for kind in expected} == pytest.approx(expected, abs=5e-5)


def test_means_are_over_documents_in_per_cent():
    summaries = [
        summarization.Summary("a", "", "", 1, True, dict.fromkeys(summarization.ROUGE_TYPES, value))
        for value in (0.2, 0.4)
    ]
    assert mean_rouge(summaries)["rouge2"] == pytest.approx({"mean": 30.0, "stderr": 10.0})
    assert mean_rouge(summaries[:1])["rougeL"] == {"mean": 20.0, "stderr": None}


def test_the_command_reports_rouge_with_its_settings_and_writes_the_summaries(tiny_folder, reports, tmp_path, capsys):
    out = tmp_path / "summaries.jsonl"
    words = ["summarize", "--model", tiny_folder, "--data", reports, "--context", 200, "--max-tokens", 8, "--json"]
    code, printed, errors = ends(capsys, *words, "--out", out, "--samples", 2)
    report = json.loads(printed)
    assert code == 0
    assert "window 200 is beyond the model's 64 tokens: this is extrapolation" in errors
    assert "documents are cut to 98 tokens" in errors
    assert report["rouge_settings"]["stemming"] is True
    assert report["rouge_settings"]["package"] == f"rouge-score {version('rouge-score')}"
    assert report["documents"] == 2
    assert set(report["rouge"]) == {"rouge1", "rouge2", "rougeL", "rougeLsum"}
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["reference"] for row in rows] == ["Blue sky 0.", "Blue sky 1."]
    assert all(row["tokens"] <= 8 for row in rows)


def test_a_missing_rouge_is_said_before_the_model_is_loaded(capsys, reports, monkeypatch, no_model_is_loaded):
    monkeypatch.setitem(__import__("sys").modules, "rouge_score.rouge_scorer", None)
    code, _, errors = ends(capsys, "summarize", "--model", "tiny-llama", "--data", reports)
    assert (code, errors) == (1, "pi-model: error: ROUGE needs a package: pip install rouge-score\n")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--temperature", "-1", "temperature: must be at least 0"),
        ("--temperature", "nan", "temperature: must be at least 0"),
        ("--top-p", "0", "top-p: must be above 0"),
        ("--max-tokens", "0", "max-tokens: must be at least 1"),
        ("--document-tokens", "0", "document-tokens: must be at least 1"),
        ("--samples", "0", "samples: must be at least 1"),
        ("--context", "110", "cannot hold the prompt's"),
        ("--seed", "-1", "seed: must be at least 0"),
    ],
)
def test_a_number_outside_its_domain_is_wrong_usage(option, value, message, tiny_folder, reports, capsys):
    code, _, errors = ends(capsys, "summarize", "--model", tiny_folder, "--data", reports, option, value, "--quiet")
    assert code == 2
    assert message in errors.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.shared_cache
def test_the_study_trains_writes_and_scores_from_end_to_end(tmp_path):
    model = random_llama(vocab_size=260, max_position_embeddings=1024)
    model.save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    small = [f"model={tmp_path / 'model'}", "window_tokens=1024", "sequence_tokens=400", "steps=2", "warmup_steps=1"]
    config = {
        **summaries.STUDY.config,
        "overrides": [*small, "global_batch=1"],
        "documents": 3,
        "sampling": {"max_tokens": 4},
        "dtype": "float32",
    }
    metrics = summaries.run(config, progress=False)
    assert len(metrics["loss_nats"]) == 2
    assert len(metrics["documents"]) == 3
    before, after = metrics["cases"]
    assert (before["model"], after["model"]) == ("as given", "fine-tuned")
    assert before["tokens"] == after["tokens"] == [4, 4, 4]
    assert before["example"]["reference"] == after["example"]["reference"]
    json.dumps(metrics, allow_nan=False)
