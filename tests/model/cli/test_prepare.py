"""`pi-model prepare`, and the tokens that it makes: what was done stays done, and who comes meanwhile waits."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_model import locks
from pi_model.cli.main import main
from pi_model.data import documents as reading
from pi_model.data import token_cache
from pi_model.data.documents import Source, load_documents
from pi_model.data.pieces import Names, Pieces
from pi_model.data.token_cache import memory_map
from pi_model.errors import RunError
from pi_model.training.config import Architecture
from tests.commands import ending
from tests.model.conftest import byte_tokenizer
from tests.model.small_runs import small_config, write_documents


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


TEXTS = [(name, np.arange(length, dtype=np.uint32)) for name, length in (("a", 3), ("bü", 0), ("c\n", 7), ("d", 1))]


@given(killed_after=st.lists(st.integers(0, 3), max_size=3), noted=st.booleans())
def test_tokens_are_gone_on_with_after_any_kills_and_are_the_same(killed_after, noted, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_MODEL_CACHE", str(tmp_path_factory.mktemp("killed")))
        patch.setattr(token_cache, "_SECONDS_BETWEEN_NOTES", -1.0 if noted else 60.0)
        begun = []

        def following(done, kill=None):
            begun.append(done.documents)
            for number, text in enumerate(TEXTS[done.documents :]):
                if number == kill:
                    raise KeyboardInterrupt
                yield text

        done, expected = 0, []
        for kill in killed_after:
            if done + kill < len(TEXTS):
                with pytest.raises(KeyboardInterrupt):
                    memory_map("it", "key", lambda done, kill=kill: following(done, kill))
                expected.append(done)
                done += kill * noted
        names, tokens = memory_map("it", "key", following)
        assert begun == [*expected, done]
        assert names == [name for name, _ in TEXTS]
        assert [ids.tolist() for ids in tokens] == [ids.tolist() for _, ids in TEXTS]
        assert [one.name for one in (token_cache.cache_dir() / "tokens").iterdir()] == ["key"]


def test_a_source_at_fault_leaves_nothing_in_the_cache(cache):
    def broken(done):
        yield TEXTS[0]
        raise RunError("line 2: no text")

    with pytest.raises(RunError, match="line 2"):
        memory_map("it", "key", broken)
    assert list((cache / "tokens").iterdir()) == []


def test_who_comes_while_tokens_are_made_waits_and_says_for_whom(cache, capfd):
    making, go_on, made = threading.Event(), threading.Event(), []

    def slow(done):
        making.set()
        go_on.wait(10)
        yield from TEXTS

    def make(documents):
        made.append(memory_map("a book", "key", documents)[1])

    first = threading.Thread(target=make, args=(slow,))
    second = threading.Thread(target=make, args=(lambda done: pytest.fail("made twice"),))
    first.start()
    making.wait(10)
    second.start()
    time.sleep(2 * locks._SECONDS_BETWEEN_TRIES / 5)
    go_on.set()
    for thread in (first, second):
        thread.join(20)
    assert len(made) == 2
    assert "waiting for the tokens of a book, in use by process" in capfd.readouterr().err


def test_a_run_goes_on_tokenising_with_the_documents_that_are_left(tmp_path, tokenizer, monkeypatch):
    source = Source(str(write_documents(tmp_path / "d.jsonl")))
    whole = load_documents(source, tokenizer).sha256
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "again"))
    monkeypatch.setattr(token_cache, "_SECONDS_BETWEEN_NOTES", -1.0)
    monkeypatch.setattr(reading, "_BATCH_BYTES", 1)
    real, seen = reading._batch, []

    def stopping(documents, limit):
        if len(seen) == 5:
            seen.append("stop")
            raise KeyboardInterrupt
        seen.append(batch := real(documents, limit))
        return batch

    monkeypatch.setattr(reading, "_batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        load_documents(source, tokenizer)
    assert load_documents(source, tokenizer).sha256 == whole
    names = [name for batch in seen if batch != "stop" for name, _ in batch]
    assert len(names) == len(set(names)) == 12


@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    numbers=st.lists(st.integers(0, 7), max_size=6),
    longest=st.none() | st.integers(0, 4),
)
def test_pieces_are_a_tuple_of_arrays_without_the_objects(lengths, numbers, longest):
    flat = np.arange(sum(lengths), dtype=np.uint32)
    ends = np.cumsum(lengths)
    plain = np.split(flat, ends[:-1])
    numbers = [number % len(lengths) for number in numbers]
    chosen = Pieces.ending_at(flat, ends).chosen(np.array(numbers, dtype=int), longest)
    expected = [plain[number][:longest] for number in numbers]
    assert [ids.tolist() for ids in chosen] == [ids.tolist() for ids in expected]
    assert [x for run in chosen.runs() for x in run.tolist()] == [x for ids in expected for x in ids.tolist()]
    assert chosen.lengths.tolist() == [len(ids) for ids in expected]
    texts = [f"é{number}" * number for number in lengths]
    coded = [text.encode() for text in texts]
    names = Names(Pieces.ending_at(np.frombuffer(b"".join(coded), np.uint8), np.cumsum([len(one) for one in coded])))
    assert names == tuple(texts)
    assert names[::2] == texts[::2]
    assert repr(names) == repr(tuple(texts))
    assert names != [*texts, ""]


def test_prepare_takes_what_finetune_takes_and_leaves_nothing_to_read(tiny_folder, tmp_path, monkeypatch):
    held_out = write_documents(tmp_path / "held.jsonl", documents=3)
    words = ["--model", tiny_folder, "--context", 512, "--data", write_documents(tmp_path / "d.jsonl")]
    words += ["--held-out", held_out, "steps=1", "global_batch=1", "micro_batch=1"]
    ended = ending(main, "prepare", *words, "device=cuda", "--json", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    answer = json.loads(ended.out)
    assert answer["model"] == str(tiny_folder)
    (part,) = answer["data"]
    assert (part["tokens"] - 1) // 512 == part["windows"]
    monkeypatch.setattr(reading, "read_documents", lambda *_: pytest.fail("read again"))
    assert ending(main, "prepare", *words, "--quiet").code == 0
    ended = ending(main, "finetune", *words, "device=cpu", "--out", tmp_path / "out", "--quiet")
    assert ended.code == 0, ended.err
    run = json.loads((tmp_path / "out/run.json").read_text())["run"]
    assert (run["data_sha256"], run["model_sha256"]) == ([part["sha256"]], answer["model_sha256"])


def test_prepare_asks_for_the_folder_in_which_a_new_model_keeps_its_tokenizer(tmp_path):
    made = Architecture(vocabulary=300, hidden=32, intermediate=64, layers=2, heads=4, kv_heads=2)
    new = {"model": None, "architecture": made, "factor": 1.0, "method": "none"}
    config = replace(small_config(tmp_path, write_documents(tmp_path / "d.jsonl")), **new)
    (tmp_path / "run.json").write_text(json.dumps({"config": config.as_json()}))
    words = ["prepare", "--config", tmp_path / "run.json", "--quiet"]
    assert ending(main, *words).is_wrong_usage("pi-model", "out")
    assert ending(main, *words, "--out", tmp_path / "out").code == 0
    assert (tmp_path / "out/origin/tokenizer.json").exists()
