"""Which weights a folder has is one rule for every reader, and what is no whole model is refused in one line."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pi_model.errors import RunError
from pi_model.models.config_file import check_content, read_config
from pi_model.models.extension import extend_checkpoint
from pi_model.models.families import FAMILIES
from pi_model.models.loading import check_folder, load_checkpoint, random_llama
from pi_model.models.weights import INDEX, SINGLE, stored_weights, weight_dtype, weight_files
from pi_model.training.preparation import prepare, weight_reader
from pi_theory.scaling import LinearPI
from tests.model.conftest import byte_tokenizer
from tests.model.small_runs import small_config, write_documents


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def edit(path: Path, **changes) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))


def shard(folder: Path, weights: dict[str, torch.Tensor], files: int = 2) -> None:
    """Write weights into several files with an index."""
    place = {name: f"model-{n % files + 1:05}-of-{files:05}.safetensors" for n, name in enumerate(sorted(weights))}
    for file in set(place.values()):
        held = {name: weight.clone() for name, weight in weights.items() if place[name] == file}
        save_file(held, folder / file, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": place}))


def read_by_all(folder: Path, tmp_path: Path) -> list[torch.Tensor]:
    """One weight as plain transformers, evaluation, training, and a client of the extended folder read it."""
    name = "model.layers.1.mlp.up_proj.weight"
    config = small_config(folder, write_documents(tmp_path / "documents.jsonl"))
    extend_checkpoint(folder, LinearPI(2.0), tmp_path / "extended")
    return [
        AutoModelForCausalLM.from_pretrained(folder).state_dict()[name],
        load_checkpoint(folder).model.state_dict()[name],
        weight_reader(config, prepare(config, tmp_path / "run"))(name),
        AutoModelForCausalLM.from_pretrained(tmp_path / "extended").state_dict()[name],
    ]


@pytest.mark.parametrize("stale", ["single", "index", "shard"])
def test_stale_files_are_read_by_nobody_and_named(stale, folder, tmp_path, capsys):
    weights = load_file(folder / SINGLE)
    name = "model.layers.1.mlp.up_proj.weight"
    if stale == "single":  # two whole sets; transformers reads the single file
        shard(folder, {key: weight + 1 for key, weight in weights.items()})
        named = {INDEX, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    elif stale == "index":  # saved in one file over a sharded folder, whose shards are gone
        shard(folder, weights)
        for path in folder.glob("model-*.safetensors"):
            path.unlink()
        named = {INDEX}
    else:  # saved in fewer shards than before
        (folder / SINGLE).unlink()
        shard(folder, weights)
        save_file({name: weights[name] + 1}, folder / "model-00003-of-00003.safetensors")
        named = {"model-00003-of-00003.safetensors"}
    kept = {path.name for path in weight_files(folder)}
    for read in read_by_all(folder, tmp_path):
        assert torch.equal(read, weights[name])
    assert {path.name for path in weight_files(tmp_path / "extended")} == kept
    assert not named & {path.name for path in (tmp_path / "extended").iterdir()}
    warned = capsys.readouterr().err
    assert "not read" in warned
    assert all(one in warned for one in named)


def test_the_fingerprint_follows_the_weights_that_are_read(folder):
    shard(folder, load_file(folder / SINGLE))
    before = load_checkpoint(folder).fingerprint()
    (folder / "model-00001-of-00002.safetensors").touch()
    assert load_checkpoint(folder).fingerprint() == before
    shutil.copy(folder / SINGLE, folder / "moved")
    (folder / "moved").replace(folder / SINGLE)
    assert load_checkpoint(folder).fingerprint() != before


INDICES = {
    "no map": {"metadata": {}},
    "a map that is a list": {"weight_map": ["model.safetensors"]},
    "an empty map": {"weight_map": {}},
    "another folder's file": {"weight_map": {"a": "../model.safetensors"}},
    "pickled": {"weight_map": {"a": "pytorch_model.bin"}},
    "a number": {"weight_map": {"a": 1}},
    "a list": [1],
}


@pytest.mark.parametrize("content", INDICES.values(), ids=INDICES)
def test_a_broken_index_is_refused_in_one_line(content, folder):
    (folder / SINGLE).unlink()
    (folder / INDEX).write_text(json.dumps(content))
    with pytest.raises(RunError, match=INDEX) as caught:
        check_folder(folder)
    assert "\n" not in str(caught.value)


def test_a_weight_in_two_files_and_shards_without_an_index_are_refused(folder):
    weights = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    shard(folder, weights)
    first = folder / "model-00001-of-00002.safetensors"
    save_file(weights, first)
    with pytest.raises(RunError, match="both hold"):
        check_folder(folder)
    (folder / INDEX).unlink()
    with pytest.raises(RunError, match="fetch the index"):
        check_folder(folder)


def test_weights_that_the_config_has_no_place_for_are_refused(folder):
    weights = load_file(folder / SINGLE)
    save_file(weights | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}, folder / SINGLE)
    with pytest.raises(RunError, match=r"no place for 1 of the weights.*q_proj\.bias.*attention_bias"):
        check_folder(folder)


def test_stored_rotary_frequencies_are_no_weights(folder):
    weights = load_file(folder / SINGLE)
    save_file(weights | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}, folder / SINGLE)
    check_folder(folder)


QUANTISED = {
    "FP8": {"quantization_config": {"quant_method": "fp8"}},
    "int8": {"quantization_config": {"load_in_8bit": True, "quant_method": "bitsandbytes"}},
    "GPTQ": {"quantization_config": {"bits": 4, "quant_method": "gptq"}},
    "AWQ": {"quantization_config": {"bits": 4, "quant_method": "awq", "version": "gemm"}},
    "bnb-4bit": {"quantization_config": {"load_in_4bit": True}},
    "MLX": {"quantization": {"group_size": 64, "bits": 4}},
    "compressed-tensors": {"compression_config": {"format": "pack-quantized"}},
}


@pytest.mark.parametrize("stated", QUANTISED.values(), ids=QUANTISED)
def test_a_quantised_folder_is_refused_by_that_word(stated, folder):
    edit(folder / "config.json", **stated)
    with pytest.raises(RunError, match=r"quantised .*; give the checkpoint that was quantised"):
        load_checkpoint(folder)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "int8", "uint8", "int32", "uint32", "int64"])
@pytest.mark.parametrize("hidden", [False, True], ids=["in place", "packed"])
def test_codes_in_place_of_weights_are_quantised_whatever_the_config_says(dtype, hidden, folder):
    weights = load_file(folder / SINGLE)
    name = "model.layers.0.mlp.up_proj.weight"
    codes = torch.zeros_like(weights.pop(name)).to(getattr(torch, dtype))
    save_file(weights | {name.replace("weight", "qweight") if hidden else name: codes}, folder / SINGLE)
    with pytest.raises(RunError, match="quantised"):
        check_folder(folder)


def test_an_adapter_is_not_a_model(tiny_folder, tmp_path):
    for name in ("alone", "beside a model"):
        folder = tmp_path / name
        folder.mkdir()
        if name != "alone":
            shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "elsewhere"}')
        for read in (load_checkpoint, check_folder, read_config):
            with pytest.raises(RunError, match=r"adapters.*merge"):
                read(folder)


def test_an_adapter_without_any_config_is_refused_as_one(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(RunError, match=r"adapters.*merge"):
        load_checkpoint(tmp_path)


def test_adapters_among_the_weights_are_refused(folder):
    weights = load_file(folder / SINGLE)
    save_file(weights | {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(2, 32)}, folder / SINGLE)
    with pytest.raises(RunError, match="merge"):
        check_folder(folder)


def test_a_sentencepiece_tokenizer_alone_names_its_package(folder, monkeypatch):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\x0a\x00")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match="pip install sentencepiece"):
        load_checkpoint(folder)


@pytest.mark.parametrize("same", [True, False])
def test_a_head_stored_beside_a_tied_embedding_must_be_the_same(same, tmp_path):
    folder = tmp_path / "tied"
    model = random_llama(vocab_size=260, tie_word_embeddings=True)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    weights = load_file(folder / SINGLE)
    assert "lm_head.weight" not in weights
    head = weights["model.embed_tokens.weight"].clone()
    head[3, 5] += 0 if same else 1
    save_file(weights | {"lm_head.weight": head}, folder / SINGLE)
    if same:
        loaded = load_checkpoint(folder).model
        assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
        extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
        again = load_file(tmp_path / "out" / SINGLE)
        assert again.keys() == weights.keys()
        assert all(torch.equal(again[name], weights[name]) for name in weights)
    else:
        with pytest.raises(RunError, match=r"lm_head\.weight is not the embedding.*tie_word_embeddings to false"):
            load_checkpoint(folder)


@pytest.mark.parametrize("files", [2, 30])  # with 30, the head is alone in its file
def test_a_tied_head_in_a_file_of_an_index_is_left_out_of_the_copy(files, tmp_path):
    folder = tmp_path / "tied"
    random_llama(vocab_size=260, tie_word_embeddings=True).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    weights = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    shard(folder, weights | {"lm_head.weight": weights["model.embed_tokens.weight"]}, files)
    extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    assert stored_weights(tmp_path / "out").keys() == weights.keys()
    held = {path.name for path in (tmp_path / "out").glob("*.safetensors")}
    assert held == {path.name for path in weight_files(tmp_path / "out")}


FIELDS = sorted(random_llama().config.to_dict())


@settings(max_examples=150)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    changes=st.dictionaries(
        st.sampled_from(FIELDS),
        st.sampled_from([None, True, 0, -1, 3, 2.5, 10**6, 10**30, float("nan"), "x", "", [], {}, [0], {"x": 1}]),
        min_size=1,
        max_size=2,
    ),
)
def test_any_value_in_a_config_is_refused_in_one_line_or_understood(family, changes, tiny_folder):
    content = json.loads((tiny_folder / "config.json").read_text()) | {"model_type": family} | changes
    try:
        check_content(tiny_folder, content)
        check_folder(tiny_folder, content)
    except RunError as error:
        refused = str(error)
    else:
        refused = ""
    assert "\n" not in refused


@settings(max_examples=20)
@given(
    old=st.sampled_from(["float32", "float16", "bfloat16", "torch.float16", None]),
    new=st.sampled_from(["float16", None]),
)
def test_the_dtype_is_what_the_config_states_or_else_what_is_stored(old, new, tiny_folder):
    content = {"torch_dtype": old, "dtype": new}
    if None not in (old, new) and old.removeprefix("torch.") != new:
        with pytest.raises(RunError, match="contradict each other"):
            weight_dtype(tiny_folder, content)
        return
    assert weight_dtype(tiny_folder, content) == (new or (old or "float32").removeprefix("torch."))


def test_an_unknown_dtype_is_refused(tiny_folder):
    with pytest.raises(RunError, match="dtype 'int4' is unknown; use one of"):
        weight_dtype(tiny_folder, {"torch_dtype": "int4"})
