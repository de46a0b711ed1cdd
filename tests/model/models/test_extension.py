"""Extending a checkpoint changes how positions are scaled and nothing else."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from pi_model.errors import RunError, UsageError
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint, random_llama
from pi_theory.scaling import METHODS, DynamicNTK, LinearPI, scaling_by_name

IDS = torch.arange(1, 101)[None]  # beyond the tiny model's 64


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"none"}))
def test_the_extended_folder_loads_in_plain_transformers_to_the_same_logits(method, tiny_folder, tmp_path):
    extend_checkpoint(tiny_folder, scaling_by_name(method, 2.0), tmp_path / "out")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ours = load_checkpoint(tmp_path / "out").model
    with torch.inference_mode():
        torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=0, atol=0)
    base = load_checkpoint(tiny_folder).model
    with torch.inference_mode():
        assert not torch.allclose(base(IDS).logits, theirs(IDS).logits)


def test_interpolation_is_the_same_model_at_positions_divided_by_the_factor(tiny_folder, tmp_path):
    extend_checkpoint(tiny_folder, LinearPI(4.0), tmp_path / "out")
    base, extended = load_checkpoint(tiny_folder).model, load_checkpoint(tmp_path / "out").model
    with torch.inference_mode():
        expected = base(IDS, position_ids=torch.arange(100)[None] / 4).logits
        torch.testing.assert_close(extended(IDS).logits, expected, rtol=1e-4, atol=1e-5)


def test_a_bfloat16_load_keeps_its_frequencies_in_float32(tiny_folder):
    checkpoint = load_checkpoint(tiny_folder, dtype="bfloat16")
    assert checkpoint.model.dtype == torch.bfloat16
    assert checkpoint.model.model.rotary_emb.inv_freq.dtype == torch.float32


def test_weights_and_tokenizer_are_copied_bit_for_bit(tiny_folder, tmp_path):
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "out")
    for path in tiny_folder.iterdir():
        if path.name not in ("config.json", "tokenizer_config.json"):
            assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name


def test_only_the_positions_of_the_config_change(tiny_folder, tmp_path):
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "out")
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (tiny_folder, tmp_path / "out"))
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    positions = {"rope_parameters", "rope_scaling", "rope_theta", "max_position_embeddings", "position_interpolation"}
    assert changed == positions | {"torch_dtype"}  # the name that older versions of transformers have for dtype


def test_a_saved_folder_reloads_bit_equal(tiny_folder, tmp_path):
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "out")
    load_checkpoint(tmp_path / "out").model.save_pretrained(tmp_path / "again")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert load_checkpoint(tmp_path / "out").extension == (
        load_checkpoint_with_tokenizer(tmp_path / "again", tmp_path / "out").extension
    )


def load_checkpoint_with_tokenizer(folder: Path, tokenizer_from: Path):
    AutoTokenizer.from_pretrained(tokenizer_from).save_pretrained(folder)
    return load_checkpoint(folder)


def test_extending_twice_multiplies_and_leaves_the_first_alone(tiny_folder, tmp_path):
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "two")
    extension = extend_checkpoint(tmp_path / "two", LinearPI(4.0), tmp_path / "eight")
    assert (extension.factor, extension.window_tokens, extension.context_tokens) == (8.0, 64, 512)
    assert load_checkpoint(tmp_path / "two").extension.factor == 2.0


def test_sharded_checkpoints_are_copied_whole(tiny_model, tiny_folder, tmp_path):
    sharded = tmp_path / "sharded"
    shutil.copytree(tiny_folder, sharded)
    (sharded / "model.safetensors").unlink()
    tiny_model.save_pretrained(sharded, max_shard_size="50KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    extend_checkpoint(sharded, LinearPI(2.0), tmp_path / "out")
    load_checkpoint(tmp_path / "out")
    next(iter(sorted(sharded.glob("*.safetensors")))).unlink()
    with pytest.raises(RunError, match="weights are missing"):
        extend_checkpoint(sharded, LinearPI(2.0), tmp_path / "other")


def broken(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "broken")
    return tmp_path / "broken"


def test_truncated_weights_are_refused_by_file(tiny_folder, tmp_path):
    folder = broken(tiny_folder, tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"model.safetensors: truncated or not safetensors"):
        extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pickled_weights_are_refused(tiny_folder, tmp_path):
    folder = broken(tiny_folder, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(RunError, match="convert them to safetensors"):
        load_checkpoint(folder)


def test_a_missing_weight_is_refused_by_name(tiny_folder, tmp_path):
    folder = broken(tiny_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(RunError, match=r"weights are missing, the first is model\.layers\.2"):
        load_checkpoint(folder)


def test_a_weight_of_another_shape_is_refused_by_name(tiny_folder, tmp_path):
    folder = broken(tiny_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(RunError, match="has shape"):
        load_checkpoint(folder)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tiny_folder, tmp_path):
    folder = broken(tiny_folder, tmp_path)
    random_llama(vocab_size=100).save_pretrained(folder)
    with pytest.raises(RunError, match="the tokenizer does not match"):
        load_checkpoint(folder)


def test_another_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(RunError, match="supported are llama, mistral, qwen2, qwen3"):
        load_checkpoint(tmp_path)


def test_a_source_that_is_nothing_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        load_checkpoint(tmp_path / "nowhere" / "at" / "all")


def test_a_broken_gguf_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"not a model")
    with pytest.raises(RunError, match="not a readable GGUF file") as caught:
        load_checkpoint(tmp_path / "model.gguf")
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing_behind(tiny_folder, tmp_path, monkeypatch):
    def full(source, target):
        Path(target).write_bytes(b"part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(RunError, match="No space left on device"):
        extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "out" / "deep")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_in_use_is_not_written_to(tiny_folder, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_generation_follows_the_extended_positions_token_by_token(tiny_folder, tmp_path):
    """Greedy generation with a cache equals whole passes: the cache holds nothing of the unscaled positions."""
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "out")
    model = LlamaForCausalLM.from_pretrained(tmp_path / "out")
    ids = IDS
    for _ in range(5):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    made = model.generate(
        IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=5, do_sample=False, eos_token_id=None
    )
    assert torch.equal(made, ids)


def test_dynamic_scaling_changes_nothing_inside_the_trained_window(tiny_folder, tmp_path):
    extend_checkpoint(tiny_folder, DynamicNTK(2.0), tmp_path / "out")
    base, extended = load_checkpoint(tiny_folder).model, load_checkpoint(tmp_path / "out").model
    with torch.inference_mode():
        torch.testing.assert_close(extended(IDS[:, :64]).logits, base(IDS[:, :64]).logits, rtol=0, atol=0)
