"""Gains from context, at toy size: a model made by hand that breaks beyond its window, and made-up records."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measurement import context_losses, long_texts
from experiments.measurement.compared_models import UNTRAINED
from experiments.measurement.excerpts import excerpts
from experiments.records import record
from experiments.studies import smollm2_context, tiny_context
from figures.drawing import save, tabulate
from figures.verdicts import EXPERIMENTS, context_rules
from pi_model.data.documents import Selection, Source, load_documents
from pi_model.errors import UsageError
from pi_model.evaluation.perplexity import truncated_perplexity
from pi_model.models.loading import load_checkpoint
from tests.pipeline import synthetic
from tests.pipeline.toy import WINDOW, breaking_model, runs_of_letters

CONTEXTS, LAST = [64, WINDOW // 2, WINDOW, 2 * WINDOW], 32


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    source = str(runs_of_letters(tmp_path / "text.jsonl"))
    corpora = {"letters": {"source": source}, "far": {"source": source, "repeats": "far"}}
    model = str(breaking_model(tmp_path / "model"))
    sizes = {"contexts": CONTEXTS, "last_tokens": LAST, "passage_tokens": 16, "texts": 3, "dtype": "float32"}
    return smollm2_context.STUDY.config | {"model": model, "models": UNTRAINED[:2], "corpora": corpora} | sizes


def test_each_model_reads_every_text_from_every_context_that_it_serves(config):
    made = smollm2_context.run(config, progress=False)
    assert made["window_tokens"] == WINDOW
    assert [one["context_tokens"] for one in made["models"]] == [WINDOW, 2 * WINDOW]
    for one in made["models"]:
        for by_context in one["document_loss_nats"].values():
            assert [int(context) for context in by_context] == [n for n in CONTEXTS if n <= one["context_tokens"]]
            assert {len(losses) for losses in by_context.values()} == {3}
    assert len(made["texts"]["letters"]) == 3
    json.dumps(made)


def test_from_a_whole_text_the_loss_is_that_of_the_last_tokens_of_one_pass(config):
    made = smollm2_context.run(config | {"corpora": {"letters": config["corpora"]["letters"]}}, progress=False)
    checkpoint = load_checkpoint(config["model"])
    whole = Selection(2 * WINDOW, 2 * WINDOW, 3, config["seed"])
    ends = [
        ids[-WINDOW:]
        for ids in load_documents(Source(config["corpora"]["letters"]["source"]), checkpoint.tokenizer, whole).tokens
    ]
    (result,) = truncated_perplexity(checkpoint.model, ends, windows=[WINDOW], last_tokens=LAST)
    found = made["models"][0]["document_loss_nats"]["letters"][str(WINDOW)]
    assert found == pytest.approx(result.document_loss_nats, abs=1e-4)


def test_an_interrupted_run_measures_only_what_is_left(config, monkeypatch):
    measure, calls = context_losses.last_loss, []

    def stops(*args, **more):
        if len(calls) == 5:
            raise KeyboardInterrupt
        calls.append(more["context"])
        return measure(*args, **more)

    monkeypatch.setattr(context_losses, "last_loss", stops)
    with pytest.raises(KeyboardInterrupt):
        smollm2_context.run(config, progress=False)
    again = []
    monkeypatch.setattr(
        context_losses, "last_loss", lambda *args, **more: again.append(more["context"]) or measure(*args, **more)
    )
    made = smollm2_context.run(config, progress=False)
    of_each = len(config["corpora"]) * 3
    assert len(calls) + len(again) == of_each * (3 + 4)
    assert made["resumed"]


def test_a_context_that_leaves_nothing_to_read_before_the_scored_tokens_is_refused(config):
    with pytest.raises(UsageError, match="64 tokens leave none before 64"):
        smollm2_context.run(config | {"last_tokens": 64})


def test_files_of_one_package_are_joined_in_their_order_with_a_blank_line():
    files = [("a/x.py", "1"), ("a/y.py", "2"), ("a/b/z.py", "3"), ("c.py", "4")]
    assert long_texts.packages(files) == {"a": "1\n\n2", "a/b": "3", ".": "4"}


def test_of_joined_packages_those_that_are_long_enough_are_drawn_and_cut(config, monkeypatch):
    files = [("a/x.py", "x" * 40), ("a/y.py", "y" * 40), ("b/x.py", "x" * 10), ("c/z.py", "z" * 90)]
    monkeypatch.setattr(long_texts, "read_documents", lambda _: iter(files))
    tokenizer = load_checkpoint(config["model"]).tokenizer
    found = excerpts(Source("code"), tokenizer, 60, 2, 0, joined=True)
    assert list(found.names) == ["a", "c"]
    assert tokenizer.decode(found.tokens[0]) == "x" * 40 + "\n\n" + "y" * 18


@given(st.sampled_from(["near", "far"]), st.integers(6, 9), st.integers(0, 99))
def test_a_repeated_passage_stands_once_before_where_it_is_said_to(repeats, log2_window, seed):
    window, last, passage = 2**log2_window, 16, 8
    ids = np.arange(2 * window, dtype=np.uint32)
    part = long_texts.stretch(repeats, tokens=len(ids), window=window, last_tokens=last)
    made = long_texts.repeated(ids, part, last_tokens=last, passage_tokens=passage, seed=[seed])
    assert (made[:-last] == ids[:-last]).all()
    for copy in range(len(ids) - last, len(ids), passage):
        start, distance = int(made[copy]), copy - int(made[copy])
        assert (made[copy : copy + passage] == ids[start : start + passage]).all()
        if repeats == "far":
            assert distance > window
            assert start > 0
        else:
            assert len(ids) - window < start
            assert start + passage <= len(ids) - window // 2


@pytest.mark.parametrize(("tokens", "passage", "said"), [(40, 8, "has no room"), (128, 7, "no whole number")])
def test_repeats_that_do_not_fit_are_refused(tokens, passage, said):
    part = long_texts.stretch("far", tokens=tokens, window=32, last_tokens=16)
    with pytest.raises(UsageError, match=said):
        long_texts.repeated(np.arange(tokens), part, last_tokens=16, passage_tokens=passage, seed=[0])


def outcomes(**changes):
    """By statement, its outcomes by case."""
    synthetic.write("smollm2_context", synthetic.context(**changes), config=synthetic.CONTEXT)
    found = {}
    for check in EXPERIMENTS["context_smollm2"].outcome().checks:
        found.setdefault(check.states, {})[check.case] = check.outcome
    return found


BEYOND = "Extended by {} without training, tokens beyond the old window lower the loss"


def test_gains_are_paired_by_text_and_decided_for_each_corpus_and_model(results):
    found = outcomes()
    assert found["Untouched, the model predicts better the more of its window it sees"] == {"books": "holds"}
    assert BEYOND.format("YaRN") not in found  # of which the claim says nothing; it stands in the table
    assert found[BEYOND.format("PI")] == {"PI ×2, books": "fails", "PI ×2, far repeats": "fails"}


def test_near_repeats_are_asked_of_the_untouched_model_and_far_ones_of_extended(results):
    cases = {(states.split(",")[0], case) for states, by_case in outcomes().items() for case in by_case}
    assert {how for how, case in cases if "near repeats" in case} == {"Untouched"}
    assert {how for how, case in cases if "far repeats" in case} == {"Extended by PI without training"}


def test_a_gain_that_differs_more_between_texts_than_it_is_large_stays_open(results):
    found = outcomes(beyond=[("PI ×2", -0.01)], noise=0.2)
    assert set(found[BEYOND.format("PI")].values()) == {"open"}


def test_a_record_without_an_extended_model_decides_nothing(results):
    synthetic.write("smollm2_context", synthetic.context(beyond=[]), config=synthetic.CONTEXT)
    outcome = EXPERIMENTS["context_smollm2"].outcome()
    assert outcome.verdict == "not tested"
    assert "an extended one" in outcome.reason


def test_a_fine_tuned_folder_is_called_fine_tuned(results):
    made = synthetic.context()
    made["models"][1] |= {"model": "tuned", "method": "none", "name": "PI, tuned"}
    synthetic.write("smollm2_context", made, config=synthetic.CONTEXT)
    outcome = EXPERIMENTS["context_smollm2"].outcome()
    assert any(check.states.startswith("Extended and fine-tuned, tokens beyond") for check in outcome.checks)
    assert "fine-tuned models beside untrained ones" in outcome.scale


def test_the_table_shows_the_gain_at_each_context_and_a_dash_where_none_is_served(results):
    synthetic.write("smollm2_context", synthetic.context(noise=0.0), config=synthetic.CONTEXT)
    shown = tabulate("context_smollm2", results)
    block = shown.content.blocks[0]
    assert block.columns == ("model", "loss at 64", "128", "256", "512")
    assert block.rows[0] == ("untouched", "4.000", "+0.100 ± 0.000", "+0.200 ± 0.000", "–")
    assert block.rows[1][4] == "+0.000 ± 0.000"
    assert "5 documents of books" in shown.content.caption


@pytest.mark.parametrize("study", [smollm2_context.STUDY, tiny_context.STUDY], ids=lambda study: study.name)
def test_the_contexts_go_from_a_fraction_of_the_window_to_beyond_it_by_doublings(study):
    config = study.config
    assert all(more == 2 * less for less, more in pairwise(config["contexts"]))
    assert min(config["contexts"]) > config["last_tokens"]
    assert config["last_tokens"] % config["passage_tokens"] == 0
    assert config["contexts"][0] < study.window < config["contexts"][-1]


def test_fine_tuned_models_are_read_and_drawn_beside_those_that_are_not(config, results, tmp_path):
    text = next(iter(config["corpora"].values()))["source"]
    changes = {"mixture": {text: 1.0}, "steps": 2, "steps_tokens": 4 * WINDOW, "warmup_steps": 1, "peak_lr": 1e-3}
    config = tiny_context.STUDY.config | config | changes | {"models": tiny_context.STUDY.config["models"]}
    made = tiny_context.run(config, processes=1, progress=False)
    _, untuned, tuned, direct = made["models"]
    for one in (untuned, tuned, direct):
        assert one["context_tokens"] == 4 * WINDOW
    assert [one.get("steps") for one in made["models"]] == [None, None, 2, 2]
    assert not any("model" in one for one in made["models"])
    assert tuned["document_loss_nats"]["letters"][str(WINDOW)] != untuned["document_loss_nats"]["letters"][str(WINDOW)]
    assert str(tmp_path) not in json.dumps({key: value for key, value in made.items() if key != "texts"})
    synthetic.write("tiny_context", made, config=config)
    save("tiny_context", folder=tmp_path)
    assert (tmp_path / "tiny_context.pdf").read_bytes().startswith(b"%PDF")


def test_what_the_paper_says_of_pi_is_not_asked_of_direct_fine_tuning_nor_of_untuned_models(results):
    made = synthetic.context(beyond=[("PI ×2", -0.05), ("YaRN ×2", 0.4)])
    untouched, pi, direct = made["models"]
    tuned = [untouched, pi | {"steps": 9}, pi | {"name": "untuned"}, direct | {"method": "none", "steps": 9}]
    synthetic.write("tiny_context", made | {"models": tuned}, config=synthetic.CONTEXT | {"steps_tokens": 1})
    outcome = EXPERIMENTS["context_tiny"].outcome()
    # What is open is whether it beats the untouched model, which costs as much as is gained.
    assert {check.outcome for check in outcome.checks if "untouched" not in check.states.lower()} == {"holds"}
    assert {check.case for check in outcome.checks} == {"books", "near repeats", "PI ×2, books", "PI ×2, far repeats"}


def test_excerpts_of_one_text_count_as_one_sample(results):
    made = synthetic.context(noise=0.2, beyond=[("PI ×2", -0.02)])
    names = {corpus: ["a", "a", "b", "b", "b"] for corpus in made["texts"]}
    synthetic.write("smollm2_context", made | {"texts": names}, config=synthetic.CONTEXT)
    (reader,) = context_rules.readers(record.read("smollm2_context"))[1:]
    for losses in reader.losses["books"].values():
        assert len(losses.by_text) == 2
        assert losses.documents == 5
