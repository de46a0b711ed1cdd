"""Documents of one length, cut from texts of any length."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.measurement import kept
from experiments.measurement.excerpts import excerpts
from experiments.records import record
from pi_model.data.documents import Selection, Source, load_documents
from pi_model.errors import RunError
from pi_model.models.loading import load_checkpoint


@pytest.fixture(scope="module")
def tokenizer():
    return load_checkpoint("tiny-llama").tokenizer


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 40), seed=st.integers(0, 3))
def test_as_many_documents_as_asked_for_all_of_one_length_and_spread_over_the_texts(tokenizer, samples, seed):
    source, tokens = Source("books", split="test"), 2048
    found = excerpts(source, tokenizer, tokens, samples, seed)
    whole = load_documents(source, tokenizer, Selection(min_tokens=tokens, samples=samples, seed=seed))
    assert len(found.names) == len(found.tokens) == samples
    assert {len(ids) for ids in found.tokens} == {tokens}
    assert [*dict.fromkeys(found.names)] == list(whole.names)
    texts = dict(zip(whole.names, whole.tokens, strict=True))
    counts = {name: found.names.count(name) for name in texts}
    for name, ids in texts.items():
        # A text that has fewer than others has no room for more.
        assert counts[name] >= min(max(counts.values()) - 1, len(ids) // tokens)
        starts = [n for n, of in enumerate(found.names) if of == name]
        joined = np.concatenate([found.tokens[n] for n in starts])
        assert len(joined) <= len(ids)


def test_one_document_a_text_is_its_beginning(tokenizer):
    source = Source("code", split="test")
    found = excerpts(source, tokenizer, 512, 3, 0)
    whole = load_documents(source, tokenizer, Selection(512, 512, 3, 0))
    assert found.names == list(whole.names)
    assert all((one == other).all() for one, other in zip(found.tokens, whole.tokens, strict=True))


def test_more_documents_than_the_texts_hold_are_refused(tokenizer):
    with pytest.raises(RunError, match=r"books: its texts hold \d+ excerpts of 65536 tokens, and 40 are asked for"):
        excerpts(Source("books", split="test"), tokenizer, 65536, 40, 0)


def test_a_study_goes_on_from_what_another_machine_finished_and_its_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(kept, "RESULTS", tmp_path / "results")
    theirs = tmp_path / "results" / "unfinished" / "study-1"
    theirs.mkdir(parents=True)
    (theirs / "base.json").write_text('{"by": "them"}')
    folder = kept.brought(tmp_path / "cache" / "study-1")
    assert json.loads((folder / "base.json").read_text()) == {"by": "them"}
    (folder / "base.json").write_text('{"by": "us"}')
    assert json.loads((kept.brought(folder) / "base.json").read_text()) == {"by": "us"}
    assert not kept.brought(tmp_path / "cache" / "study-2").exists()
