"""Files are read for what they are, whatever they are called and packed as, or refused by name."""

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile

import pyarrow as arrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from pi_model.data import data_files as listing
from pi_model.data.data_files import data_files
from pi_model.data.documents import Source, read_documents
from pi_model.errors import RunError, UsageError
from pi_model.notices import say


@pytest.fixture(autouse=True)
def nothing_said_yet():
    say.cache_clear()
    listing._read_once.cache_clear()


def json_lines(texts):
    return "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()


def json_list(texts):
    return json.dumps([{"text": text} for text in texts], indent=1, ensure_ascii=False).encode()


def table(delimiter):
    def write(texts):
        fields = [f'{n}{delimiter}"{text.replace(chr(34), 2 * chr(34))}"\r\n' for n, text in enumerate(texts)]
        return f"id{delimiter}text\r\n{''.join(fields)}".encode()

    return write


def columnar(texts):
    out = io.BytesIO()
    parquet.write_table(arrow.table({"id": range(len(texts)), "text": texts}), out)
    return out.getvalue()


def arrow_of(opened):
    def write(texts):
        out = io.BytesIO()
        batch = arrow.record_batch([texts], ["text"])
        with opened(out, batch.schema) as writer:
            writer.write(batch)
        return out.getvalue()

    return write


FORMATS = {
    "a.jsonl": json_lines,
    "a.NDJSON": json_lines,
    "lines.json": json_lines,
    "a.json": json_list,
    "a.csv": table(","),
    "a.tsv": table("\t"),
    "A.PARQUET": columnar,
    "stream.arrow": arrow_of(arrow.ipc.new_stream),
    "file.arrow": arrow_of(arrow.ipc.new_file),
    "rows": json_lines,
    "list": json_list,
    "columns": columnar,
}
PACKED = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".XZ": lzma.compress,
    ".zst": lambda data: arrow.Codec("zstd").compress(data).to_pybytes(),
}
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)


def contents(path, **options):
    return [content for _, content in read_documents(Source(str(path), **options))]


@settings(max_examples=15)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), packed=st.sampled_from(sorted(PACKED)))
def test_every_format_in_every_packing_gives_the_same_texts(tmp_path_factory, texts, packed):
    folder = tmp_path_factory.mktemp("formats")
    for name, write in FORMATS.items():
        path = folder / f"{name}{packed}"
        path.write_bytes(PACKED[packed](write(texts)))
        assert contents(path) == texts, name
    path = folder / f"one.MD{packed}"
    path.write_bytes(b"\xef\xbb\xbf" + texts[0].encode() if not packed else PACKED[packed](texts[0].encode()))
    if not texts[0].startswith("\ufeff"):
        assert contents(path) == [texts[0]]


MAGIC = [
    b"\x1f\x8b\x08",
    b"BZh91AY&SY",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"PK\3\4",
    b"PAR1",
    b"ARROW1\0\0",
    b"\xff" * 4,
]
HEADS = [*MAGIC, b"", b"[", b'{"text": ', b'text\n"', b"\xff\xfe", b"\xef\xbb\xbf"]
SUFFIXES = [".txt", ".jsonl", ".json", ".csv", ".parquet", ".arrow", ".zip", ".html", ".txt.gz", ".csv.zst", ".xz", ""]


@settings(max_examples=150)
@given(suffix=st.sampled_from(SUFFIXES), head=st.sampled_from(HEADS), rest=st.binary(max_size=60))
def test_any_bytes_under_any_name_are_read_or_refused_in_one_line(tmp_path_factory, suffix, head, rest):
    path = tmp_path_factory.mktemp("any") / f"file{suffix}"
    path.write_bytes(head + rest)
    try:
        found = contents(path)
    except RunError as error:
        said = str(error)
        found = []
        assert str(path) in said, said
        assert "\n" not in said, said
    assert all(isinstance(text, str) for text in found)
    # No packed or binary content is text, and what a name in .html holds is not known.
    assert not found or (suffix != ".html" and not head.startswith(tuple(MAGIC)))


REFUSED = {
    "page.html": (b"<p>", r"\.html files are not read; give \.txt, .*name it \.txt if it is plain text"),
    "all.tar.gz": (gzip.compress(b"x"), r"\.tar\.gz files are not read"),
    "rows.txt": (b'{"text": "x"}\n', r"holds JSON, not text; name it \.jsonl"),
    "rows.csv": (b'[{"text": "x"}]', "holds JSON, not CSV"),
    "list.jsonl": (b'[{"text": "x"}]', r"line 1: not an object with columns.*name the file \.json"),
    "list.json": (b'[{"text": "x"},', "not JSON: Expecting value"),
    "deep.json": (b"[" * 100000, "not JSON: nested too deeply"),
    "packed.txt": (gzip.compress(b"x"), r"a gzip file, not text as \.txt says"),
    "plain.jsonl.gz": (b"{}", r"named \.gz, but not a gzip file"),
    "cut.jsonl.gz": (gzip.compress(b'{"text": "x"}')[:-4], "not readable: .*; it is not whole"),
    "cut.txt.zst": (PACKED[".zst"](b"x" * 99)[:-4], "not readable: .*; it is not whole"),
    "paper.txt": (b"%PDF-1.4", "a PDF file"),
    "wide.txt": ("wide".encode("utf-16"), "a UTF-16 file.*convert it to UTF-8"),
    "latin.jsonl": (b'{"text": "x"}\n{"text": "\xe9"}', "line 2 is not UTF-8 text"),
    "ragged.csv": (b"id,text\n1,a,b\n", r"row 1 \(line 2\): 3 fields, where the first line names 2"),
    "open.csv": (b'text\n"a\n', "line 2 is not CSV: unexpected end of data"),
    "other.csv": (b"id;text\n1;a\n", "no column 'text'; it has id;text"),
    "twice.csv": (b"text,text\na,b\n", "two columns are called 'text'"),
    "no.zip": (b"x", "not a readable zip file"),
    "nothing.gz": (gzip.compress(b""), "the file is empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_is_not_is_said(name, tmp_path):
    content, message = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=message):
        contents(tmp_path / name)


def fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_says_what_it_leaves_out(tmp_path, capsys):
    files = {
        "a.txt": b"one",
        "sub/B.JSONL": b'{"text": "two"}',
        "page.html": b"x",
        "README.md": b"about",
        "LICENSE": b"x",
    }
    folder = fill(tmp_path / "set", files | {"__init__.py": b"", "._a.txt": b"\0\5", ".git/config": b"x"})
    os.symlink("/no/where", folder / "gone.txt")
    assert list(read_documents(Source(str(folder)))) == [("a.txt", "one"), ("sub/B.JSONL:1", "two")]
    told = "7 of 9 files are left out: 1 .html, 1 .md beside rows, 1 broken link, 1 empty, 2 hidden, 1 without a suffix"
    assert capsys.readouterr().err == f"pi-model: warning: {folder}: {told}\n"
    with pytest.raises(RunError, match=r"holds no documents \(.*\); it holds 1 \.html"):
        contents(fill(tmp_path / "none", {"page.html": b"x"}))


def test_settings_and_other_tables_in_a_folder_are_no_documents(tmp_path, capsys):
    others = {"package.json": b'{"name": "x"}', "tsconfig.json": b"{ // broken", "numbers.csv": b"a,b\n1,2\n"}
    folder = fill(tmp_path / "code", {"a.py": b"one", **others})
    assert contents(folder) == ["one"]
    assert "1 .csv without rows of text, 2 .json without rows of text" in capsys.readouterr().err
    assert contents(fill(folder, {"rows.json": b'[{"text": "two"}]'})) == ["two"]
    with pytest.raises(RunError, match="no column 'text'; it has name"):
        contents(folder / "package.json")


def test_a_folder_of_parquet_files_is_read_by_split(tmp_path):
    names = [f"data/{split}-00000-of-00001.parquet" for split in ("train", "test", "validation")]
    folder = fill(tmp_path / "set", {name: columnar([name]) for name in names} | {"README.md": b"card"})
    assert contents(folder, split="train") == names[:1]
    with pytest.raises(RunError, match="split 'extra' cannot be loaded; there are test, train, validation"):
        contents(folder, split="extra")
    assert contents(fill(tmp_path / "plain", {"0.parquet": columnar(["x"])}), split="extra") == ["x"]


def test_an_archive_is_read_like_a_folder(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in {"in/a.jsonl": '{"text": "x"}', "b.csv": "text\ny\n", "__MACOSX/._b.csv": "no"}.items():
            archive.writestr(name, content)
    assert list(read_documents(Source(str(tmp_path / "a.zip")))) == [
        ("a.zip/in/a.jsonl:1", "x"),
        ("a.zip/b.csv:1", "y"),
    ]
    assert "1 of 3 files are left out: 1 hidden" in capsys.readouterr().err


def test_a_pattern_takes_what_matches(tmp_path):
    folder = fill(tmp_path / "set", {"a.txt": b"a", "b.txt": b"b", "sub/c.txt": b"c", "[d].txt": b"d"})
    assert contents(folder / "*.txt") == ["d", "a", "b"]
    assert contents(folder / "**" / "*.txt") == ["d", "a", "b", "c"]
    assert contents(folder / "[d].txt") == ["d"]
    with pytest.raises(UsageError, match="no file matches"):
        contents(folder / "*.csv")


@pytest.mark.parametrize("given", [b"plain words", gzip.compress(b'{"text": "plain words"}\n', mtime=0)])
def test_standard_input_is_read_for_what_it_is(given, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert [contents("-"), contents("-")] == [["plain words"]] * 2
    listing._read_once.cache_clear()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="several processes cannot read"):
        contents("-")


@given(stem=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_any_name_of_a_file_is_a_name(tmp_path_factory, stem):
    folder = tmp_path_factory.mktemp("names")
    path = folder / f"x{stem}.txt"
    path.write_text("here")
    assert contents(path) == contents(folder) == ["here"]
    assert [file.name for file in data_files(str(folder), "test", ["text"])] == [path.name]
