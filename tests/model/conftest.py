"""A tiny random LLaMA with a byte-level tokenizer, as a folder; and a cache of each test's own."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from pi_model.models.loading import random_llama


def byte_tokenizer(*, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    """One token a byte, and a BOS, which it puts first only when asked."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(["<s>", *alphabet])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if adds_bos:
        tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Tests share no cache, except those that need the real checkpoint, which is fetched once."""
    folder = tmp_path / "cache"
    if "shared_cache" not in request.keywords:
        monkeypatch.setenv("PI_MODEL_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model() -> LlamaForCausalLM:
    return random_llama(vocab_size=260)


@pytest.fixture(scope="session")
def tiny_folder(tiny_model: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def no_model_is_loaded(monkeypatch):
    """Makes every attempt to load a checkpoint a failure of the test."""

    def load(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("pi_model.models.loading.load_checkpoint", load)
