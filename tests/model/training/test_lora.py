"""Training of adapters: nothing else changes, and the exported model is the one that was trained."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from transformers import LlamaForCausalLM

from pi_model.data.documents import Selection, Source, load_documents
from pi_model.errors import RunError
from pi_model.evaluation.perplexity import sliding_perplexity
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint
from pi_model.training.config import Evaluation, Lora
from pi_model.training.lora import add_adapters, merged, peft_config, with_first_adapters
from pi_theory.scaling import LinearPI
from tests.model.small_runs import run, small_config, trained, write_documents

CLOSE = {"rtol": 2e-5, "atol": 0}


@pytest.fixture(scope="module")
def reference(tiny_folder, tmp_path_factory):
    """A whole run with adapters and evaluations: its config, its folder's parent and its losses."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("lora")
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        data = write_documents(folder / "documents.jsonl")
        asked = Evaluation(steps=(0, 6), data=str(data), windows=(128,), stride=64, samples=3)
        lora = Lora(rank=4, alpha=6.0, targets=("q_proj", "v_proj", "down_proj"))
        config = small_config(tiny_folder, data, lora=lora, peak_lr=1e-2, evaluation=asked)
        return config, folder, trained(config, folder / "whole")


@pytest.fixture(autouse=True)
def same_cache(reference, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(reference[1] / "cache"))


def perplexity_loss(folder, data) -> float:
    checkpoint = load_checkpoint(folder)
    source = Source(str(data), split="validation")
    documents = load_documents(source, checkpoint.tokenizer, Selection(128, 32768, samples=3))
    return sliding_perplexity(checkpoint.model, documents.tokens, windows=[128], stride=64)[0].loss_nats


def test_training_starts_from_the_base_model_and_ends_in_the_exported_one(reference, tiny_folder, tmp_path):
    config, folder, whole = reference
    live = [json.loads(line) for line in (folder / "whole/evaluations.jsonl").read_text().splitlines()]
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "extended")
    data = config.data[0].name
    assert math.isclose(live[0]["loss_nats"]["128"], perplexity_loss(tmp_path / "extended", data), rel_tol=1e-6)
    assert math.isclose(live[1]["loss_nats"]["128"], perplexity_loss(folder / "whole/model", data), rel_tol=1e-6)
    assert whole[-1] < whole[0] - 0.1


def test_only_target_layers_change_and_the_base_has_no_checkpoint(reference, tiny_folder):
    config, folder, _ = reference
    before = load_file(tiny_folder / "model.safetensors")
    after = load_file(folder / "whole/model/model.safetensors")
    for name, weight in before.items():
        assert torch.equal(after[name], weight) != any(target in name for target in config.lora.targets), name
    saved = FileSystemReader(folder / "whole/checkpoints/step-00000006").read_metadata().state_dict_metadata
    tensors = [name for name, kind in saved.items() if isinstance(kind, TensorStorageMetadata)]
    assert len(tensors) == 2 * 3 * 2 * 4  # A and B of three layers twice: weight, two moments and their step
    assert all("lora_" in name for name in tensors)


# peft asks transformers by a name that it is about to lose.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_peft_itself_loads_the_adapter(reference, tiny_folder, tmp_path):
    _, folder, _ = reference
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "extended")
    base = LlamaForCausalLM.from_pretrained(tmp_path / "extended", dtype=torch.float32)
    theirs = PeftModel.from_pretrained(base, folder / "whole/adapter").eval()
    ours = load_checkpoint(folder / "whole/model").model
    ids = torch.arange(100)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=1e-5, atol=1e-5)
        with theirs.disable_adapter():
            assert not torch.allclose(ours(ids).logits, theirs(ids).logits, atol=1e-2)


def test_merging_is_the_adapted_forward_pass(tiny_model):
    lora = Lora(rank=3, alpha=5.0, targets=("k_proj", "gate_proj"))
    adapted = LlamaForCausalLM(tiny_model.config)
    add_adapters(adapted, lora)
    read = with_first_adapters(tiny_model.state_dict().__getitem__, lora, seed=1)
    draw = torch.Generator().manual_seed(0)
    adapted.to_empty(device="cpu")
    adapted.model.rotary_emb = tiny_model.model.rotary_emb
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw) if "lora_B" in name else read(name))
            assert weight.requires_grad == ("lora_" in name)
    plain = LlamaForCausalLM(tiny_model.config)
    plain.load_state_dict(merged(dict(adapted.state_dict()), lora))
    ids = torch.arange(60)[None]
    with torch.no_grad():
        torch.testing.assert_close(adapted.eval()(ids).logits, plain.eval()(ids).logits, rtol=1e-4, atol=1e-4)


def test_two_processes_are_one(reference, tmp_path):
    config, _, whole = reference
    np.testing.assert_allclose(trained(config, tmp_path / "two", processes=2), whole, **CLOSE)


def test_what_fits_the_hardware_does_not_change_the_result(reference, tmp_path):
    config, _, whole = reference
    other = replace(config, micro_batch=2, activation_checkpointing="selective")
    np.testing.assert_allclose(trained(other, tmp_path / "other"), whole, **CLOSE)


def test_a_killed_run_goes_on_bit_for_bit_dropout_included(reference, tmp_path):
    config = replace(reference[0], lora=replace(reference[0].lora, dropout=0.3), evaluation=Evaluation())
    whole = trained(config, tmp_path / "whole")
    assert whole != reference[2]
    assert run(config, tmp_path / "killed", kill_at=3) == ("killed", None)
    assert trained(config, tmp_path / "killed") == whole


def test_bfloat16_follows_float32_with_a_frozen_base_in_bfloat16(reference, tmp_path):
    config, _, whole = reference
    half = replace(config, dtype="bfloat16", evaluation=Evaluation())
    np.testing.assert_allclose(trained(half, tmp_path / "bfloat16"), whole, rtol=2e-2)


def test_adapters_of_another_base_are_refused(reference, tiny_folder, tmp_path):
    config, _, _ = reference
    base = tmp_path / "base"
    base.mkdir()
    for path in tiny_folder.iterdir():
        (base / path.name).write_bytes(path.read_bytes())
    config = replace(config, model=str(base), steps=2, evaluation=Evaluation())
    trained(config, tmp_path / "out")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    status, message = run(replace(config, steps=4), tmp_path / "out")
    assert status == "RunError"
    assert "of another run, whose base_sha256 was" in message


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RunError, match="lora: needs a package: pip install peft"):
        peft_config(Lora())
