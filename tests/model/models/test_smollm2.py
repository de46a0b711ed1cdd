"""A real checkpoint on real text. The numbers here were measured; a broken conversion would not give them."""

import pytest
import torch

from pi_model.data.documents import Selection, Source, load_documents
from pi_model.evaluation.passkey import passkey
from pi_model.evaluation.perplexity import sliding_perplexity, truncated_perplexity
from pi_model.files import sha256_file
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint
from pi_model.training.loop import train
from pi_model.training.overrides import override
from pi_model.training.preparation import prepare
from pi_model.training.recipes import recipe
from pi_model.training.run_log import read_log
from pi_theory.scaling import LinearPI, NoScaling

pytestmark = [pytest.mark.slow, pytest.mark.shared_cache]


@pytest.fixture(scope="module")
def smollm2():
    return load_checkpoint("smollm2-135m")


@pytest.fixture(scope="module")
def interpolated(tmp_path_factory):
    """SmolLM2 with its positions interpolated, not trained."""
    folder = tmp_path_factory.mktemp("extended") / "pi"
    extend_checkpoint("smollm2-135m", LinearPI(2.0), folder)
    return load_checkpoint(folder)


@pytest.fixture(scope="module")
def hamlet_like(smollm2):
    return load_documents(Source("books"), smollm2.tokenizer, Selection(512, 512, samples=1)).tokens


@pytest.fixture(scope="module")
def full_context(smollm2, hamlet_like):
    """The perplexity of the text in one window."""
    (result,) = truncated_perplexity(smollm2.model, hamlet_like, windows=[512])
    return result


def test_it_is_the_published_architecture_with_ordinary_weights(smollm2):
    config = smollm2.model.config
    assert (config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads) == (30, 9, 3)
    assert (config.head_dim, config.vocab_size, config.tie_word_embeddings) == (64, 49152, True)
    extension = smollm2.extension
    assert (extension.scaling, extension.window_tokens, extension.base) == (NoScaling(), 8192, 100000.0)
    assert smollm2.bos_id is None
    assert (smollm2.folder / "model.safetensors").is_file()
    assert not hasattr(config, "quantization_config")


def test_its_files_are_those_that_the_records_were_made_with(smollm2):
    """Whichever version of transformers is installed."""
    hashes = {name: sha256_file(smollm2.folder / name) for name in ("model.safetensors", "tokenizer.json")}
    assert hashes == {
        "model.safetensors": "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
        "tokenizer.json": "bf346d64f6f0fbcefb4c1b6928a98241467dff36c6fbae5fe1785c4ff90667f4",
    }


def test_it_predicts_held_out_text(full_context):
    assert 5 < full_context.perplexity < 60


def test_the_sliding_window_costs_little_against_full_context(smollm2, hamlet_like, full_context):
    (sliding,) = sliding_perplexity(smollm2.model, hamlet_like, windows=[256], stride=128)
    assert sliding.tokens == full_context.tokens
    assert abs(sliding.loss_nats - full_context.loss_nats) < 0.2


def test_it_finds_a_passkey(smollm2):
    result = passkey(smollm2.model, smollm2.tokenizer, context_tokens=256, positions=2, trials=2)
    assert result.k_max == 256


def test_interpolation_without_fine_tuning_hurts_but_does_not_destroy(smollm2, interpolated, hamlet_like, full_context):
    assert interpolated.extension.context_tokens == 16384
    (result,) = truncated_perplexity(interpolated.model, hamlet_like, windows=[512])
    assert full_context.loss_nats < result.loss_nats < full_context.loss_nats + 2
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(interpolated.model.parameters(), smollm2.model.parameters(), strict=True)
    )


def test_training_begins_at_the_loss_of_the_interpolated_model_and_lowers_it(interpolated, tmp_path):
    short = ["sequence_tokens=64", "steps=2", "global_batch=1", "data=books", "peak_lr=1e-4", "warmup_steps=1"]
    config = override(recipe("smollm2_16384_pi"), [*short, "checkpoint_every=2"])
    outcome = train(config, tmp_path / "run")
    losses = [line["loss_nats"] for line in read_log(tmp_path / "run/steps.jsonl")]
    windows = torch.from_numpy(prepare(config, tmp_path / "run").batches.windows(0))
    expected = interpolated.model(input_ids=windows, labels=windows).loss.item()
    assert abs(losses[0] - expected) < 1e-4
    after = load_checkpoint(outcome.model)
    assert after.extension == interpolated.extension
    assert after.model(input_ids=windows, labels=windows).loss.item() < expected - 0.01
