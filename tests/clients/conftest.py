"""The model folders that other programs are given: a tiny LLaMA, extended by each method and fine-tuned."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from pi_model.data.documents import Source
from pi_model.data.tokenizer_training import train_tokenizer
from pi_model.models.extension import extend_checkpoint
from pi_model.models.gguf_tokenizer import SPLITS
from pi_model.models.loading import random_llama, random_model
from pi_theory.scaling import scaling_by_name
from tests.model.small_runs import small_config, trained

METHODS = ("linear", "ntk", "dynamic", "yarn", "llama3")
FOLDERS = ("none", *METHODS, "finetuned")
WINDOW = 64
TEXT = "The grass is green. The sky is blue. The sun is yellow. Here we go: 12 times there, and 345 times back again! "


def sentencepiece_like(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer as in LLaMA 1 and 2: spaces become "▁", one is put first, and bytes stand in for missing tokens."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    first = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=first, show_progress=False)
    tokenizer.train_from_iterator(TEXT.split(), trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][:3]  # bytes are ordinary tokens
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def byte_level_like(split: str, vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer that merges bytes, as in Llama 3: BOS comes first, and text is split in a way that GGUF names."""
    parts: list[Any] = [
        pre_tokenizers.Digits(individual_digits=True)
        if pattern == "digits"
        else pre_tokenizers.Split(Regex(pattern), "isolated")
        for pattern in SPLITS[split]
        if pattern != "words"
    ]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex="words" in SPLITS[split])
    tokenizer = Tokenizer(models.BPE(ignore_merges=split in ("llama-bpe", "tekken")))
    tokenizer.normalizer = normalizers.NFC() if split == "qwen2" else None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*parts, level]) if parts else level
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary - 2, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.add_special_tokens(["<|begin|>", "<|eot|>"])  # after the others, as in Llama 3
    first = TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), first])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|eot|>")
    made.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return made


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """A tokenizer of 300 tokens, as in the shipped model."""
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text(TEXT * 40)
    return train_tokenizer([Source(str(text))], 300)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> dict[str, Path]:
    """Folders by the names in `FOLDERS`, each with four times the window of "none", the model they were made from.

    Those of `METHODS` are as `pi-model extend` writes them, and "finetuned" is what `pi-model finetune` exports.
    """
    root = tmp_path_factory.mktemp("clients")
    (root / "text.txt").write_text(TEXT * 40)
    folders = {"none": root / "none"}
    random_llama(vocab_size=300, hidden_size=64, max_position_embeddings=WINDOW).save_pretrained(folders["none"])
    tokenizer.save_pretrained(folders["none"])
    for method in METHODS:
        folders[method] = root / method
        extend_checkpoint(folders["none"], scaling_by_name(method, 4.0), folders[method])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_MODEL_CACHE", str(root / "cache"))
        config = small_config(folders["none"], root / "text.txt", factor=4.0, steps=3)
        trained(config, root / "run")
    folders["finetuned"] = root / "run" / "model"
    return folders


# Families beside LLaMA, and what their configs say.
FAMILIES = {"mistral": {"head_dim": 32}, "qwen2": {}, "qwen3": {"head_dim": 32}}


@pytest.fixture(scope="session")
def family_folders(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by the names in `FAMILIES`, each with four times the window that its model was made with."""
    root = tmp_path_factory.mktemp("families")
    for family, changes in FAMILIES.items():
        model = random_model(family, vocab_size=300, hidden_size=64, max_position_embeddings=WINDOW, **changes)
        model.save_pretrained(root / "before" / family)
        PreTrainedTokenizerFast.from_pretrained(folders["none"]).save_pretrained(root / "before" / family)
        extend_checkpoint(root / "before" / family, scaling_by_name("linear", 4.0), root / family)
    return {family: root / family for family in FAMILIES}
