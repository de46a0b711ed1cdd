"""Fine-tuning a model of one's own: what is extended is recognised, what is to be done is said, and what came of it."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from pi_model.cli.main import main
from pi_model.data.documents import Selection
from pi_model.errors import UsageError
from pi_model.models.loading import load_checkpoint
from pi_model.models.rope_parameters import Extension, compose
from pi_model.training.before_after import NAMES
from pi_model.training.config import Config, MixturePart
from pi_model.training.config_fields import described, recorded_config
from pi_model.training.overrides import override
from pi_model.training.own_run import OwnRun, held_out
from pi_model.training.recipes import RECIPES, recipe
from pi_model.training.starting_point import already_extended, check_start, result
from pi_theory.scaling import METHODS, NoScaling, scaling_by_name
from tests.commands import ending
from tests.model.small_runs import losses, write_documents

FEW = ["steps=2", "global_batch=2", "micro_batch=1", "checkpoint_every=1", "peak_lr=1e-3", "device=cpu"]
EXTENDING = sorted(METHODS.keys() - {"none"})


@pytest.fixture
def rows(tmp_path):
    """Documents in a column of their own."""
    path = write_documents(tmp_path / "documents.jsonl")
    path.write_text(path.read_text().replace('"text"', '"body"'))
    return path


@pytest.fixture
def extended_folder(tiny_folder, tmp_path):
    out = tmp_path / "extended"
    assert ending(main, "extend", tiny_folder, "--factor", 2, "--out", out).code == 0
    return out


def run(method: str, factor: float, **changes) -> Config:
    data = (MixturePart(name="books"),)
    fields = {"model": "m", "window_tokens": 64, "steps": 1, "global_batch": 1, "peak_lr": 1.0, "data": data}
    return Config(**(fields | {"method": method, "factor": factor} | changes))


UNEXTENDED = Extension(NoScaling(), 64, 10000.0, 16)


@given(method=st.sampled_from(EXTENDING), factor=st.sampled_from([1.5, 2.0, 4.0, 16.0]))
def test_a_model_is_recognised_as_what_the_run_would_make_of_it_and_no_other_is(method, factor):
    config = run(method, factor)
    made = compose(UNEXTENDED, scaling_by_name(method, factor))
    assert already_extended(made, config)
    check_start(made, config)
    assert result(made, config) == made == result(UNEXTENDED, config)
    for other in (replace(config, factor=3.0), replace(config, window_tokens=128)):
        assert not already_extended(made, other)
    assert not already_extended(UNEXTENDED, config)


@given(
    has=st.sampled_from(["none", *EXTENDING]),
    asks=st.sampled_from(["none", *EXTENDING]),
    factor=st.sampled_from([1.0, 2.0, 3.0, 8.0]),
    window=st.sampled_from([32, 64, 96]),
)
def test_whatever_a_refusal_says_to_set_is_taken_and_does_what_it_says(has, asks, factor, window):
    current = UNEXTENDED if has == "none" else compose(UNEXTENDED, scaling_by_name(has, 4.0))
    try:
        config = run(asks, factor, window_tokens=window)
    except UsageError:  # a method with factor 1
        return
    try:
        check_start(current, config)
    except UsageError as error:
        meanings = re.findall(r"((?:\w+=\S+ )+)(to (?:train|extend) [^;(]+)", str(error))
        assert meanings
        for words, meaning in meanings:
            changed = override(config, words.split())
            check_start(current, changed)
            made = result(current, changed)
            assert (made == current) == (meaning.strip() == "to train it as it is")
            assert "as it is" in meaning or f" {made.context_tokens} tokens" in meaning
            assert "in all" not in meaning or f"{made.method} x{made.factor:g} in all" in meaning


def test_what_was_extended_before_trains_as_if_the_recipe_had_extended_it(tiny_folder, extended_folder, tmp_path):
    data = write_documents(tmp_path / "texts.jsonl")
    for model, out in ((tiny_folder, "ours"), (extended_folder, "theirs")):
        words = [f"model={model}", "window_tokens=64", f"data={data}", *FEW, "--out", tmp_path / out]
        ended = ending(main, "finetune", "tiny_512_pi", *words)
        assert ended.code == 0, ended.err
        assert ("linear x2 already; trained as it is" in " ".join(ended.err.split())) == (out == "theirs")
    assert losses(tmp_path / "ours") == losses(tmp_path / "theirs")
    for out in ("ours", "theirs"):
        written = json.loads((tmp_path / out / "model/config.json").read_text())
        assert (written["max_position_embeddings"], written["rope_scaling"]["factor"]) == (128, 2.0)


def test_an_extension_on_top_of_another_stands_in_the_table_before_the_first_step(extended_folder, rows, tmp_path):
    words = ["--model", extended_folder, "--context", 256, "--data", rows, "--column", "body", "--no-evaluation"]
    ended = ending(main, "finetune", *words, *FEW, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    table = " ".join(ended.err.partition("step 1/2")[0].split())
    assert "128 -> 256 tokens by linear x2, on top of linear x2: linear x4 in all, over the 64 tokens" in table
    assert "2 steps of 2 windows of 256 tokens: 512 tokens a step, 1,024 in all" in table
    assert re.search(r"epochs of \d+ windows parameters all [\d,]+ device cpu, float32, 1 process memory", table)
    planned = ending(main, "plan", "tiny_512_pi", f"model={extended_folder}", "window_tokens=128")
    assert "linear x4 in all" in planned.err


def test_a_model_and_data_of_ones_own_need_no_recipe(tiny_folder, rows, tmp_path):
    held_out = write_documents(tmp_path / "held.jsonl", documents=3)
    held_out.write_text(held_out.read_text().replace('"text"', '"body"'))
    out = tmp_path / "out"
    command = ["--model", tiny_folder, "--context", 512, "--data", rows, "--column", "body", "--held-out", held_out]
    ended = ending(main, "finetune", *command, *FEW, "--lora", "--out", out, "--json", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    answer = json.loads(ended.out)
    names = ["perplexity in windows of 64", "perplexity in windows of 512", "passkeys found"]
    assert [row["name"] for row in answer["before_after"]["rows"]] == [*names, "passkeys found at 512 tokens"]
    table, picture = ((out / name).read_text() for name in NAMES)
    assert all(name in table and name in picture for name in names)
    again = ending(main, "finetune", *command, *FEW, "--lora", "--out", out, "--quiet")
    assert "2 steps, nothing left to do" in again.out
    assert table in again.out
    as_recorded = tmp_path / "again"
    words = ["--config", out / "run.json", "evaluation.steps=", "--out", as_recorded, "--quiet"]
    assert ending(main, "finetune", *words).code == 0
    assert losses(as_recorded) == losses(out)
    assert not (as_recorded / NAMES[0]).exists()


@given(every=st.integers(2, 30), documents=st.integers(0, 100))
def test_what_is_held_out_and_what_is_trained_on_are_all_documents_and_never_the_same(every, documents):
    trained, measured = (one.taken(documents) for one in (Selection(without_every=every), Selection(only_every=every)))
    assert (trained != measured).all()
    assert measured.sum() == documents // every
    assert Selection().taken(documents).all()


@pytest.mark.parametrize(("documents", "every"), [(40, 20), (9, 4), (4, 2)])
def test_some_of_ones_own_documents_are_measured_on_and_not_trained_on(documents, every, tiny_folder, tmp_path):
    data = write_documents(tmp_path / "texts.jsonl", documents=documents, words=600)
    out = tmp_path / "out"
    words = ["--model", tiny_folder, "--context", 512, "--data", data, *FEW, "--out", out]
    ended = ending(main, "finetune", *words)
    assert ended.code == 0, ended.err
    table = " ".join(ended.err.split())
    assert f"{data}, without one in {every} documents: " in table
    assert f"perplexity on one in {every} documents of {data} in windows of 64 and 512 tokens" in table
    recorded = recorded_config(out)
    assert [recorded.data[0].held_out_every, recorded.evaluation.held_out_every] == [every, every]
    assert ending(main, "finetune", *words, "--quiet").out.count("nothing left to do")


@pytest.mark.parametrize(("documents", "words"), [(3, 600), (8, 60)])
def test_where_ones_own_documents_are_few_or_short_all_are_trained_on(documents, words, tiny_folder, tmp_path):
    data = write_documents(tmp_path / "texts.jsonl", documents=documents, words=words)
    config, _ = OwnRun(str(tiny_folder), 512, [str(data)], evaluate=False).config(FEW)
    assert held_out(config, load_checkpoint(tiny_folder).tokenizer, 512) is None


REFUSED = {
    "": "recipe: give one of",
    "tiny_512_pi --model MODEL": "recipe: give one of",
    "--model MODEL --context 128": "data: give the documents",
    "--model MODEL --data ROWS": "context: say which window",
    "--model MODEL --data ROWS --context 32": "give --context 64 sequence_tokens=32",
    "--model MODEL --data ROWS --context 64 --method yarn": "method: ",
    "--model MODEL --context 128 --data ROWS model=x": "model: is set by --model",
    "--model MODEL --data ROWS --context 128 factor=2": "factor: is set by --context",
    "--model MODEL --data ROWS --context 128 colour=blue": "colour: no such field",
    "--model MODEL --data ROWS --context 128 --no-evaluation": "no column 'text'; it has body",
    "--model MODEL --data ROWS*0 --context 128": "must be positive",
    "--model nowhere --data ROWS --context 128": "nowhere",
    "tiny_512_pi --data ROWS": "data: goes with --model; here data=...",
    "tiny_512_pi --lora": "lora: goes with --model",
    "--config MODEL": "run.json is missing",
    "--config MODEL/config.json": "holds no config of a run",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_does_not_go_together_ends_in_one_line(words, tiny_folder, rows, tmp_path):
    asked = words.replace("MODEL", str(tiny_folder)).replace("ROWS", str(rows)).split()
    ended = ending(main, "finetune", *asked, "--out", tmp_path / "out", "--quiet")
    assert ended.code in (1, 2)
    assert ended.err.count("\n") == 1
    assert REFUSED[words] in ended.err.replace("RECIPE", "recipe")
    assert not (tmp_path / "out" / "model").exists()


SIZES = {
    "smollm2_16384_pi": {"hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536, "vocab_size": 49152},
    "llama_7b_8192_pi": {"hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 11008, "vocab_size": 32000},
    "llama_65b_8192_pi": {"hidden_size": 8192, "num_hidden_layers": 80, "intermediate_size": 22016},
}


@pytest.mark.parametrize("name", SIZES)
def test_without_a_recipe_a_run_has_the_settings_of_the_recipe_for_its_size(name, tmp_path):
    theirs = recipe(name)
    shape = LlamaConfig(**SIZES[name], num_attention_heads=8, max_position_embeddings=theirs.window_tokens)
    shape.save_pretrained(tmp_path)
    own = OwnRun(str(tmp_path), theirs.context_tokens, ["books"], evaluate=False)
    ours, _ = own.config(["global_batch=128"] if "65b" in name else [])  # the paper gives 65B twice the batch
    same = ("window_tokens", "factor", "method", "steps", "global_batch", "peak_lr", "warmup_steps", "decay")
    for field in (*same, "micro_batch", "activation_checkpointing"):
        assert getattr(ours, field) == getattr(theirs, field), field


@pytest.mark.parametrize("name", RECIPES)
def test_a_recorded_config_is_read_back_as_it_was_and_every_field_is_explained(name, tmp_path):
    config = recipe(name)
    (tmp_path / "run.json").write_text(json.dumps({"config": config.as_json()}))
    assert recorded_config(tmp_path) == config
    fields = {one.name: one for one in described(config)}
    assert all(len(one.meaning) > 10 and one.kind for one in fields.values())
    assert fields["steps"].value == config.steps
    assert fields["factor"].default == 1


def test_recipes_are_listed_and_one_is_printed_field_by_field():
    listed = json.loads(ending(main, "recipes", "--json").out)["recipes"]
    assert listed.keys() == RECIPES.keys()
    assert listed["tiny_1024_pi"].startswith("tiny-llama, 256 -> 1024 tokens by linear; 200 steps of 4 windows")
    printed = ending(main, "recipes", "tiny_1024_pi").out
    assert "warmup_steps=20  (whole number)" in printed
    assert "method=linear  (word, default none)" in printed
    assert "steps=200  (whole number, to be set)" in printed
    assert ending(main, "recipes", "no-such").is_wrong_usage("pi-model", "recipe")
