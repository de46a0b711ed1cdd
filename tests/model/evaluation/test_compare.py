"""Several models measured on the same documents and passkeys, and their answers kept in files."""

import ast
import json
import math
import shlex
import shutil
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_model.cli.main import main, parse, parser
from pi_model.evaluation.comparison import compared_passkeys, passkey_table
from pi_model.evaluation.differences import difference
from pi_model.evaluation.passkey import PasskeyResult
from pi_model.models.loading import random_llama
from tests.commands import ending
from tests.model.conftest import byte_tokenizer

WORDS = ("--windows", "16", "32", "--stride", "8", "--quiet")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """A model of the same tokenizer with other weights."""
    folder = tmp_path_factory.mktemp("other")
    random_llama(vocab_size=260, seed=1).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def with_bos(tiny_folder, tmp_path) -> Path:
    """The tiny model with a tokenizer that puts BOS first, and so reads other tokens."""
    folder = tmp_path / "with-bos"
    shutil.copytree(tiny_folder, folder)
    byte_tokenizer(adds_bos=True).save_pretrained(folder)
    return folder


@pytest.fixture
def texts(tmp_path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number, text in enumerate(("The grass is green. " * 4, "Ça va: 12 € là-bas. " * 3, "Run! " * 30)):
        (folder / f"{number}.txt").write_text(text)
    return folder


def answer(*words: object) -> dict:
    ended = ending(main, *words, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


values = st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.integers(1, 50)), min_size=1, max_size=6)


@given(values)
def test_a_weighted_difference_is_that_of_the_weighted_means(rows):
    one, other, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = difference(one.tolist(), other.tolist(), weights.tolist())
    means = [np.average(values, weights=weights) for values in (one, other)]
    assert found.mean == pytest.approx(means[0] - means[1], abs=1e-9)
    if len(rows) == 1:
        assert (found.error, found.interval) == (None, None)
    elif found.interval is not None:
        assert found.interval[0] <= found.mean <= found.interval[1]
        residuals = weights * (one - other - found.mean)
        n = len(rows)
        assert found.error == pytest.approx(math.sqrt(n / (n - 1) * (residuals**2).sum()) / weights.sum())


@pytest.mark.parametrize("more", [[], ["--averaging", "window"], ["--truncate"]], ids=" ".join)
def test_each_of_several_models_gets_the_answer_that_it_gets_alone(more, tiny_folder, other, texts):
    words = ["perplexity", "--data", texts, *WORDS, *more]
    alone = [answer(*words, "--model", model) for model in (tiny_folder, other)]
    together = answer(*words, "--model", tiny_folder, "--model", other)
    assert together["models"] == alone
    for row, first, second in zip(together["differences"], *(one["results"] for one in alone), strict=True):
        assert (row["window"], row["unit"]) == (first["window"], "nats per token")
        assert (row["model"], row["against"]) == (str(other), str(tiny_folder))
        assert row["difference"]["pairs"] == 3
        assert row["difference"]["mean"] == pytest.approx(second["loss_nats"] - first["loss_nats"])
        low, high = row["difference"]["interval"]
        assert low < row["difference"]["mean"] < high


def test_models_with_other_tokens_are_compared_per_byte_or_refused(tiny_folder, with_bos, texts):
    words = ["perplexity", "--model", tiny_folder, "--model", with_bos, "--data", texts, *WORDS]
    found = answer(*words)
    size = [len(path.read_bytes()) for path in sorted(texts.iterdir())]
    for row in found["differences"]:
        assert row["unit"] == "bits per byte"
        for one, value in zip(found["models"], (row["first"], row["value"]), strict=True):
            (result,) = (result for result in one["results"] if result["window"] == row["window"])
            assert value == pytest.approx(result["loss_nats"] * result["tokens"] / math.log(2) / sum(size))
    assert "per byte of the text" in ending(main, *words).out
    for more in (["--truncate"], ["--averaging", "window"]):
        ended = ending(main, *words, *more)
        assert ended.is_wrong_usage("pi-model", more[0])
        assert "into different tokens" in ended.err


def test_every_model_is_looked_at_before_the_first_is_measured(tiny_folder, texts, tmp_path, monkeypatch):
    monkeypatch.setattr("pi_model.evaluation.perplexity._token_losses", lambda *_: pytest.fail("measured"))
    words = ["perplexity", "--model", tiny_folder, "--data", texts, *WORDS]
    assert ending(main, *words, "--model", "/no/such").is_wrong_usage("pi-model", "/no/such")
    assert ending(main, *words, "--model", tiny_folder / ".").is_wrong_usage("pi-model", "are the same")
    (tmp_path / "used").mkdir()
    used = tmp_path / "used" / "x.json"
    used.touch()
    for out, code in ((used, 1), (used.parent, 1), (tmp_path / "x.pdf", 2), (tiny_folder / "x", 2), (texts, 2)):
        ended = ending(main, *words, "--out", out)
        assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1), ended.err


def test_only_one_model_is_in_memory_at_a_time(tiny_folder, other, texts, monkeypatch):
    from pi_model.models import loading

    loaded, real = [], loading.load_checkpoint

    def load(*arguments, **options):
        assert [one for one in loaded if one() is not None] == []
        checkpoint = real(*arguments, **options)
        loaded.append(weakref.ref(checkpoint.model))
        return checkpoint

    monkeypatch.setattr(loading, "load_checkpoint", load)
    both = ["--model", tiny_folder, "--model", other]
    answer("perplexity", *both, "--data", texts, *WORDS)
    answer("passkey", *both, "--context", "400", "--positions", "2", "--trials", "1", "--quiet")
    assert len(loaded) == 4


@pytest.mark.parametrize("single", [True, False])
def test_an_answer_is_kept_as_json_table_and_picture(single, tiny_folder, other, texts, tmp_path):
    models = ["--model", tiny_folder, *([] if single else ["--model", other])]
    for name, more in (
        ("perplexity", ["--data", texts, *WORDS]),
        ("passkey", ["--context", "400", "--positions", "2", "--trials", "1", "--quiet"]),
    ):
        out = tmp_path / f"{name}-1.0"
        ended = ending(main, name, *models, *more, "--out", out)
        assert ended.code == 0, ended.err
        assert (out / "table.txt").read_text() == ended.out
        assert json.loads((out / "result.json").read_text()) == answer(name, *models, *more)
        assert str(tiny_folder) in ended.out.replace("\n", "")
        assert str(other) in ended.out.replace("\n", "") or single
        assert (out / "plot.svg").read_text().startswith("<?xml")
        if single:
            assert ending(main, name, *models, *more, "--out", tmp_path / f"{name}.png").code == 0
            assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_unless_a_picture_is_kept(tiny_folder, texts, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_model.evaluation.plots", None)
    answer("perplexity", "--model", tiny_folder, "--data", texts, *WORDS, "--out", tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["model"] == str(tiny_folder)


def test_several_models_are_asked_for_the_same_numbers(tiny_folder, other, tmp_path):
    longer = tmp_path / "longer"
    assert ending(main, "extend", other, "--context", "512", "--out", longer).code == 0
    words = ["passkey", "--positions", "2", "--trials", "2", "--quiet"]
    found = answer(*words, "--model", tiny_folder, "--model", longer)
    assert [one["context_tokens"] for one in found["models"]] == [512, 512]
    assert found["models"][1] == answer(*words, "--model", longer, "--max-context", "512")
    said = ending(main, *words, "--model", longer).out
    assert "k_max, the effective window: the largest k at which" in said.replace("\n", " ")


def test_shares_found_differ_distance_by_distance():
    one = PasskeyResult(8, 4, {4: 1.0, 8: 0.1}, {4: 4.0, 8: 8.0}, 10)
    two = PasskeyResult(8, 8, {4: 1.0, 8: 0.9}, {4: 4.0, 8: 8.0}, 10)
    (row,) = compared_passkeys({"first": one, "second": two})
    assert (row.difference.mean, row.interval[0], row.interval[1]) == (pytest.approx(0.4), -1.0, 1.0)
    table = passkey_table({"first": one, "second": two}, [row])
    assert "A: first\nB: second\n" in table
    assert "B - A +40.0" in table


def test_a_second_model_is_never_dropped_in_silence(tiny_folder, other):
    words = ["summarize", "--data", "abstracts", "--model", tiny_folder, "--model", other]
    assert ending(main, *words).is_wrong_usage("pi-model", "--model: given twice")


def test_extend_takes_the_window_itself_in_place_of_the_factor(tiny_folder, tmp_path):
    found = answer("extend", tiny_folder, "--context", "160", "--out", tmp_path / "a")
    assert (found["factor"], found["context_tokens"]) == (2.5, 160)
    again = answer("extend", tmp_path / "a", "--context", "333", "--out", tmp_path / "b")
    assert again["context_tokens"] == 333
    words = ["extend", tiny_folder, "--out", tmp_path / "c"]
    assert ending(main, *words).is_wrong_usage("pi-model", "--factor --context")
    assert ending(main, *words, "--context", "128", "--factor", "2").is_wrong_usage("pi-model", "not allowed with")
    assert ending(main, *words, "--context", "64").is_wrong_usage("pi-model", "serves 64 tokens already")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("method", ["linear", "ntk", "yarn", "dynamic", "llama3"])
def test_extend_says_how_each_client_serves_the_folder(method, tiny_folder, tmp_path):
    out = tmp_path / "it's long"
    told = answer("extend", tiny_folder, "--factor", "2", "--method", method, "--out", out)["next"]
    assert list(told) == ["transformers", "llama.cpp", "vLLM"]
    assert "--max-model-len 128" in told["vLLM"]["command"]
    assert ("multiplies" in told["vLLM"]["note"]) == (method == "linear")
    assert ("use_cache=False" in told["transformers"]["command"]) == (method == "dynamic")
    assert (told["llama.cpp"]["command"] is None) == (method == "dynamic")
    if command := told["llama.cpp"]["command"]:
        arguments = parse(parser(), shlex.split(command.partition(" && ")[0])[1:])
        assert (arguments.command.name, arguments.source, arguments.out) == ("gguf", str(out), Path(f"{out}.gguf"))
    script = shlex.split(told["transformers"]["command"])[2]
    assert str(out) in [node.value for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Constant)]
