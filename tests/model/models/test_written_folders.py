"""What is written is right in every version of transformers: all copies of a fact agree, and nothing else is copied."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from pi_model.errors import RunError, UsageError
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint, random_llama
from pi_model.models.rope_fields import LENGTH_KEYS
from pi_model.models.rope_parameters import read_extension
from pi_model.models.written_folder import check_written
from pi_model.training.lora import Lora
from pi_theory.scaling import METHODS, LinearPI, NoScaling, scaling_by_name
from tests.model.small_runs import small_config, trained, write_documents

METHOD_NAMES = sorted(METHODS.keys() - {"none"})
OLD, NEW = 64, 128  # the tiny model's window, and twice that


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def edit(path: Path, *without: str, **changes) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in without} | changes))


def lengths(folder: Path) -> dict[str, object]:
    """Every length that a folder states, by plain transformers where that reads it."""
    content = json.loads((folder / "config.json").read_text())
    found = {key: content[key] for key in ("max_length", *LENGTH_KEYS) if key in content}
    if "max_length" in json.loads((folder / "generation_config.json").read_text()):
        found["generation"] = GenerationConfig.from_pretrained(folder).max_length
    found["tokenizer"] = AutoTokenizer.from_pretrained(folder).model_max_length
    if truncation := json.loads((folder / "tokenizer.json").read_text())["truncation"]:
        found["truncation"] = truncation["max_length"]
    return found


LENGTHS = st.none() | st.sampled_from([20, OLD - 1, OLD, NEW, 4096])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(METHOD_NAMES),
    in_config=st.dictionaries(st.sampled_from(["max_length", *LENGTH_KEYS]), st.sampled_from([None, OLD]), max_size=3),
    generation=LENGTHS,
    tokenizer=LENGTHS,
    truncation=LENGTHS,
)
def test_all_stated_lengths_become_the_extended_window(
    method, in_config, generation, tokenizer, truncation, tiny_folder, tmp_path
):
    shutil.rmtree(tmp_path / "model", ignore_errors=True)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    edit(folder / "config.json", **in_config)
    if generation:
        edit(folder / "generation_config.json", max_length=generation)
    if tokenizer:
        edit(folder / "tokenizer_config.json", model_max_length=tokenizer)
    if truncation:
        cut = {"max_length": truncation, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
        edit(folder / "tokenizer.json", truncation=cut)
    extend_checkpoint(folder, scaling_by_name(method, 2.0), tmp_path / "out")
    for where, value in lengths(tmp_path / "out").items():
        unlimited = value is None or (where == "tokenizer" and tokenizer is None)
        assert value == NEW or (unlimited and value == lengths(folder)[where]), where
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert config.max_position_embeddings == (OLD if method == "dynamic" else NEW)


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_generate_goes_on_from_a_prompt_longer_than_the_old_window(method, folder, tmp_path):
    edit(folder / "generation_config.json", max_length=OLD)
    prompt = torch.arange(1, 101)[None]
    with pytest.raises(ValueError, match="max_length"):
        generate(folder, prompt)
    extend_checkpoint(folder, scaling_by_name(method, 2.0), tmp_path / "out")
    assert generate(tmp_path / "out", prompt).shape == (1, NEW)


def generate(folder: Path, prompt: torch.Tensor) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder)
    return model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, eos_token_id=None, pad_token_id=0
    )


def test_a_tokenizer_keeps_its_tokens_under_the_names_of_both_versions(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<x>", "<y>"]})
    tokenizer.save_pretrained(folder)
    grown = random_llama(vocab_size=len(tokenizer))
    grown.save_pretrained(folder)
    extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    content = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert content["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert content["additional_special_tokens"] == ["<x>", "<y>"]
    assert "extra_special_tokens" not in content
    again = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again.all_special_tokens == tokenizer.all_special_tokens
    assert again("a<x>b")["input_ids"] == tokenizer("a<x>b")["input_ids"]


RUBBISH = [
    *("checkpoint-500/model.safetensors", "original/consolidated.00.pth", "onnx/model.onnx", "runs/events.1"),
    *("consolidated.00.pth", "pytorch_model.bin", "pytorch_model.bin.index.json", "model.gguf", "optimizer.pt"),
    *("trainer_state.json", "configuration_llama.py", ".cache/huggingface/x", ".git/HEAD", "run.json", "steps.jsonl"),
    *("adapter/adapter_model.safetensors", "tokenizer.json.orig", "events.out.tfevents.1", "tf_model.h5"),
]
BELONGING = ["LICENSE", "README.md", "tokenizer.model", "merges.txt", "chat_template.jinja", "training.json"]


def test_only_what_belongs_to_a_model_is_copied(folder, tmp_path):
    before = {path.name for path in folder.iterdir()}
    for name in [*RUBBISH, *BELONGING, "additional_chat_templates/rag.jinja"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    edit(folder / "config.json", auto_map={"AutoConfig": "configuration_llama.LlamaConfig"})
    extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == before | {*BELONGING, "additional_chat_templates"}
    assert "auto_map" not in json.loads((tmp_path / "out" / "config.json").read_text())


@pytest.mark.parametrize("inside", ["extended", "a/b", "../model/out", "../link/out"])
def test_a_folder_inside_its_own_source_is_refused_before_work(inside, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    (folder / "model.safetensors").unlink()  # so that any work would fail
    before = sorted(folder.rglob("*"))
    data = write_documents(tmp_path / "documents.jsonl")
    with pytest.raises(UsageError, match=r"out: .* is inside"):
        extend_checkpoint(folder, LinearPI(2.0), folder / inside)
    if inside == "extended":
        from pi_model.training.preparation import prepare

        with pytest.raises(UsageError, match=r"out: .* is inside"):
            prepare(small_config(folder, data), folder / inside)
    assert sorted(folder.rglob("*")) == before


CONTRADICTIONS = {
    "dtype": ("config.json", {"dtype": "bfloat16"}),
    "torch_dtype": ("config.json", {"torch_dtype": "float16"}),
    "max_position_embeddings": ("config.json", {"max_position_embeddings": OLD}),
    "max_length": ("config.json", {"max_length": OLD}),
    "max_sequence_length": ("config.json", {"max_sequence_length": 2 * NEW}),
    "rope_theta": ("config.json", {"rope_theta": 20000.0}),
    "rope_scaling": ("config.json", {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    "no rope_scaling": ("config.json", {"rope_scaling": None}),
    "rope_parameters": ("config.json", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    "generation": ("generation_config.json", {"max_length": OLD}),
    "tokenizer": ("tokenizer_config.json", {"model_max_length": OLD}),
    "truncation": ("tokenizer.json", {"truncation": {"max_length": OLD}}),
}


@pytest.mark.parametrize(("file", "change"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_the_check_finds_every_copy_that_contradicts_the_others(file, change, folder, tmp_path):
    extension = extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    check_written(tmp_path / "out", extension)
    edit(tmp_path / "out" / file, **change)
    with pytest.raises(RunError) as caught:
        check_written(tmp_path / "out", extension)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["rope_theta", "rope_parameters", "rope_scaling", "torch_dtype", "dtype"])
def test_the_check_misses_no_spelling_that_was_not_written(key, folder, tmp_path):
    extension = extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    edit(tmp_path / "out" / "config.json", key)
    with pytest.raises(RunError):
        check_written(tmp_path / "out", extension)


def test_a_wrong_folder_never_appears(folder, tmp_path, monkeypatch):
    edit(folder / "generation_config.json", max_length=OLD)
    monkeypatch.setattr("pi_model.models.extension.fit_companions", lambda *_: None)
    with pytest.raises(RunError, match=r"longest context .* max_length in generation_config.json \(128 and 64\)"):
        extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out" / "deep")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_companion_that_is_no_json_object_is_refused(name, text, folder, tmp_path):
    (folder / name).write_text(text)
    with pytest.raises(RunError) as caught:
        extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def kinds(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize(
    ("method", "lora"), [("linear", None), ("none", None), ("yarn", Lora(rank=2, alpha=2.0, targets=("q_proj",)))]
)
def test_finetuning_exports_what_the_config_of_its_model_states(method, lora, folder, tmp_path):
    """Half precision by its old name, no max_position_embeddings, and the old window in every companion."""
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight.half() for name, weight in weights.items()}, folder / "model.safetensors")
    edit(folder / "config.json", "dtype", torch_dtype="float16", max_length=OLD)
    edit(folder / "generation_config.json", max_length=OLD)
    edit(folder / "tokenizer_config.json", model_max_length=OLD)
    changes = {"steps": 1, "method": method, "lora": lora}
    trained(small_config(folder, write_documents(tmp_path / "documents.jsonl"), **changes), tmp_path / "run")
    out = tmp_path / "run" / "model"
    content = json.loads((out / "config.json").read_text())
    assert (content["dtype"], content["torch_dtype"], kinds(out)) == ("float16", "float16", {"F16"})
    assert set(lengths(out).values()) == {NEW}
    assert generate(out, torch.arange(1, 101)[None]).shape == (1, NEW)
    extension = load_checkpoint(out).extension
    assert extension.context_tokens == NEW
    assert isinstance(extension.scaling, NoScaling) == (method == "none")


def test_a_config_without_a_window_trains_to_the_end(tiny_folder, tmp_path):
    """transformers' own default is a window of 2048 tokens."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    edit(folder / "config.json", "max_position_embeddings", "dtype")
    data = write_documents(tmp_path / "documents.jsonl")
    config = small_config(folder, data, steps=1, window_tokens=2048, factor=2.0, sequence_tokens=64)
    trained(config, tmp_path / "run")
    out = tmp_path / "run" / "model"
    assert read_extension(AutoConfig.from_pretrained(out)).context_tokens == 4096
    assert kinds(out) == {"F32"}
