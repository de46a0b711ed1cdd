"""Which window a config says the model was trained on, and that every command reads the same."""

import json
import shutil
from copy import deepcopy

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pi_model import planning
from pi_model.cli.main import main
from pi_model.errors import RunError, UsageError
from pi_model.models.extension import extend_checkpoint
from pi_model.models.families import model_config, rotary_embedding
from pi_model.models.loading import load_checkpoint, random_llama
from pi_model.models.rope_parameters import (
    Extension,
    check_frequencies,
    compose,
    read_extension,
    understood,
    write_extension,
)
from pi_model.models.trained_window import UndecidedWindow
from pi_model.training.config import Config, MixturePart
from pi_model.training.preparation import extended
from pi_theory.scaling import LinearPI, scaling_by_name
from tests.model.released_configs import FLASH, RELEASED, SHAPE, SUPERHOT, linear, llama3, yarn
from tests.model.small_runs import small_config, trained, write_documents

NAMES = sorted(RELEASED)


def told(extension: Extension) -> tuple[int, str, float, int]:
    return extension.window_tokens, extension.method, extension.factor, extension.context_tokens


def run(**changes) -> Config:
    fields = {"model": "m", "data": (MixturePart(name="d"),), "steps": 1, "global_batch": 1, "peak_lr": 1e-4}
    return Config(**(fields | changes))


@pytest.mark.parametrize("name", NAMES)
def test_a_released_config_is_read_as_its_authors_state(name):
    released = RELEASED[name]
    content = SHAPE | {"head_dim": 8} | released.fields
    assert told(read_extension(content)) == released[1:]
    config = model_config(understood(content))
    assert told(check_frequencies(rotary_embedding(config), config)) == released[1:]
    named = {"position_interpolation", "original_max_position_embeddings"} | released.fields.keys()
    source = read_extension(content).source
    assert any(field in source for field in named)
    assert "\n" not in read_extension(content).stated


@pytest.mark.parametrize("name", NAMES)
def test_extending_doubles_what_a_released_checkpoint_serves(name):
    released = RELEASED[name]
    method = released.method if released.method != "none" else "linear"
    content = SHAPE | {"head_dim": 8} | released.fields
    twice = compose(read_extension(content), scaling_by_name(method, 2.0))
    written = write_extension(content, twice)
    config = model_config(written)
    for again in (read_extension(written), check_frequencies(rotary_embedding(config), config)):
        assert again == twice
        assert again.window_tokens == released.window
        assert again.factor == pytest.approx(2 * released.factor, rel=2e-5)
        assert again.context_tokens == 2 * released.context
    if method != "dynamic":
        assert written["max_position_embeddings"] == 2 * released.context
    assert written.get("max_sequence_length", 2 * released.context) == 2 * released.context
    assert written.get("max_length", 2 * released.context) == 2 * released.context
    assert not {"rope_condense_ratio", "auto_map"} & written.keys()


@pytest.mark.parametrize("name", NAMES)
def test_both_spellings_of_what_is_written_say_the_same(name):
    content = SHAPE | RELEASED[name].fields
    method = RELEASED[name].method if RELEASED[name].method != "none" else "ntk"
    written = write_extension(content, compose(read_extension(content), scaling_by_name(method, 2.0)))
    new = written["rope_parameters"]
    assert new["rope_theta"] == written["rope_theta"]
    old = written["rope_scaling"] or {"type": "default", "rope_type": "default"}
    assert old["type"] == old["rope_type"]
    assert {**old, "rope_theta": written["rope_theta"]} == {**new, "type": old["type"]}
    for dropped in ("rope_scaling", "rope_parameters"):  # each alone suffices
        alone = {key: value for key, value in written.items() if key != dropped}
        assert read_extension(alone) == read_extension(written)


def test_llama3_says_what_becomes_of_its_factor():
    content = SHAPE | llama3(8.0, 131072)
    doubled = compose(read_extension(content), scaling_by_name("llama3", 2.0))
    assert (doubled.factor, doubled.context_tokens) == (16.0, 262144)
    assert "factor 8 becomes 16" in doubled.stated
    assert "serves 262144" in doubled.stated


# What one released config states, put into another: no reading supports all of it.
CONTRADICTIONS = {
    "a length between trained and served": linear(4.0, 4096, max_sequence_length=8192),
    "a ratio beside another factor": {"rope_condense_ratio": 8} | linear(4.0, 2048),
    "lengths without scaling": {"max_position_embeddings": 8192, "max_sequence_length": 2048},
    "a longer length without scaling": {"max_position_embeddings": 2048, "max_sequence_length": 16384},
    "yarn that serves less than stated": yarn(4.0, 4096, 65536),
    "llama3 that serves less than it was trained on": llama3(8.0, 4096),
    "dynamic over another window": {
        "rope_scaling": {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 4096},
        "max_position_embeddings": 8192,
    },
    "dynamic over a longer window than trained": {
        "rope_scaling": {"type": "dynamic", "factor": 2.0},
        "max_position_embeddings": 8192,
        "max_seq_len": 4096,
    },
    "yarn over nothing but the product": {
        "rope_scaling": {"type": "yarn", "factor": 4.0},
        "max_position_embeddings": 16384,
        "max_seq_len": 4096,
    },
    "linear over another window": {
        "rope_scaling": {"type": "linear", "factor": 4.0, "original_max_position_embeddings": 4096},
        "max_position_embeddings": 8192,
    },
    "code that says nothing": {"max_position_embeddings": 8192} | FLASH,
    "attention that folds positions": {
        "max_position_embeddings": 1010000,
        "dual_chunk_attention_config": {"chunk_size": 262144, "original_max_position_embeddings": 262144},
    },
    "Llama-2-7b, first config": {"max_position_embeddings": 2048, "max_length": 4096},
    "nothing at all": {},
    "linear over a rope_theta of unknown windows": linear(4.0, 16384, rope_theta=5e6),
    "scaling over nothing": {"rope_scaling": {"type": "linear", "factor": 4.0}},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_and_silence_are_refused_with_the_option_named(name):
    content = SHAPE | CONTRADICTIONS[name]
    with pytest.raises(RunError, match=r"^config\.json: ") as caught:
        read_extension(content)
    assert "\n" not in str(caught.value)
    if name == "a ratio beside another factor":
        return  # the factor itself is unknown, so no window would help
    assert "--window" in str(caught.value)
    said = read_extension(content, window_tokens=4096)
    assert said.window_tokens == 4096
    assert "--window" in said.stated
    config = LlamaConfig.from_dict(understood(content, window_tokens=4096))
    assert check_frequencies(LlamaRotaryEmbedding(config), config) == said
    assert said.original_tokens == (8192 if "llama3" in name else 4096)  # which its file states for the formula


@given(name=st.sampled_from(NAMES), window=st.sampled_from([1024, 2048, 5000, 8192, 50000]))
def test_what_is_said_of_the_window_holds_against_any_config(name, window):
    content = SHAPE | RELEASED[name].fields
    said = read_extension(content, window_tokens=window)
    config = LlamaConfig.from_dict(understood(content, window_tokens=window))
    assert said.window_tokens == window
    assert check_frequencies(LlamaRotaryEmbedding(config), config) == said
    method = said.method if said.method != "none" else "linear"
    assume(said.factor * window == said.context_tokens or method == "llama3")
    twice = compose(said, scaling_by_name(method, 2.0))
    again = read_extension(write_extension(content, twice))
    assert again == twice


@given(
    window=st.sampled_from([2048, 4096, 8192, 32768]),
    factor=st.sampled_from([2.0, 4.0, 8.0, 16.0]),
    key=st.sampled_from(["max_sequence_length", "model_max_length", "max_seq_len"]),
    kept=st.booleans(),
)
def test_a_second_length_decides_between_the_two_conventions(window, factor, key, kept):
    served = int(window * factor)
    positions, length = (window, served) if kept else (served, window)
    extension = read_extension(SHAPE | linear(factor, positions, **{key: length}))
    assert (extension.window_tokens, extension.context_tokens) == (window, served)


@given(
    window=st.sampled_from([2048, 4096]),
    method=st.sampled_from(["linear", "ntk", "dynamic", "yarn", "llama3"]),
    factor=st.sampled_from([1.0, 1.5, 3.0, 4.0]),
    positions=st.integers(1, 10**6),
)
def test_an_extended_folder_with_an_edited_length_is_never_misread(window, method, factor, positions):
    content = SHAPE | {"max_position_embeddings": window}
    ours = compose(read_extension(content), scaling_by_name(method, factor))
    edited = write_extension(content, ours) | {"max_position_embeddings": positions}
    assume(positions != ours.context_tokens)
    try:
        found = read_extension(edited)
    except UndecidedWindow:
        return
    # Only llama3 serves what max_position_embeddings states, whatever its factor.
    assert (found.window_tokens, found.method) == (window, "dynamic" if positions == window else "llama3")


@pytest.mark.parametrize("name", [name for name in NAMES if RELEASED[name].context <= 32768])
def test_fine_tuning_reads_the_same_window(name):
    released = RELEASED[name]
    content = SHAPE | released.fields
    method = released.method if released.method != "none" else "yarn"
    _, extension = extended(content, run(window_tokens=released.context, factor=2.0, method=method))
    assert extension.context_tokens == 2 * released.context
    same, plain = extended(content, run(window_tokens=released.context))
    assert told(plain) == released[1:]
    assert read_extension(same) == plain


def test_fine_tuning_takes_its_window_where_the_config_does_not_decide():
    contradictory = SHAPE | CONTRADICTIONS["a length between trained and served"]
    assert told(extended(contradictory, run(window_tokens=16384))[1]) == (4096, "linear", 4.0, 16384)
    silent = dict(SHAPE)
    content, extension = extended(silent, run(window_tokens=512))
    assert (extension.window_tokens, content["max_position_embeddings"]) == (512, 512)
    other_convention = SHAPE | linear(4.0, 16384)
    assert told(extended(other_convention, run(window_tokens=65536))[1]) == (16384, "linear", 4.0, 65536)


def test_fine_tuning_does_not_overrule_a_config_that_says_it_unless_told():
    content = SHAPE | {"max_position_embeddings": 4096}
    with pytest.raises(UsageError, match=r"a context of 4096 tokens, not 2048; set window_tokens=4096"):
        extended(content, run(window_tokens=2048))
    assert extended(content, run(window_tokens=2048, trained_window=2048))[1].window_tokens == 2048
    assert "trained_window" not in run(window_tokens=2048).as_json()


def folder_of(fields: dict, tiny_folder, path):
    shutil.copytree(tiny_folder, path)
    content = json.loads((path / "config.json").read_text())
    plain = {key: value for key, value in content.items() if "rope" not in key and key != "max_position_embeddings"}
    (path / "config.json").write_text(json.dumps(plain | fields))
    tokenizer = json.loads((path / "tokenizer.json").read_text())  # llama.cpp loads none without merges
    tokenizer["model"] |= {"vocab": {**tokenizer["model"]["vocab"], "th": 257}, "merges": [["t", "h"]]}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return path


def ending(capsys, *argv: object) -> tuple[int, str, str]:
    code = main([str(word) for word in argv])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name", ["vicuna-7b-v1.5-16k", "longchat-7b-16k, earlier", "SuperHOT-8K", "Llama-3.1-8B"])
def test_all_commands_agree_on_the_window(name, tiny_folder, tmp_path, capsys):
    released = RELEASED[name]
    folder = folder_of(released.fields, tiny_folder, tmp_path / "model")
    wanted = read_extension(SHAPE | released.fields).stated
    (tmp_path / "text.txt").write_text("The grass is green. " * 20)
    measure = ["--data", tmp_path / "text.txt", "--windows", 64]
    out = tmp_path / "out"
    commands = {
        "perplexity": ["--model", folder, *measure],
        "passkey": ["--model", folder, "--max-context", 400, "--positions", 2, "--trials", 1],
        "plan": ["--model", folder, "--context", released.context],
        "gguf": [folder, "--out", tmp_path / "model.gguf"],
    }
    for command, words in commands.items():
        code, text, err = ending(capsys, command, *words, "--json")
        assert code == 0, err
        assert json.loads(text)["window_from"] == wanted, command
    assert load_checkpoint(folder).extension.stated == wanted
    code, text, _ = ending(capsys, "extend", folder, "--factor", 2, "--method", released.method, "--out", out, "--json")
    answer = json.loads(text)
    assert (answer["window_tokens"], answer["context_tokens"]) == (released.window, 2 * released.context)
    assert load_checkpoint(out).extension.context_tokens == 2 * released.context


def test_every_command_asks_for_the_window_and_takes_it(tiny_folder, tmp_path, capsys):
    fields = CONTRADICTIONS["a length between trained and served"]
    folder = folder_of(fields, tiny_folder, tmp_path / "model")
    (tmp_path / "text.txt").write_text("The grass is green. " * 20)
    commands = {
        "perplexity": ["--model", folder, "--data", tmp_path / "text.txt", "--windows", 64],
        "passkey": ["--model", folder, "--max-context", 400, "--positions", 2, "--trials", 1],
        "plan": ["--model", folder, "--context", 16384],
        "gguf": [folder, "--out", tmp_path / "model.gguf"],
        "extend": [folder, "--factor", 2, "--out", tmp_path / "out"],
    }
    for command, words in commands.items():
        code, out, err = ending(capsys, command, *words, "--json")
        assert (code, out, len(err.splitlines())) == (1, "", 1), command
        assert "--window" in err
        assert not (tmp_path / "out").exists()
        code, out, err = ending(capsys, command, *words, "--json", "--window", 4096)
        assert code == 0, err
        assert "trained on 4096 tokens (said by --window" in json.loads(out)["window_from"]
    assert told(read_extension(json.loads((tmp_path / "out" / "config.json").read_text()))) == (
        4096, "linear", 8.0, 32768,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "said", "read"),
    [
        (RELEASED["vicuna-7b-v1.5-16k"].fields, {}, (4096, "linear", 8.0, 32768)),
        (CONTRADICTIONS["a length between trained and served"], {}, (4096, "linear", 8.0, 32768)),
        (SUPERHOT | {"max_sequence_length": 8192}, {"trained_window": 4096, "window_tokens": 8192},
         (4096, "linear", 4.0, 16384)),
    ],
)  # fmt: skip
def test_a_fine_tuned_folder_says_which_window_it_was_trained_on(fields, said, read, tiny_folder, tmp_path):
    folder = folder_of(fields, tiny_folder, tmp_path / "model")
    data = write_documents(tmp_path / "data.jsonl")
    short = {"sequence_tokens": 32, "steps": 1, "global_batch": 1, "warmup_steps": 0}
    trained(small_config(folder, data, **({"window_tokens": 16384} | short | said)), tmp_path / "run")
    content = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert told(read_extension(content)) == read
    assert {content["max_position_embeddings"], content["max_sequence_length"]} == {read[3]}
    assert told(load_checkpoint(tmp_path / "run" / "model").extension) == read


def test_the_plan_of_a_recipe_refuses_a_window_that_fine_tuning_would_refuse(tiny_folder, tmp_path):
    folder = folder_of(RELEASED["vicuna-7b-v1.5-16k"].fields, tiny_folder, tmp_path / "model")
    with pytest.raises(UsageError, match="a context of 16384 tokens, not 4096"):
        planning.architecture(run(model=str(folder), window_tokens=4096))
    assert planning.architecture(run(model=str(folder), window_tokens=16384)).hidden_size == 32


@pytest.mark.parametrize("name", ["longchat-7b-16k, earlier", "SuperHOT-8K"])
def test_positions_that_custom_code_scales_are_scaled_here(name, tiny_folder, tmp_path):
    released = RELEASED[name]
    folder = folder_of(released.fields, tiny_folder, tmp_path / "model")
    ids = torch.arange(1, 101)[None]
    base = load_checkpoint(tiny_folder).model
    expected = base(ids, position_ids=torch.arange(100)[None] / released.factor).logits
    torch.testing.assert_close(load_checkpoint(folder).model(ids).logits, expected, rtol=1e-4, atol=1e-5)
    extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    expected = base(ids, position_ids=torch.arange(100)[None] / (2 * released.factor)).logits
    torch.testing.assert_close(plain(ids).logits, expected, rtol=1e-4, atol=1e-5)


def test_code_that_scales_by_an_unknown_factor_needs_the_trained_window(tiny_folder, tmp_path):
    fields = {key: value for key, value in SUPERHOT.items() if key != "max_sequence_length"}
    folder = folder_of(fields, tiny_folder, tmp_path / "model")
    with pytest.raises(RunError, match=r"modeling_llama.LlamaModel in auto_map.*--window"):
        load_checkpoint(folder)
    assert told(load_checkpoint(folder, window_tokens=2048).extension) == (2048, "linear", 4.0, 8192)
    assert told(load_checkpoint(folder, window_tokens=8192).extension) == (8192, "none", 1.0, 8192)


def test_code_for_anything_but_the_model_is_nothing_to_ask_about():
    content = SHAPE | {"max_position_embeddings": 4096, "auto_map": {"AutoConfig": "configuration_llama.LlamaConfig"}}
    assert read_extension(content).window_tokens == 4096


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_config_file_and_transformers_config_of_it_are_read_alike(kind):
    for name in NAMES:
        content = SHAPE | {"head_dim": 8} | RELEASED[name].fields | {"model_type": kind}
        config = AutoConfig.for_model(**deepcopy(understood(content)))
        assert told(read_extension(config)) == told(read_extension(content))
        assert read_extension(config).head_dim == read_extension(content).head_dim


def test_what_is_written_reads_the_same_with_every_version_of_transformers(tiny_folder, tmp_path):
    """transformers 4 has no rope_parameters, and warns of a rope_theta inside rope_scaling."""
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "out")
    content = json.loads((tmp_path / "out" / "config.json").read_text())
    assert content["rope_scaling"] == {"rope_type": "linear", "type": "linear", "factor": 2.0}
    assert content["rope_theta"] == 10000.0


def test_a_window_of_nothing_is_wrong_usage():
    with pytest.raises(UsageError, match="at least 1 token"):
        read_extension(random_llama().config, window_tokens=0)
